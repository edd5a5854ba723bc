package acceptance_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// If a store or shared state fails, no user is let in or signed out.
func TestBrokenState(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	for what, code := range map[string]signin.Code{"store new": signin.ErrStoreUnavailable, "shared get": signin.ErrSharedUnavailable} {
		t.Run("5.9 a request is neither let in nor signed out: "+what, func(t *testing.T) {
			t.Parallel()
			a, _, fail := fragile(t)
			b := a.signedIn(alice)
			before := a.insideCalls()
			fail(what)
			b.get("/").untouched(t, http.StatusServiceUnavailable, code)
			b.get("/account").untouched(t, http.StatusServiceUnavailable, code)
			problem := b.get("/account", "Accept: application/json")
			problem.untouched(t, http.StatusServiceUnavailable, code)
			if got := problem.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("a program: got %s; want a problem document", got)
			}
			if n := strings.Count(a.log.String(), "code="+string(code)); n != 3 || a.insideCalls() != before {
				t.Errorf("got %d log records and %d calls of the guarded handler; want 3 and none", n, a.insideCalls()-before)
			}
			fail("")
			wantSignedIn(t, a.handler(), b.session(), alice)
		})
	}
	t.Run("5.9 shared state that returns too few values counts as down", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		b := a.signedIn(alice)
		knock(a.again(func(c *signin.Config) { c.Shared = forgetful{} }), "/account", b.session()).want(t, http.StatusServiceUnavailable, "")
		b.get("/account").want(t, http.StatusOK, "")
	})
	t.Run("5.9 a sign-in that could not be completed does not begin", func(t *testing.T) {
		t.Parallel()
		a, _, fail := fragile(t)
		b := a.signedIn(bob)
		fail("shared get")
		asked := a.provider.Stats().Authorizations
		b.get("/sign-in").untouched(t, http.StatusServiceUnavailable, signin.ErrSharedUnavailable)
		if n := a.provider.Stats().Authorizations - asked; n != 0 {
			t.Errorf("the provider was asked %d times; want never", n)
		}
		fail("")
		wantSignedIn(t, a.handler(), b.session(), bob)
	})
	for _, what := range []string{"store new", "store save", "shared get", "shared add", "shared set"} {
		t.Run("5.9 the sign-in fails, and the earlier user stays signed in: "+what, func(t *testing.T) {
			t.Parallel()
			a, _, fail := fragile(t)
			b := a.signedIn(bob)
			old := b.session()
			got := b.signInWhile(alice, func() { fail(what) })
			got.want(t, http.StatusServiceUnavailable, "")
			for _, c := range setCookies(t, got, false) {
				if c != "signin.tx.* cleared" {
					t.Errorf("callback: got cookie %q; want only the transaction's, cleared", c)
				}
			}
			if kinds := a.kinds(); !slices.Equal(kinds, []signin.EventKind{signin.EventSignedIn, signin.EventSignInFailed}) {
				t.Errorf("events: got %q; want Bob signed in, Alice's callback failed", kinds)
			}
			fail("")
			if b.session() != old {
				t.Error("cookie: got another; want Bob's")
			}
			wantSignedIn(t, a.handler(), b.session(), bob)
		})
	}
	t.Run("5.9 a code is not redeemed again if its use could not be written", func(t *testing.T) {
		t.Parallel()
		a, _, fail := fragile(t)
		b := a.browser()
		back := b.responded()
		second := b.copyOf()
		fail("shared set")
		b.get(back).want(t, http.StatusServiceUnavailable, "")
		fail("")
		ctx, leave := context.WithCancel(t.Context())
		leave() // otherwise the request would wait for the outcome of the first one
		r := a.request(http.MethodGet, strings.TrimPrefix(back, a.server.URL), "Cookie: "+second.cookies()).WithContext(ctx)
		a.handler().ServeHTTP(httptest.NewRecorder(), r)
		if n := a.provider.Stats().Exchanges; n != 1 {
			t.Errorf("got %d exchanges; want 1", n)
		}
	})
	t.Run("5.9 if the last use cannot be written, the user stays signed in", func(t *testing.T) {
		t.Parallel()
		a, clock, fail := fragile(t)
		b := a.signedIn(alice)
		clock.add(6 * time.Hour)
		fail("store save")
		b.get("/account").untouched(t, http.StatusServiceUnavailable, signin.ErrStoreUnavailable)
		fail("")
		wantSignedIn(t, a.handler(), b.session(), alice)
	})
	key := []byte(strings.Repeat("k", 32))
	for name, value := range map[string]string{
		"not base64":        "%%%",
		"another key's":     signedBy([]byte(strings.Repeat("o", 32))),
		"a missing session": signedBy(key), // of a FilesystemStore, whose file is gone
		"5,000 bytes":       strings.Repeat("x", 5000),
		"nothing":           "",
	} {
		for store, config := range everyStore() {
			t.Run("5.9 a forged cookie is not an error of the store: "+name+", "+store, func(t *testing.T) {
				t.Parallel()
				a := newApp(t, with{config: config(t.TempDir())})
				a.wantSignedOut(t, a.handler(), "signin="+value)
				b := a.browser()
				b.plant(&http.Cookie{Name: "signin", Value: value, Path: "/"})
				b.signInAs(alice).want(t, http.StatusSeeOther, "/")
				wantSignedIn(t, a.handler(), b.session(), alice)
				if out := signOutWith(a.handler(), "signin="+value); out.StatusCode != http.StatusSeeOther {
					t.Errorf("sign-out with it: got %d; want 303", out.StatusCode)
				}
			})
		}
	}
}

// signedBy returns a cookie of a FilesystemStore with this key, for a session
// that has no file.
func signedBy(key []byte) string {
	value, err := sessions.NewFilesystemStore("", key).Codecs[0].Encode("signin", strings.Repeat("A", 52))
	if err != nil {
		panic(err)
	}
	return value
}
