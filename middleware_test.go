package signin_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
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

func TestCasesRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t, with{})
	b := a.signedIn(signintest.Alice())
	signedOut := b.cookies()
	b.do(http.MethodPost, "/sign-out")

	called := false
	guarded := a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		called = true
		w.Header().Set("X-Inside", "canary")
		_, _ = io.WriteString(w, "canary")
	}))
	for who, cookies := range map[string]string{
		"nobody": "", "a forged session": "signin=" + strings.Repeat("A", 1200), "a session that was signed out": signedOut,
	} {
		for what, header := range map[string]http.Header{
			"GET of a page":      {"Accept": {"text/html"}},
			"POST of a form":     {"Accept": {"text/html"}, "Content-Type": {"application/x-www-form-urlencoded"}},
			"GET by a program":   {"Accept": {"application/json"}},
			"GET by htmx":        {"Hx-Request": {"true"}, "Accept": {"*/*"}},
			"GET of a prefetch":  {"Sec-Purpose": {"prefetch"}, "Accept": {"text/html"}},
			"GET of a WebSocket": {"Connection": {"Upgrade"}, "Upgrade": {"websocket"}},
			"HEAD of a page":     {"Accept": {"text/html"}},
		} {
			t.Run(fmt.Sprintf("7.2 the protected handler is never called, and not a byte of it sent: %s by %s", what, who), func(t *testing.T) {
				called = false
				method, _, _ := strings.Cut(what, " ")
				r := httptest.NewRequest(method, "/account", nil)
				r.Header = header.Clone()
				r.Header.Set("Cookie", cookies)
				w := httptest.NewRecorder()
				guarded.ServeHTTP(w, r)
				if called || w.Code == http.StatusOK || strings.Contains(w.Body.String(), "canary") || w.Header().Get("X-Inside") != "" {
					t.Errorf("got %d %q, handler called %v; want a refusal and nothing of the handler", w.Code, w.Body, called)
				}
			})
		}
	}
}
