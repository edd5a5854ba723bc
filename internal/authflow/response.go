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
	Hint  string // behind the state; see Transactions.Hint
	Code  string
	// Error is an error code of
	// https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1. The error_description
	// is never shown, so it is not kept.
	Error  string
	Issuer string // iss, if it was sent
	// Expired says that the provider has forgotten the sign-in, which took too long for
	// it. Keycloak says so with temporarily_unavailable and an error_description.
	Expired bool
}

// ErrBare means that a response has neither state, code nor error. Logto goes to the
// bare redirect URI if a person cancels the consent to a third-party application.
var ErrBare = errors.New("signin: the provider has sent the browser back without a response, as Logto does if a person cancels the consent")

const (
	maxQuery      = 16 << 10
	maxResponse   = 64 << 10 // a code may be percent-encoded
	maxParameters = 64
	maxCode       = 16 << 10 // some providers, Azure AD B2C for one, put tokens into the code
	maxOther      = 512
)

// CheckQuery returns an error if a query, or the body of a form, is longer than 16 KB
// or has more than 64 parameters. net/http lets a megabyte through, and net/url
// makes ten thousand values of it.
func CheckQuery(raw string) error {
	if !small(raw, maxQuery) {
		return errors.New("signin: the query or form is longer than 16 KB, or has more than 64 parameters")
	}
	return nil
}

func small(raw string, most int) bool {
	return len(raw) <= most && strings.Count(raw, "&") < maxParameters
}

// ParseResponse parses the raw query of a request. Its errors repeat nothing of it.
// Parameters that do not belong to a response are ignored, whatever they look like.
func ParseResponse(rawQuery string) (*Response, error) {
	if !small(rawQuery, maxResponse) {
		return nil, errors.New("signin: authorization response is longer than 64 KB, or has more than 64 parameters")
	}
	r, seen := &Response{}, map[string]bool{}
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, raw, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			continue
		}
		if name == "error_description" {
			r.Expired = r.Expired || raw == "authentication_expired"
			continue
		}
		to, most := r.parameter(name)
		if to == nil {
			continue
		}
		// "Request and response parameters MUST NOT be included more than once":
		// https://www.rfc-editor.org/rfc/rfc6749#section-3.1
		// Two readers could use different values.
		if seen[name] {
			return nil, fmt.Errorf("signin: authorization response has %s more than once", name)
		}
		seen[name] = true
		// Some readers take a semicolon for an ampersand, as net/url did once.
		*to, err = url.QueryUnescape(raw)
		if err != nil || strings.Contains(pair, ";") || len(*to) > most || strings.ContainsFunc(*to, unprintable) {
			return nil, fmt.Errorf("signin: authorization response has a malformed %s", name)
		}
	}
	return r.complete()
}

// parameter returns where a parameter is kept, and how long it may be, or nil.
func (r *Response) parameter(name string) (to *string, most int) {
	switch name {
	case "state":
		return &r.State, 2 * maxOther // with a hint
	case "code":
		return &r.Code, maxCode
	case "error":
		return &r.Error, maxOther
	case "iss":
		return &r.Issuer, maxOther
	}
	return nil, 0
}

// complete returns r if it has what a response needs.
func (r *Response) complete() (*Response, error) {
	r.State, r.Hint, _ = strings.Cut(r.State, hintMark)
	r.Expired = r.Expired && r.Error == "temporarily_unavailable"
	switch {
	case r.State == "" && r.Code == "" && r.Error == "":
		return nil, ErrBare
	case len(r.State) > maxOther:
		return nil, errors.New("signin: authorization response has a malformed state")
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
