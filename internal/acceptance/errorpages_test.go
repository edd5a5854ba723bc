package acceptance_test

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// Each code has its status and a page with a link that may help.
func TestErrorPages_StatusAndLink(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Paths.AfterSignIn, c.Paths.AfterSignOut = "/home", "/bye" }})
	b := a.signedIn(signintest.Alice())
	for link, statuses := range map[string]map[signin.Code]int{
		"/sign-in": {
			signin.ErrNotSignedIn: 401, signin.ErrStepUpRequired: 401, signin.ErrStepUpFailed: 403, signin.ErrBadCallback: 400,
			signin.ErrSignInExpired: 400, signin.ErrCookiesBlocked: 400, signin.ErrDeclined: 403,
		},
		"": { // the page itself
			signin.ErrProviderUnavailable: 503, signin.ErrProviderRejected: 502, signin.ErrStoreUnavailable: 503, signin.ErrSharedUnavailable: 503,
			signin.ErrCookieConflict: 400,
		},
		"/home": {
			signin.ErrForbidden: 403, signin.ErrNotMember: 403, signin.ErrMFARequired: 403, signin.ErrUnknownResource: 500, signin.ErrScopeMissing: 500,
		},
		"/bye": {
			signin.ErrBadRequest: 400, signin.ErrSessionTooLarge: 500, signin.ErrProviderMisconfigured: 502, signin.ErrSignOutIncomplete: 503,
			signin.ErrInvalidToken: 401, signin.ErrMethodNotAllowed: 405, signin.ErrInternal: 500,
		},
	} {
		for code, status := range statuses {
			path, cause := "/refused/"+string(code), errors.New("cause-of-"+string(code))
			a.mount(path, a.auth.Require(signin.RuleFunc(func(*http.Request, *signin.User) error {
				return &signin.Error{Code: code, Err: cause}
			}))(http.HandlerFunc(a.account)))
			got := b.get(path)
			got.want(t, status, "")
			if want := cmp.Or(link, path); got.action(t) != want {
				t.Errorf("%s: got %q; want a link to %s", code, got.body, want)
			}
			// Only what an operator has to know is logged.
			if logged := strings.Contains(a.log.String(), cause.Error()); logged != (status >= 500) {
				t.Errorf("%s: got logged %t; want %t", code, logged, status >= 500)
			}
			if strings.Contains(got.body, cause.Error()) || len(got.Header["Set-Cookie"]) > 0 || a.insideCalls() != 0 {
				t.Errorf("%s: got cookies %q, %q; want neither cookies nor the cause, and no handler called", code, got.Header["Set-Cookie"], got.body)
			}
			a.mu.Lock()
			last := a.events[len(a.events)-1]
			a.mu.Unlock()
			if status < 500 && (last.Kind != signin.EventRefused || !errors.Is(last.Err, cause) || !errors.Is(last.Err, code)) {
				t.Errorf("%s: got event %+v; want the refusal and its cause", code, last)
			}
		}
	}
	wantSignedIn(t, a.handler(), b.session(), signintest.Alice())
}
