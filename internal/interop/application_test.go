package interop

import (
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin"
)

const (
	// refreshBefore makes a token due after half a minute, which is half its life,
	// and as early as any application refreshes. Tests cannot move the clocks of
	// providers. They move the application's, by less than the difference of clocks
	// at which a token is refused.
	refreshBefore = accessTokenLifetime / 2
	// untilRefresh is how far the application's clock moves until a fresh token is
	// due.
	untilRefresh = 31 * time.Second
)

// An application is a running web application that signs people in at a foreign
// provider.
type application struct {
	url   string
	op    foreign
	wire  *wire
	clock *clock
	log   *transcript
	// logouts are the logout tokens that the provider has sent.
	logouts *logoutTokens
}

// A clock is the wall clock, moved ahead. The zero value is not moved.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) move(ahead time.Duration) { c.ahead.Add(int64(ahead)) }

// startApplication starts an application on a free port of 127.0.0.1 and the
// provider that it trusts.
func startApplication(t *testing.T, provider foreignProvider) *application {
	t.Helper()
	servers, ops := startFor(t, provider, 1)
	return serve(t, servers[0], onServeMux, ops[0], "")
}

// listen takes a free port of 127.0.0.1 for an application that starts later,
// since its provider has to know its address first.
func listen() (server *httptest.Server, baseURL string) {
	server = httptest.NewUnstartedServer(nil)
	return server, "http://" + server.Listener.Addr().String()
}

// startFor starts a provider for n applications that start later.
func startFor(t *testing.T, provider foreignProvider, n int) (servers []*httptest.Server, ops []foreign) {
	t.Helper()
	var baseURLs []string
	for range n {
		server, base := listen()
		servers, baseURLs = append(servers, server), append(baseURLs, base)
	}
	return servers, provider.start(t, baseURLs...)
}

// serve starts an application that trusts op. Two that one browser visits need
// different cookie names, since cookies are not kept apart by port
// (https://www.rfc-editor.org/rfc/rfc6265#section-8.5).
func serve(t *testing.T, server *httptest.Server, mount func(*signin.Auth) http.Handler, op foreign, cookieName string) *application {
	t.Helper()
	base := "http://" + server.Listener.Addr().String()
	a := &application{url: base, op: op, wire: new(wire), clock: new(clock), log: new(transcript), logouts: new(logoutTokens)}
	cfg := signin.Config{
		Issuer:        a.op.issuer,
		ClientID:      a.op.clientID,
		ClientSecret:  a.op.clientSecret,
		BaseURL:       base,
		Keys:          [][]byte{[]byte(strings.Repeat("k", 32))},
		Scopes:        append([]string{"email"}, op.scopes...),
		Resources:     op.resources,
		RefreshBefore: refreshBefore,
		CookieName:    cookieName,
		MergeUserInfo: true,
		HTTPClient:    &http.Client{Transport: a.wire},
		Logger:        slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:           a.clock.Now,
	}
	if a.op.needsConsentPrompt {
		cfg.SignInOptions = []signin.SignInOption{signin.Prompt("consent")}
	}
	auth, err := signin.New(cfg)
	if err != nil {
		t.Fatalf("signin.New: %v", err)
	}
	server.Config.Handler = a.logouts.note(mount(auth))
	server.Start()
	t.Cleanup(func() {
		server.Close()
		if t.Failed() {
			t.Logf("the application logged:\n%s", a.log)
		}
	})
	return a
}

// signIn opens the account page as a visitor who is not signed in, and signs in as
// person at the provider.
func (a *application) signIn(t *testing.T, v *visitor, person string) *page {
	t.Helper()
	at := v.passProvider(v.visit(a.url+"/account"), a.op.issuer, person)
	if want := a.url + "/account"; at.url.String() != want || at.status != http.StatusOK {
		t.Fatalf("sign-in ended at %s with %d; want %s with 200%s\n%s", at.url.Path, at.status, want, at.way(), at.body)
	}
	if want := "subject=" + person; !strings.Contains(at.body, want) {
		t.Fatalf("the account page: got %q; want %q in it", at.body, want)
	}
	return at
}

// wantSignedOut checks that the visitor is not signed in to the application.
func (a *application) wantSignedOut(t *testing.T, v *visitor) {
	t.Helper()
	if at := v.visit(a.url + "/"); at.status != http.StatusOK || !strings.Contains(at.body, "not signed in") {
		t.Errorf("the home page: got %d %q; want not signed in", at.status, at.body)
	}
}

// wantSignedIn checks that the visitor is signed in to the application as person.
func (a *application) wantSignedIn(t *testing.T, v *visitor, person string) {
	t.Helper()
	if at := v.visit(a.url + "/"); at.status != http.StatusOK || !strings.Contains(at.body, person+" is signed in") {
		t.Errorf("the home page: got %d %q; want %s signed in", at.status, at.body, person)
	}
}

// home says whether a user is signed in, and links to the other pages.
func home(w http.ResponseWriter, r *http.Request) {
	user, ok := signin.UserFrom(r.Context())
	if !ok {
		user = nil
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = homePage.Execute(w, user)
}

var homePage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><title>Home</title>
{{if .}}<p>{{.Subject}} is signed in</p>
<p><a href="/account">Account</a> <a href="/sign-out">Sign out</a></p>
{{else}}<p>not signed in</p>
<p><a href="/sign-in">Sign in</a> <a href="/account">Account</a></p>
{{end}}</html>`))

// account shows what the provider has said of the person.
func account(w http.ResponseWriter, r *http.Request) {
	user, ok := signin.UserFrom(r.Context())
	if !ok {
		http.Error(w, "a guarded page without a user", http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, profile(user))
}

func profile(u *signin.User) string {
	return fmt.Sprintf("subject=%s\nissuer=%s\nname=%s\nemail=%s\npicture=%s\n",
		u.Subject, u.Issuer, u.Name, u.Email, u.Picture)
}
