//go:build !race

package provider_test

import (
	"context"
	"testing"
)

// The verification of an access token stands before every request to an API, so
// what it allocates is bounded. Up to 19 allocations with ES384, by which Logto
// signs, are the standard library's. Under the race detector its pools forget at
// random.
func TestAccessTokenAllocations(t *testing.T) {
	for alg, limit := range map[string]float64{"RS256": 40, "ES256": 42, "ES384": 45, "EdDSA": 30} {
		c, raw := benchmarked(t, alg)
		got := testing.AllocsPerRun(100, func() { c.VerifyAccessToken(context.Background(), raw, api) })
		if got > limit {
			t.Errorf("%s: got %v allocations; want %v at most", alg, got, limit)
		}
	}
}
