//go:build long

package interop

import (
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// The pages of the example in a browser: their layout, their pictures, and the
// browser's own buttons.
func TestInABrowser_Example(t *testing.T) {
	program := buildExample(t, "example")
	for _, row := range []struct {
		name string
		walk func(t *testing.T, p *exampleProgram, b *tab)
	}{
		{"sign-in and sign-out", signInAndOut},
		{"direct sign-in, and sign-up", signInInOtherWays},
		{"the back button", goBackTwice},
		{"a typed sign-out address", typedSignOut},
		{"an unknown address, and a forged answer", lostPages},
		{"a page that stays open, until the account is suspended", suspended},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.walk(t, startExample(t, program), openBrowser(t))
		})
	}
	t.Run("three replicas", func(t *testing.T) {
		p := startExample(t, buildExample(t, filepath.Join("example", "replicas")))
		b := openBrowser(t)
		p.signIn(b)
		var replicas []string
		for range 3 {
			b.load("reload", reload)
			_, replica, _ := strings.Cut(b.text(), "\nThis page came from replica ")
			replicas = append(replicas, replica)
		}
		if slices.Sort(replicas); !slices.Equal(replicas, []string{"1 of 3.", "2 of 3.", "3 of 3."}) {
			t.Errorf("three reloads came from replicas %q; want one from each", replicas)
		}
		b.wantTidy("example-replicas-account")
	})
}

// signIn signs Alice in on her way to the account page.
func (p *exampleProgram) signIn(b *tab) {
	p.t.Helper()
	b.open(p.url + "/account")
	b.wantScreen("/sign-in", "Sign in")
	b.press("Alice Example")
	b.wantPage(p.url+"/account", http.StatusOK, "Alice Example", "alice@example.test", "admin, editor")
}

// suspended opens the page that stays open, and suspends the account at the provider.
func suspended(_ *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/live")
	provider, administrator := b.at(), b.another()
	console := provider.Scheme + "://" + provider.Host + "/console"
	b.press("Alice Example")
	b.wantPage(p.url+"/live", http.StatusOK, "Your session, live")
	b.wantTidy("example-live")
	administrator.open(console)
	administrator.wantTidy("provider-console")
	administrator.press("Suspend") // the first, which is Alice
	administrator.wantPage(console, http.StatusOK, "Suspended", "Reinstate")
	administrator.wantTidy("provider-console-suspended")
	b.do("wait until the page says so", chromedp.WaitVisible(chromedp.CSS("#over")))
	b.wantTidy("example-live-over")
	b.open(p.url + "/account")
	b.wantScreen("/sign-in", "Sign in")
	b.press("Alice Example")
	b.wantScreen("/sign-in", "Sign in")
	if text := b.text(); !strings.Contains(text, "This account is suspended.") {
		b.t.Errorf("got %q; want that her account is suspended", text)
	}
	administrator.press("Reinstate")
	b.press("Alice Example")
	b.wantPage(p.url+"/account", http.StatusOK, "Alice Example")
}

func signInAndOut(_ *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/")
	b.wantPage(p.url+"/", http.StatusOK, "You are not signed in", "Continue with Naver", "Continue with X")
	b.wantTidy("example-home-signed-out")
	b.press("Sign in")
	b.wantScreen("/sign-in", "Sign in")
	b.wantTidy("provider-sign-in")
	b.press("Alice Example")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")
	b.wantPortrait(true)
	b.wantTidy("example-home-signed-in")
	b.press("Your account")
	b.wantTidy("example-account")
	b.press("Sign out")
	b.wantPage(p.url+"/", http.StatusOK, "You are not signed in")

	// The next sign-in begins at the guarded page, and ends there.
	b.open(p.url + "/account")
	b.press("Bob Example")
	b.wantPage(p.url+"/account", http.StatusOK, "Bob Example", "bob@example.test")
	b.wantPortrait(false)
	b.wantTidy("example-account-without-picture")
}

func signInInOtherWays(_ *testing.T, p *exampleProgram, b *tab) {
	for _, way := range []struct {
		button, screen, parameter, value, person, name string
		portrait                                       bool
	}{
		{"Continue with Naver", "/connect/social:naver", "direct_sign_in", "social:naver", "Naver: continue as 길동", "길동", true},
		{"Continue with X", "/connect/social:x", "direct_sign_in", "social:x", "X: continue as Xavier Example", "Xavier Example", false},
		{"Sign up", "/register", "first_screen", "register", "Create account", "Grace Hopper", false},
	} {
		b.open(p.url + "/")
		b.press(way.button)
		b.wantScreen(way.screen, "")
		b.wantAsked(way.parameter, way.value)
		b.wantTidy("provider-" + way.value)
		if way.button == "Sign up" {
			b.fill("name", "Grace Hopper")
			b.fill("email", "grace@example.test")
		}
		b.press(way.person)
		b.wantPage(p.url+"/", http.StatusOK, "Hello, "+way.name)
		b.wantPortrait(way.portrait)
		b.open(p.url + "/account")
		b.wantPage(p.url+"/account", http.StatusOK, way.name)
		b.wantTidy("example-account-" + way.value)
		b.press("Sign out")
	}
}

// Going back after a sign-in leads to the provider's page, which says that the
// sign-in is over, and going back again leads to the application. After a sign-out,
// Chromium may show the account page from memory in spite of no-store, but
// reloading it requires a sign-in.
func goBackTwice(_ *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/")
	b.press("Sign in")
	b.press("Alice Example")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")
	b.goBack(1)
	b.wantScreen("/sign-in", "This sign-in is over")
	b.wantTidy("provider-sign-in-over")
	b.goBack(1)
	b.load("reload", reload)
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")
	b.press("Your account")
	b.press("Sign out")
	b.goBack(1)
	b.load("reload", reload)
	b.wantScreen("/sign-in", "Sign in")
}

func typedSignOut(_ *testing.T, p *exampleProgram, b *tab) {
	p.signIn(b)
	b.open(p.url + "/sign-out")
	b.wantPage(p.url+"/sign-out", http.StatusOK, "Do you want to sign out?")
	b.wantTidy("example-sign-out")
	other := b.another()
	other.open(p.url + "/")
	other.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")
	b.press("Sign out")
	b.wantPage(p.url+"/", http.StatusOK, "You are not signed in")
	other.open(p.url + "/account")
	other.wantScreen("/sign-in", "Sign in")
}

func lostPages(_ *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/nowhere")
	b.wantPage(p.url+"/nowhere", http.StatusNotFound, "Page not found")
	b.wantTidy("example-not-found")
	b.open(p.url + "/callback?code=forged&state=unknown")
	b.wantPage(p.url+"/callback", http.StatusBadRequest, "We need cookies to sign you in")
	b.wantTidy("example-bad-callback")
	b.press("Try again")
	b.wantPage(p.url+"/", http.StatusOK, "You are not signed in")
}

// authorizationRequest returns the last authorization request of this tab.
func (b *tab) authorizationRequest() *url.URL {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.documents) - 1; i >= 0; i-- {
		if u, err := url.Parse(b.documents[i]); err == nil && u.Query().Get("response_type") == "code" {
			return u
		}
	}
	b.t.Fatal("the browser has made no authorization request")
	return nil
}

// wantAsked checks a parameter of the last authorization request.
func (b *tab) wantAsked(parameter, want string) {
	b.t.Helper()
	if got := b.authorizationRequest().Query()[parameter]; len(got) != 1 || got[0] != want {
		b.t.Errorf("%s: got %q; want %q once", parameter, got, want)
	}
}

// wantScreen checks which of the provider's pages the tab is on.
func (b *tab) wantScreen(path, heading string) {
	b.t.Helper()
	at, text := b.at(), b.text()
	if at.Host != b.authorizationRequest().Host || at.Path != path || !strings.Contains(text, heading) {
		b.t.Fatalf("the browser is at %s%s; want the provider's %s with %q\n%s", at.Host, at.Path, path, heading, text)
	}
}

// wantPortrait checks that the person's picture has loaded, or that a letter
// takes its place.
func (b *tab) wantPortrait(want bool) {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(() => {
		const avatar = document.querySelector("main .avatar");
		if (!avatar) return "nothing";
		if (avatar.tagName !== "IMG") return "a letter";
		return avatar.complete && avatar.naturalWidth > 0 ? "a picture" : "a picture that has not loaded";
	})()`))
	if err != nil {
		b.t.Fatalf("look at the picture: %v", err)
	}
	if wanted := map[bool]string{true: "a picture", false: "a letter"}[want]; got != wanted {
		b.t.Errorf("the portrait: got %s; want %s", got, wanted)
	}
}
