package interop

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestInABrowserTheExample clicks through the application that newcomers see
// first, in a browser and a program of its own for each row.
func TestInABrowserTheExample(t *testing.T) {
	program := buildExample(t, "example")
	for _, row := range []struct {
		name string
		walk func(t *testing.T, p *exampleProgram, b *tab)
	}{
		{"a person signs in, is known by name, and signs out", signInAndOut},
		{"a person comes from Naver, with a picture", comeFromNaver},
		{"a person comes from X, without a picture", comeFromX},
		{"a person without an account signs up", signUp},
		{"a person sees what their scopes, roles and organizations open", seeWhatOneMay},
		{"a person with fewer of them is told so", seeWhatOneMayNot},
		{"a person who deletes the account signs in once more", deleteAccount},
		{"two tabs that sign in at once both arrive", twoTabs},
		{"the back button after a sign-in leads back into the application", backAfterSignIn},
		{"the back button after a sign-out leads to nothing that still works", backAfterSignOut},
		{"a reloaded callback goes on to the application", reloadCallback},
		{"a typed sign-out address shows a button", typedSignOut},
		{"an address that does not exist, and an answer nobody asked for", lostPages},
		{"Ctrl-C ends the program while a browser looks at it", ctrlC},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := startExample(t, program)
			row.walk(t, p, openBrowser(t))
		})
	}
}

func signInAndOut(t *testing.T, p *exampleProgram, b *tab) {
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
	b.wantPage(p.url+"/account", http.StatusOK, "Alice Example", "alice@example.test", "admin, editor")
	b.wantTidy("example-account")

	b.press("Sign out")
	b.wantPage(p.url+"/", http.StatusOK, "You are not signed in")
	b.open(p.url + "/account")
	b.wantScreen("/sign-in", "Sign in")

	// And the guarded page is where the next sign-in ends.
	b.press("Bob Example")
	b.wantPage(p.url+"/account", http.StatusOK, "Bob Example", "bob@example.test")
	b.wantPortrait(false)
	b.wantTidy("example-account-without-picture")
}

func comeFromNaver(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/")
	b.press("Continue with Naver")
	b.wantScreen("/connect/social:naver", "Continue with Naver")
	b.wantAsked("direct_sign_in", "social:naver")
	b.wantTidy("provider-naver")
	b.press("Naver: continue as 길동")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, 길동")
	b.open(p.url + "/account")
	b.wantPage(p.url+"/account", http.StatusOK, "길동", "gildong@naver.example.test")
	b.wantPortrait(true)
	b.wantTidy("example-account-naver")
}

func comeFromX(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/")
	b.press("Continue with X")
	b.wantScreen("/connect/social:x", "Continue with X")
	b.wantAsked("direct_sign_in", "social:x")
	b.wantTidy("provider-x")
	b.press("X: continue as Xavier Example")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Xavier Example")
	b.wantPortrait(false)
	b.wantTidy("example-home-without-picture")
	b.open(p.url + "/account")
	b.wantPage(p.url+"/account", http.StatusOK, "Xavier Example", "not given")
	b.wantPortrait(false)
	b.wantTidy("example-account-x")
}

func signUp(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/")
	b.press("Sign up")
	b.wantScreen("/register", "Create an account")
	b.wantAsked("first_screen", "register")
	b.wantTidy("provider-sign-up")
	b.fill("name", "Grace Hopper")
	b.fill("email", "grace@example.test")
	b.press("Create account")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Grace Hopper")
	b.press("Your account")
	b.wantPage(p.url+"/account", http.StatusOK, "Grace Hopper", "grace@example.test")
}

func seeWhatOneMay(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/")
	b.press("Sign in")
	b.press("Alice Example")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")

	b.press("Your orders")
	b.wantPage(p.url+"/orders", http.StatusOK, "The API lets you", "200 OK", "alice0000001", "read:orders, write:orders")
	b.wantTidy("example-orders")
	b.press("Place an order")
	b.wantPage(p.url+"/orders", http.StatusOK, "The API lets you", "201 Created", "One more order")
	b.wantTidy("example-order-placed")

	b.open(p.url + "/")
	b.press("Administration")
	b.wantPage(p.url+"/admin", http.StatusOK, "you have the role admin")
	b.wantTidy("example-admin")

	b.open(p.url + "/")
	b.press("Your organizations")
	b.wantPage(p.url+"/organizations", http.StatusOK, "org_one", "org_two")
	b.wantTidy("example-organizations")
	b.press("org_one")
	b.wantPage(p.url+"/organizations/org_one", http.StatusOK, "owner", "read:members, invite:members")
	b.wantTidy("example-organization")
	b.press("settings of org_one")
	b.wantPage(p.url+"/organizations/org_one/settings", http.StatusOK, "Settings of org_one")
	b.wantTidy("example-organization-settings")
	b.open(p.url + "/organizations/org_two")
	b.press("settings of org_two")
	b.wantPage(p.url+"/organizations/org_two/settings", http.StatusForbidden, "This page is not open to you", "org_two:owner")
	b.wantTidy("example-organization-settings-refused")
}

func seeWhatOneMayNot(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/admin")
	b.wantScreen("/sign-in", "Sign in")
	b.press("Bob Example")
	b.wantPage(p.url+"/admin", http.StatusForbidden, "This page is not open to you", "the role admin")
	b.wantTidy("example-admin-refused")
	b.press("Back to the start")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Bob Example")

	b.press("Your orders")
	b.wantPage(p.url+"/orders", http.StatusOK, "The API lets you", "bob000000001")
	b.press("Place an order")
	b.wantPage(p.url+"/orders", http.StatusOK, "The API says no", "403 Forbidden", "the scope write:orders", "insufficient_scope")
	b.wantTidy("example-orders-refused")

	b.open(p.url + "/organizations")
	b.wantPage(p.url+"/organizations", http.StatusOK, "You belong to no organization")
	b.wantTidy("example-organizations-none")
	b.open(p.url + "/organizations/org_one")
	b.wantPage(p.url+"/organizations/org_one", http.StatusForbidden, "This page is not open to you")
}

func deleteAccount(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/sign-in")
	b.press("Alice Example")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")
	b.press("Your account")
	b.press("Delete your account")
	b.wantScreen("/sign-in", "Sign in")
	b.wantAsked("max_age", "300")
	b.wantTidy("provider-step-up")
	b.press("Alice Example")
	b.wantPage(p.url+"/account/delete", http.StatusOK, "Delete your account?")
	b.wantTidy("example-delete")
	b.press("Delete my account")
	b.wantPage(p.url+"/account/delete", http.StatusOK, "Nothing was deleted")
	b.wantTidy("example-deleted")

	// It is for the person who has signed in, and for nobody else.
	other := openBrowser(t)
	other.open(p.url + "/sign-in")
	other.press("Alice Example")
	other.open(p.url + "/account/delete")
	other.press("Bob Example")
	other.wantPage(p.url+"/callback", http.StatusForbidden, "We could not confirm that it is you")
	other.open(p.url + "/")
	other.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")
}

func twoTabs(t *testing.T, p *exampleProgram, first *tab) {
	second := first.another()
	for _, b := range []*tab{first, second} {
		b.open(p.url + "/account")
		b.wantScreen("/sign-in", "Sign in")
	}
	for _, b := range []*tab{second, first} {
		b.press("Alice Example")
		b.wantPage(p.url+"/account", http.StatusOK, "Alice Example")
	}
}

// Behind a sign-in lies the provider's page for it, which is over, and behind
// that the home page as it was.
func backAfterSignIn(t *testing.T, p *exampleProgram, b *tab) {
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
}

// Chromium may still have the account page in memory, no-store or not, and shows
// it without a word to anybody. Whoever then asks for it is asked who they are.
func backAfterSignOut(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/account")
	b.press("Alice Example")
	b.wantPage(p.url+"/account", http.StatusOK, "Alice Example")
	b.press("Sign out")
	b.wantPage(p.url+"/", http.StatusOK, "You are not signed in")
	b.goBack(1)
	b.load("reload", reload)
	b.wantScreen("/sign-in", "Sign in")
}

func reloadCallback(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/account")
	b.press("Alice Example")
	b.wantPage(p.url+"/account", http.StatusOK, "Alice Example")
	callback := b.requested(p.url + "/callback?")
	b.open(callback)
	b.wantPage(p.url+"/account", http.StatusOK, "Alice Example")

	stranger := openBrowser(t)
	stranger.open(callback)
	stranger.wantScreen("/sign-in", "Sign in")
	stranger.open(p.url + "/")
	stranger.wantPage(p.url+"/", http.StatusOK, "You are not signed in")
}

func typedSignOut(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/sign-in")
	b.press("Alice Example")
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

func lostPages(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/nowhere")
	b.wantPage(p.url+"/nowhere", http.StatusNotFound, "No such page")
	b.wantTidy("example-not-found")
	b.open(p.url + "/callback?code=somebody-elses&state=unknown")
	b.wantPage(p.url+"/callback", http.StatusBadRequest, "please start again")
	b.wantTidy("example-bad-callback")
	b.press("Start again")
	b.wantScreen("/sign-in", "Sign in")
	b.press("Alice Example")
	b.wantPage(p.url+"/", http.StatusOK, "Hello, Alice Example")
}

func ctrlC(t *testing.T, p *exampleProgram, b *tab) {
	b.open(p.url + "/account")
	b.press("Alice Example")
	b.wantPage(p.url+"/account", http.StatusOK, "Alice Example")
	provider := b.provider()
	if err := p.stop(); err != nil {
		t.Errorf("the example after Ctrl-C: got %v; want a clean end", err)
	}
	for _, address := range []string{p.url, provider} {
		host := strings.TrimPrefix(address, "http://")
		if c, err := net.Dial("tcp", host); err == nil {
			c.Close()
			t.Errorf("something listens at %s after Ctrl-C; want nothing", host)
		}
	}
}

// provider is the address of the provider that this tab was last sent to.
func (b *tab) provider() string {
	b.t.Helper()
	return "http://" + b.authorizationRequest().Host
}

// authorizationRequest is the last that this tab has made.
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
	if got := "http://" + at.Host; got != b.provider() || at.Path != path || !strings.Contains(text, heading) {
		b.t.Fatalf("the browser is at %s%s; want the provider's %s with %q\n%s", got, at.Path, path, heading, text)
	}
}

// wantPortrait checks that the person's picture is there and has loaded, or that
// no picture is on the page where there is none: a letter is.
func (b *tab) wantPortrait(want bool) {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(() => {
		const avatar = document.querySelector("main .avatar");
		if (!avatar) return "nothing";
		if (avatar.tagName !== "IMG") return "a letter: " + avatar.innerText;
		return avatar.complete && avatar.naturalWidth > 0 ? "a picture" : "a picture that has not loaded";
	})()`))
	if err != nil {
		b.t.Fatalf("look at the picture: %v", err)
	}
	if is := got == "a picture"; is != want || !want && !strings.HasPrefix(got, "a letter: ") {
		b.t.Errorf("in the place of the person: got %s; want a picture %t", got, want)
	}
}
