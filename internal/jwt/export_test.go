package jwt

import "slices"

// PublicKey is a key of a key set that was read.
type PublicKey = key

// ParseKeys is parseKeys, for fuzzing.
var ParseKeys = parseKeys

// Fits reports whether a key may verify signatures by alg.
func (k key) Fits(alg string) bool { return slices.Contains(k.algorithms, alg) }
