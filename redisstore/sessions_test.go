package redisstore_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/redisstore"
)

var _ sessions.Store = (*redisstore.Sessions)(nil)

// requestWith returns a request with one cookie, or none if its value is empty.
func requestWith(name, value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if value != "" {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// newSession calls New, which must not fail.
func newSession(t *testing.T, s *redisstore.Sessions, name, cookie string) *sessions.Session {
	t.Helper()
	session, err := s.New(requestWith(name, cookie), name)
	if err != nil {
		t.Fatalf("New: got error %v; want none", err)
	}
	return session
}

// save saves a session and returns the one cookie that is set.
func save(t *testing.T, s *redisstore.Sessions, session *sessions.Session) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	if err := s.Save(requestWith(session.Name(), session.ID), w, session); err != nil {
		t.Fatalf("Save: got error %v; want none", err)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies: got %v; want one", cookies)
	}
	return cookies[0]
}

// saved saves a new session with these values and returns its cookie's value.
func saved(t *testing.T, s *redisstore.Sessions, name string, values map[any]any) string {
	t.Helper()
	session := newSession(t, s, name, "")
	session.Values = values
	return save(t, s, session).Value
}

// wantNew checks that a cookie names no session.
func wantNew(t *testing.T, s *redisstore.Sessions, name, id string) {
	t.Helper()
	session := newSession(t, s, name, id)
	if !session.IsNew || session.ID != "" || len(session.Values) != 0 {
		t.Errorf("cookie %s=%q: got new %t, ID %q, values %v; want a new session", name, id, session.IsNew, session.ID, session.Values)
	}
}

// wantSession checks that a cookie names a session with these values.
func wantSession(t *testing.T, s *redisstore.Sessions, name, id string, want map[any]any) {
	t.Helper()
	session := newSession(t, s, name, id)
	if session.IsNew || session.ID != id || !maps.Equal(session.Values, want) {
		t.Errorf("cookie %s=%q: got new %t, ID %q, values %v; want %v", name, id, session.IsNew, session.ID, session.Values, want)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	sessionsContract(t, startNode(t).system())
}

// freshStore returns a store that is empty, and its prefix.
func (s system) freshStore() (*redisstore.Sessions, string) {
	_, prefix := s.fresh()
	return sessionsOn(s.client, redisstore.Prefix(prefix)), prefix
}

// keysUnder lists the keys that begin with prefix.
func (s system) keysUnder(prefix string) []string {
	return slices.DeleteFunc(s.keys(), func(key string) bool { return !strings.HasPrefix(key, prefix) })
}

// sessionsContract tests what gorilla's sessions.Store promises and applications
// rely on.
func sessionsContract(t *testing.T, s system) {
	t.Run("a session's life", func(t *testing.T) { sessionLife(t, s) })
	t.Run("lifetimes and cookies", func(t *testing.T) { sessionCookies(t, s) })
	t.Run("cookies that name no session", func(t *testing.T) { noSessions(t, s) })
	t.Run("values", func(t *testing.T) { sessionValues(t, s) })
}

func sessionLife(t *testing.T, system system) {
	s, prefix := system.freshStore()
	r := requestWith("name", "")
	first, err := s.Get(r, "name")
	second, err2 := s.Get(r, "name")
	other, err3 := s.Get(r, "other")
	if err != nil || err2 != nil || err3 != nil || first != second || first == other {
		t.Errorf("Get: got %p, %p, %p, errors %v, %v, %v; want one session for each name", first, second, other, err, err2, err3)
	}

	first.Values["key"] = "value"
	w := httptest.NewRecorder()
	if err := sessions.Save(r, w); err != nil { // gorilla's, for all sessions of a request
		t.Fatalf("sessions.Save: got error %v; want none", err)
	}
	if n := len(w.Result().Cookies()); n != 2 {
		t.Fatalf("cookies: got %d; want one for each name", n)
	}
	id := first.ID
	wantSession(t, s, "name", id, map[any]any{"key": "value"})
	again, err := s.Get(requestWith("name", id), "name")
	if err != nil || again.ID != id || again.IsNew || again.Name() != "name" || again.Store() != sessions.Store(s) {
		t.Errorf("Get: got %+v, error %v; want the session with ID %q", again, err, id)
	}

	again.Values["key"], again.Values["more"] = "changed", "yes"
	if got := save(t, s, again).Value; got != id {
		t.Errorf("saved again: got ID %q; want %q kept", got, id)
	}
	wantSession(t, s, "name", id, map[any]any{"key": "changed", "more": "yes"})
	if n := len(system.keysUnder(prefix)); n != 2 {
		t.Errorf("got %d keys; want the two sessions", n)
	}

	again.Options.MaxAge = -1
	for range 2 { // deleting twice is not an error
		if c := save(t, s, again); c.Value != "" || c.MaxAge != -1 || c.Name != "name" {
			t.Errorf("deleted: got cookie %v; want it cleared", c)
		}
		wantNew(t, s, "name", id)
	}
	if n := len(system.keysUnder(prefix)); n != 1 {
		t.Errorf("got %d keys; want the other session's", n)
	}
}

func sessionCookies(t *testing.T, system system) {
	s, prefix := system.freshStore()
	standard := newSession(t, s, "other", "").Options
	standard.MaxAge = 7 // which must not change the options of another session
	for name, row := range map[string]struct {
		change func(*sessions.Session)
		ttl    time.Duration
		cookie string // after name=ID
	}{
		"the defaults": {func(*sessions.Session) {}, 24 * time.Hour, "; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		"no options":   {func(s *sessions.Session) { s.Options = nil }, 24 * time.Hour, "; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		"nine seconds": {func(s *sessions.Session) { s.Options = &sessions.Options{Path: "/", MaxAge: 9} }, 9 * time.Second, "; Path=/; Max-Age=9"},
		"until the browser is closed": {func(s *sessions.Session) { s.Options = &sessions.Options{Path: "/", HttpOnly: true} },
			24 * time.Hour, "; Path=/; HttpOnly"},
		"all attributes of a cookie": {func(s *sessions.Session) {
			s.Options = &sessions.Options{Path: "/app", Domain: "app.example.com", MaxAge: 60, Secure: true, HttpOnly: true,
				Partitioned: true, SameSite: http.SameSiteNoneMode}
		}, time.Minute, "; Path=/app; Domain=app.example.com; Max-Age=60; HttpOnly; Secure; SameSite=None; Partitioned"},
	} {
		session := newSession(t, s, "name", "")
		row.change(session)
		before := time.Now()
		cookie := save(t, s, session)
		cookie.Expires = time.Time{}
		if got, want := cookie.String(), "name="+session.ID+row.cookie; got != want {
			t.Errorf("%s: got cookie %q; want %q", name, got, want)
		}
		keys := system.keysUnder(prefix)
		if len(keys) != 1 {
			t.Fatalf("%s: got keys %q; want one", name, keys)
		}
		system.wantLeft(t, name, keys[0], row.ttl, before)
		session.Options.MaxAge = -1
		save(t, s, session)
	}
}

// Row 5.1 of docs/conformance.md, and anything else that an attacker may put into a
// cookie.
func noSessions(t *testing.T, system system) {
	s, prefix := system.freshStore()
	id := saved(t, s, "name", map[any]any{"whose": "the victim's"})
	keys := system.keysUnder(prefix)
	if len(keys) != 1 || strings.Contains(strings.ToUpper(keys[0]), id) {
		t.Fatalf("keys: got %q; want one without %q", keys, id)
	}
	hash := keys[0][strings.LastIndex(keys[0], ":")+1:]
	if value := system.operator.Get(t.Context(), keys[0]).Val(); value != `{"whose":"the victim's"}` {
		t.Errorf("value: got %q; want the given value without the ID", value)
	}

	t.Run("an ID that was made up is not adopted", func(t *testing.T) {
		session := newSession(t, s, "name", aCookie)
		session.Values["signed"] = "in"
		if got := save(t, s, session).Value; got == aCookie || len(got) != len(aCookie) {
			t.Errorf("got ID %q; want a new one", got)
		}
		wantNew(t, s, "name", aCookie)
	})
	t.Run("another name or prefix, another form of the ID, or what is in Redis", func(t *testing.T) {
		wantNew(t, s, "other", id)
		wantNew(t, s, "nam", "e"+id[1:])
		other, _ := system.freshStore()
		wantNew(t, other, "name", id)
		for _, cookie := range []string{
			strings.ToLower(id), id + "=", " " + id, id[:25], id + "A", strings.Repeat(id, 2), "*", "%" + id[1:],
			keys[0], hash, hash[:26], strings.ToUpper(hash[:26]), hash[len(hash)-26:],
		} {
			wantNew(t, s, "name", cookie)
		}
		wantSession(t, s, "name", id, map[any]any{"whose": "the victim's"})
	})
	t.Run("values in Redis that are not a session", func(t *testing.T) {
		for _, garbage := range []string{
			"", "x", "null", "[]", `"text"`, "1", `{"a":1}`, `{"a":{"b":"c"}}`, `{"a":"b"`, `{"a":"b"} {}`, "\x00\xff", "\x0e\xff\x81\x04\x01\x02",
		} {
			if err := system.operator.Set(t.Context(), keys[0], garbage, 0).Err(); err != nil {
				t.Fatal(err)
			}
			wantNew(t, s, "name", id)
		}
		system.operator.Set(t.Context(), keys[0], "{}", 0)
		wantSession(t, s, "name", id, map[any]any{})
	})
}

func sessionValues(t *testing.T, system system) {
	s, prefix := system.freshStore()
	good := map[any]any{
		"": "", "key": "value", "zero": "\x00", "quotes": `"\"}`, "lines": "\r\n\u2028", "markup": "<script>&amp;", "signs": "한국어 €😀",
		"long": strings.Repeat("x", 100_000), "the replacement character itself": "\ufffd",
	}
	wantSession(t, s, "name", saved(t, s, "name", good), good)
	for name, values := range map[string]map[any]any{
		"a number":                       {"key": 1},
		"nil":                            {"key": nil},
		"bytes":                          {"key": []byte("value")},
		"a number as a key":              {1: "value"},
		"a value that is not UTF-8":      {"token": "secret\xff"},
		"a key that is not UTF-8":        {"\xff": "value"},
		"one value that is not a string": {"key": "value", "other": 1.5},
	} {
		session, w := newSession(t, s, "name", ""), httptest.NewRecorder()
		session.Values = values
		err := s.Save(requestWith("name", ""), w, session)
		if err == nil || !strings.Contains(err.Error(), "must be strings") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got error %v; want one that says what values must be, without the value", name, err)
		}
		if cookies := w.Header()["Set-Cookie"]; cookies != nil || len(system.keysUnder(prefix)) != 1 {
			t.Errorf("%s: got cookies %q, and perhaps a key; want neither", name, cookies)
		}
	}
}

// A request without a cookie of the right length does not reach Redis.
func TestSessions_CookieOfAnotherLength(t *testing.T) {
	t.Parallel()
	w := &wire{}
	s := sessionsOn(startNode(t).client(w.through))
	id := saved(t, s, "name", map[any]any{})
	for _, value := range []string{"", "x", id[1:], id + "A", strings.Repeat("A", 4000)} {
		if got := w.trips(func() { wantNew(t, s, "name", value) }); len(got) != 0 {
			t.Errorf("a cookie of %d bytes: got %q; want no request to Redis", len(value), got)
		}
	}
}
