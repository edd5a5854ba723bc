package provider

// PublicKey is a key of a key set that was read.
type PublicKey struct {
	ID, Alg string
	Key     any
}

// ParseKeys is parseKeys, for fuzzing.
func ParseKeys(body []byte) ([]PublicKey, *Error) {
	keys, err := parseKeys(body)
	var out []PublicKey
	for _, k := range keys {
		out = append(out, PublicKey{ID: k.id, Alg: k.alg, Key: k.public})
	}
	return out, err
}

// Fits reports whether a key may verify signatures by alg.
func (k PublicKey) Fits(alg string) bool { return key{id: k.ID, alg: k.Alg, public: k.Key}.fits(alg) }
