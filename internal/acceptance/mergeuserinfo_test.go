package acceptance_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// infoOf merges userinfo, of which edit changes what the provider says.
func infoOf(edit func(map[string]any), scopes ...string) with {
	return with{config: func(c *signin.Config) {
		c.MergeUserInfo, c.Scopes = true, scopes
		c.HTTPClient = &http.Client{Transport: edited("/me", edit)}
	}}
}

func TestMergeUserInfo_IDTokenWins(t *testing.T) {
	t.Parallel()
	t.Run("names in other letters", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, infoOf(func(claims map[string]any) {
			delete(claims, "email")
			claims["Email"], claims["ACR"], claims["AUTH_TIME"], claims["\u017fid"] = "root@corp.test", "mfa", 1, "another"
		}, "email"))
		u := a.signedIn(signintest.Alice()).user()
		if u.Email != signintest.Alice().Email || u.ACR != "" || !u.AuthTime.IsZero() || u.ProviderSessionID == "another" {
			t.Errorf("got %+v; want the ID token's claims alone", u)
		}
	})
	t.Run("another address that is verified", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, infoOf(func(claims map[string]any) { claims["email"], claims["email_verified"] = "mallory@evil.test", true }))
		bob := signintest.Bob()
		bob.Claims = map[string]any{"email": "victim@corp.test"} // without a scope there is no email_verified beside it
		if u := a.signedIn(bob).user(); u.Email != "victim@corp.test" || u.EmailVerified {
			t.Errorf("got %q, verified %v; want the ID token's address, not verified", u.Email, u.EmailVerified)
		}
	})
	t.Run("userinfo of before a refresh", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, infoOf(func(claims map[string]any) { claims["plan"] = "gold" }))
		b, alice := a.signedIn(signintest.Alice()), signintest.Alice()
		alice.Claims = map[string]any{"plan": "none"} // the ID token has it now
		a.provider.SetUser(alice)
		a.provider.Inject(faults.UserInfo500)
		a.clock.add(time.Hour)
		if got := b.claims()["plan"]; got != "none" {
			t.Errorf("got plan %q; want the ID token's", got)
		}
	})
}

// At a refresh, userinfo that cannot be had ends no session; another person's
// does.
func TestMergeUserInfo_Refresh(t *testing.T) {
	t.Parallel()
	for fault, want := range map[signintest.Fault]string{
		faults.UserInfoContentType: signintest.Alice().Subject, faults.UserInfo401: signintest.Alice().Subject, faults.UserInfoSubjectWrong: notSignedIn,
	} {
		a := newApp(t, merging)
		b := a.signedIn(signintest.Alice())
		a.provider.Inject(fault)
		a.clock.add(time.Hour)
		if got := b.who(); got != want {
			t.Errorf("%s: got %q; want %q", fault, got, want)
		}
		if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); (n == 0) != (want == notSignedIn) {
			t.Errorf("%s: got %d refresh tokens alive; want the session's", fault, n)
		}
	}
}
