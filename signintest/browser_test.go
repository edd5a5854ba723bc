package signintest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gosignin/signin/signintest"
)

func TestSignIn_Stuck(t *testing.T) {
	t.Parallel()
	app := signintest.Start(t, newHandler)
	p := app.Provider
	serve := func(h http.HandlerFunc) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	loop := serve(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/sign-in", http.StatusFound) })
	nowhere := serve(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusFound) })
	down := serve(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "try\nlater", http.StatusServiceUnavailable)
	})
	p.SetUser(signintest.User{Subject: "gone"})
	p.Suspend("gone")
	p.Inject(signintest.SignInDeclined)
	for name, test := range map[string]struct {
		url, subject string
		want         string
	}{
		"the callback refuses":            {app.URL, "bob", "signing in bob got stuck: 403 Forbidden at " + app.URL + "/callback: "},
		"the steps":                       {app.URL, "bob", "POST " + p.URL + "/sign-in → 303\n\tGET " + app.URL + "/callback → 403"},
		"the application does not answer": {"http://127.0.0.1:1", "bob", "connection refused"},
		"an address that does not parse":  {"http://[::1", "bob", "missing ']'"},
		"endless redirects":               {loop, "bob", "more than 30 steps"},
		"a redirect without Location":     {nowhere, "bob", "302 Found at " + nowhere + "/sign-in"},
		"the application is down":         {down, "bob", "503 Service Unavailable at " + down + "/sign-in: try later"},
		"the user is suspended":           {app.URL, "gone", "403 Forbidden at " + p.URL + "/sign-in"},
	} {
		said := panicOf(func() {
			runTest(func(t testing.TB) { p.SignIn(t, nil, test.url, signintest.User{Subject: test.subject}) })
		})
		if !strings.Contains(said, test.want) || strings.Contains(said, "code=") || strings.Contains(said, "state=") {
			t.Errorf("%s: got %q; want %q in it, and no query", name, said, test.want)
		}
	}
	panics(t, "visiting http://127.0.0.1:1/x", func() {
		runTest(func(t testing.TB) { p.Visit(t, nil, "http://127.0.0.1:1/x", signintest.Bob()) })
	})
}
