package acceptance_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// This file extends the harness with what tests of sessions and tokens share: a
// clock that stops, requests with given cookies, checks of Set-Cookie, session
// stores, and shared state that can be inspected and made to fail.

// notSignedIn is what the open page says to a user who is not signed in.
const notSignedIn = "not signed in"

// stopped is a clock that does not move by itself.
type stopped struct{ at atomic.Int64 }

func (s *stopped) now() time.Time      { return time.Unix(0, s.at.Load()) }
func (s *stopped) add(d time.Duration) { s.at.Add(int64(d)) }

// stoppedApp is newApp with a stopped clock, at a whole second, for the
// application and the provider.
func stoppedApp(t *testing.T, o with) (*app, *stopped) {
	t.Helper()
	s, config := new(stopped), o.config
	s.at.Store(time.Now().Truncate(time.Second).UnixNano())
	o.provider = append(slices.Clone(o.provider), signintest.WithNow(s.now))
	o.config = func(c *signin.Config) {
		c.Now = s.now
		if config != nil {
			config(c)
		}
	}
	return newApp(t, o), s
}

// refreshing returns an application with a stopped clock, and shared state that
// a test can inspect. Its page /name shows a claim that a refresh changes.
func refreshing(t *testing.T, config func(*signin.Config), opts ...signintest.Option) (*app, *stopped, *mapState) {
	t.Helper()
	shared := new(mapState)
	a, clock := stoppedApp(t, with{provider: opts, config: func(c *signin.Config) {
		c.Shared = shared
		if config != nil {
			config(c)
		}
	}})
	a.mount("/name", a.auth.RequireAuth(http.HandlerFunc(showName)))
	return a, clock, shared
}

// rotating is refreshing with a provider that gives a new refresh token at each
// use. After three seconds, it treats the use of an old one as theft.
func rotating(t *testing.T, config func(*signin.Config)) (*app, *stopped, *mapState) {
	t.Helper()
	return refreshing(t, config, signintest.WithRefreshRotation())
}

func showName(w http.ResponseWriter, r *http.Request) {
	u, _ := signin.UserFrom(r.Context())
	_, _ = io.WriteString(w, u.Name)
}

// renamed changes Alice's name at the provider. The next refresh fetches it.
func (a *app) renamed(name string) {
	u := signintest.Alice()
	u.Name = name
	a.provider.SetUser(u)
}

// handler is the whole application.
func (a *app) handler() http.Handler { return a.server.Config.Handler }

// again returns the application with another configuration, as after a deployment.
func (a *app) again(change func(*signin.Config)) http.Handler {
	a.t.Helper()
	cfg := a.cfg
	change(&cfg)
	auth := newAuth(a.t, cfg)
	mux := http.NewServeMux()
	mux.Handle("/sign-in", auth.SignIn())
	mux.Handle("/callback", auth.Callback())
	mux.Handle("/sign-out", auth.SignOut())
	mux.Handle("/", auth.Load(http.HandlerFunc(who)))
	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(a.account)))
	return mux
}

func newAuth(t *testing.T, cfg signin.Config) *signin.Auth {
	t.Helper()
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatalf("New: got error %v; want none", err)
	}
	return auth
}

// knock sends a handler a navigation with exactly these Cookie headers, one a
// line. (The client and the server of net/http refuse some bytes.)
func knock(h http.Handler, path, cookies string, header ...string) answer {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", "text/html")
	if cookies != "" {
		r.Header["Cookie"] = strings.Split(cookies, "\n")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.String()}
}

func signOutWith(h http.Handler, cookies string) answer {
	r := httptest.NewRequest(http.MethodPost, "/sign-out", nil)
	r.Header.Set("Cookie", cookies)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.String()}
}

// wantSignedOut checks that a request with these cookies is not signed in: the open
// page says so, and the guarded one redirects without a call of its handler.
func (a *app) wantSignedOut(t *testing.T, h http.Handler, cookies string) {
	t.Helper()
	before := a.insideCalls()
	shows(t, "open page", knock(h, "/", cookies), notSignedIn)
	knock(h, "/account", cookies).want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
	if a.insideCalls() != before {
		t.Error("guarded page: its handler was called; want no call")
	}
}

// wantSignedIn checks that u is signed in with these cookies.
func wantSignedIn(t *testing.T, h http.Handler, cookies string, u signintest.User) {
	t.Helper()
	shows(t, "open page", knock(h, "/", cookies), u.Subject)
	shows(t, "guarded page", knock(h, "/account", cookies), u.Subject)
}

// shows checks that an answer is a page with this body.
func shows(t *testing.T, when string, got answer, want string) {
	t.Helper()
	if got.StatusCode != http.StatusOK || got.body != want {
		t.Errorf("%s: got %d %q; want 200 %q", when, got.StatusCode, got.body, want)
	}
}

// used checks the number of refreshes, that no two were at once, and that none
// used a refresh token that had been rotated away.
func (a *app) used(t *testing.T, want int) {
	t.Helper()
	s := a.provider.Stats()
	if s.Refreshes != want || s.RevokedForReuse != 0 || s.MostRefreshesAtOnce > 1 {
		t.Errorf("refreshes: got %d, %d at once, %d grants revoked for reuse; want %d, at most 1, 0",
			s.Refreshes, s.MostRefreshesAtOnce, s.RevokedForReuse, want)
	}
}

// paused makes the next token request wait. begun is closed when it arrives,
// and it continues when release is called.
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

// session returns the browser's session cookies, as a Cookie header. (The
// provider is on the same host, so the jar holds its cookies as well.)
func (b *browser) session() string {
	name := cmp.Or(b.app.cfg.CookieName, "signin")
	return strings.Join(slices.DeleteFunc(strings.Split(b.cookies(), "; "), func(c string) bool {
		c, _, _ = strings.Cut(strings.TrimPrefix(c, "__Host-"), "=")
		return strings.TrimSuffix(c, ".2") != name
	}), "; ")
}

// follow returns a client of the same browser that follows redirects.
func (b *browser) follow() *http.Client {
	return &http.Client{Transport: b.Transport, Jar: b.Jar}
}

// plant puts cookies into a browser.
func (b *browser) plant(cookies ...*http.Cookie) {
	u, _ := url.Parse(b.app.server.URL)
	b.Jar.SetCookies(u, cookies)
}

// signInAs signs a user in and returns what the callback answered.
func (b *browser) signInAs(u signintest.User) answer {
	b.app.t.Helper()
	return b.signInWhile(u, nil)
}

// signInWhile is signInAs with something that happens before the callback.
func (b *browser) signInWhile(u signintest.User, happens func()) answer {
	b.app.t.Helper()
	c := b.follow()
	w := &watched{RoundTripper: c.Transport, path: "/callback", before: happens}
	c.Transport = w
	last := b.app.provider.Visit(b.app.t, c, b.app.server.URL+"/sign-in", u)
	if w.seen == nil {
		b.app.t.Fatalf("signing in: got %s and no callback; want one", last.Status)
	}
	if last.Request.URL.Path != w.path {
		return answer{w.seen, ""}
	}
	body, err := io.ReadAll(last.Body) // an error's page
	if err != nil {
		b.app.t.Fatal(err)
	}
	return answer{last, string(body)}
}

// watched keeps the last answer that came from a path.
type watched struct {
	http.RoundTripper
	path   string
	before func() // if not nil, called before a request for the path
	seen   *http.Response
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.before != nil && r.URL.Path == w.path {
		w.before()
	}
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Path == w.path {
		w.seen = resp
	}
	return resp, err
}

var attemptName = regexp.MustCompile(`\.tx\..*`)

// setCookies describes the cookies that an answer sets, "signin 3600" or "signin
// cleared", sorted, and checks every attribute of each. A gorilla store adds an
// Expires that agrees with Max-Age.
func setCookies(t *testing.T, a answer, secure bool) []string {
	t.Helper()
	var all []string
	for _, line := range a.Header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatalf("Set-Cookie: %v", err)
		}
		if c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.Secure != secure || c.SameSite != http.SameSiteLaxMode ||
			c.Quoted || c.Partitioned || len(c.Unparsed) > 0 {
			t.Errorf("Set-Cookie %s: got %q; want Path=/, HttpOnly, SameSite=Lax, Secure only with https, and nothing else",
				c.Name, strings.TrimPrefix(line, c.Name+"="+c.Value))
		}
		if strings.HasPrefix(c.Name, "__Host-") != secure {
			t.Errorf("name: got %q; want __Host- with https, and only then", c.Name)
		}
		life := fmt.Sprint(c.MaxAge)
		if c.MaxAge < 0 && c.Value == "" {
			life = "cleared"
		}
		all = append(all, attemptName.ReplaceAllString(c.Name, ".tx.*")+" "+life)
	}
	if len(all) > 0 && (a.Header.Get("Cache-Control") != "private, no-store" || a.Header.Get("CDN-Cache-Control") != "no-store") {
		t.Errorf("cache headers of an answer with Set-Cookie: got %q, %q; want private, no-store and no-store",
			a.Header.Get("Cache-Control"), a.Header.Get("CDN-Cache-Control"))
	}
	slices.Sort(all)
	return all
}

func wantCookies(t *testing.T, when string, a answer, secure bool, want ...string) {
	t.Helper()
	if got := setCookies(t, a, secure); !slices.Equal(got, want) {
		t.Errorf("%s: got cookies %q; want %q", when, got, want)
	}
}

// reasons lists the reasons of the events of one kind.
func (a *app) reasons(kind signin.EventKind) (reasons []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if e.Kind == kind {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

// everyStore returns functions that change a Config, one for each kind of
// session store.
func everyStore() map[string]func(dir string) func(*signin.Config) {
	return map[string]func(string) func(*signin.Config){
		"cookies": func(string) func(*signin.Config) { return func(*signin.Config) {} },
		"CookieStore": func(string) func(*signin.Config) {
			return func(c *signin.Config) { c.Store = sessions.NewCookieStore(storeKey) }
		},
		"FilesystemStore": func(dir string) func(*signin.Config) {
			store := sessions.NewFilesystemStore(dir, storeKey)
			store.MaxLength(1 << 16)
			return func(c *signin.Config) { c.Store = store }
		},
	}
}

var storeKey = []byte(strings.Repeat("k", 32))

// otherProvider configures the provider as one other than Logto.
func otherProvider(c *signin.Config) {
	c.Issuer, c.LogtoEndpoint = c.LogtoEndpoint+"/oidc", ""
	c.SignInOptions = []signin.SignInOption{signin.Prompt("consent")}
}

// tokens is a transport that changes the answers of the token endpoint.
func tokens(edit func(body map[string]any)) http.RoundTripper { return edited("/token", edit) }

// metadata is a transport that changes a provider's discovery document.
func metadata(edit func(map[string]any)) http.RoundTripper {
	return edited("/openid-configuration", edit)
}

// edited is a transport that changes the JSON that comes from a path.
func edited(suffix string, edit func(map[string]any)) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := ownTransport.RoundTrip(r)
		if err != nil || !strings.HasSuffix(r.URL.Path, suffix) {
			return resp, err
		}
		defer resp.Body.Close()
		var body map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			return nil, err
		}
		edit(body)
		text, err := json.Marshal(body)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		resp.Header.Del("Content-Length")
		return resp, err
	})
}

// timeouts is a transport in which the next token requests time out.
type timeouts struct{ left atomic.Int32 }

func (s *timeouts) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/token") && s.left.Add(-1) >= 0 {
		return nil, context.DeadlineExceeded
	}
	return ownTransport.RoundTrip(r)
}

// large returns u with this many more bytes of claims.
func large(u signintest.User, bytes int) signintest.User {
	u.Claims = map[string]any{"filler": strings.Repeat("x", bytes)}
	return u
}

const (
	month   = 30 * 24 * time.Hour
	twoEach = 3000 // bytes of claims for which a session needs two cookies
)

var errOnPurpose = errors.New("broken on purpose")

// mapState is shared state that a test can inspect and make fail. Its entries
// do not expire. The first letter of a key says what it is for: e for ends, n
// for successors, l for leases, t for access tokens, u for one-time values.
type mapState struct {
	mu     sync.Mutex
	hook   func(op, key string) error
	values map[string][]byte
	past   map[string][]byte // all values that were ever stored
	gets   []int             // how many keys each Get asked for
}

// before sets a function that is called before each operation, without a lock
// held. The operation fails with its error.
func (m *mapState) before(fn func(op, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = fn
}

// failing makes the operations fail for which op returns true. Its argument is
// the operation and the kind of key, such as "set e".
func (m *mapState) failing(op func(string) bool) {
	m.before(func(got, key string) error {
		if op(got + " " + key[:1]) {
			return errOnPurpose
		}
		return nil
	})
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
		m.store(key, value)
	}
	return err
}

func (m *mapState) Add(_ context.Context, key string, value []byte, _ time.Duration) (bool, error) {
	err := m.enter("add", key)
	defer m.mu.Unlock()
	if err != nil || m.values[key] != nil {
		return false, err
	}
	m.store(key, value)
	return true, nil
}

func (m *mapState) store(key string, value []byte) {
	m.values[key] = value
	m.past[fmt.Sprint(key, len(m.past))] = value
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
