package acceptance_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/signintest"
)

// Shared state in memory is bounded, and anybody may fill it. When it is full
// some things cannot be done; nothing that was done comes undone.
func TestAFloodOfSharedStateUndoesNoSignOut(t *testing.T) {
	t.Parallel()
	var full *sharedstate.Memory
	a, clock := stoppedApp(t, with{provider: []signintest.Option{signintest.WithRefreshRotation()}, config: func(c *signin.Config) {
		full = sharedstate.NewMemory(c.Now, sharedstate.Limits{Entries: 400, Bytes: 1 << 30})
		c.Shared = full
	}})
	flood := func(class string) {
		t.Helper()
		for i := range 1000 {
			if full.Set(t.Context(), fmt.Sprintf("%s.%024d", class, i), nil, time.Minute) != nil {
				return
			}
		}
		t.Fatalf("%s: got 1000 entries in; want it full", class)
	}
	alice, bob, x := signintest.Alice(), signintest.Bob(), signintest.XUser()
	hers, his, theirs, others := a.signedIn(alice), a.signedIn(bob), a.signedIn(x), a.signedIn(x)
	over := []string{hers.session(), his.session()}
	hers.leave(http.MethodPost, "").want(t, http.StatusSeeOther, a.provider.URL)
	a.notify(a.provider.LogoutToken(bob.Subject, "")).want(t, http.StatusOK, "")
	before := theirs.session()
	clock.add(time.Hour)
	comes(t, a.handler(), before, x) // refreshed, and the new cookie never arrives
	a.used(t, 1)
	holds := func(when string) {
		t.Helper()
		for _, cookies := range over {
			a.nobodyComes(t, a.handler(), cookies)
		}
		comes(t, a.handler(), before, x)
		if s := a.provider.Stats(); s.Refreshes != 1 || s.RevokedForReuse != 0 {
			t.Errorf("%s: got %d refreshes, %d grants revoked for reuse; want the successor still known", when, s.Refreshes, s.RevokedForReuse)
		}
	}

	flood("u") // as many sign-ins as there is room for
	holds("full of sign-ins")
	visitor := a.browser()
	got := visitor.signInAs(bob)
	got.want(t, http.StatusServiceUnavailable, "")
	if kinds := a.kinds(); slices.Index(kinds[4:], signin.EventSignedIn) >= 0 || visitor.cookie("signin") != "" {
		t.Errorf("a sign-in while it is full: got events %q; want no session", kinds)
	}
	over = append(over, others.session())
	others.leave(http.MethodPost, "").want(t, http.StatusSeeOther, a.provider.URL)
	holds("full of sign-ins, after a sign-out")

	flood("e") // and of sign-outs
	holds("full")
	copied := theirs.session()
	got = theirs.leave(http.MethodPost, "")
	got.want(t, http.StatusServiceUnavailable, "")
	wantCookies(t, "a sign-out that does not fit", got, false, "signin cleared")
	if !strings.Contains(got.body, "You are signed out in this browser only") {
		t.Errorf("a sign-out that does not fit: got %q; want a page that says so", got.body)
	}
	a.notify(a.provider.LogoutToken(x.Subject, "")).want(t, http.StatusServiceUnavailable, "")
	comes(t, a.handler(), copied, x) // as the page has said

	clock.add(time.Minute)
	a.notify(a.provider.LogoutToken(x.Subject, "")).want(t, http.StatusOK, "")
	a.nobodyComes(t, a.handler(), copied)
	for _, cookies := range over {
		a.nobodyComes(t, a.handler(), cookies)
	}
	visitor.signInAs(bob).want(t, http.StatusSeeOther, "/")
	comes(t, a.handler(), visitor.session(), bob)
}
