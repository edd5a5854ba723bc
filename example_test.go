package signin_test

import (
	"context"
	"fmt"
	"html/template"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// exampleConfig is the configuration of the application in the examples.
func exampleConfig() signin.Config {
	return signin.Config{
		LogtoEndpoint: "https://tenant.logto.app",
		ClientID:      "app-id",
		ClientSecret:  "app-secret",
		BaseURL:       "https://app.example.com",
		Keys:          [][]byte{[]byte(strings.Repeat("a real one is random", 2))},
		Logger:        slog.New(slog.DiscardHandler),
	}
}

func home(w http.ResponseWriter, r *http.Request) {
	if user, ok := signin.UserFrom(r.Context()); ok {
		fmt.Fprintf(w, "Hello, %s", user.Name)
		return
	}
	fmt.Fprint(w, `<a href="/sign-in">Sign in</a> or <a href="/sign-up">sign up</a>`)
}

func account(w http.ResponseWriter, r *http.Request) {
	user, _ := signin.UserFrom(r.Context()) // behind RequireAuth there is always one
	fmt.Fprintf(w, "%s, signed in since %v", user.Name, user.SignedInAt)
}

// A whole application.
func Example() {
	auth, err := signin.New(signin.Config{
		LogtoEndpoint: os.Getenv("LOGTO_ENDPOINT"),
		ClientID:      os.Getenv("LOGTO_APP_ID"),
		ClientSecret:  os.Getenv("LOGTO_APP_SECRET"),
		BaseURL:       "https://app.example.com",
		Keys:          [][]byte{[]byte(os.Getenv("SIGNIN_KEY"))}, // openssl rand -hex 32
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/sign-in", auth.SignIn())
	mux.HandleFunc("/sign-up", auth.SignIn(signin.FirstScreen(signin.ScreenRegister)))
	mux.HandleFunc("/callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut())
	mux.Handle("/", auth.Load(http.HandlerFunc(home)))                  // the user, if there is one
	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(account))) // the user, or a sign-in
	log.Fatal(http.ListenAndServe(":8080", mux))
}

// Every mistake is reported at once, each with its field.
func ExampleNew() {
	_, err := signin.New(signin.Config{
		LogtoEndpoint: "https://tenant.logto.app/oidc", // the endpoint, not the issuer
		ClientID:      "app-id",
		ClientSecret:  "app-secret",
		BaseURL:       "http://app.example.com", // people's sessions over plain http
		Keys:          [][]byte{[]byte("secret")},
	})
	fmt.Println(err)
	// Output:
	// signin: Config.LogtoEndpoint is "https://tenant.logto.app/oidc"; needs the endpoint alone, such as https://tenant.logto.app
	// signin: Config.BaseURL is "http://app.example.com"; needs https; http is accepted on loopback only, or with DangerouslyAllowHTTP
	// signin: Config.Keys[0] has 6 bytes; needs 32 or more: openssl rand -hex 32
}

// Any other OpenID Connect provider is configured by its issuer.
func ExampleNew_otherProvider() {
	auth, err := signin.New(signin.Config{
		Issuer:       "https://accounts.example.org", // as its discovery document says it
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		BaseURL:      "https://app.example.com",
		Keys:         [][]byte{[]byte(os.Getenv("SIGNIN_KEY"))},
		Scopes:       []string{"email"},
	})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/account", auth.RequireAuth(http.HandlerFunc(account)))
}

// Sessions may be kept in any store for gorilla/sessions, which gets them sealed.
func ExampleConfig_filesystemStore() {
	cfg := exampleConfig()
	store := sessions.NewFilesystemStore("/var/lib/app/sessions", []byte(os.Getenv("STORE_KEY")))
	store.MaxLength(64 << 10) // 4 KB otherwise, which is too little for some people's tokens
	cfg.Store = store
	if _, err := signin.New(cfg); err != nil {
		log.Fatal(err)
	}
}

// A CookieStore works, up to its limit. With an empty Store the same cookies are
// half as long, and hold more than three times as much.
func ExampleConfig_cookieStore() {
	cfg := exampleConfig()
	cfg.Store = sessions.NewCookieStore([]byte(os.Getenv("STORE_KEY")))
	if _, err := signin.New(cfg); err != nil {
		log.Fatal(err)
	}
}

// Every page of this package in the layout of the site, and one with a text of its
// own. The others keep theirs, in the reader's language.
func ExampleConfig_pages() {
	layout := template.Must(template.New("page").Parse(`<html lang="{{.Language}}"><h1>{{.Title}}</h1><p>{{.Text}}</p>
{{- range .Actions}}
{{- if eq .Method "POST"}}<form method="post" action="{{.URL}}"><button>{{.Text}}</button></form>
{{- else}}<a href="{{.URL}}">{{.Text}}</a>{{end}}
{{- end}}</html>`))
	texts := map[signin.Code]signin.Page{
		signin.ConfirmSignOut: {Title: "Leaving the shop?", Text: "Your basket stays as it is."},
	}

	cfg := exampleConfig()
	cfg.Pages = func(w http.ResponseWriter, r *http.Request, p *signin.Page) {
		if own, ok := texts[p.Code]; ok && p.Language == "en" {
			p.Title, p.Text = own.Title, own.Text
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'") // no other site frames the sign-out button
		w.WriteHeader(p.Status)
		if err := layout.Execute(w, p); err != nil { // a field that Page or Action does not have, say
			slog.ErrorContext(r.Context(), "a page is incomplete", "error", err)
		}
	}
	// Wrong: 200 would tell programs, caches and search engines that all is well.
	//
	//	cfg.Pages = func(w http.ResponseWriter, _ *http.Request, p *signin.Page) { layout.Execute(w, p) }
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	for _, language := range []string{"ko-KR,ko;q=0.9", "en"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/sign-out", nil)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Language", language)
		auth.SignOut()(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 403 <html lang="ko"><h1>로그아웃할까요?</h1><p>로그아웃하면 다음에 이용할 때 다시 로그인해야 해요.</p><form method="post" action="/sign-out"><button>로그아웃</button></form><a href="/">로그아웃하지 않기</a></html>
	// 403 <html lang="en"><h1>Leaving the shop?</h1><p>Your basket stays as it is.</p><form method="post" action="/sign-out"><button>Sign out</button></form><a href="/">Stay signed in</a></html>
}

// A trail of who has signed in and out, and of who was refused.
func ExampleConfig_onEvent() {
	cfg := exampleConfig()
	cfg.OnEvent = func(_ context.Context, e signin.Event) {
		fmt.Println(e.Kind, e.Subject, e.Err) // a real one writes to a log, and does not block
	}
	cfg.Scopes = []string{"roles"}
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	admin := auth.Require(signin.HasRole("admin"))(http.HandlerFunc(home))
	admin.ServeHTTP(httptest.NewRecorder(), signintest.WithUser(httptest.NewRequest("GET", "/admin", nil), &signin.User{Subject: "bob"}))
	// Output: refused bob signin: forbidden: needs the role "admin"
}

// For operators, at an address that is not public: whether everything that a sign-in
// needs is there.
func ExampleAuth_Diagnose() {
	p := signintest.NewProvider()
	defer p.Close()
	cfg := p.Config("https://app.example.com")
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	diagnose := func(w http.ResponseWriter, r *http.Request) {
		if err := auth.Diagnose(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
	// Wrong as a readiness probe: while the provider is down, people who are signed in
	// could not use the application either.
	//
	//	public.HandleFunc("GET /readyz", diagnose)

	w := httptest.NewRecorder()
	diagnose(w, httptest.NewRequest("GET", "/diagnose", nil))
	fmt.Println(w.Code)
	p.Down()
	w = httptest.NewRecorder()
	diagnose(w, httptest.NewRequest("GET", "/diagnose", nil))
	fmt.Println(w.Code)
	// Output:
	// 200
	// 503
}

// A person who goes to a guarded page is sent to sign in and then back. Requests that
// cannot use a redirect get 401.
func ExampleAuth_RequireAuth() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	guarded := auth.RequireAuth(http.HandlerFunc(home))

	page := httptest.NewRequest("GET", "/account?tab=1", nil)
	page.Header.Set("Accept", "text/html")
	program := httptest.NewRequest("GET", "/account?tab=1", nil)
	program.Header.Set("Accept", "application/json")
	alice := signintest.WithUser(page, &signin.User{Subject: "u1", Name: "Alice"})

	for _, r := range []*http.Request{page, program, alice} {
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		fmt.Printf("%d, Location: %q\n", w.Code, w.Header().Get("Location"))
	}
	// Output:
	// 303, Location: "/sign-in?return_to=%2Faccount%3Ftab%3D1"
	// 401, Location: ""
	// 200, Location: ""
}

// Guards do not look at which site a form comes from, and some browsers send cookies
// along with another site's form. Wrap handlers that change something in
// http.CrossOriginProtection as well.
func ExampleAuth_RequireAuth_form() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	forms := http.NewCrossOriginProtection()
	mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account)))
	mux.Handle("POST /account", forms.Handler(auth.RequireAuth(http.HandlerFunc(account))))
	// Wrong: another site's form changes the account of a person who visits it.
	//
	//	mux.Handle("POST /account", auth.RequireAuth(http.HandlerFunc(account)))

	for _, from := range []string{"same-origin", "cross-site"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/account", nil)
		r.Header.Set("Sec-Fetch-Site", from) // which browsers send
		mux.ServeHTTP(w, signintest.WithUser(r, &signin.User{Subject: "u1", Name: "Alice"}))
		fmt.Println(w.Code, from)
	}
	// Output:
	// 200 same-origin
	// 403 cross-site
}

// An existing application gets the routes, and every handler the user. Guards stay
// where the handlers are mounted.
func ExampleAuth_WithRoutes() {
	auth, err := signin.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	existing := http.NewServeMux()
	existing.HandleFunc("/", home)
	existing.Handle("/account", auth.RequireAuth(http.HandlerFunc(account)))
	app := auth.WithRoutes(existing)

	for _, path := range []string{"/", "/account", "/sign-out"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept", "text/html")
		app.ServeHTTP(w, r)
		fmt.Println(w.Code, path)
	}
	// Output:
	// 200 /
	// 303 /account
	// 303 /sign-out
}

// One route for each way to sign in.
func ExampleAuth_SignIn() {
	p := signintest.NewProvider()
	defer p.Close()
	cfg := p.Config("https://app.example.com")
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/sign-in", auth.SignIn())
	mux.HandleFunc("/sign-up", auth.SignIn(signin.FirstScreen(signin.ScreenRegister)))
	mux.HandleFunc("/sign-in/naver", auth.SignIn(signin.Social("naver"), signin.UILocales("ko")))
	mux.HandleFunc("/sign-in/x", auth.SignIn(signin.Social("x"), signin.ReturnTo("/welcome")))

	for _, path := range []string{"/sign-up", "/sign-in/naver"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		to, _ := url.Parse(w.Header().Get("Location"))
		fmt.Printf("%s: %q %q\n", path, to.Query()["first_screen"], to.Query()["direct_sign_in"])
	}
	// Output:
	// /sign-up: ["register"] []
	// /sign-in/naver: [] ["social:naver"]
}

func ExampleUserFrom() {
	greet := func(w http.ResponseWriter, r *http.Request) {
		user, ok := signin.UserFrom(r.Context())
		if !ok {
			fmt.Fprint(w, "Hello, stranger")
			return
		}
		fmt.Fprintf(w, "Hello, %s", user.Name)
	}
	for _, user := range []*signin.User{nil, {Subject: "u1", Name: "Alice"}} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		greet(w, signintest.WithUser(r, user))
		fmt.Println(w.Body)
	}
	// Output:
	// Hello, stranger
	// Hello, Alice
}

// Claims that User has no field for.
func ExampleClaimsAs() {
	type claims struct {
		Plan      string `json:"plan"`
		UpdatedAt int64  `json:"updated_at"` // milliseconds at Logto
	}
	plan := func(w http.ResponseWriter, r *http.Request) {
		c, err := signin.ClaimsAs[claims](r.Context())
		if err != nil { // errors.Is(err, signin.ErrNotSignedIn), or a claim of another type
			http.Error(w, "Who are you?", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "Your plan: %s", c.Plan)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/plan", nil)
	plan(w, signintest.WithUser(r, &signin.User{Claims: []byte(`{"sub": "u1", "plan": "gold"}`)}))
	fmt.Println(w.Body)
	// Output: Your plan: gold
}
