package redisstore_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/signintest"
)

// startNodeWithUser starts a redis-server that has the documented user, and
// keeps on disk what it is told.
func startNodeWithUser(t *testing.T) *node {
	t.Helper()
	n := startNode(t, "--appendonly", "yes", "--appendfsync", "always")
	n.do(aclUser(t)...)
	return n
}

// restartWithUser starts it again: users are not kept.
func (n *node) restartWithUser() {
	n.t.Helper()
	n.restart()
	n.do(aclUser(n.t)...)
}

// CASES 2.4, 4.1, 5.1, 5.8, over two replicas.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.do(aclUser(t)...)
	for kind, storeToo := range kinds {
		for name, check := range map[string]func(*testing.T, *application){
			"5.8 signed out at one, a copy of the cookie is dead at the other":                       signedOutAtOne,
			"5.8 a logout token that one receives is known to the other":                             loggedOutAtOne,
			"5.1 who planted a cookie of their own reads nothing with it after the victim's sign-in": plantedCookie,
			"any of them may answer each request of a sign-in":                                       signInAnywhere,
			"2.4 a callback that comes ten times, to both, signs in once":                            callbackOften,
			"4.1 fifty requests at expiry refresh once, and the sign-out of an old cookie ends all":  refreshedOnce,
		} {
			t.Run(kind+": "+name, func(t *testing.T) {
				t.Parallel()
				check(t, newApplication(t, n, storeToo, signintest.WithRefreshRotation()))
			})
		}
	}
}

func signedOutAtOne(t *testing.T, a *application) {
	b := a.browser().at(0)
	b.signIn()
	b.wantAlice()
	copied, elsewhere := b.copyOf(), a.signedIn()
	got := b.at(0).post("/sign-out", nil)
	if got.StatusCode != http.StatusSeeOther || b.session() != "" {
		t.Errorf("sign-out: got %s, cookie %q; want a redirect and no cookie", got.Status, b.session())
	}
	if got := copied.copyOf().at(1).get("/account"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("a copy, at once: got %s, %q; want a sign-in", got.Status, got.body)
	}
	copied.wantNobody()
	elsewhere.wantAlice()
	b.at(1).signIn()
	b.wantAlice()
	copied.wantNobody()
}

func loggedOutAtOne(t *testing.T, a *application) {
	b := a.browser().at(0)
	b.signIn()
	b.wantAlice()
	a.turn.Store(1)
	if got := a.logout(); got.StatusCode != http.StatusOK {
		t.Fatalf("logout token: got %s, %q; want 200", got.Status, got.body)
	}
	b.wantNobody()
	a.ahead.Add(int64(time.Second))
	b.at(1).signIn()
	b.wantAlice()
}

func plantedCookie(t *testing.T, a *application) {
	attacker := a.signedIn()
	victim := attacker.copyOf()
	victim.at(1).signInAs(signintest.Bob())
	if victim.session() == attacker.session() {
		t.Error("cookie: got the planted one; want a new one")
	}
	if got := victim.get("/account"); got.body != signintest.Bob().Subject {
		t.Errorf("the victim: got %s, %q; want their account", got.Status, got.body)
	}
	attacker.wantNobody()
}

func signInAnywhere(_ *testing.T, a *application) {
	for range 3 {
		b := a.browser().at(anybody)
		b.signIn()
		b.wantAlice()
	}
}

func callbackOften(t *testing.T, a *application) {
	b := a.browser().at(anybody)
	callback := b.holdAtCallback()
	together(slices.Repeat([]func(){func() {
		if got := b.get(callback); got.StatusCode != http.StatusSeeOther {
			t.Errorf("callback: got %s, %q; want a redirect", got.Status, got.body)
		}
	}}, 10)...)
	if n := a.provider.Stats().Exchanges; n != 1 {
		t.Errorf("got %d codes exchanged; want one", n)
	}
	b.wantAlice()
}

func refreshedOnce(t *testing.T, a *application) {
	b := a.signedIn().at(anybody)
	a.ahead.Add(int64(time.Hour))
	old := b.copyOf()
	together(slices.Repeat([]func(){func() {
		if got := b.copyOf().get("/account"); got.StatusCode != http.StatusOK {
			t.Errorf("got %s, %q; want the account", got.Status, got.body)
		}
	}}, 50)...)
	if s := a.provider.Stats(); s.Refreshes != 1 || s.MostRefreshesAtOnce != 1 || s.RevokedForReuse != 0 {
		t.Errorf("got %+v; want one refresh", s)
	}
	old.wantAlice()
	old.at(1).post("/sign-out", nil)
	b.wantNobody()
}

// CASES 5.9: with Redis gone nobody is let in, and nobody is signed out. Back
// again, it knows what it knew.
func TestAnApplicationWithoutItsRedis(t *testing.T) {
	t.Parallel()
	for kind, storeToo := range kinds {
		for how, stop := range map[string]struct{ stop, start func(*node) }{
			"killed":  {(*node).kill, (*node).restartWithUser},
			"hanging": {(*node).pause, (*node).resume},
		} {
			t.Run(kind+", Redis "+how, func(t *testing.T) {
				t.Parallel()
				n := startNodeWithUser(t)
				o := beforeOutage(newApplication(t, n, storeToo))
				stop.stop(n)
				for i := impatient; i < len(o.replicas); i++ {
					o.turn.Store(int32(i))
					o.during(t, o.replicas[i])
				}
				o.signOutDuring(t)
				if calls := o.inside() - o.calls; calls != 0 {
					t.Errorf("the protected handler: got %d calls; want none", calls)
				}
				stop.start(n)
				o.after(t, how == "killed")
			})
		}
	}
}

// outage is an application whose Redis goes away, and three people: one who is
// signed in, one who is and wants to leave, one in the middle of a sign-in.
type outage struct {
	*application
	alice, leaver, newcomer *browser
	copied                  *browser // has the leaver's cookies
	callback                string   // where the newcomer goes next
	calls                   int32    // of the protected handler
}

func beforeOutage(a *application) *outage {
	o := &outage{application: a, alice: a.signedIn(), leaver: a.signedIn(), newcomer: a.browser()}
	o.alice.wantAlice()
	o.leaver.wantAlice()
	o.copied, o.callback = o.leaver.copyOf(), o.newcomer.holdAtCallback()
	o.calls = a.inside()
	return o
}

// during asks one replica for everything at once.
func (o *outage) during(t *testing.T, r *replica) {
	together(
		func() { o.alice.get("/account").wantBroken(t, "/account", 1).wantNoCookies(t, "/account") },
		func() { o.alice.get("/").wantBroken(t, "/", 1).wantNoCookies(t, "/") },
		func() { o.newcomer.get(o.callback).wantBroken(t, "callback", 1).wantNoCookies(t, "callback") },
		func() { o.logout().wantBroken(t, "logout token", 1).wantNoCookies(t, "logout token") },
		func() { o.browser().get("/sign-in").wantBroken(t, "/sign-in", 1).wantNoCookies(t, "/sign-in") },
		func() {
			if err := r.auth.Diagnose(t.Context()); err == nil || !strings.Contains(err.Error(), "shared state") {
				t.Errorf("Diagnose: got error %v; want one about shared state", err)
			}
		},
	)
}

// signOutDuring is the one request that changes something: it clears this
// browser's cookie in any case, and says that it has done no more.
func (o *outage) signOutDuring(t *testing.T) {
	out := o.leaver.post("/sign-out", nil)
	out.wantBroken(t, "sign-out", 2)
	if o.leaver.session() != "" || !strings.Contains(out.body, "signed out in this browser only") {
		t.Errorf("sign-out: got cookie %q, page %q; want none, and a page that says what that means", o.leaver.session(), out.body)
	}
}

// after is when Redis is back, with all that it had.
func (o *outage) after(t *testing.T, killed bool) {
	eventually(t, patience, "the impatient work again", func() bool {
		return o.alice.at(impatient).get("/account").StatusCode == http.StatusOK
	})
	o.alice.wantAlice()
	o.leaver.wantNobody()
	if err := o.replicas[0].auth.Diagnose(t.Context()); err != nil {
		t.Errorf("Diagnose: got error %v; want none", err)
	}
	if got := o.newcomer.get(o.callback); got.StatusCode != http.StatusSeeOther {
		t.Errorf("callback, sent again: got %s, %q; want it to go on", got.Status, got.body)
	}
	if killed {
		o.copied.wantAlice() // which is what the page has said
	} else {
		// What was sent to a server that hangs it may do yet, so the sign-out may
		// be known, and the callback used.
		o.newcomer.signIn()
	}
	o.newcomer.wantAlice()
	if got := o.logout(); got.StatusCode != http.StatusOK {
		t.Errorf("logout token, sent again: got %s; want 200", got.Status)
	}
	o.alice.wantNobody()
}

// wantBroken checks for a page that says that something is broken, after so many
// operations on Redis that have timed out.
func (a answer) wantBroken(t *testing.T, what string, operations int) answer {
	t.Helper()
	if a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.body, "<title>") {
		t.Errorf("%s: got %s, %q; want 503 and a page", what, a.Status, a.body)
	}
	if limit := time.Duration(operations)*opTimeout + margin; a.took > limit {
		t.Errorf("%s: got an answer after %v; want one within %v", what, a.took, limit)
	}
	return a
}

func (a answer) wantNoCookies(t *testing.T, what string) {
	t.Helper()
	if got := a.Header["Set-Cookie"]; got != nil {
		t.Errorf("%s: got cookies %q; want none", what, got)
	}
}

// A Redis that has lost everything has lost the sessions that were on it, and
// those in cookies live on. Neither is an error.
func TestARedisThatComesBackEmpty(t *testing.T) {
	t.Parallel()
	for name, storeToo := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNodeWithUser(t)
			a := newApplication(t, n, storeToo)
			b := a.signedIn()
			b.wantAlice()
			n.do("FLUSHALL")
			n.kill()
			n.restartWithUser()
			if got := n.keys(); len(got) != 0 {
				t.Fatalf("keys: got %q; want none", got)
			}
			if storeToo {
				b.wantNobody()
				b.signIn()
			}
			b.wantAlice()
			if log := a.log.String(); strings.Contains(log, "level=ERROR") {
				t.Errorf("log: got %s; want no error", log)
			}
		})
	}
}

// CASES 5.12.
func TestNoTokenIsInRedis(t *testing.T) {
	t.Parallel()
	for name, storeToo := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNodeWithUser(t)
			a := newApplication(t, n, storeToo, signintest.WithRefreshRotation())
			b, other := a.signedIn(), a.signedIn()
			a.ahead.Add(int64(time.Hour))
			b.wantAlice() // refreshed, so there is a successor
			other.at(1).post("/sign-out", nil)
			a.logout()
			c := a.browser()
			a.ahead.Add(int64(time.Second))
			c.signIn()
			all := n.everywhere()
			var letters []string
			for key := range all {
				letters = append(letters, key[:min(len(key), len("signin:x"))])
			}
			for _, want := range []string{"signin:e", "signin:n", "signin:u", "signin:j"} {
				if !slices.Contains(letters, want) {
					t.Errorf("keys: got %q; want one that begins with %s", letters, want)
				}
			}
			if storeToo != slices.Contains(letters, "signin:s") {
				t.Errorf("keys: got %q; want sessions among them: %t", letters, storeToo)
			}
			secrets := secretsOf(a, b, c)
			if len(secrets) < 15 {
				t.Fatalf("got %d secrets; want those of two sign-ins and a refresh", len(secrets))
			}
			for key, value := range all {
				for _, what := range []string{key, value} {
					if found := findSecret(what, secrets); found != "" {
						t.Errorf("%s: got %q in it; want none of the secrets", key, found)
					}
				}
			}
		})
	}
}
