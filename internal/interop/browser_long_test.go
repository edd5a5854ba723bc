//go:build long

package interop

import (
	"strings"
	"testing"
)

// In a real browser, cookies, SameSite and Sec-Fetch-* are what browsers make of
// them, and not what this project's tests assume.
func TestInABrowser_SignInAndOut(t *testing.T) {
	for _, provider := range foreigns {
		t.Run(provider.name, func(t *testing.T) {
			a := startApplication(t, provider)
			b := openBrowser(t)

			b.open(a.url + "/")
			b.wantPage(a.url+"/", 200, "not signed in")
			b.press("Account")
			if !strings.HasPrefix(b.at().String(), a.op.issuer+"/") {
				t.Fatalf("the account page led to %s; want the provider", b.at())
			}
			b.passProvider(a.op.issuer, "ada")
			b.wantPage(a.url+"/account", 200, "subject=ada", "email=ada@example.com")
			b.shot(strings.ReplaceAll(provider.name, " ", "-"))
			b.open(a.url + "/")
			b.wantPage(a.url+"/", 200, "ada is signed in")

			// A link on the application's own page signs out at once.
			b.press("Sign out")
			b.passProvider(a.op.issuer, "")
			b.wantPage(a.url+"/", 200, "not signed in")
			b.press("Account")
			if !b.asksForName() {
				t.Errorf("the account page after sign-out led to %s; want the provider to ask for a name", b.at())
			}
		})
	}
}
