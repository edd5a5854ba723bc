package redisstore_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
	"github.com/gosignin/signin/signintest"
)

// kinds are the two ways of an application: what replicas share is on Redis in
// both, sessions are in cookies or on Redis as well.
var kinds = map[string]bool{"sessions in cookies": false, "sessions on Redis": true}

// opTimeout is what one operation on Redis may take in the impatient replicas.
const opTimeout = 400 * time.Millisecond

// application is one that runs as several replicas, with a client of Redis each.
// The last two have little patience with it: they are for what happens without.
type application struct {
	t        *testing.T
	redis    *node
	provider *signintest.Provider
	server   *httptest.Server
	replicas [4]*replica
	log      *lockedBuffer
	ahead    atomic.Int64 // of the clock
	// turn says which replica gets the next request; if negative, it is the
	// turn of each of the patient ones.
	turn, count atomic.Int32
}

type replica struct {
	auth   *signin.Auth
	key    []byte       // of Config.Keys
	inside atomic.Int32 // how often the protected handler was called
	mux    *http.ServeMux
}

const (
	anybody   = -1
	patients  = 2 // replicas 0 and 1
	impatient = 2 // and the one that follows
)

func newApplication(t *testing.T, n *node, storeToo bool, opts ...signintest.Option) *application {
	t.Helper()
	a := &application{t: t, redis: n, log: &lockedBuffer{}}
	a.provider = signintest.NewProvider(append(opts, signintest.WithNow(a.now))...)
	t.Cleanup(a.provider.Close)
	a.server = httptest.NewServer(a)
	t.Cleanup(a.server.Close)
	cfg := a.provider.Config(a.server.URL)
	cfg.Now = a.now
	cfg.Logger = slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for i := range a.replicas {
		client, timeout := n.client(asUser), redisstore.Timeout(patience)
		if i >= impatient {
			timeout = redisstore.Timeout(opTimeout)
		}
		cfg.Shared = redisstore.NewShared(client, timeout)
		if storeToo {
			cfg.Store = redisstore.NewSessions(client, timeout)
		}
		a.replicas[i] = newReplica(t, cfg)
	}
	return a
}

func newReplica(t *testing.T, cfg signin.Config) *replica {
	t.Helper()
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatalf("New: got error %v; want none", err)
	}
	r := &replica{auth: auth, key: cfg.Keys[0], mux: http.NewServeMux()}
	who := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		name := "nobody"
		if u, ok := signin.UserFrom(req.Context()); ok {
			name = u.Subject
		}
		_, _ = io.WriteString(w, name)
	})
	r.mux.Handle("/sign-in", auth.SignIn())
	r.mux.Handle("/callback", auth.Callback())
	r.mux.Handle("/sign-out", auth.SignOut())
	r.mux.Handle("/backchannel-logout", auth.BackChannelLogout())
	r.mux.Handle("/", auth.Load(who))
	r.mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.inside.Add(1)
		who(w, req)
	})))
	return r
}

func (a *application) now() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	turn := a.turn.Load()
	if turn == anybody {
		turn = a.count.Add(1) % patients
	}
	a.replicas[turn].mux.ServeHTTP(w, r)
}

// inside is how often the protected handler was called.
func (a *application) inside() (calls int32) {
	for _, r := range a.replicas {
		calls += r.inside.Load()
	}
	return calls
}

// browser is a person's, and stops at redirects.
type browser struct {
	*http.Client
	app *application
}

func (a *application) browser() *browser {
	a.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	return &browser{&http.Client{
		Transport: ownTransport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, a}
}

// ownTransport is for clients of tests. Every httptest.Server that closes takes
// the idle connections of http.DefaultTransport with it, and so breaks requests of
// tests that run at the same time.
var ownTransport = http.DefaultTransport.(*http.Transport).Clone()

// signedIn returns a browser in which Alice has signed in.
func (a *application) signedIn() *browser {
	a.t.Helper()
	b := a.browser()
	b.signIn()
	return b
}

func (b *browser) signIn() {
	b.app.t.Helper()
	b.signInAs(signintest.Alice())
}

func (b *browser) signInAs(user signintest.User) {
	b.app.t.Helper()
	follow := *b.Client
	follow.CheckRedirect = nil
	b.app.provider.SignIn(b.app.t, &follow, b.app.server.URL, user)
}

// at has requests go to one replica, or to anybody.
func (b *browser) at(replica int32) *browser {
	b.app.turn.Store(replica)
	return b
}

// copyOf is another browser with the same cookies for the application.
func (b *browser) copyOf() *browser {
	c := b.app.browser()
	c.Jar.SetCookies(b.url(), b.Jar.Cookies(b.url()))
	return c
}

func (b *browser) url() *url.URL {
	u, err := url.Parse(b.app.server.URL)
	if err != nil {
		panic(err)
	}
	return u
}

// session returns the value of the session cookie.
func (b *browser) session() string {
	for _, c := range b.Jar.Cookies(b.url()) {
		if c.Name == "signin" {
			return c.Value
		}
	}
	return ""
}

type answer struct {
	*http.Response
	body string
	took time.Duration
}

// get navigates to a path, or to a URL.
func (b *browser) get(target string) answer { return b.do(http.MethodGet, target, nil) }

// post sends a form from a page of the application.
func (b *browser) post(target string, form url.Values) answer {
	return b.do(http.MethodPost, target, form)
}

func (b *browser) do(method, target string, form url.Values) answer {
	t := b.app.t
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.app.server.URL + target
	}
	r, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
	if err != nil {
		panic(err) // targets are this test's own
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	start := time.Now()
	resp, err := b.Do(r)
	if err != nil {
		t.Errorf("%s %s: got error %v; want an answer", method, r.URL.Path, err)
		return answer{Response: &http.Response{Header: http.Header{}}}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s: got error %v; want the whole answer", method, r.URL.Path, err)
	}
	return answer{resp, string(body), time.Since(start)}
}

// logout sends a logout token as the provider does.
func (a *application) logout() answer {
	a.t.Helper()
	return a.browser().post("/backchannel-logout", url.Values{
		"logout_token": {a.provider.LogoutToken(signintest.Alice().Subject, "")},
	})
}

// wantAlice checks that each replica lets a browser in.
func (b *browser) wantAlice() {
	b.app.t.Helper()
	for i := range patients {
		got := b.at(int32(i)).get("/account")
		if got.StatusCode != http.StatusOK || got.body != signintest.Alice().Subject {
			b.app.t.Errorf("replica %d: got %s, %q; want Alice's account", i, got.Status, got.body)
		}
	}
}

// wantNobody checks that no replica lets a browser in, and that it is sent to
// sign in, without an error.
func (b *browser) wantNobody() {
	b.app.t.Helper()
	before := b.app.inside()
	for i := range patients {
		c := b.copyOf() // the first answer clears the cookie
		got := c.at(int32(i)).get("/account")
		if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/sign-in?return_to=%2Faccount" {
			b.app.t.Errorf("replica %d: got %s to %q; want a sign-in", i, got.Status, got.Header.Get("Location"))
		}
		if home := b.copyOf().get("/"); home.StatusCode != http.StatusOK || home.body != "nobody" {
			b.app.t.Errorf("replica %d, home: got %s, %q; want nobody", i, home.Status, home.body)
		}
	}
	if n := b.app.inside() - before; n != 0 {
		b.app.t.Errorf("the protected handler: got %d calls; want none", n)
	}
}

// holdAtCallback begins a sign-in and returns the URL of the callback to which
// the provider sends the browser, which has not gone there.
func (b *browser) holdAtCallback() string {
	b.app.t.Helper()
	begun := b.get("/sign-in")
	door := &stopAtCallback{}
	follow := *b.Client
	follow.Transport = door
	b.app.provider.Visit(b.app.t, &follow, begun.Header.Get("Location"), signintest.Alice())
	if door.response == "" {
		b.app.t.Fatalf("a sign-in: got %s to %q; want a way to the callback", begun.Status, begun.Header.Get("Location"))
	}
	return door.response
}

// stopAtCallback keeps the provider's response instead of delivering it.
type stopAtCallback struct{ response string }

func (s *stopAtCallback) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/callback" {
		return ownTransport.RoundTrip(r)
	}
	s.response = r.URL.String()
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

// everywhere lists all that a Redis holds.
func (n *node) everywhere() map[string]string {
	n.t.Helper()
	all := map[string]string{}
	for _, key := range n.keys() {
		value, err := n.operator.Get(context.Background(), key).Result()
		if err != nil && err != redis.Nil { // it may have expired
			n.t.Fatal(err)
		}
		all[key] = value
	}
	return all
}

// together runs all of these at once.
func together(all ...func()) {
	var wg sync.WaitGroup
	for _, f := range all {
		wg.Go(f)
	}
	wg.Wait()
}
