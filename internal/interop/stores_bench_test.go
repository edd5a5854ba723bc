package interop

import (
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
	"github.com/gosignin/signin/signintest"
)

const benchSubject = "k2v8s0q7z1xw"

// benchUser has an ID token of about 900 bytes, signed with ES384, as in the
// root package's benchmarks.
func benchUser() signintest.User {
	return signintest.User{
		Subject: benchSubject, Username: "alice", Name: "Alice Example", Email: "alice@example.com",
		Picture: "https://images.example.com/avatars/k2v8s0q7z1xw.png",
		Claims:  map[string]any{"zoneinfo": "Europe/Berlin", "locale": "de-DE", "website": "https://alice.example.com/about-me/and-all-the-rest"},
	}
}

// A contender is a guard, and a request that it lets through to a handler that
// reads the user.
type contender struct {
	name    string
	guarded http.Handler
	request *http.Request
	trips   *atomic.Int64
	want    int64 // round trips to Redis for each request
}

func newContender(name, cookieName, cookie string, guarded http.Handler, trips *atomic.Int64, want int64) contender {
	r := httptest.NewRequest(http.MethodGet, "/account", nil)
	r.Header.Set("Cookie", cookieName+"="+cookie)
	return contender{name, guarded, r, trips, want}
}

// contenders returns all stores of docs/stores.md, on one Redis, with a session each.
func contenders(t testing.TB, server *redisServer) []contender {
	t.Helper()
	var all []contender
	hash, block := []byte(strings.Repeat("h", 32)), []byte(strings.Repeat("b", 32))
	for _, row := range []struct {
		name  string
		store func(dialer) sessions.Store // nil: cookies
		redis bool                        // Config.Shared is redisstore's, or else in memory
		want  int64
	}{
		{"cookies, memory", nil, false, 0},
		{"CookieStore, memory", func(dialer) sessions.Store { return sessions.NewCookieStore(hash, block) }, false, 0},
		{"FilesystemStore, memory", func(dialer) sessions.Store { return sessions.NewFilesystemStore(t.TempDir(), hash) }, false, 0},
		{"cookies, redisstore.Shared", nil, true, 1},
		{"redisstore, redisstore.Shared", func(d dialer) sessions.Store { return redisStores[1].open(t, d, patient) }, true, 2},
		{"boj/redistore, redisstore.Shared", func(d dialer) sessions.Store { return redisStores[0].open(t, d, patient) }, true, 2},
	} {
		trips := new(atomic.Int64)
		d := at("tcp", server.addr, trips)
		k := startKeeper(t, func(c *signin.Config) {
			c.Scopes = []string{"email"}
			if row.store != nil {
				c.Store = row.store(d)
			}
			if row.redis {
				c.Shared = redisstore.NewShared(newClient(t, d, patient), redisstore.Timeout(patient))
			}
		})
		cookie := k.signIn(benchUser(), "")
		all = append(all, newContender(row.name, "signin", cookie, k.auth().RequireAuth(wantUser(t)), trips, row.want))
		if row.name == "cookies, memory" {
			trips := new(atomic.Int64)
			guarded, cookie := handWritten(t, newRediStore(t, at("tcp", server.addr, trips), patient, 0), &k.wire)
			all = append(all, newContender("boj/redistore by hand, gob", "session", cookie, guarded, trips, 1))
		}
	}
	return all
}

func wantUser(t testing.TB) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if u, ok := signin.UserFrom(r.Context()); !ok || u.Subject != benchSubject {
			t.Error("got no user, or another one; want the user")
		}
	})
}

// handWritten returns a guard as tutorials show it. It keeps the same data (tokens,
// times and verified claims) in a store, encoded with gob and not sealed, and does
// not know of sign-outs elsewhere.
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
			t.Errorf("got no claims, error %v; want the claims", err)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), key{}, known))
		if again, _ := r.Context().Value(key{}).(map[string]any); again["sub"] != benchSubject {
			t.Error("got no user, or another; want the user")
		}
	})
	return guarded, recorded.Result().Cookies()[0].Value
}

// docs/stores.md says how many round trips to Redis a request takes.
func TestStores_RoundTrips(t *testing.T) {
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

// discard is a ResponseWriter that keeps its header.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkStores reports the median time of a guarded request with each store,
// as a multiple of the first store's. The stores take turns, so that other
// programs disturb all alike.
func BenchmarkStores(b *testing.B) {
	all := contenders(b, startRedis(b))
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
