package acceptance_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

func TestSharedState_OneGetPerRequest(t *testing.T) {
	t.Parallel()
	a, _, shared := refreshing(t, nil)
	cookies := a.signedIn(signintest.Alice()).session()
	page := http.HandlerFunc(a.account)
	guard, load := a.auth.RequireAuth, a.auth.Load
	for name, h := range map[string]http.Handler{
		"Load":                           load(page),
		"RequireAuth":                    guard(page),
		"RequireAuth, RequireAuth, Load": guard(guard(load(page))),
		"WithRoutes, Load, RequireAuth":  a.auth.WithRoutes(load(guard(page))),
	} {
		shared.asked()
		shows(t, name, knock(h, "/account", cookies), signintest.Alice().Subject)
		if got := shared.asked(); !slices.Equal(got, []int{5}) {
			t.Errorf("%s: got calls of Get for %v keys; want one, for 5", name, got)
		}
		knock(h, "/account", "")
		knock(h, "/account", "signin=forged")
		if got := shared.asked(); len(got) != 0 {
			t.Errorf("%s, not signed in: got calls of Get for %v keys; want none", name, got)
		}
	}
}

func TestGuards_ResponseWriterIsNotWrapped(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	cookies := a.signedIn(signintest.Alice()).session()
	for name, guard := range map[string]func(http.Handler) http.Handler{
		"Load": a.auth.Load, "RequireAuth": a.auth.RequireAuth, "WithRoutes": a.auth.WithRoutes,
	} {
		given := &struct{ http.ResponseWriter }{httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", cookies)
		var got http.ResponseWriter
		guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = w })).ServeHTTP(given, r)
		if got != given {
			t.Errorf("%s: got a %T; want the writer that was given", name, got)
		}
	}
}

// A sign-in can be completed once. A callback that arrives while the provider
// is down does not count.
func TestSharedState_CallbackWhileTheProviderIsDown(t *testing.T) {
	t.Parallel()
	a, clock, _ := refreshing(t, nil)
	replica, b := a.again(func(*signin.Config) {}), a.browser() // the replica has not discovered the provider yet
	to, _ := strings.CutPrefix(b.respond(a.provider, b.get("/sign-in").Header.Get("Location"), signintest.Alice()), a.server.URL)
	a.provider.Down()
	knock(replica, to, b.cookies()).want(t, http.StatusServiceUnavailable, "")
	a.provider.Up()
	clock.add(10 * time.Second)
	knock(replica, to, b.cookies()).want(t, http.StatusSeeOther, "/")
	knock(replica, to, b.cookies()).want(t, http.StatusSeeOther, "/") // a reload redirects, and does not sign in again
	if got := a.kinds(); len(got) != 2 || got[1] != signin.EventSignedIn {
		t.Errorf("events: got %q; want the failure, and signed in once", got)
	}
}
