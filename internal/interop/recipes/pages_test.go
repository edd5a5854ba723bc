package recipes

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A test of one handler needs no provider.
func TestNewest(t *testing.T) {
	t.Parallel()
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/inbox/newest", nil)
	newest(w, signintest.WithUser(r, &signin.User{Subject: "alice", Name: "Alice"}))
	if want := "<li>Welcome, Alice</li>\n"; w.Body.String() != want {
		t.Errorf("got %q; want %q", w.Body, want)
	}
}

// A test of the whole application: Alice opens a guarded page, signs in, and sees it.
func TestSite(t *testing.T) {
	t.Parallel()
	app := signintest.Start(t, newSite)
	resp, err := app.Browser(signintest.Alice()).Get(app.URL + "/inbox")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "Alice Example") {
		t.Errorf("got %d, %v, and %s; want 200 and her name", resp.StatusCode, err, body)
	}
}

// What people see when the provider does not let them in.
func TestSite_SignInDeclined(t *testing.T) {
	t.Parallel()
	app := signintest.Start(t, newSite)
	app.Provider.Inject(signintest.SignInDeclined)
	resp, err := app.Browser(signintest.Alice()).Get(app.URL + "/inbox")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %d; want 403", resp.StatusCode)
	}
}

func TestSite_PagesKnowTheUser(t *testing.T) {
	t.Parallel()
	app := signintest.Start(t, newSite)
	alice := app.Browser(signintest.Alice())
	const link, button, name = `href="/sign-in?return_to=%2fshop%3fcategory%3dtea%2b%2526%2bcake"`, `action="/sign-out"`, "Alice Example"
	page := app.URL + "/shop?category=" + url.QueryEscape("tea & cake")

	_, body := ask(t, alice, "GET", page, nil)
	wantIn(t, "signed out", body, link, "<h1>tea &amp; cake</h1>")

	resp, body := ask(t, alice, "GET", app.URL+strings.Trim(strings.TrimPrefix(link, "href="), `"`), nil)
	if got := resp.Request.URL.String(); got != page {
		t.Errorf("the sign-in led to %s; want %s", got, page)
	}
	wantIn(t, "signed in", body, name, button)

	ask(t, alice, "POST", app.URL+"/sign-out", nil)
	_, body = ask(t, alice, "GET", page, nil)
	wantIn(t, "after the sign-out", body, link)
}

func TestSite_HTMX(t *testing.T) {
	t.Parallel()
	app := signintest.Start(t, newSite)
	alice := app.Browser(signintest.Alice())
	alice.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	htmx := http.Header{"Hx-Request": {"true"}, "Hx-Current-Url": {app.URL + "/inbox"},
		"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"same-origin"}}

	resp, _ := ask(t, alice, "GET", app.URL+"/inbox/newest", htmx)
	if got, want := resp.Header.Get("Hx-Redirect"), "/sign-in?return_to=%2Finbox"; resp.StatusCode != http.StatusUnauthorized || got != want {
		t.Errorf("a fragment, signed out: got %d and HX-Redirect %q; want 401 and %q", resp.StatusCode, got, want)
	}

	alice.CheckRedirect = nil
	_, page := ask(t, alice, "GET", app.URL+"/inbox", nil)
	wantIn(t, "the page", page, `hx-get="/inbox/newest"`, `hx-post="/sign-out"`)
	_, fragment := ask(t, alice, "GET", app.URL+"/inbox/newest", htmx)
	if want := "<li>Welcome, Alice Example</li>\n"; fragment != want {
		t.Errorf("a fragment, signed in: got %q; want %q", fragment, want)
	}

	resp, _ = ask(t, alice, "POST", app.URL+"/sign-out", htmx)
	if got := resp.Header.Get("Hx-Redirect"); !strings.HasPrefix(got, app.Provider.Issuer+"/") {
		t.Errorf("the sign-out: got %d and HX-Redirect %q; want the provider", resp.StatusCode, got)
	}
	if resp, _ := ask(t, alice, "GET", app.URL+"/inbox/newest", htmx); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a fragment after the sign-out: got %d; want 401", resp.StatusCode)
	}
}

// ask sends a request and returns its answer and the answer's body.
func ask(t *testing.T, client *http.Client, method, address string, h http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name := range h {
		r.Header.Set(name, h.Get(name))
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
	return resp, string(body)
}

func wantIn(t *testing.T, when, body string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(body, part) {
			t.Errorf("%s: got %s; want %s in it", when, body, part)
		}
	}
}
