package authflow_test

import (
	"encoding/base64"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
)

// FuzzFind gives the parser what only a key holder could seal. What it takes is a
// transaction that is under way, and one that is the same again once it is written.
func FuzzFind(f *testing.F) {
	r, all := ring(f, "transaction", "app"), at(f, start)
	for _, change := range []func(*authflow.Transaction){
		func(*authflow.Transaction) {},
		func(tx *authflow.Transaction) { tx.ReturnTo, tx.MaxAgeAsked, tx.MaxAge = "/x", true, time.Hour },
		func(tx *authflow.Transaction) {
			tx.Foreign, tx.Silent, tx.ACR, tx.Subject = true, true, []string{"mfa", "hw"}, "alice"
		},
		func(tx *authflow.Transaction) { tx.Began = start.Add(-authflow.Lifetime) },
		func(tx *authflow.Transaction) { tx.Began = start.Add(-authflow.Lifetime - time.Second) },
		func(tx *authflow.Transaction) { tx.Began = start.Add(time.Hour) },
	} {
		tx := begun(f, change)
		name, value, _ := strings.Cut(pair(at(f, tx.Began), tx), "=")
		sealed, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil {
			f.Fatal(err)
		}
		plain, err := r.Box(name).Open(nil, sealed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
		for i := range len(plain) {
			f.Add(plain[:i])
		}
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		got, err := all.Find(browser(sealed(r, "1x", plain)), "1x")
		if err != nil {
			if err != authflow.ErrNoTransaction || got != nil {
				t.Fatalf("got %+v, %v; want ErrNoTransaction and nothing", got, err)
			}
			return
		}
		if age := start.Sub(got.Began); got.State != "1x" || age > authflow.Lifetime || age < -time.Minute {
			t.Fatalf("got state %q, begun %v ago; want the cookie's, and one that is under way", got.State, age)
		}
		if got.MaxAge < 0 || got.MaxAge%time.Second != 0 {
			t.Fatalf("got max_age %v; want whole seconds", got.MaxAge)
		}
		again, err := all.Find(browser(pair(all, got)), "1x")
		if err != nil {
			t.Fatalf("got %v; want it found again", err)
		}
		for _, tx := range []*authflow.Transaction{got, again} {
			tx.Began, tx.ACR = tx.Began.UTC(), append([]string{}, tx.ACR...)
		}
		// What is long in JSON has lost its return_to.
		if again.ReturnTo == "" {
			got.ReturnTo = ""
		}
		if !reflect.DeepEqual(again, got) {
			t.Fatalf("got %+v; want %+v again", again, got)
		}
	})
}

// FuzzKeep gives a Cookie header to a browser that has one sign-in under way, or
// none. Nothing in it is taken for a transaction, it hides the one that is there only
// by repeating its name, and what is cleared away are cookies of transactions.
func FuzzKeep(f *testing.F) {
	all := at(f, start)
	own := &authflow.Transaction{State: "1own", Nonce: "n", Verifier: "v", Began: start}
	others := of(f, "other", start)
	theirs := pair(others, own)
	_, value, _ := strings.Cut(theirs, "=")
	set, _ := answer(others.SetQuiet)
	quiet := set[0]
	for _, header := range []string{
		"", "a=b", cookieName + "=x", prefix + "1own=", prefix + "1own=AAAA; " + prefix + "1other=!", prefix + "=x",
		theirs, theirs + "; " + theirs, sent(quiet), quiet.Name + "=" + value,
		strings.Repeat(prefix+"1y=x; ", 20), ";;=; =x", "\"" + theirs + "\"",
	} {
		f.Add(header, "1own")
		f.Add(header, "")
	}
	f.Fuzz(func(t *testing.T, header, state string) {
		if strings.Count(header, ";") > 1000 {
			return // of so many net/http reads none
		}
		r := browser(header)
		if got, err := all.Find(r, state); err != authflow.ErrNoTransaction || got != nil {
			t.Fatalf("%q: got %+v, %v for state %q; want ErrNoTransaction", header, got, err, state)
		}
		if all.IsQuiet(r) {
			t.Errorf("%q: got a silent sign-in that has failed", header)
		}
		before := r.Cookies()
		_, deleted := kept(all, r, own)
		for _, name := range deleted {
			known := slices.ContainsFunc(before, func(s *http.Cookie) bool { return s.Name == name })
			if !strings.HasPrefix(name, prefix) || !known {
				t.Errorf("%q: got %q cleared away; want cookies of transactions that were sent", header, name)
			}
		}

		for _, r := range []*http.Request{browser(header, pair(all, own)), browser(pair(all, own), header)} {
			repeated := len(r.CookiesNamed(prefix+"1own")) != 1
			got, err := all.Find(r, "1own")
			if (err != nil) != repeated || err == nil && !reflect.DeepEqual(got, own) {
				t.Errorf("%q: got %+v, %v beside one's own; want it, unless its name comes twice (%t)", header, got, err, repeated)
			}
		}
	})
}
