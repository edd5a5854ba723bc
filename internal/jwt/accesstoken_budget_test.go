//go:build long && !race

package jwt_test

import (
	"context"
	"crypto"
	"testing"
)

// An access token is verified before every request to an API, so the number of
// allocations is limited. Most are go-jose's: some 85 for the signature, and 50
// for JSON. The race detector empties sync.Pool at random.
func TestAccessTokenAllocations(t *testing.T) {
	for alg, c := range map[string]struct {
		key   crypto.Signer
		limit float64
	}{"RS256": {rsaKey(), 175}, "ES256": {ecKeys()["ES256"], 188}, "ES384": {ecKeys()["ES384"], 195}, "EdDSA": {edKey(), 165}} {
		f := newFake()
		f.Publish(public(c.key.Public(), "k"))
		v, raw := f.Verifier(), accessToken.signedBy(alg, c.key, "k", nil)
		accessToken.want(t, v, raw, good)
		if got := testing.AllocsPerRun(100, func() { v.AccessToken(context.Background(), raw, api) }); got > c.limit {
			t.Errorf("%s: got %v allocations; want at most %v", alg, got, c.limit)
		}
	}
}
