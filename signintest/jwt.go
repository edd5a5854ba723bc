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
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// signingKey is a key pair with its name and its one algorithm.
type signingKey struct {
	id        string
	algorithm string
	private   crypto.Signer
}

// newKey makes a key for algorithm, and panics for one that Logto has not and
// WithAlgorithm does not name.
func newKey(algorithm string) signingKey {
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
	return signingKey{id: random(), algorithm: algorithm, private: private}
}

func (k signingKey) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: k.algorithm, Use: "sig"}
}

// jwt is a token on its way to be signed, open to the changes of faults.
type jwt struct {
	header    map[string]any // without alg
	claims    map[string]any
	algorithm string
	key       any // as [jose.SigningKey] takes it; nil for alg "none"

	accessToken, code string // what at_hash and c_hash are made of

	rewrite func(payload []byte) []byte // what JSON objects in Go cannot say
	finish  func(compact string) string // what happens to the signed token
}

// newJWT prepares a token signed with the current key. p.mu is held.
func (p *Provider) newJWT(typ string, claims map[string]any) *jwt {
	t := &jwt{header: map[string]any{"typ": typ}, claims: claims}
	t.signWith(p.keys[0])
	return t
}

func (t *jwt) signWith(k signingKey) {
	t.algorithm, t.key, t.header["kid"] = k.algorithm, k.private, k.id
}

// hash is what at_hash and c_hash hold: the left half of the hash that goes
// with the algorithm.
// https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken
func (t *jwt) hash(value string) string {
	h := crypto.SHA256
	switch t.algorithm {
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
func (t *jwt) compact() string {
	payload, err := json.Marshal(t.claims)
	must(err)
	if t.rewrite != nil {
		payload = t.rewrite(payload)
	}
	out := t.sign(payload)
	if t.finish != nil {
		out = t.finish(out)
	}
	return out
}

func (t *jwt) sign(payload []byte) string {
	if t.algorithm == "none" { // go-jose rightly does not know it
		t.header["alg"] = "none"
		header, err := json.Marshal(t.header)
		must(err)
		return base64.RawURLEncoding.EncodeToString(header) + "." +
			base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	opts := &jose.SignerOptions{}
	for name, value := range t.header {
		opts.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(t.algorithm), Key: t.key,
	}, opts)
	must(err)
	signed, err := signer.Sign(payload)
	must(err)
	out, err := signed.CompactSerialize()
	must(err)
	return out
}

// breakSignature changes one bit in the middle of the signature.
func breakSignature(compact string) string {
	i := strings.LastIndexByte(compact, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(compact[i:])
	must(err)
	sig[len(sig)/2] ^= 1
	return compact[:i] + base64.RawURLEncoding.EncodeToString(sig)
}

// encrypted wraps a token in one that nobody but its maker can open.
func encrypted(compact string) string {
	key := make([]byte, 32)
	rand.Read(key)
	enc, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: key}, nil)
	must(err)
	sealed, err := enc.Encrypt([]byte(compact))
	must(err)
	out, err := sealed.CompactSerialize()
	must(err)
	return out
}

// RotateKey signs with a new key from now on. The one before stays published,
// as at Logto, so that tokens signed with it still verify; the one before that
// does not.
func (p *Provider) RotateKey() {
	key := newKey(p.settings.algorithm)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append([]signingKey{key}, p.keys[0])
}

// spareKey returns a key of the provider's algorithm that is published by no
// one but a fault. p.mu is held.
func (p *Provider) spareKey() signingKey {
	if p.spare == nil {
		p.spare = new(newKey(p.settings.algorithm))
	}
	return *p.spare
}

// otherKey returns a key of an algorithm that the metadata do not name. p.mu is
// held.
func (p *Provider) otherKey() signingKey {
	if p.other == nil {
		algorithm := "ES256"
		if p.settings.algorithm == algorithm {
			algorithm = "ES384"
		}
		p.other = new(newKey(algorithm))
	}
	return *p.other
}

// must is for errors that only a mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic("signintest: " + err.Error())
	}
}
