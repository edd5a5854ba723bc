package acceptance_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// If a sign-in fails after its code was redeemed, its grant is revoked, unless a
// session of the browser may rest on it.
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
		given  bool // Alice's grant is revoked
	}{
		"an ID token that is not believed":                           {fails: wrong, given: true},
		"no ID token":                                                {fails: func(a *app, _ *browser, _ *mapState) { a.provider.Inject(faults.TokensNoIDToken) }, given: true},
		"no access token":                                            {fails: func(a *app, _ *browser, _ *mapState) { a.provider.Inject(faults.TokensNoAccessToken) }, given: true},
		"userinfo that fails":                                        {fails: func(a *app, _ *browser, _ *mapState) { a.provider.Inject(faults.UserInfo500) }, given: true},
		"her sessions were ended meanwhile":                          {fails: ended, given: true},
		"her sessions were ended meanwhile, the browser's too":       {before: alice.Subject, fails: ended, given: true},
		"the use of the code cannot be written":                      {fails: failing("set u"), given: true},
		"another person's session that cannot be replaced":           {before: bob.Subject, fails: failing("add e"), given: true},
		"her own session that cannot be replaced":                    {before: alice.Subject, fails: failing("add e")},
		"an ID token that is not believed, with a session":           {before: bob.Subject, fails: wrong},
		"an ID token that is not believed, with an ended session":    {before: alice.Subject, fails: endedWrong, given: true},
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

// crowd is a transport that counts token requests with a code, and holds them until
// they are released.
type crowd struct {
	http.RoundTripper
	entered, released chan struct{}

	mu           sync.Mutex
	inside, most int
}

func (c *crowd) enter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside += n
	c.most = max(c.most, c.inside)
}

func (c *crowd) mostAtOnce() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

func (c *crowd) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(strings.NewReader(r.PostForm.Encode()))
	}
	if r.PostForm.Has("code") {
		c.enter(1)
		defer c.enter(-1)
		c.entered <- struct{}{}
		select {
		case <-c.released:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return c.RoundTripper.RoundTrip(r)
}

// Three hundred people come back from the provider at once, and meanwhile others use
// their sessions.
func TestCallback_ManyAtOnce(t *testing.T) {
	t.Parallel()
	c := &crowd{RoundTripper: ownTransport, entered: make(chan struct{}, 400), released: make(chan struct{})}
	a, clock := stoppedApp(t, with{config: func(cfg *signin.Config) { cfg.HTTPClient = &http.Client{Transport: c} }})
	close(c.released)
	owner := a.signedIn(signintest.Bob())
	clock.add(time.Hour) // a refresh is due
	<-c.entered
	c.released = make(chan struct{})
	before := a.provider.Stats()
	var all sync.WaitGroup
	for range 300 {
		b := a.browser()
		back := strings.TrimPrefix(b.responded(), a.server.URL)
		all.Go(func() {
			got := knock(a.handler(), back, b.cookies())
			if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/account" {
				t.Errorf("got %s; want the sign-in to succeed", got.Status)
			}
		})
	}
	for range 32 {
		<-c.entered
	}
	wantSignedIn(t, a.handler(), owner.session(), signintest.Bob())
	if s := a.provider.Stats(); s.Refreshes-before.Refreshes != 1 || s.Exchanges != before.Exchanges {
		t.Errorf("got %d refreshes and %d exchanges; want one, while the others wait", s.Refreshes-before.Refreshes, s.Exchanges-before.Exchanges)
	}
	close(c.released)
	all.Wait()
	s := a.provider.Stats()
	if most := c.mostAtOnce(); most != 32 || s.Exchanges-before.Exchanges != 300 || s.Discovery-before.Discovery > 1 || s.Keys-before.Keys > 1 {
		t.Errorf("got %d exchanges at once, %+v; want 32, 300 in all, and each document fetched once", most, s)
	}
}
