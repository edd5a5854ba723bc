package acceptance_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A proxy that cuts off BaseURL's path, and one that does not: a guard leads back to the
// browser's path, and the routes around a tree match.
func TestBaseURLPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.BaseURL += "/app" }})
	a.provider.RegisterRedirectURIs(a.cfg.BaseURL + "/callback")
	tree := http.NewServeMux()
	for _, path := range []string{"/account", "/app/account"} {
		tree.Handle(path, a.auth.RequireAuth(http.HandlerFunc(a.account)))
	}
	h := a.auth.WithRoutes(tree)
	for name, served := range map[string]http.Handler{
		"F8.1 a proxy that strips the path": http.StripPrefix("/app", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RequestURI = strings.TrimPrefix(r.RequestURI, "/app") // as the application behind it sees it
			h.ServeHTTP(w, r)
		})),
		"F8.1 one that does not": h,
	} {
		t.Run(name, func(t *testing.T) {
			a.server.Config.Handler = served
			b := a.browser()
			b.get("/app/account?x=y").want(t, http.StatusSeeOther, "/app/sign-in?return_to=%2Fapp%2Faccount%3Fx%3Dy")
			got := b.visit("/app/account?x=y", signintest.Alice())
			if at := got.Request.URL.RequestURI(); at != "/app/account?x=y" || got.body != signintest.Alice().Subject {
				t.Errorf("got %s at %s; want Alice at /app/account?x=y", got.Status, at)
			}
			for _, to := range []string{"/account", "/app/sign-out", "/app/app/sign-out"} {
				got := b.visit("/app/sign-in?return_to="+url.QueryEscape(to), signintest.Alice())
				if at := got.Request.URL.RequestURI(); at != "/app/" {
					t.Errorf("return_to %s: got to %s; want /app/", to, at)
				}
			}
		})
	}
}

// fixed sends a browser's Cookie header with another cookie in front of it, which no
// Set-Cookie replaces.
func (b *browser) fixed(cookie string, instead bool) *browser {
	base := b.Transport
	c := *b.Client
	c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != strings.TrimPrefix(b.app.server.URL, "http://") {
			return base.RoundTrip(r)
		}
		r = r.Clone(r.Context())
		all := []string{cookie}
		for _, c := range r.Cookies() {
			if !instead || !strings.HasPrefix(cookie, c.Name+"=") {
				all = append(all, c.Name+"="+c.Value)
			}
		}
		r.Header.Set("Cookie", strings.Join(all, "; "))
		return base.RoundTrip(r)
	})
	return &browser{Client: &c, app: b.app}
}

// No redirects go on forever for a browser whose cookie cannot be replaced.
func TestCookieConflict(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, cookie string
		instead      bool
		signIns      int
	}{
		{"F8.2 two session cookies with different paths", "signin=x", false, 1},
		{"F8.2 a session cookie that does not open and stays", "signin=x", true, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			b := a.browser().fixed(row.cookie, row.instead)
			got := b.visit("/account", signintest.Alice())
			if got.StatusCode != http.StatusBadRequest || got.Request.URL.Path != "/account" || a.signIns() != row.signIns {
				t.Fatalf("got %s at %s after %d sign-ins; want 400 from the page, after %d", got.Status, got.Request.URL.Path, a.signIns(), row.signIns)
			}
			if !strings.Contains(got.body, "the cookies for 127.0.0.1 ") || !strings.Contains(a.log.String(), "sends signin twice") || got.action(t) != "/account" {
				t.Errorf("got %q; want a page that names the host and leads back, and the cookie in the log", got.body)
			}
			if !strings.Contains(a.log.String(), "code=cookie_conflict") || a.insideCalls() != 0 {
				t.Errorf("got log %q; want the conflict in it, and no handler called", a.log.String())
			}
		})
	}
	t.Run("F8.2 two session cookies from the beginning, before any sign-in", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		for _, path := range []string{"/account", "/sign-in?return_to=%2Faccount"} {
			got := knock(a.handler(), path, "signin=x; signin=y")
			got.want(t, http.StatusBadRequest, "")
			if got.action(t) != path || !strings.Contains(got.body, "the cookies for 127.0.0.1 ") {
				t.Errorf("%s: got %q; want a page that names the host, and leads back", path, got.body)
			}
		}
	})
}

func TestCookieConflict_Others(t *testing.T) {
	t.Parallel()
	t.Run("F8.2 a path that a browser takes for another host", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		for _, path := range []string{"//evil.example/x", "/\\evil.example/x", "/sign-out"} {
			r := a.request(http.MethodGet, "/x", "Accept: text/html\nCookie: signin=x; signin=y\n")
			r.RequestURI = path
			w := httptest.NewRecorder()
			a.auth.RequireAuth(http.HandlerFunc(a.account)).ServeHTTP(w, r)
			got := answer{w.Result(), w.Body.String()}
			if got.StatusCode != http.StatusBadRequest || got.action(t) != "/sign-in" {
				t.Errorf("%s: got %s, and a link to %q; want 400, and the sign-in", path, got.Status, got.action(t))
			}
		}
	})
	t.Run("F8.2 an old cookie was replaced, and the session has ended since", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{recorded: true})
		b := a.browser()
		b.plant(&http.Cookie{Name: "signin", Value: "x", Path: "/"})
		a.wantArrival(t, b, signintest.Alice())
		if err := a.auth.EndSessions(t.Context(), signintest.Alice().Subject); err != nil {
			t.Fatal(err)
		}
		b.get("/account").want(t, http.StatusSeeOther, "/sign-in")
	})
	t.Run("F9.2 an expired sign-in among more cookies than are looked at", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		b := a.browser().fixed(strings.Repeat("signin.tx.JUNK=x; ", 16)+"a=b", false)
		u, _ := url.Parse(b.respond(a.provider, "/sign-in?return_to=%2Faccount", signintest.Alice()))
		q := u.Query()
		expired(a, q)
		u.RawQuery = q.Encode()
		b.get(u.String()).want(t, http.StatusServiceUnavailable, "")
	})
	t.Run("F8.2 an old cookie that a sign-in replaces", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{recorded: true})
		b := a.browser()
		b.plant(&http.Cookie{Name: "signin", Value: "x", Path: "/"})
		a.wantArrival(t, b, signintest.Alice())
		b.do(http.MethodPost, "/sign-out")
		b.get("/account").want(t, http.StatusSeeOther, "/sign-in")
	})
	t.Run("F8.2 two cookies of a sign-in under way", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		b := a.browser()
		back := b.responded()
		name := b.attempts()[0].Name
		got := b.fixed(name+"=x", false).get(back)
		got.want(t, http.StatusBadRequest, "")
		if !strings.Contains(a.log.String(), "sends "+name+" twice") || a.provider.Stats().Exchanges != 0 {
			t.Errorf("got %q; want the cookie in the log, and no token request", got.body)
		}
	})
}

// expired changes a response into what Keycloak sends if its page was open too long.
func expired(_ *app, q url.Values) {
	q.Del("code")
	q.Set("error", "temporarily_unavailable")
	q.Set("error_description", "authentication_expired")
}

// expiredTwice lets the provider forget a sign-in twice, each time after a wait.
func expiredTwice(t *testing.T, wait time.Duration) {
	a := newApp(t, with{})
	a.mount("/sign-in/strong", a.auth.SignIn(signin.MaxAge(time.Minute)))
	const start = "/sign-in/strong?return_to=%2Faccount"
	b := a.browser()
	back := func() answer {
		u, _ := url.Parse(b.respond(a.provider, start, signintest.Alice()))
		q := u.Query()
		expired(a, q)
		u.RawQuery = q.Encode()
		a.clock.add(wait)
		return b.get(u.String())
	}
	first := back()
	first.want(t, http.StatusSeeOther, start)
	second := back() // the browser follows, and it happens again
	second.want(t, http.StatusServiceUnavailable, "")
	if second.action(t) != start || a.signIns() != 0 {
		t.Errorf("got a link to %q; want %s, and no user signed in", second.action(t), start)
	}
	b.get(b.respond(a.provider, start, signintest.Alice())).want(t, http.StatusSeeOther, "/account")
}

// begunElsewhere begins a sign-in at 127.0.0.1, while BaseURL has localhost.
func begunElsewhere(t *testing.T) {
	a := newApp(t, with{config: func(c *signin.Config) { c.BaseURL = strings.Replace(c.BaseURL, "127.0.0.1", "localhost", 1) }})
	a.provider.RegisterRedirectURIs(a.cfg.BaseURL + "/callback")
	b := a.browser()
	back, err := url.Parse(b.respond(a.provider, "/sign-in?return_to=%2Faccount%3Fx", signintest.Alice()))
	if err != nil {
		t.Fatal(err)
	}
	got := knock(a.handler(), back.RequestURI(), "")
	got.want(t, http.StatusBadRequest, "")
	if got.action(t) != a.cfg.BaseURL+"/account?x" || !strings.Contains(got.body, "start again at "+a.cfg.BaseURL) {
		t.Errorf("got %q; want a page that names the address, with a link to the page there", got.body)
	}
	if got := a.browser().get(back.RequestURI()); strings.Contains(got.body, a.cfg.BaseURL) {
		t.Errorf("a proxy that sets this Host always: got %q; want nothing about another address", got.body)
	}
	knock(a.handler(), back.RequestURI(), b.cookies()).want(t, http.StatusSeeOther, "/account?x")
	if got := knock(a.handler(), back.RequestURI(), ""); strings.Contains(got.body, "/account") {
		t.Errorf("after it has finished: got %q; want no link to where it led", got.body)
	}
	q := back.Query()
	q.Set("state", strings.Repeat("A", 26)+q.Get("state")[26:]+"x")
	if got := knock(a.handler(), "/callback?"+q.Encode(), ""); strings.Contains(got.body, "/account") {
		t.Errorf("a hint that was changed: got %q; want nothing of it", got.body)
	}
}

func TestDeadEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		wait time.Duration
	}{{"F9.1 eleven minutes at the provider", 11 * time.Minute}, {"F9.1 fifty-nine minutes", 59 * time.Minute}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{})
			b := a.browser()
			request := b.get("/sign-in?return_to=%2Faccount").Header.Get("Location")
			a.clock.add(row.wait)
			b.get(b.respond(a.provider, request, signintest.Alice())).want(t, http.StatusSeeOther, "/account")
		})
	}
	for name, wait := range map[string]time.Duration{
		"F9.2 a sign-in that the provider let expire is begun once more": 0,
		"F9.2 the same after more than an hour":                          61 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expiredTwice(t, wait)
		})
	}
	t.Run("F9.3 cancelled at the provider", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{config: func(c *signin.Config) { c.Paths.AfterSignOut = "https://www.example.com/bye?x" }})
		got := bring(func(_ *app, q url.Values) { q.Del("code"); q.Set("error", "access_denied") })(a, a.browser())
		got.want(t, http.StatusForbidden, "")
		if got.action(t) != "/sign-in?return_to=%2Faccount" || !strings.Contains(got.body, `<a href="https://www.example.com/bye?x">Go to the home page</a>`) {
			t.Errorf("got %q; want a link to the same sign-in, and a way home", got.body)
		}
	})
	t.Run("F9.4 begun at another name of the host", func(t *testing.T) { t.Parallel(); begunElsewhere(t) })
	t.Run("F12.1 the bare redirect URI touches no session", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		b := a.signedIn(signintest.Bob())
		got := b.get("/callback")
		got.untouched(t, http.StatusForbidden, signin.ErrDeclined)
		if b.who() != signintest.Bob().Subject || got.action(t) != "/" {
			t.Errorf("got %q signed in, and a link to %q; want Bob, and the start page", b.who(), got.action(t))
		}
		other := newApp(t, with{config: otherProvider})
		if got := other.browser().get("/callback"); got.StatusCode != http.StatusBadRequest || strings.Contains(got.body, "cancelled") {
			t.Errorf("another provider: got %s, %q; want a bad request", got.Status, got.body)
		}
	})
}

func TestDeadEnds_Guards(t *testing.T) {
	t.Parallel()
	t.Run("F9.5 a form after the session has ended", func(t *testing.T) {
		t.Parallel()
		a := newApp(t, with{})
		got := a.browser().do(http.MethodPost, "/account", "Referer: "+a.server.URL+"/form")
		got.want(t, http.StatusUnauthorized, "")
		if !strings.Contains(got.body, "What you have just sent was not saved.") || got.action(t) != "/sign-in?return_to=%2Fform" {
			t.Errorf("got %q; want a page that says so, and leads back to the form", got.body)
		}
	})
	t.Run("F9.6 a guard whose shared state fails leads back to its page", func(t *testing.T) {
		t.Parallel()
		a, _, fail := fragile(t)
		b := a.signedIn(signintest.Alice())
		fail("shared get")
		got := b.get("/account?x=y")
		got.untouched(t, http.StatusServiceUnavailable, signin.ErrSharedUnavailable)
		if got.action(t) != "/account?x=y" {
			t.Errorf("got a link to %q; want the page", got.action(t))
		}
	})
}

// Inertia gets 409 and the address of a full visit, wherever its fetch cannot follow.
func TestInertia(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	inertia := []string{"X-Inertia: true", "X-Requested-With: XMLHttpRequest", "Accept: text/html, application/xhtml+xml"}
	b := a.signedIn(signintest.Alice())
	for _, row := range []struct {
		name, method, path string
		browser            *browser
		want               string
	}{
		{"F10.1 a visit", "GET", "/account?x", a.browser(), "/sign-in?return_to=%2Faccount%3Fx"},
		{"F10.1 a form", "PUT", "/account", a.browser(), "/sign-in?return_to=%2Fform"},
		{"F10.1 a visit to the sign-in", "GET", "/sign-in?return_to=%2Faccount", a.browser(), "/sign-in?return_to=%2Faccount"},
		{"F10.1 a sign-out", "POST", "/sign-out", b, a.provider.URL},
	} {
		got := row.browser.do(row.method, row.path, append(inertia, "Referer: "+a.server.URL+"/form")...)
		got.want(t, http.StatusConflict, "")
		if to := got.Header.Get("X-Inertia-Location"); !strings.HasPrefix(to, row.want) || got.body != "" {
			t.Errorf("%s: got X-Inertia-Location %q; want %q", row.name, to, row.want)
		}
	}
	if got := b.who(); got != notSignedIn {
		t.Errorf("got %q signed in; want no user", got)
	}
	t.Run("F10.2 an app's WebView without fetch metadata", func(t *testing.T) {
		a.browser().get("/account", "X-Requested-With: com.example.app").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
		a.browser().get("/account", "X-Requested-With: XMLHttpRequest").want(t, http.StatusUnauthorized, "")
	})
}

// A handler of the application may lie around the guards.
func TestWrapped(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{recorded: true})
	a.server.Config.Handler = http.TimeoutHandler(a.handler(), time.Minute, "too late")
	a.wantArrival(t, a.browser(), signintest.Alice())
}

// AfterSignOut may be a page of another site of the application's owner.
func TestSignOut_HTMX(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.signedIn(signintest.Alice())
	got := b.do(http.MethodPost, "/sign-out", "HX-Request: true")
	got.want(t, http.StatusOK, "")
	if to := got.Header.Get("HX-Redirect"); !strings.HasPrefix(to, a.provider.URL) || b.who() != notSignedIn {
		t.Errorf("got HX-Redirect %q; want the provider's end session endpoint, and the session ended", to)
	}
}

func TestAfterSignOut(t *testing.T) {
	t.Parallel()
	const away = "https://www.example.com/bye"
	a := newApp(t, with{config: func(c *signin.Config) { c.Paths.AfterSignOut = away }})
	got := a.signedIn(signintest.Alice()).do(http.MethodPost, "/sign-out")
	location, err := got.Location()
	if err != nil || location.Query().Get("post_logout_redirect_uri") != away {
		t.Errorf("got Location %q; want the page in it", got.Header.Get("Location"))
	}
	path := a.cfg
	path.Paths.AfterSignOut = "/bye?from=https://www.example.com/"
	if _, err := signin.New(path); err != nil {
		t.Errorf("a path with a URL in its query: got error %v; want it taken", err)
	}
	for _, wrong := range []string{"http://www.example.com/", "https://", "https://u@e.test/", "https://e.test/#x", "javascript://e.test/%0aalert(1)", a.cfg.BaseURL + "/sign-out"} {
		cfg := a.cfg
		if cfg.Paths.AfterSignOut = wrong; wrong == a.cfg.BaseURL+"/sign-out" {
			cfg.BaseURL, cfg.Paths.AfterSignOut = "https://app.example.com", "https://app.example.com/sign-out"
		}
		if _, err := signin.New(cfg); err == nil || !strings.Contains(err.Error(), "Config.Paths.AfterSignOut is ") {
			t.Errorf("%s: got error %v; want the field and the value named", wrong, err)
		}
	}
}
