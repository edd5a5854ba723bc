package app

import (
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

const ordersAPI = "https://api.example.com"

// running is an application with these routes, the provider for tests, and an API.
type running struct {
	http.Handler
	settings *Settings
	auth     *signin.Auth
	provider *signintest.Provider
	endAPI   func()
}

// application starts an application, without an API if resource is empty.
func application(t *testing.T, resource string) *running {
	t.Helper()
	a := &running{settings: &Settings{APIResource: resource, providerAddr: "127.0.0.1:0"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	a.settings.BaseURL = server.URL
	var err error
	if a.provider, err = a.settings.StartProvider(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.provider.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := a.provider.Config(server.URL)
	cfg.Logger, cfg.HTTPClient = slog.New(slog.DiscardHandler), &http.Client{Transport: transport}
	cfg.Scopes, cfg.Pages = Scopes(), ShowPage
	if resource != "" {
		cfg.Resources = []string{resource}
		end, err := a.settings.StartAPI(cfg)
		if err != nil {
			t.Fatal(err)
		}
		a.endAPI = sync.OnceFunc(end)
		t.Cleanup(a.endAPI)
	}
	if a.auth, err = signin.New(cfg); err != nil {
		t.Fatal(err)
	}
	a.Handler = Routes(a.auth, a.settings)
	return a
}

// answer is what a browser gets.
type answer struct {
	status         int
	location, body string
}

// send sends a request as a navigation does, with a form if there is one. It
// follows redirects as client does, and returns the address where they end.
func (a *running) send(t *testing.T, client *http.Client, method, address string, form url.Values) (got answer, at string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got = answer{resp.StatusCode, resp.Header.Get("Location"), html.UnescapeString(string(body))}
	return got, resp.Request.URL.String()
}

// ask sends one request to the application, and follows no redirect. A nil client
// is a new browser.
func (a *running) ask(t *testing.T, client *http.Client, method, path string) answer {
	t.Helper()
	if client == nil {
		client = a.provider.NewClient()
	}
	one := *client
	one.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got, _ := a.send(t, &one, method, a.settings.BaseURL+path, nil)
	return got
}

// signIn opens path, which must lead to the provider, signs a person in there, and
// returns the page to which that leads.
func (a *running) signIn(t *testing.T, client *http.Client, path, subject string) answer {
	t.Helper()
	_, at := a.send(t, client, "GET", a.settings.BaseURL+path, nil)
	if !strings.HasPrefix(at, a.provider.URL+"/sign-in") {
		t.Fatalf("%s: got to %s; want to the provider's sign-in", path, at)
	}
	got, _ := a.send(t, client, "POST", at, url.Values{"user": {subject}})
	return got
}

// browserOf returns a browser in which a person has signed in.
func (a *running) browserOf(t *testing.T, user signintest.User) *http.Client {
	t.Helper()
	client := a.provider.NewClient()
	a.signIn(t, client, "/sign-in", user.Subject).want(t, 200, "", []string{"Hello, " + user.Name})
	return client
}

// browserBefore returns a browser in which Alice has signed in, at a time that the
// provider did not state. So she has to confirm who she is, as if that were long ago.
func (a *running) browserBefore(t *testing.T) *http.Client {
	t.Helper()
	a.provider.Inject(faults.IDTokenAuthTimeMissing)
	defer a.provider.Clear()
	return a.browserOf(t, signintest.Alice())
}

// want checks an answer: what its page has, and what it lacks.
func (got answer) want(t *testing.T, status int, location string, has []string, lacks ...string) {
	t.Helper()
	if got.status != status || got.location != location {
		t.Errorf("got %d to %q; want %d to %q\n%s", got.status, got.location, status, location, got.body)
	}
	for _, want := range has {
		if !strings.Contains(got.body, want) {
			t.Errorf("got no %q in the page; want it\n%s", want, got.body)
		}
	}
	for _, not := range lacks {
		if strings.Contains(got.body, not) {
			t.Errorf("got %q in the page; want it not to be there\n%s", not, got.body)
		}
	}
}

// get requests a page as user, who may be nil.
func get(app http.Handler, path string, user *signin.User) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	app.ServeHTTP(w, signintest.WithUser(r, user))
	return w
}

var (
	alice = &signin.User{
		Subject: "alice1", Name: "Alice <Example>", Username: "alice", Email: "alice@example.test", EmailVerified: true,
		Picture: "https://pictures.example.test/alice.png", Roles: []string{"admin", "editor"},
		SignedInAt: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC),
		ExpiresAt:  time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC),
		Claims:     json.RawMessage(`{"sub":"alice1","name":"Alice <Example>","created_at":1735787045678}`),
	}
	naver = &signin.User{
		Subject: "naver1", Name: "길동", Email: "gildong@naver.example.test",
		Picture: "https://pictures.example.test/gildong.png", Claims: json.RawMessage(`{"sub":"naver1"}`),
	}
	x        = &signin.User{Subject: "x1", Name: "Xavier", Claims: json.RawMessage(`{"sub":"x1","picture":null,"created_at":null}`)}
	nameless = &signin.User{Subject: "n1", Claims: json.RawMessage(`{"sub":"n1"}`)}
	hostile  = &signin.User{Subject: "h1", Name: "H", Picture: "javascript:alert(1)", Claims: json.RawMessage(`{"sub":"h1"}`)}
	odd      = &signin.User{Subject: "o1", Claims: json.RawMessage(`{"created_at":"yesterday"}`)}
)

func TestPages_Users(t *testing.T) {
	t.Parallel()
	app := application(t, "")
	for _, row := range []struct {
		name, path string
		user       *signin.User
		status     int
		has, lacks []string
	}{
		{"home, not signed in, has every way to sign in", "/", nil, 200,
			[]string{"You are not signed in", `href="/sign-in"`, `href="/sign-up"`, `href="/sign-in/naver"`, `href="/sign-in/x"`},
			[]string{"Hello", "/sign-out", `href="/orders"`}},
		{"home in Korean", "/?lang=ko", alice, 200,
			[]string{`<html lang="ko">`, "Alice <Example>님, 안녕하세요", `href="?lang=ko" lang="ko" hreflang="ko" aria-current="true">한국어`}, []string{"Hello"}},
		{"a language that there is not", "/?lang=tlh", alice, 200, []string{`<html lang="en">`}, nil},
		{"home of Alice", "/", alice, 200,
			[]string{"Hello, Alice <Example>", `src="https://pictures.example.test/alice.png"`,
				`<form method="post" action="/sign-out">`,
				`href="/orders"`, `href="/admin"`, `href="/organizations"`, `href="/account/delete"`},
			[]string{"/sign-up", `method="get"`}},
		{"home of a user without a name", "/", nameless, 200, []string{"Hello, friend"}, []string{"<img src=\"\""}},
		{"account of Alice", "/account", alice, 200,
			[]string{"Alice <Example>", "alice@example.test<", "admin, editor", "2 January 2025",
				"1 March 2026, 09:30 UTC",
				"2 March 2026, 09:30 UTC", `"created_at": 1735787045678`, `action="/sign-out-everywhere"`},
			[]string{"not verified", "not given", "Last renewed"}},
		{"account in Thai", "/account?lang=th", alice, 200, []string{"2 มกราคม ค.ศ. 2025", "1 มีนาคม ค.ศ. 2026 เวลา 09:30 น. (UTC)"}, []string{"March"}},
		{"account from Naver, whose address is not verified", "/account", naver, 200,
			[]string{"길동", `src="https://pictures.example.test/gildong.png"`, "gildong@naver.example.test (not verified)"},
			[]string{"Account created"}},
		{"account from X, without picture and address", "/account", x, 200,
			[]string{"Xavier", ">X</span>", "<dt>E-mail</dt><dd>not given</dd>"},
			[]string{"referrerpolicy", "Account created"}},
		{"a picture that is a script is not used", "/account", hostile, 200,
			[]string{`src="#ZgotmplZ"`, `alt="H"`}, []string{`javascript:`}},
		{"claims of the wrong type are an error without details", "/account", odd, 500,
			[]string{"Something went wrong"}, []string{"created_at"}},
		{"no such page, not signed in", "/nowhere", nil, 404, []string{"Page not found", `href="/"`}, []string{"/sign-out"}},
		{"no such page, for Alice", "/account/", alice, 404, []string{"Page not found", "/sign-out"}, nil},
		{"the files are not listed", "/static/", nil, 404, []string{"Page not found"}, []string{"portrait"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := get(app, row.path, row.user)
			answer{w.Code, "", html.UnescapeString(w.Body.String())}.want(t, row.status, "", row.has, row.lacks...)
			if strings.Contains(w.Body.String(), "<Example>") {
				t.Error("got markup from a claim in the page; want it escaped")
			}
		})
	}
}

// Pages contain no script, and load only files of this application.
func TestPages_NoScriptsAndNoForeignFiles(t *testing.T) {
	t.Parallel()
	app := application(t, "")
	foreign := regexp.MustCompile(`(?i)<script|\sstyle=|<style|\son[a-z]+=|(?:src|href|action)="(?:[^"/?#]|//)`)
	loads := regexp.MustCompile(`(?:src|<link[^>]* href)="(/[^"]+)"`)
	for _, row := range []struct {
		path string
		user *signin.User
	}{{"/", nil}, {"/", x}, {"/account", x}, {"/nowhere", nil}} {
		w := get(app, row.path, row.user)
		if got := foreign.FindString(w.Body.String()); got != "" {
			t.Errorf("%s: got %q in the page; want no scripts, styles or foreign addresses", row.path, got)
		}
		files := loads.FindAllStringSubmatch(w.Body.String(), -1)
		if len(files) < 2 {
			t.Errorf("%s: got %d files that it loads; want stylesheet and icon", row.path, len(files))
		}
		for _, file := range files {
			if got := get(app, file[1], nil); got.Code != http.StatusOK {
				t.Errorf("%s loads %s: got %d; want 200", row.path, file[1], got.Code)
			}
		}
	}
}

func TestRoutes_SecurityHeaders(t *testing.T) {
	t.Parallel()
	app := application(t, "")
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' https:; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "same-origin",
	}
	for _, path := range []string{"/", "/account", "/nowhere", "/static/portrait.svg"} {
		header := get(app, path, x).Header()
		for name, value := range want {
			if got := header.Get(name); got != value {
				t.Errorf("%s: %s: got %q; want %q", path, name, got, value)
			}
		}
	}
}

func TestFromReplica(t *testing.T) {
	t.Parallel()
	single := application(t, "")
	several := FromReplica(2, 3, single)
	for _, path := range []string{"/", "/account", "/nowhere"} {
		const line = "<p>This page came from replica 2 of 3.</p>"
		if body := get(several, path, alice).Body.String(); strings.Count(body, line) != 1 {
			t.Errorf("%s of a replica: got no %q in it; want it once\n%s", path, line, body)
		}
		if body := get(single, path, alice).Body.String(); strings.Contains(body, "replica") {
			t.Errorf("%s of a single process: got a word about replicas in it; want none\n%s", path, body)
		}
	}
}
