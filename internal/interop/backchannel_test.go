package interop

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
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
	for i, alg := range keyAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			t.Parallel()
			servers, ops := startFor(t, nodeWith(alg), 2*len(ways))
			// The routers take turns, so that each and every algorithm has its own.
			router := routers[i%len(routers)]
			for j, way := range ways {
				t.Run(way.name+", on "+router.name, func(t *testing.T) {
					t.Parallel()
					news := serve(t, servers[2*j], router.mount, ops[2*j], "news")
					shop := serve(t, servers[2*j+1], router.mount, ops[2*j+1], "shop")
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
					for _, a := range []*application{news, shop} {
						checkSignature(t, a, a.wire.of("authorization_code"))
						checkLogoutTokens(t, a)
					}

					// What ended was a session, not the person.
					shop.signIn(t, ada, "ada")
					news.signIn(t, ada, "ada")
				})
			}
		})
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
	servers, ops := startFor(t, nodeWith(goidc.RS256), 2)
	return serve(t, servers[0], mount, ops[0], "news"), serve(t, servers[1], mount, ops[1], "shop")
}

// logoutTokens are what an application is sent at its back-channel logout URL. The
// zero value is ready, and it is safe for concurrent use.
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
				http.Error(w, "a body that breaks off", http.StatusBadRequest)
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

// checkLogoutTokens checks that the one sign-out so far came to a as a logout
// token, that it names a session, and how it is signed.
func checkLogoutTokens(t *testing.T, a *application) {
	t.Helper()
	a.logouts.mu.Lock()
	sent := slices.Clone(a.logouts.sent)
	a.logouts.mu.Unlock()
	if len(sent) != 1 {
		t.Fatalf("logout tokens: got %d; want 1", len(sent))
	}
	if got := header(t, sent[0])["alg"]; got != string(a.op.alg) {
		t.Errorf("the logout token is signed with %v; want %s", got, a.op.alg)
	}
	if sid, _ := claims(t, sent[0])["sid"].(string); sid == "" {
		t.Error("the logout token names no session")
	}
}

// nodeWith is oidc-provider with one algorithm.
func nodeWith(alg goidc.SignatureAlgorithm) foreignProvider {
	return foreignProvider{start: func(t *testing.T, baseURLs ...string) []foreign {
		t.Helper()
		return startNodeProvider(t, alg, baseURLs...)
	}}
}
