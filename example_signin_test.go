package signin_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A form on the front page asks for an e-mail address, so that the provider need not
// ask again. BeginSignIn reads nothing from the query: it uses the options it is given.
func ExampleAuth_BeginSignIn() {
	p := signintest.NewProvider()
	defer p.Close()
	cfg := p.Config("https://app.example.com")
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	start := func(w http.ResponseWriter, r *http.Request) {
		location, err := auth.BeginSignIn(w, r,
			signin.FirstScreen(signin.ScreenIdentifierRegister),
			signin.Identifiers(signin.IdentifierEmail),
			signin.LoginHint(r.FormValue("email")),
			signin.ReturnTo("/welcome"))
		if err != nil { // errors.Is(err, signin.ErrBadRequest): a value is not allowed
			http.Error(w, "Please try again.", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	}

	for _, email := range []string{"kim@example.com", "kim\n"} {
		w := httptest.NewRecorder()
		start(w, httptest.NewRequest("GET", "/start?email="+url.QueryEscape(email), nil))
		to, _ := url.Parse(w.Header().Get("Location"))
		fmt.Println(w.Code, to.Query()["login_hint"])
	}
	// Output:
	// 303 [kim@example.com]
	// 400 []
}

// A magic link: the application gets a token from Logto's Management API (POST
// /api/one-time-tokens) and sends it in a mail, with a link to this page.
func ExampleOneTimeToken() {
	p := signintest.NewProvider()
	defer p.Close()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	defer app.Close()
	cfg := p.Config(app.URL)
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux.HandleFunc("/callback", auth.Callback())
	mux.Handle("/welcome", auth.RequireAuth(http.HandlerFunc(home)))
	mux.HandleFunc("/magic-link", func(w http.ResponseWriter, r *http.Request) {
		location, err := auth.BeginSignIn(w, r,
			signin.OneTimeToken(r.FormValue("token"), r.FormValue("email")),
			signin.ReturnTo("/welcome"))
		if err != nil {
			http.Error(w, "This link does not work.", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	})

	// Both values are encoded: the + of kim+news@example.com would become a space.
	link := app.URL + "/magic-link?" + url.Values{
		"token": {p.OneTimeToken("alice@example.test")},
		"email": {"alice@example.test"},
	}.Encode()
	resp, err := p.NewClient().Get(link)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	fmt.Printf("%d %s: %s %v\n", resp.StatusCode, resp.Request.URL.Path, page, err)
	// Output: 200 /welcome: Hello, Alice Example <nil>
}

// A sign-in that starts at an enterprise's portal. Logto takes the portal's SAML
// assertion and sends the person to the "Client redirect URL" of its connector, with
// ?ssoConnectorId=. That URL is this page, which sends them through an ordinary
// sign-in, so that state, nonce and PKCE protect it. Do not choose "Directly sign-in
// using IdP-initiated SSO" there: the callback refuses responses that this application
// has not asked for.
func ExampleEnterpriseSSO() {
	p := signintest.NewProvider(signintest.WithConnectors("sso:acme"))
	defer p.Close()
	cfg := p.Config("https://app.example.com")
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/sso", func(w http.ResponseWriter, r *http.Request) {
		location, err := auth.BeginSignIn(w, r,
			signin.EnterpriseSSO(r.FormValue("ssoConnectorId")),
			signin.Prompt("login")) // otherwise Logto goes on with the user who is signed in there
		if err != nil {
			http.Error(w, "This link does not work.", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	})

	for _, target := range []string{"/sso?ssoConnectorId=acme", "/sso"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		to, _ := url.Parse(w.Header().Get("Location"))
		fmt.Println(w.Code, to.Query()["direct_sign_in"], to.Query()["prompt"])
	}
	// Output:
	// 303 [sso:acme] [login consent]
	// 400 [] []
}

// A public page that greets people who are already signed in at the provider, and asks
// others nothing. The provider is asked once: for five minutes after it has said no,
// BeginSignIn returns ErrNotSignedIn. A browser that takes no cookies gets an error
// page when it comes back, so do not use this on a page that every visitor must be
// able to read.
func ExamplePrompt() {
	p := signintest.NewProvider()
	defer p.Close()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	defer app.Close()
	cfg := p.Config(app.URL)
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	mux.HandleFunc("/sign-in", auth.SignIn())
	mux.HandleFunc("/sign-up", auth.SignIn(signin.FirstScreen(signin.ScreenRegister)))
	mux.HandleFunc("/callback", auth.Callback())
	mux.Handle("/{$}", auth.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ok := signin.UserFrom(r.Context())
		// Only a browser that navigates: not fetch, a prefetch or a search engine.
		if ok || r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Dest") != "document" || r.Header.Get("Sec-Purpose") != "" {
			home(w, r)
			return
		}
		location, err := auth.BeginSignIn(w, r, signin.Prompt("none"), signin.ReturnTo(r.RequestURI))
		if err != nil { // tried a moment ago, or the provider is down: show the page anyway
			home(w, r)
			return
		}
		http.Redirect(w, r, location, http.StatusSeeOther)
	})))
	// Wrong: guards send people to /sign-in, where they could then no longer sign in.
	//
	//	mux.HandleFunc("/sign-in", auth.SignIn(signin.Prompt("none")))

	client := p.NewClient()
	for range 2 {
		r, _ := http.NewRequest("GET", app.URL+"/", nil)
		r.Header.Set("Sec-Fetch-Dest", "document")
		resp, err := client.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		page, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%d %s; the provider was asked %d time\n", resp.StatusCode, page, p.Stats().Authorizations)
	}
	// Output:
	// 200 <a href="/sign-in">Sign in</a> or <a href="/sign-up">sign up</a>; the provider was asked 1 time
	// 200 <a href="/sign-in">Sign in</a> or <a href="/sign-up">sign up</a>; the provider was asked 1 time
}
