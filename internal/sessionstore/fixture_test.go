package sessionstore_test

import (
	"bytes"
	"encoding/base64"
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

const name = "__Host-signin"

var (
	now    = time.Unix(1_700_000_000, 0)
	limits = session.Limits{Idle: 24 * time.Hour, Max: 14 * 24 * time.Hour}
)

func box(t *testing.T, key byte, name string) *seal.Box {
	t.Helper()
	ring, err := seal.NewRing([][]byte{bytes.Repeat([]byte{key}, 32)}, "session", "https://op.test", "app")
	if err != nil {
		t.Fatalf("NewRing: got error %v; want none", err)
	}
	return ring.Box(name)
}

func newStore(t *testing.T, store sessions.Store) *sessionstore.Store {
	t.Helper()
	return sessionstore.New(store, name, box(t, 1, name), true)
}

func small() *session.Session {
	return &session.Session{
		ID: session.ID{7}, Began: now, Created: now, LastSeen: now,
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
	r := small()
	r.Claims = parse(`{"sub":"u1","x":"` + strings.Repeat("c", claims) + `"}`)
	r.IDSignature = strings.Repeat("g", signature)
	r.AccessToken = session.Pack(strings.Repeat("a", access))
	return r
}

// request returns a request with these cookie lines.
func request(lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, line := range lines {
		r.Header.Add("Cookie", line)
	}
	return r
}

// cookies returns what an answer leaves in a browser that had none: name=value.
func cookies(w *httptest.ResponseRecorder) []string {
	var all []string
	for _, c := range w.Result().Cookies() {
		if c.MaxAge >= 0 && c.Value != "" {
			all = append(all, c.Name+"="+c.Value)
		}
	}
	return all
}

// save saves rec for a browser with these cookies and returns those it has then.
func save(t *testing.T, v *sessionstore.Store, rec *session.Session, fresh bool, had ...string) []string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := saveAt(v, w, request(had...), rec, now, fresh); err != nil {
		t.Fatalf("Save: got error %v; want none", err)
	}
	return cookies(w)
}

// read returns the record that a browser with these cookies has; nil for none.
func read(t *testing.T, v *sessionstore.Store, had ...string) *session.Session {
	t.Helper()
	rec, err := open(v, had...)
	if err != nil {
		t.Errorf("Open: got error %v; want none", err)
	}
	return rec
}

func open(v *sessionstore.Store, had ...string) (*session.Session, error) {
	got := new(session.Session)
	found, err := v.Load(request(had...), got)
	if !found || err != nil {
		return nil, err
	}
	return got, nil
}

// saveAt saves a session at a time.
func saveAt(v *sessionstore.Store, w http.ResponseWriter, r *http.Request, s *session.Session, at time.Time, fresh bool) error {
	return v.Save(w, r, s, limits.Left(s, at), fresh)
}

func wantNone(t *testing.T, v *sessionstore.Store, had ...string) {
	t.Helper()
	if got := read(t, v, had...); got != nil {
		t.Errorf("got session %v; want none", got.ID)
	}
}

func wantSession(t *testing.T, v *sessionstore.Store, want *session.Session, had ...string) {
	t.Helper()
	if got := read(t, v, had...); got == nil || got.ID != want.ID || got.RefreshToken != want.RefreshToken || got.AccessToken != want.AccessToken {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// wantCookies compares the Set-Cookie lines of an answer, values and expiry
// dates left out.
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
	if lines, there := w.Header()["Set-Cookie"]; there && len(lines) == 0 {
		t.Error("got an empty Set-Cookie entry; want none")
	}
}

const attributes = "; HttpOnly; Secure; SameSite=Lax"

func set(name string, age time.Duration) string {
	return fmt.Sprintf("%s=*; Path=/; Max-Age=%d%s", name, int(age/time.Second), attributes)
}

func unset(name string) string { return name + "=; Path=/; Max-Age=0" + attributes }

var errBroken = errors.New("no route to host")

// faulty is a store in memory that fails where it is told to.
type faulty struct {
	newErr, saveErr, deleteErr error

	kept    map[string]map[any]any
	saved   []sessions.Options
	deleted []string
	last    int
}

func newFaulty() *faulty { return &faulty{kept: map[string]map[any]any{}} }

func (s *faulty) Get(r *http.Request, name string) (*sessions.Session, error) { panic("not used") }

func (s *faulty) New(r *http.Request, name string) (*sessions.Session, error) {
	sess := sessions.NewSession(s, name)
	sess.IsNew = true
	sess.Options = &sessions.Options{Path: "/elsewhere", Domain: "test", SameSite: http.SameSiteNoneMode}
	if s.newErr != nil {
		return sess, s.newErr
	}
	if c, err := r.Cookie(name); err == nil && s.kept[c.Value] != nil {
		sess.ID, sess.Values, sess.IsNew = c.Value, s.kept[c.Value], false
	}
	return sess, nil
}

func (s *faulty) Save(r *http.Request, w http.ResponseWriter, sess *sessions.Session) error {
	if sess.Options.MaxAge < 0 {
		if s.deleteErr != nil {
			return s.deleteErr
		}
		s.deleted = append(s.deleted, sess.ID)
		delete(s.kept, sess.ID)
		http.SetCookie(w, sessions.NewCookie(sess.Name(), "", sess.Options))
		_, _ = w.Write(nil)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if s.saveErr != nil {
		return s.saveErr
	}
	if sess.ID == "" {
		s.last++
		sess.ID = fmt.Sprintf("id%d", s.last)
	}
	s.kept[sess.ID] = sess.Values
	s.saved = append(s.saved, *sess.Options)
	http.SetCookie(w, sessions.NewCookie(sess.Name(), sess.ID, sess.Options))
	return nil
}

// text encodes a sealed value as cookies have it.
func text(sealed []byte) string { return base64.RawURLEncoding.EncodeToString(sealed) }
