//go:build !race

package jwt_test

import (
	"context"
	"testing"
)

// The verification of an access token stands before every request to an API, so
// what it allocates is bounded. Up to 19 allocations with ES384, by which Logto
// signs, are the standard library's. Under the race detector its pools forget
// at random.
func TestAccessTokenAllocations(t *testing.T) {
	for alg, limit := range map[string]float64{"RS256": 175, "ES256": 188, "ES384": 195, "EdDSA": 165} {
		c, raw := benchmarked(t, alg)
		got := testing.AllocsPerRun(100, func() { c.AccessToken(context.Background(), raw, api) })
		if got > limit {
			t.Errorf("%s: got %v allocations; want %v at most", alg, got, limit)
		}
	}
}
