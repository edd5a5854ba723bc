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

// Kind tells the outcomes apart that a caller handles differently.
type Kind int

const (
	// Unavailable: the provider cannot be reached, is in trouble, or answers
	// something that is no answer. It may pass; nothing is decided.
	Unavailable Kind = iota + 1
	// Misconfigured: an operator, here or at the provider, has to act.
	Misconfigured
	// Rejected: a token or an answer breaks a rule, and lets no one in.
	Rejected
	// Refused: the provider understood the request and says no;
	// Error.OAuthCode and Error.Status tell why.
	Refused
)

// Error is the error of every method of Client. Neither it nor what it wraps
// holds a token, a code, a secret, or text of an answer, OAuthCode excepted.
type Error struct {
	Kind Kind
	// Op is what was being done, in words.
	Op string
	// OAuthCode is the answer's "error" member. Empty if there was none, or none
	// of the form that https://www.rfc-editor.org/rfc/rfc6749#section-5.2 allows.
	OAuthCode string
	// WantsMFA says that the person has to set up a second factor first. Logto
	// says so in the error's description, and nowhere else.
	WantsMFA bool
	// Status is the answer's HTTP status. 0: the failure is not about a status.
	Status int
	// RetryAfter is how long to wait before trying again. 0: nothing is known.
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

// AnotherPerson reports whether userinfo spoke of another person, or of none.
// Every other failure of userinfo says nothing about the session.
func (e *Error) AnotherPerson() bool { return e.Err == errUserInfoSubject }

// Unmet reports whether an ID token is good but for when or how the person has
// authenticated.
func (e *Error) Unmet() bool { return e.Err == jwt.ErrAuthTime || e.Err == jwt.ErrACR }

// UnknownKey reports whether a token was not verified because it names a key
// that was not published a moment ago: a forged token most often, or one of a
// provider that has just rotated its keys.
func (e *Error) UnknownKey() bool { return e.Err == document.ErrCoolingDown }

// Final reports whether a plain refresh that failed with e has ended the
// session: its refresh token is dead, and trying again cannot help. Everything
// else leaves the session standing: it is tempting to end it on any 4xx, and
// then the rotation of a client secret signs every user out.
//
// Set lenient for a provider other than Logto. Some of them (dex, Glewlwyd)
// answer a dead token with 400 and invalid_request, or without any code. It
// must not be set for a refresh that asks for a resource or an organization:
// there a 400 may be about these.
func (e *Error) Final(lenient bool) bool {
	if e.Kind != Refused {
		return false
	}
	switch e.OAuthCode {
	case "invalid_grant":
		return true
	case "", "invalid_request":
		return lenient && e.Status == 400
	default:
		return false
	}
}

// fault is a cause in fixed words. Being a constant it cannot carry anything
// that a provider sent.
type fault string

func (f fault) Error() string { return string(f) }

func rejected(op string, cause error) error { return &Error{Kind: Rejected, Op: op, Err: cause} }

func misconfigured(op string, cause error) error {
	return &Error{Kind: Misconfigured, Op: op, Err: cause}
}

func unavailable(op string, cause error) error { return &Error{Kind: Unavailable, Op: op, Err: cause} }

// absent makes an error of one about a document that is not to be had: the
// failure of fetching it, with the wait that has come of that.
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

// judged makes an error of one of package jwt. It is about the token, unless it
// is known to be about the keys, the metadata or the API.
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

// transportCause reduces what net/http reports to what is safe to show. Its
// errors quote URLs and, of a malformed answer, the very bytes received, and a
// proxy's refusal comes as the proxy worded it. So only the causes an operator
// needs are let through, and of any other merely its type.
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
