package authflow

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Response is an authorization response: the query with which a browser comes
// back from the provider. It has a state, and either a code or an error.
//
// The browser can choose every byte of it. It is trusted only together with the
// transaction of its state.
type Response struct {
	State string
	Code  string
	// Error is an error code of
	// https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1. The error_description
	// is never shown, so it is not kept.
	Error  string
	Issuer string // iss, if it was sent
}

const (
	maxQuery      = 16 << 10
	maxParameters = 64
	maxCode       = 4096 // some providers put a token of 2 KB into the code
	maxOther      = 512
)

// CheckQuery returns an error if a query, or the body of a form, is longer than 16 KB
// or has more than 64 parameters. net/http lets a megabyte through, and net/url
// makes ten thousand values of it.
func CheckQuery(raw string) error {
	if len(raw) > maxQuery || strings.Count(raw, "&") >= maxParameters {
		return errors.New("signin: the query or form is longer than 16 KB, or has more than 64 parameters")
	}
	return nil
}

// ParseResponse parses the raw query of a request. Its errors repeat nothing of it.
func ParseResponse(rawQuery string) (*Response, error) {
	if CheckQuery(rawQuery) != nil {
		return nil, errors.New("signin: authorization response is too long")
	}
	// It is tempting to call URL.Query, which ignores malformed parts of a query.
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
		// "Request and response parameters MUST NOT be included more than once":
		// https://www.rfc-editor.org/rfc/rfc6749#section-3.1
		// Two readers could use different values.
		if len(q[p.name]) > 1 {
			return nil, fmt.Errorf("signin: authorization response has %s more than once", p.name)
		}
		*p.to = q.Get(p.name)
		if len(*p.to) > p.max || strings.ContainsFunc(*p.to, unprintable) {
			return nil, fmt.Errorf("signin: authorization response has a malformed %s", p.name)
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

// unprintable reports whether these parameters must not have a character:
// https://www.rfc-editor.org/rfc/rfc6749#appendix-A
func unprintable(c rune) bool { return c < 0x20 || c > 0x7e }

// CheckIssuer returns an error unless the response may come from the issuer. It
// keeps the code of one provider from being sent to another (mix-up attack).
// announced says that the issuer's metadata promise iss in every response.
func (r *Response) CheckIssuer(issuer string, announced bool) error {
	switch {
	// https://www.rfc-editor.org/rfc/rfc9207#section-2.4
	case r.Issuer == "" && announced:
		return errors.New("signin: authorization response has no iss, though the provider announces it")
	case r.Issuer != "" && r.Issuer != issuer:
		return errors.New("signin: authorization response is from another issuer")
	}
	return nil
}
