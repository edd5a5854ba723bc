package pending_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/pending"
	"github.com/gosignin/signin/internal/seal"
)

var start = time.UnixMilli(1_700_000_000_123)

const cookieName = "__Host-signin"

func ring(t testing.TB, purpose, client string) *seal.Ring {
	t.Helper()
	r, err := seal.NewRing([][]byte{bytes.Repeat([]byte{7}, 32)}, purpose, "https://op.test", client)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func book(t testing.TB, now time.Time) *pending.Book {
	t.Helper()
	return pending.NewBook(ring(t, "transaction", "app"), cookieName, func() time.Time { return now })
}

func request(cookies ...string) *http.Request {
	return &http.Request{Header: http.Header{"Cookie": {strings.Join(cookies, "; ")}}}
}

func cookie(b *pending.Book, a *pending.Attempt) string { return b.Name(a.State) + "=" + b.Value(a) }

func TestAnAttemptComesBackAsItWas(t *testing.T) {
	t.Parallel()
	b := book(t, start)
	for name, change := range map[string]func(*pending.Attempt){
		"plain": func(*pending.Attempt) {},
		"everything": func(a *pending.Attempt) {
			a.ReturnTo, a.Foreign, a.Silent, a.ACR = "/x?y=%E2%82%AC#z", true, true, []string{"mfa", "hw"}
		},
		"max_age=0": func(a *pending.Attempt) { a.MaxAgeAsked = true },
		"max_age":   func(a *pending.Attempt) { a.MaxAgeAsked, a.MaxAge = true, 5*time.Minute },
	} {
		want := pending.New(start, false)
		change(want)
		got, err := b.Find(request("a=b", cookie(b, want)), want.State)
		if err != nil {
			t.Fatalf("%s: got error %v; want none", name, err)
		}
		if len(got.ACR) == 0 {
			got.ACR = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v; want %+v", name, got, want)
		}
	}
}

// No attempt of this package is that long, so nothing that long is worth opening.
func TestALongCookieIsNoAttempt(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	b := book(t, start)
	for bytes, found := range map[int]bool{2048: true, 5000: false} {
		a := pending.New(start, false)
		a.ReturnTo = "/" + strings.Repeat("x", bytes)
		if got, err := b.Find(request(cookie(b, a)), a.State); (err == nil) != found || (got != nil) != found {
			t.Errorf("a return_to of %d bytes: got %v, %v; want it found: %v", bytes, got != nil, err, found)
		}
	}
}

func TestRandomValues(t *testing.T) {
	t.Parallel()
	a, b := pending.New(start, false), pending.New(start, true)
	if a.State[1:] == b.State[1:] || a.Nonce == b.Nonce || a.Verifier == b.Verifier || a.Nonce == a.State[1:] {
		t.Errorf("got %+v and %+v; want no value twice", a, b)
	}
	// RFC 7636, section 4.1: at least 43 characters. 128 bits for the others.
	if len(a.Verifier) != 43 || len(a.Nonce) != 22 || len(a.State) != 23 {
		t.Errorf("got lengths %d %d %d; want 43 22 23", len(a.Verifier), len(a.Nonce), len(a.State))
	}
	if pending.SecondRound(a.State) || !pending.SecondRound(b.State) {
		t.Error("rounds: want the first and the second told apart by the state")
	}
}

func TestCases(t *testing.T) {
	t.Parallel()
	a := pending.New(start, false)
	b := book(t, start)
	name, value := b.Name(a.State), b.Value(a)
	other := pending.New(start, false)
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(sealed)
	forged[20] ^= 1
	session := base64.RawURLEncoding.EncodeToString(ring(t, "session", "app").Box(name).Seal(nil, []byte("x")))
	for _, row := range []struct {
		name  string
		now   time.Time
		book  *pending.Book
		req   *http.Request
		state string
	}{
		{"2.2 no cookie", start, nil, request(), a.State},
		{"2.2 no state", start, nil, request(name + "=" + value), ""},
		{"2.2 another state", start, nil, request(name + "=" + value), other.State},
		{"2.2 the cookie renamed to another state", start, nil, request(b.Name(other.State) + "=" + value), other.State},
		{"2.8 older than ten minutes", start.Add(10*time.Minute + time.Millisecond), nil, request(name + "=" + value), a.State},
		{"2.8 from the future", start.Add(-61 * time.Second), nil, request(name + "=" + value), a.State},
		{"2.8 of another Auth", start, pending.NewBook(ring(t, "transaction", "other"), cookieName, time.Now), request(name + "=" + value), a.State},
		{"2.8 a session cookie renamed to a transaction", start, nil, request(name + "=" + session), a.State},
		{"2.8 changed", start, nil, request(name + "=" + base64.RawURLEncoding.EncodeToString(forged)), a.State},
		{"2.8 not base64", start, nil, request(name + "=" + value + "!"), a.State},
		{"2.8 empty", start, nil, request(name + "="), a.State},
		{"2.8 twice", start, nil, request(name+"="+value, name+"="+value), a.State},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bk := row.book
			if bk == nil {
				bk = book(t, row.now)
			}
			if got, err := bk.Find(row.req, row.state); !errors.Is(err, pending.ErrNone) || got != nil {
				t.Errorf("got %+v, %v; want ErrNone", got, err)
			}
		})
	}
	t.Run("2.8 ten minutes old to the millisecond", func(t *testing.T) {
		t.Parallel()
		if _, err := book(t, start.Add(10*time.Minute)).Find(request(name+"="+value), a.State); err != nil {
			t.Errorf("got %v; want it found", err)
		}
	})
}

func TestCasesCrowded(t *testing.T) {
	t.Parallel()
	attempt := func(minute int, foreign bool) *pending.Attempt {
		a := pending.New(start.Add(time.Duration(minute)*time.Minute), false)
		a.Foreign = foreign
		return a
	}
	b := book(t, start.Add(5*time.Minute))
	names := func(all ...*pending.Attempt) (n []string) {
		for _, a := range all {
			n = append(n, b.Name(a.State))
		}
		slices.Sort(n)
		return n
	}
	cookies := func(all ...*pending.Attempt) *http.Request {
		c := []string{"theme=dark"}
		for _, a := range all {
			c = append(c, cookie(b, a))
		}
		return request(c...)
	}
	own := []*pending.Attempt{attempt(1, false), attempt(0, false), attempt(2, false), attempt(3, false), attempt(4, false)}
	foreign := []*pending.Attempt{attempt(1, true), attempt(2, true), attempt(3, true)}
	mine, theirs := attempt(5, false), attempt(5, true)
	same := attempt(4, false)
	for _, row := range []struct {
		name  string
		req   *http.Request
		added *pending.Attempt
		want  []string
	}{
		{"2.6 nothing to do for the first five", cookies(own[:4]...), mine, nil},
		{"2.6 the oldest goes when all are one's own", cookies(own...), mine, names(own[1])},
		{"2.6 another site's go first, the oldest of them", cookies(own[0], own[1], own[2], foreign[1], foreign[0]), mine, names(foreign[0])},
		{"2.6 another site's new one pushes out its own kind", cookies(own[0], own[1], own[2], own[3], foreign[0]), theirs, names(foreign[0])},
		{"2.6 another site's new one does not push out one's own", cookies(own...), theirs, names(theirs)},
		{"2.6 of the same age, the new one stays", cookies(own[0], own[2], own[3], own[4], attempt(4, false)), same, names(own[0])},
		{"2.6 two hundred attempts leave five", cookies(append(slices.Clone(own), foreign...)...), mine, names(append(slices.Clone(foreign), own[1])...)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := b.Crowded(row.req, row.added)
			slices.Sort(got)
			if !slices.Equal(got, row.want) {
				t.Errorf("got %q; want %q", got, row.want)
			}
		})
	}
	t.Run("2.6 what is no attempt is cleared away", func(t *testing.T) {
		t.Parallel()
		old := pending.New(start.Add(-time.Hour), false)
		got := b.Crowded(request(cookie(b, old), cookieName+".tx.junk=junk", cookieName+"=session"), mine)
		slices.Sort(got)
		want := append(names(old), cookieName+".tx.junk")
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q; want %q", got, want)
		}
	})
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	b := book(t, start)
	name, value := b.Quiet()
	if name != cookieName+".quiet" {
		t.Errorf("name: got %q; want %q", name, cookieName+".quiet")
	}
	a := pending.New(start, true)
	for what, row := range map[string]struct {
		now    time.Time
		cookie string
		want   bool
	}{
		"just set":                 {start, name + "=" + value, true},
		"a second before its end":  {start.Add(5*time.Minute - time.Second), name + "=" + value, true},
		"at its end":               {start.Add(5 * time.Minute), name + "=" + value, false},
		"absent":                   {start, "a=b", false},
		"forged":                   {start, name + "=AAAA", false},
		"an attempt renamed to it": {start, name + "=" + b.Value(a), false},
		"not base64":               {start, name + "=" + value + "!", false},
	} {
		if got := book(t, row.now).IsQuiet(request(row.cookie)); got != row.want {
			t.Errorf("%s: got %v; want %v", what, got, row.want)
		}
	}
}
