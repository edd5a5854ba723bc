package app

import (
	"encoding/json"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// running is an application of these pages, its provider, and its API.
type running struct {
	http.Handler
	url      string
	auth     *signin.Auth
	provider *signintest.Provider
	settings *Settings
	endAPI   func()
}

// application has an API unless resource is empty.
func application(t *testing.T, resource string) *running {
	t.Helper()
	a := &running{provider: signintest.NewProvider(), endAPI: func() {}}
	t.Cleanup(a.provider.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := a.provider.Config(server.URL)
	cfg.Logger, cfg.HTTPClient = slog.New(slog.DiscardHandler), &http.Client{Transport: transport}
	cfg.Scopes = []string{"roles", "urn:logto:scope:organizations", "urn:logto:scope:organization_roles",
		"read:orders", "write:orders", "read:members", "invite:members"}
	a.url, a.settings = server.URL, &Settings{BaseURL: server.URL, APIResource: resource}
	if resource != "" {
		cfg.Resources = []string{resource}
		end, err := a.settings.StartAPI(cfg)
		if err != nil {
			t.Fatal(err)
		}
		a.endAPI = sync.OnceFunc(end)
		t.Cleanup(a.endAPI)
	}
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.auth = auth
	a.mount()
	return a
}

// mount makes the handlers of a's settings.
func (a *running) mount() {
	auth, mux := a.auth, http.NewServeMux()
	mux.HandleFunc("/sign-in", auth.SignIn())
	mux.HandleFunc("/callback", auth.Callback())
	mux.Handle("GET /{$}", auth.Load(http.HandlerFunc(Home)))
	mux.Handle("GET /account", auth.RequireAuth(http.HandlerFunc(Account)))
	mux.Handle("/", auth.Load(http.HandlerFunc(NotFound)))
	mux.HandleFunc("GET /static/{file}", Static)
	mux.Handle("GET /admin", auth.Require(signin.HasRole("admin"))(http.HandlerFunc(Admin)))
	mux.Handle("GET /organizations", auth.RequireAuth(http.HandlerFunc(Organizations)))
	mux.Handle("GET /organizations/{organization}", auth.Require(Member)(http.HandlerFunc(Organization)))
	mux.Handle("GET /organizations/{organization}/settings", auth.Require(Owner)(http.HandlerFunc(OrganizationSettings)))
	mux.Handle("/orders", auth.RequireAuth(Orders(a.settings)))
	recently := auth.Require(signin.AuthenticatedWithin(5 * time.Minute))
	mux.Handle("GET /account/delete", recently(http.HandlerFunc(ConfirmDelete)))
	mux.Handle("POST /account/delete", recently(http.HandlerFunc(Delete)))
	a.Handler = Secure(mux)
}

// get requests a page as user, who may be nil.
func get(t *testing.T, app http.Handler, path string, user *signin.User) *httptest.ResponseRecorder {
	t.Helper()
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
		SignedInAt: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), ExpiresAt: time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC),
		Claims: json.RawMessage(`{"sub":"alice1","name":"Alice <Example>","created_at":1735787045678}`),
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

func TestPagesShowWhatIsKnownOfThePerson(t *testing.T) {
	t.Parallel()
	app := application(t, "")
	for _, row := range []struct {
		name, path string
		user       *signin.User
		status     int
		has, lacks []string
	}{
		{"home of nobody offers every way in", "/", nil, 200,
			[]string{"You are not signed in", `href="/sign-in"`, `href="/sign-up"`, `href="/sign-in/naver"`, `href="/sign-in/x"`}, []string{"Hello", "/sign-out"}},
		{"home of Alice greets her", "/", alice, 200,
			[]string{"Hello, Alice <Example>", `src="https://pictures.example.test/alice.png"`, `<form method="post" action="/sign-out">`}, []string{"/sign-up", `method="get"`}},
		{"home of somebody without a name", "/", nameless, 200, []string{"Hello, friend"}, []string{"<img src=\"\""}},
		{"account of Alice", "/account", alice, 200, []string{"Alice <Example>", "alice@example.test<", "admin, editor", "2 January 2025",
			"1 March 2026, 09:30 UTC", "2 March 2026, 09:30 UTC", `"created_at": 1735787045678`}, []string{"not verified", "not given"}},
		{"account from Naver has a picture, and an address nobody verified", "/account", naver, 200,
			[]string{"길동", `src="https://pictures.example.test/gildong.png"`, "gildong@naver.example.test (not verified)"}, []string{"Account since"}},
		{"account from X has neither picture nor address", "/account", x, 200,
			[]string{"Xavier", ">X</span>", "<dt>E-mail</dt><dd>not given</dd>"}, []string{"referrerpolicy", "Account since"}},
		{"a picture that is a script is no picture", "/account", hostile, 200, []string{`src="#ZgotmplZ"`, `alt="H"`}, []string{`javascript:`}},
		{"claims that do not fit are an error, and stay in the log", "/account", odd, 500, []string{"Something went wrong"}, []string{"created_at"}},
		{"no such page, for nobody", "/nowhere", nil, 404, []string{"No such page", `href="/sign-in"`}, nil},
		{"no such page, for Alice", "/account/", alice, 404, []string{"No such page", "/sign-out"}, nil},
		{"the files are not listed", "/static/", nil, 404, []string{"No such page"}, []string{"portrait"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := get(t, app, row.path, row.user)
			if w.Code != row.status {
				t.Errorf("status: got %d; want %d", w.Code, row.status)
			}
			body := html.UnescapeString(w.Body.String())
			for _, want := range row.has {
				if !strings.Contains(body, want) {
					t.Errorf("got no %q in the page; want it\n%s", want, body)
				}
			}
			for _, not := range row.lacks {
				if strings.Contains(body, not) {
					t.Errorf("got %q in the page; want it not to be there\n%s", not, body)
				}
			}
			if row.user != nil && strings.Contains(w.Body.String(), "<Example>") {
				t.Error("got markup from a claim in the page; want it escaped")
			}
		})
	}
}

// Whatever a page loads or runs is of this application.
func TestPagesNeedNoScriptAndNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	app := application(t, "")
	foreign := regexp.MustCompile(`(?i)<script|\sstyle=|<style|\son[a-z]+=|(?:src|href|action)="(?:[^"/]|//)`)
	loads := regexp.MustCompile(`(?:src|<link[^>]* href)="(/[^"]+)"`)
	for _, row := range []struct {
		path string
		user *signin.User
	}{{"/", nil}, {"/", x}, {"/account", x}, {"/nowhere", nil}} {
		w := get(t, app, row.path, row.user)
		if got := foreign.FindString(w.Body.String()); got != "" {
			t.Errorf("%s: got %q in the page; want nothing of the kind", row.path, got)
		}
		files := loads.FindAllStringSubmatch(w.Body.String(), -1)
		if len(files) < 2 {
			t.Errorf("%s: got %d files that it loads; want stylesheet and icon", row.path, len(files))
		}
		for _, file := range files {
			if got := get(t, app, file[1], nil); got.Code != http.StatusOK {
				t.Errorf("%s loads %s: got %d; want 200", row.path, file[1], got.Code)
			}
		}
	}
}

func TestEveryAnswerCarriesThePolicy(t *testing.T) {
	t.Parallel()
	app := application(t, "")
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' https:; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "same-origin",
	}
	for _, path := range []string{"/", "/account", "/nowhere", "/static/portrait.svg"} {
		w := get(t, app, path, x)
		for name, value := range want {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s: %s: got %q; want %q", path, name, got, value)
			}
		}
	}
}

func TestTheAccountPageIsForPeopleWhoAreSignedIn(t *testing.T) {
	t.Parallel()
	w := get(t, application(t, ""), "/account", nil)
	if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != "/sign-in?return_to=%2Faccount" {
		t.Errorf("got %d to %q; want 303 to the sign-in, and back", w.Code, got)
	}
	if strings.Contains(w.Body.String(), "About you") {
		t.Error("got the page in the refusal; want nothing of it")
	}
}

func TestPagesSayWhichReplicaTheyCameFrom(t *testing.T) {
	t.Parallel()
	single := application(t, "")
	several := FromReplica(2, 3, single)
	for _, path := range []string{"/", "/account", "/nowhere"} {
		const line = "<footer>This page came from replica 2 of 3.</footer>"
		if body := get(t, several, path, alice).Body.String(); strings.Count(body, line) != 1 {
			t.Errorf("%s of a replica: got no %q in it; want it once\n%s", path, line, body)
		}
		if body := get(t, single, path, alice).Body.String(); strings.Contains(body, "replica") {
			t.Errorf("%s where there is one process: got a word about replicas in it; want none\n%s", path, body)
		}
	}
}

func TestAPageThatFailsIsNotHalfAPage(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	render(w, http.StatusOK, "account", struct{ Title string }{"A view that lacks what the page needs"})
	if body := w.Body.String(); w.Code != http.StatusInternalServerError || body != "Something went wrong.\n" {
		t.Errorf("got %d %q; want 500 and one sentence", w.Code, body)
	}
}
