package signintest_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// signinApp is an application as the package documentation shows it.
func signinApp(t *testing.T, p *signintest.Provider) (*httptest.Server, *signin.Auth) {
	t.Helper()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	cfg := p.Config(app.URL)
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("GET /sign-in", auth.SignIn())
	mux.HandleFunc("GET /callback", auth.Callback())
	mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(account)))
	return app, auth
}

func TestEachReadyMadeUserSignsInWithThePackage(t *testing.T) {
	t.Parallel()
	for _, user := range []signintest.User{signintest.Alice(), signintest.Bob(), signintest.NaverUser(), signintest.XUser()} {
		t.Run(user.Subject, func(t *testing.T) {
			t.Parallel()
			p := signintest.NewProvider()
			t.Cleanup(p.Close)
			app, _ := signinApp(t, p)
			resp, err := p.SignIn(t, nil, app.URL, user).Get(app.URL + "/account")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if got, want := string(body), "Hello, "+user.Name; got != want {
				t.Errorf("got %q; want %q", got, want)
			}
		})
	}
}

func TestVisitStartsAtAGuardedPage(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	app, _ := signinApp(t, p)
	resp := p.Visit(t, nil, app.URL+"/account?x=1", signintest.Bob())
	if resp.StatusCode != http.StatusOK || resp.Request.URL.RequestURI() != "/account?x=1" {
		t.Errorf("got %s at %s; want 200 at /account?x=1", resp.Status, resp.Request.URL.Path)
	}
}

func TestGuardsTakeAPlantedUserAndNobodyElse(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	_, auth := signinApp(t, p)
	guarded := auth.RequireAuth(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for name, test := range map[string]struct {
		user   *signin.User
		status int
	}{
		"a user": {&signin.User{Subject: "s", Name: "Sue"}, http.StatusOK},
		"nobody": {nil, http.StatusUnauthorized},
	} {
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, signintest.WithUser(httptest.NewRequest("GET", "/account", nil), test.user))
		if w.Code != test.status {
			t.Errorf("%s: got %d; want %d", name, w.Code, test.status)
		}
	}
}

func TestAnInjectedFaultReachesThePackage(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	app, _ := signinApp(t, p)
	p.Inject(signintest.IDTokenNonceWrong)
	client := p.NewClient()
	if resp := p.Visit(t, client, app.URL+"/sign-in", signintest.Alice()); resp.StatusCode < 400 {
		t.Errorf("got %s; want the sign-in refused", resp.Status)
	}
	p.Clear()
	p.SignIn(t, client, app.URL, signintest.Alice())
}
