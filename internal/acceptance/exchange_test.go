package acceptance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// What a sign-in was granted that fails after the code was redeemed is given back,
// unless a session of the browser may rest on it.
func TestFailedSignIn_Grant(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	wrong := func(a *app, _ *browser, _ *mapState) { a.provider.Inject(faults.IDTokenNonceWrong) }
	ended := func(a *app, _ *browser, _ *mapState) { _ = a.auth.EndSessions(t.Context(), alice.Subject) }
	failing := func(op string) func(*app, *browser, *mapState) {
		return func(_ *app, _ *browser, shared *mapState) {
			shared.failing(func(got string) bool { return got == op })
		}
	}
	for name, row := range map[string]struct {
		logto  bool
		before string // who is signed in in the browser
		fails  func(*app, *browser, *mapState)
		gone   bool // its client has gone away
		given  bool // Alice's grant is given back
	}{
		"an ID token that is not believed":                           {fails: wrong, given: true},
		"no ID token":                                                {fails: func(a *app, _ *browser, _ *mapState) { a.provider.Inject(faults.TokensNoIDToken) }, given: true},
		"no access token":                                            {fails: func(a *app, _ *browser, _ *mapState) { a.provider.Inject(faults.TokensNoAccessToken) }, given: true},
		"userinfo that fails":                                        {fails: func(a *app, _ *browser, _ *mapState) { a.provider.Inject(faults.UserInfo500) }, given: true},
		"her sessions were ended meanwhile":                          {fails: ended, given: true},
		"her sessions were ended meanwhile, the browser's too":       {before: alice.Subject, fails: ended, given: true},
		"that the code is used up cannot be written":                 {fails: failing("set u"), given: true},
		"another person's session that cannot be replaced":           {before: bob.Subject, fails: failing("add e"), given: true},
		"her own session that cannot be replaced":                    {before: alice.Subject, fails: failing("add e")},
		"an ID token that is not believed, beside a session":         {before: bob.Subject, fails: wrong},
		"an ID token that is not believed, beside an ended session":  {before: alice.Subject, fails: endedWrong, given: true},
		"an ID token that is not believed, at Logto":                 {logto: true, fails: wrong},
		"an ID token that is not believed, and the client goes away": {fails: wrong, gone: true, given: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared := new(mapState)
			a, clock := stoppedApp(t, with{recorded: true, config: func(c *signin.Config) {
				if c.Shared, c.MergeUserInfo = shared, true; !row.logto {
					otherProvider(c)
				}
			}})
			b := a.browser()
			if row.before == alice.Subject {
				b.signInAs(alice)
			} else if row.before != "" {
				b.signInAs(bob)
			}
			clock.add(time.Minute)
			back, err := url.Parse(b.respond(a.provider, "/sign-in", alice))
			if err != nil {
				t.Fatal(err)
			}
			clock.add(time.Second)
			alive := a.provider.LiveRefreshTokens(alice.Subject)
			row.fails(a, b, shared)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.gone {
				cancel()
			}
			w, r := httptest.NewRecorder(), a.request(http.MethodGet, back.RequestURI(), "Cookie: "+b.cookies())
			if a.handler().ServeHTTP(w, r.WithContext(ctx)); w.Code < 400 {
				t.Fatalf("got %d; want the sign-in to fail", w.Code)
			}
			want := alive + 1
			if row.given {
				want = 0 // with those of an ended session on the same grant
			}
			if got := a.provider.LiveRefreshTokens(alice.Subject); got != want {
				t.Errorf("her refresh tokens: got %d alive; want %d", got, want)
			}
			a.wantNoLeak(t)
		})
	}
}

// endedWrong ends the browser's session, whose cookie it keeps, and injects a fault.
func endedWrong(a *app, b *browser, _ *mapState) {
	signOutWith(a.handler(), b.session())
	a.provider.Inject(faults.IDTokenNonceWrong)
}
