package interop

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestCallback_ForeignProvider(t *testing.T) {
	t.Parallel()
	for _, provider := range foreigns {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			a := startApplication(t, provider)
			checkRefusal(t, a, newVisitor(t))
			checkCodeOfAnotherBrowser(t, a, newVisitor(t))
		})
	}
}

// checkRefusal lets a person refuse consent at the provider.
func checkRefusal(t *testing.T, a *application, v *visitor) {
	t.Helper()
	at := v.cancelAtProvider(v.visit(a.url+"/account"), "ada")
	if got := at.hop(t, "/callback").url.Query().Get("error"); got != "access_denied" {
		t.Fatalf("the provider answered %q; want access_denied", got)
	}
	if at.status != http.StatusForbidden || !strings.Contains(at.body, "/sign-in") {
		t.Errorf("the page after a refusal: got %d %q; want 403 with a link to sign in", at.status, at.body)
	}
	a.wantSignedOut(t, v)
	a.signIn(t, v, "ada")
}

// checkCodeOfAnotherBrowser gives a browser a code that belongs to another PKCE
// verifier than its own, so that the provider refuses it.
func checkCodeOfAnotherBrowser(t *testing.T, a *application, v *visitor) {
	t.Helper()
	a.signIn(t, v, "ada")
	before := len(a.wire.of("authorization_code"))
	answer, other := pendingAnswer(t, a, v, "ada"), pendingAnswer(t, a, newVisitor(t), "mallory")
	query := answer.Query()
	query.Set("code", other.Query().Get("code"))
	answer.RawQuery = query.Encode()

	at := v.navigate(v.parse(a.op.issuer), http.MethodGet, answer, nil)
	if at.status != http.StatusBadRequest || at.url.Path != "/callback" {
		t.Errorf("got %d at %s; want 400 at /callback", at.status, at.url.Path)
	}
	if e := a.wire.of("authorization_code")[before:]; len(e) != 1 || e[0].status != http.StatusBadRequest {
		t.Errorf("code exchanges: got %d; want one that the provider refuses", len(e))
	}
	if slices.ContainsFunc(at.hops[0].cookies, func(c *http.Cookie) bool { return c.Name == "signin" }) {
		t.Error("the answer sets a session cookie")
	}
	a.wantSignedIn(t, v, "ada")
}

// pendingAnswer starts a sign-in as person and stops where the provider sends
// the browser back.
func pendingAnswer(t *testing.T, a *application, v *visitor, person string) *url.URL {
	t.Helper()
	held := &visitor{t: t, client: v.client, holdAt: "/callback"}
	at := held.passProvider(held.visit(a.url+"/sign-in"), a.op.issuer, person)
	if !strings.HasPrefix(at.url.String(), a.url+"/callback?") {
		t.Fatalf("the provider sent the browser to %s; want the callback%s", at.url.Path, at.way())
	}
	return at.url
}
