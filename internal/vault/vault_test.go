package vault_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/vault"
)

// CASES 5.7.
func TestLimitsAtTheSecond(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name              string
		created, lastSeen time.Duration // ago
		want              string
		left              time.Duration
	}{
		{"just made", 0, 0, "", 24 * time.Hour},
		{"a second before it is idle", time.Hour * 30, 24*time.Hour - time.Second, "", time.Second},
		{"idle at the second", time.Hour * 30, 24 * time.Hour, "idle", 0},
		{"idle since long", time.Hour * 90, 48 * time.Hour, "idle", -24 * time.Hour},
		{"a second before its lifetime is over", 14*24*time.Hour - time.Second, 0, "", time.Second},
		{"its lifetime is over at the second", 14 * 24 * time.Hour, 0, "lifetime", 0},
		{"both", 20 * 24 * time.Hour, 10 * 24 * time.Hour, "lifetime", -9 * 24 * time.Hour},
		{"the clock was set back", -time.Hour, -time.Hour, "", 25 * time.Hour},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			created, lastSeen := now.Add(-row.created), now.Add(-row.lastSeen)
			if got := limits.Over(created, lastSeen, now); got != row.want {
				t.Errorf("Over: got %q; want %q", got, row.want)
			}
			if got := limits.Expires(created, lastSeen).Sub(now); got != row.left && row.name != "both" {
				t.Errorf("Expires: got %v from now; want %v", got, row.left)
			}
		})
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	for name_, row := range map[string]struct {
		rec  *record.Record
		had  []string
		want []string
	}{
		"one is enough":                            {session(), nil, []string{set(name, limits.Idle)}},
		"one is enough, and a second is there":     {session(), []string{name + "=.old; " + name + ".2=old"}, []string{set(name, limits.Idle), unset(name + ".2")}},
		"a second alone is there":                  {session(), []string{"a=b", name + ".2=old"}, []string{set(name, limits.Idle), unset(name + ".2")}},
		"two seconds are there":                    {session(), []string{name + ".2=x; " + name + "=y; " + name + ".2=z"}, []string{set(name, limits.Idle), unset(name + ".2")}},
		"two are needed":                           {sized(3000, 96, 20), nil, []string{set(name, limits.Idle), set(name+".2", limits.Idle)}},
		"two are needed, and two are there":        {sized(3000, 96, 20), []string{name + "=.old; " + name + ".2=old"}, []string{set(name, limits.Idle), set(name+".2", limits.Idle)}},
		"the lifetime ends before it is idle":      {ageing(13*24*time.Hour+23*time.Hour, 0), nil, []string{set(name, time.Hour)}},
		"the rest of a second counts as a second":  {ageing(13*24*time.Hour+24*time.Hour-1500*time.Millisecond, 0), nil, []string{set(name, 2*time.Second)}},
		"it is over: the cookie is deleted":        {ageing(15*24*time.Hour, 0), nil, []string{strings.Replace(unset(name), "=;", "=*;", 1)}},
		"it is over at this second":                {ageing(14*24*time.Hour, 0), nil, []string{strings.Replace(unset(name), "=;", "=*;", 1)}},
		"a clock set back does not make it longer": {ageing(-100*24*time.Hour, -100*24*time.Hour), nil, []string{set(name, limits.Max)}},
	} {
		t.Run(name_, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			if err := v.Save(w, request(row.had...), row.rec, now, false); err != nil {
				t.Fatalf("Save: got error %v; want none", err)
			}
			wantCookies(t, w, row.want...)
		})
	}
	t.Run("without https there is no Secure", func(t *testing.T) {
		t.Parallel()
		plain := vault.New(nil, "signin", box(t, 1, "signin"), false, limits)
		w := httptest.NewRecorder()
		if err := plain.Save(w, request(), session(), now, true); err != nil {
			t.Fatalf("Save: got error %v; want none", err)
		}
		wantCookies(t, w, "signin=*; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax")
	})
}

func ageing(created, lastSeen time.Duration) *record.Record {
	r := session()
	r.Created, r.LastSeen = now.Add(-created), now.Add(-lastSeen)
	return r
}

func TestACookieIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	for name, rec := range map[string]*record.Record{"one": session(), "two": sized(3000, 96, 20)} {
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
	v := newVault(t, nil)
	one := save(t, v, session(), true)[0]
	two := save(t, v, sized(3000, 96, 20), true)
	later := save(t, v, sized(3100, 96, 20), true)
	_, value, _ := strings.Cut(one, "=")
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatalf("got error %v; want base64", err)
	}
	plain, err := session().Append(nil)
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
	wantSession(t, v, session(), one+"; "+name+".2=left behind")
}

// A session has one text. Its length modulo three decides how many bits of the
// last character are beyond its last byte, and must be zero.
func TestASessionHasOneText(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	for size := range 3 {
		_, value, _ := strings.Cut(save(t, v, sized(50, 96, 20+size), true)[0], "=")
		if !opens(v, value) {
			t.Fatalf("%d characters: got no session; want the one that was saved", len(value))
		}
		for at := range len(value) {
			for _, c := range []byte{0, ' ', '\n', '\r', '=', '+', '/', '.', '@', '[', '`', '{', 0x7f, 0x80, 0xff} {
				for what, text := range map[string]string{
					"in place of one": value[:at] + string([]byte{c}) + value[at+1:],
					"before one":      value[:at] + string([]byte{c}) + value[at:],
				} {
					if opens(v, text) {
						t.Errorf("%d characters, %q %s at %d: got a session; want none", len(value), c, what, at)
					}
				}
			}
		}
		for _, more := range []string{"\n", "\r", "\r\n", "=", "==", "\n=", "=\n", " ", "A", "AA", "AAA", "AAAA", "A\n", "AA\n\n", "AAA\n"} {
			if opens(v, value+more) {
				t.Errorf("%d characters and %q: got a session; want none", len(value), more)
			}
		}
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for _, last := range letters {
			text := value[:len(value)-1] + string(last)
			if got := opens(v, text); got != (text == value) {
				t.Errorf("%d characters, %q for the last: got a session: %v; want %v", len(value), last, got, text == value)
			}
		}
	}
}

// CASES 5.6. Row: what does not fit, and what is left of it.
func TestWhatIsLeftOutWhenASessionIsTooLarge(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	for name_, row := range map[string]struct {
		rec               *record.Record
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
			if (got.AccessToken != "") != row.access || (got.IDToken.Signature != "") != row.signature || (got.IDToken.Header != "") != row.signature {
				t.Errorf("access token kept: %v, signature kept: %v; want %v, %v", got.AccessToken != "", got.IDToken.Signature != "", row.access, row.signature)
			}
			if got.IDToken.Payload != before.IDToken.Payload || got.RefreshToken != before.RefreshToken || got.AccessExpiry.IsZero() {
				t.Error("claims, refresh token or expiry are not as they were")
			}
			if *row.rec != before {
				t.Error("the caller's record was changed")
			}
		})
	}
	for name_, rec := range map[string]*record.Record{
		"claims of 16 KB": sized(16_000, 96, 20), "claims of 70 KB": sized(70_000, 96, 20),
		"claims that are no object": {IDToken: record.JWT{Payload: "[]"}},
	} {
		t.Run(name_, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			err := v.Save(w, request(), rec, now, true)
			if !errors.Is(err, vault.ErrTooLarge) || !strings.Contains(err.Error(), "Config.Store") || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v; want an error that names sizes and the way out, and no token", err)
			}
			wantCookies(t, w)
		})
	}
}

func TestRemoveDeletesCookies(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
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
		if err := v.Save(w, request(), sized(3000, 96, 20), now, false); err != nil {
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
	v := newVault(t, nil)
	handlers := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		w.Header()["Set-Cookie"] = []string{"theme=dark", name + "x=1", name + ".tx.abc=2", "other=" + name + "=3"}
		return w
	}
	theirs := []string{"theme=*; ", name + "x=*; ", name + ".tx.abc=*; ", "other=*; "}
	t.Run("the last save wins", func(t *testing.T) {
		t.Parallel()
		w := handlers()
		for _, rec := range []*record.Record{sized(3000, 96, 20), session(), sized(3000, 96, 20), session()} {
			if err := v.Save(w, request(), rec, now, false); err != nil {
				t.Fatalf("Save: got error %v; want none", err)
			}
		}
		wantCookies(t, w, append(theirs[:len(theirs):len(theirs)], set(name, limits.Idle))...)
		wantSession(t, v, session(), cookies(w)[4])
	})
	t.Run("withdrawn, and the handlers' cookies are still there", func(t *testing.T) {
		t.Parallel()
		w := handlers()
		if err := v.Save(w, request(), sized(3000, 96, 20), now, false); err != nil {
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
		v.Set(w, name, "value", time.Minute)
		v.Withdraw(w)
		wantCookies(t, w)
	})
	t.Run("any cookie is set in place of itself", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		v.Set(w, "quiet", "1", time.Minute)
		v.Set(w, "quiet", "2", time.Hour)
		wantCookies(t, w, set("quiet", time.Hour))
		v.Unset(w, "quiet")
		wantCookies(t, w, unset("quiet"))
	})
}

// Not parallel: the buffers that are put back are those that are given out next.
func TestBuffersAreWiped(t *testing.T) {
	v := newVault(t, nil)
	had := save(t, v, session(), true)
	b := v.Buffers()
	view, ok, err := v.Open(request(had...), b)
	if !ok || err != nil {
		t.Fatalf("Open: got %v, %v; want a session", ok, err)
	}
	id := view.ID() // part of the buffer
	if bytes.Equal(id, make([]byte, len(id))) {
		t.Fatal("got an empty ID; want the session's")
	}
	v.Put(b)
	if !bytes.Equal(id, make([]byte, len(id))) {
		t.Error("got the session in the buffer after Put; want it wiped")
	}
}

func TestOpenAllocatesNothing(t *testing.T) {
	v := newVault(t, nil)
	r := request(save(t, v, session(), true)...)
	b := v.Buffers()
	if got := testing.AllocsPerRun(100, func() {
		if _, ok, err := v.Open(r, b); !ok || err != nil {
			t.Fatalf("Open: got %v, %v; want a session", ok, err)
		}
	}); got != 0 {
		t.Errorf("got %v allocations; want 0", got)
	}
}

// CASES 5.6.
func TestALongCookieCostsNothing(t *testing.T) {
	v := newVault(t, nil)
	r := request(name + "=" + strings.Repeat("A", 1<<20))
	b := v.Buffers()
	if got := testing.AllocsPerRun(10, func() {
		*b = vault.Buffers{}
		if _, ok, err := v.Open(r, b); ok || err != nil {
			t.Fatalf("Open: got %v, %v; want no session", ok, err)
		}
	}); got != 0 {
		t.Errorf("got %v allocations; want 0", got)
	}
}

func TestOpenWithoutAHeader(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	if _, ok, err := v.Open(new(http.Request), v.Buffers()); ok || err != nil {
		t.Errorf("got %v, %v; want no session", ok, err)
	}
}
