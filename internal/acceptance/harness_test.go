package acceptance_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// app is an application with a provider beside it: what a user of the package
// writes, and what a test looks at.
type app struct {
	mux      *http.ServeMux
	t        *testing.T
	provider *signintest.Provider
	server   *httptest.Server
	auth     *signin.Auth
	cfg      signin.Config
	clock    *clock
	log      *lockedBuffer

	mu     sync.Mutex
	events []signin.Event
	inside int // how often the protected handler was called
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// options of newApp.
type with struct {
	provider []signintest.Option
	config   func(*signin.Config)
	tls      bool
	signIn   []signin.SignInOption
}

func newApp(t *testing.T, o with) *app {
	t.Helper()
	a := &app{t: t, clock: &clock{}, log: &lockedBuffer{}}
	a.provider = signintest.NewProvider(append([]signintest.Option{signintest.WithNow(a.clock.now)}, o.provider...)...)
	t.Cleanup(a.provider.Close)
	mux := http.NewServeMux()
	if o.tls {
		a.server = httptest.NewTLSServer(mux)
	} else {
		a.server = httptest.NewServer(mux)
	}
	t.Cleanup(a.server.Close)
	a.mux = mux
	a.cfg = a.provider.Config(a.server.URL)
	a.cfg.Now = a.clock.now
	a.cfg.Logger = slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a.cfg.OnEvent = func(_ context.Context, e signin.Event) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.events = append(a.events, e)
	}
	if o.config != nil {
		o.config(&a.cfg)
	}
	auth, err := signin.New(a.cfg)
	if err != nil {
		t.Fatalf("New: got error %v; want none", err)
	}
	a.auth = auth
	mux.Handle("/sign-in", auth.SignIn(o.signIn...))
	mux.Handle("/callback", auth.Callback())
	mux.Handle("/sign-out", auth.SignOut())
	mux.Handle("/backchannel-logout", auth.BackChannelLogout())
	mux.Handle("/", auth.Load(http.HandlerFunc(who)))
	mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(a.account)))
	return a
}

// mount adds a page to the application.
func (a *app) mount(path string, h http.Handler) { a.mux.Handle(path, h) }

// who says who is there.
func who(w http.ResponseWriter, r *http.Request) {
	if u, ok := signin.UserFrom(r.Context()); ok {
		_, _ = io.WriteString(w, u.Subject)
		return
	}
	_, _ = io.WriteString(w, "nobody")
}

func (a *app) account(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.inside++
	a.mu.Unlock()
	who(w, r)
}

func (a *app) insideCalls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inside
}

// kinds lists the kinds of the events so far.
func (a *app) kinds() (kinds []signin.EventKind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// browser is a client with a cookie jar that navigates as a person does, and
// stops at redirects.
type browser struct {
	*http.Client
	app *app
}

func (a *app) browser() *browser {
	a.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	c := a.server.Client()
	c.Jar = jar
	return a.wrap(c)
}

// wrap makes a browser of a client, which follows no redirects from now on.
func (a *app) wrap(c *http.Client) *browser {
	stop := *c
	stop.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{Client: &stop, app: a}
}

// signedIn returns a browser in which a person has signed in.
func (a *app) signedIn(u signintest.User) *browser {
	a.t.Helper()
	b := a.browser()
	follow := *b.Client
	follow.CheckRedirect = nil
	a.provider.SignIn(a.t, &follow, a.server.URL, u)
	return b
}

type answer struct {
	*http.Response
	body string
}

// get navigates to a path of the application, or to a URL.
func (b *browser) get(target string, header ...string) answer {
	return b.do(http.MethodGet, target, header...)
}

// do sends a request with the headers of a navigation; further headers are
// "Name: value", and an empty value takes one away.
func (b *browser) do(method, target string, header ...string) answer {
	b.app.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.app.server.URL + target
	}
	r, err := http.NewRequest(method, target, nil)
	if err != nil {
		b.app.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	for _, h := range header {
		name, value, _ := strings.Cut(h, ":")
		if value = strings.TrimSpace(value); value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	return b.send(r)
}

func (b *browser) send(r *http.Request) answer {
	b.app.t.Helper()
	resp, err := b.Do(r)
	if err != nil {
		b.app.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.app.t.Fatal(err)
	}
	return answer{resp, string(body)}
}

// who asks the application who it thinks this is.
func (b *browser) who() string {
	b.app.t.Helper()
	a := b.get("/")
	if a.StatusCode != http.StatusOK {
		return a.Status
	}
	return a.body
}

// cookie returns the value of a cookie of the application.
func (b *browser) cookie(name string) string {
	u, _ := url.Parse(b.app.server.URL)
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// cookies returns the browser's Cookie header for the application.
func (b *browser) cookies() string {
	u, _ := url.Parse(b.app.server.URL)
	var all []string
	for _, c := range b.Jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// copyOf is another browser with the same cookies for the application.
func (b *browser) copyOf() *browser {
	c := b.app.browser()
	u, _ := url.Parse(b.app.server.URL)
	c.Jar.SetCookies(u, b.Jar.Cookies(u))
	return c
}

// wantStatus checks an answer's status and code.
func (a answer) want(t *testing.T, status int, location string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("status: got %d (%s); want %d", a.StatusCode, a.body, status)
	}
	if got := a.Header.Get("Location"); !strings.HasPrefix(got, location) || (location == "") != (got == "") {
		t.Errorf("Location: got %q; want %q", got, location)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// ownTransport is for clients of tests. Every httptest.Server that closes takes
// the idle connections of http.DefaultTransport with it, and so breaks requests of
// tests that run at the same time.
var ownTransport = http.DefaultTransport.(*http.Transport).Clone()
