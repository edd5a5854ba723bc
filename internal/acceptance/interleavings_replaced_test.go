package acceptance_test

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// The provider gives all sign-ins of one of its sessions the same grant: whoever
// revokes what a refresh has received for the session that was replaced ends the
// new one, an hour later.
func TestASignInDuringARefreshKeepsItsGrant(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{})
	b := a.signedIn(signintest.Alice())
	clock.add(time.Hour)
	under, goOn := make(chan struct{}), make(chan struct{})
	a.provider.OnTokenRequest(func(form url.Values) {
		if form.Get("grant_type") == "refresh_token" {
			close(under)
			<-goOn
		}
	})
	old := b.session()
	var refreshing sync.WaitGroup
	refreshing.Go(func() { knock(a.handler(), "/account", old) })
	<-under
	b.signInAs(signintest.Alice()).want(t, http.StatusSeeOther, "/")
	close(goOn)
	refreshing.Wait()
	a.provider.OnTokenRequest(nil)
	if n := a.provider.Stats().Revocations; n != 0 {
		t.Errorf("revocations: got %d; want none, since the new session has the same grant", n)
	}
	clock.add(time.Hour)
	comes(t, a.handler(), b.session(), signintest.Alice())
	if slices.Contains(a.kinds(), signin.EventRefreshFailed) {
		t.Errorf("events: got %q; want no refresh that failed", a.kinds())
	}
}
