package sessionstore_test

import (
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
)

// FuzzLoad reads sessions from a Cookie header in which {one} stands for the value
// of a session that fits one cookie, {first} and {second} for those of a session
// that does not, and {moved} for a value sealed under another name. Each session is
// there if its cookies are, each once and whole, and is otherwise not: never
// another one, and never a mixture. No header is an error, to a server-side store
// neither.
func FuzzLoad(f *testing.F) {
	ring, err := seal.NewRing([][]byte{[]byte(strings.Repeat("k", 32))}, "session", "https://op.test", "app")
	if err != nil {
		f.Fatal(err)
	}
	v := sessionstore.New(nil, name, ring.Box(name), true)
	stored := sessionstore.New(newFaulty(), name, ring.Box(name), true)
	// save returns the values of the cookies that a session takes, and the session.
	save := func(v *sessionstore.Store, rec *session.Session) (values []string, read *session.Session) {
		w := httptest.NewRecorder()
		if err := saveAt(v, w, request(), rec, now, true); err != nil {
			f.Fatal(err)
		}
		for _, pair := range cookies(w) {
			_, value, _ := strings.Cut(pair, "=")
			values = append(values, value)
		}
		if read, err = open(v, strings.Join(cookies(w), "; ")); err != nil || read == nil || read.RefreshToken != rec.RefreshToken {
			f.Fatalf("got %+v, %v; want the session that was saved", read, err)
		}
		return values, read
	}
	one, short := save(v, small())
	two, large := save(v, sized(4000, 96, 10))
	moved, _ := save(sessionstore.New(nil, "another", ring.Box("another"), true), small())
	if len(one) != 1 || len(two) != 2 || len(moved) != 1 {
		f.Fatalf("got %d, %d and %d cookies; want one, two and one", len(one), len(two), len(moved))
	}
	sealed := strings.NewReplacer("{one}", one[0], "{first}", two[0], "{second}", two[1], "{moved}", moved[0])

	second := cookie.Second(name)
	for _, seed := range []string{
		"", "a=b", ";;;", "%[1]s", "%[1]s=", "%[1]s=x", "%[1]s=.x", "%[2]s=x", "%[1]s=.x; %[2]s=x", "%[1]s={moved}", "a={one}",
		"%[1]s={one}", "a=b; %[1]s={one}; c=d", "\t%[1]s\t={one} ;", "%[1]s={one}; %[1]s", "%[1]s={one}; %[1]s={one}", "%[1]s={one}; %[1]s={moved}",
		"%[1]s={one}; %[2]s={second}", "%[1]s={one}; %[2]s=; %[2]s=", "%[1]s={one}A", "%[1]s=.{one}", `%[1]s="{one}"`, "%[1]s={one}=", "x%[1]s={one}",
		"%[1]s={first}; %[2]s={second}", "%[2]s={second};%[1]s={first}", "%[1]s={first}", "%[2]s={second}", "%[1]s={second}; %[2]s={first}",
		"%[1]s={first}; %[2]s={second}; %[2]s={second}", "%[1]s={first}{second}", "%[1]s={first}; %[2]s={one}", "%[1]s={first}; %[1]s.3={second}",
		"%[1]s={first}; %[2]s={second}x",
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
			want = large
		}
		got, err := open(v, sealed.Replace(header))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, %v; want %+v", header, got, err, want)
		}
		if got, err := open(stored, sealed.Replace(header)); got != nil || err != nil {
			t.Errorf("%q: got %+v, %v of an empty store; want no session", header, got, err)
		}
	})
}
