package sessionstore_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
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
		{"one is enough, and a second is there", small(), day, name + "=.old; " + second + "=old", []string{set(name), unset(second)}},
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
	plain := sessionstore.New(nil, "signin", box(t, 1, "signin"), false)
	if err := plain.Save(w, request(), small(), day, true); err != nil {
		t.Errorf("without https: got error %v; want none", err)
	}
	wantCookies(t, w, "signin=*; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax")
}

func TestSave_Sealed(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for _, s := range []*session.Session{small(), large()} {
		had := save(t, v, s, true)
		wantSession(t, v, s, "a=b; "+strings.Join(had, "; ")+"; c=d")
		for _, c := range had {
			_, value, _ := strings.Cut(c, "=")
			raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(value, "."))
			if bytes.Contains(raw, []byte("canary")) || strings.Contains(value, "canary") {
				t.Errorf("got a cookie that shows a token: %s", c)
			}
		}
	}
}

// What does not fit is left out.
func TestSave_LargeSessions(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for _, row := range []struct {
		name              string
		s                 *session.Session
		access, signature bool // whether they are kept
	}{
		{"all fits", sized(2000, 96, 1000), true, true},
		{"the access token goes first", sized(2000, 96, 4000), false, true},
		{"then the ID token's header and signature", sized(2000, 4000, 1000), false, false},
		{"an access token that no session can hold", sized(2000, 96, 70_000), false, true},
	} {
		before := *row.s
		got, err := load(v, save(t, v, row.s, true)...)
		if got == nil || err != nil {
			t.Errorf("%s: got no session, %v; want one", row.name, err)
			continue
		}
		access, signature, header := got.AccessToken != (session.Packed{}), got.IDSignature != "", got.IDHeader != ""
		if access != row.access || signature != row.signature || header != row.signature {
			t.Errorf("%s: got access token %t, signature %t, header %t", row.name, access, signature, header)
		}
		if got.Claims.Payload() != before.Claims.Payload() || got.RefreshToken != before.RefreshToken || got.AccessExpiry.IsZero() {
			t.Errorf("%s: got %+v; want claims, refresh token and expiry as they were", row.name, got)
		}
		if !reflect.DeepEqual(*row.s, before) {
			t.Errorf("%s: the caller's session was changed", row.name)
		}
	}
	for _, s := range []*session.Session{sized(16_000, 96, 20), sized(59_000, 3000, 3000)} {
		w := httptest.NewRecorder()
		err := v.Save(w, request(), s, day, true)
		if !errors.Is(err, sessionstore.ErrTooLarge) || !strings.Contains(err.Error(), "Config.Store") || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v; want an error that names sizes and Config.Store, and no token", err)
		}
		wantCookies(t, w)
	}
}

func TestRemove_Cookies(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for had, want := range map[string][]string{
		"":                             {unset(name)},
		name + "=x":                    {unset(name)},
		name + "=.x; " + name + ".2=y": {unset(name), unset(name + ".2")},
		name + ".2=y":                  {unset(name), unset(name + ".2")},
	} {
		w := httptest.NewRecorder()
		// Cookies that this answer was to set are not set.
		if err := errors.Join(v.Save(w, request(), large(), day, false), v.Remove(w, request(had))); err != nil {
			t.Errorf("%q: got error %v; want none", had, err)
		}
		wantCookies(t, w, want...)
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
	long := strings.Repeat("abcd", 1000)
	var had []string
	for _, value := range []string{"short", long, "short again"} {
		r, w := request(strings.Join(had, "; ")), httptest.NewRecorder()
		s, err := store.Get(r, name)
		if again, _ := store.Get(r, name); err != nil || s.IsNew != (had == nil) || again != s {
			t.Fatalf("%.9s: Get: got %+v, %v, and then %p; want a session, once", value, s, err, again)
		}
		s.Values["signin"], s.Options = value, &sessions.Options{MaxAge: 60}
		if err := s.Save(r, w); err != nil {
			t.Fatalf("%.9s: Save: got error %v; want none", value, err)
		}
		had = cookies(w)
		s, err = store.New(request(strings.Join(had, "; ")), name)
		if err != nil || s.IsNew || s.Values["signin"] != value {
			t.Errorf("%.9s: New: got %+v, %v; want the value", value, s, err)
		}
	}
	r, w := request(had[0]), httptest.NewRecorder()
	s, _ := store.New(r, name)
	s.Values["cart"] = "something else"
	if err := s.Save(r, w); err == nil || len(w.Header()) > 0 {
		t.Errorf("another value: got %v and %v; want an error, since it would be lost", err, w.Header())
	}
	delete(s.Values, "cart")
	s.Values["signin"] = strings.Repeat("x", cookie.Max+1)
	if err := s.Save(r, w); !errors.Is(err, cookie.ErrTooLarge) || len(w.Header()) > 0 {
		t.Errorf("a value too long: got %v and %v; want ErrTooLarge", err, w.Header())
	}
	s.Options.MaxAge = -1
	if err := s.Save(r, w); err != nil {
		t.Errorf("deleting: got error %v; want none", err)
	}
	wantCookies(t, w, unset(name))
}

// FuzzLoad reads sessions from a Cookie header. Words in braces are replaced by
// values: {one} of a session that fits one cookie, {first} and {second} of one that
// does not, the others of what is not a session. A session is found only if its
// cookies are there, each once and whole. No header is an error, also to a store on
// a server.
func FuzzLoad(f *testing.F) {
	v, stored := newStore(f, nil), newStore(f, newFaulty())
	words := []string{"{mega}", strings.Repeat("A", 1<<20)}
	add := func(v *sessionstore.Store, s *session.Session, names ...string) *session.Session {
		had := save(f, v, s, true)
		for i, c := range had {
			_, value, _ := strings.Cut(c, "=")
			words = append(words, names[i], value)
		}
		read, err := load(v, strings.Join(had, "; "))
		if err != nil || read == nil || read.RefreshToken != s.RefreshToken {
			f.Fatalf("got %+v, %v; want the session that was saved", read, err)
		}
		return read
	}
	short, long := add(v, small(), "{one}"), add(v, large(), "{first}", "{second}")
	add(v, sized(3100, 96, 20), "{older}", "{old}")
	add(sessionstore.New(nil, "another", box(f, 1, "another"), true), small(), "{renamed}")
	add(sessionstore.New(nil, name, box(f, 2, name), true), small(), "{key}")
	plain, err := small().Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	words = append(words, "{clear}", base64.RawURLEncoding.EncodeToString(plain))
	words = append(words, "{else}", base64.RawURLEncoding.EncodeToString(box(f, 1, name).Seal(nil, []byte("something"))))
	replacer := strings.NewReplacer(words...)
	second := cookie.Second(name)
	for _, seed := range []string{
		"", "a=b", ";;;", "%[1]s", "%[1]s=", "%[1]s=x", "%[1]s=%%", "a={one}", "%[1]s={renamed}", "%[1]s={key}", "%[1]s={clear}",
		"%[1]s={else}", "%[1]s={mega}", "a=b; %[1]s={one}; c=d", "\t%[1]s\t={one} ;", "%[1]s={one}; %[1]s", "%[1]s={one}; %[1]s=x",
		"%[1]s=x; %[1]s={one}", "%[1]s={one}; %[2]s={second}", "%[1]s={one}; %[2]s=; %[2]s=", "%[1]s={one}A", "%[1]s=.{one}",
		`%[1]s="{one}"`, "%[1]s={one}==", "x%[1]s={one}", "%[1]s={first}; %[2]s={second}", "%[2]s={second};%[1]s={first}",
		"%[1]s={first}", "%[2]s={second}", "%[1]s={second}; %[2]s={first}", "%[1]s={first}; %[2]s={second}; %[2]s={second}",
		"%[1]s={first}{second}", "%[1]s={first}; %[2]s={old}", "%[1]s={first}; %[1]s.3={second}", "%[1]s={first}; %[2]s={mega}",
	} {
		f.Add(fmt.Sprintf(seed+"%.0[1]s%.0[2]s", name, second))
	}
	f.Fuzz(func(t *testing.T, header string) {
		var firsts, seconds []string
		for pair := range strings.SplitSeq(header, ";") {
			cookieName, value, _ := strings.Cut(strings.Trim(pair, " \t\r\n"), "=")
			switch strings.TrimRight(cookieName, " \t\r\n") {
			case name:
				firsts = append(firsts, value)
			case second:
				seconds = append(seconds, value)
			}
		}
		var want *session.Session
		switch {
		case len(firsts) != 1 || len(seconds) > 1:
		case firsts[0] == "{one}":
			want = short
		case firsts[0] == "{first}" && len(seconds) == 1 && seconds[0] == "{second}":
			want = long
		case firsts[0] == "{older}" && len(seconds) == 1 && seconds[0] == "{old}":
			return // a session as well
		}
		got, err := load(v, replacer.Replace(header))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, %v; want %+v", header, got, err, want)
		}
		if got, err := load(stored, replacer.Replace(header)); got != nil || err != nil {
			t.Errorf("%q: got %+v, %v of an empty store; want no session", header, got, err)
		}
	})
}
