// Package signin signs people in to any net/http application through Logto, or
// any other OpenID Connect provider.
//
// It keeps their tokens in a gorilla session and hands the verified user to
// handlers in the request context:
//
//	auth, err := signin.New(signin.Config{
//		LogtoEndpoint: os.Getenv("LOGTO_ENDPOINT"),
//		ClientID:      os.Getenv("LOGTO_APP_ID"),
//		ClientSecret:  os.Getenv("LOGTO_APP_SECRET"),
//		BaseURL:       "https://app.example.com",
//		Keys:          [][]byte{[]byte(os.Getenv("SIGNIN_KEY"))}, // openssl rand -hex 32
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux := http.NewServeMux()
//	mux.HandleFunc("/sign-in", auth.SignIn())
//	mux.HandleFunc("/callback", auth.Callback())
//	mux.HandleFunc("/sign-out", auth.SignOut())
//	mux.HandleFunc("/backchannel-logout", auth.BackChannelLogout())
//	mux.Handle("/", auth.Load(http.HandlerFunc(home)))                  // the user, if there is one
//	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(account))) // the user, or a sign-in
//
// A handler asks for the user with [UserFrom]:
//
//	func account(w http.ResponseWriter, r *http.Request) {
//		user, _ := signin.UserFrom(r.Context())
//		fmt.Fprintln(w, "Hello,", user.Name)
//	}
//
// # Rules of use
//
//   - Decide access where the handler is mounted, with [Auth.RequireAuth], and
//     not by comparing paths.
//   - BaseURL is the only source of redirect URIs. Host and X-Forwarded-*
//     headers are never read.
//   - Links in pages point to the routes: /sign-in?return_to=/where/they/were.
//   - More than one process needs Config.Shared, or a sign-out in one leaves
//     copies of the session's cookie alive in the others.
//
// # Security model
//
// Sessions are sealed with AES-256-GCM before any store sees them: neither
// browser, disk nor database learns a token. Each sign-in is bound to the
// browser that began it by state, nonce and PKCE (RFC 9700), each response to
// its provider by iss (RFC 9207). A sign-out reaches copies of the cookie. Who
// steals a cookie from a running browser is that person until the session ends
// or the cookie is superseded by a refresh that the browser has seen; nothing
// that is kept in a cookie can prevent that.
package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/bearer"
	"github.com/gosignin/signin/internal/grant"
	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/memory"
	"github.com/gosignin/signin/internal/page"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/renew"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/returnto"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/settings"
	"github.com/gosignin/signin/internal/testuser"
	"github.com/gosignin/signin/internal/vault"
)

// Config says which provider signs people in, and how their sessions are kept.
// It is read once, by [New]; changing it or its slices afterwards changes
// nothing. Required are LogtoEndpoint or Issuer, ClientID, ClientSecret, BaseURL
// and, but on loopback, Keys; the zero value of every other field is its default.
// It holds secrets: do not log it.
type Config struct {
	// LogtoEndpoint is the endpoint of a Logto tenant, such as
	// "https://tenant.logto.app": the host alone, without "/oidc". It needs https,
	// except on loopback. For any other provider, set Issuer instead; to set both
	// is a mistake.
	LogtoEndpoint string
	// Issuer is a provider's issuer identifier, to the byte as its discovery
	// document states it (OpenID Connect Discovery 1.0, section 4.3). It needs
	// https, except on localhost, 127.0.0.0/8 and ::1.
	Issuer string
	// ClientID and ClientSecret are what the provider calls this application:
	// at Logto, App ID and App secret of a "Traditional web" application.
	ClientID     string
	ClientSecret string
	// BaseURL is where people reach this application, such as
	// "https://app.example.com" or "https://example.com/app". Redirect URIs are
	// made from it and from nothing else. It needs https, except on loopback
	// (localhost, *.localhost, 127.0.0.0/8, ::1). People must use this very host
	// name, since cookies belong to it: 127.0.0.1 is not localhost.
	BaseURL string
	// Keys seal sessions: 32 bytes or more each, from a random source
	// ("openssl rand -hex 32"), used as they are. The first seals, all open. To
	// rotate without signing anybody out, deploy the new key last, then deploy it
	// first, and drop the old one MaxLifetime later. May be empty only with a
	// loopback BaseURL: a random key then ends all sessions when the process does.
	Keys [][]byte

	// Scopes are asked for besides "openid profile offline_access", one in each
	// element: "email" for User.Email, "phone", "roles",
	// "urn:logto:scope:organizations", and the permissions of Resources: Logto's
	// tokens permit nothing that was not asked for here. People who are signed in get
	// what is added at their next sign-in.
	Scopes []string
	// OmitDefaultScopes leaves out profile and offline_access. Without the
	// latter there is no refresh token: a session then lives by its own limits
	// and does not learn that the provider has ended it.
	OmitDefaultScopes bool
	// Resources are the API resources that people grant access to with a sign-in:
	// absolute URIs without a fragment (RFC 8707). As with Scopes, the next sign-in
	// counts: whoever asks for a token before that gets [ErrUnknownResource], and at
	// some providers that rotate refresh tokens (npm oidc-provider) the session ends.
	Resources []string
	// SignInOptions apply to every sign-in, those that guards start included.
	SignInOptions []SignInOption
	// MergeUserInfo fetches the userinfo endpoint at each sign-in and refresh, one
	// request each, and adds what the ID token lacks to the claims. A sign-in fails
	// if it fails; a refresh keeps the claims that there are.
	MergeUserInfo bool
	// SigningAlgs pins the algorithms that may sign ID tokens, logout tokens and,
	// for [Auth.RequireBearer], access tokens. Default: those the provider lists for
	// ID tokens, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512,
	// EdDSA and Ed25519. Symmetric algorithms and "none" are never accepted.
	SigningAlgs []string

	// Store keeps the sealed sessions. Default: cookies, of about 1.2 KB in all,
	// and enough for nearly everybody. A server-side store is for tokens that do
	// not fit 6 KB of cookies: hundreds of roles, large JWT access tokens.
	Store sessions.Store
	// Shared is what all replicas of the application know. Default: memory of
	// this process, which suits one process only, and forgets sign-outs when that
	// ends: copies of a cookie made before are then good again until they expire.
	// Access tokens for APIs are kept there as well, sealed.
	Shared SharedState
	// CookieName is the name of the session cookie: 1 to 64 letters, digits, _
	// and -. Default "signin". With https it gets the prefix "__Host-". Two Auths
	// on one host need different names, and different paths for their routes.
	CookieName string

	// IdleTimeout ends a session that is not used. Default 24 hours, negative is
	// a mistake, as for the next two. Use is written down only when a quarter of it
	// has passed, so a session may end up to a quarter early. Raising it revives
	// copies of sessions that were signed out longer ago than the old value.
	IdleTimeout time.Duration
	// MaxLifetime ends a session however much it is used. Default 14 days. The
	// shorter of the two wins.
	MaxLifetime time.Duration
	// RefreshBefore is how long before the access token's expiry it is
	// refreshed, at most half of its life. Default 60 seconds.
	RefreshBefore time.Duration

	// The routes' paths, as the browser sees them. They default to /sign-in,
	// /callback, /sign-out and /backchannel-logout under BaseURL's path. Mount
	// the handlers there.
	SignInPath            string
	CallbackPath          string
	SignOutPath           string
	BackChannelLogoutPath string
	// AfterSignIn and AfterSignOut are where people land if nothing else was
	// said: paths, default BaseURL's own with a slash at its end. Register
	// AfterSignOut, made absolute, as post sign-out redirect URI.
	AfterSignIn  string
	AfterSignOut string

	// HTTPClient sends the requests to the provider. Default: one of this
	// package's own. It is copied; the copy has a time-out of 10 seconds and
	// follows no redirects. Its Transport is used as it is, for a proxy or a
	// private certificate authority, by [Client] too: one that adds credentials
	// gives them to every host that an API redirects to.
	HTTPClient *http.Client
	// Logger gets one record for each thing that went wrong, and at the start what
	// to register at the provider. Default slog.Default(). No token, code, secret
	// or cookie is ever logged.
	Logger *slog.Logger
	// OnEvent, unless nil, is called for each Event, before the answer is written;
	// a slow one delays the person. It must be safe for concurrent use.
	OnEvent func(context.Context, Event)
	// ErrorHandler replaces the error page. It calls WriteHeader(e.Status) and
	// writes a body; headers and cookies are set already. It is not called for
	// refusals that are not pages: redirects, and problem documents for programs.
	ErrorHandler func(http.ResponseWriter, *http.Request, *Error)
	// Now is the clock, for tests. Default time.Now.
	Now func() time.Time
}

// Auth is one application's sign-in: its handlers and guards. It is made by
// [New], immutable, and safe for concurrent use. The zero Auth is not valid.
type Auth struct {
	issuer    string
	logto     bool
	clientID  string
	base      *url.URL // where people reach the application
	paths     paths
	scopes    []string
	resources []string
	defaults  []SignInOption
	ordinary  *authflow.Request // a sign-in with these defaults alone

	provider     *provider.Client
	grants       *grant.Source
	transport    http.RoundTripper // for calls of APIs
	sessions     *vault.Vault
	ledger       *ledger.Ledger
	renewer      *renew.Renewer
	client       *authflow.Client
	transactions *authflow.Transactions
	returnTo     returnto.Rule
	sameSite     *http.CrossOriginProtection
	refreshIn    time.Duration

	log          *slog.Logger
	onEvent      func(context.Context, Event)
	errorHandler func(http.ResponseWriter, *http.Request, *Error)
	now          func() time.Time
}

// paths are those of Config, complete.
type paths struct {
	signIn, callback, signOut, backChannel string
	afterSignIn, afterSignOut              string
}

// The limits of shared state in memory. A person who is active all day with
// access tokens of one hour leaves some 6 KB: the last successor of their session,
// and a mark for each of the others. That makes room for 40,000 such people.
var memoryLimits = memory.Limits{Entries: 1 << 20, Bytes: 256 << 20}

// New checks cfg and returns its Auth. It dials nobody: the provider is
// discovered when it is first needed, so an application starts while its
// provider is down.
//
// The error joins every mistake in cfg, each with its field's name.
func New(cfg Config) (*Auth, error) {
	c := &checker{}
	a := &Auth{
		clientID: cfg.ClientID, logto: cfg.LogtoEndpoint != "",
		defaults: slices.Clone(cfg.SignInOptions), onEvent: cfg.OnEvent, errorHandler: cfg.ErrorHandler,
		log: cfg.Logger, now: cfg.Now,
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.now == nil {
		a.now = time.Now
	}
	a.checkProvider(c, &cfg)
	a.checkApplication(c, &cfg)
	a.checkOptions(c)
	limits := vault.Limits{
		Idle: check(c, "IdleTimeout", cfg.IdleTimeout, defaultTo(24*time.Hour)),
		Max:  check(c, "MaxLifetime", cfg.MaxLifetime, defaultTo(14*24*time.Hour)),
	}
	a.refreshIn = check(c, "RefreshBefore", cfg.RefreshBefore, defaultTo(time.Minute))
	name := cfg.CookieName
	if name == "" {
		name = "signin"
	}
	secure := a.base != nil && a.base.Scheme == "https"
	name = check(c, "CookieName", name, func(s string) (string, error) { return settings.CookieName(s, secure) })
	keys := checkKeys(c, &cfg, a.base)
	if len(c.mistakes) > 0 {
		return nil, errors.Join(c.mistakes...)
	}
	if err := a.build(&cfg, name, keys, limits); err != nil {
		return nil, err
	}
	a.announce(&cfg)
	return a, nil
}

// checker collects the mistakes of a Config.
type checker struct{ mistakes []error }

func (c *checker) add(field string, err error) {
	c.mistakes = append(c.mistakes, fmt.Errorf("signin: Config.%s %w", field, err))
}

func check[In, Out any](c *checker, field string, in In, rule func(In) (Out, error)) Out {
	out, err := rule(in)
	if err != nil {
		c.add(field, err)
	}
	return out
}

func defaultTo(def time.Duration) func(time.Duration) (time.Duration, error) {
	return func(d time.Duration) (time.Duration, error) { return settings.Duration(d, def) }
}

func (a *Auth) checkProvider(c *checker, cfg *Config) {
	switch {
	case cfg.LogtoEndpoint != "" && cfg.Issuer != "":
		c.add("Issuer", errors.New("is set beside LogtoEndpoint; set one of them"))
	case cfg.LogtoEndpoint != "":
		a.issuer = check(c, "LogtoEndpoint", cfg.LogtoEndpoint, settings.LogtoIssuer)
	case cfg.Issuer != "":
		a.issuer = check(c, "Issuer", cfg.Issuer, settings.Issuer)
	default:
		c.add("LogtoEndpoint", errors.New("is missing, and so is Issuer; set LogtoEndpoint for Logto, Issuer for any other provider"))
	}
	if cfg.ClientID == "" {
		c.add("ClientID", errors.New("is missing; at Logto it is the App ID"))
	}
	if cfg.ClientSecret == "" {
		c.add("ClientSecret", errors.New("is missing; at Logto it is the App secret"))
	}
	a.scopes = check(c, "Scopes", cfg.Scopes, func(s []string) ([]string, error) {
		return settings.Scopes(s, cfg.OmitDefaultScopes)
	})
	a.resources = check(c, "Resources", cfg.Resources, settings.Resources)
	if a.logto && slices.Contains(a.scopes, organizationsScope) && !slices.Contains(a.resources, organizationsResource) {
		// Logto gives no organization's token otherwise.
		a.resources = append(a.resources, organizationsResource)
	}
	check(c, "SigningAlgs", cfg.SigningAlgs, settings.Algorithms)
}

// What Logto calls the organizations that a person belongs to.
const (
	organizationsScope    = "urn:logto:scope:organizations"
	organizationsResource = "urn:logto:resource:organizations"
)

func (a *Auth) checkApplication(c *checker, cfg *Config) {
	a.base = check(c, "BaseURL", cfg.BaseURL, settings.Base)
	if a.base == nil {
		return
	}
	route := func(field, given, def string) string {
		if given == "" {
			given = a.base.Path + def
		}
		return check(c, field, given, settings.Route)
	}
	a.paths.signIn = route("SignInPath", cfg.SignInPath, "/sign-in")
	a.paths.callback = route("CallbackPath", cfg.CallbackPath, "/callback")
	a.paths.signOut = route("SignOutPath", cfg.SignOutPath, "/sign-out")
	a.paths.backChannel = route("BackChannelLogoutPath", cfg.BackChannelLogoutPath, "/backchannel-logout")
	routes := []string{a.paths.signIn, a.paths.callback, a.paths.signOut, a.paths.backChannel}
	for i, r := range routes {
		if r != "" && slices.Contains(routes[:i], r) {
			c.add("SignInPath", fmt.Errorf("and the other routes need paths of their own; %q occurs twice", r))
		}
	}
	a.returnTo = returnto.New(a.base, routes)
	after := func(field, given string) string {
		if given == "" {
			return a.base.Path + "/"
		}
		return check(c, field, given, func(p string) (string, error) {
			if _, err := a.returnTo.Path(p); err != nil {
				return "", fmt.Errorf("is %q; needs a path of this application, and none of the routes", p)
			}
			return p, nil
		})
	}
	a.paths.afterSignIn = after("AfterSignIn", cfg.AfterSignIn)
	a.paths.afterSignOut = after("AfterSignOut", cfg.AfterSignOut)
}

// checkOptions checks what applies to every sign-in. It knows the provider and
// the application's paths by then.
func (a *Auth) checkOptions(c *checker) {
	var err error
	if a.ordinary, _, err = a.compile(nil); err == nil {
		err = forEverybody(a.ordinary)
	}
	if err != nil {
		c.add("SignInOptions", fmt.Errorf("hold a mistake: %w", err))
	}
}

func checkKeys(c *checker, cfg *Config, base *url.URL) [][]byte {
	var keys [][]byte
	for i, k := range cfg.Keys {
		if len(k) < seal.MinKey {
			c.add(fmt.Sprintf("Keys[%d]", i), fmt.Errorf("has %d bytes; needs %d or more: openssl rand -hex 32", len(k), seal.MinKey))
		}
		keys = append(keys, slices.Clone(k))
	}
	if len(keys) > 0 {
		return keys
	}
	if base == nil || !settings.LoopbackInBrowsers(base.Hostname()) {
		c.add("Keys", errors.New("are missing; make one with openssl rand -hex 32 (optional only while BaseURL is on loopback)"))
	}
	random := make([]byte, seal.MinKey)
	rand.Read(random) // never fails: crypto/rand
	return [][]byte{random}
}

// build makes the parts of an Auth whose Config has no mistake.
func (a *Auth) build(cfg *Config, name string, keys [][]byte, l vault.Limits) error {
	a.provider = provider.New(provider.Config{
		Issuer: a.issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret,
		RedirectURL: a.absolute(a.paths.callback), SigningAlgs: slices.Clone(cfg.SigningAlgs),
		HTTPClient: cfg.HTTPClient, Now: a.now,
	})
	a.grants = &grant.Source{
		Provider: a.provider, Lenient: !a.logto, UserInfo: cfg.MergeUserInfo, Scopes: a.scopes, Ahead: a.refreshIn, Log: a.log, Now: a.now,
	}
	a.transport = http.DefaultTransport
	if cfg.HTTPClient != nil && cfg.HTTPClient.Transport != nil {
		a.transport = cfg.HTTPClient.Transport
	}
	shared := cfg.Shared
	if shared == nil {
		shared = memory.New(a.now, ledger.Class, memoryLimits)
	}
	sealing, err := seal.NewRing(keys, "session", a.issuer, a.clientID)
	transaction, err2 := seal.NewRing(keys, "transaction", a.issuer, a.clientID)
	entries, err3 := ledger.New(shared, keys, a.issuer, a.clientID, max(l.Idle, authflow.Lifetime)+lease)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	a.ledger = entries
	a.sessions = vault.New(cfg.Store, name, sealing.Box(name), a.base.Scheme == "https", l)
	a.transactions = authflow.NewTransactions(transaction, name, a.now)
	a.client = &authflow.Client{
		Issuer: a.issuer, Logto: a.logto, ID: a.clientID, RedirectURI: a.absolute(a.paths.callback),
		Scopes: a.scopes, Resources: a.resources, ReturnTo: a.returnTo, Now: a.now,
	}
	a.renewer = renew.New(renew.Config{
		Ledger: a.ledger, Refresh: a.grants.Refresh, Fetch: a.grants.Fetch, Report: a.refreshed, Due: a.due, Now: a.now, Lease: lease,
		Revoke: func(ctx context.Context, rec *record.Record) { _ = a.revoke(ctx, rec) },
	})
	a.sameSite = http.NewCrossOriginProtection()
	// It compares Origin with Host otherwise, which proxies rewrite.
	return a.sameSite.AddTrustedOrigin(a.base.Scheme + "://" + a.base.Host)
}

// lease is how long one refresh may hold its session. It is longer than the
// token request and the userinfo request, with their time-outs, together.
const lease = 30 * time.Second

// announce logs what an operator has to know, once.
func (a *Auth) announce(cfg *Config) {
	a.log.Info("signin: register these URLs at the provider",
		"redirect_uri", a.absolute(a.paths.callback),
		"post_logout_redirect_uri", a.absolute(a.paths.afterSignOut),
		"backchannel_logout_uri", a.absolute(a.paths.backChannel))
	if len(cfg.Keys) == 0 {
		a.log.Warn("signin: Config.Keys is empty: a random key is used, and everybody is signed out when this process ends")
	}
	if cfg.Shared == nil {
		a.log.Info("signin: Config.Shared is empty, which is fine for one process: sign-outs are known to this one only, and forgotten when it ends")
	}
}

// absolute returns the address of a path of the application.
func (a *Auth) absolute(path string) string {
	return a.base.Scheme + "://" + a.base.Host + path
}

// Check reports whether the provider can be reached and discovered now, and
// whether store and shared state answer. It is a diagnosis for an operator. It is tempting to use
// it as a readiness probe; then a provider that is down takes the application
// down too, for people who are signed in as well.
func (a *Auth) Check(ctx context.Context) error {
	var errs []error
	if err := a.provider.Reach(ctx); err != nil {
		errs = append(errs, providerError(err))
	}
	if err := a.ledger.Check(ctx); err != nil {
		errs = append(errs, newError(ErrSharedUnavailable, err))
	}
	if err := a.sessions.Check(ctx); err != nil {
		errs = append(errs, newError(ErrStoreUnavailable, err))
	}
	return errors.Join(errs...)
}

// Load lets every request pass, and gives the user to those that have one; see
// [UserFrom]. It is for pages that look different to people who are signed in.
// If a session was presented and cannot be looked up, the answer is an error
// page: guessing would sign people in or out by accident.
//
// Responses carry "Vary: Cookie", and those to signed-in people also
// "Cache-Control: no-store" unless next sets its own.
func (a *Auth) Load(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := a.innermost(r.Context()); s != nil && s.bearer != nil {
			// A token decides alone: no cookie may lend it another person.
			if s != r.Context().Value(sessionKey{}) { // another Auth stands between
				r = r.WithContext(s.again(r.Context()))
			}
			next.ServeHTTP(w, r)
			return
		}
		r, s := a.load(w, r)
		if s.err != nil {
			a.fail(w, r, s.err)
			return
		}
		s.mark(w)
		next.ServeHTTP(w, r)
	})
}

// RequireAuth lets requests of signed-in people pass, and refuses all others. A
// person who navigates (GET with Accept: text/html, no frame, no prefetch) is sent
// to sign in and then back. Everything else gets 401: HTMX with HX-Redirect, a
// person's form with a page, and programs with a problem document (RFC 9457) whose
// code is "not_signed_in" and whose sign_in_url is where a person signs in. It
// accepts sessions of this Auth only.
//
// Responses carry "Cache-Control: no-store" and "Vary: Cookie" unless next
// sets its own. A public Cache-Control behind a guard publishes one person's page,
// and perhaps their cookie.
func (a *Auth) RequireAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, s := a.load(w, r)
		switch {
		case s.err != nil:
			a.fail(w, r, s.err)
		case !s.signedIn:
			a.refuseNotSignedIn(w, r)
		default:
			s.mark(w)
			next.ServeHTTP(w, r)
		}
	})
}

// Require lets requests of people pass for whom all rules hold. It includes
// [Auth.RequireAuth]: whoever is not signed in is asked to. Whoever is, and is not
// allowed, gets 403, a page or a problem document (RFC 9457), and never another
// sign-in. A rule that wants a step-up ([SignedInWithin], [ACR]) sends a person who
// navigates to the provider and then back, if all the other rules hold; everything
// else gets 401 with the code "step_up_required" and a sign_in_url.
//
// Require panics for a Rule that is nil.
func (a *Auth) Require(rules ...Rule) func(http.Handler) http.Handler {
	mustBeRules(rules)
	rules = slices.Clone(rules)
	return func(next http.Handler) http.Handler {
		return a.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, _ := UserFrom(r.Context()) // RequireAuth has let it in
			outer, _ := r.Context().Value(metKey{a}).(*stepUp)
			u.met = outer
			if e := judge(r, u, rules); e != nil {
				a.refuse(w, r, u, e)
				return
			}
			if u.met != outer { // for guards below this one
				r = r.WithContext(context.WithValue(r.Context(), metKey{a}, u.met))
			}
			next.ServeHTTP(w, r)
		}))
	}
}

// metKey is for what guards that stand around another of the same Auth have found
// met.
type metKey struct{ auth *Auth }

// RequireBearer lets requests pass that bring a JWT access token in their
// Authorization header (RFC 6750), made by the provider for audience: an API
// resource of this application, or "urn:logto:organization:<id>". It is for APIs,
// next to sessions: cookies mean nothing to it, so it needs no protection against
// cross-site requests.
//
// The token's signature, issuer, audience, times and kind are checked (RFC 9068, RFC
// 8725); ID tokens are refused. Then all rules must hold, of which [HasScope] is the
// usual one. Tokens that an application got for itself, without a person, are
// refused without the rule [Machines], and those that an API gets within an
// organization (organization_id) unless [MemberOf] asks for that one: their scopes
// are those of a role there, and not everywhere. Which tokens are a machine's is
// read from what RFC 9068 wants to be so (sub is the client): a provider that gives
// its machines subjects of their own (Keycloak, Auth0) needs a rule that knows them.
//
// Handlers find the user with [UserFrom]; what an access token does not say is empty
// there, the name most often. [Auth.Load] below RequireBearer changes nothing;
// [Auth.RequireAuth] there asks for a session besides, and UserFrom speaks of that.
//
// Refusals are problem documents (RFC 9457) with the challenges of RFC 6750 and RFC
// 9470: 401, 403 for a rule that does not hold, 400 for an Authorization header
// that is none, 503 while the keys cannot be fetched. A token is good until it
// expires, whoever has signed out since: that is what access tokens are.
//
// RequireBearer panics for an audience that is empty, or the client ID (an ID token
// has that), or an organization's without its ID, and for a Rule that is nil.
func (a *Auth) RequireBearer(audience string, rules ...Rule) func(http.Handler) http.Handler {
	if audience == "" || audience == a.clientID || audience == provider.OrganizationAudience {
		panic("signin: RequireBearer needs the audience of an API, and not the client ID")
	}
	mustBeRules(rules)
	rules = slices.Clone(rules)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, e := a.bearer(r, audience)
			var u *User
			if e == nil {
				r = r.WithContext(s)
				u, _ = UserFrom(r.Context())
				foreign := s.bearer != nil && s.bearer.organization != "" && !strings.HasPrefix(audience, provider.OrganizationAudience)
				e = judgeBearer(r, u, foreign, rules)
			}
			if e != nil {
				a.refuseBearer(w, r, u, e)
				return
			}
			s.private(w.Header())
			next.ServeHTTP(w, r)
		})
	}
}

// RequireSessionOrBearer is for routes that people's browsers and programs both
// call: a request with an Authorization header is one for [Auth.RequireBearer],
// and that header decides alone; any other is one for [Auth.Require]. Both are held
// to the same rules; mind what [HasScope] says of sessions.
func (a *Auth) RequireSessionOrBearer(audience string, rules ...Rule) func(http.Handler) http.Handler {
	session, bearer := a.Require(rules...), a.RequireBearer(audience, rules...)
	return func(next http.Handler) http.Handler {
		forPeople, forPrograms := session(next), bearer(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, there := r.Header["Authorization"]; there {
				forPrograms.ServeHTTP(w, r)
				return
			}
			forPeople.ServeHTTP(w, r)
		})
	}
}

// bearer verifies the token that a request brings.
func (a *Auth) bearer(r *http.Request, audience string) (*session, *Error) {
	s := &session{Context: r.Context(), auth: a, signedIn: true}
	if v := testuser.From(r.Context()); v != nil {
		if v.User == nil {
			return nil, newError(ErrNotSignedIn, nil)
		}
		return s, nil
	}
	raw, there, err := bearer.Token(r.Header)
	switch {
	case !there, errors.Is(err, bearer.ErrScheme): // somebody who has not heard of tokens
		e := newError(ErrNotSignedIn, err)
		e.Message = "This needs an access token, in the Authorization header."
		return nil, e
	case err != nil:
		return nil, newError(ErrBadRequest, err)
	}
	token, err := a.provider.VerifyAccessToken(r.Context(), raw, audience)
	if e := unverified(err, ErrInvalidToken); e != nil {
		return nil, e
	}
	rec := &record.Record{
		Began: token.IssuedAt, Created: token.IssuedAt, LastSeen: token.IssuedAt,
		IDToken: record.JWT{Payload: string(token.Payload)}, Scope: strings.Join(token.Scopes, " "),
	}
	v, err := rec.View()
	if err != nil {
		return nil, newError(ErrInvalidToken, err)
	}
	s.summary = v.Summarize(nil)
	s.bearer = &presented{
		organization: token.Organization, issued: token.IssuedAt, expires: token.Expiry, machine: token.Machine,
	}
	return s, nil
}

// judgeBearer applies rules to the user that a token speaks of. foreign says that
// the token was made for an organization, while audience is an API's.
func judgeBearer(r *http.Request, u *User, foreign bool, rules []Rule) *Error {
	if e := judge(r, u, rules); e != nil {
		return e
	}
	switch {
	case u.Machine && !u.machineWelcome:
		return newError(ErrForbidden, errors.New("signin: the token is a machine's, and there is no rule that lets machines in"))
	case foreign && !u.withinOrganization:
		return newError(ErrForbidden, errors.New("signin: the token holds within an organization, and no rule asks for that one"))
	}
	return nil
}

// refuseBearer answers a program, with a challenge that says what would help.
// u is nil if there was no good token.
func (a *Auth) refuseBearer(w http.ResponseWriter, r *http.Request, u *User, e *Error) {
	if e.Status < 500 {
		denied := Event{Kind: EventDenied, Err: e}
		if u != nil {
			denied.Subject, denied.ProviderSessionID = u.Subject, u.ProviderSessionID
		}
		a.emit(r.Context(), denied)
	} else {
		a.log.Log(r.Context(), e.level(), "signin: request failed", "code", string(e.Code), "status", e.Status, "error", e.Err)
	}
	if c := e.challenge(); c != "" {
		w.Header().Set("WWW-Authenticate", c)
	}
	page.WriteProblem(w, r, page.Problem{
		Status: e.Status, Code: string(e.Code), Detail: e.Message, RetryAfter: e.retryAfter,
	})
}

// judge applies rules to a user, and returns the first that does not hold. One
// that a step-up would meet comes after all others: nobody is to sign in again for
// a page that is not theirs. Several step-ups are one that meets all, with those
// that are met already.
func judge(r *http.Request, u *User, rules []Rule) *Error {
	var wanted *Error
	for _, rule := range rules {
		err := rule(r, u)
		if err == nil {
			continue
		}
		e := asRefusal(err)
		if e.stepUp == nil {
			return e
		}
		if wanted == nil {
			wanted = e
		} else {
			wanted = e.with(wanted.stepUp, wanted.Err)
		}
		if wanted.stepUp == nil {
			return wanted
		}
	}
	if wanted != nil && u.met != nil {
		return wanted.with(u.met, nil)
	}
	return wanted
}

// asRefusal makes an error of a rule one that has a status.
func asRefusal(err error) *Error {
	var e *Error
	switch {
	case !errors.As(err, &e):
		return newError(ErrForbidden, err)
	case e == nil:
		return newError(ErrForbidden, errors.New("signin: a Rule has returned an *Error that is nil"))
	}
	if e.Status >= 400 && e.Status <= 599 {
		return e
	}
	whole := *e // it is whoever made it who may use it again
	if whole.Status = statuses[e.Code]; whole.Status == 0 {
		whole.Status = http.StatusForbidden
	}
	return &whole
}

// with returns a step-up that meets e's demand and another, which has its own
// cause. Where no class of authentication meets both, it is a refusal: people would
// be sent to the provider for one and for the other without end.
func (e *Error) with(demand *stepUp, cause error) *Error {
	demand, possible := demand.and(e.stepUp)
	if !possible {
		return newError(ErrForbidden, errors.Join(cause, e.Err))
	}
	both := *e
	both.stepUp, both.Err = demand, errors.Join(cause, e.Err)
	return &both
}

// Refuse answers a request with an error of this package, as a guard does, and
// reports whether it has: not for any other error, and not for nil. It is for
// handlers that have one from [AccessToken], from a request of a [Client], from
// [FetchUserInfo], or from a [Rule] that they ask themselves. Somebody whose session
// has ended meanwhile is sent to sign in; for what is missing there is the page or
// problem document of its status.
//
//	resp, err := client.Get("https://api.example.com/orders")
//	if auth.Refuse(w, r, err) {
//		return
//	}
//
// Nothing may have been written to w.
func (a *Auth) Refuse(w http.ResponseWriter, r *http.Request, err error) bool {
	var e *Error
	if !errors.As(err, &e) || e == nil {
		return false
	}
	e = asRefusal(e)
	u, ok := UserFrom(r.Context())
	if !ok {
		u = new(User)
	}
	switch s := a.innermost(r.Context()); {
	case s != nil && s.bearer != nil:
		a.refuseBearer(w, r, u, e)
	case e.Code == ErrNotSignedIn:
		a.refuseNotSignedIn(w, r)
	default:
		a.refuse(w, r, u, e)
	}
	return true
}

// refuse answers a request of somebody who is signed in, and not allowed.
func (a *Auth) refuse(w http.ResponseWriter, r *http.Request, u *User, e *Error) {
	a.emit(r.Context(), Event{Kind: EventDenied, Subject: u.Subject, ProviderSessionID: u.ProviderSessionID, Err: e})
	if e.Status >= 500 { // a rule's database, say
		a.fail(w, r, e)
		return
	}
	noStore(w)
	if e.stepUp != nil {
		a.sendToSignIn(w, r, e)
		return
	}
	a.show(w, r, e)
}

// refuseNotSignedIn answers a request of a user who is not signed in, in the shape
// that its sender can use. Nothing but the shape depends on headers.
func (a *Auth) refuseNotSignedIn(w http.ResponseWriter, r *http.Request) {
	a.emit(r.Context(), Event{Kind: EventDenied, Err: ErrNotSignedIn})
	noStore(w)
	a.sendToSignIn(w, r, newError(ErrNotSignedIn, nil))
}

// sendToSignIn answers a request for which its sender has to sign in first, or
// once more.
func (a *Auth) sendToSignIn(w http.ResponseWriter, r *http.Request, e *Error) {
	kind := requestkind.Of(r)
	// Where every sign-in is silent and one has just failed, the next would fail
	// too, and come back here.
	if e.stepUp == nil && a.ordinary.Silent() && a.transactions.IsQuiet(r) {
		kind = requestkind.Program
	}
	switch kind {
	case requestkind.Navigation:
		target := r.RequestURI               // what the browser sent: it survives http.StripPrefix
		if !strings.HasPrefix(target, "/") { // absolute form, or a request made by a test
			target = r.URL.RequestURI()
		}
		returnto.Location(w, a.signInURL(target, e.stepUp), http.StatusSeeOther)
	case requestkind.HTMX:
		target, err := a.returnTo.URL(r.Header.Get("HX-Current-URL"))
		if err != nil {
			target = ""
		}
		w.Header().Set("HX-Redirect", a.signInURL(target, e.stepUp))
		w.Header().Set("WWW-Authenticate", page.Scheme)
		w.WriteHeader(http.StatusUnauthorized)
	default:
		// The page that sent the form, or asked for what it shows: there is where the
		// person goes on.
		target, err := a.returnTo.URL(r.Header.Get("Referer"))
		if err != nil {
			target = ""
		}
		shown := *e
		shown.wayOn = a.signInURL(target, e.stepUp)
		a.show(w, r, &shown)
	}
}

// signInURL returns the path that starts a sign-in, or a step-up, and comes back
// to target. That anybody can write such a URL does no harm: the guard decides, and
// all that the query can do is to ask for more.
func (a *Auth) signInURL(target string, s *stepUp) string {
	q := url.Values{}
	if s != nil && s.maxAgeAsked {
		q.Set("max_age", strconv.FormatInt(min(int64(s.maxAge/time.Second), math.MaxInt32), 10))
	}
	if s != nil && len(s.acr) > 0 {
		q.Set("acr_values", strings.Join(s.acr, " "))
	}
	if _, err := a.returnTo.Path(target); err == nil && target != a.paths.afterSignIn {
		q.Set("return_to", target)
	}
	if len(q) == 0 {
		return a.paths.signIn
	}
	return a.paths.signIn + "?" + q.Encode()
}

// compile applies sign-in options, Config's first, and reports mistakes.
func (a *Auth) compile(opts []SignInOption) (*authflow.Request, string, error) {
	s := signInSettings{}
	for _, o := range slices.Concat(a.defaults, opts) {
		if o.apply != nil {
			o.apply(&s)
		}
	}
	err := s.params.Check(a.logto)
	if s.returnTo != "" && a.base != nil {
		if _, badPath := a.returnTo.Path(s.returnTo); badPath != nil {
			err = errors.Join(err, fmt.Errorf("signin: ReturnTo: %w", badPath))
		}
	}
	return &s.params, s.returnTo, err
}
