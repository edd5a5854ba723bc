package redisstore_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"

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

// newSession is New that must not fail.
func newSession(t *testing.T, s *redisstore.Sessions, r *http.Request, name string) *sessions.Session {
	t.Helper()
	session, err := s.New(r, name)
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
	session := newSession(t, s, requestWith(name, ""), name)
	session.Values = values
	return save(t, s, session).Value
}

// wantNew checks that a cookie names no session.
func wantNew(t *testing.T, s *redisstore.Sessions, name, id string) {
	t.Helper()
	session := newSession(t, s, requestWith(name, id), name)
	if !session.IsNew || session.ID != "" || len(session.Values) != 0 {
		t.Errorf("cookie %s=%q: got new %t, ID %q, values %v; want a new session", name, id, session.IsNew, session.ID, session.Values)
	}
}

// wantSession checks that a cookie names a session with these values.
func wantSession(t *testing.T, s *redisstore.Sessions, name, id string, want map[any]any) {
	t.Helper()
	session := newSession(t, s, requestWith(name, id), name)
	if session.IsNew || session.ID != id || !maps.Equal(session.Values, want) {
		t.Errorf("cookie %s=%q: got new %t, ID %q, values %v; want %v", name, id, session.IsNew, session.ID, session.Values, want)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	sessionsContract(t, startNode(t).system())
}

// freshStore returns a store in which nothing is yet, and its prefix.
func (s system) freshStore() (*redisstore.Sessions, string) {
	_, prefix := s.fresh()
	return sessionsOn(s.client, redisstore.Prefix(prefix)), prefix
}

// keysUnder lists the keys that begin with prefix.
func (s system) keysUnder(prefix string) []string {
	return slices.DeleteFunc(s.keys(), func(key string) bool { return !strings.HasPrefix(key, prefix) })
}

// sessionsContract is what gorilla's sessions.Store promises, and what an
// application trusts in.
func sessionsContract(t *testing.T, s system) {
	t.Run("a session's life", func(t *testing.T) { sessionLife(t, s) })
	t.Run("lifetimes and cookies", func(t *testing.T) { sessionCookies(t, s) })
	t.Run("cookies that are no session", func(t *testing.T) { noSessions(t, s) })
	t.Run("values", func(t *testing.T) { sessionValues(t, s) })
}

func sessionLife(t *testing.T, system system) {
	s, prefix := system.freshStore()
	wantNew(t, s, "name", "")

	r := requestWith("name", "")
	first, err := s.Get(r, "name")
	second, err2 := s.Get(r, "name")
	other, err3 := s.Get(r, "other")
	if err != nil || err2 != nil || err3 != nil || first != second || first == other {
		t.Errorf("Get: got %p, %p, %p, errors %v, %v, %v; want one session for each name", first, second, other, err, err2, err3)
	}
	third, err := s.Get(requestWith("name", ""), "name")
	if err != nil || third == first {
		t.Errorf("Get for another request: got %p, error %v; want another than %p", third, err, first)
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
	if c := save(t, s, again); c.Value != "" || c.MaxAge != -1 || c.Name != "name" {
		t.Errorf("deleted: got cookie %v; want it cleared", c)
	}
	wantNew(t, s, "name", id)
	if n := len(system.keysUnder(prefix)); n != 1 {
		t.Errorf("got %d keys; want the other session's", n)
	}
	save(t, s, again) // deleting twice is no mistake
	never := newSession(t, s, requestWith("name", ""), "name")
	never.Options.MaxAge = -1
	if c := save(t, s, never); c.Value != "" || c.MaxAge != -1 {
		t.Errorf("deleted before it was saved: got cookie %v; want it cleared", c)
	}
}

func sessionCookies(t *testing.T, system system) {
	s, prefix := system.freshStore()
	for name, row := range map[string]struct {
		options *sessions.Options
		ttl     time.Duration
		cookie  string // after name=ID
	}{
		"the defaults":               {nil, 24 * time.Hour, "; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		"an hour":                    {&sessions.Options{Path: "/", MaxAge: 3600, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}, time.Hour, "; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Strict"},
		"a few seconds":              {&sessions.Options{Path: "/", MaxAge: 9}, 9 * time.Second, "; Path=/; Max-Age=9"},
		"a year":                     {&sessions.Options{Path: "/", MaxAge: 31536000}, 365 * 24 * time.Hour, "; Path=/; Max-Age=31536000"},
		"until the browser is shut":  {&sessions.Options{Path: "/", HttpOnly: true}, 24 * time.Hour, "; Path=/; HttpOnly"},
		"all that a cookie may have": {&sessions.Options{Path: "/app", Domain: "app.example.com", MaxAge: 60, Secure: true, HttpOnly: true, Partitioned: true, SameSite: http.SameSiteNoneMode}, time.Minute, "; Path=/app; Domain=app.example.com; Max-Age=60; HttpOnly; Secure; SameSite=None; Partitioned"},
	} {
		session := newSession(t, s, requestWith("name", ""), "name")
		if row.options != nil {
			session.Options = row.options
		}
		before := time.Now()
		line := withoutExpires(save(t, s, session).String())
		if want := "name=" + session.ID + row.cookie; line != want {
			t.Errorf("%s: got cookie %q; want %q", name, line, want)
		}
		key := system.keysUnder(prefix)
		if len(key) != 1 {
			t.Fatalf("%s: got keys %q; want one", name, key)
		}
		left, err := system.operator.PTTL(context.Background(), key[0]).Result()
		if least := row.ttl - time.Since(before) - 2*time.Millisecond; err != nil || left > row.ttl || left < least {
			t.Errorf("%s: got %v left, error %v; want between %v and %v", name, left, err, least, row.ttl)
		}
		session.Options.MaxAge = -1
		save(t, s, session)
	}
	t.Run("no options at all", func(t *testing.T) {
		session := sessions.NewSession(s, "name")
		session.Options = nil
		line := withoutExpires(save(t, s, session).String())
		if want := "name=" + session.ID + "; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"; line != want {
			t.Errorf("got cookie %q; want %q", line, want)
		}
	})
	t.Run("a session that has expired is none", func(t *testing.T) {
		session := newSession(t, s, requestWith("name", ""), "name")
		session.Options.MaxAge = 1
		save(t, s, session)
		eventually(t, 3*time.Second, "the session has expired", func() bool {
			return newSession(t, s, requestWith("name", session.ID), "name").IsNew
		})
	})
	t.Run("two sessions do not share their options", func(t *testing.T) {
		one, two := newSession(t, s, requestWith("a", ""), "a"), newSession(t, s, requestWith("b", ""), "b")
		one.Options.MaxAge = 7
		if two.Options.MaxAge != 86400 {
			t.Errorf("got MaxAge %d; want its own", two.Options.MaxAge)
		}
	})
}

// withoutExpires removes a date from a Set-Cookie line.
func withoutExpires(line string) string {
	parts := slices.DeleteFunc(strings.Split(line, "; "), func(p string) bool { return strings.HasPrefix(p, "Expires=") })
	return strings.Join(parts, "; ")
}

// CASES 5.1, and whatever else somebody may put into a cookie.
func noSessions(t *testing.T, system system) {
	s, _ := system.freshStore()
	ctx := context.Background()
	id := saved(t, s, "name", map[any]any{"whose": "the victim's"})

	t.Run("an ID that somebody made up is not taken on", func(t *testing.T) {
		wantNew(t, s, "name", aCookie)
		session := newSession(t, s, requestWith("name", aCookie), "name")
		session.Values["signed"] = "in"
		if got := save(t, s, session).Value; got == aCookie || len(got) != len(aCookie) {
			t.Errorf("got ID %q; want a new one", got)
		}
		wantNew(t, s, "name", aCookie)
	})
	t.Run("a cookie is good under its own name only", func(t *testing.T) {
		wantNew(t, s, "other", id)
		wantNew(t, s, "nam", "e"+id[1:])
		wantSession(t, s, "name", id, map[any]any{"whose": "the victim's"})
	})
	t.Run("a cookie is good for its own prefix only", func(t *testing.T) {
		other, _ := system.freshStore()
		wantNew(t, other, "name", id)
	})
	t.Run("another form of the same ID is another ID", func(t *testing.T) {
		for _, form := range []string{strings.ToLower(id), id + "=", " " + id, id[:25], id + "A", strings.Repeat(id, 2), "*", "%" + id[1:]} {
			wantNew(t, s, "name", form)
		}
	})
	t.Run("what is no session in Redis is none in the application", func(t *testing.T) {
		s, prefix := system.freshStore()
		id := saved(t, s, "name", map[any]any{"a": "b"})
		key := system.keysUnder(prefix)[0]
		for _, garbage := range []string{
			"", "x", "null", "[]", `"text"`, "1", `{"a":1}`, `{"a":{"b":"c"}}`, `{"a":"b"`, `{"a":"b"} {}`, "\x00\xff", "\x0e\xff\x81\x04\x01\x02",
		} {
			if err := system.operator.Set(ctx, key, garbage, 0).Err(); err != nil {
				t.Fatal(err)
			}
			wantNew(t, s, "name", id)
		}
		system.operator.Set(ctx, key, "{}", 0)
		wantSession(t, s, "name", id, map[any]any{})
	})
	t.Run("the keys in Redis do not give a cookie away", func(t *testing.T) {
		s, prefix := system.freshStore()
		id := saved(t, s, "name", map[any]any{"a": "b"})
		keys := system.keysUnder(prefix)
		if len(keys) != 1 || strings.Contains(strings.ToUpper(keys[0]), id) {
			t.Fatalf("keys: got %q; want one without %q", keys, id)
		}
		hash := keys[0][strings.LastIndex(keys[0], ":")+1:]
		for _, cookie := range []string{keys[0], hash, hash[:26], strings.ToUpper(hash[:26]), hash[len(hash)-26:]} {
			wantNew(t, s, "name", cookie)
		}
		if value := system.operator.Get(ctx, keys[0]).Val(); value != `{"a":"b"}` {
			t.Errorf("value: got %q; want what was given, and no ID", value)
		}
	})
	t.Run("no two sessions have one ID", func(t *testing.T) {
		seen := map[string]bool{}
		for range 200 {
			seen[saved(t, s, "many", map[any]any{})] = true
		}
		if len(seen) != 200 {
			t.Errorf("got %d IDs; want 200", len(seen))
		}
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
		"a number":          {"key": 1},
		"nil":               {"key": nil},
		"bytes":             {"key": []byte("value")},
		"a number as a key": {1: "value"},
		"a struct as a key": {struct{}{}: "value"},
		"no UTF-8":          {"key": "\xff"},
		"no UTF-8 in a key": {"\xff": "value"},
		"half a rune":       {"key": "€"[:2]},
		"one of several":    {"key": "value", "other": 1.5},
	} {
		before := len(system.keysUnder(prefix))
		session, w := newSession(t, s, requestWith("name", ""), "name"), httptest.NewRecorder()
		session.Values = values
		err := s.Save(requestWith("name", ""), w, session)
		if err == nil || !strings.Contains(err.Error(), "must be strings") {
			t.Errorf("%s: got error %v; want one that says what values must be", name, err)
		}
		if cookies := w.Header()["Set-Cookie"]; cookies != nil || len(system.keysUnder(prefix)) != before {
			t.Errorf("%s: got cookies %q, and perhaps a key; want neither", name, cookies)
		}
	}
	t.Run("an error does not repeat a value", func(t *testing.T) {
		session := newSession(t, s, requestWith("name", ""), "name")
		session.Values = map[any]any{"token": "secret\xff"}
		if err := s.Save(requestWith("name", ""), httptest.NewRecorder(), session); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("got error %v; want one without the value", err)
		}
	})
}

// A request without a cookie of the right length does not reach Redis.
func TestNoRoundTripForCookiesThatCannotBe(t *testing.T) {
	t.Parallel()
	w := &wire{}
	client := startNode(t).client(w.through)
	s := sessionsOn(client)
	id := saved(t, s, "name", map[any]any{})
	for _, value := range []string{"", "x", id[1:], id + "A", strings.Repeat("A", 4000)} {
		if got := w.trips(func() { wantNew(t, s, "name", value) }); len(got) != 0 {
			t.Errorf("a cookie of %d bytes: got %q; want nothing asked", len(value), got)
		}
	}
	if got := w.trips(func() { wantSession(t, s, "name", id, map[any]any{}) }); len(got) != 2 {
		t.Errorf("a session: got %q; want one write and one read", got)
	}
}

// CASES 5.9: New and Save are checked with all other operations in
// faults_test.go. This is gorilla's Get, and what a session is after an error.
func TestSessionsOfABrokenRedis(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	client := n.client(func(o *redis.Options) { o.MaxRetries = -1 })
	s, patient := redisstore.NewSessions(client, redisstore.Timeout(300*time.Millisecond)), sessionsOn(client)
	id := saved(t, patient, "name", map[any]any{"key": "value"})
	session := newSession(t, patient, requestWith("name", id), "name")
	n.pause()
	got, err := s.Get(requestWith("name", id), "name")
	if err == nil || got == nil || !got.IsNew || got.ID != "" || len(got.Values) != 0 {
		t.Errorf("Get: got %+v, error %v; want a new session and an error", got, err)
	}
	for _, maxAge := range []int{60, -1} {
		session.Options.MaxAge = maxAge
		w := httptest.NewRecorder()
		if err := s.Save(requestWith("name", id), w, session); err == nil || w.Header()["Set-Cookie"] != nil {
			t.Errorf("Save, MaxAge %d: got error %v, cookies %q; want an error and no cookie", maxAge, err, w.Header()["Set-Cookie"])
		}
	}
	n.resume()
	wantSession(t, patient, "name", saved(t, patient, "name", map[any]any{"fresh": "yes"}), map[any]any{"fresh": "yes"})
}
