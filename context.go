package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/challenge"
	"github.com/gosignin/signin/internal/page"
	"github.com/gosignin/signin/internal/planted"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/record"
)

// User is the person a request comes from, as the provider's verified ID token
// describes them. Claims that are absent, null or of another type than here are
// zero values.
//
// Each call of [UserFrom] returns a new User, so its fields may be changed
// freely; that changes nothing for anybody else. The bytes of Claims are shared
// by the Users of one request, and are not to be changed.
type User struct {
	// Issuer and Subject together identify the person for good (OpenID Connect
	// Core 1.0, section 5.7). Never use Email or Username as a key: people
	// change them, and providers give them to other people.
	Issuer  string
	Subject string
	// ProviderSessionID is the provider's session ("sid"), by which it signs
	// people out of applications; empty if it sent none.
	ProviderSessionID string

	Name     string
	Username string // "username", or else "preferred_username"
	Email    string // with the scope "email"
	// EmailVerified is true only if the provider says so with a boolean.
	EmailVerified bool
	PhoneNumber   string // with the scope "phone"
	Picture       string // a URL from the provider: display it, do not fetch it

	// Roles, Organizations and OrganizationRoles ("<organization>:<role>") are
	// there when their scopes were asked for: "roles",
	// "urn:logto:scope:organizations", "urn:logto:scope:organization_roles".
	Roles             []string
	Organizations     []string
	OrganizationRoles []string
	// Scopes are those that were granted with the default access token.
	Scopes []string

	// ACR is the class of the person's authentication, AuthTime when it was; a
	// provider need not say either. Logto sends AuthTime only if [MaxAge] was asked for.
	ACR      string
	AuthTime time.Time

	// SignedInAt is when this session began, and ExpiresAt when it ends unless
	// it is used again: the earlier of Config.IdleTimeout after its last
	// written use and Config.MaxLifetime after its beginning.
	SignedInAt time.Time
	ExpiresAt  time.Time

	// Claims are all claims, a JSON object. See [ClaimsAs].
	Claims json.RawMessage
}

// UserFrom returns the user a request comes from, given its context, and false
// if nobody is signed in or the request did not pass through [Auth.Load],
// [Auth.RequireAuth] or [Auth.WithRoutes]. Where several Auths are nested it
// speaks of the innermost. Behind RequireAuth it never returns false.
//
// Claims are those of the last verified ID token: at the sign-in, or at the
// last refresh. A role that was taken away since is still there.
func UserFrom(ctx context.Context) (*User, bool) {
	if p := planted.From(ctx); p != nil {
		u, _ := p.User.(*User)
		if u == nil {
			return nil, false
		}
		return clone(u), true
	}
	s, _ := ctx.Value(sessionKey{}).(*session)
	if s == nil || !s.signedIn {
		return nil, false
	}
	v := &s.summary
	// One allocation for the user and, most often, for the scopes.
	b := new(struct {
		User
		scopes [4]string
	})
	b.User = User{
		Issuer:            s.auth.issuer,
		Subject:           v.Claim(record.Subject),
		ProviderSessionID: v.Claim(record.SessionID),
		Name:              v.Claim(record.Name),
		Username:          v.Claim(record.Username),
		Email:             v.Claim(record.Email),
		EmailVerified:     v.True(record.EmailVerified),
		PhoneNumber:       v.Claim(record.PhoneNumber),
		Picture:           v.Claim(record.Picture),
		Roles:             v.Strings(record.Roles),
		Organizations:     v.Strings(record.Organizations),
		OrganizationRoles: v.Strings(record.OrganizationRoles),
		Scopes:            v.AppendScopes(b.scopes[:0]),
		ACR:               v.Claim(record.ACR),
		AuthTime:          v.Time(record.AuthTime),
		SignedInAt:        v.Created(),
		ExpiresAt:         s.auth.sessions.Expires(v.Created(), v.LastSeen()),
		Claims:            v.Claims(),
	}
	return &b.User, true
}

// clone copies a planted user, whose owner may use it in other tests.
func clone(u *User) *User {
	c := *u
	c.Roles, c.Organizations = slices.Clone(u.Roles), slices.Clone(u.Organizations)
	c.OrganizationRoles, c.Scopes = slices.Clone(u.OrganizationRoles), slices.Clone(u.Scopes)
	return &c
}

// ClaimsAs decodes all claims of the user a request comes from into a type of
// the application's own, by the rules of [encoding/json]. The error is
// [ErrNotSignedIn] if there is no user, and one of encoding/json if a claim
// does not fit T.
//
// Note that Logto sends null for what it does not know, which leaves a field as
// it is, and updated_at and created_at in milliseconds.
func ClaimsAs[T any](ctx context.Context) (T, error) {
	var claims T
	u, ok := UserFrom(ctx)
	if !ok {
		return claims, newError(ErrNotSignedIn, errors.New("signin: no user in the context"))
	}
	if err := json.Unmarshal(u.Claims, &claims); err != nil {
		var none T
		return none, fmt.Errorf("signin: claims do not fit %T: %w", claims, err)
	}
	return claims, nil
}

// Code is the outcome of something that went wrong. Every error of this package
// that a caller may want to handle matches one with [errors.Is].
type Code string

// Error returns the code's own text, so that a Code is an error to compare with.
func (c Code) Error() string { return "signin: " + strings.ReplaceAll(string(c), "_", " ") }

// The codes, with the HTTP status of the page or problem document that answers
// a request with this outcome.
const (
	// ErrNotSignedIn (401): nobody is signed in.
	ErrNotSignedIn Code = "not_signed_in"
	// ErrForbidden (403): somebody is not allowed what they asked for; a form of
	// another site that asked to sign a person out, for instance.
	ErrForbidden Code = "forbidden"
	// ErrBadRequest (400): a request that no page of this application makes.
	ErrBadRequest Code = "bad_request"
	// ErrMethodNotAllowed (405): a route was called with another method.
	ErrMethodNotAllowed Code = "method_not_allowed"
	// ErrBadCallback (400): the response that the browser brought from the
	// provider is malformed, or is not from this provider.
	ErrBadCallback Code = "bad_callback"
	// ErrSignInExpired (400): this browser has no sign-in under way for the
	// response it brought, or the sign-in took too long.
	ErrSignInExpired Code = "sign_in_expired"
	// ErrCookiesBlocked (400): two rounds in a row came back without cookies.
	ErrCookiesBlocked Code = "cookies_blocked"
	// ErrDenied (403): the person or the provider declined the sign-in.
	ErrDenied Code = "denied"
	// ErrProviderUnavailable (503): the provider cannot be reached, or is in
	// trouble; trying again may help.
	ErrProviderUnavailable Code = "provider_unavailable"
	// ErrProviderMisconfigured (502, or 503 while its metadata cannot be used):
	// the provider and this application do not fit together, and an operator
	// must act: a wrong secret, for instance.
	ErrProviderMisconfigured Code = "provider_misconfigured"
	// ErrProviderRejected (502): what the provider sent breaks a rule, so it is
	// not believed: an ID token with a wrong signature, for instance.
	ErrProviderRejected Code = "provider_rejected"
	// ErrSessionTooLarge (500): the session does not fit its store.
	ErrSessionTooLarge Code = "session_too_large"
	// ErrStoreUnavailable (503): Config.Store failed.
	ErrStoreUnavailable Code = "store_unavailable"
	// ErrSharedUnavailable (503): Config.Shared failed.
	ErrSharedUnavailable Code = "shared_unavailable"
	// ErrSignOutIncomplete (503): the browser is signed out, but copies of its
	// session may live on, because the sign-out could not be written.
	ErrSignOutIncomplete Code = "sign_out_incomplete"
)

// statuses are those of the codes above.
var statuses = map[Code]int{
	ErrNotSignedIn:           http.StatusUnauthorized,
	ErrForbidden:             http.StatusForbidden,
	ErrBadRequest:            http.StatusBadRequest,
	ErrMethodNotAllowed:      http.StatusMethodNotAllowed,
	ErrBadCallback:           http.StatusBadRequest,
	ErrSignInExpired:         http.StatusBadRequest,
	ErrCookiesBlocked:        http.StatusBadRequest,
	ErrDenied:                http.StatusForbidden,
	ErrProviderUnavailable:   http.StatusServiceUnavailable,
	ErrProviderMisconfigured: http.StatusBadGateway,
	ErrProviderRejected:      http.StatusBadGateway,
	ErrSessionTooLarge:       http.StatusInternalServerError,
	ErrStoreUnavailable:      http.StatusServiceUnavailable,
	ErrSharedUnavailable:     http.StatusServiceUnavailable,
	ErrSignOutIncomplete:     http.StatusServiceUnavailable,
}

// Error is an outcome with what is known about it. It is not changed once it is
// made, and may be read by many goroutines.
type Error struct {
	// Code says what happened; errors.Is(err, ErrDenied) compares it.
	Code Code
	// Status is the HTTP status for an answer.
	Status int
	// Message is a sentence for people, in English. It holds nothing that came
	// from the request or the provider.
	Message string
	// Err is the cause, for the log and never for a page; nil if there is none
	// besides the code.
	Err error

	retryAfter time.Duration
}

// Error returns code and cause, for a log.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Code.Error()
	}
	return e.Code.Error() + ": " + strings.TrimPrefix(e.Err.Error(), "signin: ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's code.
func (e *Error) Is(target error) bool { return target == e.Code }

func newError(code Code, cause error) *Error {
	return &Error{Code: code, Status: statuses[code], Message: page.For(string(code)).Sentence, Err: cause}
}

// providerError translates an error of the provider package.
func providerError(err error) *Error {
	if err == nil {
		return nil
	}
	e := newError(ErrProviderUnavailable, err)
	var pe *provider.Error
	if !errors.As(err, &pe) {
		return e // the caller's context, most often
	}
	switch pe.Kind {
	case provider.Rejected:
		return newError(ErrProviderRejected, err)
	case provider.Refused:
		return newError(ErrDenied, err)
	case provider.Misconfigured:
		e = newError(ErrProviderMisconfigured, err)
		// A provider that is being set up may say something else in a moment.
		if pe.RetryAfter > 0 {
			e.Status = http.StatusServiceUnavailable
		}
	}
	e.retryAfter = pe.RetryAfter
	return e
}

// isDown reports whether the provider gave no answer at all.
func isDown(err error) bool {
	var pe *provider.Error
	return errors.As(err, &pe) && pe.Kind == provider.Unavailable && pe.Status == 0
}

// fail logs an error, once, and shows it.
func (a *Auth) fail(w http.ResponseWriter, r *http.Request, e *Error) {
	level := slog.LevelInfo
	if e.Status >= 500 {
		level = slog.LevelError
	}
	attrs := []slog.Attr{slog.String("code", string(e.Code)), slog.Int("status", e.Status), slog.Any("error", e.Err)}
	if strings.HasPrefix(string(e.Code), "provider_") {
		attrs = append(attrs, slog.String("issuer", a.issuer))
	}
	a.log.LogAttrs(r.Context(), level, "signin: request failed", attrs...)
	noStore(w)
	a.show(w, r, e)
}

// show answers a request with an error: a page for a person, a problem document
// for a program.
func (a *Auth) show(w http.ResponseWriter, r *http.Request, e *Error) {
	if challenge.Of(r) == challenge.Program {
		page.WriteProblem(w, r, page.Problem{
			Status: e.Status, Code: string(e.Code), SignIn: a.absolute(a.paths.signIn), RetryAfter: e.retryAfter,
		})
		return
	}
	p := page.For(string(e.Code))
	p.Status, p.RetryAfter, p.Action.Href = e.Status, e.retryAfter, a.wayOn(e.Code)
	if a.errorHandler == nil {
		page.Write(w, r, p)
		return
	}
	page.Prepare(w.Header(), e.Status, e.retryAfter)
	a.errorHandler(w, r, e)
}

// wayOn is where an error page's link leads.
func (a *Auth) wayOn(code Code) string {
	switch code {
	case ErrForbidden, ErrSignOutIncomplete, ErrMethodNotAllowed, ErrBadRequest, ErrProviderMisconfigured, ErrSessionTooLarge:
		return a.paths.afterSignOut
	}
	return a.paths.signIn
}

// noStore keeps an answer out of every cache: it is about one person, or sets
// a cookie.
func noStore(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("CDN-Cache-Control", "no-store") // RFC 9213: some caches obey this one only
	varyByCookie(h)
}

func varyByCookie(h http.Header) {
	if !slices.ContainsFunc(h.Values("Vary"), func(v string) bool { return strings.EqualFold(v, "Cookie") }) {
		h.Add("Vary", "Cookie")
	}
}

// EventKind is what an [Event] tells of.
type EventKind string

// The kinds of events.
const (
	EventSignedIn       EventKind = "signed_in"       // a callback has made a session
	EventSignedOut      EventKind = "signed_out"      // here, or by the provider's logout token
	EventRefreshed      EventKind = "refreshed"       // the session has new tokens
	EventRefreshFailed  EventKind = "refresh_failed"  // the session stands; Err says why
	EventSessionEnded   EventKind = "session_ended"   // a session that is over was presented; Reason says why
	EventSuperseded     EventKind = "superseded"      // an old copy of a session was presented
	EventDenied         EventKind = "denied"          // a guard refused a request; Err says why
	EventCallbackFailed EventKind = "callback_failed" // a sign-in did not succeed; Err says why
)

// Event is something worth recording about a session. It never holds a token,
// a session ID or a store's key.
type Event struct {
	Kind EventKind
	Time time.Time
	// Subject and ProviderSessionID are whom it is about, if that is known.
	Subject           string
	ProviderSessionID string
	// Reason is why a session ended, with EventSessionEnded only: "idle",
	// "lifetime", "signed_out", "provider", "replaced".
	Reason string
	// Err is what went wrong; nil if nothing did.
	Err error
}

func (a *Auth) emit(ctx context.Context, e Event) {
	if a.onEvent == nil {
		return
	}
	e.Time = a.now()
	a.onEvent(ctx, e)
}
