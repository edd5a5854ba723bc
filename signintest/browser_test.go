package signintest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
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

func who(t *testing.T, client *http.Client, app *httptest.Server) string {
	t.Helper()
	resp, err := client.Get(app.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

func TestSignInChangesPersonInOneBrowser(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	app := oidcApp(t, p)
	client := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	for _, user := range []signintest.User{signintest.Alice(), signintest.Bob(), signintest.Bob(), signintest.NaverUser()} {
		if got := p.SignIn(t, client, app.URL, user); got != client {
			t.Error("got another client than the one given")
		}
		if got := who(t, client, app); got != user.Subject {
			t.Errorf("got %s; want %s", got, user.Subject)
		}
	}
	if client.CheckRedirect != nil || client.Jar == nil {
		t.Error("got CheckRedirect changed or no jar; want a jar and nothing else")
	}
}

func TestSignInTellsWhereItGotStuck(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	app := oidcApp(t, p)
	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/sign-in", http.StatusFound)
	}))
	t.Cleanup(loop.Close)
	nowhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusFound) }))
	t.Cleanup(nowhere.Close)
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "try\nlater", http.StatusServiceUnavailable)
	}))
	t.Cleanup(down.Close)
	p.SetUser(signintest.User{Subject: "gone"})
	p.Suspend("gone")

	tests := map[string]struct {
		url, subject string
		fault        signintest.Fault
		want         []string
	}{
		"the callback refuses": {app.URL, "bob000000001", faults.ResponseStateWrong,
			[]string{"signing in bob000000001 got stuck: 403 Forbidden at " + app.URL + "/callback: state", "GET " + app.URL + "/sign-in → 302", "POST " + p.URL + "/sign-in → 303"}},
		"the application does not answer": {"http://127.0.0.1:1", "bob000000001", "", []string{"connection refused"}},
		"the address is none":             {"http://[::1", "bob000000001", "", []string{"missing ']'"}},
		"a loop":                          {loop.URL, "bob000000001", "", []string{"more than 30 steps"}},
		"a redirect to nowhere":           {nowhere.URL, "bob000000001", "", []string{"302 Found at " + nowhere.URL + "/sign-in"}},
		"the application is down":         {down.URL, "bob000000001", "", []string{"503 Service Unavailable at " + down.URL + "/sign-in: try later"}},
		"the user is suspended":           {app.URL, "gone", "", []string{"403 Forbidden at " + p.URL + "/sign-in"}},
	}
	for name, test := range tests {
		p.Clear()
		if test.fault != "" {
			p.Inject(test.fault)
		}
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
	if said := failing(t, func(tb testing.TB) { p.Visit(tb, nil, "http://127.0.0.1:1/x", signintest.Bob()) }); !strings.Contains(said, "visiting http://127.0.0.1:1/x") {
		t.Errorf("got %q; want the address", said)
	}
}

func TestVisitLooksLikeABrowsersNavigation(t *testing.T) {
	t.Parallel()
	p := signintest.NewProvider()
	t.Cleanup(p.Close)
	sites := make(chan string, 10)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sites <- r.Header.Get("Sec-Fetch-Site")
		for name, want := range map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: got %q; want %q", name, got, want)
			}
		}
		switch r.URL.Path {
		case "/start":
			a := party{p: p, cfg: p.Config("http://" + r.Host), Server: &httptest.Server{URL: "http://" + r.Host}}
			http.Redirect(w, r, p.Issuer+"/auth?"+a.params().Encode(), http.StatusFound)
		case "/callback":
			http.Redirect(w, r, strings.Replace("http://"+r.Host, "127.0.0.1", "localhost", 1)+"/account", http.StatusFound)
		}
	}))
	t.Cleanup(app.Close)
	resp := p.Visit(t, nil, app.URL+"/start", signintest.Bob())
	if resp.StatusCode != 200 || resp.Request.URL.Path != "/account" {
		t.Errorf("got %s at %s; want 200 at /account", resp.Status, resp.Request.URL.Path)
	}
	close(sites)
	var got []string
	for s := range sites {
		got = append(got, s)
	}
	if want := []string{"none", "same-site", "cross-site"}; !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}
