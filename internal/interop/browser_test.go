package interop

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestInABrowserAPersonSignsInAndOutAtAForeignProvider is where cookies,
// SameSite and Sec-Fetch-* are a browser's own and not our idea of them.
func TestInABrowserAPersonSignsInAndOutAtAForeignProvider(t *testing.T) {
	for _, provider := range foreigns {
		t.Run(provider.name, func(t *testing.T) {
			a := startApplication(t, onServeMux, provider.start)
			b := openBrowser(t)
			shot := func(name string) { b.shot(strings.ReplaceAll(provider.name, " ", "-") + "-" + name) }

			b.open(a.url + "/")
			b.wantPage(a.url+"/", 200, "nobody is signed in")
			b.press("Account")
			if !strings.HasPrefix(b.at().String(), a.op.issuer+"/") {
				t.Fatalf("the account page led to %s; want the provider", b.at())
			}
			shot("sign-in")
			b.passProvider(a.op.issuer, "ada")
			b.wantPage(a.url+"/account", 200, "subject=ada", "email=ada@example.com")
			shot("account")
			b.open(a.url + "/")
			b.wantPage(a.url+"/", 200, "ada is signed in")

			// The link on our own page signs out at once.
			b.press("Sign out")
			b.passProvider(a.op.issuer, "")
			b.wantPage(a.url+"/", 200, "nobody is signed in")
			b.press("Account")
			if !b.asksForName() {
				t.Errorf("the account page after sign-out led to %s; want the provider to ask for a name", b.at())
			}
		})
	}
}

func TestInABrowserATypedAddressSignsNobodyOutWithoutAButton(t *testing.T) {
	a, b := signedInBrowser(t)
	b.open(a.url + "/sign-out")
	b.wantPage(a.url+"/sign-out", 200)
	b.shot("sign-out-button")
	b.another().wantSignedIn(a, "ada")
	b.load("press the one button", clickFirstButton)
	b.passProvider(a.op.issuer, "")
	b.wantPage(a.url+"/", 200, "nobody is signed in")
}

func TestInABrowserTwoTabsThatSignInAtOnceBothArrive(t *testing.T) {
	a := startApplication(t, onServeMux, foreigns[0].start)
	first := openBrowser(t)
	second := first.another()
	for _, b := range []*tab{first, second} {
		b.open(a.url + "/")
		b.press("Sign in")
	}
	for _, b := range []*tab{second, first} {
		b.passProvider(a.op.issuer, "ada")
		b.wantPage(a.url+"/", 200, "ada is signed in")
	}
}

// TestInABrowserGoingBackToTheProviderEndsInTheApplication presses the back button until
// the provider answers the finished sign-in a second time.
func TestInABrowserGoingBackToTheProviderEndsInTheApplication(t *testing.T) {
	a, b := signedInBrowser(t)
	b.goBack(2)
	if !strings.HasPrefix(b.at().String(), a.op.issuer+"/authorize?") {
		t.Fatalf("going back led to %s; want where the sign-in began", b.at())
	}
	b.passProvider(a.op.issuer, "ada")
	b.wantPage(a.url+"/account", 200, "subject=ada")
}

func TestInABrowserAReloadedCallbackGoesOnToTheApplication(t *testing.T) {
	a, b := signedInBrowser(t)
	callback := b.requested(a.url + "/callback?")
	b.open(callback)
	b.wantPage(a.url+"/account", 200, "subject=ada")

	// Whoever else opens it is asked who they are.
	stranger := openBrowser(t)
	stranger.open(callback)
	if !stranger.asksForName() {
		t.Errorf("another browser was led to %s; want the provider to ask for a name", stranger.at())
	}
	stranger.wantNobody(a)
}

func TestInABrowserThePageAfterARefusalLeadsToAnotherTry(t *testing.T) {
	a := startApplication(t, onServeMux, foreigns[0].start)
	b := openBrowser(t)
	b.open(a.url + "/account")
	b.fill("login", "ada")
	b.press("Sign in")
	b.press("Deny")
	b.wantPage(a.url+"/callback", 403)
	b.shot("refused")
	b.load("press the one way on", chromedp.Click(chromedp.CSS("a[href]")))
	b.passProvider(a.op.issuer, "ada")
	b.wantSignedIn(a, "ada")
}

// signedInBrowser is a browser on the account page, where ada has come through
// the provider's two pages.
func signedInBrowser(t *testing.T) (*application, *tab) {
	t.Helper()
	a := startApplication(t, onServeMux, foreigns[0].start)
	b := openBrowser(t)
	b.open(a.url + "/account")
	b.passProvider(a.op.issuer, "ada")
	b.wantPage(a.url+"/account", 200, "subject=ada")
	return a, b
}

func (b *tab) wantSignedIn(a *application, person string) {
	b.t.Helper()
	b.open(a.url + "/")
	b.wantPage(a.url+"/", 200, person+" is signed in")
}

func (b *tab) wantNobody(a *application) {
	b.t.Helper()
	b.open(a.url + "/")
	b.wantPage(a.url+"/", 200, "nobody is signed in")
}
