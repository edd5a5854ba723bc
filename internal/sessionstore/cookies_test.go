package sessionstore_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
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

func TestCookies(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for name_, row := range map[string]struct {
		rec  *session.Session
		had  []string
		want []string
	}{
		"one is enough":                            {small(), nil, []string{set(name, limits.Idle)}},
		"one is enough, and a second is there":     {small(), []string{name + "=.old; " + name + ".2=old"}, []string{set(name, limits.Idle), unset(name + ".2")}},
		"a second alone is there":                  {small(), []string{"a=b", name + ".2=old"}, []string{set(name, limits.Idle), unset(name + ".2")}},
		"two seconds are there":                    {small(), []string{name + ".2=x; " + name + "=y; " + name + ".2=z"}, []string{set(name, limits.Idle), unset(name + ".2")}},
		"two are needed":                           {sized(3000, 96, 20), nil, []string{set(name, limits.Idle), set(name+".2", limits.Idle)}},
		"two are needed, and two are there":        {sized(3000, 96, 20), []string{name + "=.old; " + name + ".2=old"}, []string{set(name, limits.Idle), set(name+".2", limits.Idle)}},
		"the lifetime ends before it is idle":      {ageing(13*24*time.Hour+23*time.Hour, 0), nil, []string{set(name, time.Hour)}},
		"the rest of a second counts as a second":  {ageing(13*24*time.Hour+24*time.Hour-1500*time.Millisecond, 0), nil, []string{set(name, 2*time.Second)}},
		"it is over: the cookie is deleted":        {ageing(15*24*time.Hour, 0), nil, []string{unset(name)}},
		"it is over at this second":                {ageing(14*24*time.Hour, 0), nil, []string{unset(name)}},
		"a clock set back does not make it longer": {ageing(-100*24*time.Hour, -100*24*time.Hour), nil, []string{set(name, limits.Max)}},
	} {
		t.Run(name_, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			if err := saveAt(v, w, request(row.had...), row.rec, now, false); err != nil {
				t.Fatalf("Save: got error %v; want none", err)
			}
			wantCookies(t, w, row.want...)
		})
	}
	t.Run("without https there is no Secure", func(t *testing.T) {
		t.Parallel()
		plain := sessionstore.New(nil, "signin", box(t, 1, "signin"), false)
		w := httptest.NewRecorder()
		if err := saveAt(plain, w, request(), small(), now, true); err != nil {
			t.Fatalf("Save: got error %v; want none", err)
		}
		wantCookies(t, w, "signin=*; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax")
	})
}

func ageing(created, lastSeen time.Duration) *session.Session {
	r := small()
	r.Created, r.LastSeen = now.Add(-created), now.Add(-lastSeen)
	return r
}

func TestACookieIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for name, rec := range map[string]*session.Session{"one": small(), "two": sized(3000, 96, 20)} {
		had := save(t, v, rec, true)
		wantSession(t, v, rec, had...)
		wantSession(t, v, rec, "a=b; "+strings.Join(had, "; ")+"; c=d")
		if len(had) != map[string]int{"one": 1, "two": 2}[name] {
			t.Errorf("%s: got %d cookies", name, len(had))
		}
		for _, c := range had { // CASES 5.12
			_, value, _ := strings.Cut(c, "=")
			raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(value, "."))
			if bytes.Contains(raw, []byte("canary")) || strings.Contains(value, "canary") {
				t.Errorf("%s: the cookie shows a token", name)
			}
		}
	}
}

// CASES 5.3 and 5.5.
func TestWhatIsNoSession(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	one := save(t, v, small(), true)[0]
	two := save(t, v, sized(3000, 96, 20), true)
	later := save(t, v, sized(3100, 96, 20), true)
	_, value, _ := strings.Cut(one, "=")
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatalf("got error %v; want base64", err)
	}
	plain, err := small().Append(nil)
	if err != nil {
		t.Fatalf("Append: got error %v; want none", err)
	}
	for name_, had := range map[string][]string{
		"no cookie":                       nil,
		"an empty cookie":                 {name + "="},
		"a name alone":                    {name},
		"not base64":                      {name + "=%%%"},
		"base64 with padding":             {one + "=="},
		"a letter too many":               {name + "=" + value + "A"},
		"shorter than a nonce":            {name + "=AAAA"},
		"clear text":                      {name + "=" + text(plain)},
		"sealed with another key":         {name + "=" + text(box(t, 2, name).Seal(nil, plain))},
		"sealed for another name":         {name + "=" + text(box(t, 1, "other").Seal(nil, plain))},
		"sealed, and no record":           {name + "=" + text(box(t, 1, name).Seal(nil, []byte("something")))},
		"twice":                           {one + "; " + one},
		"twice, in two lines":             {one, one},
		"an attacker's before it":         {name + "=x; " + one},
		"an attacker's after it":          {one + "; " + name + "=x"},
		"the first part alone":            {two[0]},
		"the second part alone":           {two[1]},
		"the second part twice":           {two[0] + "; " + two[1] + "; " + two[1]},
		"parts of two generations":        {two[0] + "; " + later[1]},
		"parts in each other's place":     {name + "=" + strings.SplitN(two[1], "=", 2)[1] + "; " + name + ".2=" + strings.SplitN(two[0], "=", 2)[1]},
		"a header of a megabyte":          {name + "=" + strings.Repeat("A", 1<<20)},
		"a megabyte in the second cookie": {two[0] + "; " + name + ".2=" + strings.Repeat("A", 1<<20)},
	} {
		t.Run(name_, func(t *testing.T) {
			t.Parallel()
			wantNone(t, v, had...)
		})
	}
	for i := range sealed {
		forged := bytes.Clone(sealed)
		forged[i] ^= 1
		wantNone(t, v, name+"="+text(forged))
		wantNone(t, v, name+"="+text(sealed[:i]))
	}
	wantSession(t, v, small(), one+"; "+name+".2=left behind")
	t.Run("bits beyond the last one are set", func(t *testing.T) {
		t.Parallel()
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for size := range 3 { // one length of three has none to set
			had := save(t, v, sized(50, 96, 20+size), true)[0]
			if (len(had)-len(name+"="))%4 == 0 {
				continue
			}
			last := strings.IndexByte(letters, had[len(had)-1])
			wantNone(t, v, had[:len(had)-1]+letters[last|1:last|1+1])
		}
	})
}

// CASES 5.6. Row: what does not fit, and what is left of it.
func TestWhatIsLeftOutWhenASessionIsTooLarge(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for name_, row := range map[string]struct {
		rec               *session.Session
		access, signature bool
	}{
		"all fits":                        {sized(2000, 96, 1000), true, true},
		"the access token goes first":     {sized(2000, 96, 4000), false, true},
		"then header and signature":       {sized(2000, 4000, 1000), false, false},
		"a record of 60 KB without those": {sized(2000, 96, 70_000), false, true},
	} {
		t.Run(name_, func(t *testing.T) {
			t.Parallel()
			before := *row.rec
			got := read(t, v, save(t, v, row.rec, true)...)
			if got == nil {
				t.Fatal("got no session; want one")
			}
			if (got.AccessToken != (session.Packed{})) != row.access || (got.IDSignature != "") != row.signature || (got.IDHeader != "") != row.signature {
				t.Errorf("access token kept: %v, signature kept: %v; want %v, %v", got.AccessToken != (session.Packed{}), got.IDSignature != "", row.access, row.signature)
			}
			if got.Claims.Payload() != before.Claims.Payload() || got.RefreshToken != before.RefreshToken || got.AccessExpiry.IsZero() {
				t.Error("claims, refresh token or expiry are not as they were")
			}
			if !reflect.DeepEqual(*row.rec, before) {
				t.Error("the caller's record was changed")
			}
		})
	}
	for name_, rec := range map[string]*session.Session{
		"claims of 16 KB": sized(16_000, 96, 20), "claims of 59 KB": sized(59_000, 96, 20),
		"claims of 59 KB, and more": sized(59_000, 3000, 3000),
	} {
		t.Run(name_, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			err := saveAt(v, w, request(), rec, now, true)
			if !errors.Is(err, sessionstore.ErrTooLarge) || !strings.Contains(err.Error(), "Config.Store") || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v; want an error that names sizes and the way out, and no token", err)
			}
			wantCookies(t, w)
		})
	}
}

func TestRemoveDeletesCookies(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	for name_, row := range map[string]struct{ had, want []string }{
		"none there":        {nil, []string{unset(name)}},
		"one there":         {[]string{name + "=x"}, []string{unset(name)}},
		"two there":         {[]string{name + "=.x; " + name + ".2=y"}, []string{unset(name), unset(name + ".2")}},
		"a stale one there": {[]string{name + ".2=y"}, []string{unset(name), unset(name + ".2")}},
	} {
		w := httptest.NewRecorder()
		if err := v.Remove(w, request(row.had...)); err != nil {
			t.Errorf("%s: got error %v; want none", name_, err)
		}
		wantCookies(t, w, row.want...)
	}
	t.Run("two that this answer was to set are not set", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		if err := saveAt(v, w, request(), sized(3000, 96, 20), now, false); err != nil {
			t.Fatalf("Save: got error %v; want none", err)
		}
		if err := v.Remove(w, request()); err != nil {
			t.Fatalf("Remove: got error %v; want none", err)
		}
		wantCookies(t, w, unset(name))
	})
}

func TestOneAnswerSetsACookieOnce(t *testing.T) {
	t.Parallel()
	v := newStore(t, nil)
	handlers := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		w.Header()["Set-Cookie"] = []string{"theme=dark", name + "x=1", name + ".tx.abc=2", "other=" + name + "=3"}
		return w
	}
	theirs := []string{"theme=*; ", name + "x=*; ", name + ".tx.abc=*; ", "other=*; "}
	t.Run("the last save wins", func(t *testing.T) {
		t.Parallel()
		w := handlers()
		for _, rec := range []*session.Session{sized(3000, 96, 20), small(), sized(3000, 96, 20), small()} {
			if err := saveAt(v, w, request(), rec, now, false); err != nil {
				t.Fatalf("Save: got error %v; want none", err)
			}
		}
		wantCookies(t, w, append(theirs[:len(theirs):len(theirs)], set(name, limits.Idle))...)
		wantSession(t, v, small(), cookies(w)[4])
	})
	t.Run("withdrawn, and the handlers' cookies are still there", func(t *testing.T) {
		t.Parallel()
		w := handlers()
		if err := saveAt(v, w, request(), sized(3000, 96, 20), now, false); err != nil {
			t.Fatalf("Save: got error %v; want none", err)
		}
		v.Withdraw(w)
		wantCookies(t, w, theirs...)
	})
	t.Run("withdrawn, and nothing is left", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		v.Withdraw(w)
		wantCookies(t, w)
		cookie.Writer{}.Set(w, name, "value", time.Minute)
		v.Withdraw(w)
		wantCookies(t, w)
	})
}

// The buffers are used again, so they must not hold a session until then.
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

func TestLoad_WithoutAHeader(t *testing.T) {
	t.Parallel()
	if found, err := newStore(t, nil).Load(new(http.Request), new(session.Session)); found || err != nil {
		t.Errorf("got %v, %v; want no session", found, err)
	}
}

// An application may use the default store as it uses any gorilla store.
func TestCookies_AsAGorillaStore(t *testing.T) {
	t.Parallel()
	var store sessions.Store = &sessionstore.Cookies{Writer: cookie.Writer{Secure: true}}
	long := strings.Repeat("abcd", 1000)
	var had []string
	for _, value := range []string{"short", long, "short again"} {
		r, w := request(strings.Join(had, "; ")), httptest.NewRecorder()
		s, err := store.Get(r, name)
		if err != nil || s.IsNew != (had == nil) {
			t.Fatalf("%.9s: Get: got %+v, %v; want a session", value, s, err)
		}
		if again, err := store.Get(r, name); again != s || err != nil {
			t.Errorf("%.9s: Get again: got %p, %v; want %p", value, again, err, s)
		}
		s.Values["signin"] = value
		s.Options = &sessions.Options{MaxAge: 60}
		if err := s.Save(r, w); err != nil {
			t.Fatalf("%.9s: Save: got error %v; want none", value, err)
		}
		if had = cookies(w); len(had) != map[bool]int{true: 2, false: 1}[value == long] {
			t.Errorf("%.9s: got %d cookies", value, len(had))
		}
		if s, err := store.New(request(strings.Join(had, "; ")), name); err != nil || s.IsNew || s.Values["signin"] != value {
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
