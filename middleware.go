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
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/page"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/returnto"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/settings"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/internal/tokens"
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
	tokens       *tokens.Source
	transport    http.RoundTripper // for calls of APIs
	sessions     *lifecycle.Sessions
	shared       *sharedstate.State
	client       *authflow.Client
	transactions *authflow.Transactions
	cookies      cookie.Writer
	returnTo     returnto.Rule
	sameSite     *http.CrossOriginProtection

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

// New checks cfg and returns its Auth. It does no I/O: the provider is
// discovered when it is first needed, so an application starts while its
// provider is down.
//
// The error joins every mistake in cfg, each with its field's name.
func New(cfg Config) (*Auth, error) {
	c := &checker{}
	a := &Auth{
		clientID: cfg.ClientID, logto: cfg.LogtoEndpoint != "",
		defaults: slices.Clone(cfg.SignInOptions), onEvent: cfg.OnEvent, errorHandler: cfg.ErrorHandler,
		log: cmp.Or(cfg.Logger, slog.Default()), now: cfg.Now,
	}
	if a.now == nil {
		a.now = time.Now
	}
	a.checkProvider(c, &cfg)
	a.checkApplication(c, &cfg)
	a.checkOptions(c)
	limits := session.Limits{
		Idle: check(c, "IdleTimeout", cmp.Or(cfg.IdleTimeout, 24*time.Hour), settings.Duration),
		Max:  check(c, "MaxLifetime", cmp.Or(cfg.MaxLifetime, 14*24*time.Hour), settings.Duration),
	}
	ahead := check(c, "RefreshBefore", cmp.Or(cfg.RefreshBefore, time.Minute), settings.Duration)
	a.cookies.Secure = a.base != nil && a.base.Scheme == "https"
	name := check(c, "CookieName", cmp.Or(cfg.CookieName, "signin"), func(s string) (string, error) { return settings.CookieName(s, a.cookies.Secure) })
	keys := checkKeys(c, &cfg, a.base)
	if len(c.mistakes) > 0 {
		return nil, errors.Join(c.mistakes...)
	}
	if err := a.build(&cfg, name, keys, limits, ahead); err != nil {
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
		return check(c, field, cmp.Or(given, a.base.Path+def), settings.Route)
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

// build makes the parts of an Auth whose Config has no mistake.
func (a *Auth) build(cfg *Config, name string, keys [][]byte, l session.Limits, ahead time.Duration) error {
	a.provider = provider.New(provider.Config{
		Issuer: a.issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret,
		RedirectURL: a.absolute(a.paths.callback), SigningAlgs: slices.Clone(cfg.SigningAlgs),
		HTTPClient: cfg.HTTPClient, Now: a.now,
	})
	a.tokens = &tokens.Source{
		Provider: a.provider, Logto: a.logto, UserInfo: cfg.MergeUserInfo, Scopes: a.scopes, Ahead: ahead, Log: a.log, Now: a.now,
	}
	a.transport = http.DefaultTransport
	if cfg.HTTPClient != nil && cfg.HTTPClient.Transport != nil {
		a.transport = cfg.HTTPClient.Transport
	}
	ring, err := seal.NewRing(keys, "transaction", a.issuer, a.clientID)
	if err := errors.Join(err, a.openSessions(cfg, name, keys, l, ahead)); err != nil {
		return err
	}
	a.transactions = authflow.NewTransactions(ring, a.cookies, name, a.now)
	a.client = &authflow.Client{
		Issuer: a.issuer, Logto: a.logto, ID: a.clientID, RedirectURI: a.absolute(a.paths.callback),
		Scopes: a.scopes, Resources: a.resources, ReturnTo: a.returnTo, Now: a.now,
	}
	a.sameSite = http.NewCrossOriginProtection()
	// It compares Origin with Host otherwise, which proxies rewrite.
	return a.sameSite.AddTrustedOrigin(a.base.Scheme + "://" + a.base.Host)
}

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

// Load lets every request pass, and gives the user to those that have one; see
// [UserFrom]. It is for pages that look different to people who are signed in.
// If a session was presented and cannot be looked up, the answer is an error
// page: guessing would sign people in or out by accident.
//
// Responses carry "Vary: Cookie", and those to signed-in people also
// "Cache-Control: no-store" unless next sets its own.
func (a *Auth) Load(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := a.innermost(r.Context()); c != nil && c.token != nil {
			// A token decides alone: no cookie may lend it another person.
			if c != r.Context().Value(callerKey{}) { // another Auth is between
				r = r.WithContext(c.again(r.Context()))
			}
			next.ServeHTTP(w, r)
			return
		}
		r, c := a.load(w, r)
		if c.err != nil {
			a.fail(w, r, c.err)
			return
		}
		c.mark(w)
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
		r, c := a.load(w, r)
		switch {
		case c.err != nil:
			a.fail(w, r, c.err)
		case !c.signedIn:
			a.refuseNotSignedIn(w, r)
		default:
			c.mark(w)
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
			outer, _ := r.Context().Value(metKey{a}).(*authflow.Demand)
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
	if audience == "" || audience == a.clientID || audience == jwt.OrganizationAudience {
		panic("signin: RequireBearer needs the audience of an API, and not the client ID")
	}
	mustBeRules(rules)
	rules = slices.Clone(rules)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, e := a.bearer(r, audience)
			var u *User
			if e == nil {
				r = r.WithContext(c)
				u, _ = UserFrom(r.Context())
				foreign := c.token != nil && c.token.Organization != "" && !strings.HasPrefix(audience, jwt.OrganizationAudience)
				e = judgeBearer(r, u, foreign, rules)
			}
			if e != nil {
				a.refuseBearer(w, r, u, e)
				return
			}
			c.private(w.Header())
			next.ServeHTTP(w, r)
		})
	}
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

// WithRoutes serves the routes of Config (sign-in, callback, sign-out,
// back-channel logout) and passes everything else to next through [Auth.Load]. It guards nothing. It is
// for wrapping an existing tree of handlers, and belongs outside any router.
func (a *Auth) WithRoutes(next http.Handler) http.Handler {
	routes := map[string]http.Handler{
		a.paths.signIn:      a.SignIn(),
		a.paths.callback:    a.Callback(),
		a.paths.signOut:     a.SignOut(),
		a.paths.backChannel: a.BackChannelLogout(),
	}
	loaded := a.Load(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := routes[r.URL.Path]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		loaded.ServeHTTP(w, r)
	})
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
	demand := &authflow.Demand{MaxAge: d, MaxAgeAsked: true}
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
func (u *User) meets(demand *authflow.Demand) error {
	if u.met == nil {
		u.met = demand
	} else if both, possible := u.met.And(*demand); possible { // else the user has a class that is in neither alone
		u.met = &both
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
	demand := &authflow.Demand{ACR: values}
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
	if c, _ := r.Context().Value(callerKey{}).(*caller); c != nil {
		return c.auth.now()
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
	whole := *e // the rule may return it again
	if whole.Status = page.For(string(e.Code)).Status; whole.Status < 400 {
		whole.Status = http.StatusForbidden
	}
	return &whole
}

// with returns a step-up that meets e's demand and another, which has its own
// cause. Where no class of authentication meets both, it is a refusal: people would
// be sent to the provider for one and for the other without end.
func (e *Error) with(demand *authflow.Demand, cause error) *Error {
	met, possible := demand.And(*e.stepUp)
	if !possible {
		return newError(ErrForbidden, errors.Join(cause, e.Err))
	}
	both := *e
	both.stepUp, both.Err = &met, errors.Join(cause, e.Err)
	return &both
}

func stepUpOf(err error) *authflow.Demand {
	var e *Error
	if errors.As(err, &e) {
		return e.stepUp
	}
	return nil
}
