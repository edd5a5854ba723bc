package acceptance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// kinds are the kinds of requests that meet a guard, with the shape of their
// refusal.
var kinds = []struct {
	name, method string
	header       string // lines
	shape        string
}{
	{"a navigation by address", "GET", "Accept: text/html,*/*;q=0.8", "redirect"},
	{"a navigation of a browser that tells", "GET", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\nSec-Fetch-Site: cross-site", "redirect"},
	{"a form", "POST", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", "page"},
	{"a form of a browser that does not tell", "POST", "Accept: text/html,*/*", "page"},
	{"htmx", "GET", "HX-Request: true\nAccept: */*\nHX-Current-URL: APP/list?a=b", "htmx /list?a=b"},
	{"htmx that posts", "POST", "HX-Request: true\nHX-Current-URL: APP/list", "htmx /list"},
	{"htmx with a boosted link", "GET", "HX-Request: true\nHX-Boosted: true\nAccept: text/html", "htmx"},
	{"htmx on a page of another site", "GET", "HX-Request: true\nHX-Current-URL: https://e.test/list", "htmx"},
	{"fetch", "GET", "Accept: */*\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty", "problem"},
	{"fetch that posts", "POST", "Accept: */*\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty", "problem"},
	{"fetch that asks for a page", "GET", "Accept: text/html\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty", "problem"},
	{"XHR", "GET", "Accept: text/html\nX-Requested-With: XMLHttpRequest", "problem"},
	{"JSON", "GET", "Accept: application/json", "problem"},
	{"a program that says nothing", "GET", "", "problem"},
	{"a program that takes anything", "GET", "Accept: */*", "problem"},
	{"an event stream", "GET", "Accept: text/event-stream", "problem"},
	{"a WebSocket", "GET", "Accept: text/html\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13", "problem"},
	{"a prefetch", "GET", "Accept: text/html\nSec-Purpose: prefetch\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", "problem"},
	{"a prerendering", "GET", "Accept: text/html\nSec-Purpose: prefetch;prerender\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", "problem"},
	{"an old prefetch", "GET", "Accept: text/html\nPurpose: prefetch", "problem"},
	{"a frame", "GET", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe", "problem"},
	{"an image", "GET", "Accept: image/*\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image", "problem"},
	{"HEAD", "HEAD", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", "problem"},
	{"OPTIONS", "OPTIONS", "Accept: text/html", "problem"},
	{"PUT", "PUT", "Accept: text/html", "problem"},
	{"DELETE", "DELETE", "Accept: application/json", "problem"},
}

// request makes a request with header lines, in which APP is the application.
func (a *app) request(method, target, lines string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for line := range strings.Lines(strings.ReplaceAll(lines, "APP", a.server.URL)) {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r
}

// guarded is a handler that nobody may reach, and counts who does.
type guarded struct{ calls int }

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.calls++
	w.Header().Set("X-Inside", "1")
	fmt.Fprint(w, "INSIDE ")
}

// wantHeader compares headers; "" wants none.
func wantHeader(t *testing.T, got http.Header, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := strings.Join(got.Values(name), " | "); got != value {
			t.Errorf("%s: got %q; want %q", name, got, value)
		}
	}
}

const (
	problemCSP = "default-src 'none'; frame-ancestors 'none'"
	scheme     = `Cookie realm="sign-in"` // RFC 9110, section 15.5.2: a 401 names one
)

// wantShape checks a refusal of /account?tab=1.
func (a *app) wantShape(t *testing.T, w *httptest.ResponseRecorder, shape, cleared string, head bool) {
	t.Helper()
	shape, back, _ := strings.Cut(shape, " ")
	want := map[string]string{"Cache-Control": "private, no-store", "CDN-Cache-Control": "no-store", "Vary": "Cookie", "Set-Cookie": cleared,
		"Location": "", "HX-Redirect": "", "WWW-Authenticate": scheme, "X-Inside": "", "Refresh": "", "Access-Control-Allow-Origin": ""}
	status, body := http.StatusUnauthorized, w.Body.String()
	switch shape {
	case "redirect":
		status, want["Location"], want["WWW-Authenticate"] = http.StatusSeeOther, "/sign-in?return_to=%2Faccount%3Ftab%3D1", ""
	case "htmx":
		if want["HX-Redirect"] = "/sign-in"; back != "" {
			want["HX-Redirect"] += "?return_to=" + url.QueryEscape(back)
		}
	case "page":
		want["Content-Type"] = "text/html; charset=utf-8"
		if !strings.Contains(body, `<a href="/sign-in">`) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("got page %s; want one that cannot be framed, with a way to sign in", body)
		}
	case "problem":
		maps.Copy(want, map[string]string{"Content-Type": "application/problem+json", "Content-Security-Policy": problemCSP,
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"})
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil && !head {
			t.Errorf("got body %q; want a problem document", body)
		}
		if detail, _ := got["detail"].(string); !head && (detail == "" || len(got) != 5 || got["title"] != "Unauthorized" || got["status"] != 401.0 ||
			got["code"] != "not_signed_in" || got["sign_in_url"] != a.server.URL+"/sign-in") {
			t.Errorf("got problem %v; want title, status, detail, code and where to sign in", got)
		}
	}
	wantHeader(t, w.Header(), want)
	if empty := shape == "redirect" || shape == "htmx" || head; w.Code != status || empty != (body == "") {
		t.Errorf("got %d with body %q; want %d, no body: %t", w.Code, body, status, empty)
	}
}

func TestCasesRefusals(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	g := &guarded{}
	own := a.signedIn(signintest.Alice()).cookies()
	bob := a.signedIn(signintest.Bob())
	over := bob.cookies()
	bob.do(http.MethodPost, "/sign-out")
	for _, presented := range []struct{ name, cookie string }{
		{"nothing", ""},
		{"garbage", "signin=x"},
		{"an empty session", "signin="},
		{"a session with one letter changed", own[:60] + string(own[60]^1) + own[61:]},
		{"the session of another application", newApp(t, with{}).signedIn(signintest.Alice()).cookies()},
		{"a session twice", own + "; " + own},
		{"a copy of a session that was signed out", over},
	} {
		for _, k := range kinds {
			t.Run("7.1 "+k.name+" with "+presented.name, func(t *testing.T) {
				for around, h := range map[string]http.Handler{
					"RequireAuth": a.auth.RequireAuth(g), "Load": a.auth.Load(a.auth.RequireAuth(g)), "twice": a.auth.RequireAuth(a.auth.RequireAuth(g)),
				} {
					r, w := a.request(k.method, "/account?tab=1", k.header), httptest.NewRecorder()
					if presented.cookie != "" {
						r.Header.Set("Cookie", presented.cookie)
					}
					h.ServeHTTP(w, r)
					cleared := ""
					if presented.cookie == over && k.name != "an image" { // caches share images (4.9)
						cleared = "signin=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
					}
					a.wantShape(t, w, k.shape, cleared, k.method == http.MethodHead)
					if g.calls > 0 || strings.Contains(w.Body.String(), "INSIDE") {
						t.Fatalf("%s: got the protected handler called; want not a byte of it (7.2)", around)
					}
				}
			})
		}
	}
}

// claims of a request about where it comes from, what it is, and where it goes.
var claimed = []string{
	"Accept: text/html", "Accept: application/json", "Accept: */*", "User-Agent: Googlebot/2.1", "User-Agent: kube-probe/1.31",
	"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: internal", "X-Forwarded-Proto: http", "X-Forwarded-Uri: /", "X-Forwarded-User: alice",
	"X-Forwarded-Prefix: /public", "X-Forwarded-Method: OPTIONS", "Forwarded: for=127.0.0.1;host=internal", "X-Real-IP: 127.0.0.1",
	"X-Original-URL: /", "X-Original-URI: /sign-in", "X-Original-Method: OPTIONS", "X-Rewrite-URL: /public", "X-HTTP-Method-Override: OPTIONS",
	"X-Auth-Request-User: alice", "Remote-User: alice", "Authorization: Bearer x", "Authorization: Basic YTpi", "Origin: null", "Host: internal",
	"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Purpose: prefetch", "HX-Request: true", "Upgrade: websocket\nConnection: upgrade",
}

func TestCasesDecision(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	cookies := a.signedIn(signintest.Alice()).cookies()
	for _, header := range claimed {
		t.Run("7.3 "+header, func(t *testing.T) {
			for _, target := range []string{"/", "/account", "/account?return_to=/sign-in", "/account?user=alice&signin=x", "/account#/sign-in",
				"/sign-in", "/callback?code=x&state=y", "/account/../sign-in", "/account;/public", "//account", "http://internal/account"} {
				for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "TRACE", "get"} {
					for cookie, want := range map[string]int{"": 0, cookies: 1} {
						g := &guarded{}
						r := a.request(method, target, header)
						if cookie != "" {
							r.Header.Set("Cookie", cookie)
						}
						a.auth.RequireAuth(g).ServeHTTP(httptest.NewRecorder(), r)
						if g.calls != want {
							t.Errorf("%s %s, signed in: %t: got the handler called %d times; want %d", method, target, cookie != "", g.calls, want)
						}
					}
				}
			}
		})
	}
}

func TestCasesNotForCaches(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for path, set := range map[string]func(http.Header){
		"/own":  func(h http.Header) { h.Set("Cache-Control", "private, max-age=60"); h.Add("Vary", "Accept") },
		"/none": func(http.Header) {},
		"/add":  func(h http.Header) { h.Add("Cache-Control", "max-age=0"); h.Add("Vary", "Accept") },
	} {
		inner := a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { set(w.Header()) }))
		a.server.Config.Handler.(*http.ServeMux).HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if path != "/add" {
				w.Header().Add("Vary", "Accept-Encoding")
			}
			inner.ServeHTTP(w, r)
		})
	}
	const never = "private, no-store"
	b := a.browser()
	in := a.signedIn(signintest.Alice())
	old := in.copyOf()
	for _, row := range []struct {
		name          string
		answer        func() answer
		status        int
		sets          bool
		caching, vary string
	}{
		{"a page that knows who it is", func() answer { return in.get("/") }, 200, false, "no-store", "Cookie"},
		{"a page that knows nobody", func() answer { return b.get("/") }, 200, false, "", "Cookie"},
		{"a guarded page", func() answer { return in.get("/none") }, 200, false, "no-store", "Accept-Encoding | Cookie"},
		{"a guarded page with its own rule", func() answer { return in.get("/own") }, 200, false, "private, max-age=60", "Accept-Encoding | Cookie | Accept"},
		{"a guarded page that adds to the rules", func() answer { return in.get("/add") }, 200, false, "no-store | max-age=0", "Cookie | Accept"},
		{"a guard's redirect", func() answer { return b.get("/none") }, 303, false, never, "Accept-Encoding | Cookie"},
		{"a callback", func() answer {
			at := a.signInAtProvider(signintest.Bob())
			return at.get(at.get(at.get("/sign-in").Header.Get("Location")).Header.Get("Location"))
		}, 303, true, never, "Cookie"},
		{"a sign-in begun", func() answer { return b.get("/sign-in") }, 303, true, never, "Cookie"},
		{"a refreshed session", func() answer { a.clock.add(time.Hour); return in.get("/none") }, 200, true, never, "Accept-Encoding | Cookie"},
		{"a sign-out", func() answer { return in.do("POST", "/sign-out") }, 303, true, never, "Cookie"},
		{"a session that is over, on a page for all", func() answer { return old.copyOf().get("/") }, 200, true, never, "Cookie"},
		{"a session that is over, at a guard", func() answer { return old.copyOf().get("/none") }, 303, true, never, "Accept-Encoding | Cookie"},
	} {
		got := row.answer()
		t.Run("7.5 "+row.name, func(t *testing.T) {
			if got.StatusCode != row.status || (len(got.Cookies()) > 0) != row.sets {
				t.Errorf("got %d with cookies %v; want %d, cookies set: %t", got.StatusCode, got.Cookies(), row.status, row.sets)
			}
			want := map[string]string{"Cache-Control": row.caching, "Vary": row.vary}
			if row.caching == never {
				want["CDN-Cache-Control"] = "no-store"
			}
			wantHeader(t, got.Header, want)
		})
	}
}

func TestCasesOwnPages(t *testing.T) {
	t.Parallel()
	a, down := newApp(t, with{}), newApp(t, with{})
	down.provider.Down()
	for _, row := range []struct {
		name, method, path string
		app                *app
		status             int
		further            map[string]string
	}{
		{"no sign-in under way", "GET", "/callback?code=x&state=1x&iss=" + url.QueryEscape(a.provider.Issuer), a, 400, nil},
		{"a response that is none", "GET", "/callback", a, 400, nil},
		{"a callback by another method", "POST", "/callback", a, 405, map[string]string{"Allow": "GET"}},
		{"a sign-in by another method", "POST", "/sign-in", a, 405, map[string]string{"Allow": "GET, HEAD"}},
		{"a question before signing out", "GET", "/sign-out", a, 200, nil},
		{"a sign-in of another issuer", "GET", "/sign-in?iss=x", a, 400, nil},
		{"a form that came too late", "POST", "/account", a, 401, map[string]string{"WWW-Authenticate": scheme}},
		{"a provider that is down", "GET", "/sign-in", down, 503, nil},
	} {
		t.Run("7.5 "+row.name, func(t *testing.T) {
			t.Parallel()
			got := row.app.browser().do(row.method, row.path)
			got.want(t, row.status, "")
			wantHeader(t, got.Header, map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "private, no-store",
				"Vary": "Cookie", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Set-Cookie": ""})
			wantHeader(t, got.Header, row.further)
			csp := got.Header.Get("Content-Security-Policy")
			for _, rule := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
				if !strings.Contains(csp, rule) {
					t.Errorf("Content-Security-Policy: got %q; want %q in it", csp, rule)
				}
			}
			if retry := got.Header.Get("Retry-After"); (retry != "") != (row.status == 503) || retry == "0" {
				t.Errorf("Retry-After: got %q with %d", retry, row.status)
			}
		})
	}
}

func TestCasesUnmet(t *testing.T) {
	t.Parallel()
	const page, program = "Accept: text/html", "Accept: application/json"
	for _, row := range []struct {
		name, path, accept string
		rule               signin.Rule
		status             int
		location           string
		code               signin.Code // of the event
	}{
		{"an unmet rule is 403, and no new sign-in", "/owners", page, signin.HasRole("owner"), 403, "", signin.ErrForbidden},
		{"an unmet rule is 403 to a program, too", "/owners", program, signin.HasRole("owner"), 403, "", signin.ErrForbidden},
		{"a rule of one's own that is unmet is 403", "/own", page, signin.RuleFunc(func(*http.Request, *signin.User) error { return errOnPurpose }), 403, "", signin.ErrForbidden},
		{"an unmet age is a new sign-in", "/fresh", page, signin.AuthenticatedWithin(time.Minute), 303, "/sign-in?max_age=60&return_to=%2Ffresh", signin.ErrStepUpRequired},
		{"an unmet class is a new sign-in", "/vault", page, signin.ACR("mfa"), 303, "/sign-in?acr_values=mfa&return_to=%2Fvault", signin.ErrStepUpRequired},
		{"an unmet age is 401 to a program", "/fresh", program, signin.AuthenticatedWithin(time.Minute), 401, "", signin.ErrStepUpRequired},
	} {
		t.Run("7.4 "+row.name, func(t *testing.T) {
			t.Parallel()
			a, g := newApp(t, with{}), &guarded{}
			a.mount(row.path, a.auth.Require(row.rule)(g))
			b := a.signedIn(signintest.Alice())
			held, said, asked := b.cookies(), len(a.log.String()), a.provider.Stats().Authorizations
			got := b.get(row.path, row.accept)
			got.want(t, row.status, row.location)
			if g.calls != 0 || strings.Contains(got.body, "INSIDE") {
				t.Errorf("protected handler: called %d times; want not a byte of it", g.calls)
			}
			if now := b.cookies(); now != held || b.who() != signintest.Alice().Subject {
				t.Error("session: got another, or none; want the one from before")
			}
			if n := a.provider.Stats().Authorizations; n != asked {
				t.Errorf("sign-ins begun: got %d; want none", n-asked)
			}
			for _, secret := range append(a.provider.Secrets(), strings.Split(held, "=")[1]) {
				if strings.Contains(a.log.String(), secret) || strings.Contains(got.body, secret) {
					t.Error("log or page: got one with a secret; want none")
				}
			}
			// A refusal is told by an event: it is no failure that the log should hold.
			var denied []error
			for _, e := range a.events {
				if e.Kind == signin.EventRefused {
					denied = append(denied, e.Err)
				}
			}
			if len(denied) != 1 || !errors.Is(denied[0], row.code) {
				t.Errorf("events: got refusals %v; want one, %v", denied, row.code)
			}
			if strings.Contains(a.log.String()[said:], "code=") {
				t.Errorf("log: got %q; want nothing", a.log.String()[said:])
			}
		})
	}
	for name, acr := range map[string]string{"did not help": "pwd", "helped": "mfa"} {
		t.Run("7.4 a step-up that "+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{provider: []signintest.Option{signintest.WithACR(acr)}})
			a.mount("/vault", a.auth.Require(signin.ACR("mfa"))(http.HandlerFunc(a.account)))
			b := a.signedIn(signintest.Alice())
			held := b.session()
			got := b.visit("/vault", signintest.Alice())
			status, path, calls := http.StatusForbidden, "/callback", 0
			if acr == "mfa" {
				status, path, calls = http.StatusOK, "/vault", 1
			}
			if got.StatusCode != status || got.Request.URL.Path != path || a.insideCalls() != calls {
				t.Errorf("got %s at %s, the handler called %d times; want %d at %s, and %d", got.Status, got.Request.URL.Path, a.insideCalls(), status, path, calls)
			}
			if who := b.who(); who != signintest.Alice().Subject || (b.session() == held) != (calls == 0) {
				t.Errorf("signed in afterwards: got %q; want Alice, with a new session only if it helped", who)
			}
		})
	}
}

// Pages writes every page, and nothing that is not one. Headers are as for the
// package's own page.
func TestPages(t *testing.T) {
	t.Parallel()
	var shown []*signin.Page // by the one request that is under way
	own := with{config: func(c *signin.Config) {
		c.Paths.AfterSignIn, c.Paths.AfterSignOut = "/home", "/bye"
		c.Pages = func(w http.ResponseWriter, _ *http.Request, p *signin.Page) {
			shown = append(shown, p)
			w.WriteHeader(p.Status)
			fmt.Fprint(w, "own page")
		}
	}}
	a, down := newApp(t, own), newApp(t, own)
	down.provider.Down()
	a.mount("/owners", a.auth.Require(signin.HasRole("owner"))(http.HandlerFunc(a.account)))
	a.mount("/fresh", a.auth.Require(signin.AuthenticatedWithin(time.Minute))(http.HandlerFunc(a.account)))
	link := func(text, url string) []signin.Action {
		return []signin.Action{{Text: text, URL: url, Method: "GET"}}
	}
	button := []signin.Action{{Text: "Sign out", URL: "/sign-out", Method: "POST"}}
	nobody, alice := a.browser(), a.signedIn(signintest.Alice())
	issuer := "&iss=" + url.QueryEscape(a.provider.Issuer)
	for _, row := range []struct {
		name         string
		browser      *browser
		method, path string
		header       []string
		status       int
		code         signin.Code // "": not called
		actions      []signin.Action
		want         map[string]string
	}{
		{"a form that came too late", nobody, "POST", "/account", nil, 401, signin.ErrNotSignedIn, link("Sign in", "/sign-in"), map[string]string{"WWW-Authenticate": scheme}},
		{"a form of a page to go back to", nobody, "POST", "/account", []string{"Referer: " + a.server.URL + "/account"}, 401, signin.ErrNotSignedIn,
			link("Sign in", "/sign-in?return_to=%2Faccount"), map[string]string{"WWW-Authenticate": scheme}},
		{"a form that needs a step-up", alice, "POST", "/fresh", nil, 401, signin.ErrStepUpRequired, link("Sign in again", "/sign-in?max_age=60"), map[string]string{"WWW-Authenticate": scheme}},
		{"a rule that does not hold", alice, "GET", "/owners", nil, 403, signin.ErrForbidden, link("Back to the start", "/home"), nil},
		{"no sign-in under way", nobody, "GET", "/callback?code=x&state=1x" + issuer, nil, 400, signin.ErrSignInExpired, link("Start again", "/sign-in"), nil},
		{"another method", nobody, "POST", "/callback", nil, 405, signin.ErrMethodNotAllowed, link("Back to the start", "/bye"), map[string]string{"Allow": "GET"}},
		{"a foreign issuer", nobody, "GET", "/sign-in?iss=x", nil, 400, signin.ErrBadRequest, link("Back to the start", "/bye"), nil},
		{"the question before a sign-out", nobody, "GET", "/sign-out", nil, 200, signin.ConfirmSignOut, button, nil},
		{"the question to a user", alice, "GET", "/sign-out", nil, 200, signin.ConfirmSignOut, button, nil},
		{"a sign-out by a form of another site", alice, "POST", "/sign-out", []string{"Sec-Fetch-Site: cross-site"}, 403, signin.ConfirmSignOut, button, nil},
		{"a program", nobody, "GET", "/account", []string{"Accept: application/json"}, 401, "", nil, nil},
		{"a rule that does not hold for a program", alice, "GET", "/owners", []string{"Accept: application/json"}, 403, "", nil, nil},
		{"a program's bad callback", nobody, "GET", "/callback", []string{"Accept: application/json"}, 400, "", nil, nil},
		{"HTMX", nobody, "GET", "/account", []string{"HX-Request: true"}, 401, "", nil, nil},
		{"a redirect", nobody, "GET", "/account", nil, 303, "", nil, nil},
		{"a step-up's redirect", alice, "GET", "/fresh", nil, 303, "", nil, nil},
		{"a provider that is down", down.browser(), "GET", "/sign-in", nil, 503, signin.ErrProviderUnavailable, link("Try again", "/sign-in"), nil},
	} {
		shown = nil
		got := row.browser.do(row.method, row.path, row.header...)
		t.Log(row.name)
		wantHeader(t, got.Header, map[string]string{"Cache-Control": "private, no-store", "Vary": "Cookie", "Set-Cookie": ""})
		wantHeader(t, got.Header, row.want)
		if retry := got.Header.Get("Retry-After"); (retry != "") != (row.status == 503) {
			t.Errorf("Retry-After: got %q with %d", retry, row.status)
		}
		if got.StatusCode != row.status || (got.body == "own page") != (row.code != "") || strings.Contains(got.body, "<h1>") {
			t.Errorf("got %d, %q; want %d, by the application: %t", got.StatusCode, got.body, row.status, row.code != "")
		}
		if row.code == "" {
			if len(shown) > 0 {
				t.Errorf("got page %+v; want none", *shown[0])
			}
			continue
		}
		if len(shown) != 1 {
			t.Fatalf("got %d pages; want 1", len(shown))
		}
		p := *shown[0]
		if p.Title == "" || p.Text == "" {
			t.Errorf("got title %q, text %q; want both", p.Title, p.Text)
		}
		p.Title, p.Text = "", ""
		if want := (signin.Page{Status: row.status, Code: row.code, Language: "en", Actions: row.actions}); !reflect.DeepEqual(p, want) {
			t.Errorf("got page %+v; want %+v", p, want)
		}
	}
	if who := alice.who(); who != signintest.Alice().Subject || a.insideCalls() != 0 {
		t.Errorf("got %q signed in, handlers called %d times; want the session to stand, and none", who, a.insideCalls())
	}
}

// The message of a rule is the page's text, and not its title; no cause is on a page.
func TestPagesSayWhatARuleSays(t *testing.T) {
	t.Parallel()
	var shown *signin.Page
	a := newApp(t, with{config: func(c *signin.Config) {
		c.Pages = func(w http.ResponseWriter, _ *http.Request, p *signin.Page) { shown = p; w.WriteHeader(p.Status) }
	}})
	a.mount("/closed", a.auth.Require(signin.RuleFunc(func(*http.Request, *signin.User) error {
		return &signin.Error{Code: signin.ErrForbidden, Status: http.StatusLocked, Message: "Closed until <Monday>.", Err: errOnPurpose}
	}))(http.HandlerFunc(a.account)))
	a.signedIn(signintest.Alice()).get("/closed").want(t, http.StatusLocked, "")
	want := &signin.Page{Status: http.StatusLocked, Code: signin.ErrForbidden, Language: "en", Title: "This page is not open to you", Text: "Closed until <Monday>.",
		Actions: []signin.Action{{Text: "Back to the start", URL: "/", Method: "GET"}}}
	if !reflect.DeepEqual(shown, want) || a.insideCalls() != 0 {
		t.Errorf("got page %+v, handler called %d times; want %+v, and none", shown, a.insideCalls(), want)
	}
}

// How every visit begins is no event; everything else that is refused is one.
func TestEvents_OfRequestsThatAreNotSignedIn(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for _, k := range kinds {
		w, before := httptest.NewRecorder(), len(a.kinds())
		a.auth.RequireAuth(&guarded{}).ServeHTTP(w, a.request(k.method, "/account", k.header))
		var want []signin.EventKind
		if k.shape != "redirect" {
			want = []signin.EventKind{signin.EventRefused}
		}
		if got := a.kinds()[before:]; !slices.Equal(got, want) {
			t.Errorf("%s: got events %q; want %q", k.name, got, want)
			continue
		}
		if want != nil && !errors.Is(a.events[before].Err, signin.ErrNotSignedIn) {
			t.Errorf("%s: got %v; want %v", k.name, a.events[before].Err, signin.ErrNotSignedIn)
		}
	}
}

// A sign-in that cannot begin has failed, wherever it was to begin.
func TestEvents_OfASignInThatCannotBegin(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*app){
		"the route": func(a *app) { a.browser().get("/sign-in").want(t, http.StatusServiceUnavailable, "") },
		"BeginSignIn": func(a *app) {
			w := httptest.NewRecorder()
			location, err := a.auth.BeginSignIn(w, httptest.NewRequest("GET", "/", nil))
			if location != "" || !errors.Is(err, signin.ErrProviderUnavailable) || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("got %q, %v and cookies %q; want %v alone", location, err, w.Header()["Set-Cookie"], signin.ErrProviderUnavailable)
			}
		},
	} {
		a := newApp(t, with{})
		a.provider.Down()
		begin(a)
		if got := a.kinds(); !slices.Equal(got, []signin.EventKind{signin.EventSignInFailed}) || !errors.Is(a.events[0].Err, signin.ErrProviderUnavailable) {
			t.Errorf("%s: got events %q; want one, of a sign-in that failed with %v", name, got, signin.ErrProviderUnavailable)
		}
	}
}
func TestCasesRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.signedIn(signintest.Alice())
	signedOut := b.cookies()
	b.do(http.MethodPost, "/sign-out")

	called := false
	guarded := a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		called = true
		w.Header().Set("X-Inside", "canary")
		_, _ = io.WriteString(w, "canary")
	}))
	for who, cookies := range map[string]string{
		"nobody": "", "a forged session": "signin=" + strings.Repeat("A", 1200), "a session that was signed out": signedOut,
	} {
		for what, header := range map[string]http.Header{
			"GET of a page":      {"Accept": {"text/html"}},
			"POST of a form":     {"Accept": {"text/html"}, "Content-Type": {"application/x-www-form-urlencoded"}},
			"GET by a program":   {"Accept": {"application/json"}},
			"GET by htmx":        {"Hx-Request": {"true"}, "Accept": {"*/*"}},
			"GET of a prefetch":  {"Sec-Purpose": {"prefetch"}, "Accept": {"text/html"}},
			"GET of a WebSocket": {"Connection": {"Upgrade"}, "Upgrade": {"websocket"}},
			"HEAD of a page":     {"Accept": {"text/html"}},
		} {
			t.Run(fmt.Sprintf("7.2 the protected handler is never called, and not a byte of it sent: %s by %s", what, who), func(t *testing.T) {
				called = false
				method, _, _ := strings.Cut(what, " ")
				r := httptest.NewRequest(method, "/account", nil)
				r.Header = header.Clone()
				r.Header.Set("Cookie", cookies)
				w := httptest.NewRecorder()
				guarded.ServeHTTP(w, r)
				if called || w.Code == http.StatusOK || strings.Contains(w.Body.String(), "canary") || w.Header().Get("X-Inside") != "" {
					t.Errorf("got %d %q, handler called %v; want a refusal and nothing of the handler", w.Code, w.Body, called)
				}
			})
		}
	}
}
