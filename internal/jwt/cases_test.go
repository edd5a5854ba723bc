package jwt_test

import "testing"

// TestCases is the index of the project's case list (CASES) as far as this
// package answers for it; the ids of single modules and sentences stand in the
// names of the rows.
func TestCases(t *testing.T) {
	for _, c := range []struct {
		id   string
		test func(*testing.T)
	}{
		{"3.1 good tokens by every algorithm", goodTokens},
		{"3.1 which key may verify", whichKey},
		{"8.3 claims of logout tokens", logoutRules},
		{"8.3 forged logout tokens", logoutForgeries},
		{"8.3 keys not to be had", logoutWithoutKeys},
		{"3.2 claims, for 2.9, 3.3 and 3.4 too", claimRules},
		{"3.1 forged tokens", forgeries},
		{"3.1 pinned algorithms", pinnedAlgorithms},
		{"3.1 forged key IDs", forgedKeyIDs},
		{"3.3 skewed clocks", skewedClocks},
		{"9.1 keys that are none", badKeySets},
	} {
		t.Run(c.id, c.test)
	}
}
