package pending_test

import (
	"encoding/base64"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/pending"
)

// FuzzFind gives the parser what only a key holder could seal. What it takes is an
// attempt that is under way, and one that is the same again once it is written.
func FuzzFind(f *testing.F) {
	r := ring(f, "transaction", "app")
	b := pending.NewBook(r, cookieName, func() time.Time { return start })
	for _, change := range []func(*pending.Attempt){
		func(*pending.Attempt) {},
		func(a *pending.Attempt) { a.ReturnTo, a.MaxAgeAsked, a.MaxAge = "/x", true, time.Hour },
		func(a *pending.Attempt) {
			a.Foreign, a.Silent, a.ACR, a.Subject = true, true, []string{"mfa", "hw"}, "alice"
		},
		func(a *pending.Attempt) { a.Began = start.Add(-pending.Lifetime) },
		func(a *pending.Attempt) { a.Began = start.Add(-pending.Lifetime - time.Second) },
		func(a *pending.Attempt) { a.Began = start.Add(time.Hour) },
	} {
		a := pending.New(start, false)
		change(a)
		sealed, err := base64.RawURLEncoding.DecodeString(b.Value(a))
		if err != nil {
			f.Fatal(err)
		}
		plain, err := r.Box(b.Name(a.State)).Open(nil, sealed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
		for i := range len(plain) {
			f.Add(plain[:i])
		}
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		name := b.Name("1x")
		value := base64.RawURLEncoding.EncodeToString(r.Box(name).Seal(nil, plain))
		got, err := b.Find(request(name+"="+value), "1x")
		if err != nil {
			if err != pending.ErrNone || got != nil {
				t.Fatalf("got %+v, %v; want ErrNone and nothing", got, err)
			}
			return
		}
		if age := start.Sub(got.Began); got.State != "1x" || age > pending.Lifetime || age < -time.Minute {
			t.Fatalf("got state %q, begun %v ago; want the cookie's, and one that is under way", got.State, age)
		}
		if got.MaxAge < 0 || got.MaxAge%time.Second != 0 {
			t.Fatalf("got max_age %v; want whole seconds", got.MaxAge)
		}
		again, err := b.Find(request(cookie(b, got)), "1x")
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("got %+v, %v; want %+v again", again, err, got)
		}
	})
}

// FuzzCookies gives a Cookie header to a browser that has one sign-in under way, or
// none. Nothing in it is taken for an attempt, it hides the one that is there only
// by repeating its name, and what is cleared away are cookies of attempts.
func FuzzCookies(f *testing.F) {
	b := pending.NewBook(ring(f, "transaction", "app"), cookieName, func() time.Time { return start })
	own := &pending.Attempt{State: "1own", Nonce: "n", Verifier: "v", Began: start, ACR: []string{}}
	others := pending.NewBook(ring(f, "transaction", "other"), cookieName, func() time.Time { return start })
	quiet, value := others.Quiet()
	for _, header := range []string{
		"", "a=b", cookieName + "=x", b.Name("1own") + "=", b.Name("1own") + "=AAAA; " + b.Name("1other") + "=!", cookieName + ".tx.=x",
		cookie(others, own), cookie(others, own) + "; " + cookie(others, own), quiet + "=" + value, quiet + "=" + others.Value(own),
		strings.Repeat(b.Name("1y")+"=x; ", 20), ";;=; =x", "\"" + cookie(others, own) + "\"",
	} {
		f.Add(header, "1own")
		f.Add(header, "")
	}
	f.Fuzz(func(t *testing.T, header, state string) {
		if strings.Count(header, ";") > 1000 {
			return // of so many net/http reads none
		}
		r := request(header)
		if got, err := b.Find(r, state); err != pending.ErrNone || got != nil {
			t.Fatalf("%q: got %+v, %v for state %q; want ErrNone", header, got, err, state)
		}
		if b.IsQuiet(r) {
			t.Errorf("%q: got a silent sign-in that has failed", header)
		}
		sent := r.Cookies()
		for _, name := range b.Crowded(r, own) {
			known := slices.ContainsFunc(sent, func(c *http.Cookie) bool { return c.Name == name })
			if !strings.HasPrefix(name, cookieName+".tx.") || !known {
				t.Errorf("%q: got %q cleared away; want cookies of attempts that were sent", header, name)
			}
		}

		for _, r := range []*http.Request{request(header, cookie(b, own)), request(cookie(b, own), header)} {
			repeated := len(r.CookiesNamed(b.Name("1own"))) != 1
			got, err := b.Find(r, "1own")
			if (err != nil) != repeated || err == nil && !reflect.DeepEqual(got, own) {
				t.Errorf("%q: got %+v, %v beside one's own; want it, unless its name comes twice (%t)", header, got, err, repeated)
			}
		}
	})
}
