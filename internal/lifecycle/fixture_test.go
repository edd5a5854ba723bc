package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
	"github.com/gosignin/signin/internal/sharedstate"
)

const (
	cookieName = "__Host-signin"
	ahead      = time.Minute // how long before its access token expires a session is refreshed
	maxOffline = 8 * time.Hour
)

// start is when each bubble begins.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// errDown is an error of the network. After another one the store would be asked
// again.
var errDown = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

// world is one application's sessions, with a store, shared state and a provider.
type world struct {
	*lifecycle.Sessions

	// The provider rotates the refresh token with each access token. Its answer to a
	// refresh is the next generation, unless answer is set.
	answer func(*session.Session) (*session.Session, error)
	rotate bool
	// leased says that another replica always has the lease.
	leased atomic.Bool

	mu sync.Mutex
	// before is called before each operation of store, shared state and provider.
	// Its error becomes the operation's.
	before func(ctx context.Context, operation string) error
	ring   *seal.Ring
	memory *sharedstate.Memory
	// successors are the names of those that were written.
	successors []string
	did        []string // the operations, without reading, leases and hints
	reads      int      // of shared state
	logged     bytes.Buffer
	ended      []string // the reasons that OnEnd was told
}

// bubble runs a test with a clock that moves only while all goroutines wait.
// Sessions are in the default cookies, or in a store on the server.
func bubble(t *testing.T, name string, onServer bool, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, newWorld(t, onServer))
			<-time.After(2 * refresh.Lease) // no flight takes longer
		})
	})
}

func newWorld(t *testing.T, onServer bool) *world {
	t.Helper()
	w := &world{memory: sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})}
	w.fail("")
	state := w.newState(t)
	ring, err := seal.NewRing(keys(), "session", "https://op.test", "app")
	noError(t, err)
	var store sessions.Store
	if onServer {
		store = serverSide{w, map[string]map[any]any{}}
	}
	w.ring = ring
	w.Sessions = &lifecycle.Sessions{
		Store:   sessionstore.New(store, cookieName, w.ring, true),
		State:   state,
		Refresh: refresh.New(refresh.Config{State: state, Source: provider{w}, Observer: provider{w}, Ahead: ahead, Keep: time.Minute, Now: time.Now}),
		Limits:  session.Limits{Idle: 24 * time.Hour, Max: 14 * 24 * time.Hour, Offline: maxOffline},
		Log:     slog.New(slog.NewTextHandler(&w.logged, nil)),
		Now:     time.Now,
		OnEnd: func(ctx context.Context, e *lifecycle.Ended) {
			if err := ctx.Err(); err != nil { // an application may write it down with this context
				t.Errorf("OnEnd: got a context with %v; want it good", err)
			}
			w.ended = append(w.ended, string(e.Reason))
		},
	}
	return w
}

func keys() [][]byte { return [][]byte{bytes.Repeat([]byte{1}, 32)} }

// newState returns the state that is kept in w.memory.
func (w *world) newState(t *testing.T) *sharedstate.State {
	t.Helper()
	state, err := sharedstate.New(sharedstate.Config{
		Store: shared{w, w.memory}, Keys: keys(), Issuer: "https://op.test", Client: "app",
		TTL: 25 * time.Hour, PersonTTL: 15 * 24 * time.Hour, SinceTTL: 70 * time.Minute, Now: time.Now,
	})
	noError(t, err)
	return state
}

// keepIn keeps sessions in another store.
func (w *world) keepIn(store sessions.Store) {
	w.Store = sessionstore.New(store, cookieName, w.ring, true)
}

// do notes an operation, and returns the error that it is to fail with.
func (w *world) do(ctx context.Context, operation string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	before := w.before
	switch operation {
	case "get":
		w.reads++
	case "read", "add l", "set h", "set n", "add g":
	default:
		w.did = append(w.did, operation)
	}
	w.mu.Unlock()
	return before(ctx, operation)
}

// fail makes the next operation of a kind fail; "" means none.
func (w *world) fail(operation string) { w.failNth(operation, 1) }

// failNth makes the nth operation of a kind from now on fail, and no other.
func (w *world) failNth(operation string, nth int32) {
	var done atomic.Int32
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = func(_ context.Context, o string) error {
		if o == operation && done.Add(1) == nth {
			return errDown
		}
		return nil
	}
}

// recorded returns what was done since it was last called, and ends with
// "logged" if something was logged.
func (w *world) recorded() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.logged.Len() > 0 {
		w.did = append(w.did, "logged")
	}
	did := strings.Join(w.did, ", ")
	w.did = nil
	w.logged.Reset()
	return did
}

// shared is shared state. Its operations are "get", and "set" and "add" with the
// first letter of the entry's kind.
type shared struct {
	w *world
	*sharedstate.Memory
}

func (s shared) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	if err := s.w.do(ctx, "get"); err != nil {
		return nil, err
	}
	return s.Memory.Get(ctx, keys...)
}

func (s shared) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.w.do(ctx, "set "+key[:1]); err != nil {
		return err
	}
	return s.Memory.Set(ctx, key, value, ttl)
}

func (s shared) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.w.do(ctx, "add "+key[:1]); err != nil || key[0] == 'l' && s.w.leased.Load() {
		return false, err
	}
	if key[0] == 'n' {
		s.w.successors = append(s.w.successors, key)
	}
	return s.Memory.Add(ctx, key, value, ttl)
}

// serverSide is a gorilla store. Its operations are "read", "save" and "delete".
type serverSide struct {
	w    *world
	kept map[string]map[any]any
}

func (s serverSide) Get(*http.Request, string) (*sessions.Session, error) { panic("not used") }

func (s serverSide) New(r *http.Request, name string) (*sessions.Session, error) {
	sess := sessions.NewSession(s, name)
	sess.IsNew = true
	if c, err := r.Cookie(name); err == nil && s.kept[c.Value] != nil {
		sess.ID, sess.Values, sess.IsNew = c.Value, s.kept[c.Value], false
	}
	return sess, s.w.do(r.Context(), "read")
}

func (s serverSide) Save(r *http.Request, w http.ResponseWriter, sess *sessions.Session) error {
	if sess.Options.MaxAge < 0 {
		err := s.w.do(r.Context(), "delete")
		if err == nil && s.kept[sess.ID] != nil {
			delete(s.kept, sess.ID)
		}
		return err
	}
	if sess.ID == "" {
		sess.ID = fmt.Sprintf("id%d", len(s.kept)+1)
	}
	http.SetCookie(w, sessions.NewCookie(sess.Name(), sess.ID, sess.Options)) // before it is known that it succeeds
	err := s.w.do(r.Context(), "save")
	if err == nil {
		s.kept[sess.ID] = sess.Values
	}
	return err
}

// provider is a refresh.Source and Observer. Its operations are "refresh", "fetch"
// and "revoke" with the refresh token.
type provider struct{ w *world }

func (p provider) Refresh(ctx context.Context, s *session.Session) (*session.Session, error) {
	if err := p.w.do(ctx, "refresh "+s.RefreshToken); err != nil {
		return nil, err
	}
	if p.w.answer != nil {
		return p.w.answer(s)
	}
	return next(s), nil
}

func (p provider) Fetch(ctx context.Context, s *session.Session, audience session.Audience) (*session.Token, *session.Session, error) {
	if err := p.w.do(ctx, "fetch "+s.RefreshToken); err != nil {
		return nil, nil, err
	}
	expiry := time.Now().Add(time.Hour)
	token := &session.Token{Access: "fetched for " + audience.Resource, Expiry: expiry, Until: expiry}
	if !p.w.rotate {
		return token, nil, nil
	}
	return token, next(s), nil
}

func (p provider) Revoke(ctx context.Context, s *session.Session) error {
	if s.RefreshToken == "" {
		return nil
	}
	return p.w.do(ctx, "revoke "+s.RefreshToken)
}

func (provider) Refreshed(context.Context, *session.Session, error) {}

// good returns generation 0 of a session that was made at start, with changes.
func good(changes ...func(s *session.Session)) *session.Session {
	s := &session.Session{
		ID: session.ID{7}, IssuedAt: start.Unix(), Created: start, LastSeen: start, Claims: claims(`{"sub":"u1"}`),
		RefreshToken: "token 0", AccessToken: session.Pack("access 0"), AccessExpiry: start.Add(time.Hour), AccessLife: time.Hour,
	}
	for _, change := range changes {
		change(s)
	}
	return s
}

// due changes a session to one whose access token is good, but is to be renewed.
func due(s *session.Session)           { s.AccessExpiry = start.Add(ahead / 2) }
func expired(s *session.Session)       { s.AccessExpiry = start }
func unrefreshable(s *session.Session) { s.RefreshToken = "" }

// seen changes a session to one that was made and last used before start.
func seen(ago time.Duration) func(*session.Session) {
	return func(s *session.Session) { s.Created, s.LastSeen = start.Add(-ago), start.Add(-ago) }
}

func claims(payload string) session.Claims {
	c, err := session.ParseClaims(payload, "")
	if err != nil {
		panic(err)
	}
	return c
}

// large are claims that do not fit two cookies.
func large() session.Claims { return claims(`{"sub":"u1","x":"` + strings.Repeat("x", 8000) + `"}`) }

// next is the answer of the provider to a refresh of s.
func next(s *session.Session) *session.Session {
	n := *s
	n.RefreshToken = fmt.Sprintf("token %d", s.Generation+1)
	n.AccessToken = session.Pack(fmt.Sprintf("access %d", s.Generation+1))
	n.AccessExpiry = time.Now().Add(time.Hour)
	n.LastSeen = time.Now()
	return &n
}

// succeed puts the successor of s into shared state, as another replica does.
func (w *world) succeed(t *testing.T, s *session.Session, changes ...func(*session.Session)) {
	t.Helper()
	n := next(s)
	n.Generation = s.Generation + 1
	for _, change := range changes {
		change(n)
	}
	_, err := w.State.AddSuccessor(t.Context(), s, n)
	noError(t, err)
}

// leave makes s stale: its browser has shown later generations, hours ago.
func (w *world) leave(t *testing.T, s *session.Session) {
	t.Helper()
	for n := range uint64(3) {
		w.succeed(t, s)
		s = next(s)
		s.Generation = n + 1
		noError(t, w.State.Show(t.Context(), s.ID, n, n+1))
		<-time.After(2 * time.Hour)
	}
}

// lease takes the lease of s, as another replica does.
func (w *world) lease(t *testing.T, s *session.Session) {
	t.Helper()
	_, err := w.State.TakeLease(t.Context(), s, refresh.Lease)
	noError(t, err)
}

// end ends a session, as another replica does.
func (w *world) end(t *testing.T, s *session.Session, reason sharedstate.Reason) {
	t.Helper()
	noError(t, w.State.EndSession(t.Context(), s.ID, reason))
}

// browser has the cookies of a session.
type browser map[string]string

// browserWith returns a browser that was given s, or nothing if s is nil.
func (w *world) browserWith(t *testing.T, s *session.Session) browser {
	t.Helper()
	w.fail("")
	b := browser{}
	if s == nil {
		return b
	}
	rec := httptest.NewRecorder()
	noError(t, w.Store.Save(rec, b.request(t, ""), s, time.Hour, true))
	w.receive(t, b, rec)
	return b
}

// request returns a request for a destination, as Sec-Fetch-Dest names it.
func (b browser) request(t *testing.T, dest string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	for name, value := range b {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	r.Header.Set("Sec-Fetch-Dest", dest)
	return r
}

// receive gives a browser the cookies of an answer. It returns "deleted", or the
// refresh token and the age of the session that they hold, or "".
func (w *world) receive(t *testing.T, b browser, rec *httptest.ResponseRecorder) (cookie string) {
	t.Helper()
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b, c.Name)
			cookie += "deleted"
			continue
		}
		b[c.Name] = c.Value
		s := new(session.Session)
		if found, err := w.Store.Load(b.request(t, ""), s); !found || err != nil {
			t.Errorf("the browser: got %v, %v; want a session", found, err)
		}
		cookie += fmt.Sprintf("%s for %v", s.RefreshToken, time.Duration(c.MaxAge)*time.Second)
	}
	return cookie
}

// load calls Load and says what came of it: which session the request goes on
// with or why it is over, the cookie, and what was done. Sessions are named by
// their refresh tokens.
func (w *world) load(t *testing.T, b browser, r *http.Request) (said string, err error) {
	t.Helper()
	known, rec := new(lifecycle.Known), httptest.NewRecorder()
	out, err := w.Load(rec, r, known)
	said = refreshToken(known.Session)
	if out.Ended != "" {
		said += fmt.Sprintf("%s: %s", refreshToken(out.Session), out.Ended)
	}
	if out.Written {
		said += ", written"
	}
	if cookie := w.receive(t, b, rec); cookie != "" {
		said += " " + cookie
	}
	if did := w.recorded(); did != "" {
		said += "; " + did
	}
	return said, err
}

// loadOnly calls Load and drops its answer.
func (w *world) loadOnly(r *http.Request) (*lifecycle.Known, lifecycle.Outcome, error) {
	known := new(lifecycle.Known)
	out, err := w.Load(httptest.NewRecorder(), r, known)
	return known, out, err
}

// finds says what the next request of a browser finds when nothing fails.
func (w *world) finds(t *testing.T, b browser) string {
	t.Helper()
	w.fail("")
	said, err := w.load(t, maps.Clone(b), b.request(t, "image"))
	noError(t, err)
	return said
}

func refreshToken(s *session.Session) string {
	if s == nil {
		return ""
	}
	return s.RefreshToken
}

// noError ends the test if err is not nil.
func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
}

// wantError compares an error with those that it must match. It must match no
// other sentinel, and must be one line.
func wantError(t *testing.T, got error, want ...error) {
	t.Helper()
	if (got == nil) != (len(want) == 0) || got != nil && strings.Contains(got.Error(), "\n") {
		t.Errorf("got error %v; want %v", got, want)
	}
	sentinels := []error{
		lifecycle.ErrStore, lifecycle.ErrShared, lifecycle.ErrUnknown, lifecycle.ErrOffline,
		lifecycle.ErrTooLarge, lifecycle.ErrEnded, lifecycle.ErrNoRefreshToken,
	}
	for _, e := range append(sentinels, want...) {
		if errors.Is(got, e) != slices.Contains(want, e) {
			t.Errorf("got error %v; want %v", got, want)
		}
	}
}
