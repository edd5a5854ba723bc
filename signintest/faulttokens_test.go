package signintest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

func seconds(claims map[string]any, name string) time.Duration {
	n, _ := claims[name].(json.Number)
	s, err := n.Int64()
	if err != nil {
		return 0
	}
	return time.Duration(s-newClock().t.Unix()) * time.Second
}

// idTokenFaults are whether go-oidc, which leaves some checks to its caller, takes such a
// token.
var idTokenFaults = map[signintest.Fault]bool{
	faults.IDTokenIssuerWrong:      false,
	faults.IDTokenIssuerMissing:    false,
	faults.IDTokenIssuerSlash:      false,
	faults.IDTokenIssuerCase:       false,
	faults.IDTokenIssuerPort:       false,
	faults.IDTokenAudienceWrong:    false,
	faults.IDTokenAudienceMissing:  false,
	faults.IDTokenAudienceArray:    true,
	faults.IDTokenAudienceExtra:    true,
	faults.IDTokenAudienceNoAZP:    true,
	faults.IDTokenAZPWrong:         true,
	faults.IDTokenNonceWrong:       true,
	faults.IDTokenNonceMissing:     true,
	faults.IDTokenSIDMissing:       true,
	faults.IDTokenSubjectWrong:     true,
	faults.IDTokenSubjectMissing:   true,
	faults.IDTokenSubjectLong:      true,
	faults.IDTokenSubjectNonASCII:  true,
	faults.IDTokenIssuedAtMissing:  true,
	faults.IDTokenIssuedAtOld:      true,
	faults.IDTokenIssuedAtAhead:    true,
	faults.IDTokenExpired:          false,
	faults.IDTokenExpiryMissing:    false,
	faults.IDTokenExpiryText:       true, // encoding/json takes it as a number
	faults.IDTokenExpiryHuge:       false,
	faults.IDTokenDuplicateClaim:   true,
	faults.IDTokenAuthTimeMissing:  true,
	faults.IDTokenAuthTimeZero:     true,
	faults.IDTokenAuthTimeStale:    true,
	faults.IDTokenACRMissing:       true,
	faults.IDTokenAtHashWrong:      true,
	faults.IDTokenAtHashRight:      true,
	faults.IDTokenCHashPresent:     true,
	faults.IDTokenAlgNone:          false,
	faults.IDTokenHS256PEM:         false,
	faults.IDTokenHS256DER:         false,
	faults.IDTokenHS256Modulus:     false,
	faults.IDTokenHS256Secret:      false,
	faults.IDTokenOtherAlgorithm:   false,
	faults.IDTokenSignatureInvalid: false,
	faults.IDTokenKeyIDUnknown:     false,
	faults.IDTokenKeyIDMissing:     true,
	faults.IDTokenHeaderJWK:        false,
	faults.IDTokenHeaderJKU:        false,
	faults.IDTokenHeaderX5U:        false,
	faults.IDTokenHeaderCrit:       false,
	faults.IDTokenEncrypted:        false,
	faults.IDTokenKeyForEncryption: true, // go-oidc does not look at use
}

func TestFaultsOfIDTokens(t *testing.T) {
	t.Parallel()
	for _, name := range faults.Names[signintest.Fault]() {
		if _, there := idTokenFaults[name]; there != (faults.Of(string(name)).IDToken != nil) {
			t.Errorf("%s: got it among those of ID tokens: %v", name, there)
		}
	}
	for fault, takes := range idTokenFaults {
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
				if err := a.verify(t, token); (err == nil) != takes {
					t.Errorf("%s: go-oidc: got %v; want accepted %v", name, err, takes)
				}
				if got, want := strings.Count(token, ".") == 4, fault == faults.IDTokenEncrypted; got != want {
					t.Errorf("%s: got encrypted %v; want %v", name, got, want)
				}
				if fault == faults.IDTokenDuplicateClaim && !strings.HasPrefix(rawPart(t, token, 1), `{"sub":"mallory00001",`) {
					t.Errorf("%s: got %s; want a second sub in front", name, rawPart(t, token, 1))
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
		a.p.Inject(faults.IDTokenAtHashWrong)
		hashes[0] = part(t, a.signIn(t, signintest.Bob()).text("id_token"), 1)["at_hash"]
		a.p.Clear()
		a.p.Inject(faults.IDTokenAtHashRight)
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
		for _, fault := range []signintest.Fault{faults.IDTokenHS256PEM, faults.IDTokenHS256DER, faults.IDTokenHS256Modulus, faults.IDTokenHS256Secret} {
			a.p.Clear()
			a.p.Inject(fault)
			token := a.signIn(t, signintest.Bob()).text("id_token")
			if got := part(t, token, 0)["alg"]; got != "HS256" {
				t.Errorf("%s, %s: got %v; want HS256", alg, fault, got)
			}
			if fault != faults.IDTokenHS256Secret {
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
	a.p.Inject(faults.IDTokenHeaderJKU)
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

func TestFaultsOfLogoutTokens(t *testing.T) {
	t.Parallel()
	a := start(t, signintest.WithNow(newClock().Now))
	right := func() bool {
		token := a.p.LogoutToken("bob", "a-sid")
		h, c := part(t, token, 0), part(t, token, 1)
		return a.verify(t, token) == nil && h["alg"] == "ES384" && c["jti"] != nil && c["sub"] == "bob" && c["sid"] == "a-sid" && seconds(c, "exp") == 2*time.Minute
	}
	for _, fault := range []signintest.Fault{faults.LogoutTokenAlgNone, faults.LogoutTokenSignature, faults.LogoutTokenIDMissing} {
		a.p.Inject(fault)
		if right() {
			t.Errorf("%s: got a right token", fault)
		}
		a.p.Clear()
		if !right() {
			t.Errorf("after %s and Clear: got a wrong token", fault)
		}
	}
}
