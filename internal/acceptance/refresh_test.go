package acceptance_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/signintest"
)

// mapState is shared state that a test looks into and makes fail. Nothing in it
// expires. The first letter of a key says what it is for: e for ends, n for
// successors, l for locks, u for one-time values.
type mapState struct {
	mu     sync.Mutex
	hook   func(op, key string) error
	values map[string][]byte
	past   map[string][]byte // every value there has ever been
	gets   []int             // how many keys each Get asked for
}

// before has fn called before each operation, without a lock held; its error is
// the operation's.
func (m *mapState) before(fn func(op, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = fn
}

// enter calls the hook and takes the lock.
func (m *mapState) enter(op, key string) error {
	m.mu.Lock()
	hook := m.hook
	m.mu.Unlock()
	var err error
	if hook != nil {
		err = hook(op, key)
	}
	m.mu.Lock()
	if m.values == nil {
		m.values, m.past = make(map[string][]byte), make(map[string][]byte)
	}
	return err
}

func (m *mapState) Get(_ context.Context, keys ...string) ([][]byte, error) {
	err := m.enter("get", keys[0])
	defer m.mu.Unlock()
	m.gets = append(m.gets, len(keys))
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = m.values[key]
	}
	return values, err
}

func (m *mapState) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	err := m.enter("set", key)
	defer m.mu.Unlock()
	if err == nil {
		m.values[key] = value
		m.past[fmt.Sprint(key, len(m.past))] = value
	}
	return err
}

func (m *mapState) Add(_ context.Context, key string, value []byte, _ time.Duration) (bool, error) {
	err := m.enter("add", key)
	defer m.mu.Unlock()
	if err != nil || m.values[key] != nil {
		return false, err
	}
	m.values[key] = value
	m.past[fmt.Sprint(key, len(m.past))] = value
	return true, nil
}

func (m *mapState) Delete(_ context.Context, key string) error {
	err := m.enter("delete", key)
	defer m.mu.Unlock()
	if err == nil {
		delete(m.values, key)
	}
	return err
}

// ever returns every value that has been stored.
func (m *mapState) ever() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.past)
}

// asked returns how many keys each Get asked for since the last call.
func (m *mapState) asked() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	gets := m.gets
	m.gets = nil
	return gets
}

// successors returns the keys of the successors that are there.
func (m *mapState) successors() (keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.values {
		if key[0] == 'n' {
			keys = append(keys, key)
		}
	}
	return keys
}

var errOnPurpose = errors.New("broken on purpose")

// rotating is refreshing with a provider that gives a new refresh token at each
// use, and takes the use of an old one for theft after three seconds.
func rotating(t *testing.T, config func(*signin.Config)) (*app, *stopped, *mapState) {
	t.Helper()
	return refreshing(t, config, signintest.WithRefreshRotation())
}

// refreshing is an application that shows at /name a claim that a refresh
// changes.
func refreshing(t *testing.T, config func(*signin.Config), opts ...signintest.Option) (*app, *stopped, *mapState) {
	t.Helper()
	shared := new(mapState)
	a, clock := stoppedApp(t, with{
		provider: opts,
		config: func(c *signin.Config) {
			c.Shared = shared
			if config != nil {
				config(c)
			}
		},
	})
	a.handler().(*http.ServeMux).Handle("/name", a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := signin.UserFrom(r.Context())
		_, _ = io.WriteString(w, u.Name)
	})))
	return a, clock, shared
}

// renamed changes Alice's name at the provider: the next refresh brings it.
func (a *app) renamed(name string) {
	u := signintest.Alice()
	u.Name = name
	a.provider.SetUser(u)
}

func shows(t *testing.T, when string, got answer, want string) {
	t.Helper()
	if got.StatusCode != http.StatusOK || got.body != want {
		t.Errorf("%s: got %d %q; want 200 %q", when, got.StatusCode, got.body, want)
	}
}

// used checks how many token requests there were, and that no refresh token was
// used after it was rotated away, nor two at once.
func (a *app) used(t *testing.T, want int) {
	t.Helper()
	s := a.provider.Stats()
	if s.Refreshes != want || s.RevokedForReuse != 0 || s.MostRefreshesAtOnce > 1 {
		t.Errorf("refreshes: got %d, %d at once, %d grants revoked for reuse; want %d, at most 1, 0",
			s.Refreshes, s.MostRefreshesAtOnce, s.RevokedForReuse, want)
	}
}

// paused has the next token request wait: begun is closed when it is there, and
// it goes on when release is called.
func (a *app) paused() (begun <-chan struct{}, release func()) {
	in, out := make(chan struct{}), make(chan struct{})
	var once sync.Once
	a.provider.OnTokenRequest(func(url.Values) {
		once.Do(func() { close(in) })
		<-out
	})
	release = sync.OnceFunc(func() {
		a.provider.OnTokenRequest(nil)
		close(out)
	})
	a.t.Cleanup(release)
	return in, release
}

func TestCasesRefresh(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"expired": time.Hour, "due": time.Hour - 30*time.Second} {
		t.Run("4.1 a thousand requests at once with a token that is "+name+", one refresh", func(t *testing.T) {
			t.Parallel()
			a, clock, _ := rotating(t, nil)
			cookies := a.signedIn(signintest.Alice()).session()
			a.renamed("New")
			clock.add(after)
			const n = 1000
			var started, done sync.WaitGroup
			started.Add(n)
			a.provider.OnTokenRequest(func(url.Values) { started.Wait() })
			var wrong sync.Map
			for range n {
				done.Go(func() {
					started.Done()
					// Who has a good token need not wait for the new one.
					got := knock(a.handler(), "/name", cookies)
					if got.StatusCode != http.StatusOK || got.body != "New" && (name == "expired" || got.body != "Alice Example") {
						wrong.Store(got.StatusCode, got.body)
					}
				})
			}
			done.Wait()
			wrong.Range(func(status, body any) bool {
				t.Errorf("some request: got %v %q; want 200 and the new name", status, body)
				return true
			})
			a.used(t, 1)
			if got := a.kinds(); !slices.Equal(got, []signin.EventKind{signin.EventSignedIn, signin.EventRefreshed}) {
				t.Errorf("events: got %q; want signed in, refreshed once", got)
			}
		})
	}
	t.Run("4.1 a thousand requests at once over four replicas, one refresh", func(t *testing.T) {
		t.Parallel()
		rush(t, replicate(t, 4, nil, signintest.WithRefreshRotation()))
	})
	t.Run("4.1 a session's tokens for all audiences at the same moment, one token request at once", tokensAtOnce)
	t.Run("4.8 a replica is killed while it holds the lock, and another takes over after the lease", killedReplica)
	t.Run("4.1 who has a token that is still good does not wait for the refresh", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := rotating(t, nil)
		cookies := a.signedIn(signintest.Alice()).session()
		a.renamed("New")
		clock.add(time.Hour - 30*time.Second)
		begun, release := a.paused()
		first := make(chan answer)
		go func() { first <- knock(a.handler(), "/name", cookies) }()
		<-begun
		shows(t, "while it is refreshed", knock(a.handler(), "/name", cookies), "Alice Example")
		release()
		shows(t, "the first", <-first, "New")
		a.used(t, 1)
	})
	t.Run("4.2 an old cookie after the refresh is served with the new tokens", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		old := b.copyOf()
		a.renamed("New")
		clock.add(time.Hour)
		shows(t, "refreshed", b.get("/name"), "New")
		clock.add(time.Minute) // longer than the provider forgives
		handed := old.get("/name")
		shows(t, "the old cookie", handed, "New")
		wantCookies(t, "the old cookie", handed, false, "signin 86340")
		shows(t, "what it was given", old.get("/name"), "New")
		a.used(t, 1)
	})
	t.Run("4.2 the new cookie never arrives, twice in a row, and an hour later", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := rotating(t, nil)
		cookies := a.signedIn(signintest.Alice()).session()
		for hour := 1; hour <= 4; hour++ {
			a.renamed(fmt.Sprint("Hour ", hour))
			clock.add(time.Hour)
			for range 2 {
				shows(t, "the old cookie", knock(a.handler(), "/name", cookies), fmt.Sprint("Hour ", hour))
			}
			a.used(t, hour)
		}
	})
	t.Run("4.3 a cookie whose successor the browser has shown and refreshed is superseded", superseded)
	refreshAnswers(t)
	t.Run("4.5 after a failure it waits, and longer after the next", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		clock.add(time.Hour)
		a.provider.Inject(faults.Token500)
		requests := 0
		for _, wait := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
			requests++
			for range 3 {
				shows(t, "first", b.get("/name"), "Alice Example")
			}
			a.used(t, requests)
			clock.add(wait - time.Millisecond)
			b.get("/name")
			a.used(t, requests)
			clock.add(time.Millisecond)
		}
		a.provider.Clear()
		a.renamed("New")
		shows(t, "the provider is back", b.get("/name"), "New")
		a.used(t, requests+1)
	})
	t.Run("4.5 one person's failure does not make another wait", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := rotating(t, nil)
		alice, bob := a.signedIn(signintest.Alice()), a.signedIn(signintest.Bob())
		clock.add(time.Hour)
		a.provider.Inject(faults.Token500)
		alice.get("/name")
		a.provider.Clear()
		wantCookies(t, "Bob", bob.get("/name"), false, "signin 86400")
		a.used(t, 2)
	})
	t.Run("4.6 the client goes away in the middle, and the rotated token is kept", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		a.renamed("New")
		clock.add(time.Hour)
		begun, release := a.paused()
		ctx, leave := context.WithCancel(t.Context())
		r := httptest.NewRequest(http.MethodGet, "/name", nil).WithContext(ctx)
		r.Header.Set("Cookie", b.session())
		left := make(chan struct{})
		go func() {
			a.handler().ServeHTTP(httptest.NewRecorder(), r)
			close(left)
		}()
		<-begun
		leave()
		<-left
		release()
		shows(t, "the next request", b.get("/name"), "New")
		clock.add(time.Hour)
		shows(t, "an hour later", b.get("/name"), "New")
		a.used(t, 2)
	})
	unwritable(t)
	signOutMeanwhile(t)
	t.Run("4.9 where a changed session cookie may be set", cookieWritable)
	t.Run("5.9 a successor that was copied to another key is no session", func(t *testing.T) {
		t.Parallel()
		a, clock, shared := rotating(t, nil)
		alice, bob := a.signedIn(signintest.Alice()), a.signedIn(signintest.Bob())
		hers, his := alice.session(), bob.session()
		clock.add(time.Hour)
		comes(t, a.handler(), hers, signintest.Alice())
		comes(t, a.handler(), his, signintest.Bob())
		keys := shared.successors()
		if len(keys) != 2 {
			t.Fatalf("successors: got %d; want 2", len(keys))
		}
		shared.values[keys[0]], shared.values[keys[1]] = shared.values[keys[1]], shared.values[keys[0]]
		a.nobodyComes(t, a.handler(), hers)
		a.nobodyComes(t, a.handler(), his)
		a.used(t, 2)
	})
}

func superseded(t *testing.T) {
	t.Parallel()
	a, clock, _ := rotating(t, nil)
	b := a.signedIn(signintest.Alice())
	zero := b.session()
	clock.add(time.Hour)
	b.get("/name")
	one := b.session()
	comes(t, a.handler(), zero, signintest.Alice()) // nobody knows yet that b has it
	clock.add(time.Hour)
	a.renamed("New")
	b.get("/name")
	a.used(t, 2)

	var sent []string
	a.provider.OnTokenRequest(func(form url.Values) { sent = append(sent, form.Get("grant_type")) })
	wantCookies(t, "superseded", knock(a.handler(), "/", zero), false, "signin cleared")
	if got := a.kinds(); got[len(got)-1] != signin.EventSuperseded {
		t.Errorf("events: got %q; want superseded last", got)
	}
	a.nobodyComes(t, a.handler(), zero)
	clock.add(12 * time.Hour)
	a.nobodyComes(t, a.handler(), zero)
	if len(sent) > 0 {
		t.Errorf("token requests: got %q; want none", sent)
	}
	a.provider.OnTokenRequest(nil)
	// The generation after it is good until the one that follows has been shown.
	shows(t, "the generation after it", knock(a.handler(), "/name", one), "New")
	shows(t, "the browser itself", b.get("/name"), "New")
	a.used(t, 3)
}

// refreshAnswers is what a refresh makes of each answer of the provider.
func refreshAnswers(t *testing.T) {
	const renewed, claimsStay, waits, ends = "refreshed", "refreshed with old claims", "stands and waits", "ends"
	for _, row := range []struct {
		name   string
		fault  signintest.Fault
		other  bool // with Issuer: any other provider than Logto
		expect string
	}{
		{"4.4 no new refresh token: the old one stays", faults.TokensNoRefreshToken, false, renewed},
		{"4.4 no nonce in the ID token", faults.IDTokenNonceMissing, false, renewed},
		{"4.4 no ID token: the claims stay", faults.TokensNoIDToken, false, claimsStay},
		{"4.4 keys not to be had: new tokens, old claims", faults.Keys500, false, claimsStay},
		{"4.4 an ID token with a wrong signature", faults.IDTokenSignatureInvalid, false, ends},
		{"4.4 an ID token of another issuer", faults.IDTokenIssuerWrong, false, ends},
		{"4.4 an ID token of another person", faults.IDTokenSubjectWrong, false, ends},
		{"4.4 an ID token for another client", faults.IDTokenAudienceWrong, false, ends},
		{"4.4 an ID token with another nonce", faults.IDTokenNonceWrong, false, ends},
		{"4.4 an ID token without a signature", faults.IDTokenAlgNone, false, ends},
		{"4.5 invalid_grant", faults.TokenInvalidGrant, false, ends},
		{"4.5 invalid_grant, any other provider", faults.TokenInvalidGrant, true, ends},
		{"4.5 an empty 400, any other provider", faults.TokenEmpty400, true, ends},
		{"4.5 invalid_request, any other provider", faults.TokenInvalidRequest, true, ends},
		{"4.5 an empty 400, Logto", faults.TokenEmpty400, false, waits},
		{"4.5 invalid_request, Logto", faults.TokenInvalidRequest, false, waits},
		{"4.5 invalid_client: the secret was rotated", faults.TokenInvalidClient, false, waits},
		{"4.5 invalid_client, any other provider", faults.TokenInvalidClient, true, waits},
		{"4.5 400 client secret has expired, Logto", faults.TokenSecretExpired, false, waits},
		{"4.5 403", faults.TokenForbidden, false, waits},
		{"4.5 403, any other provider", faults.TokenForbidden, true, waits},
		{"4.5 invalid_target", faults.TokenInvalidTarget, false, waits},
		{"4.5 invalid_target, any other provider", faults.TokenInvalidTarget, true, waits},
		{"4.5 invalid_scope", faults.TokenInvalidScope, false, waits},
		{"4.5 429", faults.Token429, false, waits},
		{"4.5 500", faults.Token500, false, waits},
		{"4.5 a page", faults.TokenHTML, false, waits},
		{"4.5 garbage", faults.TokenGarbage, false, waits},
		{"4.5 a reset", faults.TokenReset, false, waits},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, clock, _ := refreshing(t, func(c *signin.Config) {
				if row.other {
					otherProvider(c)
				}
			})
			b := a.signedIn(signintest.Alice())
			copied := b.session()
			a.renamed("New")
			clock.add(time.Hour)
			a.provider.Inject(row.fault)
			if row.fault == faults.Keys500 {
				a.provider.RotateKey()
			}
			got := b.get("/name")
			a.used(t, 1)
			events := a.kinds()
			last := events[len(events)-1]
			if row.expect == ends {
				got.want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fname")
				wantCookies(t, "ended", got, false, "signin cleared")
				if reasons := a.reasons(signin.EventSessionEnded); !slices.Equal(reasons, []string{"provider"}) {
					t.Errorf("events: got sessions ended for %q; want provider, once", reasons)
				}
				if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n > 0 && strings.HasPrefix(row.name, "4.4") {
					t.Errorf("refresh tokens: got %d alive; want what was received revoked", n)
				}
				a.provider.Clear()
				a.nobodyComes(t, a.handler(), copied)
				a.used(t, 1)
				return
			}
			name, cookies, kind := "Alice Example", []string{"signin 86400"}, signin.EventRefreshed
			switch row.expect {
			case renewed:
				name = "New"
			case waits:
				cookies, kind = nil, signin.EventRefreshFailed
			}
			shows(t, "refreshed", got, name)
			wantCookies(t, "refreshed", got, false, cookies...)
			if last != kind {
				t.Errorf("events: got %q last; want %q", last, kind)
			}
			shows(t, "at once again", b.get("/name"), name)
			a.used(t, 1)
			a.provider.Clear()
			clock.add(map[bool]time.Duration{true: 2 * time.Second, false: time.Hour}[row.expect == waits])
			shows(t, "the provider is well", b.get("/name"), "New")
			a.used(t, 2)
		})
	}
	t.Run("4.5 a time-out", func(t *testing.T) {
		t.Parallel()
		slow := new(timeouts)
		a, clock, _ := refreshing(t, func(c *signin.Config) { c.HTTPClient = &http.Client{Transport: slow} })
		b := a.signedIn(signintest.Alice())
		a.renamed("New")
		clock.add(time.Hour)
		slow.left.Store(1)
		shows(t, "timed out", b.get("/name"), "Alice Example")
		shows(t, "at once again", b.get("/name"), "Alice Example")
		a.used(t, 0)
		clock.add(2 * time.Second)
		shows(t, "after a while", b.get("/name"), "New")
		if got := a.kinds(); !slices.Equal(got, []signin.EventKind{signin.EventSignedIn, signin.EventRefreshFailed, signin.EventRefreshed}) {
			t.Errorf("events: got %q; want signed in, failed, refreshed", got)
		}
	})
}

// timeouts is a transport that lets the next token requests time out.
type timeouts struct{ left atomic.Int32 }

func (s *timeouts) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/token") && s.left.Add(-1) >= 0 {
		return nil, context.DeadlineExceeded
	}
	return ownTransport.RoundTrip(r)
}

// otherProvider treats the provider as any other than Logto.
func otherProvider(c *signin.Config) {
	c.Issuer, c.LogtoEndpoint = c.LogtoEndpoint+"/oidc", ""
	c.SignInOptions = []signin.SignInOption{signin.Prompt("consent")}
}

// unwritable is shared state that fails in the middle of a refresh.
func unwritable(t *testing.T) {
	fails := func(op, kinds string) func(string, string) error {
		return func(got, key string) error {
			if got == op && strings.Contains(kinds, key[:1]) {
				return errOnPurpose
			}
			return nil
		}
	}
	for name, hook := range map[string]func(op, key string) error{
		"the successor cannot be added":        fails("add", "n"),
		"the one before cannot be reduced":     fails("set", "n"),
		"the lock cannot be released":          fails("delete", "l"),
		"nothing of the refresh can be stored": func(op, key string) error { return errors.Join(fails("add", "n")(op, key), fails("set", "n")(op, key)) },
	} {
		t.Run("4.6 it still reaches the cookie when "+name, func(t *testing.T) {
			t.Parallel()
			a, clock, shared := rotating(t, nil)
			b := a.signedIn(signintest.Alice())
			shared.before(hook)
			for hour := 1; hour <= 3; hour++ {
				a.renamed(fmt.Sprint("Hour ", hour))
				clock.add(time.Hour)
				got := b.get("/name")
				shows(t, "refreshed", got, fmt.Sprint("Hour ", hour))
				wantCookies(t, "refreshed", got, false, "signin 86400")
			}
			a.used(t, 3)
		})
	}
	t.Run("4.6 what could not be written stays in this process for the other tab", func(t *testing.T) {
		t.Parallel()
		a, clock, shared := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		old := b.copyOf()
		a.renamed("New")
		clock.add(time.Hour)
		shared.before(fails("add", "n"))
		shows(t, "refreshed", b.get("/name"), "New")
		shared.before(nil)
		clock.add(5 * time.Second) // more than the back-off, and than the provider forgives
		shows(t, "the other tab", old.get("/name"), "New")
		shows(t, "the first tab", b.get("/name"), "New")
		a.used(t, 1)
	})
	t.Run("4.6 without a lock nothing is sent, and the session stands", func(t *testing.T) {
		t.Parallel()
		a, clock, shared := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		clock.add(time.Hour)
		shared.before(fails("add", "l"))
		got := b.get("/name")
		shows(t, "unrefreshed", got, "Alice Example")
		wantCookies(t, "unrefreshed", got, false)
		a.used(t, 0)
		if got := a.kinds(); !slices.Equal(got, []signin.EventKind{signin.EventSignedIn, signin.EventRefreshFailed}) {
			t.Errorf("events: got %q; want signed in, refresh failed", got)
		}
		shared.before(nil)
		clock.add(2 * time.Second)
		wantCookies(t, "refreshed", b.get("/name"), false, "signin 86400")
		a.used(t, 1)
	})
}

// signOutMeanwhile puts a whole sign-out between two steps of a refresh, and a
// whole refresh between two steps of a sign-out.
func signOutMeanwhile(t *testing.T) {
	after := func(first, then string) func(op, key string) bool {
		seen := false
		return func(op, key string) bool {
			step := op + " " + key[:1]
			now := seen && step == then
			seen = seen || step == first
			return now
		}
	}
	for name, row := range map[string]struct {
		at      func(op, key string) bool // nil: while the provider is asked
		refresh bool                      // the refresh comes into the sign-out
		late    bool                      // the refresh is over: the sign-out revokes what it received
	}{
		"a sign-out before the lock is taken":            {at: func(op, key string) bool { return op+key[:1] == "addl" }},
		"a sign-out under the lock, before the look":     {at: after("add l", "get n")},
		"a sign-out while the provider is asked":         {},
		"a sign-out before the successor is written":     {at: func(op, key string) bool { return op+key[:1] == "addn" }},
		"a sign-out after the successor is written":      {at: after("add n", "get n")},
		"a sign-out before the lock is released":         {at: func(op, key string) bool { return op+key[:1] == "deletel" }, late: true},
		"a refresh before the sign-out is written":       {at: func(op, key string) bool { return op+key[:1] == "sete" }, refresh: true},
		"a refresh before the sign-out looks for others": {at: after("set e", "get n"), refresh: true},
	} {
		t.Run("4.7 stays signed out: "+name, func(t *testing.T) {
			t.Parallel()
			a, clock, shared := rotating(t, nil)
			cookies := a.signedIn(signintest.Alice()).session()
			clock.add(time.Hour)
			outer, inner := func() answer { return knock(a.handler(), "/name", cookies) }, func() answer {
				if !row.late { // what the refresh receives is for the refresh to revoke
					a.provider.Inject(faults.Revocation500)
					defer a.provider.Clear()
				}
				return signOutWith(a.handler(), cookies)
			}
			if row.refresh {
				outer, inner = func() answer { return signOutWith(a.handler(), cookies) }, outer
			}
			var met atomic.Bool
			var within answer
			meet := func() {
				if met.CompareAndSwap(false, true) {
					shared.before(nil)
					within = inner()
				}
			}
			if row.at == nil {
				a.provider.OnTokenRequest(func(url.Values) { meet() })
			} else {
				shared.before(func(op, key string) error {
					if row.at(op, key) {
						meet()
					}
					return nil
				})
			}
			got := outer()
			if !met.Load() {
				t.Fatal("got no meeting of the two; want one")
			}
			// Before anybody comes with the session: whoever does revokes as well.
			if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
				t.Errorf("refresh tokens: got %d alive; want none", n)
			}
			for _, each := range []answer{got, within} {
				for _, c := range each.Cookies() {
					a.nobodyComes(t, a.handler(), c.Name+"="+c.Value)
				}
			}
			a.nobodyComes(t, a.handler(), cookies)
		})
	}
}

func signOutWith(h http.Handler, cookies string) answer {
	r := httptest.NewRequest(http.MethodPost, "/sign-out", nil)
	r.Header.Set("Cookie", cookies)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.String()}
}

func cookieWritable(t *testing.T) {
	t.Parallel()
	a, clock, _ := rotating(t, nil)
	b := a.signedIn(signintest.Alice())
	hours := 0
	for _, dest := range []string{"image", "style", "script", "font", "audio", "video", "track", "manifest"} {
		hours++
		a.renamed(fmt.Sprint("Hour ", hours))
		clock.add(time.Hour)
		got := b.get("/name", "Sec-Fetch-Dest: "+dest)
		shows(t, dest, got, fmt.Sprint("Hour ", hours))
		wantCookies(t, dest, got, false)
		a.used(t, hours)
		next := map[bool]string{true: "document", false: "empty"}[hours%2 == 0]
		handed := b.get("/name", "Sec-Fetch-Dest: "+next)
		shows(t, next, handed, fmt.Sprint("Hour ", hours))
		wantCookies(t, next+" after "+dest, handed, false, "signin 86400")
		wantCookies(t, "once it has arrived", b.get("/name"), false)
		a.used(t, hours)
	}
	copied := b.session()
	b.do(http.MethodPost, "/sign-out")
	wantCookies(t, "an image of a session that has ended", knock(a.handler(), "/", copied, "Sec-Fetch-Dest: image"), false)
	wantCookies(t, "a page of it", knock(a.handler(), "/", copied), false, "signin cleared")
}

func TestOneLookPerRequest(t *testing.T) {
	t.Parallel()
	shared := new(mapState)
	a, _ := stoppedApp(t, with{config: func(c *signin.Config) { c.Shared = shared }})
	cookies := a.signedIn(signintest.Alice()).session()
	page := http.HandlerFunc(a.account)
	guard, load := a.auth.RequireAuth, a.auth.Load
	for name, h := range map[string]http.Handler{
		"Load":                            load(page),
		"RequireAuth":                     guard(page),
		"Load, RequireAuth":               load(guard(page)),
		"RequireAuth, Load":               guard(load(page)),
		"RequireAuth, RequireAuth, Load":  guard(guard(load(page))),
		"WithRoutes, Load, RequireAuth":   a.auth.WithRoutes(load(guard(page))),
		"RequireAuth, WithRoutes, a page": guard(a.auth.WithRoutes(page)),
	} {
		t.Run("one Get of at most four keys per request: "+name, func(t *testing.T) {
			shared.asked()
			if got := knock(h, "/account", cookies); got.body != signintest.Alice().Subject {
				t.Errorf("got %d %q; want Alice", got.StatusCode, got.body)
			}
			if got := shared.asked(); !slices.Equal(got, []int{4}) {
				t.Errorf("Get: got calls for %v keys; want one, for 4", got)
			}
			knock(h, "/account", "")
			knock(h, "/account", "signin=forged")
			if got := shared.asked(); len(got) != 0 {
				t.Errorf("Get for nobody: got calls for %v keys; want none", got)
			}
		})
	}
}

// tokensAtOnce asks for a session's own token, which has expired, and for those of two
// resources and an organization, over and over at once at two replicas.
func tokensAtOnce(t *testing.T) {
	t.Parallel()
	p := replicate(t, 2, func(c *signin.Config) {
		c.Resources, c.Scopes = []string{apiA, apiB}, []string{orgScope}
	}, signintest.WithRefreshRotation())
	b := p.browserAt(0, newJar(t))
	b.signInAs(signintest.Alice())
	cookies := b.session()
	p.clock.add(time.Hour)
	asks := [][]signin.TokenOption{
		nil, {signin.ForResource(apiA)}, {signin.ForResource(apiB)}, {signin.ForOrganization("org_one")},
		{signin.ForResource(apiA), signin.ForOrganization("org_two")},
	}
	const each = 20
	var started, done sync.WaitGroup
	started.Add(each * len(asks))
	for i := range each * len(asks) {
		guarded := p.auths[i/len(asks)%len(p.auths)].RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if token, err := signin.AccessToken(r.Context(), asks[i%len(asks)]...); err != nil || token.AccessToken == "" {
				t.Errorf("a token of kind %d: got error %v; want one", i%len(asks), err)
			}
		}))
		done.Go(func() {
			started.Done()
			started.Wait()
			if got := knock(guarded, "/", cookies); got.StatusCode != http.StatusOK {
				t.Errorf("got %d; want the page", got.StatusCode)
			}
		})
	}
	done.Wait()
	p.used(t, len(asks)) // each kind once
	if n := p.provider.LiveRefreshTokens(signintest.Alice().Subject); n == 0 {
		t.Error("refresh tokens alive: got none; want the newest")
	}
}

// expiring is shared state in which entries do expire. refused is sent to for each
// lock that somebody else holds.
type expiring struct {
	*sharedstate.Memory
	refused chan struct{}
}

func (e *expiring) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	added, err := e.Memory.Add(ctx, key, value, ttl)
	if !added && key[0] == 'l' {
		select {
		case e.refused <- struct{}{}:
		default:
		}
	}
	return added, err
}

// killedReplica stops a replica for good while it refreshes, lock in hand. (When
// exactly another takes over, to the second, is what internal/refresh tests.)
func killedReplica(t *testing.T) {
	t.Parallel()
	shared := &expiring{refused: make(chan struct{}, 1)}
	var dying atomic.Bool
	begun, over := make(chan struct{}), make(chan struct{})
	p := replicate(t, 2, func(c *signin.Config) {
		if shared.Memory == nil { // the first replica's, which is to die
			shared.Memory = sharedstate.NewMemory(c.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
			c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if dying.CompareAndSwap(true, false) {
					close(begun)
					<-over
					return nil, errOnPurpose
				}
				return ownTransport.RoundTrip(r)
			})}
		}
		c.Shared = shared
	}, signintest.WithRefreshRotation())
	b := p.browserAt(0, newJar(t))
	b.signInAs(signintest.Alice())
	cookies := b.session()
	p.renamed("New")
	p.clock.add(time.Hour)
	dying.Store(true)
	var last, waiting sync.WaitGroup
	last.Go(func() { knock(p.each[0], "/name", cookies) })
	defer last.Wait()
	defer close(over)
	<-begun
	var got answer
	waiting.Go(func() { got = knock(p.each[1], "/name", cookies) })
	<-shared.refused
	p.used(t, 0) // nothing is sent while the lease lasts
	p.clock.add(time.Minute)
	waiting.Wait()
	shows(t, "at the replica that lives", got, "New")
	wantCookies(t, "at the replica that lives", got, false, "signin 86460") // the clock moved while it waited
	p.used(t, 1)
}

// sameWriter is a ResponseWriter of somebody else's.
type sameWriter struct{ http.ResponseWriter }

func TestNoWriterIsWrapped(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	cookies := a.signedIn(signintest.Alice()).session()
	for name, guard := range map[string]func(http.Handler) http.Handler{
		"Load": a.auth.Load, "RequireAuth": a.auth.RequireAuth, "WithRoutes": a.auth.WithRoutes,
	} {
		t.Run("the handler gets the very ResponseWriter that came in: "+name, func(t *testing.T) {
			given := &sameWriter{httptest.NewRecorder()}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Cookie", cookies)
			var got http.ResponseWriter
			guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = w })).ServeHTTP(given, r)
			if got != given {
				t.Errorf("got a %T; want the one that was given", got)
			}
		})
	}
	t.Run("a page streams: its first bytes arrive while the handler is at work", func(t *testing.T) {
		arrived := make(chan struct{})
		srv := httptest.NewServer(a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c := http.NewResponseController(w)
			_, _ = io.WriteString(w, "first ")
			if err := errors.Join(c.SetWriteDeadline(time.Now().Add(time.Minute)), c.Flush()); err != nil {
				t.Errorf("ResponseController: got error %v; want none", err)
			}
			<-arrived
			_, _ = io.WriteString(w, "second")
		})))
		defer srv.Close()
		r, _ := http.NewRequest(http.MethodGet, srv.URL, nil)
		r.Header.Set("Cookie", cookies)
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		first := make([]byte, len("first "))
		_, err = io.ReadFull(resp.Body, first)
		close(arrived)
		rest, _ := io.ReadAll(resp.Body)
		if got := string(first) + string(rest); err != nil || got != "first second" {
			t.Errorf("got %q, error %v; want both parts", got, err)
		}
	})
	t.Run("an upgrade to another protocol passes RequireAuth", func(t *testing.T) {
		srv := httptest.NewServer(a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Errorf("Hijack: got error %v; want none", err)
				return
			}
			defer conn.Close()
			_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
			line, _ := buffered.ReadString('\n')
			u, _ := signin.UserFrom(r.Context())
			_, _ = buffered.WriteString(u.Subject + " said " + line)
			_ = buffered.Flush()
		})))
		defer srv.Close()
		talk := func(cookies string) (int, string) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: echo\r\nCookie: "+cookies+"\r\n\r\nhello\n")
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusSwitchingProtocols {
				return resp.StatusCode, ""
			}
			line, _ := in.ReadString('\n')
			return resp.StatusCode, line
		}
		if status, got := talk(cookies); status != http.StatusSwitchingProtocols || got != signintest.Alice().Subject+" said hello\n" {
			t.Errorf("signed in: got %d %q; want 101 and an echo", status, got)
		}
		if status, _ := talk("signin=x"); status != http.StatusUnauthorized {
			t.Errorf("nobody: got %d; want 401", status)
		}
	})
}
