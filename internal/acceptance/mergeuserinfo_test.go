package acceptance_test

import (
	"testing"
	"time"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// At a refresh, userinfo that cannot be fetched ends no session; that of
// another person does. Package tokens knows what is merged, and what never is.
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
