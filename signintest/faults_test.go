package signintest_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// What each fault changes is tested in package faults. Here, each kind of effect
// reaches the client, and ends with Clear.
func TestInject_EachKindOfEffect(t *testing.T) {
	t.Parallel()
	const otherIssuer = "https://other-provider.example/oidc"
	bob := signintest.Bob()
	idToken := func(t *testing.T, a *party, _ answer) string { return a.signIn(t, bob).text("id_token") }
	typ := func(token func(a *party) string) func(*testing.T, *party, answer) string {
		return func(t *testing.T, a *party, _ answer) string { return fmt.Sprint(part(t, token(a), 0)["typ"]) }
	}
	for name, row := range map[string]struct {
		fault       signintest.Fault
		see         func(t *testing.T, a *party, tokens answer) string // tokens are of a sign-in before Inject
		wrong, then string
	}{
		"an authorization response": {faults.ResponseIssuerWrong, func(t *testing.T, a *party, _ answer) string {
			return strings.Replace(a.authorize(t, nil, bob, a.params()).Get("iss"), a.p.URL, "", 1)
		}, otherIssuer, "/oidc"},
		"PKCE": {faults.IgnorePKCE, func(t *testing.T, a *party, _ answer) string {
			return a.exchange(t, a.authorize(t, nil, bob, a.params()).Get("code"), "code_verifier", "wrong").text("error")
		}, "", "invalid_grant"},
		"a token response": {faults.TokensNoIDToken, idToken, "", "a token"},
		"an ID token": {faults.IDTokenNonceWrong, func(t *testing.T, a *party, _ answer) string {
			return fmt.Sprint(part(t, idToken(t, a, answer{}), 1)["nonce"])
		}, "another-nonce", "the-nonce"},
		"a refreshed ID token": {faults.IDTokenNonceWrong, func(t *testing.T, a *party, tokens answer) string {
			return fmt.Sprint(part(t, a.refresh(t, tokens.text("refresh_token")).text("id_token"), 1)["nonce"])
		}, "another-nonce", "the-nonce"},
		"a payload": {faults.IDTokenDuplicateClaim, func(t *testing.T, a *party, _ answer) string {
			return fmt.Sprint(strings.Count(rawPart(t, idToken(t, a, answer{}), 1), `"sub":`))
		}, "2", "1"},
		"a signed token": {faults.IDTokenEncrypted, func(t *testing.T, a *party, _ answer) string {
			return fmt.Sprint(strings.Count(idToken(t, a, answer{}), "."))
		}, "4", "2"},
		"no signature": {faults.IDTokenAlgNone, func(t *testing.T, a *party, _ answer) string {
			return fmt.Sprint(part(t, idToken(t, a, answer{}), 0)["alg"])
		}, "none", "ES384"},
		"a hash of the code": {faults.IDTokenCHashPresent, func(t *testing.T, a *party, _ answer) string {
			hash, _ := part(t, idToken(t, a, answer{}), 1)["c_hash"].(string)
			return fmt.Sprint(len(hash))
		}, "32", "0"},
		"an access token": {faults.AccessTokenTypeJWT, func(t *testing.T, a *party, tokens answer) string {
			access := a.refresh(t, tokens.text("refresh_token"), "resource", api).text("access_token")
			return fmt.Sprint(part(t, access, 0)["typ"])
		}, "JWT", "at+jwt"},
		"AccessToken":  {faults.AccessTokenTypeJWT, typ(func(a *party) string { return a.p.AccessToken("bob", api) }), "JWT", "at+jwt"},
		"MachineToken": {faults.AccessTokenTypeJWT, typ(func(a *party) string { return a.p.MachineToken("job", api) }), "JWT", "at+jwt"},
		"a refusal": {faults.TokenInvalidClient, func(t *testing.T, a *party, _ answer) string {
			got := a.refresh(t, "unknown")
			return fmt.Sprint(got.status, " ", got.text("error"))
		}, "401 invalid_client", "400 invalid_grant"},
		"an answer": {faults.Revocation500, func(t *testing.T, a *party, _ answer) string {
			return fmt.Sprint(a.post(t, a.p.Issuer+"/token/revocation", nil).status)
		}, "500", "400"},
		"how userinfo is written": {faults.UserInfoContentType, func(t *testing.T, a *party, tokens answer) string {
			got := a.get(t, a.p.Issuer+"/me", tokens.text("access_token"))
			return got.header.Get("Content-Type") + " " + got.text("sub")
		}, "text/html; charset=utf-8 bob000000001", "application/json; charset=utf-8 bob000000001"},
		"userinfo": {faults.UserInfoSubjectWrong, func(t *testing.T, a *party, tokens answer) string {
			return a.get(t, a.p.Issuer+"/me", tokens.text("access_token")).text("sub")
		}, "mallory00001", "bob000000001"},
		"userinfo that is an ID token": {faults.UserInfoIDToken, func(t *testing.T, a *party, tokens answer) string {
			got := a.get(t, a.p.Issuer+"/me", tokens.text("access_token"))
			return fmt.Sprint(got.header.Get("Content-Type"), " ", strings.Count(got.raw, "."))
		}, "application/jwt 2", "application/json; charset=utf-8 1"},
		"metadata": {faults.DiscoveryIssuerSlash, func(t *testing.T, a *party, _ answer) string {
			return strings.Replace(a.metadata(t).text("issuer"), a.p.URL, "", 1)
		}, "/oidc/", "/oidc"},
		"keys": {faults.KeysEmpty, func(t *testing.T, a *party, _ answer) string {
			return fmt.Sprint(len(a.keys(t, a.p.Issuer+"/jwks").Keys))
		}, "0", "1"},
		"the way back from a sign-out": {faults.EndSessionStateMissing, func(t *testing.T, a *party, _ answer) string {
			q := url.Values{"client_id": {a.cfg.ClientID}, "post_logout_redirect_uri": {a.URL}, "state": {"s"}}
			return strings.Replace(a.get(t, a.p.Issuer+"/session/end?"+q.Encode(), "").header.Get("Location"), a.URL, "", 1)
		}, "", "?state=s"},
		"a logout token": {faults.LogoutTokenIDMissing, func(t *testing.T, a *party, _ answer) string {
			id, _ := part(t, a.p.LogoutToken("bob", ""), 1)["jti"].(string)
			return fmt.Sprint(len(id))
		}, "0", "32"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			tokens := a.signIn(t, bob, "resource", api)
			a.p.Inject(row.fault)
			if got := row.see(t, a, tokens); got != row.wrong {
				t.Errorf("got %q; want %q", got, row.wrong)
			}
			a.p.Clear()
			if got := row.see(t, a, tokens); got != row.then && (row.then != "a token" || got == "") {
				t.Errorf("after Clear: got %q; want %q", got, row.then)
			}
		})
	}
}

// keys returns the key set at an address.
func (a *party) keys(t *testing.T, address string) (set jose.JSONWebKeySet) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.get(t, address, "").raw), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// An ID token that is signed with the wrong key is signed rightly: only the key
// is a reason to refuse it.
func TestInject_KeysThatSign(t *testing.T) {
	t.Parallel()
	published := func(t *testing.T, a *party, token string) any {
		set := a.keys(t, a.p.Issuer+"/jwks")
		return set.Key(part(t, token, 0)["kid"].(string))[0]
	}
	for name, row := range map[string]struct {
		fault     signintest.Fault
		algorithm string // of the provider
		want      jose.SignatureAlgorithm
		key       func(t *testing.T, a *party, token string) any
	}{
		"another algorithm":            {faults.IDTokenOtherAlgorithm, "ES384", jose.ES256, published},
		"another algorithm than ES256": {faults.IDTokenOtherAlgorithm, "ES256", jose.ES384, published},
		"a key for encryption":         {faults.IDTokenKeyForEncryption, "ES384", jose.ES384, published},
		"a key that the header points to": {faults.IDTokenHeaderJKU, "ES384", jose.ES384, func(t *testing.T, a *party, token string) any {
			return a.keys(t, part(t, token, 0)["jku"].(string)).Keys[0]
		}},
		"the public key": {faults.IDTokenHS256PEM, "RS256", jose.HS256, func(t *testing.T, a *party, _ string) any {
			der, err := x509.MarshalPKIXPublicKey(a.keys(t, a.p.Issuer+"/jwks").Keys[0].Key)
			if err != nil {
				t.Fatal(err)
			}
			return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}},
		"the client secret": {faults.IDTokenHS256Secret, "EdDSA", jose.HS256, func(_ *testing.T, a *party, _ string) any {
			return []byte(a.cfg.ClientSecret + strings.Repeat("\x00", 32-len(a.cfg.ClientSecret)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, signintest.WithAlgorithm(row.algorithm))
			a.p.Inject(row.fault)
			token := a.signIn(t, signintest.Bob()).text("id_token")
			signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{row.want})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := signed.Verify(row.key(t, a, token)); err != nil {
				t.Errorf("got %v; want a right signature", err)
			}
		})
	}
}

// What the documentation of each exported fault says comes of it.
func TestInject_OutcomeInAnApplication(t *testing.T) {
	t.Parallel()
	merging := func(cfg signin.Config) (http.Handler, error) {
		cfg.MergeUserInfo = true
		return newHandler(cfg)
	}
	type visit struct {
		path   string
		status int
	}
	const teapot = http.StatusTeapot // the handler's function has returned an error
	for name, row := range map[string]struct {
		fault   signintest.Fault
		app     func(signin.Config) (http.Handler, error)
		before  bool          // injected before the sign-in
		later   time.Duration // after the sign-in, and the fault
		visits  []visit
		signIns int // more, tried by guards
	}{
		"SignInDeclined":                    {fault: signintest.SignInDeclined, before: true, visits: []visit{{"/account", 403}}},
		"IDTokenForged":                     {fault: signintest.IDTokenForged, before: true, visits: []visit{{"/account", 502}}},
		"IDTokenReplayed":                   {fault: signintest.IDTokenReplayed, before: true, visits: []visit{{"/account", 502}}},
		"StepUpIgnored":                     {fault: signintest.StepUpIgnored, later: 30 * time.Minute, visits: []visit{{"/delete", 403}, {"/account", 200}}, signIns: 1},
		"ClientSecretWrong":                 {fault: signintest.ClientSecretWrong, before: true, visits: []visit{{"/account", 502}}},
		"ClientSecretWrong, at a refresh":   {fault: signintest.ClientSecretWrong, later: 2 * time.Hour, visits: []visit{{"/account", 200}, {"/token", teapot}}},
		"TokensUnavailable":                 {fault: signintest.TokensUnavailable, before: true, visits: []visit{{"/account", 503}}},
		"TokensUnavailable, at a refresh":   {fault: signintest.TokensUnavailable, later: 2 * time.Hour, visits: []visit{{"/account", 200}, {"/token", teapot}}},
		"RefreshTokenRevoked":               {fault: signintest.RefreshTokenRevoked, before: true, visits: []visit{{"/account", 400}}},
		"RefreshTokenRevoked, at a refresh": {fault: signintest.RefreshTokenRevoked, later: 2 * time.Hour, visits: []visit{{"/account", 400}}, signIns: 1},
		"NoRefreshToken":                    {fault: signintest.NoRefreshToken, before: true, visits: []visit{{"/account", 200}, {"/token", 200}}},
		"NoRefreshToken, later":             {fault: signintest.NoRefreshToken, before: true, later: 2 * time.Hour, visits: []visit{{"/account", 200}, {"/token", teapot}}},
		"UserInfoOfAnother":                 {fault: signintest.UserInfoOfAnother, visits: []visit{{"/account", 200}, {"/userinfo", teapot}}},
		"UserInfoOfAnother, merged":         {fault: signintest.UserInfoOfAnother, before: true, app: merging, visits: []visit{{"/account", 502}}},
		"AccessTokenExpired":                {fault: signintest.AccessTokenExpired, visits: []visit{{"/api", 401}, {"/account", 200}}},
		"no fault":                          {later: 2 * time.Hour, visits: []visit{{"/account", 200}, {"/token", 200}, {"/userinfo", 200}, {"/api", 200}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			if row.app == nil {
				row.app = newHandler
			}
			app := signintest.Start(t, row.app, signintest.WithNow(clock.Now))
			browser := app.Browser(signintest.Alice())
			if row.fault != "" && row.before {
				app.Provider.Inject(row.fault)
			}
			if !row.before || row.later > 0 {
				get(t, browser, app.URL+"/account")
			}
			signIns := app.Provider.Stats().Authorizations
			clock.Advance(row.later)
			if row.fault != "" && !row.before {
				app.Provider.Inject(row.fault)
			}
			for _, v := range row.visits {
				r := newRequest(t, http.MethodGet, app.URL+v.path, nil)
				if v.path == "/api" {
					r.Header = http.Header{"Accept": {"*/*"}, "Authorization": {"Bearer " + app.Provider.AccessToken("alice", api)}}
				}
				resp, err := browser.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != v.status {
					t.Errorf("%s: got %s at %s; want %d", v.path, resp.Status, resp.Request.URL.Path, v.status)
				}
			}
			if got := app.Provider.Stats().Authorizations - signIns; !row.before && got != row.signIns {
				t.Errorf("got %d sign-ins tried; want %d", got, row.signIns)
			}
		})
	}
}
