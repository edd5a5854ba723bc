package signintest_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// Package faults tests what each fault changes. This tests that each kind of effect
// reaches the client, and ends with Clear.
func TestInject_EachKindOfEffect(t *testing.T) {
	t.Parallel()
	bob := signintest.Bob()
	idToken := func(i int, name string) func(*testing.T, *party, answer) any {
		return func(t *testing.T, a *party, _ answer) any { return part(t, a.signIn(t, bob).text("id_token"), i)[name] }
	}
	userInfo := func(see func(answer) any) func(*testing.T, *party, answer) any {
		return func(t *testing.T, a *party, tokens answer) any {
			return see(a.get(t, a.p.Issuer+"/me", tokens.text("access_token")))
		}
	}
	for name, row := range map[string]struct {
		fault        signintest.Fault
		see          func(t *testing.T, a *party, tokens answer) any // tokens are of a sign-in before Inject
		wrong, right any
	}{
		"an authorization response": {faults.ResponseIssuerWrong, func(t *testing.T, a *party, _ answer) any {
			return a.authorize(t, nil, bob, a.params()).Get("iss") == a.p.Issuer
		}, false, true},
		"PKCE": {faults.IgnorePKCE, func(t *testing.T, a *party, _ answer) any {
			return a.exchange(t, a.authorize(t, nil, bob, a.params()).Get("code"), "code_verifier", "wrong").outcome()
		}, "200", "400 invalid_grant"},
		"an ID token":  {faults.IDTokenNonceWrong, idToken(1, "nonce"), "another-nonce", "the-nonce"},
		"no signature": {faults.IDTokenAlgNone, idToken(0, "alg"), "none", "ES384"},
		"AccessToken": {faults.AccessTokenTypeJWT, func(t *testing.T, a *party, _ answer) any {
			return part(t, a.p.AccessToken("bob", api), 0)["typ"]
		}, "JWT", "at+jwt"},
		"how userinfo is written": {faults.UserInfoContentType, userInfo(func(info answer) any {
			return info.header.Get("Content-Type") + " " + info.text("sub")
		}), "text/html; charset=utf-8 bob000000001", "application/json; charset=utf-8 bob000000001"},
		"keys": {faults.KeysEmpty, func(t *testing.T, a *party, _ answer) any {
			return len(a.keys(t, a.p.Issuer+"/jwks").Keys)
		}, 0, 1},
		"keys as JSON": {faults.KeysUseCaps, func(t *testing.T, a *party, _ answer) any {
			return strings.Contains(a.get(t, a.p.Issuer+"/jwks", "").raw, `"use":"SIG"`)
		}, true, false},
		"what is appended to a response": {faults.ResponseExtras, func(t *testing.T, a *party, _ answer) any {
			at := a.p.Visit(t, nil, a.p.Issuer+"/auth?"+a.params().Encode(), bob).Request.URL
			return strings.HasSuffix(at.RawQuery, "&x=a;b&y=100%")
		}, true, false},
		"the size of a code, which works": {faults.ResponseCodeLong, func(t *testing.T, a *party, _ answer) any {
			code := a.authorize(t, nil, bob, a.params()).Get("code")
			return a.exchange(t, code).outcome() == "200" && len(code) == 8<<10
		}, true, false},
		"the sizes of tokens, which work": {faults.TokensKeycloak, func(t *testing.T, a *party, _ answer) any {
			tokens := a.signIn(t, bob)
			access, refresh := tokens.text("access_token"), tokens.text("refresh_token")
			return a.get(t, a.p.Issuer+"/me", access).outcome() + " " + a.refresh(t, refresh).outcome() + " " +
				strconv.Itoa(len(access)+len(refresh))
		}, "200 200 2000", "200 200 64"},
		"the ID token of a refresh": {faults.IDTokenRepeated, func(t *testing.T, a *party, tokens answer) any {
			return a.refresh(t, tokens.text("refresh_token")).text("id_token") == tokens.text("id_token")
		}, true, false},
		"how credentials are read": {faults.BasicNotDecoded, func(t *testing.T, a *party, tokens answer) any {
			return a.refresh(t, tokens.text("refresh_token")).outcome()
		}, "401 invalid_client", "200"},
		"userinfo as a JWT": {faults.UserInfoSigned, userInfo(func(info answer) any {
			return info.header.Get("Content-Type") + " " + strconv.Itoa(strings.Count(info.raw, "."))
		}), "application/jwt 2", "application/json; charset=utf-8 1"},
		"the way back from a sign-out": {faults.EndSessionStateMissing, func(t *testing.T, a *party, _ answer) any {
			q := url.Values{"client_id": {a.cfg.ClientID}, "post_logout_redirect_uri": {a.URL}, "state": {"s"}}
			return strings.HasSuffix(a.get(t, a.p.Issuer+"/session/end?"+q.Encode(), "").header.Get("Location"), "?state=s")
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, signintest.WithClient("an-app", "a-secret+"))
			tokens := a.signIn(t, bob, "resource", api)
			a.p.Inject(row.fault)
			a.p.Inject() // keeps those that are on
			same(t, "after Inject", row.see(t, a, tokens), row.wrong)
			a.p.Clear()
			same(t, "after Clear", row.see(t, a, tokens), row.right)
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

// An ID token that is signed with the wrong key has a correct signature: only the key
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
		"a key that the header points to": {faults.IDTokenHeaderJKU, "ES384", jose.ES384,
			func(t *testing.T, a *party, token string) any {
				return a.keys(t, part(t, token, 0)["jku"].(string)).Keys[0]
			}},
		"the public key": {faults.IDTokenHS256PEM, "RS256", jose.HS256, func(t *testing.T, a *party, _ string) any {
			der, err := x509.MarshalPKIXPublicKey(a.keys(t, a.p.Issuer+"/jwks").Keys[0].Key)
			if err != nil {
				t.Fatal(err)
			}
			return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
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
				t.Errorf("got %v; want a correct signature", err)
			}
		})
	}
}

// Each exported fault has the outcome that its documentation describes.
func TestInject_OutcomeInAnApplication(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		fault   signintest.Fault
		before  bool          // injected before the sign-in
		later   time.Duration // after the sign-in
		visits  string        // pages and their statuses; 418 for an error that signin returns to a handler
		signIns int           // more, tried by guards
	}{
		"SignInDeclined":                    {signintest.SignInDeclined, true, 0, "/account=403", 0},
		"IDTokenForged":                     {signintest.IDTokenForged, true, 0, "/account=502", 0},
		"IDTokenReplayed":                   {signintest.IDTokenReplayed, true, 0, "/account=502", 0},
		"StepUpIgnored":                     {signintest.StepUpIgnored, false, 30 * time.Minute, "/delete=403 /account=200", 1},
		"ClientSecretWrong":                 {signintest.ClientSecretWrong, true, 0, "/account=502", 0},
		"ClientSecretWrong, at a refresh":   {signintest.ClientSecretWrong, false, 2 * time.Hour, "/account=200 /token=418", 0},
		"TokensUnavailable":                 {signintest.TokensUnavailable, true, 0, "/account=503", 0},
		"TokensUnavailable, at a refresh":   {signintest.TokensUnavailable, false, 2 * time.Hour, "/account=200 /token=418", 0},
		"RefreshTokenRevoked":               {signintest.RefreshTokenRevoked, true, 0, "/account=400", 0},
		"RefreshTokenRevoked, at a refresh": {signintest.RefreshTokenRevoked, false, 2 * time.Hour, "/account=400", 1},
		"NoRefreshToken":                    {signintest.NoRefreshToken, true, 0, "/account=200 /token=200", 0},
		"NoRefreshToken, later":             {signintest.NoRefreshToken, true, 2 * time.Hour, "/account=200 /token=418", 0},
		"UserInfoOfAnother":                 {signintest.UserInfoOfAnother, true, 0, "/account=502", 0},
		"UserInfoOfAnother, later":          {signintest.UserInfoOfAnother, false, 0, "/account=200 /userinfo=418", 0},
		"AccessTokenExpired":                {signintest.AccessTokenExpired, false, 0, "/api=401 /account=200", 0},
		"no fault":                          {"", false, 2 * time.Hour, "/account=200 /token=200 /userinfo=200 /api=200", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			app := signintest.Start(t, newHandler, signintest.WithNow(clock.Now))
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
			for visit := range strings.FieldsSeq(row.visits) {
				path, status, _ := strings.Cut(visit, "=")
				r := newRequest(t, http.MethodGet, app.URL+path, nil)
				if path == "/api" {
					r.Header = http.Header{"Accept": {"*/*"}, "Authorization": {"Bearer " + app.Provider.AccessToken("alice", api)}}
				}
				same(t, path, strconv.Itoa(send(t, browser, r).status), status)
			}
			if !row.before {
				same(t, "sign-ins tried", app.Provider.Stats().Authorizations-signIns, row.signIns)
			}
		})
	}
}
