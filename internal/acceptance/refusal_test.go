package acceptance_test

import (
	"encoding/json"
	"errors"
	"fmt"
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

// requests are requests of each kind, with the shape of their refusal by a guard.
// Package requestkind tests many more.
var requests = []struct {
	name, method string
	header       string // lines
	shape        string
}{
	{"a navigation", "GET", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\nSec-Fetch-Site: cross-site", "redirect"},
	{"a form", "POST", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", "page"},
	{"htmx", "GET", "HX-Request: true\nAccept: */*\nHX-Current-URL: {app}/list?a=b", "htmx /list?a=b"},
	{"htmx on a page of another site", "GET", "HX-Request: true\nHX-Current-URL: https://e.test/list", "htmx"},
	{"fetch", "GET", "Accept: */*\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty", "problem"},
	{"JSON", "GET", "Accept: application/json", "problem"},
	{"a WebSocket", "GET", "Accept: text/html\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13", "problem"},
	{"a prefetch", "GET", "Accept: text/html\nSec-Purpose: prefetch\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", "problem"},
	{"an image", "GET", "Accept: image/*\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image", "problem"},
	{"HEAD", "HEAD", "Accept: text/html\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", "problem"},
	{"DELETE", "DELETE", "Accept: text/html", "problem"},
}

// scheme is the challenge of 401 answers, which must have one (RFC 9110, section 15.5.2).
const scheme = `Cookie realm="sign-in"`

// wantShape checks a refusal of /account?tab=1.
func (a *app) wantShape(t *testing.T, w *httptest.ResponseRecorder, shape string, head bool) {
	t.Helper()
	shape, back, _ := strings.Cut(shape, " ")
	want := map[string]string{"Cache-Control": "private, no-store", "CDN-Cache-Control": "no-store", "Vary": "Cookie", "Set-Cookie": "",
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
		want["Content-Type"], want["Vary"] = "text/html; charset=utf-8", "Cookie | Accept-Language"
		if !strings.Contains(body, `<a href="/sign-in">`) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("got page %s; want one that cannot be framed, with a way to sign in", body)
		}
	case "problem":
		maps.Copy(want, map[string]string{"Content-Type": "application/problem+json", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer"})
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

// Every refusal has the shape for its kind of request, whatever session the request
// brings, and not a byte of the protected handler's page (7.2). The redirect of a navigation is not
// an event, since every visit begins with one.
func TestRefusal_NotSignedIn(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	g := &guarded{}
	own := a.signedIn(signintest.Alice()).cookies()
	bob := a.signedIn(signintest.Bob())
	ended := bob.cookies()
	bob.do(http.MethodPost, "/sign-out")
	for _, presented := range []struct{ name, cookie string }{
		{"nothing", ""},
		{"garbage", "signin=x"},
		{"a session with one letter changed", own[:60] + string(own[60]^1) + own[61:]},
		{"the session of another application", newApp(t, with{}).signedIn(signintest.Alice()).cookies()},
		{"a session twice", own + "; " + own},
		{"a copy of a session that was signed out", ended},
	} {
		for _, k := range requests {
			t.Run("7.1 "+k.name+" with "+presented.name, func(t *testing.T) {
				for around, h := range map[string]http.Handler{
					"RequireAuth": a.auth.RequireAuth(g), "Load": a.auth.Load(a.auth.RequireAuth(g)), "twice": a.auth.RequireAuth(a.auth.RequireAuth(g)),
				} {
					r, w := a.request(k.method, "/account?tab=1", k.header), httptest.NewRecorder()
					if presented.cookie != "" {
						r.Header.Set("Cookie", presented.cookie)
					}
					before := len(a.kinds())
					h.ServeHTTP(w, r)
					a.wantShape(t, w, k.shape, k.method == http.MethodHead)
					refused := slices.DeleteFunc(a.kinds()[before:], func(kind signin.EventKind) bool { return kind == signin.EventSessionEnded })
					if want := map[bool]int{true: 0, false: 1}[k.shape == "redirect"]; len(refused) != want || want > 0 && refused[0] != signin.EventRefused {
						t.Errorf("events: got %q; want %d refusals", refused, want)
					}
					if g.calls > 0 || strings.Contains(w.Body.String(), "INSIDE") {
						t.Fatalf("%s: got the protected handler called, or its page; want neither", around)
					}
				}
			})
		}
	}
	t.Run("7.2 the protected handler is never called", func(t *testing.T) {
		if g.calls != 0 {
			t.Errorf("got %d calls; want none", g.calls)
		}
	})
	for _, err := range a.errs(signin.EventRefused) {
		if !errors.Is(err, signin.ErrNotSignedIn) {
			t.Errorf("event: got %v; want %v", err, signin.ErrNotSignedIn)
		}
	}
}

// Whether a request is let in does not depend on what it says about its origin, its
// kind or its target.
func TestGuard_HeadersAndTargetsDoNotDecide(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	cookies := a.signedIn(signintest.Alice()).cookies()
	for _, header := range []string{
		"Accept: text/html", "Accept: application/json", "User-Agent: kube-probe/1.31", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: internal",
		"X-Forwarded-Uri: /", "X-Forwarded-User: alice", "X-Forwarded-Method: OPTIONS", "Forwarded: for=127.0.0.1;host=internal",
		"X-Original-URL: /", "X-Rewrite-URL: /public", "X-HTTP-Method-Override: OPTIONS", "Remote-User: alice", "Authorization: Bearer x",
		"Authorization: Basic YTpi", "Origin: null", "Sec-Fetch-Mode: cors", "Sec-Purpose: prefetch", "HX-Request: true", "Upgrade: websocket\nConnection: upgrade",
	} {
		t.Run("7.3 "+header, func(t *testing.T) {
			for _, target := range []string{"/", "/account?return_to=/sign-in", "/account#/sign-in", "/sign-in", "/callback?code=x&state=y",
				"/account/../sign-in", "/account;/public", "//account", "http://internal/account"} {
				for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "get"} {
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

func TestCaching(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for path, set := range map[string]func(http.Header){
		"/own":  func(h http.Header) { h.Set("Cache-Control", "private, max-age=60"); h.Add("Vary", "Accept") },
		"/none": func(http.Header) {},
		"/add":  func(h http.Header) { h.Add("Cache-Control", "max-age=0"); h.Add("Vary", "Accept") },
	} {
		inner := a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { set(w.Header()) }))
		a.mount(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if path != "/add" {
				w.Header().Add("Vary", "Accept-Encoding")
			}
			inner.ServeHTTP(w, r)
		}))
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
		{"an open page, signed in", func() answer { return in.get("/") }, 200, false, "no-store", "Cookie"},
		{"an open page, not signed in", func() answer { return b.get("/") }, 200, false, "", "Cookie"},
		{"a guarded page", func() answer { return in.get("/none") }, 200, false, "no-store", "Accept-Encoding | Cookie"},
		{"a guarded page with its own rule", func() answer { return in.get("/own") }, 200, false, "private, max-age=60", "Accept-Encoding | Cookie | Accept"},
		{"a guarded page that adds to the rules", func() answer { return in.get("/add") }, 200, false, "no-store | max-age=0", "Cookie | Accept"},
		{"a guard's redirect", func() answer { return b.get("/none") }, 303, false, never, "Accept-Encoding | Cookie"},
		{"a callback", func() answer { c := a.browser(); return c.get(c.respond(a.provider, "/sign-in", signintest.Bob())) }, 303, true, never, "Cookie"},
		{"a sign-in begun", func() answer { return b.get("/sign-in") }, 303, true, never, "Cookie"},
		{"a refreshed session", func() answer { a.clock.add(time.Hour); return in.get("/none") }, 200, true, never, "Accept-Encoding | Cookie"},
		{"a sign-out", func() answer { return in.do("POST", "/sign-out") }, 303, true, never, "Cookie"},
		{"a session that has ended, on an open page", func() answer { return old.get("/") }, 200, false, "", "Cookie"},
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

func TestRequire_NotMet(t *testing.T) {
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
		{"an unmet RuleFunc is 403 to a program too", "/own", program,
			signin.RuleFunc(func(*http.Request, *signin.User) error { return errOnPurpose }), 403, "", signin.ErrForbidden},
		{"an unmet age is a new sign-in", "/fresh", page, signin.AuthenticatedWithin(time.Minute), 303, "/sign-in?max_age=60&return_to=%2Ffresh", signin.ErrStepUpRequired},
		{"an unmet class is a new sign-in", "/vault", page, signin.ACR("mfa"), 303, "/sign-in?acr_values=mfa&return_to=%2Fvault", signin.ErrStepUpRequired},
		{"an unmet age is 401 to a program", "/fresh", program, signin.AuthenticatedWithin(time.Minute), 401, "", signin.ErrStepUpRequired},
	} {
		t.Run("7.4 "+row.name, func(t *testing.T) {
			t.Parallel()
			a, g := newApp(t, with{recorded: true, config: otherProvider}), &guarded{}
			a.mount(row.path, a.auth.Require(row.rule)(g))
			b := a.browser()
			b.visit("/sign-in", signintest.Alice())
			a.clock.add(3 * time.Minute)
			held, said, asked := b.cookies(), len(a.log.String()), a.provider.Stats().Authorizations
			got := b.get(row.path, row.accept)
			got.want(t, row.status, row.location)
			if g.calls != 0 || strings.Contains(got.body, "INSIDE") {
				t.Errorf("protected handler: called %d times; want none, and not a byte of its page", g.calls)
			}
			if now := b.cookies(); now != held || b.who() != signintest.Alice().Subject || a.provider.Stats().Authorizations != asked {
				t.Error("got another session, or none, or a sign-in begun; want the session from before")
			}
			// A refusal is an event, and not a failure to be logged.
			if refused := a.errs(signin.EventRefused); len(refused) != 1 || !errors.Is(refused[0], row.code) {
				t.Errorf("events: got refusals %v; want one, %v", refused, row.code)
			}
			if strings.Contains(a.log.String()[said:], "code=") {
				t.Errorf("log: got %q; want nothing", a.log.String()[said:])
			}
			a.wantNoLeak(t)
		})
	}
}

// People read pages in their language, and programs get English.
func TestRefusal_Language(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	for _, row := range []struct {
		header []string
		want   string
	}{
		{nil, `<html lang="en">`},
		{[]string{"Accept-Language: fr, ko;q=0.5"}, `<html lang="ko">`},
		{[]string{"Accept-Language: th-TH"}, `<html lang="th">`},
		{[]string{"Accept-Language: ko", "Accept: application/json"}, `"detail":"You are not signed in`},
	} {
		if got := a.browser().do("POST", "/account", row.header...); !strings.Contains(got.body, row.want) {
			t.Errorf("%q: got %.300q; want %s in it", row.header, got.body, row.want)
		}
	}
}

// With Config.Pages the application writes every page, and nothing else. The headers
// are those of the package's own pages, which package page tests.
func TestPages(t *testing.T) {
	t.Parallel()
	var shown []*signin.Page // by the current request
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
	home := signin.Action{Text: "Go to the home page", URL: "/bye", Method: "GET"}
	or := func(text, url string) []signin.Action {
		return []signin.Action{{Text: text, URL: url, Method: "GET"}, home}
	}
	button := []signin.Action{{Text: "Sign out", URL: "/sign-out", Method: "POST"}, {Text: "Stay signed in", URL: "/home", Method: "GET"}}
	stranger, alice := a.browser(), a.signedIn(signintest.Alice())
	challenge := map[string]string{"WWW-Authenticate": scheme}
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
		{"a form sent without a session", stranger, "POST", "/account", nil, 401, signin.ErrNotSignedIn, or("Sign in", "/sign-in"), challenge},
		{"another method", stranger, "POST", "/callback", nil, 405, signin.ErrMethodNotAllowed, []signin.Action{home}, map[string]string{"Allow": "GET"}},
		{"the question before a sign-out", alice, "GET", "/sign-out", nil, 200, signin.ConfirmSignOut, button, nil},
		{"a sign-out by a form of another site", alice, "POST", "/sign-out", []string{"Sec-Fetch-Site: cross-site"}, 403, signin.ConfirmSignOut, button, nil},
		{"no question without a session", stranger, "GET", "/sign-out", nil, 303, "", nil, map[string]string{"Location": "/bye"}},
		{"a program", stranger, "GET", "/account", []string{"Accept: application/json"}, 401, "", nil, nil},
		{"HTMX", stranger, "GET", "/account", []string{"HX-Request: true"}, 401, "", nil, nil},
		{"a redirect", stranger, "GET", "/account", nil, 303, "", nil, nil},
		{"a provider that is down", down.browser(), "GET", "/sign-in", nil, 503, signin.ErrProviderUnavailable, or("Try again", "/sign-in"), nil},
	} {
		t.Run("7.5 "+row.name, func(t *testing.T) {
			shown = nil
			got := row.browser.do(row.method, row.path, row.header...)
			vary := "Cookie"
			if row.code != "" {
				vary += " | Accept-Language"
			}
			wantHeader(t, got.Header, map[string]string{"Cache-Control": "private, no-store", "Vary": vary, "Set-Cookie": ""})
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
				return
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
		})
	}
	if who := alice.who(); who != signintest.Alice().Subject || a.insideCalls() != 0 {
		t.Errorf("got %q signed in, handlers called %d times; want still Alice, and no call", who, a.insideCalls())
	}
}

// A route that is called with another method does nothing at all.
func TestRoutes_OtherMethods(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.signedIn(signintest.Alice())
	token := url.Values{"logout_token": {a.provider.LogoutToken(signintest.Alice().Subject, "")}}.Encode()
	asked, events := a.provider.Stats().Authorizations, len(a.kinds())
	for _, row := range []struct{ method, path, allow string }{
		{"POST", "/sign-in", "GET, HEAD"},
		{"PUT", "/sign-out", "GET, HEAD, POST"},
		{"GET", "/backchannel-logout?" + token, "POST"},
	} {
		got := b.do(row.method, row.path)
		got.untouched(t, http.StatusMethodNotAllowed, signin.ErrMethodNotAllowed)
		if allow := got.Header.Get("Allow"); allow != row.allow {
			t.Errorf("%s %s: got Allow %q; want %q", row.method, row.path, allow, row.allow)
		}
	}
	if got := a.kinds()[events:]; len(got) > 0 || a.provider.Stats().Authorizations != asked || b.who() != signintest.Alice().Subject {
		t.Errorf("got events %q, %q signed in; want none, nothing asked of the provider, and still Alice", got, b.who())
	}
}

func TestError_WithoutACause(t *testing.T) {
	t.Parallel()
	if got := (&signin.Error{Code: signin.ErrNotMember}).Error(); got != "signin: not member" {
		t.Errorf("got %q; want the code's text", got)
	}
}
