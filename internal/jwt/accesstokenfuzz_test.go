package jwt_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/jwt"
)

// FuzzVerifyAccessToken holds VerifyAccessToken to its promise: what is
// accepted has a signature by the provider's key over these very bytes, and
// says, as encoding/json reads them, that it is of this issuer, for this API
// and not for this client, of now, somebody's, and no ID token. seal is what
// the token is signed with: the published key, another one, or nothing.
func FuzzVerifyAccessToken(f *testing.F) {
	for _, c := range accessCases() {
		f.Add([]byte(c.header()), []byte(c.payload()), byte(0))
	}
	for _, header := range []string{
		`{"alg":"none","typ":"at+jwt"}`, `{"alg":"HS256","kid":"ed","typ":"at+jwt"}`, `{"alg":"RS256","kid":"rsa","typ":"at+jwt"}`,
		`{"alg":"EdDSA","typ":"at+jwt"}`, `{"alg":"EdDSA","kid":"other","typ":"at+jwt"}`, `{"alg":"EdDSA","kid":"ed","typ":"at+jwt","crit":["x"]}`,
		`{"alg":"EdDSA","kid":"ed","typ":"at+jwt","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"EdDSA","alg":"EdDSA"}`, `[]`, ``,
	} {
		for seal := range byte(3) {
			f.Add([]byte(header), []byte(accessCase{}.payload()), seal)
		}
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	c := offline{public(edKey().Public(), "ed"), public(rsaKey().Public(), "rsa")}.Client()
	f.Fuzz(func(t *testing.T, header, payload []byte, seal byte) {
		input := b64(string(header)) + "." + b64(string(payload))
		signature := payload
		switch seal {
		case 0:
			signature = ed25519.Sign(edKey(), []byte(input))
		case 1:
			signature = ed25519.Sign(stranger, []byte(input))
		}
		got, err := c.AccessToken(context.Background(), input+"."+b64(string(signature)), api)
		if err != nil {
			if wantFixedWords(t, err); got != nil {
				t.Fatalf("%q.%q: got %+v and %v", header, payload, got, err)
			}
			return
		}
		if !ed25519.Verify(edKey().Public().(ed25519.PublicKey), []byte(input), signature) {
			t.Fatalf("%q.%q: accepted with signature %x", header, payload, signature)
		}
		wantAccessClaims(t, header, payload, got)
	})
}

// wantAccessClaims fails unless header and claims, read another way, are those
// of the token.
func wantAccessClaims(t *testing.T, header, payload []byte, got *jwt.AccessToken) {
	t.Helper()
	wantExactNames(t, payload)
	var head, claims m
	if exactly(header, &head) != nil || exactly(payload, &claims) != nil {
		t.Fatalf("%q.%q: accepted; encoding/json cannot read it", header, payload)
	}
	fail := func(what string) { t.Errorf("%q.%q: accepted with %s", header, payload, what) }
	if _, ok := head["crit"]; ok || head["alg"] != "EdDSA" {
		fail("such a header")
	}
	audience, isList := claims["aud"].([]any)
	if !isList {
		audience = []any{claims["aud"]}
	}
	if claims["iss"] != issuer || !slices.Contains(audience, any(api)) || slices.Contains(audience, any(clientID)) {
		fail("such an issuer or audience")
	}
	exp, expires := float(claims["exp"])
	iat, dated := float(claims["iat"])
	nbf, _ := float(claims["nbf"])
	if ahead := float64(at(61 * time.Second)); !expires || exp < float64(at(-time.Minute)) || iat >= ahead || nbf >= ahead {
		fail("such times")
	}
	typ, _ := head["typ"].(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	explicit := typ == "at+jwt"
	client, _ := claims["client_id"].(string)
	azp, _ := claims["azp"].(string)
	cid, _ := claims["cid"].(string)
	if client = cmp.Or(client, azp); client != got.ClientID || explicit && (client == "" || !dated) {
		fail("such a client, or date")
	}
	_, nonce := claims["nonce"]
	_, hash := claims["at_hash"]
	_, events := claims["events"]
	evidence := claims["client_id"] != nil || claims["scope"] != nil || claims["scp"] != nil
	if !explicit && (typ != "" && typ != "jwt" || nonce || hash || events || !evidence || slices.Contains(audience, any(client))) {
		fail("no mark")
	}
	sub, _ := claims["sub"].(string)
	if claims["cnf"] != nil || sub == "" || len(sub) > 255 || sub != got.Subject || got.Machine != (sub == client || sub == azp || sub == cid) {
		fail("such a subject")
	}
	if organization, _ := claims["organization_id"].(string); organization != got.Organization {
		fail("such an organization")
	}
	text, _ := json.Marshal([]any{claims["scope"], claims["scp"]})
	for _, scope := range got.Scopes {
		quoted, _ := json.Marshal(scope)
		if scope == "" || strings.Contains(scope, " ") || !bytes.Contains(text, bytes.Trim(quoted, `"`)) {
			fail("scopes that it does not have")
		}
	}
}

// benchmarked returns a token as Logto sends it, by alg, and a client that has
// its key already.
func benchmarked(tb testing.TB, alg string) (*jwt.Verifier, string) {
	tb.Helper()
	private := map[string]crypto.Signer{"RS256": rsaKey(), "ES256": ecKeys()["ES256"], "ES384": ecKeys()["ES384"], "EdDSA": edKey()}[alg]
	opts := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "k")
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: private}, opts))
	payload := must(json.Marshal(accessClaims(now, m{"organization_id": "org1"})))
	raw := must(must(signer.Sign(payload)).CompactSerialize())
	c := offline{public(private.Public(), "k")}.Client()
	if _, err := c.AccessToken(context.Background(), raw, api); err != nil {
		tb.Fatal(err)
	}
	return c, raw
}

// BenchmarkVerifyAccessToken is one verification by keys that are known: a
// signature check and all else.
func BenchmarkVerifyAccessToken(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256", "ES384", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			c, raw := benchmarked(b, alg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.AccessToken(context.Background(), raw, api); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
