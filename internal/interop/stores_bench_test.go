package interop

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boj/redistore"
	redigo "github.com/gomodule/redigo/redis"
	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
	"github.com/gosignin/signin/signintest"
)

// A redisServer is a redis-server of a test, on a free port of 127.0.0.1. It keeps
// nothing when it ends.
type redisServer struct {
	t       testing.TB
	addr    string
	process *exec.Cmd
}

func startRedis(t testing.TB) *redisServer {
	t.Helper()
	s := &redisServer{t: t}
	var err error
	for range 10 {
		// Below the ports that connections get, or one might take it while the
		// server is down. Another server may have it.
		s.addr = fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		if err = s.start(); err == nil {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatalf("redis-server, of the package of that name: %v", err)
	return nil
}

// start starts it, empty, and waits until it answers.
func (s *redisServer) start() error {
	host, port, _ := net.SplitHostPort(s.addr)
	s.process = exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", s.t.TempDir())
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	patience := time.AfterFunc(20*time.Second, func() { _ = s.process.Process.Kill() })
	defer patience.Stop()
	said, lines := "", bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return nil
		}
		said += lines.Text() + "\n"
	}
	return fmt.Errorf("it ended: %v\n%s", s.process.Wait(), said)
}

func (s *redisServer) kill() {
	if s.process.ProcessState == nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
	}
}

// client is one with which tests look inside.
func (s *redisServer) client() *redis.Client {
	return newClient(s.t, at("tcp", s.addr, new(atomic.Int64)))
}

// everything returns all that the server holds.
func (s *redisServer) everything() map[string]string {
	s.t.Helper()
	c, all := s.client(), make(map[string]string)
	keys, err := c.Keys(s.t.Context(), "*").Result()
	for _, key := range keys {
		if err == nil {
			all[key], err = c.Get(s.t.Context(), key).Result()
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// A dialer connects to one server, whatever it is asked for.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// at is a dialer that counts round trips: how often a connection is read from
// after it has been written to.
func at(network, addr string, trips *atomic.Int64) dialer {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{Timeout: impatience}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &counted{Conn: c, trips: trips}, nil
	}
}

type counted struct {
	net.Conn
	trips *atomic.Int64
	wrote atomic.Bool
}

func (c *counted) Write(p []byte) (int, error) {
	c.wrote.Store(true)
	return c.Conn.Write(p)
}

func (c *counted) Read(p []byte) (int, error) {
	if c.wrote.Swap(false) {
		c.trips.Add(1)
	}
	return c.Conn.Read(p)
}

// impatience is how long a store in these tests waits for Redis.
const impatience = time.Second

var storeKey = []byte(strings.Repeat("s", 32))

// newClient returns a client that does not try again, since these tests want to
// see the first error, and the first round trip.
func newClient(t testing.TB, d dialer) *redis.Client {
	c := redis.NewClient(&redis.Options{Dialer: d, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// newRediStore is boj/redistore with a limit; a negative one leaves it as it is
// made. Its error is not looked at: where a server is down there is one, and a
// store.
func newRediStore(t testing.TB, d dialer, limit int) *redistore.RediStore {
	p := &redigo.Pool{MaxIdle: 16, IdleTimeout: time.Minute, Dial: func() (redigo.Conn, error) {
		return redigo.Dial("tcp", "", redigo.DialContextFunc(d), redigo.DialReadTimeout(impatience), redigo.DialWriteTimeout(impatience))
	}}
	t.Cleanup(func() { _ = p.Close() })
	store, _ := redistore.NewRediStoreWithPool(p, storeKey)
	store.SetMaxLength(limit)
	return store
}

type redisStore struct {
	name string
	open func(testing.TB, dialer) sessions.Store
}

// redisStores are the stores on Redis, with the limits that the README sets.
var redisStores = []redisStore{
	{"boj/redistore", func(t testing.TB, d dialer) sessions.Store { return newRediStore(t, d, 64<<10) }},
	{"redisstore", func(t testing.TB, d dialer) sessions.Store { return redisstore.NewSessions(newClient(t, d)) }},
}

// A keeper is an application that keeps its sessions somewhere, with the provider
// of signintest.
type keeper struct {
	t        testing.TB
	provider *signintest.Provider
	cfg      signin.Config
	handler  http.Handler
	clock    clock
	wire     wire
	log      transcript
	inside   atomic.Int64 // calls of the guarded handler
}

func startKeeper(t testing.TB, change func(*signin.Config), opts ...signintest.Option) *keeper {
	t.Helper()
	k := &keeper{t: t}
	k.provider = signintest.NewProvider(append(opts, signintest.WithNow(k.clock.Now))...)
	t.Cleanup(k.provider.Close)
	server, base := listen()
	k.cfg = k.provider.Config(base)
	k.cfg.Logger = slog.New(slog.NewTextHandler(&k.log, nil))
	k.cfg.HTTPClient = &http.Client{Transport: &k.wire}
	change(&k.cfg)
	k.handler = k.another()
	server.Config.Handler = k.handler
	server.Start()
	t.Cleanup(server.Close)
	return k
}

func (k *keeper) auth() *signin.Auth {
	k.t.Helper()
	auth, err := signin.New(k.cfg)
	if err != nil {
		k.t.Fatalf("signin.New: %v", err)
	}
	return auth
}

// another is another process of the application, or this one after a restart.
func (k *keeper) another() http.Handler {
	k.t.Helper()
	auth, m := k.auth(), http.NewServeMux()
	m.Handle("/account", auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.inside.Add(1)
		account(w, r)
	})))
	m.HandleFunc("/", home)
	return auth.WithRoutes(m)
}

// visit signs somebody in, in a browser that has a session cookie or "", and
// returns the last answer and the session cookie after it.
func (k *keeper) visit(u signintest.User, had string) (*http.Response, string) {
	k.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		k.t.Fatal(err)
	}
	base, err := url.Parse(k.cfg.BaseURL)
	if err != nil {
		k.t.Fatal(err)
	}
	if had != "" {
		jar.SetCookies(base, []*http.Cookie{{Name: "signin", Value: had, Path: "/"}})
	}
	browser := &http.Client{Transport: ownTransport, Jar: jar}
	last := k.provider.Visit(k.t, browser, k.cfg.BaseURL+"/sign-in?return_to=/account", u)
	for _, c := range jar.Cookies(base) {
		if c.Name == "signin" {
			return last, c.Value
		}
	}
	return last, ""
}

// signIn is visit for somebody who is let in.
func (k *keeper) signIn(u signintest.User, had string) (cookie string) {
	k.t.Helper()
	before := k.provider.Stats().Exchanges
	last, cookie := k.visit(u, had)
	rounds := k.provider.Stats().Exchanges - before // a session that is lost is made again by the guard
	if last.StatusCode != http.StatusOK || cookie == had || rounds != 1 {
		k.t.Fatalf("signing in %s: got %s, a new cookie: %t, %d rounds; want 200, one, and 1\n%s", u.Subject, last.Status, cookie != had, rounds, &k.log)
	}
	return cookie
}

const benchSubject = "k2v8s0q7z1xw"

// benchUser has an ID token of about 900 bytes, signed with ES384, as the
// benchmarks of the root package have.
func benchUser() signintest.User {
	return signintest.User{
		Subject: benchSubject, Username: "alice", Name: "Alice Example", Email: "alice@example.com",
		Picture: "https://images.example.com/avatars/k2v8s0q7z1xw.png",
		Claims:  map[string]any{"zoneinfo": "Europe/Berlin", "locale": "de-DE", "website": "https://alice.example.com/about-me/and-all-the-rest"},
	}
}

// A contender is a guard, and a request that gets through it to a handler that
// reads who is there.
type contender struct {
	name    string
	guarded http.Handler
	request *http.Request
	cookie  int // bytes
	trips   *atomic.Int64
	want    int64 // round trips to Redis for each request
}

func newContender(name, cookieName, cookie string, guarded http.Handler, trips *atomic.Int64, want int64) contender {
	r := httptest.NewRequest(http.MethodGet, "/account", nil)
	r.Header.Set("Cookie", cookieName+"="+cookie)
	return contender{name, guarded, r, len(cookie), trips, want}
}

// contenders are all stores of the README, on one Redis, with one person's
// session each.
func contenders(t testing.TB, server *redisServer) []contender {
	t.Helper()
	var all []contender
	hash, block := []byte(strings.Repeat("h", 32)), []byte(strings.Repeat("b", 32))
	for _, row := range []struct {
		name  string
		store func(dialer) sessions.Store // nil: cookies
		redis bool                        // Config.Shared is redisstore's, and else memory
		want  int64
	}{
		{"cookies, memory", nil, false, 0},
		{"CookieStore, memory", func(dialer) sessions.Store { return sessions.NewCookieStore(hash, block) }, false, 0},
		{"FilesystemStore, memory", func(dialer) sessions.Store { return sessions.NewFilesystemStore(t.TempDir(), hash) }, false, 0},
		{"cookies, redisstore.Shared", nil, true, 1},
		{"redisstore, redisstore.Shared", func(d dialer) sessions.Store { return redisStores[1].open(t, d) }, true, 2},
		{"boj/redistore, redisstore.Shared", func(d dialer) sessions.Store { return redisStores[0].open(t, d) }, true, 2},
		{"boj/redistore that pings, redisstore.Shared", func(d dialer) sessions.Store { return pinging(t, d) }, true, 3},
	} {
		trips := new(atomic.Int64)
		d := at("tcp", server.addr, trips)
		k := startKeeper(t, func(c *signin.Config) {
			c.Scopes = []string{"email"}
			if row.store != nil {
				c.Store = row.store(d)
			}
			if row.redis {
				c.Shared = redisstore.NewShared(newClient(t, d))
			}
		})
		cookie := k.signIn(benchUser(), "")
		all = append(all, newContender(row.name, "signin", cookie, k.auth().RequireAuth(wantUser(t)), trips, row.want))
		if row.name == "cookies, memory" {
			trips := new(atomic.Int64)
			guarded, cookie := handWritten(t, newRediStore(t, at("tcp", server.addr, trips), 0), &k.wire)
			all = append(all, newContender("boj/redistore by hand, gob", "session", cookie, guarded, trips, 1))
		}
	}
	return all
}

// pinging is boj/redistore as its own constructors for an address make it.
func pinging(t testing.TB, d dialer) sessions.Store {
	store := newRediStore(t, d, 64<<10)
	store.Pool.TestOnBorrow = func(c redigo.Conn, _ time.Time) error {
		_, err := c.Do("PING")
		return err
	}
	return store
}

func wantUser(t testing.TB) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if u, ok := signin.UserFrom(r.Context()); !ok || u.Subject != benchSubject {
			t.Error("got no user, or another; want the user")
		}
	})
}

// handWritten is the guard that applications write by themselves, as tutorials of
// this field show it. It keeps the same data (tokens, times, and the claims once
// they are verified) in a store, encoded with gob and not sealed, and knows
// nothing of sign-outs elsewhere.
func handWritten(t testing.TB, store sessions.Store, w *wire) (guarded http.Handler, cookie string) {
	t.Helper()
	tokens := w.of("authorization_code")[0].tokens
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tokens.IDToken, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var known map[string]any
	if err := json.Unmarshal(payload, &known); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(known, func(_ string, v any) bool { return v == nil }) // gob has no null
	gob.Register(known)
	sess := sessions.NewSession(store, "session")
	sess.Options = &sessions.Options{Path: "/", MaxAge: 86400}
	sess.Values = map[any]any{
		"claims": known, "id_token": tokens.IDToken, "access_token": tokens.AccessToken, "refresh_token": tokens.RefreshToken,
		"scope": "openid profile offline_access email", "created": int64(1_700_000_000), "last_seen": int64(1_700_000_000), "expires_at": int64(1_700_003_600),
	}
	recorded := httptest.NewRecorder()
	if err := store.Save(httptest.NewRequest(http.MethodGet, "/", nil), recorded, sess); err != nil {
		t.Fatal(err)
	}
	type key struct{}
	guarded = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sess, err := store.New(r, "session")
		known, ok := sess.Values["claims"].(map[string]any)
		if err != nil || !ok {
			t.Errorf("got no claims, error %v; want them", err)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), key{}, known))
		if again, _ := r.Context().Value(key{}).(map[string]any); again["sub"] != benchSubject {
			t.Error("got no user, or another; want the user")
		}
	})
	return guarded, recorded.Result().Cookies()[0].Value
}

// TestRoundTrips holds the README's column of round trips.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for _, c := range contenders(t, startRedis(t)) {
		c.guarded.ServeHTTP(httptest.NewRecorder(), c.request) // connects
		before := c.trips.Load()
		for range 10 {
			c.guarded.ServeHTTP(httptest.NewRecorder(), c.request)
		}
		if got := c.trips.Load() - before; got != 10*c.want {
			t.Errorf("%s: got %d round trips for 10 requests; want %d", c.name, got, 10*c.want)
		}
	}
}

// discard is a ResponseWriter that keeps its header, as a server's does.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkStores is a guarded request with each store, one store after the other
// and side by side, and then the parts of it that go to Redis, alone.
func BenchmarkStores(b *testing.B) {
	server := startRedis(b)
	for _, c := range contenders(b, server) {
		b.Run("request/"+c.name, func(b *testing.B) {
			w := &discard{http.Header{}}
			measure(b, c.trips, func() {
				clear(w.h)
				c.guarded.ServeHTTP(w, c.request)
			})
			b.ReportMetric(float64(c.cookie), "cookie-bytes")
		})
	}
	b.Run("side by side", func(b *testing.B) { sideBySide(b, contenders(b, server)) })
	trips := new(atomic.Int64)
	d := at("tcp", server.addr, trips)
	shared, keys := redisstore.NewShared(newClient(b, d)), make([]string, 4)
	for i := range keys {
		keys[i] = fmt.Sprint("e", strings.Repeat("k", 43), i)
	}
	b.Run("alone/redisstore.Shared.Get of four keys", func(b *testing.B) {
		measure(b, trips, func() {
			if _, err := shared.Get(b.Context(), keys...); err != nil {
				b.Fatal(err)
			}
		})
	})
	for _, row := range redisStores {
		store := row.open(b, d)
		k := startKeeper(b, func(c *signin.Config) { c.Scopes, c.Store = []string{"email"}, store })
		r := httptest.NewRequest(http.MethodGet, "/account", nil)
		r.Header.Set("Cookie", "signin="+k.signIn(benchUser(), ""))
		b.Run("alone/"+row.name+".New", func(b *testing.B) {
			measure(b, trips, func() {
				if s, err := store.New(r, "signin"); err != nil || s.IsNew {
					b.Fatalf("got a new session: %t, error %v; want the one that is there", s.IsNew, err)
				}
			})
		})
	}
}

// sideBySide takes turns, so that whatever else the machine does meets all alike,
// and reports the median time of a request, as a multiple of the first one's.
func sideBySide(b *testing.B, all []contender) {
	const turn = 20 // requests
	took := make([][]float64, len(all))
	w := &discard{http.Header{}}
	for b.Loop() {
		for i, c := range all {
			began := time.Now()
			for range turn {
				clear(w.h)
				c.guarded.ServeHTTP(w, c.request)
			}
			took[i] = append(took[i], float64(time.Since(began)))
		}
	}
	var first float64
	for i, c := range all {
		slices.Sort(took[i])
		median := took[i][len(took[i])/2]
		if i == 0 {
			first = median
		}
		b.ReportMetric(median/first, strings.NewReplacer(" ", "-", ",", "").Replace(c.name)+"-x")
	}
}

// measure runs op with its connections made already.
func measure(b *testing.B, trips *atomic.Int64, op func()) {
	op()
	before := trips.Load()
	b.ReportAllocs()
	for b.Loop() {
		op()
	}
	b.ReportMetric(float64(trips.Load()-before)/float64(b.N), "trips/op")
}
