package interop

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
		log.Fatal(err) // it asks Redis: your application does not start without
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

// keep is startKeeper on a store of a Redis of its own.
func keep(t *testing.T, store redisStore, opts ...signintest.Option) (*keeper, *redisServer) {
	t.Helper()
	server := startRedis(t)
	return startKeeper(t, func(c *signin.Config) {
		c.Scopes, c.Store = []string{"roles"}, store.open(t, at("tcp", server.addr, new(atomic.Int64)))
	}, opts...), server
}

// refused is visit for somebody who is not: who was signed in with had still is.
func (k *keeper) refused(u signintest.User, had string, status int) {
	k.t.Helper()
	if last, cookie := k.visit(u, had); last.StatusCode != status || cookie != had {
		k.t.Errorf("signing in: got %s, another cookie: %t; want %d and none", last.Status, cookie != had, status)
	}
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

func (k *keeper) wantNobody(h http.Handler, cookie string) {
	k.t.Helper()
	before := k.inside.Load()
	if w := ask(h, "/", cookie); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "nobody is signed in") {
		k.t.Errorf("the home page: got %d %q; want 200 and nobody", w.Code, w.Body)
	}
	if w := ask(h, "/account", cookie); w.Code != http.StatusSeeOther || k.inside.Load() != before {
		k.t.Errorf("the account page: got %d, its handler called: %t; want 303 and not", w.Code, k.inside.Load() != before)
	}
}

// wantBroken checks what an application says that cannot look up a session, and
// that it signs nobody out.
func (k *keeper) wantBroken(cookie string) {
	k.t.Helper()
	before := k.inside.Load()
	for _, path := range []string{"/", "/account"} {
		w := ask(k.handler, path, cookie)
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "We cannot look up your session right now") {
			k.t.Errorf("%s: got %d %q; want 503 and the page that says why", path, w.Code, w.Body)
		}
		if set := w.Header().Values("Set-Cookie"); len(set) > 0 {
			k.t.Errorf("%s: got cookies %q; want none set or cleared", path, set)
		}
	}
	if k.inside.Load() != before {
		k.t.Error("the guarded handler was called; want it not to be")
	}
	if !strings.Contains(k.log.String(), "code=store_unavailable") {
		k.t.Errorf("the log: got none that says store_unavailable; want one\n%s", &k.log)
	}
}

func TestCasesStoresOnRedis(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, redisStore){
		"5.10 a whole session": wholeSession,
		"5.1 a planted store cookie reads nothing after a sign-in":                 plantedCookie,
		"5.1 a session that is deleted during its refresh gets another place":      deletedMeanwhile,
		"5.10 three hundred roles, and 16 KB of claims":                            largeSessions,
		"5.9 a server that is killed, and comes back empty":                        serverKilled,
		"5.9 a server that hangs":                                                  serverHangs,
		"5.9 a server that was to listen on a Unix socket":                         socketGone,
		"5.9 a forged cookie is no error of the store":                             forgedCookie,
		"5.12 no token is to be found in Redis":                                    noTokensInRedis,
		"5.8 what a sign-out reaches without Config.Shared and what with a common": signOutReaches,
	} {
		for _, store := range redisStores {
			t.Run(name+", sessions in "+store.name, func(t *testing.T) {
				t.Parallel()
				test(t, store)
			})
		}
	}
}

// onlyKey returns the one key that the server holds, and its value.
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
	k.wantUser(k.handler, cookie, alice)
	key, value := onlyKey(t, server)
	if ttl := server.client().TTL(t.Context(), key).Val(); ttl <= 23*time.Hour || ttl > 24*time.Hour {
		t.Errorf("time to live: got %v; want the 24 h of IdleTimeout, not the store's own", ttl)
	}
	k.clock.move(time.Hour)
	w := ask(k.handler, "/account", cookie)
	set := w.Result().Cookies()
	if w.Code != http.StatusOK || len(set) != 1 {
		t.Fatalf("refreshed: got %d and %d cookies; want 200 and the session's", w.Code, len(set))
	}
	// Max-Age counts from before the refresh, however long that takes.
	if c := set[0]; c.Name != "signin" || c.MaxAge < 86400 || c.MaxAge > 86400+60 || c.Path != "/" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("refreshed: got cookie %v; want the session's, with attributes that are ours", c)
	}
	if again, refreshed := onlyKey(t, server); again != key || refreshed == value {
		t.Errorf("refreshed: got the same key: %t, the same value: %t; want the new tokens in the same place", again == key, refreshed == value)
	}
	// Another process has no more than what is in the store, and a used refresh
	// token would end the session there.
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
	k.wantNobody(k.handler, cookie)
	k.wantNobody(other, cookie)
}

func plantedCookie(t *testing.T, store redisStore) {
	alice, bob := signintest.Alice(), signintest.Bob()
	k, server := keep(t, store)
	ended := k.signIn(bob, "")
	ask(k.handler, "/sign-out", ended)
	for what, planted := range map[string]string{
		"of a session that lives":  k.signIn(bob, ""),
		"of a session that ended":  ended,
		"of an ID that is made up": strings.Repeat("A", 26),
	} {
		before := len(server.everything())
		if what == "of a session that lives" {
			before--
		}
		victims := k.signIn(alice, planted)
		k.wantUser(k.handler, victims, alice)
		k.wantNobody(k.handler, planted)
		if got := len(server.everything()); got != before+1 {
			t.Errorf("planted, %s: got %d keys more in Redis; want the victim's alone", what, got-before)
		}
	}
}

// deletedMeanwhile takes a session out of the store between the moment in which a
// request reads it and the one in which it writes it. What was deleted must not
// come back under an ID that somebody else may know.
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
		t.Fatalf("the account page: got %d and %d cookies; want 200 and another than it had", w.Code, len(set))
	}
	k.wantNobody(k.handler, cookie)
	k.wantUser(k.handler, set[0].Value, alice)
}

func manyRoles() signintest.User {
	u := signintest.Alice()
	for i := range 300 {
		u.Roles = append(u.Roles, fmt.Sprintf("department-%04d:edit", i))
	}
	return u
}

func manyClaims(bytes int) signintest.User {
	u := signintest.Alice()
	u.Claims = map[string]any{"filler": strings.Repeat("x", bytes)}
	return u
}

func largeSessions(t *testing.T, store redisStore) {
	k, server := keep(t, store)
	for _, u := range []signintest.User{manyRoles(), manyClaims(16 << 10)} {
		k.wantUser(k.handler, k.signIn(u, ""), u)
		if got := claimsIn(k.provider.Secrets()); got < 7000 {
			t.Errorf("claims: got %d bytes; want the roles among them", got)
		}
	}
	if store.name != "boj/redistore" {
		return
	}
	// As it is made, it takes 4 KB.
	bob := signintest.Bob()
	k = startKeeper(t, func(c *signin.Config) {
		c.Scopes, c.Store = []string{"roles"}, newRediStore(t, at("tcp", server.addr, new(atomic.Int64)), -1)
	})
	cookie := k.signIn(bob, "")
	for _, u := range []signintest.User{manyRoles(), manyClaims(16 << 10)} {
		k.refused(u, cookie, http.StatusInternalServerError)
		k.wantUser(k.handler, cookie, bob)
	}
	for _, want := range []string{"code=session_too_large", " bytes", "raise its limit"} {
		if got := strings.Count(k.log.String(), want); got != 2 {
			t.Errorf("the log: got %d that say %q; want 2\n%s", got, want, &k.log)
		}
	}
}

func serverKilled(t *testing.T, store redisStore) {
	alice, bob := signintest.Alice(), signintest.Bob()
	k, server := keep(t, store)
	cookie := k.signIn(bob, "")
	server.kill()
	k.wantBroken(cookie)
	k.refused(alice, cookie, http.StatusServiceUnavailable)
	k.refused(alice, "", http.StatusServiceUnavailable)
	if w := ask(k.handler, "/sign-out", cookie); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "You are signed out in this browser only") {
		t.Errorf("sign-out: got %d %q; want 503 and a page that says what was not reached", w.Code, w.Body)
	}
	if err := server.start(); err != nil {
		t.Fatal(err)
	}
	// The store's client has to find out first that its connections are gone.
	for began := time.Now(); ask(k.handler, "/", cookie).Code != http.StatusOK && time.Since(began) < 20*time.Second; {
		<-time.After(20 * time.Millisecond)
	}
	k.wantNobody(k.handler, cookie)
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
	signal(syscall.SIGSTOP)
	k.wantBroken(cookie)
	signal(syscall.SIGCONT)
	k.wantUser(k.handler, cookie, alice)
}

// socketGone is a server whose absence is reported as that of a file.
func socketGone(t *testing.T, store redisStore) {
	k := startKeeper(t, func(c *signin.Config) {
		c.Store = store.open(t, at("unix", filepath.Join(t.TempDir(), "none"), new(atomic.Int64)))
	})
	k.wantBroken(theirs(t, store))
}

// theirs is a cookie that a store takes for one of its own.
func theirs(t *testing.T, store redisStore) string {
	t.Helper()
	if store.name == "redisstore" {
		return strings.Repeat("A", 26)
	}
	value, err := securecookie.EncodeMulti("signin", strings.Repeat("A", 52), securecookie.CodecsFromPairs(storeKey)...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func forgedCookie(t *testing.T, store redisStore) {
	alice := signintest.Alice()
	k, _ := keep(t, store)
	foreign, err := securecookie.EncodeMulti("signin", strings.Repeat("A", 52), securecookie.CodecsFromPairs([]byte("another"))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, forged := range []string{"", "%%%", strings.Repeat("x", 5000), foreign, theirs(t, store)} {
		k.wantNobody(k.handler, forged)
		k.wantUser(k.handler, k.signIn(alice, forged), alice)
		if w := ask(k.handler, "/sign-out", forged); w.Code != http.StatusSeeOther {
			t.Errorf("sign-out with %.30q: got %d; want 303", forged, w.Code)
		}
	}
}

// signOutReaches holds what the README says: a store on a server adds that a
// session is deleted when its owner ends it, and everything else is up to
// Config.Shared.
func signOutReaches(t *testing.T, store redisStore) {
	alice := signintest.Alice()
	server := startRedis(t)
	for _, common := range []bool{true, false} {
		k := startKeeper(t, func(c *signin.Config) {
			c.Store = store.open(t, at("tcp", server.addr, new(atomic.Int64)))
			if common {
				c.Shared = redisstore.NewShared(server.client())
			}
		})
		other := k.another()
		copied := k.signIn(alice, "")
		k.wantUser(other, copied, alice)
		ask(k.handler, "/sign-out", copied)
		k.wantNobody(other, copied)

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
			k.wantNobody(other, copied)
		} else {
			k.wantUser(other, copied, alice)
		}
		k.wantNobody(k.handler, copied)
	}
}

// TestWhatFitsRedis holds the README's column of sizes: so many bytes of claims
// let somebody sign in, beside an opaque access token and a refresh token, and a
// twentieth more do not.
func TestWhatFitsRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	d := at("tcp", server.addr, new(atomic.Int64))
	for name, row := range map[string]struct {
		promised int
		store    sessions.Store
	}{
		"boj/redistore":               {48_000, redisStores[0].open(t, d)}, // an ID token may have 64 KB
		"boj/redistore as it is made": {2800, newRediStore(t, d, -1)},
		"redisstore":                  {48_000, redisStores[1].open(t, d)},
	} {
		t.Run(name, func(t *testing.T) {
			k := startKeeper(t, func(c *signin.Config) { c.Store = row.store })
			k.signIn(manyClaims(0), "")
			others := claimsIn(k.provider.Secrets())
			k.wantUser(k.handler, k.signIn(manyClaims(row.promised-others), ""), signintest.Alice())
			if got := claimsIn(k.provider.Secrets()); got != row.promised {
				t.Errorf("claims: got %d bytes; want %d", got, row.promised)
			}
			last, cookie := k.visit(manyClaims(row.promised+row.promised/20-others), "")
			if last.StatusCode < 500 || cookie != "" {
				t.Errorf("a twentieth more: got %d, a cookie: %t; want it refused", last.StatusCode, cookie != "")
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

// noTokensInRedis looks at all that Redis holds after each step of a session's
// life, and finds what a store writes that is given tokens as they are.
func noTokensInRedis(t *testing.T, store redisStore) {
	server := startRedis(t)
	k := startKeeper(t, func(c *signin.Config) {
		c.Store, c.Shared = store.open(t, at("tcp", server.addr, new(atomic.Int64))), redisstore.NewShared(server.client())
	}, signintest.WithRefreshRotation())
	var seen strings.Builder
	look := func() {
		for key, value := range server.everything() {
			seen.WriteString(key + "\n" + value + "\n")
		}
	}
	cookie := k.signIn(signintest.Alice(), "")
	look()
	for range 2 {
		k.clock.move(time.Hour)
		k.wantUser(k.handler, cookie, signintest.Alice())
		look()
	}
	ask(k.handler, "/sign-out", cookie)
	look()
	secrets := k.provider.Secrets()
	for _, secret := range slices.Clone(secrets) {
		if parts := strings.Split(secret, "."); len(parts) == 3 {
			payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
			secrets = append(secrets, parts[1], string(payload))
		}
	}
	const depth = 4
	if holds([]byte(seen.String()), secrets, depth) {
		t.Error("got a token in Redis; want none")
	}

	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(secrets[len(secrets)-1]))
	_ = w.Close()
	careless := sessions.NewSession(k.cfg.Store, "careless")
	careless.Options = &sessions.Options{MaxAge: 60}
	careless.Values["token"] = base64.StdEncoding.EncodeToString(zipped.Bytes())
	if err := k.cfg.Store.Save(httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder(), careless); err != nil {
		t.Fatal(err)
	}
	look()
	if !holds([]byte(seen.String()), secrets, depth) {
		t.Error("got no token where a session holds one in base64 of gzip; want it found")
	}
}

var base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}`)

// holds reports whether data holds one of the secrets, as it is or below layers
// of base64 and gzip. encoding/gob and JSON have strings as they are.
func holds(data []byte, secrets []string, depth int) bool {
	if slices.ContainsFunc(secrets, func(s string) bool { return bytes.Contains(data, []byte(s)) }) {
		return true
	}
	if depth == 0 {
		return false
	}
	for at := range data {
		if !bytes.HasPrefix(data[at:], []byte{0x1f, 0x8b}) {
			continue
		}
		if r, err := gzip.NewReader(bytes.NewReader(data[at:])); err == nil {
			if plain, _ := io.ReadAll(r); len(plain) > 0 && holds(plain, secrets, depth-1) {
				return true
			}
		}
	}
	for _, run := range base64Run.FindAll(data, -1) {
		for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
			for first := range 4 { // a length before it may look like a letter of it
				plain := make([]byte, enc.DecodedLen(len(run)-first))
				// What was decoded before an error counts as well.
				if n, _ := enc.Decode(plain, run[first:]); n > 0 && holds(plain[:n], secrets, depth-1) {
					return true
				}
			}
		}
	}
	return false
}
