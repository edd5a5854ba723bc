package signintest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/signintest"
)

// tokenFault is what a token looks like, and whether go-oidc, which
// leaves some checks to its caller, takes it.
type tokenFault struct {
	is    func(header, claims map[string]any, issuer string) bool
	takes bool
}

func claim(name string, want any) func(header, claims map[string]any, issuer string) bool {
	return func(_, claims map[string]any, _ string) bool { return claims[name] == want }
}

func header(name string, want any) func(header, claims map[string]any, issuer string) bool {
	return func(header, _ map[string]any, _ string) bool { return header[name] == want }
}

func issuer(change func(string) string) func(header, claims map[string]any, issuer string) bool {
	return func(_, claims map[string]any, issuer string) bool { return claims["iss"] == change(issuer) }
}

func seconds(claims map[string]any, name string) time.Duration {
	n, _ := claims[name].(json.Number)
	s, err := n.Int64()
	if err != nil {
		return 0
	}
	return time.Duration(s-newClock().t.Unix()) * time.Second
}

func off(name string, want time.Duration) func(header, claims map[string]any, issuer string) bool {
	return func(_, claims map[string]any, _ string) bool { return seconds(claims, name) == want }
}

func audiences(azp any) func(header, claims map[string]any, issuer string) bool {
	return func(_, claims map[string]any, _ string) bool {
		aud, _ := claims["aud"].([]any)
		return len(aud) == 2 && aud[1] == "other-client" && claims["azp"] == azp
	}
}

func anything(_, _ map[string]any, _ string) bool { return true }

var idTokenFaults = map[signintest.Fault]tokenFault{
	signintest.IDTokenIssuerWrong:     {claim("iss", "https://other-provider.example/oidc"), false},
	signintest.IDTokenIssuerMissing:   {claim("iss", nil), false},
	signintest.IDTokenIssuerSlash:     {issuer(func(s string) string { return s + "/" }), false},
	signintest.IDTokenIssuerCase:      {issuer(strings.ToUpper), false},
	signintest.IDTokenIssuerPort:      {issuer(func(s string) string { return strings.TrimSuffix(s, "/oidc") + "0/oidc" }), false},
	signintest.IDTokenAudienceWrong:   {claim("aud", "other-client"), false},
	signintest.IDTokenAudienceMissing: {claim("aud", nil), false},
	signintest.IDTokenAudienceArray: {func(_, claims map[string]any, _ string) bool {
		aud, _ := claims["aud"].([]any)
		return len(aud) == 1 && aud[0] == "signintest-app"
	}, true},
	signintest.IDTokenAudienceExtra:   {audiences("signintest-app"), true},
	signintest.IDTokenAudienceNoAZP:   {audiences(nil), true},
	signintest.IDTokenAZPWrong:        {claim("azp", "other-client"), true},
	signintest.IDTokenNonceWrong:      {claim("nonce", "another-nonce"), true},
	signintest.IDTokenNonceMissing:    {claim("nonce", nil), true},
	signintest.IDTokenSIDMissing:      {claim("sid", nil), true},
	signintest.IDTokenSubjectWrong:    {claim("sub", "mallory00001"), true},
	signintest.IDTokenSubjectMissing:  {claim("sub", nil), true},
	signintest.IDTokenSubjectLong:     {claim("sub", strings.Repeat("s", 300)), true},
	signintest.IDTokenSubjectNonASCII: {claim("sub", "alicé"), true},
	signintest.IDTokenIssuedAtMissing: {claim("iat", nil), true},
	signintest.IDTokenIssuedAtOld:     {off("iat", -24*time.Hour), true},
	signintest.IDTokenIssuedAtAhead:   {off("iat", 24*time.Hour), true},
	signintest.IDTokenExpired:         {off("exp", -10*time.Minute), false},
	signintest.IDTokenExpiryMissing:   {claim("exp", nil), false},
	signintest.IDTokenExpiryText:      {claim("exp", "1772604367"), true}, // encoding/json takes it as a number
	signintest.IDTokenExpiryHuge:      {claim("exp", json.Number("1e400")), false},
	signintest.IDTokenDuplicateClaim:  {claim("sub", "bob000000001"), true},
	signintest.IDTokenAuthTimeMissing: {claim("auth_time", nil), true},
	signintest.IDTokenAuthTimeZero:    {claim("auth_time", json.Number("0")), true},
	signintest.IDTokenAuthTimeStale:   {off("auth_time", -7*24*time.Hour), true},
	signintest.IDTokenACRMissing:      {claim("acr", nil), true},
	signintest.IDTokenAtHashWrong: {func(_, claims map[string]any, _ string) bool {
		s, _ := claims["at_hash"].(string)
		return len(s) == 32
	}, true},
	signintest.IDTokenAtHashRight:      {func(_, claims map[string]any, _ string) bool { return claims["at_hash"] != nil }, true},
	signintest.IDTokenCHashPresent:     {func(_, claims map[string]any, _ string) bool { return claims["c_hash"] != nil }, true},
	signintest.IDTokenAlgNone:          {header("alg", "none"), false},
	signintest.IDTokenHS256PEM:         {header("alg", "HS256"), false},
	signintest.IDTokenHS256DER:         {header("alg", "HS256"), false},
	signintest.IDTokenHS256Modulus:     {header("alg", "HS256"), false},
	signintest.IDTokenHS256Secret:      {header("alg", "HS256"), false},
	signintest.IDTokenOtherAlgorithm:   {header("alg", "ES256"), false},
	signintest.IDTokenSignatureInvalid: {header("alg", "ES384"), false},
	signintest.IDTokenKeyIDUnknown:     {header("alg", "ES384"), false},
	signintest.IDTokenKeyIDMissing:     {header("kid", nil), true},
	signintest.IDTokenHeaderJWK: {func(header, _ map[string]any, _ string) bool {
		key, _ := header["jwk"].(map[string]any)
		return key["kid"] == header["kid"] && key["d"] == nil
	}, false},
	signintest.IDTokenHeaderJKU: {func(header, _ map[string]any, issuer string) bool {
		return header["jku"] == strings.TrimSuffix(issuer, "/oidc")+"/foreign/jwks"
	}, false},
	signintest.IDTokenHeaderX5U: {func(header, _ map[string]any, issuer string) bool { return header["x5u"] != nil }, false},
	signintest.IDTokenHeaderCrit: {func(header, _ map[string]any, _ string) bool {
		crit, _ := header["crit"].([]any)
		return len(crit) == 1 && header[crit[0].(string)] == true
	}, false},
	signintest.IDTokenEncrypted:        {nil, false},
	signintest.IDTokenKeyForEncryption: {anything, true}, // go-oidc does not look at use
}

func TestFaultsOfIDTokens(t *testing.T) {
	t.Parallel()
	for fault, want := range idTokenFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t, signintest.WithNow(newClock().Now), signintest.WithACR("gold"))
			asked := []string{"max_age", "60", "acr_values", "gold"}
			right := a.signIn(t, signintest.Bob(), asked...).text("refresh_token")
			a.p.Inject(fault)
			for name, token := range map[string]string{
				"at the callback": a.signIn(t, signintest.Bob(), asked...).text("id_token"),
				"at a refresh":    a.refresh(t, right).text("id_token"),
			} {
				if err := a.verify(t, token); (err == nil) != want.takes {
					t.Errorf("%s: go-oidc: got %v; want accepted %v", name, err, want.takes)
				}
				if want.is == nil {
					if strings.Count(token, ".") != 4 {
						t.Errorf("%s: got no encrypted token", name)
					}
					continue
				}
				if h, c := part(t, token, 0), part(t, token, 1); !want.is(h, c, a.p.Issuer) {
					t.Errorf("%s: got %v %v", name, h, c)
				}
			}
			a.p.Clear()
			if err := a.verify(t, a.refresh(t, right).text("id_token")); err != nil {
				t.Errorf("after Clear: got %v; want none", err)
			}
		})
	}
}

func TestAtHashIsRightOrWrongAsNamed(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"ES256", "ES384", "ES512", "EdDSA"} {
		a := start(t, signintest.WithAlgorithm(alg))
		var hashes [2]any
		a.p.Inject(signintest.IDTokenAtHashWrong)
		hashes[0] = part(t, a.signIn(t, signintest.Bob()).text("id_token"), 1)["at_hash"]
		a.p.Clear()
		a.p.Inject(signintest.IDTokenAtHashRight)
		hashes[1] = part(t, a.signIn(t, signintest.Bob()).text("id_token"), 1)["at_hash"]
		want := map[string]int{"ES256": 22, "ES384": 32, "ES512": 43, "EdDSA": 43}[alg]
		if hashes[0] == hashes[1] || len(hashes[0].(string)) != want {
			t.Errorf("%s: got %v; want two of %d characters", alg, hashes, want)
		}
	}
}

func TestPublicKeysAreWhatHS256IsKeyedWith(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		a := start(t, signintest.WithAlgorithm(alg), signintest.WithClient("id", "short"))
		for _, fault := range []signintest.Fault{signintest.IDTokenHS256PEM, signintest.IDTokenHS256DER, signintest.IDTokenHS256Modulus, signintest.IDTokenHS256Secret} {
			a.p.Clear()
			a.p.Inject(fault)
			token := a.signIn(t, signintest.Bob()).text("id_token")
			if got := part(t, token, 0)["alg"]; got != "HS256" {
				t.Errorf("%s, %s: got %v; want HS256", alg, fault, got)
			}
			if fault != signintest.IDTokenHS256Secret {
				continue
			}
			signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.HS256})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := signed.Verify(append([]byte("short"), make([]byte, 27)...)); err != nil {
				t.Errorf("%s: got %v; want it signed with the secret", alg, err)
			}
		}
	}
}

func TestAForeignKeyVerifiesForWhoeverFollowsTheHeader(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.p.Inject(signintest.IDTokenHeaderJKU)
	token := a.signIn(t, signintest.Bob()).text("id_token")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.get(t, part(t, token, 0)["jku"].(string), "").raw), &set); err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES384})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Verify(set.Keys[0]); err != nil {
		t.Errorf("got %v; want it to verify with the foreign key", err)
	}
}

const event = "http://schemas.openid.net/event/backchannel-logout"

var logoutTokenFaults = map[signintest.Fault]func(header, claims map[string]any, issuer string) bool{
	signintest.LogoutTokenAlgNone:        header("alg", "none"),
	signintest.LogoutTokenOtherAlgorithm: header("alg", "ES256"),
	signintest.LogoutTokenSignature:      anything,
	signintest.LogoutTokenIssuerWrong:    claim("iss", "https://other-provider.example/oidc"),
	signintest.LogoutTokenAudienceWrong:  claim("aud", "other-client"),
	signintest.LogoutTokenNoEvents:       func(_, claims map[string]any, _ string) bool { _, there := claims["events"]; return !there },
	signintest.LogoutTokenEventWrong: func(_, claims map[string]any, _ string) bool {
		events, _ := claims["events"].(map[string]any)
		return len(events) == 1 && events[event] == nil
	},
	signintest.LogoutTokenEventsNull: func(_, claims map[string]any, _ string) bool { e, there := claims["events"]; return there && e == nil },
	signintest.LogoutTokenEventsText: claim("events", event),
	signintest.LogoutTokenEventsArray: func(_, claims map[string]any, _ string) bool {
		events, _ := claims["events"].([]any)
		return len(events) == 1 && events[0] == event
	},
	signintest.LogoutTokenNonce:     claim("nonce", "a-nonce"),
	signintest.LogoutTokenIDMissing: claim("jti", nil),
	signintest.LogoutTokenIssuedAtOld: func(_, claims map[string]any, _ string) bool {
		return seconds(claims, "iat") == -10*time.Minute && claims["exp"] == nil
	},
	signintest.LogoutTokenIssuedAtAhead:   off("iat", 10*time.Minute),
	signintest.LogoutTokenIssuedAtMissing: claim("iat", nil),
	signintest.LogoutTokenExpired:         off("exp", -10*time.Minute),
	signintest.LogoutTokenExpiryMissing:   claim("exp", nil),
	signintest.LogoutTokenExtraClaim:      claim("urn:example:extra", "extra"),
	signintest.LogoutTokenNobody:          func(_, claims map[string]any, _ string) bool { return claims["sub"] == nil && claims["sid"] == nil },
}

func TestFaultsOfLogoutTokens(t *testing.T) {
	t.Parallel()
	for fault, is := range logoutTokenFaults {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			a := start(t, signintest.WithNow(newClock().Now))
			a.p.Inject(fault)
			token := a.p.LogoutToken("bob", "a-sid")
			if h, c := part(t, token, 0), part(t, token, 1); !is(h, c, a.p.Issuer) {
				t.Errorf("got %v %v", h, c)
			}
			if fault == signintest.LogoutTokenSignature && a.verify(t, token) == nil {
				t.Error("got a signature that verifies")
			}
			a.p.Clear()
			if h, c := part(t, a.p.LogoutToken("bob", "a-sid"), 0), part(t, a.p.LogoutToken("bob", "a-sid"), 1); h["alg"] != "ES384" ||
				c["jti"] == nil || c["sub"] != "bob" || c["sid"] != "a-sid" || seconds(c, "exp") != 2*time.Minute {
				t.Errorf("after Clear: got %v %v", h, c)
			}
		})
	}
}
