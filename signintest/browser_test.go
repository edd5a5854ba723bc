package signintest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// recorder is a testing.TB that keeps what Fatalf says.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failing returns what f fails with.
func failing(t *testing.T, f func(testing.TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.said
}

func TestSignIn_AnotherUserInOneClient(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	app := oidcApp(t, p)
	client := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	for _, user := range []signintest.User{signintest.Alice(), signintest.Bob(), signintest.Bob(), signintest.NaverUser()} {
		if got := p.SignIn(t, client, app.URL, user); got != client {
			t.Error("got another client than the one given")
		}
		if _, _, page := get(t, client, app.URL+"/"); page != user.Subject {
			t.Errorf("got %s; want %s", page, user.Subject)
		}
	}
	if client.CheckRedirect != nil || client.Jar == nil {
		t.Error("got CheckRedirect changed or no jar; want a jar and nothing else")
	}
}

func TestSignIn_Stuck(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	app := oidcApp(t, p)
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
	p.Inject(faults.ResponseStateWrong)
	for name, test := range map[string]struct {
		url, subject string
		want         []string
	}{
		"the callback refuses": {app.URL, "bob000000001",
			[]string{"signing in bob000000001 got stuck: 403 Forbidden at " + app.URL + "/callback: state", "GET " + app.URL + "/sign-in → 302", "POST " + p.URL + "/sign-in → 303"}},
		"the application does not answer": {"http://127.0.0.1:1", "bob000000001", []string{"connection refused"}},
		"an address that does not parse":  {"http://[::1", "bob000000001", []string{"missing ']'"}},
		"redirects without end":           {loop, "bob000000001", []string{"more than 30 steps"}},
		"a redirect without Location":     {nowhere, "bob000000001", []string{"302 Found at " + nowhere + "/sign-in"}},
		"the application is down":         {down, "bob000000001", []string{"503 Service Unavailable at " + down + "/sign-in: try later"}},
		"the user is suspended":           {app.URL, "gone", []string{"403 Forbidden at " + p.URL + "/sign-in"}},
	} {
		said := failing(t, func(tb testing.TB) { p.SignIn(tb, nil, test.url, signintest.User{Subject: test.subject}) })
		for _, want := range test.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: got %q; want %q in it", name, said, want)
			}
		}
		if strings.Contains(said, "code=") || strings.Contains(said, "state=") {
			t.Errorf("%s: got a query in the message", name)
		}
	}
	said := failing(t, func(tb testing.TB) { p.Visit(tb, nil, "http://127.0.0.1:1/x", signintest.Bob()) })
	if !strings.Contains(said, "visiting http://127.0.0.1:1/x") {
		t.Errorf("Visit: got %q; want the address", said)
	}
}
