package sessionstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
)

const (
	name = "__Host-signin"
	base = "https://app.test"
	day  = 24 * time.Hour // for which sessions are saved
)

func ring(t testing.TB, key byte, base string) *seal.Ring {
	t.Helper()
	ring, err := seal.NewRing([][]byte{bytes.Repeat([]byte{key}, 32)}, "session", "https://op.test", "app", base)
	if err != nil {
		t.Fatalf("NewRing: got error %v; want none", err)
	}
	return ring
}

// newStore returns a Store over a gorilla store, or over Cookies if it is nil.
func newStore(t testing.TB, store sessions.Store) *sessionstore.Store {
	t.Helper()
	return sessionstore.New(store, name, ring(t, 1, base), true)
}

// small returns a session that fits one cookie.
func small() *session.Session {
	now := time.Unix(1_700_000_000, 0)
	return &session.Session{
		ID: session.ID{7}, IssuedAt: now.Unix(), Created: now, LastSeen: now,
		Claims: parse(`{"sub":"u1"}`), IDHeader: `{"alg":"ES384"}`, IDSignature: strings.Repeat("g", 96),
		RefreshToken: "refresh-canary", AccessToken: session.Pack("access-canary"), AccessExpiry: now.Add(time.Hour),
	}
}

func parse(payload string) session.Claims {
	c, err := session.ParseClaims(payload, "")
	if err != nil {
		panic(err)
	}
	return c
}

// sized returns a session whose parts have these sizes.
func sized(claims, signature, access int) *session.Session {
	s := small()
	s.Claims = parse(`{"sub":"u1","x":"` + strings.Repeat("c", claims) + `"}`)
	s.IDSignature = strings.Repeat("g", signature)
	s.AccessToken = session.Pack(strings.Repeat("a", access))
	return s
}

// large returns a session that needs two cookies.
func large() *session.Session { return sized(3000, 96, 20) }

// request returns a request with these lines of cookies.
func request(lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Cookie"] = lines
	return r
}

// cookies returns what an answer leaves in a browser that had no cookies.
func cookies(w *httptest.ResponseRecorder) (all []string) {
	for _, c := range w.Result().Cookies() {
		if c.MaxAge >= 0 && c.Value != "" {
			all = append(all, c.Name+"="+c.Value)
		}
	}
	return all
}

// save saves s for a browser with these cookies, and returns those it has then.
func save(t testing.TB, v *sessionstore.Store, s *session.Session, fresh bool, had ...string) []string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := v.Save(w, request(had...), s, day, fresh); err != nil {
		t.Fatalf("Save: got error %v; want none", err)
	}
	return cookies(w)
}

// load returns the session of a browser with these cookies, or nil.
func load(v *sessionstore.Store, had ...string) (*session.Session, error) {
	got := new(session.Session)
	if found, err := v.Load(request(had...), got); !found || err != nil {
		return nil, err
	}
	return got, nil
}

func wantNone(t *testing.T, v *sessionstore.Store, had ...string) {
	t.Helper()
	if got, err := load(v, had...); got != nil || err != nil {
		t.Errorf("got %+v, %v; want no session", got, err)
	}
}

func wantSession(t *testing.T, v *sessionstore.Store, want *session.Session, had ...string) {
	t.Helper()
	got, err := load(v, had...)
	if err != nil || got == nil || got.ID != want.ID || got.RefreshToken != want.RefreshToken ||
		got.AccessToken != want.AccessToken {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func wantRemoved(t *testing.T, v *sessionstore.Store, had ...string) {
	t.Helper()
	w := httptest.NewRecorder()
	if err := v.Remove(w, request(had...)); err != nil {
		t.Errorf("Remove: got error %v; want none", err)
	}
	wantCookies(t, w, unset(name))
}

// wantCookies compares the Set-Cookie lines of an answer without values and expiry
// dates.
func wantCookies(t *testing.T, w http.ResponseWriter, want ...string) {
	t.Helper()
	var got []string
	for _, line := range w.Header()["Set-Cookie"] {
		parts := strings.Split(line, "; ")
		cookie, value, _ := strings.Cut(parts[0], "=")
		if value != "" {
			value = "*"
		}
		parts = slices.DeleteFunc(parts[1:], func(p string) bool { return strings.HasPrefix(p, "Expires=") })
		got = append(got, cookie+"="+value+"; "+strings.Join(parts, "; "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("cookies set: got %q; want %q", got, want)
	}
}

const attributes = "; HttpOnly; Secure; SameSite=Lax"

func set(name string) string { return name + "=*; Path=/; Max-Age=86400" + attributes }

func unset(name string) string { return name + "=; Path=/; Max-Age=0" + attributes }

var errBroken = errors.New("no route to host")

// faulty is a store in memory that fails where it is told to.
type faulty struct {
	newErr, saveErr, deleteErr error
	forgets                    bool // the values of what is saved

	saves   int
	kept    map[string]map[any]any
	options []sessions.Options // of what was saved
	deleted []string
	last    int
}

func newFaulty() *faulty { return &faulty{kept: map[string]map[any]any{}} }

func (s *faulty) Get(*http.Request, string) (*sessions.Session, error) { panic("not used") }

func (s *faulty) New(r *http.Request, name string) (*sessions.Session, error) {
	kept := sessions.NewSession(s, name)
	kept.IsNew = true
	kept.Options = &sessions.Options{Path: "/elsewhere", Domain: "test", SameSite: http.SameSiteNoneMode}
	if s.newErr != nil {
		return kept, s.newErr
	}
	if c, err := r.Cookie(name); err == nil && s.kept[c.Value] != nil {
		kept.ID, kept.Values, kept.IsNew = c.Value, s.kept[c.Value], false
	}
	return kept, nil
}

func (s *faulty) Save(_ *http.Request, w http.ResponseWriter, kept *sessions.Session) error {
	if s.saves++; kept.Options.MaxAge < 0 {
		if s.deleteErr != nil {
			return s.deleteErr
		}
		s.deleted = append(s.deleted, kept.ID)
		delete(s.kept, kept.ID)
		http.SetCookie(w, sessions.NewCookie(kept.Name(), "", kept.Options))
		_, _ = w.Write(nil)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if s.saveErr != nil {
		return s.saveErr
	}
	if kept.ID == "" {
		s.last++
		kept.ID = fmt.Sprintf("id%d", s.last)
	}
	if s.kept[kept.ID] = kept.Values; s.forgets {
		s.kept[kept.ID] = map[any]any{}
	}
	s.options = append(s.options, *kept.Options)
	http.SetCookie(w, sessions.NewCookie(kept.Name(), kept.ID, kept.Options))
	return nil
}
