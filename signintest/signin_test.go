package signintest_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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

func TestGuardsTakeATestUser(t *testing.T) {
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

// CASES 2.9: an unmet step-up is 403, once, and each further try costs a click.
func TestAStepUpAndWhatItMustNotDo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults []signintest.Fault
		status int
	}{
		"the person is asked again": {nil, http.StatusOK},
		"max_age is ignored":        {[]signintest.Fault{signintest.IgnoreMaxAge}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			p := signintest.NewProvider(signintest.WithNow(c.Now))
			t.Cleanup(p.Close)
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
			mux.Handle("GET /delete", auth.Require(signin.AuthenticatedWithin(5*time.Minute))(http.HandlerFunc(account)))

			client := p.SignIn(t, nil, app.URL, signintest.Alice())
			c.Advance(30 * time.Minute)
			p.Inject(test.faults...)
			if resp := p.Visit(t, client, app.URL+"/delete", signintest.Alice()); resp.StatusCode != test.status {
				t.Errorf("got %s at %s; want %d", resp.Status, resp.Request.URL.Path, test.status)
			}
			if got := p.Stats().Authorizations; got != 2 {
				t.Errorf("got %d authorization requests; want one more than the first", got)
			}
			if resp := p.Visit(t, client, app.URL+"/account", signintest.Alice()); resp.StatusCode != http.StatusOK {
				t.Errorf("afterwards: got %s; want the session to stand", resp.Status)
			}
		})
	}
}

// Of all these the API hears that the token is not good, but for the two that
// many providers make so.
func TestFaultsOfAccessTokensReachAnAPI(t *testing.T) {
	t.Parallel()
	for fault := range accessTokenFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			p := signintest.NewProvider()
			t.Cleanup(p.Close)
			_, auth := signinApp(t, p)
			served := 0
			orders := auth.RequireBearer(api, signin.HasScope("read:orders"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
			ask := func(token string) int {
				r := httptest.NewRequest("GET", "/orders", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				orders.ServeHTTP(w, r)
				if challenged := strings.Contains(w.Header().Get("WWW-Authenticate"), "invalid_token"); challenged != (w.Code == http.StatusUnauthorized) {
					t.Errorf("got %d with WWW-Authenticate %q", w.Code, w.Header().Get("WWW-Authenticate"))
				}
				return w.Code
			}
			if got := ask(p.AccessToken("alice", api, "read:orders")); got != http.StatusOK || served != 1 {
				t.Fatalf("a right one: got %d; want 200", got)
			}
			p.Inject(fault)
			want, calls := http.StatusUnauthorized, 1
			if fault == signintest.AccessTokenTypeJWT || fault == signintest.AccessTokenTypeMissing {
				want, calls = http.StatusOK, 2
			}
			if got := ask(p.AccessToken("alice", api, "read:orders")); got != want || served != calls {
				t.Errorf("got %d, served %d times; want %d, %d times", got, served, want, calls)
			}
		})
	}
}
