// Package signin signs people in to any net/http application through Logto, or
// any other OpenID Connect provider.
//
// It keeps their tokens in sealed cookies, or in any gorilla store, and hands the
// verified user to handlers in the request context:
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
//   - BaseURL is the only source of redirect URIs: no address is made from Host
//     or X-Forwarded-* headers.
//   - Guards do not compare Origin: wrap handlers of unsafe methods in
//     [http.CrossOriginProtection].
//   - Links in pages point to the routes: /sign-in?return_to=/where/they/were.
//   - More than one process needs Config.Shared, or a sign-out in one leaves
//     copies of the session's cookie alive in the others.
//
// # Security model
//
// Sessions are sealed with AES-256-GCM before any store sees them: neither
// browser, disk nor database learns a token. Each sign-in is bound to the
// browser that began it by state, nonce and PKCE (RFC 9700), each response to
// its provider by iss (RFC 9207). A sign-out reaches copies of the cookie. A thief
// who copies a cookie from a running browser can act as that person until the
// session ends, or until the copy is found to be stale, hours after its last use;
// nothing that is kept in a cookie can prevent that. docs/security.md says more.
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
	"github.com/gosignin/signin/internal/callback"
	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/page"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/returnto"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/settings"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/internal/tokens"
)

// Config says which provider signs people in, and how their sessions are kept. It
// is read once, by [New]; changing it or its slices afterwards has no effect.
// LogtoEndpoint or Issuer, ClientID, ClientSecret, BaseURL and, except on loopback,
// Keys are required; the zero value of every other field is its default. It holds
// secrets: do not log it.
type Config struct {
	// LogtoEndpoint is the endpoint of a Logto tenant, such as
	// "https://tenant.logto.app": the host alone, without "/oidc". It needs https,
	// except on loopback. For any other provider, set Issuer instead; to set both
	// is a mistake.
	LogtoEndpoint string
	// Issuer is a provider's issuer identifier, exactly as its discovery document
	// states it (OpenID Connect Discovery 1.0, section 4.3). It needs
	// https, except on localhost, 127.0.0.0/8 and ::1.
	Issuer string
	// ClientID and ClientSecret are what the provider calls this application:
	// at Logto, App ID and App secret of a "Traditional web" application.
	ClientID     string
	ClientSecret string
	// Provider is for providers that need something special.
	Provider ProviderConfig

	// BaseURL is where people reach this application, such as
	// "https://app.example.com" or "https://example.com/app". Redirect URIs are
	// made from it and from nothing else. It needs https, except on loopback
	// (localhost, *.localhost, 127.0.0.0/8, ::1). People must use this very host
	// name, since cookies belong to it: 127.0.0.1 is not localhost. Sessions are
	// sealed for it: a change signs everybody out.
	BaseURL string
	// Keys seal sessions: 32 bytes or more each, from a random source ("openssl
	// rand -hex 32"), used as they are. The first seals, all open. To rotate
	// without signing people out, deploy the new key last, then deploy it
	// first, and drop the old one when MaxLifetime and ten minutes have passed.
	// They may be empty only with a loopback BaseURL: a random key is then used,
	// and all sessions end when the process does.
	Keys [][]byte
	// Paths says where the routes are, and where people go afterwards.
	Paths Paths
	// DangerouslyAllowHTTP accepts plain http beyond loopback for the provider, its
	// endpoints and BaseURL. Any listener on the network can then sign in as anyone,
	// so it is for a development network, and logged at each start. With an http
	// BaseURL cookies are neither Secure nor named "__Host-".
	DangerouslyAllowHTTP bool

	// Scopes are asked for in addition to "openid profile offline_access", one in each
	// element: "email" for User.Email, "phone", "roles",
	// "urn:logto:scope:organizations", and the permissions of Resources:
	// Logto's tokens permit nothing that was not asked for here. People who are
	// signed in get added scopes at their next sign-in. A provider that does not list
	// offline_access is asked for it only if it is named here.
	Scopes []string
	// OmitDefaultScopes leaves out profile and offline_access. Logto gives a
	// refresh token only for offline_access. Others give one without (Keycloak,
	// where offline_access makes sessions offline ones that have no part in single
	// sign-on and back-channel logout). A session without a refresh token lasts as
	// long as IdleTimeout and MaxLifetime allow, and does not learn that the
	// provider has ended it.
	OmitDefaultScopes bool
	// Resources are the API resources that people grant access to with a
	// sign-in: absolute URIs without a fragment (RFC 8707). As with Scopes, a
	// change takes effect at the next sign-in: before that, asking for a token
	// gets [ErrUnknownResource], and at some providers that rotate refresh
	// tokens (npm oidc-provider) it ends the session.
	Resources []string
	// SignInOptions apply to every sign-in, those that guards start included.
	SignInOptions []SignInOption
	// MergeUserInfo fetches the userinfo endpoint at each sign-in and refresh,
	// one request each, and adds what the ID token lacks to the claims. A
	// sign-in fails if it fails; a refresh then keeps the claims it had.
	MergeUserInfo bool

	// Store keeps the sealed sessions. Default: cookies, of about 1 KB in all,
	// which is enough for nearly every application. A server-side store is for
	// tokens that do not fit 6 KB of cookies: hundreds of roles, or large JWT
	// access tokens. Any store for gorilla/sessions will do if it keeps the ID that
	// it has given a session; [Auth.Diagnose] finds out whether it does.
	Store sessions.Store
	// Shared keeps what all replicas of the application must know. Default: memory
	// of this process, which suits one process only. When the process ends, its
	// sign-outs are forgotten: older copies of a cookie work again until they
	// expire. Access tokens for APIs are kept there as well, sealed.
	Shared SharedState
	// CookieName is the name of the session cookie: 1 to 64 letters, digits, _
	// and -. Default "signin". With https it gets the prefix "__Host-". Two Auths
	// on one host need different names, and different paths for their routes.
	CookieName string
	// IdleTimeout ends a session that is not used. Default 24 hours; a negative
	// value is a mistake, here and in the next three fields. The last use is saved
	// only after a quarter of this time, so a session may end up to a quarter
	// early. Raising it revives copies of sessions that were signed out longer ago
	// than the old value.
	IdleTimeout time.Duration
	// MaxLifetime ends a session however much it is used. Default 14 days. The
	// limit that is reached first ends the session.
	MaxLifetime time.Duration
	// MaxOffline is how long a session with a refresh token goes on after its
	// access token has expired while the provider is down, or refuses a refresh for
	// a reason that may pass, or while its answers bring no claims that can be used.
	// Requests are then answered with 503 until a refresh succeeds; the session does
	// not end. Default 8 hours.
	MaxOffline time.Duration
	// RefreshBefore is how long before the access token's expiry it is
	// refreshed, at most half of its life. Default 60 seconds.
	RefreshBefore time.Duration

	// OnSignIn, unless nil, is called in the callback of each sign-in and step-up, before
	// the session is saved: to insert a row for a new user, to merge a cart, to refuse a
	// stranger. An error refuses: the person is not signed in here, and a session from
	// before goes on. A [Code] or *[Error] decides the status and the message of the
	// page, which offers to use another account; any other error is a 500 page. A panic
	// refuses too, and goes on as a panic.
	//
	// The request is the callback's. Its context has the user, and is done after ten
	// seconds, but not when the client goes away. [AccessToken] returns the sign-in's own
	// token, and an error for any other. [Auth.EndSessions] for this user spares this
	// sign-in. A row must be found by Issuer and Subject. OnSignIn must be safe for
	// concurrent use, also for one user, who may sign in twice at once.
	OnSignIn func(*http.Request, *User) error

	// HTTPClient sends the requests to the provider. Default: the package's
	// client. It is copied; the copy has a time-out of 10 seconds and follows
	// no redirects. Its Transport is used as it is, for a proxy or a private
	// certificate authority, by [Transport] too: one that adds credentials
	// gives them to every host that an API redirects to.
	HTTPClient *http.Client
	// Logger gets one record for each thing that went wrong, and at the start what
	// to register at the provider. Default slog.Default(). No token, code, secret
	// or cookie is ever logged.
	Logger *slog.Logger
	// OnEvent, unless nil, is called for each Event, before the answer is
	// written; a slow one delays the answer. It must be safe for concurrent
	// use.
	OnEvent func(context.Context, Event)
	// Pages, unless nil, writes every page of this package, in the
	// application's own layout and the page's Language: it sets Content-Type,
	// calls WriteHeader with the page's Status, and writes a body. Cookies are set already, and the
	// headers that keep the page out of caches and frames:
	// "Content-Security-Policy: frame-ancestors 'none'", to which a policy for
	// the layout's styles can be added, and "Referrer-Policy: same-origin",
	// which the form that confirms a sign-out needs. Pages is not called for
	// refusals that are not pages: redirects, and problem documents for
	// programs. It must be safe for concurrent use.
	//
	// The user is in the request's context below a guard or Load, and not in
	// the routes: for a layout that greets people, wrap WithRoutes in
	// [Auth.Load].
	Pages func(http.ResponseWriter, *http.Request, *Page)
	// Now is the clock, for tests. Default time.Now.
	Now func() time.Time
}

// ProviderConfig is for what some providers need. Its zero value suits most.
type ProviderConfig struct {
	// SigningAlgs pins the algorithms that may sign ID tokens, logout tokens
	// and, for [Auth.RequireBearer], access tokens. Default: those the provider
	// lists for ID tokens, of RS256, RS384, RS512, PS256, PS384, PS512, ES256,
	// ES384, ES512, EdDSA and Ed25519. Symmetric algorithms and "none" are
	// never accepted.
	SigningAlgs []string
	// DiscoveryURL is where the provider's metadata are, if not below the issuer
	// at /.well-known/openid-configuration: at Azure AD B2C they are elsewhere, and
	// in a container network the provider may have another name inside. The issuer
	// in the metadata must be the one configured all the same.
	DiscoveryURL string
	// Endpoints replaces what the metadata say, by the names that they use:
	// authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint,
	// end_session_endpoint and revocation_endpoint. An empty value says that the
	// endpoint is not to be used; the first three are required. Parameters in the
	// query of end_session_endpoint are kept and not added again, such as
	// Amazon Cognito's client_id and logout_uri.
	Endpoints map[string]string
	// ClientAuth is how this client shows its secret: "client_secret_basic" or
	// "client_secret_post". Default: the first of these that the metadata list.
	// Some providers list both and take one; some do not decode a secret with
	// special characters from Basic, as RFC 6749, section 2.3.1, has it encoded.
	ClientAuth string
	// RolesClaim is the claim that holds the roles of [User.Roles] and [HasRole]: a name
	// such as "groups" or "cognito:groups" or, if it begins with a slash, a JSON pointer
	// (RFC 6901) such as "/realm_access/roles". Its value is a list of strings, or one
	// string. Default: "roles". It applies to ID tokens, userinfo and, for
	// [Auth.RequireBearer], access tokens. A change takes effect at once, for people who
	// are signed in too. Make sure that people cannot set
	// it themselves at the provider.
	RolesClaim string
}

// Paths are paths of the application, as the browser sees them.
type Paths struct {
	// The routes: mount the handler that a field names at its path. They default to
	// /sign-in, /callback, /sign-out and /backchannel-logout under BaseURL's path.
	SignIn            string // [Auth.SignIn]
	Callback          string // [Auth.Callback]
	SignOut           string // [Auth.SignOut]
	BackChannelLogout string // [Auth.BackChannelLogout]
	// AfterSignIn and AfterSignOut are where people land by default. They
	// default to BaseURL's path with a slash at its end. Register AfterSignOut,
	// as an absolute URL, as the post sign-out redirect URI.
	AfterSignIn  string
	AfterSignOut string
}

// Auth is one application's sign-in: its handlers and guards. It is made by
// [New], immutable, and safe for concurrent use. The zero Auth is not valid.
type Auth struct {
	issuer    string
	logto     bool
	roles     string // where they are; see session.ParseClaims
	clientID  string
	base      *url.URL // where people reach the application
	paths     Paths    // complete
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
	cookieName   string // of the session; the others begin with it and a dot
	returnTo     returnto.Rule
	sameSite     *http.CrossOriginProtection
	flow         *callback.Flow

	log      *slog.Logger
	onSignIn func(*http.Request, *User) error
	onEvent  func(context.Context, Event)
	pages    func(http.ResponseWriter, *http.Request, *Page)
	now      func() time.Time
}

// New checks cfg and returns its Auth. It does no I/O: the provider is
// discovered when it is first needed, so an application starts while its
// provider is down.
//
// The error joins every mistake in cfg, each with its field's name.
func New(cfg Config) (*Auth, error) {
	c := new(settings.Checker)
	a := &Auth{
		clientID: cfg.ClientID, logto: cfg.LogtoEndpoint != "",
		defaults: slices.Clone(cfg.SignInOptions), onSignIn: cfg.OnSignIn, onEvent: cfg.OnEvent, pages: cfg.Pages,
		log: cmp.Or(cfg.Logger, slog.Default()), now: cfg.Now,
	}
	if a.now == nil {
		a.now = time.Now
	}
	a.checkProvider(c, &cfg)
	a.checkApplication(c, &cfg)
	a.checkOptions(c)
	limits := session.Limits{
		Idle: settings.Check(c, "IdleTimeout", cmp.Or(cfg.IdleTimeout, 24*time.Hour), settings.Duration),
		Max:  settings.Check(c, "MaxLifetime", cmp.Or(cfg.MaxLifetime, 14*24*time.Hour), settings.Duration),

		Offline: settings.Check(c, "MaxOffline", cmp.Or(cfg.MaxOffline, 8*time.Hour), settings.Duration),
	}
	ahead := settings.Check(c, "RefreshBefore", cmp.Or(cfg.RefreshBefore, time.Minute), settings.Duration)
	a.cookies.Secure = a.base != nil && a.base.Scheme == "https"
	name := settings.Check(c, "CookieName", cmp.Or(cfg.CookieName, "signin"), func(s string) (string, error) { return settings.CookieName(s, a.cookies.Secure) })
	a.cookieName = name
	keys := settings.Keys(c, cfg.Keys, seal.MinKey, a.base)
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := a.build(&cfg, name, keys, limits, ahead); err != nil {
		return nil, err
	}
	a.announce(&cfg)
	return a, nil
}

// Logto's scope and resource for the organizations of a person.
const (
	organizationsScope    = "urn:logto:scope:organizations"
	organizationsResource = "urn:logto:resource:organizations"
)

// Load lets every request pass, and gives the user to those that have one; see
// [UserFrom]. It is for pages that look different to people who are signed in.
// If a request brings a session that cannot be looked up, the answer is an
// error page: guessing would sign people in or out by accident.
//
// Responses carry "Vary: Cookie", and those to signed-in people also
// "Cache-Control: no-store" unless next sets its own.
func (a *Auth) Load(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, c := a.caller(w, r)
		if c.err != nil {
			a.fail(w, r, c.err)
			return
		}
		c.mark(w)
		next.ServeHTTP(w, r)
	})
}

// WithRoutes serves the routes of Config.Paths (sign-in, callback, sign-out,
// back-channel logout) and passes everything else to next through [Auth.Load].
// It guards nothing. It wraps an existing tree of handlers, outside any router.
// An [http.CrossOriginProtection] for the tree goes inside, around next: the
// routes check by themselves where a request comes from.
func (a *Auth) WithRoutes(next http.Handler) http.Handler {
	routes := map[string]http.Handler{
		a.paths.SignIn:            a.SignIn(),
		a.paths.Callback:          a.Callback(),
		a.paths.SignOut:           a.SignOut(),
		a.paths.BackChannelLogout: a.BackChannelLogout(),
	}
	loaded := a.Load(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := routes[r.URL.Path]
		if h == nil { // a proxy may have cut off the path of BaseURL
			h = routes[a.base.Path+r.URL.Path]
		}
		if h != nil {
			h.ServeHTTP(w, r)
			return
		}
		loaded.ServeHTTP(w, r)
	})
}

// RequireAuth lets requests of signed-in people pass, and refuses all others. A
// person who navigates (GET with Accept: text/html, no frame, no prefetch) is
// sent to sign in and then back. Inertia gets 409 with X-Inertia-Location. Every other
// request gets 401: HTMX gets HX-Redirect, a form gets a page, and a program gets a
// problem document (RFC 9457) whose code is "not_signed_in" and whose sign_in_url is
// where a person signs in. It accepts sessions of this Auth only, and, below
// [Auth.RequireBearer], the caller that was let in there.
//
// Guards do not compare Origin: wrap handlers of unsafe methods in
// [http.CrossOriginProtection].
//
// Responses carry "Cache-Control: no-store" and "Vary: Cookie" unless next sets
// its own. A public Cache-Control behind a guard would publish one person's
// page, and perhaps their cookie.
func (a *Auth) RequireAuth(next http.Handler) http.Handler {
	return a.guard(guard{}, next)
}

// Require lets requests of people pass if all rules hold for them. It includes
// [Auth.RequireAuth]: a user who is not signed in is asked to, and the provider
// is told at once what [AuthenticatedWithin] and [ACR] demand. A user who is
// signed in but not allowed gets 403, as a page or a problem document (RFC
// 9457), and never another sign-in. A rule that wants a step-up
// ([AuthenticatedWithin], [ACR]) sends a person who navigates to the provider
// and then back, if all the other rules hold; every other request gets 401 with
// the code "step_up_required" and a sign_in_url.
//
// Guards may be nested. Each judges its own rules; a step-up for one also asks
// for what the guards around it demand. Below [Auth.RequireBearer] or
// [Auth.RequireSessionOrBearer], rules are about the caller that was let in
// there.
//
// Require panics for the zero Rule, for rules that no authentication can meet
// together, for classes that the sign-in route refuses (see [ACR]): more than 32,
// more than 512 bytes, or characters beyond ASCII, and at Logto for any class.
func (a *Auth) Require(rules ...Rule) func(http.Handler) http.Handler {
	g := a.mount(rules)
	return func(next http.Handler) http.Handler { return a.guard(g, next) }
}

func (a *Auth) guard(g guard, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, c := a.caller(w, r)
		switch {
		case c.err != nil:
			failed := *c.err
			failed.unsaved = true
			a.fail(w, r, &failed)
			return
		case !c.signedIn:
			a.refuseNotSignedIn(w, r, requestkind.Of(r), g.demand, "", true)
			return
		}
		if len(g.rules) > 0 {
			u, _ := UserFrom(r.Context()) // the user is signed in
			var e *Error
			if r, _, e = g.judge(a, r, candidate{User: u}); e != nil {
				e.unsaved = true
				a.refuse(w, r, u, e)
				return
			}
		}
		c.mark(w)
		next.ServeHTTP(w, r)
	})
}

// RequireBearer lets requests pass that bring a JWT access token in their
// Authorization header (RFC 6750), made by the provider for audience: an API
// resource of this application, or "urn:logto:organization:<id>". It is for
// APIs, next to sessions: it ignores cookies, so it needs no protection against
// cross-site requests.
//
// The token's signature, issuer, audience, times and kind are checked (RFC
// 9068, RFC 8725); ID tokens are refused. Then all rules must hold, of which
// [HasScope] is the usual one. Tokens that an application got for itself,
// without a person, are refused without [AllowMachines]. Tokens that hold
// within an organization (organization_id) are refused unless [MemberOf],
// [HasOrganizationRole] or their Func forms ask for it: their scopes are those
// of a role there, and not everywhere. A token is a machine's if its sub is the
// client, as RFC 9068 demands; for a provider that gives machines other subjects
// (Keycloak, Auth0), write a rule that recognizes them.
//
// Handlers find the user with [UserFrom]; what an access token does not state
// is empty there, most often the name. [Auth.Load] and [Auth.RequireAuth] below
// RequireBearer change nothing, and [Auth.Require] judges the same user; a
// RequireBearer of the same audience does not verify the token again, even if a
// handler between the two changes the header.
//
// Refusals are problem documents (RFC 9457) with the challenges of RFC 6750 and
// RFC 9470: 401, 403 for a rule that does not hold, 400 for an Authorization
// header that is malformed, 503 while the keys cannot be fetched. As usual for
// access tokens, a token is good until it expires, even if its user signs out
// meanwhile.
//
// An application that is only an API needs no routes, but still the required
// fields of Config: a ClientID and ClientSecret at the provider, and a BaseURL
// and Keys, which it does not use.
//
// RequireBearer panics for an audience that is empty, for the client ID (which
// is the audience of ID tokens), for an organization's audience without its ID,
// and for the rules for which [Auth.Require] panics.
func (a *Auth) RequireBearer(audience string, rules ...Rule) func(http.Handler) http.Handler {
	if audience == "" || audience == a.clientID || audience == jwt.OrganizationAudience {
		panic(fmt.Sprintf("signin: RequireBearer of %q; needs the audience of an API, and not the client ID", audience))
	}
	g := a.mount(rules)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r, c, e := a.bearer(r, audience)
			var u *User
			if e == nil {
				u, _ = UserFrom(r.Context())
				r, e = g.judgeBearer(a, r, u, c.foreign())
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

// RequireSessionOrBearer is for routes that both browsers and programs call: it
// treats a request with an Authorization header as [Auth.RequireBearer] does,
// by that header alone, and any other as [Auth.Require] does. The same rules
// apply to both. [HasScope] says little about a session, so a rule for both is
// a [RuleFunc] that looks at which of the two it has been given; see the
// example.
func (a *Auth) RequireSessionOrBearer(audience string, rules ...Rule) func(http.Handler) http.Handler {
	session, bearer := a.Require(rules...), a.RequireBearer(audience, rules...)
	return func(next http.Handler) http.Handler {
		forPeople, forPrograms := session(next), bearer(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// If a handler between two guards removed the header, its token has
			// already been judged.
			if _, there := r.Header["Authorization"]; there || a.hasToken(r) {
				forPrograms.ServeHTTP(w, r)
				return
			}
			forPeople.ServeHTTP(w, r)
		})
	}
}

// A Rule is a condition on the user that a request comes from, for
// [Auth.Require] and the other guards. It is made by one of the functions
// below, does not change, and may be used by many guards at once. The zero Rule
// is not valid.
type Rule struct {
	holds    func(*http.Request, candidate) (met, error) // judges a candidate
	demand   authflow.Demand                             // what it demands of the authentication
	classes  []string                                    // all that it or an alternative of it asks for
	machines bool                                        // whether it is AllowMachines
}

// met is why a rule holds.
type met struct {
	organization bool            // whether it is about the organization that the token was made for
	demand       authflow.Demand // what it demands of the authentication
}

// candidate is a user who is being judged.
type candidate struct {
	*User
	organization string // that the user's bearer token was made for
}

// HasRole holds for people with a role. With Logto it needs "roles" in
// Config.Scopes; without it Logto states no roles, and every user is refused. With
// another provider, ProviderConfig.RolesClaim says where the roles are. The page of a
// refusal shows the role, so it must not come from a request.
func HasRole(role string) Rule {
	return userRule(func(u *User) error { return needs(u.Roles, "role", role, page.MissingRole, role) })
}

// HasScope holds if a scope was granted: with the sign-in or, behind
// [Auth.RequireBearer], with the token of the request. The scopes of a session are
// what the application may ask for (at Logto never a permission of an API, at many
// providers all that it has asked for), and say nothing about what the person may
// do: for sessions, use a role.
func HasScope(scope string) Rule {
	return userRule(func(u *User) error {
		err := needs(u.Scopes, "scope", scope, page.MissingPermission)
		if e, ok := err.(*Error); ok {
			e.scope = scope
		}
		return err
	})
}

func userRule(holds func(*User) error) Rule {
	return Rule{holds: func(_ *http.Request, c candidate) (met, error) { return met{}, holds(c.User) }}
}

// MemberOf holds for members of an organization, by its ID, and for tokens that
// were made for it. It needs "urn:logto:scope:organizations" in Config.Scopes.
func MemberOf(organization string) Rule {
	return organizationRule(organization, nil, member)
}

// MemberOfFunc is [MemberOf] for an organization that the request names, most
// often in its path:
//
//	signin.MemberOfFunc(func(r *http.Request) string { return r.PathValue("organization") })
//
// That is for ServeMux and chi; with gorilla/mux it is
// mux.Vars(r)["organization"].
//
// If the organization is empty, the guard is mounted outside the route that
// names it, which is a mistake of the program: the answer is 500, and the log
// says so.
func MemberOfFunc(organization func(*http.Request) string) Rule {
	return organizationRule("", organization, member)
}

func member(u *User, organization string) error {
	return needs(u.Organizations, "membership in", organization, page.MissingOrganization)
}

// HasOrganizationRole holds for people with a role in an organization. Only
// members have one, so there is no need to add MemberOf. It needs the scope
// "urn:logto:scope:organization_roles".
func HasOrganizationRole(organization, role string) Rule {
	return organizationRule(organization, nil, roleHolder(role))
}

// HasOrganizationRoleFunc is [HasOrganizationRole] for an organization that the
// request names; see [MemberOfFunc].
func HasOrganizationRoleFunc(organization func(*http.Request) string, role string) Rule {
	return organizationRule("", organization, roleHolder(role))
}

func roleHolder(role string) func(*User, string) error {
	return func(u *User, organization string) error {
		// "a:b" with "c" is not "a" with "b:c".
		if strings.Contains(organization, ":") || organization == "" || role == "" {
			return needs(nil, "role", role, page.MissingRole, role)
		}
		return needs(u.OrganizationRoles, "organization role", organization+":"+role, page.MissingRole, role)
	}
}

// organizationRule is a rule about an organization or, if of is not nil, about
// the one that of finds in the request.
func organizationRule(organization string, of func(*http.Request) string, holds func(u *User, organization string) error) Rule {
	return Rule{holds: func(r *http.Request, c candidate) (met, error) {
		o := organization
		if of != nil {
			if o = of(r); o == "" {
				return met{}, newError(ErrInternal, errors.New("signin: a rule's organization is empty: its guard is mounted outside the route that names it"))
			}
		}
		return met{organization: o == c.organization}, holds(c.User, o)
	}}
}

// needs reports what is missing; an empty value counts as missing. The page says so in
// words that a person knows: an ID or a scope means nothing to them, and what comes from
// the request's path must not be written into this application's pages.
func needs(has []string, kind, value, text string, named ...any) error {
	if value != "" && slices.Contains(has, value) {
		return nil
	}
	return explained(ErrForbidden, fmt.Errorf("signin: needs the %s %q", kind, value), text, named...)
}

// AuthenticatedWithin holds for people who have authenticated no longer ago than d,
// give or take a minute, since clocks differ. Others are sent to the provider,
// which asks them to authenticate again and sends them back (a step-up). It
// protects actions that must not be possible at a browser that was left open. Guard
// the page with the form as well as the handler that the form is sent to: a form
// cannot be sent again after a sign-in.
//
// Only the provider's auth_time counts. If it states none even though it was asked
// (max_age), the step-up ends with an error page and not in a loop. With
// LogtoEndpoint each sign-in asks for it. If another provider states it only when
// asked, a user who signed in without [MaxAge] is asked to authenticate again once.
//
// AuthenticatedWithin panics if d is less than zero. Zero asks for an
// authentication within the last minute; it does not ask at each page view.
func AuthenticatedWithin(d time.Duration) Rule {
	if d < 0 {
		panic(fmt.Sprintf("signin: AuthenticatedWithin of %v; needs zero or more", d))
	}
	return authenticationRule(authflow.Demand{MaxAge: d, MaxAgeAsked: true})
}

// ACR holds for people whose authentication is of one of these classes, and
// asks others for a step-up, as [AuthenticatedWithin] does. It panics without
// values, or if one is not a single word.
//
// Not for Logto, which never states a class: with Config.LogtoEndpoint, guards panic
// for ACR, in [AnyOf] too. Use AuthenticatedWithin, or let Logto itself demand a second
// factor, of all people or of an organization's members.
func ACR(values ...string) Rule {
	values = slices.Clone(values)
	if len(values) == 0 || slices.ContainsFunc(values, func(s string) bool { return len(strings.Fields(s)) != 1 || s != strings.TrimSpace(s) }) {
		panic(fmt.Sprintf("signin: ACR of %q; needs classes of authentication, each a single word", values))
	}
	rule := authenticationRule(authflow.Demand{ACR: values})
	rule.classes = values
	return rule
}

func authenticationRule(demand authflow.Demand) Rule {
	return Rule{demand: demand, holds: func(r *http.Request, c candidate) (met, error) {
		if err := demand.Met(c.AuthTime, c.ACR, nowOf(r)); err != nil {
			e := newError(ErrStepUpRequired, err)
			e.stepUp = &demand
			return met{}, e
		}
		return met{demand: demand}, nil
	}}
}

// RuleFunc is a condition that the application defines: nil allows the request.
// An *[Error] decides the status and message of the refusal, and a [Code] its
// status and text; any other error is 403, and goes to Config.OnEvent only. A
// Code that the application defines reaches Config.Pages as Page.Code, and an
// Error's Message as Page.Text. The function may look at the request (an
// organization in its path, say) and at anything else (a database). It gets a
// copy of the user and must be safe for concurrent use. It cannot let in a
// token that holds within an organization: that takes [MemberOf]. A panic of
// the function is not recovered.
func RuleFunc(holds func(*http.Request, *User) error) Rule {
	return Rule{holds: func(r *http.Request, c candidate) (met, error) {
		return met{}, holds(r, clone(c.User))
	}}
}

// AllowMachines also lets in tokens that an application got for itself, without
// a person. Without it [Auth.RequireBearer] refuses them. All other rules apply
// to them. AllowMachines is not a condition, and demands nothing of people;
// where people need a role and machines do not, a [RuleFunc] can look at
// [User.Machine].
func AllowMachines() Rule {
	return Rule{machines: true, holds: func(*http.Request, candidate) (met, error) { return met{}, nil }}
}

// AnyOf holds if one of the rules does. If no rule does, the refusal is that of
// the first rule, or a step-up if that would meet one of them. A token that
// holds within an organization is let in if a rule that asks for that
// organization holds.
//
// AnyOf panics without rules, for the zero Rule, and for [AllowMachines].
func AnyOf(rules ...Rule) Rule {
	mustBeRules(rules)
	if len(rules) == 0 || slices.ContainsFunc(rules, func(rule Rule) bool { return rule.machines }) {
		panic("signin: AnyOf needs conditions, and AllowMachines is not one")
	}
	rules = slices.Clone(rules)
	demand, classes := rules[0].demand, rules[0].classes
	for _, rule := range rules[1:] {
		demand, classes = demand.Or(rule.demand), slices.Concat(classes, rule.classes)
	}
	return Rule{demand: demand, classes: classes, holds: func(r *http.Request, c candidate) (why met, err error) {
		held := false
		for _, rule := range rules {
			m, failed := rule.holds(r, c)
			switch {
			case failed == nil && (m.organization || c.organization == ""):
				return m, nil
			case failed == nil:
				why, held = m, true
			case err == nil, errors.Is(failed, ErrInternal), stepUpOf(err) == nil && stepUpOf(failed) != nil && !errors.Is(err, ErrInternal):
				err = failed
			}
		}
		if held {
			return why, nil
		}
		return met{}, err
	}}
}

// mustBeRules panics for the zero Rule.
func mustBeRules(rules []Rule) {
	if slices.ContainsFunc(rules, func(rule Rule) bool { return rule.holds == nil }) {
		panic("signin: a Rule is the zero Rule; make one with HasRole, RuleFunc or another function")
	}
}

// guard is the rules of one guard, and what they amount to.
type guard struct {
	rules    []Rule
	demand   authflow.Demand // of all of them
	machines bool            // whether machines are let in
}

// mount returns a guard with rules that the provider can meet.
func (a *Auth) mount(rules []Rule) guard {
	g := newGuard(rules)
	for _, rule := range rules {
		if err := a.checkDemand(authflow.Demand{ACR: rule.classes}); err != nil {
			panic(err)
		}
	}
	return g
}

// checkDemand returns an error if the provider cannot meet a demand.
func (a *Auth) checkDemand(d authflow.Demand) error {
	if a == nil || !a.logto {
		return nil
	}
	return d.CheckLogto()
}

func newGuard(rules []Rule) guard {
	mustBeRules(rules)
	g := guard{rules: slices.Clone(rules)}
	for _, rule := range rules {
		var possible bool
		if g.demand, possible = g.demand.And(rule.demand); !possible {
			panic("signin: no authentication can meet all rules of this guard")
		}
		g.machines = g.machines || rule.machines
	}
	if err := g.demand.CheckLink(); err != nil {
		panic(fmt.Errorf("signin: a guard redirects to a sign-in that is refused: %w", err))
	}
	return g
}

// demandKey is the key under which guards of one Auth tell those below them
// what they demand.
type demandKey struct{ auth *Auth }

// judge applies the rules and returns the refusal of the first that does not
// hold. A rule that a step-up would meet comes after all others: people must
// not sign in again for a page that they may not see. Several step-ups become one
// that meets them all, and the demands of the guards around this one: providers
// may state class and time of an authentication only if they are asked for
// both. A step-up of a RuleFunc that the provider cannot meet is a mistake of the
// program: no sign-in would help. asked reports whether a rule that holds has asked for the token's
// organization.
//
// The returned request is for the handlers below the guard.
func (g *guard) judge(a *Auth, r *http.Request, c candidate) (below *http.Request, asked bool, refused *Error) {
	demand, possible := g.demand, true
	outer, _ := r.Context().Value(demandKey{a}).(*authflow.Demand)
	if outer != nil {
		demand, possible = demand.And(*outer)
	}
	for _, rule := range g.rules {
		why, err := rule.holds(r, c)
		if err == nil {
			asked = asked || why.organization
			if possible { // what AnyOf demands is known only now
				demand, possible = demand.And(why.demand)
			}
			continue
		}
		e := asRefusal(err)
		e.ofRule = true
		if e.stepUp == nil {
			return r, asked, e
		}
		if possible {
			demand, possible = demand.And(*e.stepUp)
		}
		if refused != nil {
			e.Err = errors.Join(refused.Err, e.Err)
		}
		refused = e
	}
	switch err := a.checkDemand(demand); {
	case err != nil:
		refused = newError(ErrInternal, err)
	case refused == nil && !demand.IsZero():
		return r.WithContext(context.WithValue(r.Context(), demandKey{a}, &demand)), asked, nil
	case refused != nil && !possible:
		// People would be sent to the provider for one demand, then the other, forever.
		refused = newError(ErrForbidden, refused.Err)
	case refused != nil:
		refused.stepUp = &demand
	}
	return r, asked, refused
}

// judgeBearer judges the user of a bearer token. organization is the one that a
// token for an API was made for.
func (g *guard) judgeBearer(a *Auth, r *http.Request, u *User, organization string) (*http.Request, *Error) {
	below, asked, e := g.judge(a, r, candidate{u, organization})
	switch {
	case e != nil:
	case u.Machine && !g.machines:
		e = newError(ErrForbidden, errors.New("signin: the token is a machine's, and the guard does not have AllowMachines"))
	case organization != "" && !asked:
		e = newError(ErrForbidden, errors.New("signin: the token holds within an organization, and no rule asks for that one"))
	}
	return below, e
}
