package acceptance_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	for name, store := range everyStore() {
		for who, next := range map[string]signintest.User{
			"another person signs in with the same browser":      bob,
			"the ID changes when the same person signs in again": alice,
		} {
			t.Run("5.1 "+who+", sessions in "+name, func(t *testing.T) {
				t.Parallel()
				a := newApp(t, with{config: store(t.TempDir())})
				b := a.signedIn(alice)
				old := b.session()
				b.signInAs(next).want(t, http.StatusSeeOther, "/")
				if name == "cookies" { // other stores have deleted the old session, or report it as replaced
					wantCookies(t, "the old cookie", knock(a.handler(), "/", old), false)
					if got := a.reasons(signin.EventSessionEnded); !slices.Equal(got, []string{"replaced"}) {
						t.Errorf("events: got sessions ended for %q; want replaced, once", got)
					}
				}
				a.wantSignedOut(t, a.handler(), old)
				wantSignedIn(t, a.handler(), b.session(), next)
			})
		}
		t.Run("5.1 a planted cookie of the attacker's own session shows nothing of the victim's, sessions in "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: store(t.TempDir())})
			attacker := a.signedIn(bob)
			victim := attacker.copyOf()
			victim.signInAs(alice)
			wantSignedIn(t, a.handler(), victim.session(), alice)
			a.wantSignedOut(t, a.handler(), attacker.session())
		})
		t.Run("5.10 a whole session in "+name, func(t *testing.T) {
			t.Parallel()
			wholeSession(t, store(t.TempDir()))
		})
	}
	for name, secure := range map[string]bool{"https": true, "loopback http": false} {
		t.Run("5.2 every attribute of every cookie, on "+name, func(t *testing.T) {
			t.Parallel()
			cookieAttributes(t, secure)
		})
	}
	t.Run("5.3 another key, name, issuer or client opens nothing", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		cookies := a.signedIn(alice).session()
		wantSignedIn(t, a.again(func(*signin.Config) {}), cookies, alice)
		a.wantSignedOut(t, a.again(func(c *signin.Config) { c.Keys = [][]byte{make([]byte, 32)} }), cookies)
		a.wantSignedOut(t, a.again(func(c *signin.Config) { c.CookieName = "other" }), strings.Replace(cookies, "signin=", "other=", 1))
		a.wantSignedOut(t, a.again(func(c *signin.Config) { c.LogtoEndpoint += "0" }), cookies)
		a.wantSignedOut(t, a.again(func(c *signin.Config) { c.ClientID += "0" }), cookies)
	})
	t.Run("5.4 keys rotate in two deployments, and a removed one does not open", keysRotate)
	t.Run("5.5 a session that shrinks at a refresh or a new sign-in deletes its second cookie", func(t *testing.T) {
		t.Parallel()
		a, clock := stoppedApp(t, with{})
		b := a.signedIn(large(alice, twoEach))
		if b.cookie("signin.2") == "" {
			t.Fatal("before: got one cookie; want two")
		}
		a.provider.SetUser(alice)
		clock.add(time.Hour)
		wantCookies(t, "refreshed", b.get("/"), false, "signin 86400", "signin.2 cleared")
		wantSignedIn(t, a.handler(), b.session(), alice)
		b.signInAs(large(bob, twoEach))
		wantCookies(t, "signed in", b.signInAs(alice), false, "signin 86400", "signin.2 cleared", "signin.tx.* cleared")
		wantSignedIn(t, a.handler(), b.session(), alice)
	})
	t.Run("5.6 a Cookie header of 1 MB", func(t *testing.T) { // internal/cookie tests that the work is bounded
		t.Parallel()
		a := newApp(t, with{})
		own := a.signedIn(alice).session()
		a.wantSignedOut(t, a.handler(), "signin="+strings.Repeat("A", 1<<20))
		a.wantSignedOut(t, a.handler(), strings.Repeat("signin=x; ", 1<<20/10)+own)
	})
	t.Run("5.11 two Auths on one host with the same keys", twoAuths)
}

// wholeSession tests a session from its sign-in to its sign-out.
func wholeSession(t *testing.T, store func(*signin.Config)) {
	alice := signintest.Alice()
	a, clock := stoppedApp(t, with{config: store})
	b := a.browser()
	wantCookies(t, "signed in", b.signInAs(alice), false, "signin 86400", "signin.tx.* cleared")
	wantSignedIn(t, a.handler(), b.session(), alice)
	clock.add(time.Hour)
	wantCookies(t, "refreshed", b.get("/account"), false, "signin 86400")
	wantSignedIn(t, a.handler(), b.session(), alice)
	copied := b.session()
	out := b.do(http.MethodPost, "/sign-out")
	out.want(t, http.StatusSeeOther, a.provider.URL)
	wantCookies(t, "signed out", out, false, "signin cleared")
	a.wantSignedOut(t, a.handler(), b.session())
	a.wantSignedOut(t, a.handler(), copied)
}

// cookieAttributes checks each Set-Cookie of a session's whole life.
func cookieAttributes(t *testing.T, secure bool) {
	a, clock := stoppedApp(t, with{tls: secure, provider: []signintest.Option{signintest.WithAccessTokenLifetime(10 * time.Hour)}})
	p := map[bool]string{true: "__Host-", false: ""}[secure]
	b := a.browser()
	started := b.get("/sign-in")
	started.want(t, http.StatusSeeOther, a.provider.URL)
	wantCookies(t, "sign-in started", started, secure, p+"signin.tx.* 7200")
	for range 4 {
		b.get("/sign-in")
	}
	wantCookies(t, "sixth sign-in started", b.get("/sign-in"), secure, p+"signin.tx.* 7200", p+"signin.tx.* cleared")
	wantCookies(t, "callback", b.signInAs(large(signintest.Alice(), twoEach)), secure,
		p+"signin 86400", p+"signin.2 86400", p+"signin.tx.* cleared")
	wantCookies(t, "next request", b.get("/account"), secure)
	clock.add(6 * time.Hour)
	wantCookies(t, "last use written", b.get("/account"), secure, p+"signin 86400", p+"signin.2 86400")
	clock.add(4 * time.Hour)
	wantCookies(t, "refreshed", b.get("/account"), secure, p+"signin 86400", p+"signin.2 86400")
	copied := b.copyOf()
	wantCookies(t, "signed out", b.do(http.MethodPost, "/sign-out"), secure, p+"signin cleared", p+"signin.2 cleared")
	wantCookies(t, "a copy, whose session has ended", copied.get("/"), secure)
}

func keysRotate(t *testing.T) {
	t.Parallel()
	first, second := []byte(strings.Repeat("1", 32)), []byte(strings.Repeat("2", 32))
	alice := signintest.Alice()
	a, clock := stoppedApp(t, with{
		provider: []signintest.Option{signintest.WithAccessTokenLifetime(month)},
		config:   func(c *signin.Config) { c.Keys = [][]byte{first} },
	})
	keys := func(keys ...[]byte) http.Handler { return a.again(func(c *signin.Config) { c.Keys = keys }) }
	old := a.signedIn(alice).session()
	wantSignedIn(t, keys(first, second), old, alice)
	wantSignedIn(t, keys(second, first), old, alice)
	a.wantSignedOut(t, keys(second), old)

	clock.add(6 * time.Hour) // the next request writes the session again
	written := func(h http.Handler) string {
		for _, c := range knock(h, "/", old).Cookies() {
			if c.Name == "signin" {
				return c.Name + "=" + c.Value
			}
		}
		t.Fatal("got no cookie; want the session written again")
		return ""
	}
	// The last key only opens. Replicas that do not have it yet must be able to open
	// what replicas that have it seal.
	wantSignedIn(t, keys(first), written(keys(first, second)), alice)
	renewed := written(keys(second, first))
	wantSignedIn(t, keys(second), renewed, alice)
	a.wantSignedOut(t, keys(first), renewed)
}

// twoAuths tests a shop that has an Auth for staff and one for customers, with one
// provider, one client, the same keys, and two cookie names.
func twoAuths(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	a := newApp(t, with{config: func(c *signin.Config) { c.CookieName = "customers" }})
	cfg := a.cfg
	cfg.CookieName, cfg.Paths.SignIn, cfg.Paths.Callback, cfg.Paths.SignOut = "staff", "/staff/in", "/staff/callback", "/staff/out"
	staff := newAuth(t, cfg)
	a.provider.RegisterRedirectURIs(a.server.URL + "/staff/callback")
	customers, page := a.auth, http.HandlerFunc(a.account)
	a.mount("/staff/in", staff.SignIn())
	a.mount("/staff/callback", staff.Callback())
	ours, theirs := a.signedIn(alice), a.browser()
	a.provider.Visit(t, theirs.follow(), a.server.URL+"/staff/in", bob)
	customer, worker := ours.session(), "staff="+theirs.cookie("staff")

	for name, row := range map[string]struct {
		h       http.Handler
		cookies string
		want    string // the page, or where the browser is sent
	}{
		"a customer behind customers, then staff":         {customers.Load(staff.RequireAuth(page)), customer, "/staff/in"},
		"a customer behind staff's guard, then customers": {staff.RequireAuth(customers.Load(page)), customer, "/staff/in"},
		"a worker behind a guard, then customers'":        {staff.RequireAuth(customers.RequireAuth(page)), worker, "/sign-in"},
		"both, and the innermost decides: customers":      {staff.RequireAuth(customers.RequireAuth(page)), customer + "; " + worker, alice.Subject},
		"both, and the innermost decides: staff":          {customers.RequireAuth(staff.RequireAuth(page)), customer + "; " + worker, bob.Subject},
		"a customer inside Load of staff":                 {customers.RequireAuth(staff.Load(page)), customer, notSignedIn},
		"a customer's cookie renamed":                     {staff.RequireAuth(page), strings.Replace(customer, "customers=", "staff=", 1), "/staff/in"},
	} {
		t.Run("5.11 "+name, func(t *testing.T) {
			before := a.insideCalls()
			got := knock(row.h, "/account", row.cookies)
			if !strings.HasPrefix(row.want, "/") {
				shows(t, name, got, row.want)
				return
			}
			got.want(t, http.StatusSeeOther, row.want)
			if a.insideCalls() != before {
				t.Error("guarded handler: got a call; want none")
			}
		})
	}
	t.Run("5.11 a transaction of one Auth is refused by the other", func(t *testing.T) {
		tx := ours.get("/sign-in").Cookies()[0]
		state := strings.TrimPrefix(tx.Name, "customers.tx.")
		renamed := worker + "; staff.tx." + state + "=" + tx.Value
		got := knock(staff.Callback(), "/staff/callback?code=x&state="+state, renamed)
		got.want(t, http.StatusBadRequest, "")
		wantCookies(t, "callback", got, false)
		if n := a.provider.Stats().Exchanges; n != 2 {
			t.Errorf("token requests: got %d; want the two of the sign-ins", n)
		}
		shows(t, "the session", knock(staff.RequireAuth(page), "/account", worker), bob.Subject)
	})
}
