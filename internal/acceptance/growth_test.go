package acceptance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// Somebody is given hundreds of roles while they are signed in. That must not lock
// them out of every page.
func TestClaimsThatGrowAtARefresh(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{})
	b := a.signedIn(signintest.Alice())
	before := b.session()
	a.provider.SetUser(large(signintest.Alice(), 16<<10))
	for hours := range 3 {
		clock.add(time.Hour)
		for _, path := range []string{"/account", "/"} {
			got := b.get(path)
			got.want(t, http.StatusOK, "")
			if got.body != signintest.Alice().Subject || len(got.Header["Set-Cookie"]) > 0 {
				t.Errorf("after %d hours, %s: got %q and cookies %q; want Alice, and the browser's cookies as they are", hours+1, path, got.body, got.Header["Set-Cookie"])
			}
		}
	}
	if n := a.provider.Stats().Refreshes; n != 3 {
		t.Errorf("refreshes: got %d; want one an hour", n)
	}
	if !strings.Contains(a.log.String(), "does not fit its store") {
		t.Error("the log does not say why")
	}
	// A sign-out reaches the newest generation.
	b.do(http.MethodPost, "/sign-out")
	if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
		t.Errorf("got %d live refresh tokens after the sign-out; want none", n)
	}
	comesNot(t, a.handler(), before)
	// Claims that fit again are written again.
	a.provider.SetUser(signintest.Alice())
	c := a.signedIn(signintest.Alice())
	first := c.session()
	clock.add(time.Hour)
	c.get("/account").want(t, http.StatusOK, "")
	if c.session() == first {
		t.Error("got the old cookie; want the new session in it")
	}
}

func comesNot(t *testing.T, h http.Handler, cookies string) {
	t.Helper()
	if got := knock(h, "/account", cookies); got.StatusCode != http.StatusSeeOther {
		t.Errorf("got status %d; want a sign-in", got.StatusCode)
	}
}

// An API that refuses every token, since its clock is wrong or it means harm, must
// not turn calls into token requests, and those into generations of a session.
func TestAnAPIThatRefusesEveryToken(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]signin.TokenOption{"a resource's": {signin.ForResource(apiA)}, "the session's own": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock, _ := calling(t, signintest.WithRefreshRotation())
			srv := newAPI(t)
			srv.all = true
			b := a.signedIn(signintest.Alice())
			call := func(ctx context.Context) {
				for range 20 {
					if status, said := reads(t, clientOf(ctx, srv.URL, opts...), newRequest(t, http.MethodGet, srv.URL, nil)); status != http.StatusUnauthorized || said != "refused" {
						t.Errorf("got %d %q; want what the API says", status, said)
					}
				}
			}
			first := len(opts) // a token to begin with, where there is none yet
			a.within(t, b.session(), call)
			a.used(t, first+1)
			a.within(t, b.session(), call) // the next page
			a.used(t, first+1)
			clock.add(time.Minute)
			a.within(t, b.session(), call)
			a.used(t, first+1+len(opts)) // the session's own is refused, and then the one in its place that is kept
			b.get("/account").want(t, http.StatusOK, "")
		})
	}
}

// A Cookie header that is long already leaves no room for a long return_to: proxies
// refuse headers of 8 KB, and the person with them.
func TestALongReturnToBesideALargeSession(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	long := "/" + strings.Repeat("x", 1900)
	for held, longer := range map[int]bool{1000: true, 5 << 10: true, 5<<10 + 1: false, 7000: false} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.Header["Cookie"] = []string{"a=" + strings.Repeat("x", held/2-2), "b=" + strings.Repeat("x", held-held/2-4)}
		if _, err := a.auth.BeginSignIn(w, r, signin.ReturnTo(long)); err != nil {
			t.Fatal(err)
		}
		if got := len(w.Header().Get("Set-Cookie")); got > 1900 != longer {
			t.Errorf("beside %d bytes: got a cookie of %d bytes; want the return_to in it: %v", held, got, longer)
		}
	}
}
