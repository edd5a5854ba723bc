package jwt_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// 9.5: an error quotes of a token who issued it, for whom, and how it is signed. It
// never quotes another claim, nor the token.
func TestVerifier_ErrorsDoNotQuoteTokens(t *testing.T) {
	t.Parallel()
	const canary = "CaNaRy"
	quoted := []string{"iss", "aud", "azp"}
	for _, k := range kinds {
		var tokens []string
		for _, name := range exactNames {
			for _, value := range []any{canary, []string{canary}, canary + "å", strings.Repeat(canary, 200)} {
				if !slices.Contains(quoted, name) {
					tokens = append(tokens, k.token(m{name: value}))
				}
			}
		}
		for _, header := range []string{k.header(`,"CaNaRy":1,"CaNaRy":2`), k.header(`,"crit":["CaNaRy"]`), canary} {
			tokens = append(tokens, signEd(header, k.payload(nil)))
		}
		tokens = append(tokens, canary, canary+"."+canary+"."+canary)
		for _, token := range tokens {
			_, err := k.verify(newFake().Verifier(), token, signedIn, api)
			for ; err != nil; err = errors.Unwrap(err) {
				if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(strings.ToLower(text), strings.ToLower(canary)) {
					t.Errorf("got an error that quotes a token: %s", text)
				}
			}
		}
	}
}

// What is quoted is named beside what was wanted, and can harm no log.
func TestVerifier_ErrorsNameFoundAndWanted(t *testing.T) {
	t.Parallel()
	long := "\nå" + strings.Repeat("x", 500)
	for name, c := range map[string]struct {
		raw  string
		want string
	}{
		"iss":               {idToken.token(m{"iss": issuer + "/"}), `iss is "https://id.example.com/oidc/", not "https://id.example.com/oidc"`},
		"iss absent":        {idToken.token(m{"iss": nil}), `iss is absent, not "https://id.example.com/oidc"`},
		"iss long":          {idToken.token(m{"iss": long}), `iss is "\n\u00e5xxx`},
		"aud":               {idToken.token(m{"aud": []string{"a", "b"}}), `aud is "[\"a\",\"b\"]", without "app"`},
		"aud of another":    {accessToken.token(m{"aud": "other"}), `aud is "other", without "https://api.example.com"`},
		"azp":               {idToken.token(m{"azp": "other"}), `azp is "other", not "app"`},
		"alg":               {idToken.signedBy("ES256", ecKeys()["ES256"], "ES256", nil), `its algorithm is "ES256", and those pinned are RS256, EdDSA`},
		"kid, unknown":      {idToken.signedBy("RS256", rsaKey(), long, nil), `for kid "\n\u00e5xxx`},
		"kid, another's":    {idToken.signedBy("RS256", otherRSAKey(), "rsa", nil), `not by the key that it names, "rsa"`},
		"typ":               {idToken.signedBy("RS256", rsaKey(), "rsa", m{"typ": "at+jwt"}), `its typ is "at+jwt"`},
		"typ of no token":   {accessToken.signedBy("RS256", rsaKey(), "rsa", m{"typ": "dpop+jwt"}), `its typ is "dpop+jwt"`},
		"exp":               {idToken.token(m{"exp": at(-time.Hour)}), "exp is 2026-03-01T11:00:00Z, and the time is 2026-03-01T12:00:00Z"},
		"iat ahead":         {logoutToken.token(m{"iat": at(time.Hour)}), "iat is 2026-03-01T13:00:00Z, and the time is 2026-03-01T12:00:00Z"},
		"iat absent":        {idToken.token(m{"iat": nil}), "iat is absent"},
		"several audiences": {idToken.token(m{"aud": []string{clientID, long}}), `aud names "\n\u00e5xxx`},
	} {
		k := idToken
		if strings.Contains(name, "of ") {
			k = accessToken
		} else if name == "iat ahead" {
			k = logoutToken
		}
		_, err := k.verify(newFake().Verifier("RS256", "EdDSA"), c.raw, signedIn, api)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v; want %s", name, err, c.want)
		} else {
			wantShortText(t, err)
		}
	}
}
