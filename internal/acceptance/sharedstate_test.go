package acceptance_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/sharedstate"
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

// Shared state in memory is bounded, and anyone can fill it. Then some operations
// fail, but earlier ones are not undone. Package internal/sharedstate tests what is
// dropped and what is kept.
func TestSharedState_Flood(t *testing.T) {
	t.Parallel()
	var full *sharedstate.Memory
	a, clock := stoppedApp(t, with{provider: []signintest.Option{signintest.WithRefreshRotation()}, config: func(c *signin.Config) {
		full = sharedstate.NewMemory(c.Now, sharedstate.Limits{Entries: 400, Bytes: 1 << 30})
		c.Shared = full
	}})
	flood := func(kind string) {
		for i := 0; full.Set(t.Context(), fmt.Sprintf("%s.%024d", kind, i), nil, time.Minute) == nil; i++ {
			if i == 1000 {
				t.Fatalf("%s: got 1000 entries in; want it full", kind)
			}
		}
	}
	alice, bob, x := signintest.Alice(), signintest.Bob(), signintest.XUser()
	hers, his, theirs := a.signedIn(alice), a.signedIn(bob), a.signedIn(x)
	ended := []string{hers.session()}
	hers.leave(http.MethodPost, "").want(t, http.StatusSeeOther, a.provider.URL)
	before := theirs.session()
	clock.add(time.Hour)
	wantSignedIn(t, a.handler(), before, x) // is refreshed, but the new cookie never arrives
	holds := func() {
		t.Helper()
		for _, cookies := range ended {
			a.wantSignedOut(t, a.handler(), cookies)
		}
		wantSignedIn(t, a.handler(), before, x)
		a.used(t, 1) // the successor is still known
	}

	flood("u") // with sign-ins, as many as fit
	visitor := a.browser()
	visitor.signInAs(bob).want(t, http.StatusServiceUnavailable, "")
	if visitor.cookie("signin") != "" {
		t.Error("a sign-in that does not fit: got a session; want none")
	}
	ended = append(ended, his.session())
	a.notify(a.provider.LogoutToken(bob.Subject, "")).want(t, http.StatusOK, "")
	holds()

	flood("e") // and with sign-outs
	holds()
	got := theirs.leave(http.MethodPost, "")
	got.want(t, http.StatusServiceUnavailable, "")
	wantCookies(t, "a sign-out that does not fit", got, false, "signin cleared")
	if !strings.Contains(got.body, "You are signed out in this browser only") {
		t.Errorf("a sign-out that does not fit: got %q; want a page that says so", got.body)
	}
	flood("x") // and with ends by the provider
	a.notify(a.provider.LogoutToken(x.Subject, "")).want(t, http.StatusServiceUnavailable, "")
	wantSignedIn(t, a.handler(), before, x) // as the page said

	clock.add(time.Minute)
	a.notify(a.provider.LogoutToken(x.Subject, "")).want(t, http.StatusOK, "")
	for _, cookies := range append(ended, before) {
		a.wantSignedOut(t, a.handler(), cookies)
	}
	visitor.signInAs(bob).want(t, http.StatusSeeOther, "/")
}

// A sign-in can be completed once, but a callback that arrives while the provider is
// down does not use it up.
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
