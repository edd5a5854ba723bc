package jwt

import (
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// PublicKey is a key of a key set that was read.
type PublicKey struct{ jose.JSONWebKey }

// ParseKeys is parseKeys, for fuzzing.
func ParseKeys(body []byte) (public []PublicKey, err error) {
	keys, err := parseKeys(body)
	if err != nil {
		return nil, err
	}
	for _, k := range *keys {
		public = append(public, PublicKey{k.JSONWebKey})
	}
	return public, nil
}

// Fits reports whether a key may verify signatures by alg.
func (k PublicKey) Fits(alg string) bool { return slices.Contains(algorithmsOf(k.JSONWebKey), alg) }
