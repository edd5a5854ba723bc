package sessionstore_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
)

func TestSave_Cookies(t *testing.T) {
	t.Parallel()
	const second = name + ".2"
	for _, row := range []struct {
		name string
		s    *session.Session
		age  time.Duration
		had  string
		want []string
	}{
		{"one is enough", small(), day, "", []string{set(name)}},
		{"one is enough of two", small(), day, name + "=.old; " + second + "=old", []string{set(name), unset(second)}},
		{"a second alone is there", small(), day, "a=b; " + second + "=old", []string{set(name), unset(second)}},
		{"two are needed", large(), day, name + "=.old; " + second + "=old", []string{set(name), set(second)}},
		{"no time is left", large(), 0, "", []string{unset(name)}},
	} {
		w := httptest.NewRecorder()
		if err := newStore(t, nil).Save(w, request(row.had), row.s, row.age, false); err != nil {
			t.Errorf("%s: got error %v; want none", row.name, err)
		}
		wantCookies(t, w, row.want...)
	}
	w := httptest.NewRecorder()
	plain := sessionstore.New(nil, "signin", ring(t, 1, base), false)
	if err := plain.Save(w, request(), small(), day, true); err != nil {
		t.Errorf("without https: got error %v; want none", err)
	}
	wantCookies(t, w, "signin=*; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax")
}

// Steps are taken by size alone, and only as far as they are needed.
func TestDecide(t *testing.T) {
	t.Parallel()
	const unfit = math.MaxInt
	for _, row := range []struct {
		name  string
		sizes [3]int
		room  int
		want  sessionstore.Steps
	}{
		{"Logto's 1 KB", [3]int{1100, 1040, 1040}, 3400, sessionstore.Whole},
		{"one byte less than the room", [3]int{3399, 0, 0}, 3400, sessionstore.Whole},
		{"the whole room", [3]int{3400, 3300, 3200}, 3400, sessionstore.WithoutAccess},
		{"Keycloak's JWT", [3]int{4400, 3000, 2500}, 3400, sessionstore.WithoutAccess},
		{"a redirect takes room", [3]int{1600, 1540, 1200}, 1500, sessionstore.WithoutHint},
		{"groups of 3 KB", [3]int{7000, 5000, 4500}, 3400, sessionstore.OverBudget},
		{"an access token that no session can hold", [3]int{unfit, 3000, 2500}, 3400, sessionstore.WithoutAccess},
		{"the last step fits two cookies", [3]int{unfit, unfit, 6000}, 3400, sessionstore.OverBudget},
		{"nothing fits", [3]int{unfit, unfit, unfit}, 3400, sessionstore.TooLarge},
		{"the redirect alone is too long", [3]int{1100, 1040, 1040}, -200, sessionstore.OverBudget},
	} {
		if got := sessionstore.Decide(row.sizes, row.room); got != row.want {
			t.Errorf("%s: got %d; want %d", row.name, got, row.want)
		}
	}
}

// What has to leave is left out, and nothing else is changed.
func TestFit(t *testing.T) {
	t.Parallel()
	cookies, files := newStore(t, nil), newStore(t, newFaulty())
	gorilla := newStore(t, sessions.NewCookieStore(hashKey, blockKey))
	for _, row := range []struct {
		name              string
		v                 *sessionstore.Store
		s                 *session.Session
		others            int
		pinned            bool
		steps             sessionstore.Steps
		access, signature bool // whether they are kept
	}{
		{"all fits", cookies, sized(1200, 96, 1000), 0, false, sessionstore.Whole, true, true},
		{"the access token goes first", cookies, sized(2000, 96, 1000), 0, false, sessionstore.WithoutAccess, false, true},
		{"so it does if the redirect takes the room", cookies, sized(1200, 96, 1000), 1000, false, sessionstore.WithoutAccess, false, true},
		{"then the ID token's header and signature", cookies, sized(1500, 1500, 1000), 0, false, sessionstore.WithoutHint, false, false},
		{"both, before a second cookie", cookies, sized(3000, 96, 20), 0, false, sessionstore.OverBudget, false, false},
		{"the access token has no other place", cookies, sized(1500, 1000, 500), 0, true, sessionstore.WithoutHint, true, false},
		{"it has none, and makes a second cookie", cookies, sized(1500, 96, 1500), 0, true, sessionstore.OverBudget, true, false},
		{"too large for two cookies", cookies, sized(16_000, 96, 20), 0, false, sessionstore.TooLarge, false, false},
		{"gorilla's cookies have the same budget", gorilla, sized(800, 96, 1000), 0, false, sessionstore.WithoutAccess, false, true},
		{"a server has room", files, sized(30_000, 96, 4000), 4000, false, sessionstore.Whole, true, true},
		{"a token that no session can hold", files, sized(2000, 96, 70_000), 0, false, sessionstore.WithoutAccess, false, true},
	} {
		before := *row.s
		rest, steps := row.v.Fit(request(), row.s, row.others, row.pinned)
		access, signature, header := rest.AccessToken != (session.Packed{}), rest.IDSignature != "", rest.IDHeader != ""
		if steps != row.steps || access != row.access || signature != row.signature || header != row.signature {
			t.Errorf("%s: got steps %d, access token %t, signature %t, header %t", row.name, steps, access, signature, header)
		}
		want := before
		want.AccessToken, want.IDHeader, want.IDSignature = rest.AccessToken, rest.IDHeader, rest.IDSignature
		if !reflect.DeepEqual(*rest, want) || !reflect.DeepEqual(*row.s, before) {
			t.Errorf("%s: got %+v; want no other part left out, and the caller's session as it was", row.name, rest)
		}
		w := httptest.NewRecorder()
		err := row.v.Save(w, request(), rest, day, true)
		if size := cookie.AnswerSize(w.Header(), name) + row.others; row.v != files && (steps < sessionstore.OverBudget) != (err == nil && size < cookie.Budget) {
			t.Errorf("%s: got an answer of %d bytes, %v; want it within the budget if the steps say so", row.name, size, err)
		}
	}
}

func TestSave_TooLarge(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for _, s := range []*session.Session{sized(16_000, 96, 20), sized(59_000, 3000, 3000)} {
		w := httptest.NewRecorder()
		err := v.Save(w, request(), s, day, true)
		if !errors.Is(err, sessionstore.ErrTooLarge) || !strings.Contains(err.Error(), "Config.Store") ||
			!strings.Contains(err.Error(), `the largest is "x"`) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v; want an error that names sizes, the largest claim and Config.Store, and no token", err)
		}
		wantCookies(t, w)
	}
}

// A redirect in the answer to a refresh comes before the session's cookies, which a
// later answer sets.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for length, want := range map[int][]string{100: {"theme=*; ", set(name)}, 3300: {"theme=*; "}} {
		w := httptest.NewRecorder()
		w.Header()["Set-Cookie"] = []string{"theme=dark"}
		if err := v.Save(w, request(), small(), day, false); err != nil {
			t.Fatalf("Save: got error %v; want none", err)
		}
		v.MakeRoom(w, "/"+strings.Repeat("x", length))
		wantCookies(t, w, want...)
	}
}

func TestRemove_Cookies(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for _, had := range []string{name + "=.x; " + name + ".2=y", name + ".2=y"} {
		w := httptest.NewRecorder()
		// Cookies that this answer was to set are not set.
		if err := errors.Join(v.Save(w, request(), large(), day, false), v.Remove(w, request(had))); err != nil {
			t.Errorf("%q: got error %v; want none", had, err)
		}
		wantCookies(t, w, unset(name), unset(name+".2"))
	}
}

func TestSave_TwiceInOneAnswer(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	w := httptest.NewRecorder()
	w.Header()["Set-Cookie"] = []string{"theme=dark", name + "x=1", name + ".tx.abc=2", "other=" + name + "=3"}
	theirs := []string{"theme=*; ", name + "x=*; ", name + ".tx.abc=*; ", "other=*; "}
	for _, s := range []*session.Session{large(), small(), large(), small()} {
		if err := v.Save(w, request(), s, day, false); err != nil {
			t.Fatalf("Save: got error %v; want none", err)
		}
	}
	wantCookies(t, w, append(theirs[:4:4], set(name))...)
	wantSession(t, v, small(), cookies(w)[4])
	if err := v.Save(w, request(), large(), day, false); err != nil {
		t.Fatalf("Save: got error %v; want none", err)
	}
	v.Withdraw(w)
	wantCookies(t, w, theirs...)
}

// Buffers are used again, so they must not hold a session until then.
func TestLoad_WipesItsBuffer(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	_, value, _ := strings.Cut(save(t, v, small(), true)[0], "=")
	s := new(session.Session)
	buffer := v.Opened(value, s)
	if s.RefreshToken != "refresh-canary" || len(buffer) == 0 {
		t.Fatalf("got %+v; want the session, opened", s)
	}
	if !bytes.Equal(buffer, make([]byte, len(buffer))) {
		t.Error("got the session in the buffer; want it wiped")
	}
}

// An application may use the default store as it uses any gorilla store.
func TestCookies_GorillaStore(t *testing.T) {
	t.Parallel()
	store := &sessionstore.Cookies{Writer: cookie.Writer{Secure: true}}
	r, w := request(name+"=value"), httptest.NewRecorder()
	s, err := store.Get(r, name)
	if again, _ := store.Get(r, name); err != nil || s.IsNew || s.Values["signin"] != "value" || again != s {
		t.Fatalf("Get: got %+v, %v, and then %p; want a session, once", s, err, again)
	}
	if s, err := store.Get(request(), name); err != nil || !s.IsNew {
		t.Errorf("Get without a cookie: got %+v, %v; want a new session", s, err)
	}
	s.Options = &sessions.Options{}
	s.Values["cart"] = "something else"
	if err := s.Save(r, w); err == nil || len(w.Header()) > 0 {
		t.Errorf("another value: got %v and %v; want an error, since it would be lost", err, w.Header())
	}
	delete(s.Values, "cart")
	s.Values["signin"] = strings.Repeat("x", cookie.Max+1)
	if err := s.Save(r, w); !errors.Is(err, cookie.ErrTooLarge) || len(w.Header()) > 0 {
		t.Errorf("a value too long: got %v and %v; want ErrTooLarge", err, w.Header())
	}
	s.Values["signin"], s.Options.MaxAge = "next", 86400
	if err := s.Save(r, w); err != nil {
		t.Errorf("Save: got error %v; want none", err)
	}
	wantCookies(t, w, set(name))
	s.Values["signin"], s.Options.MaxAge = strings.Repeat("x", cookie.Max+1), -1
	if err := s.Save(r, w); err != nil {
		t.Errorf("deleting: got error %v; want none", err)
	}
	wantCookies(t, w, unset(name))
}

// Words in braces are replaced by values: {one} of a session that fits one cookie,
// {first} and {second} of one that does not, the others of other things.
func TestLoad_CookieHeaders(t *testing.T) {
	t.Parallel()
	server := newFaulty()
	server.kept = map[string]map[any]any{
		"number": {"signin": 5}, "nothing": {}, "empty": {"signin": ""}, "bytes": {"signin": []byte("x")},
	}
	v, stored := newStore(t, nil), newStore(t, server)
	words := []string{"{long}", strings.Repeat("A", 1<<20), "{name}", name, "{name2}", cookie.Second(name)}
	add := func(v *sessionstore.Store, s *session.Session, names ...string) {
		for i, c := range save(t, v, s, true) {
			_, value, _ := strings.Cut(c, "=")
			words = append(words, names[i], value)
		}
	}
	add(v, small(), "{one}")
	add(v, large(), "{first}", "{second}")
	add(v, sized(3100, 96, 20), "{other first}", "{other second}")
	add(sessionstore.New(nil, "another", ring(t, 1, base), true), small(), "{renamed}")
	add(sessionstore.New(nil, name, ring(t, 2, base), true), small(), "{another key}")
	plain, err := small().Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	words = append(words, "{clear}", base64.RawURLEncoding.EncodeToString(plain))
	words = append(words, "{text}", base64.RawURLEncoding.EncodeToString(ring(t, 1, base).Box(name, "cookies", "").Seal(nil, []byte("something"))))
	for header, want := range map[string]*session.Session{
		"a=b; {name}={one}; c=d":                 small(),
		"{name}={one}; {name2}={second}":         small(), // left behind by a larger session
		"{name}={first}; {name2}={second}":       large(),
		"{name}":                                 nil,
		"{name}=number":                          nil,
		"{name}=nothing":                         nil,
		"{name}=bytes":                           nil,
		"{name}=%":                               nil,
		"{name}={one}A":                          nil,
		"{name}={renamed}":                       nil,
		"{name}={another key}":                   nil,
		"{name}={clear}":                         nil,
		"{name}={text}":                          nil,
		"{name}={long}":                          nil,
		"{name}={one}; {name}=x":                 nil,
		"{name}=x; {name}={one}":                 nil,
		"{name}={first}":                         nil,
		"{name}={first}{second}":                 nil,
		"{name}={second}; {name2}={first}":       nil,
		"{name}={first}; {name2}={other second}": nil,
		"{name}={first}; {name2}={long}":         nil,
		"{name}={first}; {name2}={second}; {name2}={second}": nil,
	} {
		header = strings.NewReplacer(words...).Replace(header)
		wantNone(t, stored, header)
		if want != nil {
			wantSession(t, v, want, header)
		} else if got, err := load(v, header); got != nil || err != nil {
			t.Errorf("%.200s: got %+v, %v; want no session", header, got, err)
		}
	}
}
