package acceptance_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// merging merges userinfo, and asks for all claims.
var merging = with{config: func(cfg *signin.Config) {
	cfg.MergeUserInfo, cfg.Scopes = true, []string{"email", "phone", "address", "custom_data"}
}}

func algorithm(name string) with {
	return with{provider: []signintest.Option{signintest.WithAlgorithm(name)}}
}

// fapi follows FAPI 2.0 as far as this package does. It accepts only ES256, and asks
// for userinfo, so that [unused] can show that nothing is asked after a rejection.
var fapi = with{
	provider: []signintest.Option{signintest.WithAlgorithm("ES256")},
	config: func(cfg *signin.Config) {
		cfg.Provider.SigningAlgs = []string{"ES256"}
		merging.config(cfg)
	},
}

// relisted lets Alice sign in after a restarted application has read the provider's
// metadata again.
func relisted(a *app, b *browser) answer {
	a.start()
	return b.visit("/sign-in?return_to=%2Faccount", signintest.Alice())
}

// initiated begins a sign-in as another site does, with the given values of iss.
func initiated(issuers func(own string) []string) func(*app, *browser) answer {
	return func(a *app, b *browser) answer {
		q := url.Values{"iss": issuers(a.provider.Issuer), "target_link_uri": {a.server.URL + "/account"}}
		return b.get("/sign-in?" + q.Encode())
	}
}

// onlyDiscovery checks that no request went to an endpoint listed in the metadata.
func onlyDiscovery(t *testing.T, a *app) {
	t.Helper()
	last := a.wire.requests()[len(a.wire.requests())-1]
	if got := last.url.String(); got != a.provider.Issuer+"/.well-known/openid-configuration" {
		t.Errorf("requests: got one for %s after the metadata; want none", got)
	}
}

// unused checks that no access token was used after a rejection.
func unused(t *testing.T, a *app) {
	t.Helper()
	if got, want := a.provider.Stats().UserInfo, a.signIns(); got != want {
		t.Errorf("requests with an access token: got %d; want %d, none after the rejection", got, want)
	}
}

// TestConformance has a subtest named after each module of the OpenID Foundation's
// relying-party plans (oidcc-client-test…) that applies to a client of the code flow,
// and after each module of FAPI 2.0 (fapi2-security-profile-id2-client-test-…) that
// changes the authorization or token response. Modules of FAPI that repeat another
// one are left out.
//
// https://openid.net/certification/connect_rp_testing/
// https://openid.net/specs/fapi-security-profile-2_0-final.html
func TestConformance(t *testing.T) {
	t.Parallel()
	rs256, es256 := algorithm("RS256"), algorithm("ES256")
	badRequest := refusal{http.StatusBadRequest, signin.ErrBadRequest, 0}
	for _, row := range []rejection{
		{name: "P-invalid-iss", faults: fault(faults.IDTokenIssuerWrong), want: unbelieved},
		{name: "P-invalid-aud", faults: fault(faults.IDTokenAudienceWrong), want: unbelieved},
		{name: "P-nonce-invalid", faults: fault(faults.IDTokenNonceWrong), want: unbelieved},
		{name: "P-nonce-invalid without a nonce", faults: fault(faults.IDTokenNonceMissing), want: unbelieved},
		{name: "P-missing-sub", faults: fault(faults.IDTokenSubjectMissing), want: unbelieved},
		{name: "P-missing-iat", faults: fault(faults.IDTokenIssuedAtMissing), want: unbelieved},
		{name: "P-missing-aud", faults: fault(faults.IDTokenAudienceMissing), want: unbelieved},
		{
			name:   "P-kid-absent-multiple-jwks with a signature by neither key",
			faults: fault(faults.IDTokenKeyIDMissing, faults.IDTokenSignatureInvalid), want: unbelieved,
			try: func(a *app, b *browser) answer {
				a.provider.RotateKey()
				return b.visit("/sign-in?return_to=%2Faccount", signintest.Alice())
			},
		},
		{name: "P-idtoken-sig-none", with: rs256, faults: fault(faults.IDTokenAlgNone), want: unbelieved},
		{
			name: "P-idtoken-sig-none from a provider that lists none", with: rs256,
			faults: fault(faults.IDTokenAlgNone, faults.DiscoveryAlgNone), try: relisted, want: unbelieved,
		},
		{name: "P-invalid-sig-rs256", with: rs256, faults: fault(faults.IDTokenSignatureInvalid), want: unbelieved},
		{name: "P-invalid-sig-es256", with: es256, faults: fault(faults.IDTokenSignatureInvalid), want: unbelieved},
		{name: "P-invalid-sig-hs256", with: rs256, faults: fault(faults.IDTokenHS256PEM), want: unbelieved},
		{name: "P-userinfo-invalid-sub", with: merging, faults: fault(faults.UserInfoSubjectWrong), want: unbelieved},
		{
			name: "P-discovery-issuer-mismatch", faults: fault(faults.DiscoveryIssuerWrong),
			try: relisted, want: mismatch, also: onlyDiscovery,
		},
		{
			name:   "P-discovery-issuer-mismatch by the whole document of another provider",
			faults: fault(faults.DiscoveryOtherProvider), try: relisted, want: mismatch, also: onlyDiscovery,
		},
		{
			name: "P-3rd-party-init-login of a foreign issuer", noEvent: true, want: badRequest,
			try: initiated(func(string) []string { return []string{"https://other-provider.example/oidc"} }),
		},
		{
			name: "P-3rd-party-init-login of two issuers", noEvent: true, want: badRequest,
			try: initiated(func(own string) []string { return []string{own, "https://other-provider.example/oidc"} }),
		},
		{name: "P-fapi2-invalid-missing-iss", with: fapi, faults: fault(faults.IDTokenIssuerMissing), want: unbelieved, also: unused},
		{name: "P-fapi2-invalid-secondary-aud", with: fapi, faults: fault(faults.IDTokenAudienceNoAZP), want: unbelieved, also: unused},
		{name: "P-fapi2-invalid-alternate-alg", with: fapi, faults: fault(faults.IDTokenOtherAlgorithm), want: unbelieved, also: unused},
		{name: "P-fapi2-invalid-expired-exp", with: fapi, faults: fault(faults.IDTokenExpired), want: unbelieved, also: unused},
		{name: "P-fapi2-invalid-missing-exp", with: fapi, faults: fault(faults.IDTokenExpiryMissing), want: unbelieved, also: unused},
		{name: "P-fapi2-invalid-authorization-response-iss", with: fapi, faults: fault(faults.ResponseIssuerWrong), want: malformed},
		{name: "P-fapi2-remove-authorization-response-iss", with: fapi, faults: fault(faults.ResponseIssuerMissing), want: malformed},
		{
			name: "P-fapi2-ensure-authorization-response-with-invalid-state-fails", with: fapi,
			faults: fault(faults.ResponseStateWrong), want: notUnderWay,
		},
		{
			name: "P-fapi2-ensure-authorization-response-with-invalid-missing-state-fails", with: fapi,
			faults: fault(faults.ResponseStateMissing), want: malformed,
		},
	} {
		row.run(t)
	}
	rotating := with{provider: []signintest.Option{signintest.WithRefreshRotation()}}
	for name, test := range map[string]func(*testing.T){
		"P-kid-absent-single-jwks": func(t *testing.T) { accepted(t, with{}, faults.IDTokenKeyIDMissing) },
		"P-kid-absent-multiple-jwks": func(t *testing.T) {
			a := newApp(t, with{recorded: true})
			a.provider.RotateKey() // two keys of one algorithm
			a.provider.Inject(faults.IDTokenKeyIDMissing, faults.KeysReversed)
			a.wantArrival(t, a.browser(), signintest.Alice())
		},
		"P-idtoken-sig-rs256": func(t *testing.T) { accepted(t, rs256) },
		"P-client-secret-basic": func(t *testing.T) {
			a, _ := accepted(t, with{provider: []signintest.Option{signintest.WithClientAuthMethods("client_secret_basic")}})
			for _, s := range a.wire.requests() {
				if s.form != nil && (!strings.HasPrefix(s.header.Get("Authorization"), "Basic ") || s.form.Has("client_secret")) {
					t.Errorf("token request: got the secret in its form, or nowhere; want Basic alone")
				}
			}
		},
		"P-discovery-openid-config": conformsDiscovery,
		"P-discovery-jwks-uri-keys": func(t *testing.T) {
			a, _ := accepted(t, with{provider: []signintest.Option{signintest.WithRandomPaths()}})
			if n := a.provider.Stats().Keys; n != 1 {
				t.Errorf("requests at the address of jwks_uri: got %d; want 1", n)
			}
		},
		"P-signing-key-rotation":      func(t *testing.T) { conformsRefresh(t, with{}, true) },
		"P-refresh-token":             func(t *testing.T) { conformsRefresh(t, rotating, false) },
		"P-refresh-token-invalid-sub": func(t *testing.T) { endsAtRefresh(t, faults.IDTokenSubjectWrong) },
		"P-refresh-token-invalid-issuer": func(t *testing.T) {
			endsAtRefresh(t, faults.IDTokenIssuerWrong)
		},
		"P-signing-key-rotation-just-before-signing": func(t *testing.T) {
			a, b := accepted(t, with{})
			a.provider.RotateKey()
			a.wantArrival(t, b, signintest.Bob())
			if n := a.provider.Stats().Keys; n != 2 {
				t.Errorf("key requests: got %d; want 2, one before the rotation and one after", n)
			}
		},
		"P-rp-init-logout":             func(t *testing.T) { signsOut(t) },
		"P-rp-init-logout-other-state": func(t *testing.T) { signsOut(t, faults.EndSessionStateWrong) },
		"P-rp-init-logout-no-state":    func(t *testing.T) { signsOut(t, faults.EndSessionStateMissing) },
		"P-3rd-party-init-login":       conformsThirdPartyInitiation,
		"P-fapi2-valid-aud-as-array":   func(t *testing.T) { accepted(t, fapi, faults.IDTokenAudienceArray) },
		"P-fapi2-token-endpoint-response-without-expires-in": func(t *testing.T) {
			accepted(t, fapi, faults.TokensExpiresInAbsent)
		},
		"P-fapi2-token-type-case-insensitivity": func(t *testing.T) { accepted(t, fapi, faults.TokensTypeOddCase) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
	conformsUserInfo(t)
}

// conformsUserInfo lets Alice sign in once for all modules about userinfo.
func conformsUserInfo(t *testing.T) {
	alice := signintest.Alice()
	alice.Claims = map[string]any{"custom_data": map[string]any{"team": "blue"}, "address": map[string]any{"locality": "Basel"}}
	a := newApp(t, with{config: merging.config, recorded: true})
	b := a.browser()
	a.wantArrival(t, b, alice)
	got := b.claims()
	requests := slices.DeleteFunc(a.wire.requests(), func(s sent) bool { return s.url.Path != "/oidc/me" })
	t.Run("P", func(t *testing.T) {
		if team, _ := got["custom_data"].(map[string]any); team["team"] != "blue" || len(requests) != 1 { // in userinfo only
			t.Errorf("got %d userinfo requests, custom_data %v; want one, and its claims", len(requests), team)
		}
	})
	t.Run("P-scope-userinfo-claims", func(t *testing.T) {
		if scope := a.lastRequest().Asked.Get("scope"); scope != "openid profile offline_access email phone address custom_data" {
			t.Errorf("scope: got %q; want the usual ones and those of Config", scope)
		}
		address, _ := got["address"].(map[string]any)
		if got["name"] != alice.Name || got["email"] != alice.Email || got["phone_number"] != alice.Phone || address["locality"] != "Basel" {
			t.Errorf("claims: got %v; want those of the scopes", got)
		}
	})
	t.Run("P-userinfo-bearer-header", func(t *testing.T) {
		if r := requests[0]; !strings.HasPrefix(r.header.Get("Authorization"), "Bearer ") || r.url.RawQuery != "" || r.form != nil {
			t.Errorf("userinfo request: got query %q, form %v; want the token in the header alone", r.url.RawQuery, r.form)
		}
	})
}

func conformsDiscovery(t *testing.T) {
	a, b := accepted(t, with{config: merging.config, provider: []signintest.Option{signintest.WithRandomPaths()}})
	a.clock.add(due)
	b.get("/account").want(t, http.StatusOK, "")
	out := b.do(http.MethodPost, "/sign-out")
	out.want(t, http.StatusSeeOther, a.provider.URL)
	a.provider.Visit(t, b.Client, out.Header.Get("Location"), signintest.Alice())
	got := a.provider.Stats()
	// By now both documents may have been fetched again, ahead of their expiry.
	got.Discovery, got.Keys = min(got.Discovery, 1), min(got.Keys, 1)
	want := signintest.Stats{
		Discovery: 1, Keys: 1, Authorizations: 1, Exchanges: 1, Refreshes: 1, UserInfo: 2, Revocations: 1, EndSessions: 1,
		MostRefreshesAtOnce: 1,
	}
	if got != want {
		t.Errorf("requests that found their endpoint: got %+v; want %+v", got, want)
	}
}

// conformsRefresh refreshes three times, or once with a new signing key.
func conformsRefresh(t *testing.T, w with, newKey bool) {
	t.Helper()
	a, b := accepted(t, w)
	alice := signintest.Alice()
	alice.Name = "Alice Changed"
	a.provider.SetUser(alice)
	refreshes := 3
	if newKey {
		a.provider.RotateKey()
		refreshes = 1
	}
	for n := range refreshes {
		a.clock.add(due)
		if got := b.user().Name; got != alice.Name {
			t.Errorf("name after refresh %d: got %v; want %s", n+1, got, alice.Name)
		}
	}
	if s := a.provider.Stats(); s.Refreshes != refreshes || s.RevokedForReuse != 0 || newKey && s.Keys != 2 {
		t.Errorf("got %d refreshes, %d grants revoked for reuse, %d key requests; want %d, none, and 2 for a new key",
			s.Refreshes, s.RevokedForReuse, s.Keys, refreshes)
	}
	a.wantNoLeak(t)
}

// endsAtRefresh checks that a refresh whose ID token lies ends the session, and that
// the new tokens are dropped.
func endsAtRefresh(t *testing.T, f signintest.Fault) {
	t.Helper()
	a, b := accepted(t, with{provider: []signintest.Option{signintest.WithRefreshRotation()}})
	copied, inside := b.copyOf(), a.insideCalls()
	a.provider.Inject(f)
	a.clock.add(due)
	b.get("/account").want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
	if n := a.insideCalls(); n != inside {
		t.Errorf("protected handler called %d times; want none", n-inside)
	}
	a.provider.Clear()
	wantEnded(t, a, b, copied)
	i := slices.Index(a.kinds(), signin.EventSessionEnded)
	if i < 0 || a.events[i].Reason != "provider" || a.events[i].Subject != signintest.Alice().Subject {
		t.Errorf("events: got %v; want one that says that the provider ended Alice's session", a.kinds())
	}
	a.wantNoLeak(t)
}

// wantEnded checks that Alice's session has ended, in a browser and in a copy of it,
// and that no refresh token is left.
func wantEnded(t *testing.T, a *app, b, copied *browser) {
	t.Helper()
	if b.who() != notSignedIn || copied.who() != notSignedIn {
		t.Errorf("afterwards: got %q, with a copy of the cookies %q; want no user signed in", b.who(), copied.who())
	}
	if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
		t.Errorf("refresh tokens alive: got %d; want none", n)
	}
}

// signsOut checks that a sign-out ends the session here and at the provider, and
// leads back to the application, whatever state the provider sends along.
func signsOut(t *testing.T, on ...signintest.Fault) {
	t.Helper()
	a, b := accepted(t, with{}, on...)
	copied := b.copyOf()
	out := b.do(http.MethodPost, "/sign-out")
	out.want(t, http.StatusSeeOther, a.provider.URL)
	wantEnded(t, a, b, copied) // before the browser goes to the provider
	back := a.provider.Visit(t, b.Client, out.Header.Get("Location"), signintest.Alice())
	if got := back.Request.URL; back.StatusCode != http.StatusOK || !strings.HasPrefix(got.String(), a.server.URL+"/") {
		t.Errorf("arrived: got %s at %s; want the application", back.Status, got.Host)
	}
	if sent := back.Request.URL.Query().Has("state"); sent != slices.Contains(on, faults.EndSessionStateWrong) {
		t.Errorf("state came back: got %t; want it only from the module that changes it", sent)
	}
	if left := a.provider.SessionIDs(signintest.Alice().Subject); len(left) != 0 {
		t.Errorf("sessions at the provider: got %d; want none", len(left))
	}
	a.wantNoLeak(t)
}

func conformsThirdPartyInitiation(t *testing.T) {
	a := newApp(t, with{recorded: true})
	for _, row := range []struct{ name, target, arrives string }{
		{"a page of the application", a.server.URL + "/account?tab=2", "/account?tab=2"},
		{"another site's page", "https://other.example/account", "/"},
	} {
		q := url.Values{"iss": {a.provider.Issuer}, "target_link_uri": {row.target}, "login_hint": {"alice@example.test"}}
		got := a.browser().visit("/sign-in?"+q.Encode(), signintest.Alice())
		if got.StatusCode != http.StatusOK || got.body != signintest.Alice().Subject || got.Request.URL.RequestURI() != row.arrives {
			t.Errorf("%s: got %s %q at %s; want Alice at %s", row.name, got.Status, got.body, got.Request.URL, row.arrives)
		}
		if hint := a.lastRequest().Asked.Get("login_hint"); hint != "alice@example.test" {
			t.Errorf("%s: got login_hint %q; want the initiator's", row.name, hint)
		}
	}
	a.wantNoLeak(t)
}
