package signintest_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// newAuth is for handlers that are called without a server.
func newAuth(t *testing.T, p *signintest.Provider) *signin.Auth {
	t.Helper()
	cfg := p.Config("http://localhost:8080")
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

func TestVisitStartsAtAGuardedPage(t *testing.T) {
	t.Parallel()
	app := signintest.Start(t, newHandler)
	resp := app.Provider.Visit(t, nil, app.URL+"/account?x=1", signintest.Bob())
	if resp.StatusCode != http.StatusOK || resp.Request.URL.RequestURI() != "/account?x=1" {
		t.Errorf("got %s at %s; want 200 at /account?x=1", resp.Status, resp.Request.URL.Path)
	}
}

func TestGuardsTakeATestUser(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	auth := newAuth(t, p)
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

func TestAClearedFaultIsGone(t *testing.T) {
	t.Parallel()
	app := signintest.Start(t, newHandler)
	browser := app.Browser(signintest.Alice())
	app.Provider.Inject(faults.IDTokenNonceWrong)
	if status, path, _ := get(t, browser, app.URL+"/account"); status < 400 || path != "/callback" {
		t.Errorf("got %d at %s; want the sign-in refused", status, path)
	}
	app.Provider.Clear()
	if status, path, _ := get(t, browser, app.URL+"/account"); status != http.StatusOK || path != "/account" {
		t.Errorf("after Clear: got %d at %s; want the page", status, path)
	}
}

// CASES 2.9: an unmet step-up is 403, once, and each further try costs a click.
func TestAStepUpAndWhatItMustNotDo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults []signintest.Fault
		status int
	}{
		"the person is asked again": {nil, http.StatusOK},
		"max_age is ignored":        {[]signintest.Fault{faults.IgnoreMaxAge}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			app := signintest.Start(t, newHandler, signintest.WithNow(c.Now))
			browser := app.Browser(signintest.Alice())
			get(t, browser, app.URL+"/account")
			c.Advance(30 * time.Minute)
			app.Provider.Inject(test.faults...)
			if status, path, _ := get(t, browser, app.URL+"/delete"); status != test.status {
				t.Errorf("got %d at %s; want %d", status, path, test.status)
			}
			if got := app.Provider.Stats().Authorizations; got != 2 {
				t.Errorf("got %d authorization requests; want one more than the first", got)
			}
			if status, _, _ := get(t, browser, app.URL+"/account"); status != http.StatusOK {
				t.Errorf("afterwards: got %d; want the session to go on", status)
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
			auth := newAuth(t, p)
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
			if fault == faults.AccessTokenTypeJWT || fault == faults.AccessTokenTypeMissing {
				want, calls = http.StatusOK, 2
			}
			if got := ask(p.AccessToken("alice", api, "read:orders")); got != want || served != calls {
				t.Errorf("got %d, served %d times; want %d, %d times", got, served, want, calls)
			}
		})
	}
}
