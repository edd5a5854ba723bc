package acceptance_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gosignin/signin"
)

func TestACR_NotAClass(t *testing.T) {
	t.Parallel()
	for _, values := range [][]string{nil, {""}, {" mfa"}, {"mfa\t"}, {"mfa pwd"}, {"mfa", "pwd "}} {
		if said := panicOf(func() { signin.ACR(values...) }); !strings.Contains(said, "needs classes") {
			t.Errorf("%q: got %q; want a panic", values, said)
		}
	}
}

// A guard does not name the page to which every sign-in leads by default.
func TestRequireAuth_AfterSignInIsNotNamed(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{config: func(c *signin.Config) { c.Paths.AfterSignIn = "/home" }})
	a.mount("/home", a.auth.RequireAuth(http.HandlerFunc(a.account)))
	for path, want := range map[string]string{"/home": "/sign-in", "/home?tab=1": "/sign-in?return_to=%2Fhome%3Ftab%3D1"} {
		if got := a.browser().get(path).Header.Get("Location"); got != want {
			t.Errorf("%s: got %q; want %q", path, got, want)
		}
	}
}

// A token for an organization is refused by guards that do not ask for one, but
// not by the guard of that organization.
func TestRequireBearer_OrganizationIsTheAudience(t *testing.T) {
	t.Parallel()
	const organization = "urn:logto:organization:org_one"
	a := apiApp(t, with{})
	a.mount("/organization", a.auth.RequireBearer(organization)(http.HandlerFunc(who)))
	shows(t, "its member", a.call("/organization", "Bearer "+a.provider.AccessToken("alice0000001", organization)), "alice0000001")
}
