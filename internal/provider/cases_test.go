package provider_test

import "testing"

// TestCases is the index of the project's case list (CASES) as far as this
// package answers for it; the ids of single modules and sentences stand in the
// names of the rows.
func TestCases(t *testing.T) {
	for _, c := range []struct {
		id   string
		test func(*testing.T)
	}{
		{"9.4 client authentication", clientAuth},
		{"9.3 metadata that must not be used, for 2.1 too", badMetadata},
		{"3.1 pinned algorithms", pinnedAlgorithms},
		{"3.5 token answers", tokenAnswers},
		{"3.6 userinfo", userInfo},
		{"4.5 refusals", refusals},
		{"9.1 discovery fails", badDiscovery},
		{"9.1 down and back", downAndBack},
		{"9.1 keys fail", badKeySets},
		{"9.2 large answers", largeAnswers},
		{"9.2 slow answers", slowAnswers},
		{"9.2 10,000 keys", manyKeys},
		{"9.3 a redirecting token endpoint", redirectingTokenEndpoint},
		{"9.5 canaries", canaries},
	} {
		t.Run(c.id, c.test)
	}
}
