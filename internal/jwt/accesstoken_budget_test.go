//go:build !race

package jwt_test

import (
	"context"
	"testing"
)

// An access token is verified before every request to an API, so what that
// allocates is bounded. Most of it is go-jose's: some 85 allocations for the
// signature, and 50 for JSON. Under the race detector sync.Pool forgets at
// random.
func TestAccessTokenAllocations(t *testing.T) {
	for alg, limit := range map[string]float64{"RS256": 175, "ES256": 188, "ES384": 195, "EdDSA": 165} {
		c, raw := benchmarked(t, alg)
		got := testing.AllocsPerRun(100, func() { c.AccessToken(context.Background(), raw, api) })
		if got > limit {
			t.Errorf("%s: got %v allocations; want %v at most", alg, got, limit)
		}
	}
}
