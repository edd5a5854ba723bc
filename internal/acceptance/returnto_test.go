package acceptance_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/signintest"
)

// inputs are the ways to say where a sign-in leads. Each returns the path at which the
// sign-in begins, or "" if no sign-in begins, and its options.
var inputs = []struct {
	name  string
	url   bool // it takes URLs, and not paths
	begin func(auth *signin.Auth, iss, value string) (path string, opts []signin.SignInOption)
}{
	{"the query of the sign-in route", false, func(_ *signin.Auth, _, v string) (string, []signin.SignInOption) {
		return "/sign-in?return_to=" + url.QueryEscape(v), nil
	}},
	{"ReturnTo", false, func(auth *signin.Auth, _, v string) (string, []signin.SignInOption) {
		if panicOf(func() { auth.SignIn(signin.ReturnTo(v)) }) != "" {
			return "", nil
		}
		return "/sign-in", []signin.SignInOption{signin.ReturnTo(v)}
	}},
	{"a guarded page's address", false, func(auth *signin.Auth, _, v string) (string, []signin.SignInOption) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI = v
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		auth.RequireAuth(http.NotFoundHandler()).ServeHTTP(w, r)
		return w.Header().Get("Location"), nil
	}},
	{"target_link_uri", true, func(_ *signin.Auth, iss, v string) (string, []signin.SignInOption) {
		return "/sign-in?iss=" + url.QueryEscape(iss) + "&target_link_uri=" + url.QueryEscape(v), nil
	}},
	{"HX-Current-URL", true, func(auth *signin.Auth, _, v string) (string, []signin.SignInOption) {
		r := httptest.NewRequest("GET", "/part", nil)
		r.Header = http.Header{"Hx-Request": {"true"}, "Hx-Current-Url": {v}}
		w := httptest.NewRecorder()
		auth.RequireAuth(http.NotFoundHandler()).ServeHTTP(w, r)
		return w.Header().Get("HX-Redirect"), nil
	}},
}

// Package returnto tests the rule; here are a few addresses for each input.
func TestReturnTo(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.BaseURL, c.Paths.AfterSignIn = "https://app", "/home" }})
	p, auth := a.provider, a.auth
	p.RegisterRedirectURIs("https://app/callback")
	const kept = "/ok?x=%E2%82%AC&u=https://e.test//x#f"
	for _, input := range inputs {
		values := map[string]string{kept: kept, "//e.test": "/home", `/\e.test`: "/home", "/sign-out": "/home", "/ok\r\nSet-Cookie:x": "/home"}
		if input.url {
			values = map[string]string{"https://app" + kept: kept, "https://e.test/x": "/home", kept: "/home", "https://app/sign-in": "/home"}
		}
		for value, want := range values {
			t.Run(fmt.Sprintf("6 %s: %.40q", input.name, value), func(t *testing.T) {
				t.Parallel()
				begin, opts := input.begin(auth, p.Issuer, value)
				if begin == "" && want == "/home" {
					return // a mistake of the program, refused when it starts
				}
				mux := http.NewServeMux()
				mux.HandleFunc("/", who)
				mux.Handle("/sign-in", auth.SignIn(opts...))
				mux.Handle("/callback", auth.Callback())
				got := p.Visit(t, at("app", mux, p.NewClient()), "https://app"+begin, signintest.Bob()).Request.URL.String()
				if got != "https://app"+want {
					t.Errorf("got %q; want https://app%s", got, want)
				}
			})
		}
	}
}

// at lets h serve one host for a client; all others stay on the network. So a sign-in
// at any address needs no listener.
func at(host string, h http.Handler, client *http.Client) *http.Client {
	network := client.Transport
	client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != host {
			return network.RoundTrip(r)
		}
		in := httptest.NewRequest(r.Method, r.URL.RequestURI(), r.Body)
		in.Header = r.Header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, in)
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})
	return client
}

// A guard returns people to what the browser asked for, even if a router has removed
// a prefix (6).
func TestReturnTo_StripPrefix(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	a.mount("/shop/", http.StripPrefix("/shop", a.auth.RequireAuth(http.HandlerFunc(a.account))))
	const page = "/shop/caf%C3%A9?a=b%2Fc&d"
	a.browser().get(page).want(t, http.StatusSeeOther, "/sign-in?return_to="+url.QueryEscape(page))
	got := a.browser().visit(page, signintest.Bob())
	if uri := got.Request.URL.RequestURI(); uri != page || got.body != signintest.Bob().Subject {
		t.Errorf("got %s at %s; want Bob at %s", got.Status, uri, page)
	}
}

func TestWithRoutes(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	tree := http.NewServeMux()
	tree.HandleFunc("/", who)
	tree.Handle("/account", a.auth.RequireAuth(http.HandlerFunc(a.account)))
	tree.HandleFunc("/sign-in", func(http.ResponseWriter, *http.Request) { t.Error("got the tree's own /sign-in called") })
	a.server.Config.Handler = a.auth.WithRoutes(tree)
	b := a.browser()
	// Only a guard asks people to sign in.
	for _, path := range []string{"/", "/any/page", "/sign-in/x", "/backchannel"} {
		if got := b.get(path); got.body != notSignedIn {
			t.Errorf("%s: got %q; want no user signed in", path, got.body)
		}
	}
	b.visit("/account", signintest.Bob())
	for _, path := range []string{"/", "/account", "/any/page"} {
		if got := b.get(path); got.body != signintest.Bob().Subject {
			t.Errorf("%s: got %q; want Bob", path, got.body)
		}
	}
	a.postLogout("text/plain", "").want(t, http.StatusBadRequest, "")
	if got := b.get("/sign-out"); got.StatusCode != http.StatusOK || got.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("/sign-out: got %s; want the question before signing out", got.Status)
	}
}

// A guard's redirect and the sign-in's own pass proxies, however long the page's address
// is; the page without its query is better than none.
func TestReturnTo_LongAddress(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for name, row := range map[string]struct{ page, want string }{
		"F1.5 a query that fits":               {"/account?" + strings.Repeat("q", 1000), "/account?" + strings.Repeat("q", 1000)},
		"F1.5 a query of escapes does not fit": {"/account?" + strings.Repeat("%41", 660), "/account"},
	} {
		b := a.browser()
		guard := b.get(row.page)
		signIn := b.get(guard.Header.Get("Location"))
		for _, answer := range []answer{guard, signIn} {
			if size := cookie.AnswerSize(answer.Header, "signin"); answer.StatusCode != http.StatusSeeOther || size >= cookie.Budget {
				t.Errorf("%s: got %d with %d bytes; want 303 with less than %d", name, answer.StatusCode, size, cookie.Budget)
			}
		}
		if got := b.visit(row.page, signintest.Alice()).Request.URL.RequestURI(); got != row.want {
			t.Errorf("%s: got to %.40q; want %.40q", name, got, row.want)
		}
	}
}
