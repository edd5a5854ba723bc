package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
)

// Kind is a kind of failure. The caller handles each kind differently.
type Kind int

const (
	// Unavailable: the provider cannot be reached, has a fault, or gives an answer
	// that makes no sense. It may be temporary, so nothing must be concluded
	// from it.
	Unavailable Kind = iota + 1
	// Misconfigured: an operator, of the application or the provider, has to act.
	Misconfigured
	// Rejected: a token or an answer breaks a rule, and must not be used.
	Rejected
	// Refused: the provider understood the request and refuses it. Error.OAuthCode
	// and Error.Status say why.
	Refused
)

// Error is the error of every method of Client. Neither it nor the error it wraps
// contains a token, a code, a secret, or the body of an answer. Of what the provider
// has sent there are OAuthCode, and single values that are not as they should be, such
// as an issuer, an endpoint, a token type or where a redirect leads. Each of these has
// passed through [document.Quote], which makes it short and harmless in a log. What a
// certificate says is in the words of crypto/x509.
type Error struct {
	Kind Kind
	// Op is what the client was doing, in words.
	Op string
	// OAuthCode is the answer's "error" member. It is empty if that is missing or
	// does not have the form of
	// https://www.rfc-editor.org/rfc/rfc6749#section-5.2.
	OAuthCode string
	// WantsMFA says that the person has to set up a second factor first. Logto
	// says so only in the error's description.
	WantsMFA bool
	// Status is the answer's HTTP status, or 0 if the failure is not about one.
	Status int
	// RetryAfter is how long to wait before trying again. 0 means unknown.
	RetryAfter time.Duration
	// Err is the cause, never nil.
	Err error
}

// Error describes the failure for logs.
func (e *Error) Error() string {
	s := "signin: " + e.Op + ": " + e.Err.Error()
	switch {
	case e.OAuthCode != "":
		s += fmt.Sprintf(" (%d %s)", e.Status, e.OAuthCode)
	case e.Status != 0:
		s += fmt.Sprintf(" (%d)", e.Status)
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Wait returns RetryAfter, for a [document.Cache].
func (e *Error) Wait() time.Duration { return e.RetryAfter }

// AnotherPerson reports whether userinfo is about another person, or does not
// name one. Every other failure of userinfo says nothing about the session.
func (e *Error) AnotherPerson() bool { return e.Err == errUserInfoSubject }

// UnknownKey reports whether a token was not verified because its key is not
// known, and the keys were fetched too recently to fetch them again. Most often
// such a token is forged, but the provider may have just rotated its keys.
func (e *Error) UnknownKey() bool { return e.Err == document.ErrCoolingDown }

// Final reports whether the provider says, in answer to a refresh, that the refresh
// token is no longer valid, or that the person has to sign in again: trying again cannot
// help. After any other error the session goes on. It is tempting to end it on any 4xx,
// but then the rotation of a client secret would sign every user out.
//
// It is about the session only if the refresh named no audience: the words may be about
// that.
func (e *Error) Final() bool { return e.Kind == Refused && aboutPerson(e.OAuthCode) }

// aboutPerson reports whether a code is the provider's word about a person:
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2,
// https://openid.net/specs/openid-connect-core-1_0.html#AuthError, and Auth0's and
// Entra's for a second factor.
func aboutPerson(code string) bool {
	switch code {
	case "invalid_grant", "interaction_required", "login_required", "consent_required", "account_selection_required", "mfa_required":
		return true
	}
	return false
}

// Denied reports whether a refresh was refused in words with which some providers other
// than Logto end a session (dex and Glewlwyd with invalid_request or an empty 400), but
// which a gateway in front of the provider may have said. They are final if they are
// repeated much later.
func (e *Error) Denied() bool {
	if e.Kind != Refused && e.Kind != Misconfigured {
		return false
	}
	switch e.OAuthCode {
	case "access_denied", "unauthorized", "invalid_token", "token_inactive", "invalid_request":
		return e.Status == http.StatusBadRequest || e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	case "":
		return e.Kind == Refused && e.Status == http.StatusBadRequest
	}
	return false
}

// fault is a cause in this package's words. A value in it that a provider has sent is
// quoted by [document.Quote].
type fault string

func (f fault) Error() string { return string(f) }

func rejected(op string, cause error) error { return &Error{Kind: Rejected, Op: op, Err: cause} }

func misconfigured(op string, cause error) error {
	return &Error{Kind: Misconfigured, Op: op, Err: cause}
}

func unavailable(op string, cause error) error { return &Error{Kind: Unavailable, Op: op, Err: cause} }

// absent converts an error about a document that is not available. The result
// is the error of fetching it, with the wait that follows.
func absent(op string, err error) error {
	missing, ok := errors.AsType[*document.Error](err)
	if !ok {
		return err
	}
	told := &Error{Kind: Unavailable, Op: op, Err: missing.Err}
	if own, ok := errors.AsType[*Error](missing.Err); ok {
		*told = *own
	}
	told.RetryAfter = missing.RetryAfter
	return told
}

// judged converts an error of package jwt. It is about the token, unless it is
// known to be about the keys, the metadata or the audience asked for.
func judged(op string, err error) error {
	if _, ok := errors.AsType[*document.Error](err); ok {
		return absent(opKeys, err)
	}
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err
	}
	if err == jwt.ErrNoAPI {
		return misconfigured(op, err)
	}
	return rejected(op, err)
}

// transportCause reduces an error of net/http to what is safe to show. Those
// errors quote URLs, bytes of a malformed answer, and what a proxy says. So it
// returns only the causes that an operator needs, and only the type of any
// other.
func transportCause(err error) error {
	var (
		timeout interface{ Timeout() bool }
		large   *http.MaxBytesError
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		errno   syscall.Errno
	)
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return context.DeadlineExceeded
	case errors.As(err, &large):
		return fault("the answer is larger than 1 MiB")
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &cert):
		return cert
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fault(fmt.Sprintf("the request failed with a %T", err))
}
