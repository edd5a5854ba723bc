package interop

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v5"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/interop/form"
	"github.com/gosignin/signin/signintest"
)

// routers mount the same application on each router, each in its own idiom.
var routers = []struct {
	name  string
	mount func(*signin.Auth) http.Handler
}{
	{"chi", onChi},
	{"gorilla mux", onGorilla},
	{"ServeMux", onServeMux},
	{"echo", onEcho},
	{"gin", onGin},
}

func onChi(auth *signin.Auth) http.Handler {
	r := chi.NewRouter()
	r.Get("/sign-in", auth.SignIn())
	r.Get("/callback", auth.Callback())
	r.HandleFunc("/sign-out", auth.SignOut()) // GET and POST
	r.Post("/backchannel-logout", auth.BackChannelLogout())
	r.With(auth.Load).Get("/", home)
	r.Group(func(r chi.Router) {
		r.Use(auth.RequireAuth)
		r.Get("/account", account)
	})
	return r
}

func onGorilla(auth *signin.Auth) http.Handler {
	r := mux.NewRouter()
	r.HandleFunc("/sign-in", auth.SignIn()).Methods("GET")
	r.HandleFunc("/callback", auth.Callback()).Methods("GET")
	r.HandleFunc("/sign-out", auth.SignOut()).Methods("GET", "POST")
	r.HandleFunc("/backchannel-logout", auth.BackChannelLogout()).Methods("POST")
	r.Handle("/", auth.Load(http.HandlerFunc(home)))
	guarded := r.NewRoute().Subrouter()
	guarded.Use(auth.RequireAuth)
	guarded.HandleFunc("/account", account)
	return r
}

func onServeMux(auth *signin.Auth) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /sign-in", auth.SignIn())
	m.HandleFunc("GET /callback", auth.Callback())
	m.HandleFunc("/sign-out", auth.SignOut()) // GET and POST
	m.HandleFunc("POST /backchannel-logout", auth.BackChannelLogout())
	m.Handle("GET /{$}", auth.Load(http.HandlerFunc(home)))
	m.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account)))
	return m
}

func onEcho(auth *signin.Auth) http.Handler {
	e := echo.New()
	e.GET("/sign-in", echo.WrapHandler(auth.SignIn()))
	e.GET("/callback", echo.WrapHandler(auth.Callback()))
	e.Match([]string{"GET", "POST"}, "/sign-out", echo.WrapHandler(auth.SignOut()))
	e.POST("/backchannel-logout", echo.WrapHandler(auth.BackChannelLogout()))
	e.GET("/", echo.WrapHandler(auth.Load(http.HandlerFunc(home))))
	guarded := e.Group("", echo.WrapMiddleware(auth.RequireAuth))
	guarded.GET("/account", func(c *echo.Context) error {
		user, _ := signin.UserFrom(c.Request().Context())
		return c.String(http.StatusOK, profile(user))
	})
	return e
}

func onGin(auth *signin.Auth) http.Handler {
	r := gin.New()
	r.GET("/sign-in", gin.WrapF(auth.SignIn()))
	r.GET("/callback", gin.WrapF(auth.Callback()))
	r.Match([]string{"GET", "POST"}, "/sign-out", gin.WrapF(auth.SignOut()))
	r.POST("/backchannel-logout", gin.WrapF(auth.BackChannelLogout()))
	r.GET("/", gin.WrapH(auth.Load(http.HandlerFunc(home))))
	guarded := r.Group("", guard(auth.RequireAuth))
	guarded.GET("/account", func(c *gin.Context) {
		user, _ := signin.UserFrom(c.Request.Context())
		c.String(http.StatusOK, profile(user))
	})
	return r
}

// guard makes a middleware of net/http one of gin.
func guard(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		for _, p := range c.Params {
			c.Request.SetPathValue(p.Key, p.Value) // for r.PathValue in rules
		}
		passed := false
		middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r // whose context has the user
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort() // otherwise gin would call the handler after the refusal
		}
	}
}

func TestRouters_SignInRefreshAndSignOut(t *testing.T) {
	t.Parallel()
	for _, provider := range foreignsWithEachKey {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			servers, ops := startFor(t, provider, len(routers))
			for i, router := range routers {
				t.Run(router.name, func(t *testing.T) {
					t.Parallel()
					a := serve(t, servers[i], router.mount, ops[i], "")
					v := newVisitor(t)
					checkSignIn(t, a, v)
					checkRefresh(t, a, v)
					checkSignOut(t, a, v)
				})
			}
		})
	}
}

// Each router gives a rule the path's values, and calls no handler after a refusal.
func TestRouters_RuleAboutPath(t *testing.T) {
	t.Parallel()
	const path = "/organizations/{organization}"
	inPath := func(r *http.Request) string { return r.PathValue("organization") }
	mounts := map[string]func(*signin.Auth, http.HandlerFunc) http.Handler{
		"ServeMux": func(auth *signin.Auth, h http.HandlerFunc) http.Handler {
			m := http.NewServeMux()
			m.Handle(path, auth.Require(signin.MemberOfFunc(inPath))(h))
			return m
		},
		"chi": func(auth *signin.Auth, h http.HandlerFunc) http.Handler {
			r := chi.NewRouter()
			r.With(auth.Require(signin.MemberOfFunc(inPath))).Get(path, h)
			return r
		},
		"gorilla mux": func(auth *signin.Auth, h http.HandlerFunc) http.Handler {
			r := mux.NewRouter()
			member := signin.MemberOfFunc(func(r *http.Request) string { return mux.Vars(r)["organization"] })
			r.Handle(path, auth.Require(member)(h))
			return r
		},
		"echo": func(auth *signin.Auth, h http.HandlerFunc) http.Handler {
			e := echo.New()
			e.GET("/organizations/:organization", echo.WrapHandler(h), echo.WrapMiddleware(auth.Require(signin.MemberOfFunc(inPath))))
			return e
		},
		"gin": func(auth *signin.Auth, h http.HandlerFunc) http.Handler {
			r := gin.New()
			r.GET("/organizations/:organization", guard(auth.Require(signin.MemberOfFunc(inPath))), gin.WrapF(h))
			return r
		},
	}
	member := &signin.User{Subject: "ada", Organizations: []string{"one"}}
	for name, mount := range mounts {
		for _, test := range []struct {
			name, path string
			user       *signin.User
			status     int
		}{
			{"a member", "/organizations/one", member, http.StatusOK},
			{"a member of another organization", "/organizations/two", member, http.StatusForbidden},
			{"not signed in", "/organizations/one", nil, http.StatusUnauthorized},
		} {
			t.Run(name+", "+test.name, func(t *testing.T) {
				t.Parallel()
				auth, err := signin.New(signin.Config{
					Issuer: "https://provider.example", ClientID: "c", ClientSecret: "s", BaseURL: "http://localhost",
					Scopes: []string{"urn:logto:scope:organizations"},
					Logger: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				calls := 0
				h := mount(auth, func(w http.ResponseWriter, r *http.Request) {
					calls++
					if user, ok := signin.UserFrom(r.Context()); !ok || user.Subject != "ada" {
						t.Errorf("the handler got the user %+v; want ada", user)
					}
				})
				w, r := httptest.NewRecorder(), httptest.NewRequest("GET", test.path, nil)
				h.ServeHTTP(w, signintest.WithUser(r, test.user))
				if want := map[bool]int{true: 1}[test.status == http.StatusOK]; w.Code != test.status || calls != want {
					t.Errorf("got %d, and %d calls of the handler; want %d, and %d", w.Code, calls, test.status, want)
				}
			})
		}
	}
}

// checkSignIn goes from a guarded page to the provider and back to the page.
func checkSignIn(t *testing.T, a *application, v *visitor) {
	t.Helper()
	a.wantSignedOut(t, v)
	at := v.visit(a.url + "/account")
	if !strings.HasPrefix(at.url.String(), a.op.issuer+"/") {
		t.Fatalf("a guarded page, signed out, led to %s; want the provider%s", at.url, at.way())
	}
	at = v.passProvider(at, a.op.issuer, "ada")
	if want := a.url + "/account"; at.url.String() != want || at.status != http.StatusOK {
		t.Fatalf("sign-in ended at %s with %d; want %s with 200%s\n%s", at.url.Path, at.status, want, at.way(), at.body)
	}
	checkAccount(t, a, at)
	a.wantSignedIn(t, v, "ada")
	checkSignature(t, a, a.wire.of("authorization_code"))
	checkUserInfo(t, a, a.wire.of("authorization_code"))
}

// checkRefresh lets the access token become due twice. Both providers replace the
// refresh token at each use, so the second refresh needs the token from the first.
func checkRefresh(t *testing.T, a *application, v *visitor) {
	t.Helper()
	for i := range 2 {
		a.clock.move(untilRefresh)
		checkAccount(t, a, v.visit(a.url+"/account"))
		refreshes := a.wire.of("refresh_token")
		if len(refreshes) != i+1 {
			t.Fatalf("refreshes: got %d; want %d", len(refreshes), i+1)
		}
		if e := refreshes[i]; e.status != http.StatusOK || e.client != a.op.clientID || e.secret != a.op.clientSecret {
			t.Errorf("refresh %d: got %d of client %q; want 200 of the authenticated client", i+1, e.status, e.client)
		}
		checkSignature(t, a, refreshes)
		checkUserInfo(t, a, refreshes)
	}
	a.wantSignedIn(t, v, "ada")
}

// checkSignOut checks that a sign-out ends the session here, in a copy of the
// cookies, and at the provider, which asks for a name again.
func checkSignOut(t *testing.T, a *application, v *visitor) {
	t.Helper()
	thief := copyOf(t, v, a.url)
	a.wantSignedIn(t, thief, "ada")
	newest := a.wire.of("refresh_token")
	refreshToken := newest[len(newest)-1].tokens.RefreshToken

	at := v.passProvider(v.follow(v.visit(a.url+"/"), "/sign-out"), a.op.issuer, "")
	if !strings.HasPrefix(at.url.String(), a.url) || at.url.Path != "/" || at.status != http.StatusOK {
		t.Errorf("sign-out ended at %s with %d; want the application's home page%s", at.url.Path, at.status, at.way())
	}
	revoked := a.wire.revocations()
	if len(revoked) != 1 {
		t.Fatalf("revocations: got %d; want 1", len(revoked))
	}
	if e := revoked[0]; e.status != http.StatusOK || e.client != a.op.clientID || e.secret != a.op.clientSecret || e.form.Get("token") != refreshToken {
		t.Errorf("revocation: got status %d, client %q, newest refresh token %t; want 200 to the authenticated client for the newest",
			e.status, e.client, e.form.Get("token") == refreshToken)
	}
	a.wantSignedOut(t, v)
	a.wantSignedOut(t, thief)
	at = v.visit(a.url + "/account")
	f, ok := form.First(at.body)
	if !strings.HasPrefix(at.url.String(), a.op.issuer+"/") || !ok || !f.Values.Has("login") {
		t.Errorf("the account page after sign-out: got %s; want the provider to ask for a name%s", at.url.Path, at.way())
	}
}

// checkAccount checks that the account page shows all that the provider said about
// ada in the ID token and at userinfo.
func checkAccount(t *testing.T, a *application, at *page) {
	t.Helper()
	want := "subject=ada\nissuer=" + a.op.issuer + "\nname=Person ada\nemail=ada@example.com\npicture=https://example.com/ada.png\n"
	if at.body != want {
		t.Errorf("the account page: got %q; want %q", at.body, want)
	}
}

// checkSignature checks which algorithm signed the ID tokens. The application
// verifies the signatures.
func checkSignature(t *testing.T, a *application, tokens []exchange) {
	t.Helper()
	for _, e := range tokens {
		if got := header(t, e.tokens.IDToken)["alg"]; got != string(a.op.alg) {
			t.Errorf("an ID token is signed with %v; want %s", got, a.op.alg)
		}
	}
}

// checkUserInfo checks that the last request to userinfo had the newest access
// token.
func checkUserInfo(t *testing.T, a *application, token []exchange) {
	t.Helper()
	asked := a.wire.those(func(e exchange) bool { return e.bearer != "" })
	if len(token) == 0 || len(asked) == 0 {
		t.Fatalf("got %d token responses, %d userinfo requests; want some of each", len(token), len(asked))
	}
	if got := asked[len(asked)-1]; got.status != http.StatusOK || got.bearer != token[len(token)-1].tokens.AccessToken {
		t.Errorf("userinfo: got %d with the newest access token %t; want 200 with it",
			got.status, got.bearer == token[len(token)-1].tokens.AccessToken)
	}
}

// copyOf returns a browser with a copy of v's cookies for the application.
func copyOf(t *testing.T, v *visitor, application string) *visitor {
	t.Helper()
	u, err := url.Parse(application)
	if err != nil {
		t.Fatal(err)
	}
	other := newVisitor(t)
	other.client.Jar.SetCookies(u, v.client.Jar.Cookies(u))
	return other
}
