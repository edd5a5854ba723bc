package interop

import (
	"net/http"
	"strings"
	"testing"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"github.com/gosignin/signin"
)

// Of the providers here only oidc-provider tells applications that somebody
// signed out; luikyv/go-oidc v0.23.0 has no back-channel logout. The sessions
// are in cookies, which no application can reach: it has to remember who may
// not come back.
func TestASignOutReachesTheSessionsThatOtherApplicationsHaveInCookies(t *testing.T) {
	t.Parallel()
	ways := []struct {
		name    string
		signOut func(*testing.T, *visitor, *application)
	}{
		{"signing out in one application", func(t *testing.T, v *visitor, news *application) {
			at := v.passProvider(v.follow(v.visit(news.url+"/"), "/sign-out"), news.op.issuer, "")
			if at.url.String() != news.url+"/" || at.status != http.StatusOK {
				t.Fatalf("sign-out ended at %s with %d; want the home page%s", at.url.Path, at.status, at.way())
			}
		}},
		{"signing out at the provider", func(t *testing.T, v *visitor, news *application) {
			at := v.submit(v.visit(news.op.issuer+"/session/end"), nil)
			if !strings.HasPrefix(at.url.String(), news.op.issuer+"/") || at.status != http.StatusOK {
				t.Fatalf("sign-out ended at %s with %d; want the provider%s", at.url, at.status, at.way())
			}
		}},
	}
	for _, router := range routers {
		for _, way := range ways {
			t.Run(way.name+", on "+router.name, func(t *testing.T) {
				t.Parallel()
				news, shop := twoApplications(t, router.mount)
				ada, elsewhere, grace := newVisitor(t), newVisitor(t), newVisitor(t)
				news.signIn(t, ada, "ada")
				shop.signIn(t, ada, "ada")
				shop.signIn(t, elsewhere, "ada")
				shop.signIn(t, grace, "grace")
				thief := copyOf(t, ada, shop.url)
				shop.wantSignedIn(t, thief, "ada")

				way.signOut(t, ada, news)
				news.wantSignedOut(t, ada)
				shop.wantSignedOut(t, thief)
				shop.wantSignedOut(t, ada)
				// The logout token names one session of the provider, so another
				// browser of the same person stays signed in.
				shop.wantSignedIn(t, elsewhere, "ada")
				shop.wantSignedIn(t, grace, "grace")

				// What ended was a session, not the person.
				shop.signIn(t, ada, "ada")
				news.signIn(t, ada, "ada")
			})
		}
	}
}

// TestInABrowserSigningOutInOneTabSignsOutTheOther is the same as somebody
// sees it: one browser, a tab for each application.
func TestInABrowserSigningOutInOneTabSignsOutTheOther(t *testing.T) {
	news, shop := twoApplications(t, onServeMux)
	first := openBrowser(t)
	second := first.another()
	first.open(news.url + "/account")
	first.passProvider(news.op.issuer, "ada")
	first.wantPage(news.url+"/account", http.StatusOK, "subject=ada")
	second.open(shop.url + "/account")
	second.passProvider(shop.op.issuer, "ada")
	second.wantPage(shop.url+"/account", http.StatusOK, "subject=ada")

	first.open(news.url + "/")
	first.press("Sign out")
	first.passProvider(news.op.issuer, "")
	first.wantPage(news.url+"/", http.StatusOK, "nobody is signed in")
	second.load("reload", reload)
	if !strings.HasPrefix(second.at().String(), shop.op.issuer+"/") || !second.asksForName() {
		t.Errorf("the reloaded account page led to %s; want the provider to ask for a name", second.at())
	}
	second.wantNobody(shop)
}

// twoApplications start two applications, each with a client of its own at one
// provider, that remember nothing in common.
func twoApplications(t *testing.T, mount func(*signin.Auth) http.Handler) (news, shop *application) {
	t.Helper()
	newsServer, newsURL := listen()
	shopServer, shopURL := listen()
	ops := startNodeProvider(t, goidc.RS256, newsURL, shopURL)
	return serve(t, newsServer, mount, ops[0], "news"), serve(t, shopServer, mount, ops[1], "shop")
}
