package interop

import (
	"bytes"
	"encoding/base64"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/boj/redistore"
	redigo "github.com/gomodule/redigo/redis"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
	"github.com/gosignin/signin/signintest"
)

// Sessions in github.com/boj/redistore.
func Example_redistore() {
	var cfg signin.Config
	// redigo is github.com/gomodule/redigo/redis
	pool := &redigo.Pool{MaxIdle: 16, IdleTimeout: time.Minute, Dial: func() (redigo.Conn, error) {
		limit := 2 * time.Second // its other constructors set none: a Redis that hangs holds up every request
		return redigo.Dial("tcp", "127.0.0.1:6379",
			redigo.DialConnectTimeout(limit), redigo.DialReadTimeout(limit), redigo.DialWriteTimeout(limit))
	}}
	store, err := redistore.NewRediStoreWithPool(pool, []byte(os.Getenv("STORE_KEY")))
	if err != nil {
		log.Fatal(err) // it asks Redis: your application does not start without it
	}
	store.SetMaxLength(64 << 10) // 4 KB otherwise
	cfg.Store = store
	if _, err := signin.New(cfg); err != nil {
		log.Fatal(err)
	}
}

// What replicas share, and sessions that are too large for cookies.
func Example_redisstore() {
	var cfg signin.Config
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true, DialerRetries: 1})
	cfg.Shared = redisstore.NewShared(client)  // with more than one process, whatever the store
	cfg.Store = redisstore.NewSessions(client) // only if cookies are too small
	if _, err := signin.New(cfg); err != nil {
		log.Fatal(err)
	}
}

// A keeper is an application that keeps its sessions in some store, with the
// provider of signintest.
type keeper struct {
	t        testing.TB
	app      *signintest.App
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
	k.app = signintest.Start(t, func(cfg signin.Config) (http.Handler, error) {
		cfg.Logger = slog.New(slog.NewTextHandler(&k.log, nil))
		cfg.HTTPClient = &http.Client{Transport: &k.wire}
		change(&cfg)
		k.cfg = cfg
		k.handler = k.another()
		return k.handler, nil
	}, append(opts, signintest.WithNow(k.clock.Now))...)
	k.provider = k.app.Provider
	return k
}

// keep is startKeeper with a store on a new Redis.
func keep(t *testing.T, store redisStore, opts ...signintest.Option) (*keeper, *redisServer) {
	t.Helper()
	server := startRedis(t)
	return startKeeper(t, func(c *signin.Config) { c.Store = server.open(store, patient) }, opts...), server
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

// visit signs a person in, in a browser that has a session cookie or "", and
// returns the last answer and the session cookie after it.
func (k *keeper) visit(u signintest.User, had string) (*http.Response, string) {
	k.t.Helper()
	base, _ := url.Parse(k.cfg.BaseURL)
	browser := k.provider.NewClient()
	if had != "" {
		browser.Jar.SetCookies(base, []*http.Cookie{{Name: "signin", Value: had, Path: "/"}})
	}
	last := k.provider.Visit(k.t, browser, k.cfg.BaseURL+"/sign-in?return_to=/account", u)
	for _, c := range browser.Jar.Cookies(base) {
		if c.Name == "signin" {
			return last, c.Value
		}
	}
	return last, ""
}

// signIn is a visit that must succeed.
func (k *keeper) signIn(u signintest.User, had string) (cookie string) {
	k.t.Helper()
	before := k.provider.Stats().Exchanges
	last, cookie := k.visit(u, had)
	rounds := k.provider.Stats().Exchanges - before // if the session is lost, the guard starts a second
	if last.StatusCode != http.StatusOK || cookie == had || rounds != 1 {
		k.t.Fatalf("signing in %s: got %s, a new cookie: %t, %d rounds; want 200, one, and 1\n%s",
			u.Subject, last.Status, cookie != had, rounds, &k.log)
	}
	return cookie
}

// ask is a navigation, or a press of the sign-out button.
func ask(h http.Handler, path, cookie string) *httptest.ResponseRecorder {
	method := http.MethodGet
	if path == "/sign-out" {
		method = http.MethodPost
	}
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Cookie", "signin="+cookie)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (k *keeper) wantUser(h http.Handler, cookie string, u signintest.User) {
	k.t.Helper()
	if w := ask(h, "/account", cookie); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "subject="+u.Subject+"\n") {
		k.t.Errorf("the account page: got %d %q; want 200 and %s\n%s", w.Code, w.Body, u.Subject, &k.log)
	}
}

func (k *keeper) wantSignedOut(h http.Handler, cookie string) {
	k.t.Helper()
	before := k.inside.Load()
	if w := ask(h, "/", cookie); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "not signed in") {
		k.t.Errorf("the home page: got %d %q; want 200 and not signed in", w.Code, w.Body)
	}
	if w := ask(h, "/account", cookie); w.Code != http.StatusSeeOther || k.inside.Load() != before {
		k.t.Errorf("the account page: got %d, its handler called: %t; want 303 and not", w.Code, k.inside.Load() != before)
	}
}

// wantBroken checks that an application that cannot look up a session says so, and
// signs no one out.
func (k *keeper) wantBroken(cookie string) {
	k.t.Helper()
	before := k.inside.Load()
	for _, path := range []string{"/", "/account"} {
		w := ask(k.handler, path, cookie)
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "We cannot check your sign-in right now") {
			k.t.Errorf("%s: got %d %q; want 503 and the page that says why", path, w.Code, w.Body)
		}
		if set := w.Header().Values("Set-Cookie"); len(set) > 0 {
			k.t.Errorf("%s: got cookies %q; want none set or cleared", path, set)
		}
	}
	if k.inside.Load() != before {
		k.t.Error("the guarded handler was called")
	}
	if !strings.Contains(k.log.String(), "code=store_unavailable") {
		k.t.Errorf("the log does not say store_unavailable:\n%s", &k.log)
	}
}

// The numbers are those of the rows in docs/conformance.md.
func TestCasesStoresOnRedis(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, redisStore){
		"2.4 a callback that comes ten times to two processes signs in once": callbackTenTimes,
		"4.1 fifty requests to two processes refresh once":                   refreshedOnce,
		"5.10 a whole session": wholeSession,
		"5.1 a planted store cookie reads nothing after a sign-in":            plantedCookie,
		"5.1 a session that is deleted during its refresh gets another ID":    deletedMeanwhile,
		"5.3 a value that is copied or moved opens nowhere":                   valueMoved,
		"5.9 a server that is killed, and comes back empty":                   serverKilled,
		"5.9 a server that hangs":                                             serverHangs,
		"5.9 a server whose Unix socket does not exist":                       socketGone,
		"5.9 a forged cookie is not an error of the store":                    forgedCookie,
		"5.12 no token is in Redis":                                           noTokensInRedis,
		"5.8 what a sign-out reaches with and without a common Config.Shared": signOutReaches,
	} {
		for _, store := range redisStores {
			t.Run(name+", sessions in "+store.name, func(t *testing.T) {
				t.Parallel()
				test(t, store)
			})
		}
	}
}

// onlyKey returns the one key that the server has, and its value.
func onlyKey(t *testing.T, server *redisServer) (key, value string) {
	t.Helper()
	all := server.everything()
	if len(all) != 1 {
		t.Fatalf("keys in Redis: got %d; want one", len(all))
	}
	for key, value = range all {
	}
	return key, value
}

func wholeSession(t *testing.T, store redisStore) {
	alice := signintest.Alice()
	k, server := keep(t, store, signintest.WithRefreshRotation())
	cookie := k.signIn(alice, "")
	key, value := onlyKey(t, server)
	if ttl := server.client().TTL(t.Context(), key).Val(); ttl <= 23*time.Hour || ttl > 24*time.Hour {
		t.Errorf("time to live: got %v; want the 24 h of IdleTimeout, not the store's default", ttl)
	}
	k.clock.move(time.Hour)
	w := ask(k.handler, "/account", cookie)
	set := w.Result().Cookies()
	if w.Code != http.StatusOK || len(set) != 1 {
		t.Fatalf("refreshed: got %d and %d cookies; want 200 and the session's", w.Code, len(set))
	}
	if c := set[0]; c.Name != "signin" || c.MaxAge < 86400 || c.Path != "/" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("refreshed: got cookie %v; want the session's, with this package's attributes", c)
	}
	if again, refreshed := onlyKey(t, server); again != key || refreshed == value {
		t.Errorf("refreshed: got the same key: %t, the same value: %t; want the new tokens in the same place", again == key, refreshed == value)
	}
	// Another process reads the new refresh token from the store. With the used
	// one the session would end.
	k.clock.move(time.Hour)
	other := k.another()
	k.wantUser(other, cookie, alice)
	if got := k.provider.Stats().Refreshes; got != 2 {
		t.Errorf("refreshes: got %d; want 2", got)
	}
	out := ask(k.handler, "/sign-out", cookie)
	if set := out.Result().Cookies(); out.Code != http.StatusSeeOther || len(set) != 1 || set[0].MaxAge >= 0 {
		t.Errorf("sign-out: got %d and cookies %v; want 303 and the session's cleared", out.Code, set)
	}
	if left := server.everything(); len(left) != 0 {
		t.Errorf("keys in Redis after the sign-out: got %d; want none", len(left))
	}
	k.wantSignedOut(k.handler, cookie)
	k.wantSignedOut(other, cookie)
}

func plantedCookie(t *testing.T, store redisStore) {
	alice, bob := signintest.Alice(), signintest.Bob()
	k, server := keep(t, store)
	ended := k.signIn(bob, "")
	ask(k.handler, "/sign-out", ended)
	for what, planted := range map[string]string{
		"of a live session":        k.signIn(bob, ""),
		"of a session that ended":  ended,
		"of an ID that is made up": strings.Repeat("A", 26),
	} {
		before := len(server.everything())
		if what == "of a live session" {
			before--
		}
		victims := k.signIn(alice, planted)
		k.wantUser(k.handler, victims, alice)
		k.wantSignedOut(k.handler, planted)
		if got := len(server.everything()); got != before+1 {
			t.Errorf("planted, %s: got %d keys more in Redis; want only the victim's", what, got-before)
		}
	}
}

// A person with write access to Redis copies another's value over their own, and one
// with read access sends a value as a cookie to an application that has the same keys
// and keeps sessions in cookies.
func valueMoved(t *testing.T, store redisStore) {
	alice, bob := signintest.Alice(), signintest.Bob()
	k, server := keep(t, store)
	bobs := k.signIn(bob, "")
	own, _ := onlyKey(t, server)
	alices := k.signIn(alice, "")
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "signin="+alices)
	kept, err := k.cfg.Store.New(r, "signin")
	for key, value := range server.everything() {
		if key != own && err == nil {
			err = server.client().Set(t.Context(), own, value, time.Hour).Err()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	k.wantSignedOut(k.handler, bobs)
	k.wantUser(k.handler, alices, alice)
	if err := k.auth().Diagnose(t.Context()); err != nil || len(server.everything()) != 2 {
		t.Errorf("Diagnose: got %v, and %d keys; want none of its own left", err, len(server.everything()))
	}
	k.cfg.Store = nil
	k.wantSignedOut(k.another(), kept.Values["signin"].(string))
}

// A session is deleted from the store between the moments in which a request
// reads and writes it. It must not come back under an ID that an attacker may
// know, which boj/redistore would keep.
func deletedMeanwhile(t *testing.T, store redisStore) {
	alice := signintest.Alice()
	k, server := keep(t, store)
	cookie := k.signIn(alice, "")
	client := server.client()
	k.provider.OnTokenRequest(func(url.Values) {
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	})
	k.clock.move(time.Hour)
	w := ask(k.handler, "/account", cookie)
	set := w.Result().Cookies()
	if w.Code != http.StatusOK || len(set) != 1 || set[0].Value == cookie {
		t.Fatalf("the account page: got %d and %d cookies; want 200 and a new cookie", w.Code, len(set))
	}
	k.wantSignedOut(k.handler, cookie)
	k.wantUser(k.handler, set[0].Value, alice)
}

func serverKilled(t *testing.T, store redisStore) {
	alice, bob := signintest.Alice(), signintest.Bob()
	k, server := keep(t, store)
	cookie := k.signIn(bob, "")
	server.kill()
	k.wantBroken(cookie)
	for _, had := range []string{cookie, ""} {
		if last, left := k.visit(alice, had); last.StatusCode != http.StatusServiceUnavailable || left != had {
			t.Errorf("signing in: got %s, another cookie: %t; want 503 and none", last.Status, left != had)
		}
	}
	if w := ask(k.handler, "/sign-out", cookie); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "You are signed out in this browser<") {
		t.Errorf("sign-out: got %d %q; want 503 and a page that says what was not reached", w.Code, w.Body)
	}
	if err := server.start(); err != nil {
		t.Fatal(err)
	}
	// The store's client has to notice first that its connections are broken.
	for began := time.Now(); ask(k.handler, "/", cookie).Code != http.StatusOK && time.Since(began) < time.Minute; {
		<-time.After(20 * time.Millisecond)
	}
	k.wantSignedOut(k.handler, cookie)
	k.wantUser(k.handler, k.signIn(alice, cookie), alice)
}

func serverHangs(t *testing.T, store redisStore) {
	alice := signintest.Alice()
	k, server := keep(t, store)
	cookie := k.signIn(alice, "")
	signal := func(sig os.Signal) {
		if err := server.process.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	works := k.handler
	k.cfg.Store = server.open(store, impatient)
	k.handler = k.another()
	signal(syscall.SIGSTOP)
	k.wantBroken(cookie)
	signal(syscall.SIGCONT)
	k.wantUser(works, cookie, alice)
}

// The error for a Unix socket that does not exist is also that for a missing
// file, which would mean no session.
func socketGone(t *testing.T, store redisStore) {
	k := startKeeper(t, func(c *signin.Config) {
		c.Store = store.open(t, at("unix", filepath.Join(t.TempDir(), "none"), new(atomic.Int64)), patient)
	})
	k.wantBroken(acceptable(t, store, storeKey))
}

// acceptable is a cookie that a store accepts if it has this key, and whose
// session does not exist.
func acceptable(t *testing.T, store redisStore, key []byte) string {
	t.Helper()
	if store.name == "redisstore" {
		return strings.Repeat("A", 26)
	}
	value, err := securecookie.EncodeMulti("signin", strings.Repeat("A", 52), securecookie.CodecsFromPairs(key)...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func forgedCookie(t *testing.T, store redisStore) {
	alice := signintest.Alice()
	k, _ := keep(t, store)
	for _, forged := range []string{
		"", "%%%", strings.Repeat("x", 5000), acceptable(t, store, storeKey), acceptable(t, redisStores[0], []byte("another")),
	} {
		k.wantSignedOut(k.handler, forged)
		k.wantUser(k.handler, k.signIn(alice, forged), alice)
		if w := ask(k.handler, "/sign-out", forged); w.Code != http.StatusSeeOther {
			t.Errorf("sign-out with %.30q: got %d; want 303", forged, w.Code)
		}
	}
}

// A sign-out deletes the session from a store on a server, so that it ends in
// all processes. A logout token that comes to one of them reaches the others
// only with a common Config.Shared.
func signOutReaches(t *testing.T, store redisStore) {
	alice := signintest.Alice()
	server := startRedis(t)
	for _, common := range []bool{true, false} {
		k := startKeeper(t, func(c *signin.Config) {
			c.Store = server.open(store, patient)
			if common {
				c.Shared = redisstore.NewShared(server.client(), redisstore.Timeout(patient))
			}
		})
		other := k.another()
		copied := k.signIn(alice, "")
		k.wantUser(other, copied, alice)
		ask(k.handler, "/sign-out", copied)
		k.wantSignedOut(other, copied)

		copied = k.signIn(alice, "")
		r := httptest.NewRequest(http.MethodPost, "/backchannel-logout",
			strings.NewReader(url.Values{"logout_token": {k.provider.LogoutToken(alice.Subject, "")}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		k.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("back-channel logout: got %d %s; want 200", w.Code, w.Body)
		}
		if common {
			k.wantSignedOut(other, copied)
		} else {
			k.wantUser(other, copied, alice)
		}
		k.wantSignedOut(k.handler, copied)
	}
}

// inTwoProcesses runs check with two processes whose Config.Shared is on one
// Redis: with sessions in cookies, and in the store.
func inTwoProcesses(t *testing.T, store redisStore, check func(*keeper, []http.Handler)) {
	server := startRedis(t)
	shared := func() signin.SharedState { return redisstore.NewShared(server.client(), redisstore.Timeout(patient)) }
	for _, kept := range []sessions.Store{nil, server.open(store, patient)} {
		k := startKeeper(t, func(c *signin.Config) { c.Store, c.Shared = kept, shared() }, signintest.WithRefreshRotation())
		k.cfg.Shared = shared()
		check(k, []http.Handler{k.handler, k.another()})
	}
}

func callbackTenTimes(t *testing.T, store redisStore) {
	inTwoProcesses(t, store, func(k *keeper, both []http.Handler) {
		browser, callback := k.app.Browser(signintest.Alice()), httptest.NewRequest(http.MethodGet, "/", nil)
		browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == "/callback" {
				callback = httptest.NewRequest(http.MethodGet, r.URL.RequestURI(), nil)
				return http.ErrUseLastResponse
			}
			return nil
		}
		resp, err := browser.Get(k.app.URL + "/sign-in")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		base, _ := url.Parse(k.app.URL)
		for _, c := range browser.Jar.Cookies(base) {
			callback.AddCookie(c)
		}
		var together sync.WaitGroup
		for i := range 10 {
			together.Go(func() {
				w := httptest.NewRecorder()
				if both[i%2].ServeHTTP(w, callback.Clone(t.Context())); w.Code != http.StatusSeeOther {
					t.Errorf("callback: got %d, %q; want a redirect", w.Code, w.Body)
				}
			})
		}
		together.Wait()
		if n := k.provider.Stats().Exchanges; n != 1 {
			t.Errorf("got %d codes exchanged; want one", n)
		}
	})
}

// The cookie from before the refresh works until a sign-out, which ends it together
// with the new one.
func refreshedOnce(t *testing.T, store redisStore) {
	inTwoProcesses(t, store, func(k *keeper, both []http.Handler) {
		alice, refreshed := signintest.Alice(), make(chan string, 50)
		old := k.signIn(alice, "")
		k.clock.move(time.Hour)
		var together sync.WaitGroup
		for i := range cap(refreshed) {
			together.Go(func() {
				w := ask(both[i%2], "/account", old)
				if w.Code != http.StatusOK {
					t.Errorf("got %d, %q; want the page", w.Code, w.Body)
				}
				for _, c := range w.Result().Cookies() {
					refreshed <- c.Value
				}
			})
		}
		together.Wait()
		if s := k.provider.Stats(); s.Refreshes != 1 || s.RevokedForReuse != 0 || len(refreshed) == 0 {
			t.Fatalf("got %+v, and %d cookies; want one refresh, and its cookie", s, len(refreshed))
		}
		newest := <-refreshed
		for _, h := range both {
			k.wantUser(h, old, alice)
		}
		ask(both[1], "/sign-out", old)
		for _, h := range both {
			k.wantSignedOut(h, old)
			k.wantSignedOut(h, newest)
		}
	})
}

// docs/stores.md says how many bytes of claims fit a store together with an opaque access
// token and a refresh token. A twentieth more do not fit.
func TestStores_LargestClaims(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	d := at("tcp", server.addr, new(atomic.Int64))
	for name, row := range map[string]struct {
		promised int
		store    sessions.Store
	}{
		"boj/redistore":                    {48_000, redisStores[0].open(t, d, patient)}, // an ID token may have 64 KB
		"boj/redistore with its own limit": {2800, newRediStore(t, d, patient, -1)},
		"redisstore":                       {48_000, redisStores[1].open(t, d, patient)},
	} {
		t.Run(name, func(t *testing.T) {
			alice := func(bytes int) signintest.User {
				u := signintest.Alice()
				u.Claims = map[string]any{"filler": strings.Repeat("x", bytes)}
				return u
			}
			k := startKeeper(t, func(c *signin.Config) { c.Store = row.store })
			k.signIn(alice(0), "")
			others := claimsIn(k.provider.Secrets())
			cookie := k.signIn(alice(row.promised-others), "")
			k.wantUser(k.handler, cookie, signintest.Alice())
			if got := claimsIn(k.provider.Secrets()); got != row.promised {
				t.Errorf("claims: got %d bytes; want %d", got, row.promised)
			}
			last, left := k.visit(alice(row.promised+row.promised/20-others), cookie)
			if last.StatusCode < 500 || left != cookie {
				t.Errorf("a twentieth more: got %d, another cookie: %t; want an error and the old session", last.StatusCode, left != cookie)
			}
			if said := k.log.String(); row.promised == 2800 && (!strings.Contains(said, "code=session_too_large") || !strings.Contains(said, "raise its limit")) {
				t.Errorf("the log does not say what to do:\n%s", said)
			}
		})
	}
}

// claimsIn is how many bytes of claims the newest ID token has.
func claimsIn(secrets []string) int {
	for _, secret := range slices.Backward(secrets) {
		if parts := strings.Split(secret, "."); len(parts) == 3 {
			return base64.RawURLEncoding.DecodedLen(len(parts[1]))
		}
	}
	return 0
}

// noTokensInRedis looks at all that Redis has after each step of a session's
// life, and then at what a careless application writes.
func noTokensInRedis(t *testing.T, store redisStore) {
	alice := signintest.Alice()
	server := startRedis(t)
	k := startKeeper(t, func(c *signin.Config) {
		c.Store, c.Shared = server.open(store, patient), redisstore.NewShared(server.client(), redisstore.Timeout(patient))
	}, signintest.WithRefreshRotation())
	var seen strings.Builder
	look := func() {
		for key, value := range server.everything() {
			seen.WriteString(key + "\n" + value + "\n")
		}
	}
	cookie := k.signIn(alice, "")
	look()
	for range 2 {
		k.clock.move(time.Hour)
		k.wantUser(k.handler, cookie, alice)
		look()
	}
	ask(k.handler, "/sign-out", cookie)
	look()
	for _, kind := range []string{"signin:e", "signin:n", "signin:u"} { // ends, successors, callbacks
		if !strings.Contains(seen.String(), kind) {
			t.Errorf("keys: got none that begins with %s; want the shared state among them", kind)
		}
	}
	secrets := append(k.provider.Secrets(), alice.Subject, alice.Email, string(k.cfg.Keys[0]), k.cfg.ClientSecret, cookie)
	for _, secret := range slices.Clone(secrets) {
		if parts := strings.Split(secret, "."); len(parts) == 3 {
			payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
			secrets = append(secrets, parts[1], string(payload))
		}
	}
	if holds([]byte(seen.String()), secrets, 3) {
		t.Error("got a secret in Redis; want none")
	}

	careless := sessions.NewSession(k.cfg.Store, "careless")
	careless.Options = &sessions.Options{MaxAge: 60}
	careless.Values["token"] = base64.StdEncoding.EncodeToString([]byte(secrets[0]))
	if err := k.cfg.Store.Save(httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder(), careless); err != nil {
		t.Fatal(err)
	}
	look()
	if !holds([]byte(seen.String()), secrets, 3) {
		t.Error("got no token where a session has one in base64; want it found")
	}
}

var base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}`)

// holds reports whether data contains one of the secrets, in clear or below
// layers of base64. encoding/gob and JSON leave strings as they are.
func holds(data []byte, secrets []string, layers int) bool {
	if slices.ContainsFunc(secrets, func(s string) bool { return bytes.Contains(data, []byte(s)) }) {
		return true
	}
	for _, run := range base64Run.FindAll(data, -1) {
		for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
			for first := range 4 { // a length before it may look like a letter of it
				plain := make([]byte, enc.DecodedLen(len(run)-first))
				// What was decoded before an error counts as well.
				if n, _ := enc.Decode(plain, run[first:]); n > 0 && layers > 1 && holds(plain[:n], secrets, layers-1) {
					return true
				}
			}
		}
	}
	return false
}
