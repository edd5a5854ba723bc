//go:build long && !race

package jwt_test

import (
	"context"
	"crypto"
	"testing"

	"github.com/gosignin/signin/internal/jwt"
)

// measured returns a token as Logto sends it, and a verifier that has its key.
func measured(tb testing.TB, alg string) (*jwt.Verifier, string) {
	tb.Helper()
	private := map[string]crypto.Signer{"RS256": rsaKey(), "ES256": ecKeys()["ES256"], "ES384": ecKeys()["ES384"], "EdDSA": edKey()}[alg]
	raw := sign(alg, private, "k", accessToken.payload(m{"organization_id": "org1"}), m{"typ": "at+jwt"})
	f := newFake()
	f.Publish(public(private.Public(), "k"))
	v := f.Verifier()
	if _, err := v.AccessToken(context.Background(), raw, api); err != nil {
		tb.Fatal(err)
	}
	return v, raw
}

// An access token is verified before every request to an API, so the number of
// allocations is limited. Most are go-jose's: some 85 for the signature, and 50
// for JSON. The race detector empties sync.Pool at random.
func TestAccessTokenAllocations(t *testing.T) {
	for alg, limit := range map[string]float64{"RS256": 175, "ES256": 188, "ES384": 195, "EdDSA": 165} {
		v, raw := measured(t, alg)
		got := testing.AllocsPerRun(100, func() { v.AccessToken(context.Background(), raw, api) })
		if got > limit {
			t.Errorf("%s: got %v allocations; want %v at most", alg, got, limit)
		}
	}
}

// BenchmarkAccessToken verifies a token whose key is known.
func BenchmarkAccessToken(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256", "ES384", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			v, raw := measured(b, alg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.AccessToken(context.Background(), raw, api); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
