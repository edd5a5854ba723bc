package interop

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// Of the providers here only oidc-provider has back-channel logout;
// luikyv/go-oidc v0.23.0 does not. An application cannot reach sessions in
// cookies, so it has to remember which of them have ended.
func TestBackChannelLogout_SessionsInCookies(t *testing.T) {
	t.Parallel()
	for _, provider := range foreignsWithEachKey {
		if !provider.backChannel {
			continue
		}
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			servers, ops := startFor(t, provider, 2)
			news, shop := serve(t, servers[0], onServeMux, ops[0], "news"), serve(t, servers[1], onServeMux, ops[1], "shop")
			ada, elsewhere, grace := newVisitor(t), newVisitor(t), newVisitor(t)
			news.signIn(t, ada, "ada")
			shop.signIn(t, ada, "ada")
			shop.signIn(t, elsewhere, "ada")
			shop.signIn(t, grace, "grace")
			thief := copyOf(t, ada, shop.url)

			at := ada.passProvider(ada.follow(ada.visit(news.url+"/"), "/sign-out"), news.op.issuer, "")
			if at.url.String() != news.url+"/" || at.status != http.StatusOK {
				t.Fatalf("sign-out ended at %s with %d; want the home page%s", at.url.Path, at.status, at.way())
			}
			news.wantSignedOut(t, ada)
			shop.wantSignedOut(t, thief)
			shop.wantSignedOut(t, ada)
			// The logout token names one session at the provider, so the same person
			// stays signed in in another browser.
			shop.wantSignedIn(t, elsewhere, "ada")
			shop.wantSignedIn(t, grace, "grace")
			checkLogoutToken(t, news)
			checkLogoutToken(t, shop)
			shop.signIn(t, ada, "ada")
		})
	}
}

// logoutTokens are those that an application has received. The zero value is
// ready, and it is safe for concurrent use.
type logoutTokens struct {
	mu   sync.Mutex
	sent []string
}

// note collects the logout tokens on their way to next, which reads them too.
func (l *logoutTokens) note(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/backchannel-logout" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			form, _ := url.ParseQuery(string(body))
			l.mu.Lock()
			l.sent = append(l.sent, form.Get("logout_token"))
			l.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// checkLogoutToken checks that a has received one logout token, that it names a
// session, and how it is signed.
func checkLogoutToken(t *testing.T, a *application) {
	t.Helper()
	a.logouts.mu.Lock()
	sent := slices.Clone(a.logouts.sent)
	a.logouts.mu.Unlock()
	if len(sent) != 1 {
		t.Fatalf("logout tokens: got %d; want 1", len(sent))
	}
	if got := header(t, sent[0])["alg"]; got != string(a.op.alg) {
		t.Errorf("the logout token is signed by %v; want %s", got, a.op.alg)
	}
	if sid, _ := claims(t, sent[0])["sid"].(string); sid == "" {
		t.Error("the logout token names no session")
	}
}
