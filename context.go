package signin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/gosignin/signin/internal/bearer"
	"github.com/gosignin/signin/internal/page"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/settings"
	"github.com/gosignin/signin/internal/testuser"
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
	// What rules that hold leave behind for whoever asked them: that machines may
	// pass (see Machines); that the organization was asked for which a bearer token
	// was made for; and which step-ups are met. They stand where there is room.
	machineWelcome, withinOrganization bool
	// Machine says that there is no person: Subject is an application that got a
	// token for itself. Only behind [Auth.RequireBearer], and with the rule [Machines].
	Machine     bool
	PhoneNumber string // with the scope "phone"
	Picture     string // a URL from the provider: display it, do not fetch it

	// Roles, Organizations and OrganizationRoles ("<organization>:<role>") are
	// there when their scopes were asked for: "roles",
	// "urn:logto:scope:organizations", "urn:logto:scope:organization_roles".
	Roles             []string
	Organizations     []string
	OrganizationRoles []string
	// Scopes are those that were granted with the default access token, or,
	// behind [Auth.RequireBearer], with the token that came.
	Scopes []string

	// ACR is the class of the person's authentication, AuthTime when it was; a
	// provider need not say either. Logto sends AuthTime only if [MaxAge] was asked for.
	ACR      string
	AuthTime time.Time

	// SignedInAt is when this session began, and ExpiresAt when it ends unless
	// it is used again: the earlier of Config.IdleTimeout after its last
	// written use and Config.MaxLifetime after its beginning. Behind
	// [Auth.RequireBearer] they are when the token was made, and when it expires.
	SignedInAt time.Time
	ExpiresAt  time.Time

	// Claims are all claims, a JSON object. See [ClaimsAs].
	Claims json.RawMessage

	met *stepUp
}

// UserFrom returns the user a request comes from, given its context, and false
// if nobody is signed in or the request did not pass through [Auth.Load],
// [Auth.WithRoutes] or a guard. Where several Auths are nested it speaks of the
// innermost. Behind a guard it never returns false, unless another Auth's Load
// stands between.
//
// Claims are those of the last verified ID token: at the sign-in, or at the
// last refresh. A role that was taken away since is still there.
func UserFrom(ctx context.Context) (*User, bool) {
	if v := testuser.From(ctx); v != nil {
		u, _ := v.User.(*User)
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
	if s.bearer != nil {
		s.bearer.describe(&b.User)
	}
	return &b.User, true
}

// clone copies a test's user, which other tests may use too.
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

// TokenOption says what an access token is for; see [AccessToken].
type TokenOption func(*record.Audience)

// ForResource asks for a token for an API resource, which must be one of
// Config.Resources (RFC 8707): a JWT, at Logto.
func ForResource(uri string) TokenOption {
	return func(a *record.Audience) { a.Resource = named(uri) }
}

// named makes of no name one that nothing has: an environment variable that is not
// set must not turn a token for an API into the session's own.
func named(s string) string {
	if s == "" {
		return "\x00"
	}
	return s
}

// ForOrganization asks for a token for an organization of the person's, or, with
// [ForResource], for that resource within the organization. It needs the scope
// "urn:logto:scope:organizations" in Config.Scopes.
func ForOrganization(id string) TokenOption {
	return func(a *record.Audience) { a.Organization = named(id) }
}

// AccessToken returns an access token of the person a request comes from, given
// its context. Without options it is the session's own, which the provider's
// userinfo endpoint takes; tokens for a resource or an organization are fetched
// when they are first asked for, kept sealed in Config.Shared, and fetched again
// Config.RefreshBefore ahead of their expiry. However many calls and replicas ask
// for one at once, the provider is asked once, and never for two of one session
// at a time.
//
// The token's RefreshToken is always empty: two users of one end the session. Its
// scope is token.Extra("scope"). Do not send it to an address that comes from a
// request; see [Client].
//
// The error is an *[Error]: ErrNotSignedIn (also behind RequireBearer, where there
// is no session), ErrUnknownResource, ErrScopeMissing, ErrNotMember,
// ErrMFARequired, ErrProviderUnavailable, ErrProviderMisconfigured,
// ErrProviderRejected, ErrSharedUnavailable. Without a refresh token (see
// Config.OmitDefaultScopes) only the session's own can be had. That there is no token for an audience
// is asked of the provider each time, since that may change at any time. A handler that runs for hours may find its session gone.
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

func audienceOf(opts []TokenOption) (audience record.Audience) {
	for _, o := range opts {
		if o != nil {
			o(&audience)
		}
	}
	return audience
}

// sessionToken returns a token of the session in a context.
func sessionToken(ctx context.Context, audience record.Audience, refused string) (*record.Token, *Error) {
	s, _ := ctx.Value(sessionKey{}).(*session)
	switch {
	case s == nil || !s.signedIn:
		return nil, newError(ErrNotSignedIn, errors.New("signin: no user in the context"))
	case s.bearer != nil:
		return nil, newError(ErrNotSignedIn, errors.New("signin: the request came with a bearer token, and has no session to get others from"))
	}
	return s.auth.accessToken(ctx, s, audience, refused)
}

// testUserToken returns the token of a test's user for an audience.
func testUserToken(v *testuser.Value, audience record.Audience) (*oauth2.Token, error) {
	if v.User == nil {
		return nil, newError(ErrNotSignedIn, errors.New("signin: no user in the context"))
	}
	for _, t := range v.Tokens {
		if opts, ok := t.Options.([]TokenOption); ok && audienceOf(opts) == audience {
			// What an opaque one permits is not to be known here.
			claims, _ := UnverifiedClaims[struct{ Scope string }](t.Access)
			token := &oauth2.Token{AccessToken: t.Access, TokenType: "Bearer"}
			return token.WithExtra(map[string]any{"scope": claims.Scope}), nil
		}
	}
	return nil, newError(ErrUnknownResource, errors.New("signin: the test's user has no such token; see signintest.WithAccessToken"))
}

// Client returns an HTTP client that calls an API as the person a request comes
// from, given its context: with the access token of [AccessToken] and the same
// options, to one origin ("https://api.example.com") and to no other. Requests to
// other origins go out without it, redirects to them included. (A resource is a
// name, and not an address: which origin may have the token is not for the token
// to say.)
//
// An answer of 401 that says invalid_token is tried once more with a new token, if
// the body can be sent again (http.NewRequest sees to that for the usual ones).
// If there is no token, the request fails with the error of AccessToken, inside a
// *url.Error. The client has no time-out of its own: set one, or use contexts.
//
// An origin that is none, or is not https (except on localhost, 127.0.0.0/8 and
// ::1), makes every request fail: that is a mistake in the program or its settings.
func Client(ctx context.Context, origin string, opts ...TokenOption) *http.Client {
	audience := audienceOf(opts)
	t := &bearer.Transport{Base: http.DefaultTransport, Token: func(ctx context.Context, refused string) (string, error) {
		if testuser.From(ctx) != nil {
			token, err := AccessToken(ctx, opts...)
			if err != nil {
				return "", err
			}
			return token.AccessToken, nil
		}
		token, failed := sessionToken(ctx, audience, refused)
		if failed != nil {
			return "", failed
		}
		return token.Access, nil
	}, Context: ctx}
	if s, _ := ctx.Value(sessionKey{}).(*session); s != nil {
		t.Base = s.auth.transport
	}
	var err error
	if t.Origin, err = settings.Origin(origin); err != nil {
		t.Mistake = fmt.Errorf("signin: Client: the origin %w", err)
	}
	return &http.Client{Transport: t}
}

// UserInfo is what the provider's userinfo endpoint says of a person.
type UserInfo struct {
	Subject             string `json:"sub"`
	Name                string `json:"name"`
	Username            string `json:"username"` // or else "preferred_username"
	Email               string `json:"email"`
	EmailVerified       bool   `json:"email_verified"`
	PhoneNumber         string `json:"phone_number"`
	PhoneNumberVerified bool   `json:"phone_number_verified"`
	Picture             string `json:"picture"`

	// What only Logto has, and userinfo alone, each with its scope:
	// "custom_data", "identities" (by connector target: "naver", "x"),
	// "sso_identities", "urn:logto:scope:organization_data".
	CustomData       json.RawMessage     `json:"custom_data"`
	Identities       map[string]Identity `json:"identities"`
	SSOIdentities    []SSOIdentity       `json:"sso_identities"`
	OrganizationData []Organization      `json:"organization_data"`

	// Claims are all of them, a JSON object.
	Claims json.RawMessage `json:"-"`
}

// Identity is an account of a person at a social connector.
type Identity struct {
	UserID  string          `json:"userId"`
	Details json.RawMessage `json:"details"`
}

// SSOIdentity is an account of a person at an enterprise's provider.
type SSOIdentity struct {
	Issuer     string          `json:"issuer"`
	IdentityID string          `json:"identityId"`
	Detail     json.RawMessage `json:"detail"`
}

// Organization is one that a person belongs to.
type Organization struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// FetchUserInfo asks the provider's userinfo endpoint about the person a request
// comes from, now: one request each time. An answer about anybody else is
// refused. Claims of a type that UserInfo does not expect are left out of its
// fields, and stand in Claims.
//
// The error is an *[Error] as for [AccessToken], and ErrProviderRejected for an
// answer that is not to be believed, or a person whom the provider does not know
// any more.
func FetchUserInfo(ctx context.Context) (*UserInfo, error) {
	if v := testuser.From(ctx); v != nil {
		u, _ := v.User.(*User)
		if u == nil {
			return nil, newError(ErrNotSignedIn, errors.New("signin: no user in the context"))
		}
		return testUserInfo(u), nil
	}
	token, failed := sessionToken(ctx, record.Audience{}, "")
	if failed != nil {
		return nil, failed
	}
	s := ctx.Value(sessionKey{}).(*session) // sessionToken has found it
	subject := s.summary.Claim(record.Subject)
	raw, err := s.auth.provider.UserInfo(ctx, token.Access, subject)
	var pe *provider.Error
	if errors.As(err, &pe) && pe.Status == http.StatusUnauthorized {
		// It may have been revoked, or expired a moment ago.
		if token, failed = sessionToken(ctx, record.Audience{}, token.Access); failed != nil {
			return nil, failed
		}
		raw, err = s.auth.provider.UserInfo(ctx, token.Access, subject)
	}
	if err != nil {
		return nil, providerError(err)
	}
	return userInfo(raw), nil
}

// userInfo decodes what it can: one claim of a wrong type must not hide the
// others. Names are compared to the letter, as those of an ID token.
func userInfo(raw []byte) *UserInfo {
	var claims map[string]json.RawMessage
	_ = json.Unmarshal(raw, &claims) // it is an object, or there is nothing to decode
	return &UserInfo{
		Subject:             claimAs[string](claims["sub"]),
		Name:                claimAs[string](claims["name"]),
		Username:            cmp.Or(claimAs[string](claims["username"]), claimAs[string](claims["preferred_username"])),
		Email:               claimAs[string](claims["email"]),
		EmailVerified:       claimAs[bool](claims["email_verified"]),
		PhoneNumber:         claimAs[string](claims["phone_number"]),
		PhoneNumberVerified: claimAs[bool](claims["phone_number_verified"]),
		Picture:             claimAs[string](claims["picture"]),
		CustomData:          claimAs[json.RawMessage](claims["custom_data"]),
		Identities:          claimAs[map[string]Identity](claims["identities"]),
		SSOIdentities:       claimAs[[]SSOIdentity](claims["sso_identities"]),
		OrganizationData:    claimAs[[]Organization](claims["organization_data"]),
		Claims:              raw,
	}
}

// claimAs decodes a claim; one that is absent, null or of another type is a zero
// value, and not half of one.
func claimAs[T any](raw json.RawMessage) (value T) {
	var decoded T
	if string(raw) == "null" || json.Unmarshal(raw, &decoded) != nil {
		return value
	}
	return decoded
}

// testUserInfo is what userinfo says of a test's user: the claims, and the fields
// beside them.
func testUserInfo(u *User) *UserInfo {
	info := userInfo(u.Claims)
	info.Subject, info.Name, info.Username = cmp.Or(info.Subject, u.Subject), cmp.Or(info.Name, u.Name), cmp.Or(info.Username, u.Username)
	info.Email, info.EmailVerified = cmp.Or(info.Email, u.Email), info.EmailVerified || u.EmailVerified
	info.PhoneNumber, info.Picture = cmp.Or(info.PhoneNumber, u.PhoneNumber), cmp.Or(info.Picture, u.Picture)
	return info
}

// UnverifiedClaims decodes the claims of a JWT, of an access token for an API
// most often, without looking at its signature: it tells what the provider put
// into a token that this application has got from it, and proves nothing about
// one that somebody has sent. For those there is [Auth.RequireBearer].
func UnverifiedClaims[T any](token string) (T, error) {
	var claims, none T
	jwt, ok := record.SplitJWT(token)
	if !ok {
		return none, errors.New("signin: the token is not a JWT; at Logto, a token without ForResource or ForOrganization is none")
	}
	if err := json.Unmarshal([]byte(jwt.Payload), &claims); err != nil {
		return none, fmt.Errorf("signin: claims do not fit %T: %w", claims, err)
	}
	return claims, nil
}

// Rule decides whether a user may make a request: nil allows it. The status of an
// *[Error] is the answer's, and its Message is shown to people; any other error is
// 403, and goes to Config.OnEvent alone. It may look at the request (an organization in
// its path, say) and at anything else (a database). See [Auth.Require].
type Rule func(r *http.Request, u *User) error

// HasRole holds for people with a role. It needs the scope "roles".
func HasRole(role string) Rule {
	return func(_ *http.Request, u *User) error { return needs(u.Roles, "role", role) }
}

// HasScope holds if a scope was granted: with the sign-in, or, behind
// [Auth.RequireBearer], with the token that came. For sessions that is what the
// application may ask for (at Logto never a permission of an API, at many providers
// whatever it has asked), and says nothing of what the person may do: ask for a role
// there.
func HasScope(scope string) Rule {
	return func(_ *http.Request, u *User) error {
		err := needs(u.Scopes, "scope", scope)
		if e, ok := err.(*Error); ok {
			e.scope = scope
		}
		return err
	}
}

// MemberOf holds for members of an organization, by its ID, and for tokens that
// were made for it. It needs the scope "urn:logto:scope:organizations".
//
// For an organization in the path:
//
//	func(r *http.Request, u *signin.User) error {
//		return signin.MemberOf(r.PathValue("organization"))(r, u)
//	}
func MemberOf(organization string) Rule {
	return func(_ *http.Request, u *User) error {
		err := needs(u.Organizations, "membership in", organization)
		u.withinOrganization = u.withinOrganization || err == nil
		return err
	}
}

// HasOrganizationRole holds for people with a role in an organization. It needs
// the scope "urn:logto:scope:organization_roles".
func HasOrganizationRole(organization, role string) Rule {
	return func(_ *http.Request, u *User) error {
		// "a:b" with "c" is not "a" with "b:c".
		if strings.Contains(organization, ":") || organization == "" || role == "" {
			return needs(nil, "role", role)
		}
		return needs(u.OrganizationRoles, "organization role", organization+":"+role)
	}
}

// needs reports what is missing; nobody has what has no name. People read it only
// if it is one word: an organization may come from the request's path, and nobody
// shall write sentences into this application's pages.
func needs(has []string, kind, value string) error {
	if value != "" && slices.Contains(has, value) {
		return nil
	}
	e := newError(ErrForbidden, fmt.Errorf("signin: needs the %s %q", kind, value))
	switch {
	case !oneWord(value):
	case kind == "scope": // the account may have the permission, and the application not have asked for it
		e.Message = "This needs the scope " + value + ", which was not granted."
	default:
		e.Message = "You are signed in, but this needs the " + kind + " " + value +
			", which your account does not have; if it should, ask whoever runs this application."
	}
	return e
}

func oneWord(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:-"
	return s != "" && len(s) <= 64 && strings.Trim(s, letters) == ""
}

// AnyOf holds if one of the rules does. If none does, the error is that of the
// first, but for one that a step-up would meet: then people are asked for that.
func AnyOf(rules ...Rule) Rule {
	mustBeRules(rules)
	return func(r *http.Request, u *User) error {
		var first error
		for _, rule := range rules {
			before := *u
			u.machineWelcome = false // a Machines beside AnyOf says nothing of one inside
			err := rule(r, u)
			if err == nil && u.machineWelcome && !u.Machine {
				// Machines holds for machines; to a person it grants nothing.
				err = newError(ErrForbidden, errors.New("signin: needs a machine's token"))
			}
			if err == nil {
				u.machineWelcome = u.machineWelcome || before.machineWelcome
				return nil
			}
			// Of several rules in one, the first may have held.
			u.machineWelcome, u.withinOrganization, u.met = before.machineWelcome, before.withinOrganization, before.met
			if first == nil || stepUpOf(first) == nil && stepUpOf(err) != nil {
				first = err
			}
		}
		if first == nil { // of no rules, none holds
			return newError(ErrForbidden, errors.New("signin: AnyOf has no rules"))
		}
		return first
	}
}

// mustBeRules panics for a rule that is nil, when it is mounted.
func mustBeRules(rules []Rule) {
	if slices.ContainsFunc(rules, func(rule Rule) bool { return rule == nil }) {
		panic("signin: a Rule is nil")
	}
}

// stepUp is what a person has to do before a request is allowed, or has done. It
// is not changed once it is made.
type stepUp struct {
	maxAge      time.Duration
	maxAgeAsked bool
	acr         []string
}

// and returns the demand that meets s, which may be nil, and o. It is not possible
// if they have no class of authentication in common.
func (s *stepUp) and(o *stepUp) (both *stepUp, possible bool) {
	if s == nil {
		return o, true
	}
	b := *s
	if o.maxAgeAsked && (!b.maxAgeAsked || o.maxAge < b.maxAge) {
		b.maxAge, b.maxAgeAsked = o.maxAge, true
	}
	switch {
	case len(b.acr) == 0:
		b.acr = o.acr
	case len(o.acr) > 0:
		b.acr = slices.DeleteFunc(slices.Clone(b.acr), func(class string) bool { return !slices.Contains(o.acr, class) })
		possible = len(b.acr) > 0
		return &b, possible
	}
	return &b, true
}

func stepUpOf(err error) *stepUp {
	var e *Error
	if errors.As(err, &e) {
		return e.stepUp
	}
	return nil
}

// clockSkew is how far the provider's clock may be off, as for ID tokens.
const clockSkew = time.Minute

// SignedInWithin holds for people who have authenticated no longer ago than d,
// give or take a minute, by what clocks may differ. For others a page is a step-up: they are sent
// to the provider, which asks them again, and come back. It is for what must not happen at a
// browser that somebody left open. Guard the page with the form as well as the
// handler that the form is sent to: a form cannot be sent again after a sign-in.
//
// Only the provider's word counts (auth_time). If it does not give it though it
// was asked (max_age), the step-up ends with an error page, once, and not in a loop.
// Logto gives it only when asked: whoever has signed in without [MaxAge] is asked
// once more, however fresh that is.
//
// SignedInWithin panics if d is less than zero. Zero asks for an authentication
// within the last minute; each page view is not to be one.
func SignedInWithin(d time.Duration) Rule {
	if d < 0 {
		panic("signin: SignedInWithin needs zero or more")
	}
	demand := &stepUp{maxAge: d, maxAgeAsked: true}
	return func(r *http.Request, u *User) error {
		if age := nowOf(r).Sub(u.AuthTime); !u.AuthTime.IsZero() && age-clockSkew <= d && age >= -clockSkew {
			return u.meets(demand)
		}
		e := newError(ErrStepUpRequired, fmt.Errorf("signin: needs an authentication within %v", d))
		e.stepUp = demand
		return e
	}
}

// meets notes a demand that a user meets. Providers may state class and time of an
// authentication only if they are asked for both: a step-up for another rule must
// ask for these again, or what it brings meets that rule, and no longer this one.
func (u *User) meets(demand *stepUp) error {
	both, possible := u.met.and(demand)
	if possible { // else the user has one class that is in both, and no two rules can say so
		u.met = both
	}
	return nil
}

// ACR holds for people whose authentication is of one of these classes, and asks
// others for a step-up, as [SignedInWithin] does. It panics if there are none, or
// one that is no single word.
func ACR(values ...string) Rule {
	values = slices.Clone(values)
	if len(values) == 0 || slices.ContainsFunc(values, func(s string) bool { return len(strings.Fields(s)) != 1 || s != strings.TrimSpace(s) }) {
		panic("signin: ACR needs classes of authentication, each a word")
	}
	demand := &stepUp{acr: values}
	return func(_ *http.Request, u *User) error {
		if u.ACR != "" && slices.Contains(values, u.ACR) {
			return u.meets(demand)
		}
		e := newError(ErrStepUpRequired, fmt.Errorf("signin: needs an authentication of class %q", values))
		e.stepUp = demand
		return e
	}
}

// nowOf is the clock of the Auth that has let a request in.
func nowOf(r *http.Request) time.Time {
	if s, _ := r.Context().Value(sessionKey{}).(*session); s != nil {
		return s.auth.now()
	}
	return time.Now()
}

// Machines lets machines in as well: tokens that an application got for itself,
// without a person. Without this rule [Auth.RequireBearer] refuses them. It holds
// for people too, since it asks nothing of them, but not inside [AnyOf]:
// AnyOf(Machines(), HasRole("admin")) is for machines and administrators.
func Machines() Rule {
	return func(_ *http.Request, u *User) error {
		u.machineWelcome = true
		return nil
	}
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
	// ErrUnknownResource (500): an access token was asked for a resource that is
	// not one of Config.Resources, or was not when the person signed in, or that the
	// provider does not know.
	ErrUnknownResource Code = "unknown_resource"
	// ErrScopeMissing (500): an access token was asked for an organization, and
	// the scope "urn:logto:scope:organizations" is not one of Config.Scopes, or was
	// not when the person signed in.
	ErrScopeMissing Code = "scope_missing"
	// ErrNotMember (403): the person does not belong to the organization that an
	// access token was asked for.
	ErrNotMember Code = "not_member"
	// ErrMFARequired (403): the organization that an access token was asked for
	// wants its members to have a second factor, and the person has none.
	ErrMFARequired Code = "mfa_required"
	// ErrStepUpRequired (401): the person has to sign in again, or in another
	// way, before this; see [SignedInWithin] and [ACR].
	ErrStepUpRequired Code = "step_up_required"
	// ErrStepUpFailed (403): the person was asked to sign in again, and what the
	// provider says about that is not what was asked for.
	ErrStepUpFailed Code = "step_up_failed"
	// ErrInvalidToken (401): a bearer token is not one of this provider's for this
	// API, or has expired.
	ErrInvalidToken Code = "invalid_token"
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
	ErrUnknownResource:       http.StatusInternalServerError,
	ErrScopeMissing:          http.StatusInternalServerError,
	ErrNotMember:             http.StatusForbidden,
	ErrMFARequired:           http.StatusForbidden,
	ErrStepUpRequired:        http.StatusUnauthorized,
	ErrStepUpFailed:          http.StatusForbidden,
	ErrInvalidToken:          http.StatusUnauthorized,
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
	expected   bool    // though it is a failure; no reason to wake somebody
	stepUp     *stepUp // what would help
	scope      string  // that is missing
	wayOn      string  // where the page's link leads, if not where the code says
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

// challenge is the WWW-Authenticate of a bearer's refusal, or "" where none helps.
func (e *Error) challenge() string {
	c := bearer.Challenge{}
	switch {
	case e.stepUp != nil: // https://www.rfc-editor.org/rfc/rfc9470#section-3
		c.Error, c.ACRValues = bearer.CodeInsufficientUserAuthentication, e.stepUp.acr
		if e.stepUp.maxAgeAsked {
			c.MaxAge = &e.stepUp.maxAge
		}
	case e.scope != "":
		c.Error, c.Scope = bearer.CodeInsufficientScope, e.scope
	case e.Code == ErrInvalidToken:
		c.Error = bearer.CodeInvalidToken
	case e.Code == ErrBadRequest:
		c.Error = bearer.CodeInvalidRequest
	case e.Status != http.StatusUnauthorized:
		return ""
	}
	return c.String()
}

// level is how urgent an error is for whoever reads the log.
func (e *Error) level() slog.Level {
	if e.Status >= 500 && !e.expected {
		return slog.LevelError
	}
	return slog.LevelInfo
}

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

// unverified translates an error about a token that somebody has sent: bad for one
// that breaks a rule, and 503 while the keys are not to be had. err may be nil.
func unverified(err error, bad Code) *Error {
	e := providerError(err)
	switch {
	case e == nil:
		return nil
	case e.Code == ErrProviderRejected:
		return newError(bad, err)
	}
	e.Status = http.StatusServiceUnavailable
	var pe *provider.Error
	e.expected = errors.As(err, &pe) && pe.UnknownKey() // forged, most often
	return e
}

// isDown reports whether the provider gave no answer at all.
func isDown(err error) bool {
	var pe *provider.Error
	return errors.As(err, &pe) && pe.Kind == provider.Unavailable && pe.Status == 0
}

// fail logs an error, once, and shows it.
func (a *Auth) fail(w http.ResponseWriter, r *http.Request, e *Error) {
	attrs := []slog.Attr{slog.String("code", string(e.Code)), slog.Int("status", e.Status), slog.Any("error", e.Err)}
	if strings.HasPrefix(string(e.Code), "provider_") {
		attrs = append(attrs, slog.String("issuer", a.issuer))
	}
	a.log.LogAttrs(r.Context(), e.level(), "signin: request failed", attrs...)
	noStore(w)
	a.show(w, r, e)
}

// show answers a request with an error: a page for a person, a problem document
// for a program.
func (a *Auth) show(w http.ResponseWriter, r *http.Request, e *Error) {
	if requestkind.Of(r) == requestkind.Program {
		p := page.Problem{Status: e.Status, Code: string(e.Code), Detail: e.Message, RetryAfter: e.retryAfter}
		if e.Status == http.StatusUnauthorized { // nothing else is mended by another sign-in
			p.SignIn = a.absolute(cmp.Or(e.wayOn, a.paths.signIn))
		}
		page.WriteProblem(w, r, p)
		return
	}
	p := page.For(string(e.Code))
	p.Sentence = cmp.Or(e.Message, p.Sentence) // a Rule may have written it
	p.Status, p.RetryAfter, p.Action.Href = e.Status, e.retryAfter, cmp.Or(e.wayOn, a.wayOn(e.Code))
	if a.errorHandler == nil {
		page.Write(w, r, p)
		return
	}
	page.Prepare(w.Header(), e.Status, e.retryAfter)
	a.errorHandler(w, r, e)
}

// wayOn is where an error page's link leads: to a sign-in, where one would help.
func (a *Auth) wayOn(code Code) string {
	switch code {
	case ErrNotSignedIn, ErrStepUpRequired, ErrStepUpFailed, ErrBadCallback, ErrSignInExpired, ErrCookiesBlocked, ErrDenied,
		ErrProviderUnavailable, ErrProviderRejected, ErrStoreUnavailable, ErrSharedUnavailable:
		return a.paths.signIn
	case ErrForbidden, ErrNotMember, ErrMFARequired, ErrUnknownResource, ErrScopeMissing: // of people who are signed in
		return a.paths.afterSignIn
	}
	return a.paths.afterSignOut
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
