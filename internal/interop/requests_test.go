package interop

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestEveryParameterThatProtectsASignInReallyTravels(t *testing.T) {
	t.Parallel()
	for _, provider := range foreigns {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			a := startApplication(t, onServeMux, provider.start)
			v := newVisitor(t)
			start := v.visit(a.url + "/account")
			asked := requestTo(t, a, start)
			checkAuthorizationRequest(t, a, asked)

			at := v.passProvider(start, a.op.issuer, "ada")
			if at.status != http.StatusOK || at.url.Path != "/account" {
				t.Errorf("sign-in ended at %s with %d; want the account page", at.url.Path, at.status)
			}
			answer := at.hop(t, "/callback").url.Query()
			// https://www.rfc-editor.org/rfc/rfc9207#section-2
			if got := answer.Get("iss"); got != a.op.issuer {
				t.Errorf("iss in the answer: got %q; want %q", got, a.op.issuer)
			}
			if answer.Get("state") != asked.Get("state") {
				t.Error("state in the answer is not the one asked with")
			}

			exchanges := a.wire.of("authorization_code")
			if len(exchanges) != 1 {
				t.Fatalf("code exchanges: got %d; want 1", len(exchanges))
			}
			e := exchanges[0]
			// https://www.rfc-editor.org/rfc/rfc7636#section-4.2
			digest := sha256.Sum256([]byte(e.form.Get("code_verifier")))
			if base64.RawURLEncoding.EncodeToString(digest[:]) != asked.Get("code_challenge") {
				t.Error("the PKCE challenge is not the digest of the verifier")
			}
			if got := e.form.Get("redirect_uri"); got != a.url+"/callback" {
				t.Errorf("redirect_uri: got %q; want the one asked with", got)
			}
			if e.client != a.op.clientID || e.secret != a.op.clientSecret {
				t.Error("the client is not authenticated with what was configured")
			}
			if e.form.Has("client_secret") {
				t.Error("the client secret travels twice")
			}
			if got := claims(t, e.tokens.IDToken)["nonce"]; got != asked.Get("nonce") {
				t.Error("the ID token has another nonce than asked with")
			}
		})
	}
}

// requestTo returns the parameters of the authorization request that a
// navigation ended in.
func requestTo(t *testing.T, a *application, at *page) url.Values {
	t.Helper()
	i := slices.IndexFunc(at.hops, func(h hop) bool {
		return strings.HasPrefix(h.url.String(), a.op.issuer+"/") && h.url.Query().Has("response_type")
	})
	if i < 0 {
		t.Fatalf("no authorization request on the way%s", at.way())
	}
	return at.hops[i].url.Query()
}

// checkAuthorizationRequest checks everything of the request that has one right
// value, and that what must be unguessable is long.
func checkAuthorizationRequest(t *testing.T, a *application, asked url.Values) {
	t.Helper()
	for name, want := range map[string]string{
		"response_type":         "code",
		"client_id":             a.op.clientID,
		"redirect_uri":          a.url + "/callback",
		"code_challenge_method": "S256",
	} {
		if got := asked[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q; want %q once", name, got, want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if got := asked.Get(name); len(got) < 22 || len(asked[name]) != 1 {
			t.Errorf("%s: got %d characters, %d times; want 128 bits of randomness once", name, len(got), len(asked[name]))
		}
	}
	scopes := strings.Fields(asked.Get("scope"))
	for _, want := range []string{"openid", "profile", "offline_access", "email"} {
		if !slices.Contains(scopes, want) {
			t.Errorf("scope: got %q; want %s in it", scopes, want)
		}
	}
	if asked.Has("code_verifier") || asked.Has("client_secret") {
		t.Error("a secret travels through the browser")
	}
}

func TestATamperedAnswerChangesNothingForWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	tampers := []struct {
		name   string
		tamper func(t *testing.T, a *application, answer url.Values)
		// exchanged tells that the code reaches the provider, which is the one
		// that refuses it. Otherwise it stays here.
		exchanged bool
	}{
		{name: "iss of another provider", tamper: func(_ *testing.T, _ *application, answer url.Values) {
			answer.Set("iss", "https://e.test")
		}},
		{name: "iss removed though announced", tamper: func(_ *testing.T, _ *application, answer url.Values) {
			answer.Del("iss")
		}},
		{name: "state of nobody", tamper: func(_ *testing.T, _ *application, answer url.Values) {
			answer.Set("state", strings.Repeat("A", len(answer.Get("state"))))
		}},
		{name: "state of another browser", tamper: func(t *testing.T, a *application, answer url.Values) {
			answer.Set("state", pendingAnswer(t, a, newVisitor(t), "mallory").Query().Get("state"))
		}},
		{name: "code of another browser, which PKCE refuses", exchanged: true,
			tamper: func(t *testing.T, a *application, answer url.Values) {
				answer.Set("code", pendingAnswer(t, a, newVisitor(t), "mallory").Query().Get("code"))
			}},
	}
	for _, provider := range foreigns {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			a := startApplication(t, onServeMux, provider.start)
			v := newVisitor(t)
			a.signIn(t, v, "ada")
			for _, test := range tampers {
				t.Run(test.name, func(t *testing.T) {
					before := len(a.wire.of("authorization_code"))
					answer := pendingAnswer(t, a, v, "ada")
					query := answer.Query()
					test.tamper(t, a, query)
					answer.RawQuery = query.Encode()

					at := v.navigate(v.parse(a.op.issuer), http.MethodGet, answer, nil)
					if at.status != http.StatusBadRequest || at.url.Path != "/callback" {
						t.Errorf("got %d at %s; want 400 at /callback", at.status, at.url.Path)
					}
					exchanges := a.wire.of("authorization_code")[before:]
					switch {
					case !test.exchanged && len(exchanges) != 0:
						t.Errorf("code exchanges: got %d; want none", len(exchanges))
					case test.exchanged && (len(exchanges) != 1 || exchanges[0].status != http.StatusBadRequest):
						t.Errorf("code exchanges: got %d; want one that the provider refuses", len(exchanges))
					}
					for _, cookie := range at.hops[0].cookies {
						if cookie.Name == "signin" {
							t.Error("the answer sets a session")
						}
					}
					a.wantSignedIn(t, v, "ada")
				})
			}
		})
	}
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

func TestWhoRefusesAtTheProviderIsNotSignedIn(t *testing.T) {
	t.Parallel()
	for _, provider := range foreigns {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			a := startApplication(t, onServeMux, provider.start)
			v := newVisitor(t)
			at := v.cancelAtProvider(v.visit(a.url+"/account"), "ada")
			callback := at.hop(t, "/callback")
			if got := callback.url.Query().Get("error"); got != "access_denied" {
				t.Fatalf("the provider answered %q; want access_denied", got)
			}
			if at.status != http.StatusForbidden {
				t.Errorf("the page after a refusal: got %d; want 403", at.status)
			}
			if !strings.Contains(at.body, "/sign-in") {
				t.Error("the page after a refusal offers no way to sign in")
			}
			if got := len(a.wire.of("authorization_code")); got != 0 {
				t.Errorf("code exchanges: got %d; want none", got)
			}
			a.wantSignedOut(t, v)
			a.signIn(t, v, "ada")
		})
	}
}

func TestASecondTabFinishesItsOwnSignIn(t *testing.T) {
	t.Parallel()
	for _, provider := range foreigns {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			a := startApplication(t, onServeMux, provider.start)
			v := newVisitor(t)
			first, second := pendingAnswer(t, a, v, "ada"), pendingAnswer(t, a, v, "ada")
			for _, answer := range []*url.URL{second, first} {
				if at := v.navigate(v.parse(a.op.issuer), http.MethodGet, answer, nil); at.status != http.StatusOK || at.url.Path != "/" {
					t.Errorf("a tab ended at %s with %d; want the home page%s", at.url.Path, at.status, at.way())
				}
				a.wantSignedIn(t, v, "ada")
			}
			// And a reload of a finished one goes on to the application.
			if at := v.navigate(nil, http.MethodGet, first, nil); at.status != http.StatusOK || at.url.Path != "/" {
				t.Errorf("a reloaded callback ended at %s with %d; want the home page%s", at.url.Path, at.status, at.way())
			}
			a.wantSignedIn(t, v, "ada")
		})
	}
}
