package signintest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// What the doc of each fault says comes of it.
func TestOutcomesOfFaults(t *testing.T) {
	t.Parallel()
	merging := func(cfg signin.Config) (http.Handler, error) {
		cfg.MergeUserInfo = true
		return newHandler(cfg)
	}
	type visit struct {
		path   string
		status int
	}
	const teapot = http.StatusTeapot // the handler's function has returned an error
	for name, row := range map[string]struct {
		fault   signintest.Fault
		app     func(signin.Config) (http.Handler, error)
		before  bool          // injected before the sign-in
		later   time.Duration // after the sign-in, and the fault
		visits  []visit
		signIns int // more, tried by guards
	}{
		"SignInDeclined":                    {fault: signintest.SignInDeclined, before: true, visits: []visit{{"/account", 403}}},
		"IDTokenForged":                     {fault: signintest.IDTokenForged, before: true, visits: []visit{{"/account", 502}}},
		"IDTokenReplayed":                   {fault: signintest.IDTokenReplayed, before: true, visits: []visit{{"/account", 502}}},
		"StepUpIgnored":                     {fault: signintest.StepUpIgnored, later: 30 * time.Minute, visits: []visit{{"/delete", 403}, {"/account", 200}}, signIns: 1},
		"ClientSecretWrong":                 {fault: signintest.ClientSecretWrong, before: true, visits: []visit{{"/account", 502}}},
		"ClientSecretWrong, at a refresh":   {fault: signintest.ClientSecretWrong, later: 2 * time.Hour, visits: []visit{{"/account", 200}, {"/token", teapot}}},
		"TokensUnavailable":                 {fault: signintest.TokensUnavailable, before: true, visits: []visit{{"/account", 503}}},
		"TokensUnavailable, at a refresh":   {fault: signintest.TokensUnavailable, later: 2 * time.Hour, visits: []visit{{"/account", 200}, {"/token", teapot}}},
		"RefreshTokenRevoked":               {fault: signintest.RefreshTokenRevoked, before: true, visits: []visit{{"/account", 400}}},
		"RefreshTokenRevoked, at a refresh": {fault: signintest.RefreshTokenRevoked, later: 2 * time.Hour, visits: []visit{{"/account", 400}}, signIns: 1},
		"NoRefreshToken":                    {fault: signintest.NoRefreshToken, before: true, visits: []visit{{"/account", 200}, {"/token", 200}}},
		"NoRefreshToken, later":             {fault: signintest.NoRefreshToken, before: true, later: 2 * time.Hour, visits: []visit{{"/account", 200}, {"/token", teapot}}},
		"UserInfoOfAnother":                 {fault: signintest.UserInfoOfAnother, visits: []visit{{"/account", 200}, {"/userinfo", teapot}}},
		"UserInfoOfAnother, merged":         {fault: signintest.UserInfoOfAnother, before: true, app: merging, visits: []visit{{"/account", 502}}},
		"AccessTokenExpired":                {fault: signintest.AccessTokenExpired, visits: []visit{{"/api", 401}, {"/account", 200}}},
		"nothing":                           {later: 2 * time.Hour, visits: []visit{{"/account", 200}, {"/token", 200}, {"/userinfo", 200}, {"/api", 200}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			if row.app == nil {
				row.app = newHandler
			}
			app := signintest.Start(t, row.app, signintest.WithNow(clock.Now))
			browser := app.Browser(signintest.Alice())
			if row.fault != "" && row.before {
				app.Provider.Inject(row.fault)
			}
			if !row.before || row.later > 0 {
				get(t, browser, app.URL+"/account")
			}
			signIns := app.Provider.Stats().Authorizations
			clock.Advance(row.later)
			if row.fault != "" && !row.before {
				app.Provider.Inject(row.fault)
			}
			for _, v := range row.visits {
				r, err := http.NewRequest(http.MethodGet, app.URL+v.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if v.path == "/api" {
					r.Header = http.Header{"Accept": {"*/*"}, "Authorization": {"Bearer " + app.Provider.AccessToken("alice", api)}}
				}
				resp, err := browser.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != v.status {
					t.Errorf("%s: got %s at %s; want %d", v.path, resp.Status, resp.Request.URL.Path, v.status)
				}
			}
			if got := app.Provider.Stats().Authorizations - signIns; !row.before && got != row.signIns {
				t.Errorf("got %d sign-ins tried; want %d", got, row.signIns)
			}
		})
	}
}
