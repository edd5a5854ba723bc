// Package authresponse reads an authorization response: the query with which a
// browser comes back from the provider.
//
// Every byte of it is the browser's to choose. What it says counts only together
// with the sign-in that this browser has under way; this package only decides
// whether it has the shape of a response at all.
package authresponse

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Response is a well-formed response: it has a state, and either a code or an
// error.
type Response struct {
	State string
	Code  string
	// Error is the error code (RFC 6749, section 4.1.2.1). Its description is
	// not kept: nobody is shown what it says.
	Error string
	// Issuer is iss (RFC 9207), empty if absent.
	Issuer string
}

// The most that a parameter may hold. Codes of providers that put a token into
// them reach 2 KB.
const (
	maxQuery = 16 << 10
	maxCode  = 4096
	maxOther = 512
)

// Parse reads the raw query of a request. Its errors hold nothing of it.
func Parse(rawQuery string) (*Response, error) {
	if len(rawQuery) > maxQuery {
		return nil, errors.New("signin: authorization response is too long")
	}
	// ParseQuery instead of URL.Query: a response that is malformed in part is
	// not read in part.
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, errors.New("signin: authorization response is not a query")
	}
	r := &Response{}
	for _, p := range []struct {
		name string
		max  int
		to   *string
	}{
		{"state", maxOther, &r.State}, {"code", maxCode, &r.Code},
		{"error", maxOther, &r.Error}, {"iss", maxOther, &r.Issuer},
	} {
		values := q[p.name]
		// "Request and response parameters MUST NOT be included more than
		// once" (RFC 6749, section 3.1). Two readers could pick different ones.
		if len(values) > 1 {
			return nil, fmt.Errorf("signin: authorization response has %s more than once", p.name)
		}
		if len(values) == 1 {
			*p.to = values[0]
		}
		if len(*p.to) > p.max || strings.ContainsFunc(*p.to, unprintable) {
			return nil, fmt.Errorf("signin: authorization response has a %s that is none", p.name)
		}
	}
	switch {
	case r.State == "":
		return nil, errors.New("signin: authorization response has no state")
	case r.Code == "" && r.Error == "":
		return nil, errors.New("signin: authorization response has neither code nor error")
	case r.Code != "" && r.Error != "":
		return nil, errors.New("signin: authorization response has both code and error")
	}
	return r, nil
}

// unprintable is the complement of VSCHAR (RFC 6749, appendix A), of which all
// of these parameters consist.
func unprintable(c rune) bool { return c < 0x20 || c > 0x7e }

// From reports whether a response may be the issuer's (RFC 9207, section 2.4): it
// keeps a response of one provider from being redeemed at another (mix-up).
// announced says that the issuer's metadata promise iss in every response.
func (r *Response) From(issuer string, announced bool) error {
	switch {
	case r.Issuer == "" && announced:
		return errors.New("signin: authorization response has no iss, though the provider announces it")
	case r.Issuer != "" && r.Issuer != issuer:
		return errors.New("signin: authorization response is from another issuer")
	}
	return nil
}

// Outcome is what an error response means to an application.
type Outcome int

const (
	// Declined: the person or the provider said no.
	Declined Outcome = iota
	// PersonNeeded: the provider was to show nothing, and would have to.
	PersonNeeded
	// Trouble: the provider is in trouble that may pass.
	Trouble
	// Misfit: the request is not one that this provider takes from this client.
	Misfit
)

// Outcome classifies the error code (RFC 6749, section 4.1.2.1; OpenID Connect
// Core 1.0, section 3.1.2.6). An unknown one is Declined.
func (r *Response) Outcome() Outcome {
	switch r.Error {
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		return PersonNeeded
	case "server_error", "temporarily_unavailable":
		return Trouble
	case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "invalid_target":
		return Misfit
	}
	return Declined
}

// Cause describes an error response for a log. The code is repeated only if it
// has the form of a registered one: anybody can send a browser here with another.
func (r *Response) Cause() error {
	if len(r.Error) > 40 || strings.Trim(r.Error, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return errors.New("signin: the provider answered with an error of its own")
	}
	return fmt.Errorf("signin: the provider answered with %s", r.Error)
}
