package signin_test

import (
	"net/http"
	"testing"

	"github.com/gosignin/signin/signintest"
)

func TestSignInStaySignedInSignOut(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.browser()
	if got := b.who(); got != "nobody" {
		t.Fatalf("before: got %q; want nobody", got)
	}
	refused := b.get("/account?tab=1")
	refused.want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount%3Ftab%3D1")

	b = a.signedIn(signintest.Alice())
	if got := b.who(); got != signintest.Alice().Subject {
		t.Fatalf("after signing in: got %q; want Alice", got)
	}
	b.get("/account").want(t, http.StatusOK, "")

	out := b.do(http.MethodPost, "/sign-out")
	out.want(t, http.StatusSeeOther, a.provider.URL)
	if got := b.who(); got != "nobody" {
		t.Errorf("after signing out: got %q; want nobody", got)
	}
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
}
