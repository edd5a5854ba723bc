package signintest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for at_hash
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
)

// newKey makes a key for algorithm. It panics for one that [WithAlgorithm] does
// not list.
func newKey(algorithm string) faults.Key {
	var private crypto.Signer
	var err error
	switch algorithm {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "RS256", "PS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		panic("signintest: unknown algorithm " + algorithm)
	}
	must(err)
	return faults.Key{ID: random(), Algorithm: algorithm, Private: private}
}

// newJWT prepares a token signed with the current key. Without typ, the header has
// none, as that of Logto's ID tokens. p.mu is held.
func (p *Provider) newJWT(typ string, claims map[string]any) *faults.Token {
	t := &faults.Token{Header: map[string]any{}, Claims: claims, Public: p.keys[0].Private.Public()}
	if typ != "" {
		t.Header["typ"] = typ
	}
	t.SignWith(p.keys[0])
	return t
}

// tokenHash returns the at_hash or c_hash of value: the left half of the hash
// that belongs to the algorithm.
// https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken
func tokenHash(algorithm, value string) string {
	h := crypto.SHA256
	switch algorithm {
	case "ES384":
		h = crypto.SHA384
	case "ES512", "EdDSA":
		h = crypto.SHA512
	}
	sum := h.New()
	sum.Write([]byte(value))
	full := sum.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(full[:len(full)/2])
}

// compact returns the token as it is sent.
func compact(t *faults.Token) string {
	payload, err := json.Marshal(t.Claims)
	must(err)
	if t.Rewrite != nil {
		payload = t.Rewrite(payload)
	}
	out := sign(t, payload)
	if t.Finish != nil {
		out = t.Finish(out)
	}
	return out
}

func sign(t *faults.Token, payload []byte) string {
	if t.Algorithm == "none" { // go-jose rightly does not know it
		t.Header["alg"] = "none"
		header, err := json.Marshal(t.Header)
		must(err)
		return base64.RawURLEncoding.EncodeToString(header) + "." +
			base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	opts := &jose.SignerOptions{}
	for name, value := range t.Header {
		opts.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(t.Algorithm), Key: t.Key,
	}, opts)
	must(err)
	signed, err := signer.Sign(payload)
	must(err)
	out, err := signed.CompactSerialize()
	must(err)
	return out
}

// RotateKey signs with a new key from now on. As at Logto, the previous key stays
// published, so that tokens signed with it still verify; older keys do not.
func (p *Provider) RotateKey() {
	key := newKey(p.settings.algorithm)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append([]faults.Key{key}, p.keys[0])
}

// otherAlgorithm returns an algorithm that the metadata of a provider with
// algorithm do not list.
func otherAlgorithm(algorithm string) string {
	if algorithm == "ES256" {
		return "ES384"
	}
	return "ES256"
}

// must panics for an error that only a mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic("signintest: " + err.Error())
	}
}
