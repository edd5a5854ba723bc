package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/bearer"
	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/settings"
	"github.com/gosignin/signin/internal/testuser"
	"github.com/gosignin/signin/internal/tokens"
)

// User is the person who sent a request, as the provider's verified ID token
// describes them. A claim that is absent, null or of another type leaves its
// field zero.
//
// Each call of [UserFrom] returns a new User, so callers may change its fields.
// The bytes of Claims are shared by the Users of one request and must not be
// changed.
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
	Username string // "username", or else "preferred_username"; with MergeUserInfo, those of the ID token first
	Email    string // with the scope "email"
	// EmailVerified is true only if the provider says true, as a boolean or, as Cognito
	// and Apple do, as the text "true".
	EmailVerified bool
	// Machine is true if there is no person: Subject is an application that got
	// a token for itself. That happens only behind [Auth.RequireBearer] with
	// the rule [AllowMachines].
	Machine     bool
	PhoneNumber string // with the scope "phone"
	Picture     string // a URL from the provider: display it, do not fetch it

	// Roles, Organizations and OrganizationRoles ("<organization>:<role>") are
	// set if their scopes were asked for: "roles",
	// "urn:logto:scope:organizations", "urn:logto:scope:organization_roles".
	// ProviderConfig.RolesClaim says where other providers have the roles. A claim that
	// is one string is a list of one.
	Roles             []string
	Organizations     []string
	OrganizationRoles []string
	// Scopes are those of the session's own access token or, behind
	// [Auth.RequireBearer], those of the token in the request.
	Scopes []string

	// ACR is the class of the person's authentication, and AuthTime is its
	// time, both as the sign-in's ID token said; a refresh does not change them.
	// A provider need not send either. Logto sends AuthTime only if [MaxAge] was
	// asked for.
	ACR      string
	AuthTime time.Time

	// SignedInAt is when this session began, and ExpiresAt is when it ends
	// unless it is used again: the earlier of Config.IdleTimeout after its last
	// recorded use and Config.MaxLifetime after its beginning. Behind
	// [Auth.RequireBearer] they are when the token was issued and when it
	// expires.
	SignedInAt time.Time
	ExpiresAt  time.Time

	// Claims are all claims, a JSON object. See [ClaimsAs].
	Claims json.RawMessage
}

// UserFrom returns the user who sent the request with this context. It returns
// false if the user is not signed in, or if the request did not pass through
// [Auth.Load], [Auth.WithRoutes] or a guard. If several Auths are nested, the
// innermost decides. Behind a guard UserFrom never returns false, unless
// another Auth's Load is between the guard and the handler.
//
// Claims are those of the last verified ID token, from the sign-in or the last
// refresh; "sid", "auth_time", "acr" and "amr" are those of the sign-in. A role
// that was taken away later is still among them.
func UserFrom(ctx context.Context) (*User, bool) {
	if v := testuser.From(ctx); v != nil {
		u, _ := v.User.(*User)
		if u == nil {
			return nil, false
		}
		return clone(u), true
	}
	c := nearest(ctx)
	if c == nil || !c.signedIn {
		return nil, false
	}
	// One allocation for the user and, as a rule, the scopes.
	b := new(struct {
		User
		scopes [4]string
	})
	u := &b.User
	if t := c.token; t != nil {
		u.describe(c.auth, &t.claims)
		u.Machine, u.Scopes, u.SignedInAt, u.ExpiresAt = t.Machine, slices.Clone(t.Scopes), t.IssuedAt, t.Expiry
		if t.Organization != "" {
			u.Organizations = []string{t.Organization}
		}
		return u, true
	}
	s := c.known.Session
	u.describe(c.auth, &s.Claims)
	u.Scopes, u.SignedInAt, u.ExpiresAt = b.scopes[:0], s.Created, c.auth.sessions.Limits.Expires(s)
	for scope := range strings.FieldsSeq(s.Scope) {
		u.Scopes = append(u.Scopes, scope)
	}
	return u, true
}

// describe sets the fields that come from claims.
func (u *User) describe(a *Auth, claims *session.Claims) {
	u.Issuer = a.issuer
	u.Subject = claims.Text(session.Subject)
	u.ProviderSessionID = claims.Text(session.SessionID)
	u.Name = claims.Text(session.Name)
	u.Username = claims.Text(session.Username)
	u.Email = claims.Text(session.Email)
	u.EmailVerified = claims.True(session.EmailVerified)
	u.PhoneNumber = claims.Text(session.PhoneNumber)
	u.Picture = claims.Text(session.Picture)
	u.Roles = claims.RolesFrom(a.roles)
	u.Organizations = claims.List(session.Organizations)
	u.OrganizationRoles = claims.List(session.OrganizationRoles)
	u.ACR = claims.Text(session.ACR)
	u.AuthTime = claims.Time(session.AuthTime)
	u.Claims = claims.JSON()
}

// clone copies the user of a test, which other tests may use as well.
func clone(u *User) *User {
	c := *u
	c.Roles, c.Organizations = slices.Clone(u.Roles), slices.Clone(u.Organizations)
	c.OrganizationRoles, c.Scopes = slices.Clone(u.OrganizationRoles), slices.Clone(u.Scopes)
	return &c
}

// ClaimsAs decodes all claims of the user who sent a request into a type of the
// application, by the rules of [encoding/json]. The error is [ErrNotSignedIn]
// if there is no user, [ErrInternal] if the context is not that of a request
// that has passed [Auth.Load], [Auth.WithRoutes] or a guard, and an error of
// encoding/json if a claim does not fit T.
//
// Logto sends null for what it does not know, which leaves a field unchanged,
// and sends updated_at and created_at in milliseconds.
func ClaimsAs[T any](ctx context.Context) (T, error) {
	var claims T
	u, ok := UserFrom(ctx)
	if !ok {
		return claims, noUser(ctx)
	}
	if len(u.Claims) == 0 { // possible for the user of a test only
		return claims, nil
	}
	if err := json.Unmarshal(u.Claims, &claims); err != nil {
		var none T
		return none, fmt.Errorf("signin: claims do not fit %T: %w", claims, err)
	}
	return claims, nil
}

type callerKey struct{}

// caller is who sent a request, for one Auth. It is also the context that
// carries this, so that both take one allocation.
type caller struct {
	context.Context
	auth     *Auth
	signedIn bool
	known    *lifecycle.Known // of the session
	token    *bearerToken     // in place of a session
	err      *Error
	header   [2]string
}

// bearerToken is an access token that a program has presented.
type bearerToken struct {
	*jwt.AccessToken
	audience string // for which it was verified
	claims   session.Claims
}

// beginning is a session that Config.OnSignIn is about to admit or refuse.
type beginning struct {
	auth    *Auth
	mu      sync.Mutex
	session *session.Session
	over    bool // OnSignIn has returned
}

type beginningKey struct{}

// hook returns what calls Config.OnSignIn, with a context that has the user.
func (a *Auth) hook() func(*http.Request, *session.Session) error {
	if a.onSignIn == nil {
		return nil
	}
	return func(r *http.Request, s *session.Session) error {
		b := &beginning{auth: a, session: s}
		defer func() { b.mu.Lock(); b.over = true; b.mu.Unlock() }()
		known := &lifecycle.Known{Session: s}
		c := &caller{Context: context.WithValue(r.Context(), beginningKey{}, b), auth: a, signedIn: true, known: known}
		u, _ := UserFrom(c)
		return a.onSignIn(r.WithContext(c), u)
	}
}

// beginningOf returns the session that is beginning in a context of OnSignIn, or nil.
func (a *Auth) beginningOf(ctx context.Context) *beginning {
	b, _ := ctx.Value(beginningKey{}).(*beginning)
	if b == nil || b.auth != a {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return nil
	}
	return b
}

// endOthers ends all sessions of the person but the one that is beginning.
func (b *beginning) endOthers(ctx context.Context, subject string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over { // since beginningOf has looked
		return b.auth.shared.EndPerson(ctx, subject)
	}
	number, err := b.auth.shared.EndBegun(ctx, subject)
	if err == nil {
		b.session.Number = number
	}
	return err
}

// foreign returns the organization within which the token of c is good. It
// returns "" for a token that is good everywhere, and for one whose audience is
// that organization.
func (c *caller) foreign() string {
	if c.token == nil || strings.HasPrefix(c.token.audience, jwt.OrganizationAudience) {
		return ""
	}
	return c.token.Organization
}

// String is for programs that print a context. Without it they would print the
// fields, and with them the session's tokens.
func (c *caller) String() string { return fmt.Sprint(c.Context) + ".WithSession" }

// GoString is String, for %#v.
func (c *caller) GoString() string { return c.String() }

// Value returns c for the key of callers, and the value of the request's own
// context for any other key.
func (c *caller) Value(key any) any {
	if key == (callerKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// mark tells caches that an answer depends on the cookie and, if the user is
// signed in, that it is private. The header's values are slices of c, because
// http.Header.Set would allocate each of them. Their capacity is used up, so
// that appending copies them.
func (c *caller) mark(w http.ResponseWriter) {
	h := w.Header()
	if c.token != nil { // cookies were not considered
		c.private(h)
		return
	}
	c.header[1] = "Cookie"
	if c.signedIn {
		c.private(h)
	}
	if h["Vary"] == nil {
		h["Vary"] = c.header[1:2:2]
		return
	}
	varyByCookie(h)
}

// private keeps an answer out of caches, unless it has a Cache-Control already.
func (c *caller) private(h http.Header) {
	if h["Cache-Control"] == nil {
		c.header[0] = "no-store"
		h["Cache-Control"] = c.header[0:1:1]
	}
}

// nearest returns the nearest caller in a context, of any Auth, or nil.
func nearest(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// ownsCookie reports whether a cookie belongs to this Auth: to a session or to
// a sign-in under way.
func (a *Auth) ownsCookie(name string) bool {
	return name == a.cookieName || strings.HasPrefix(name, a.cookieName+".")
}

// signedIn reports whether a context has a user.
func signedIn(ctx context.Context) bool {
	if v := testuser.From(ctx); v != nil {
		return v.User != nil
	}
	c := nearest(ctx)
	return c != nil && c.signedIn
}

// noUser is the error for a context without a user. If no Auth has seen the
// request, the program has a mistake, and a sign-in would not help.
func noUser(ctx context.Context) *Error {
	if nearest(ctx) == nil && testuser.From(ctx) == nil {
		return newError(ErrInternal, errors.New("signin: the context is not that of a request that has passed Load, WithRoutes or a guard"))
	}
	return newError(ErrNotSignedIn, errors.New("signin: no user in the context"))
}

// nowOf returns the time by the clock of the Auth that let a request in.
func nowOf(r *http.Request) time.Time {
	if c := nearest(r.Context()); c != nil {
		return c.auth.now()
	}
	return time.Now()
}

// loaded returns this Auth's caller if the request has been through Load.
// Callers of other Auths do not count, nor do those with a bearer token.
func (a *Auth) loaded(ctx context.Context) *caller {
	c := nearest(ctx)
	for c != nil && (c.auth != a || c.token != nil) {
		c = nearest(c.Context)
	}
	return c
}

// innermost returns the nearest caller of this Auth in a context, with a
// session or with a bearer token.
func (a *Auth) innermost(ctx context.Context) *caller {
	c := nearest(ctx)
	for c != nil && c.auth != a {
		c = nearest(c.Context)
	}
	return c
}

// caller returns who sent a request, by its bearer token if an outer guard has
// accepted one, or else by its session.
func (a *Auth) caller(w http.ResponseWriter, r *http.Request) (*http.Request, *caller) {
	// The token alone decides: a cookie must not make the request another person's.
	if c := a.innermost(r.Context()); c != nil && c.token != nil {
		return c.makeNearest(r)
	}
	return a.load(w, r)
}

// makeNearest makes c the nearest caller of a request, whose user UserFrom
// returns, even if another Auth's caller is nearer.
func (c *caller) makeNearest(r *http.Request) (*http.Request, *caller) {
	if c != nearest(r.Context()) {
		c = &caller{Context: r.Context(), auth: c.auth, signedIn: c.signedIn, known: c.known, token: c.token, err: c.err}
		r = r.WithContext(c)
	}
	return r, c
}

// noStore keeps an answer out of all caches, because it is about one person or
// sets a cookie.
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

// bearer verifies the token of a request, unless an outer guard has verified it
// for the same audience, and makes its user the nearest caller.
func (a *Auth) bearer(r *http.Request, audience string) (*http.Request, *caller, *Error) {
	if c := a.innermost(r.Context()); c != nil && c.token != nil && c.token.audience == audience {
		r, c = c.makeNearest(r)
		return r, c, nil
	}
	c := &caller{Context: r.Context(), auth: a, signedIn: true}
	if v := testuser.From(r.Context()); v != nil {
		if v.User == nil {
			return r, nil, newError(ErrNotSignedIn, nil)
		}
		return r.WithContext(c), c, nil
	}
	raw, there, err := bearer.Token(r.Header)
	switch {
	case !there, errors.Is(err, bearer.ErrScheme): // the sender may not know that a token is needed
		e := newError(ErrNotSignedIn, err)
		e.Message = "This needs an access token, in the Authorization header."
		return r, nil, e
	case err != nil:
		return r, nil, newError(ErrBadRequest, err)
	}
	verified, err := a.provider.VerifyAccessToken(r.Context(), raw, audience)
	if e := unverified(err, ErrInvalidToken); e != nil {
		return r, nil, e
	}
	claims, err := session.ParseClaims(string(verified.Payload), "", a.roles)
	if err != nil {
		return r, nil, newError(ErrInvalidToken, err)
	}
	c.token = &bearerToken{verified, audience, claims}
	return r.WithContext(c), c, nil
}

// TokenOption says what an access token is for; see [AccessToken]. The zero
// TokenOption has no effect.
type TokenOption struct{ set func(*session.Audience) }

// ForResource asks for a token for an API resource (RFC 8707), which must be one
// of Config.Resources. At Logto such a token is a JWT.
func ForResource(uri string) TokenOption {
	return TokenOption{func(a *session.Audience) { a.Resource = named(uri) }}
}

// named replaces an empty name by one that does not exist: an environment
// variable that is not set must not turn a request for an API's token into one
// for the session's own.
func named(s string) string {
	if s == "" {
		return "\x00"
	}
	return s
}

// ForOrganization asks for a token for one of the person's organizations or,
// with [ForResource], for that resource within the organization. It needs the
// scope "urn:logto:scope:organizations" in Config.Scopes. The resource that
// Logto needs as well is added automatically with LogtoEndpoint.
func ForOrganization(id string) TokenOption {
	return TokenOption{func(a *session.Audience) { a.Organization = named(id) }}
}

// AccessToken returns an access token of the person who sent the request with
// this context. Without options it is the session's own token, which the
// provider's userinfo endpoint accepts. Tokens for a resource or an
// organization are fetched when they are first asked for, kept sealed in
// Config.Shared, and fetched again Config.RefreshBefore ahead of their expiry.
// However many calls and replicas ask for a token at once, the provider is
// asked once, and it is never asked for two tokens of one session at a time.
//
// The token's RefreshToken is always empty, because a refresh token that two
// programs use ends the session. The token's scope is token.Extra("scope"). Do
// not send the token to an address that comes from a request; see [Transport].
//
// The error is an *[Error]: ErrNotSignedIn (also behind RequireBearer, where
// there is no session), ErrInternal for a context that no guard has seen, such
// as context.Background(), ErrUnknownResource, ErrScopeMissing, ErrNotMember,
// ErrMFARequired, ErrProviderUnavailable, ErrProviderMisconfigured,
// ErrProviderRejected, ErrSharedUnavailable. A session without a refresh token
// (see Config.OmitDefaultScopes) has only its own token. If the provider
// refuses a token for an audience, the next call asks it again, because that
// may change at any time. In a handler that runs for hours the session may end
// meanwhile.
func AccessToken(ctx context.Context, opts ...TokenOption) (*oauth2.Token, error) {
	audience := audienceOf(opts)
	if v := testuser.From(ctx); v != nil {
		return testUserToken(v, audience)
	}
	token, failed := sessionToken(ctx, audience, "")
	if failed != nil {
		return nil, failed
	}
	t := &oauth2.Token{AccessToken: token.Access, TokenType: "Bearer", Expiry: token.Expiry}
	return t.WithExtra(map[string]any{"scope": token.Scope}), nil
}

func audienceOf(opts []TokenOption) (audience session.Audience) {
	for _, o := range opts {
		if o.set != nil {
			o.set(&audience)
		}
	}
	return audience
}

// sessionToken returns a token of the session in a context. refused is a token
// that the audience has not accepted, or "".
func sessionToken(ctx context.Context, audience session.Audience, refused string) (*session.Token, *Error) {
	c := nearest(ctx)
	switch {
	case c == nil || !c.signedIn:
		return nil, noUser(ctx)
	case c.token != nil:
		return nil, newError(ErrNotSignedIn, errors.New("signin: the request came with a bearer token, and has no session to get others from"))
	case audience.Organization != "" && !slices.Contains(c.auth.scopes, organizationsScope):
		// A provider that does not know organizations may ignore the parameter,
		// and give a token that is good everywhere.
		return nil, newError(ErrScopeMissing, errors.New("signin: ForOrganization needs the scope "+organizationsScope))
	case audience.Organization == named(""):
		return nil, newError(ErrNotMember, errors.New("signin: ForOrganization needs an organization"))
	case audience.Resource != "" && !slices.Contains(c.auth.resources, audience.Resource):
		return nil, newError(ErrUnknownResource, fmt.Errorf("signin: %q is not one of Config.Resources", audience.Resource))
	}
	if c.auth.beginningOf(ctx) != nil {
		if audience != (session.Audience{}) || refused != "" {
			return nil, newError(ErrInternal, errors.New("signin: in OnSignIn there is no token but the sign-in's own"))
		}
		s := c.known.Session
		return &session.Token{Access: s.AccessToken.String(), Scope: s.Scope, Expiry: s.AccessExpiry}, nil
	}
	token, err := c.auth.sessions.Token(ctx, c.known, audience, refused)
	if err != nil {
		return nil, tokenError(ctx, err)
	}
	return token, nil
}

// testUserToken returns the token of a test's user for an audience.
func testUserToken(v *testuser.Value, audience session.Audience) (*oauth2.Token, error) {
	if v.User == nil {
		return nil, newError(ErrNotSignedIn, errors.New("signin: the test's user is nil"))
	}
	for _, t := range v.Tokens {
		if opts, ok := t.Options.([]TokenOption); ok && audienceOf(opts) == audience {
			// The scope of an opaque token is not known here.
			claims, _ := UnverifiedClaims[struct{ Scope string }](t.Access)
			token := &oauth2.Token{AccessToken: t.Access, TokenType: "Bearer"}
			return token.WithExtra(map[string]any{"scope": claims.Scope}), nil
		}
	}
	return nil, newError(ErrUnknownResource, errors.New("signin: the test's user has no such token; see signintest.WithAccessToken"))
}

// tokenError translates an error of package lifecycle about an access token.
func tokenError(ctx context.Context, err error) *Error {
	var pe *provider.Error
	switch {
	case errors.Is(err, lifecycle.ErrNoRefreshToken):
		return newError(ErrProviderMisconfigured, err)
	case refresh.Over(err):
		return newError(ErrNotSignedIn, err)
	case ctx.Err() != nil, err == context.DeadlineExceeded, // while waiting for another replica
		errors.Is(err, refresh.ErrResting) && !errors.As(err, &pe):
		return newError(ErrProviderUnavailable, err)
	case !errors.As(err, &pe), errors.Is(err, refresh.ErrFinal): // an end that could not be written
		return newError(ErrSharedUnavailable, err)
	case pe.Kind != provider.Refused:
		return providerError(err)
	case !errors.Is(err, refresh.ErrRefused): // of a plain refresh, which names no audience
		return newError(ErrProviderMisconfigured, err)
	case pe.WantsMFA:
		return newError(ErrMFARequired, err)
	}
	// The first code is that of https://www.rfc-editor.org/rfc/rfc8707#section-2,
	// the others are Logto's.
	switch pe.OAuthCode {
	case "invalid_target":
		return newError(ErrUnknownResource, err)
	case "insufficient_scope", "invalid_scope":
		return newError(ErrScopeMissing, err)
	case "access_denied":
		return newError(ErrNotMember, err)
	}
	return newError(ErrProviderMisconfigured, err)
}

// WhileSignedIn returns a context for a response that takes long, server-sent events or a
// WebSocket, of the user who sent the request with ctx. It is done when that user is not
// signed in any more, when ctx is done, or when the function is called. The caller must
// call it, from any goroutine, or the session is looked after until ctx is done. Without
// WhileSignedIn, a response that has begun goes on after the session has ended.
//
//	ctx, cancel := auth.WhileSignedIn(r.Context(), 0)
//	defer cancel()
//	for {
//		select {
//		case m := <-messages:
//			rc.SetWriteDeadline(time.Now().Add(10 * time.Second)) // rc := http.NewResponseController(w)
//			fmt.Fprintf(w, "data: %s\n\n", m)
//			rc.Flush()
//		case <-ctx.Done():
//			return // an EventSource comes back by itself; if it gets 401 or 503, it stops
//		}
//	}
//
// Without the deadline, a browser that does not read holds the handler in a write, where it
// does not notice the end. The deadline replaces that of [http.Server.WriteTimeout].
//
// Every is how late an end may be noticed: 30 seconds if it is zero, at least 5 seconds. In
// that time the session is looked up once in shared state, however many streams of it there
// are in this process, and refreshed when that is due: the shortest time of them decides.
//
// A stream sets no cookie. So after a quarter to a half of Config.IdleTimeout the cause is
// [context.DeadlineExceeded]: a browser that comes back then gets one, and stays signed in.
// That a session was deleted from Config.Store is noticed no earlier.
//
// [context.Cause] is an *[Error], unless this, ctx or the function has ended the context:
//
//   - [ErrNotSignedIn]: the session has ended, as Event.Reason says (a sign-in or step-up
//     in the same browser replaces it), or there was no user to begin with
//   - [ErrInvalidToken]: behind [Auth.RequireBearer], the token has expired
//   - [ErrSharedUnavailable]: for a minute it was not known whether the session goes on
//   - [ErrProviderUnavailable] or [ErrProviderMisconfigured]: the session was not refreshed
//     for Config.MaxOffline
//   - [ErrInternal]: ctx is not that of a request that has passed [Auth.Load],
//     [Auth.WithRoutes] or a guard
//
// The user of a test stays signed in.
func (a *Auth) WhileSignedIn(ctx context.Context, every time.Duration) (context.Context, context.CancelFunc) {
	if v := testuser.From(ctx); v != nil && v.User != nil {
		return context.WithCancel(ctx)
	}
	c := a.innermost(ctx)
	switch {
	case c == nil || !c.signedIn:
		done, cancel := context.WithCancelCause(ctx)
		cancel(noUser(ctx))
		return done, func() {}
	case c.token != nil:
		expired := newError(ErrInvalidToken, errors.New("signin: the access token has expired during the response"))
		return context.WithDeadlineCause(ctx, time.Now().Add(c.token.Expiry.Sub(a.now())), expired)
	}
	return a.sessions.Watch(ctx, c.known, every, streamError)
}

// streamError is the cause of a stream's end.
func streamError(err error) error {
	if _, ended := errors.AsType[*lifecycle.Ended](err); ended {
		return newError(ErrNotSignedIn, err)
	}
	return sessionError(context.Background(), err)
}

// Transport calls an API in the name of the user in each request's context. It
// adds the access token of [AccessToken], with the same options, to requests to
// one origin ("https://api.example.com") and to no other. Make it once, and
// keep it:
//
//	orders := &http.Client{Timeout: 10 * time.Second, Transport: signin.Transport("https://api.example.com", signin.ForResource(api))}
//	…
//	req, err := http.NewRequestWithContext(r.Context(), "GET", "https://api.example.com/orders", nil)
//
// It also works for [net/http/httputil.ReverseProxy], whose requests have the
// context of the incoming ones. Use Rewrite and SetURL there, because a request
// whose Host is not that of its URL gets no token. Nor does one whose URL is opaque
// or names a user.
//
// The Authorization header is removed from every request, and so are the
// cookies of each Auth that the incoming request has passed; cookies of another
// Auth on the same host are not. Requests to other origins are sent without a
// token, and so are redirects to them. (A resource is a name, not an address:
// the token does not say which origin may have it.) A request whose context has
// no user fails.
//
// Behind a guard, a ReverseProxy adds the API's Cache-Control to the guard's
// no-store. To keep only one of them, set the header in ModifyResponse.
//
// A request that is answered 401 with invalid_token is sent once more with a
// new token if its body can be sent again, as http.NewRequest provides for the
// usual ones. If there is no token, the request fails with the error of
// AccessToken, which an [http.Client] wraps; [Auth.HandleError] answers it.
//
// Transport panics if origin is not an origin, or is not https (except on
// localhost, 127.0.0.0/8 and ::1).
func Transport(origin string, opts ...TokenOption) http.RoundTripper {
	u, err := settings.Origin(origin)
	if err != nil {
		panic("signin: Transport: the origin " + err.Error())
	}
	return &userTransport{origin: u, audience: audienceOf(opts)}
}

type userTransport struct {
	origin   *url.URL
	audience session.Audience
}

// RoundTrip implements [http.RoundTripper].
func (t *userTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	out, base := r.Clone(r.Context()), http.DefaultTransport
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Del("Authorization")
	if c := nearest(r.Context()); c != nil {
		base = c.auth.transport
	}
	for c := nearest(r.Context()); c != nil; c = nearest(c.Context) {
		out.Header["Cookie"] = cookie.Without(out.Header["Cookie"], c.auth.ownsCookie)
	}
	if !signedIn(r.Context()) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, noUser(r.Context())
	}
	resp, err := (&bearer.Transport{Base: base, Origin: t.origin, Token: t.token}).RoundTrip(out)
	if err == nil {
		resp.Request = r // CheckRedirect functions must not see the token
	}
	return resp, err
}

// token returns a token of the user in a context that is not the refused one.
func (t *userTransport) token(ctx context.Context, refused string) (string, error) {
	if v := testuser.From(ctx); v != nil {
		token, err := testUserToken(v, t.audience)
		if err != nil {
			return "", err
		}
		return token.AccessToken, nil
	}
	token, failed := sessionToken(ctx, t.audience, refused)
	if failed != nil {
		return "", failed
	}
	return token.Access, nil
}

// FetchUserInfo asks the provider's userinfo endpoint about the person who sent
// a request. Each call is one request to the provider. The answer is decoded
// into a type of the application, by the rules of [encoding/json]. An answer
// about another person is refused. Claims that only a verified token can state,
// such as "acr", "auth_time" and "sid", are not in it; see [ClaimsAs].
//
// Logto has claims that are in userinfo only: "custom_data", with that scope,
// "identities" (by connector target: "naver", "x") and "sso_identities", both with
// the scope "identities", and "organization_data", with the scope
// "urn:logto:scope:organizations". The example has a type for them.
//
// The error is an *[Error] as for [AccessToken], ErrProviderRejected for an
// answer that breaks a rule or a person the provider no longer knows, and
// an error of encoding/json if a claim does not fit T.
func FetchUserInfo[T any](ctx context.Context) (T, error) {
	var info, none T
	raw, err := userInfo(ctx)
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		return none, fmt.Errorf("signin: userinfo does not fit %T: %w", info, err)
	}
	return info, nil
}

// userInfo returns the provider's answer.
func userInfo(ctx context.Context) ([]byte, error) {
	if v := testuser.From(ctx); v != nil {
		u, _ := v.User.(*User)
		if u == nil {
			return nil, newError(ErrNotSignedIn, errors.New("signin: the test's user is nil"))
		}
		return testUserInfo(u), nil
	}
	token, failed := sessionToken(ctx, session.Audience{}, "")
	if failed != nil {
		return nil, failed
	}
	c := nearest(ctx) // sessionToken has found it
	subject := c.known.Session.Claims.Text(session.Subject)
	raw, err := c.auth.provider.UserInfo(ctx, token.Access, subject)
	var pe *provider.Error
	if errors.As(err, &pe) && pe.Status == http.StatusUnauthorized {
		// The token may have been revoked, or have expired a moment ago.
		if token, failed = sessionToken(ctx, session.Audience{}, token.Access); failed != nil {
			return nil, failed
		}
		raw, err = c.auth.provider.UserInfo(ctx, token.Access, subject)
	}
	if err != nil {
		return nil, providerError(err)
	}
	return tokens.WithoutToken(raw)
}

// testUserInfo returns the userinfo of a test's user: the fields, and the
// claims, which take precedence.
func testUserInfo(u *User) []byte {
	info := map[string]any{"sub": u.Subject, "email_verified": u.EmailVerified}
	for name, text := range map[string]string{
		"name": u.Name, "username": u.Username, "email": u.Email, "phone_number": u.PhoneNumber, "picture": u.Picture,
	} {
		if text != "" {
			info[name] = text
		}
	}
	var claims map[string]json.RawMessage
	_ = json.Unmarshal(u.Claims, &claims) // what is not an object adds nothing
	for name, value := range claims {
		info[name] = value
	}
	raw, _ := json.Marshal(info) // all values are JSON
	return raw
}

// UnverifiedClaims decodes the claims of a JWT, usually an access token for an
// API, without verifying its signature. Use it for tokens that this application
// got from the provider. It proves nothing about a token that came with a
// request; for those there is [Auth.RequireBearer].
func UnverifiedClaims[T any](token string) (T, error) {
	var claims, none T
	jwt, ok := session.SplitJWT(token)
	if !ok {
		return none, errors.New("signin: the token is not a JWT; at Logto, only those with ForResource or ForOrganization are")
	}
	if err := json.Unmarshal([]byte(jwt.Payload), &claims); err != nil {
		return none, fmt.Errorf("signin: claims do not fit %T: %w", claims, err)
	}
	return claims, nil
}

// Check judges a user by a rule within a handler, behind a guard. The error is
// an *[Error] that [Auth.HandleError] answers as the guard would. A step-up
// also asks for what the guards around the handler demand, but two calls of
// Check do not know of each other: to ask for both, put both rules into one
// guard.
//
//	if err := canRefund.Check(r, user); auth.HandleError(w, r, err) {
//		return
//	}
func (rule Rule) Check(r *http.Request, u *User) error {
	g := newGuard([]Rule{rule})
	if u == nil {
		return noUser(r.Context())
	}
	var auth *Auth
	if c := nearest(r.Context()); c != nil {
		auth = c.auth
	}
	if _, _, refused := g.judge(auth, r, candidate{User: u}); refused != nil {
		return refused
	}
	return nil
}

// HandleError answers a request with an error of this package, as a guard does,
// and reports whether it has: it ignores other errors, and nil. It is for
// handlers that have one from [AccessToken], from a request through
// [Transport], from [FetchUserInfo], [Rule.Check] or [Auth.EndSessions]. A person
// whose session has ended meanwhile is sent to sign in; other errors get the page
// or problem document of their status.
//
//	resp, err := client.Do(req)
//	if auth.HandleError(w, r, err) {
//		return
//	}
//
// In the ErrorHandler of a [net/http/httputil.ReverseProxy] give it the request
// that ErrorHandler was given. Nothing may have been written to w.
func (a *Auth) HandleError(w http.ResponseWriter, r *http.Request, err error) bool {
	e, code := new(Error), Code("")
	switch {
	case errors.As(err, &e):
		if e == nil {
			return false
		}
	case !errors.As(err, &code):
		return false
	}
	e = asRefusal(err)
	u, ok := UserFrom(r.Context())
	if !ok {
		u = new(User)
	}
	if e.Code == ErrNotSignedIn && !e.ofRule && !a.hasToken(r) {
		a.refuseNotSignedIn(w, r, requestkind.Of(r), authflow.Demand{}, "", false)
		return true
	}
	a.refuse(w, r, u, e)
	return true
}
