package provider

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const opKeys = "keys"

const (
	// maxKeys is how many keys a set may have. Each costs a verification of a
	// token that does not name its key.
	maxKeys = 100
	// https://www.rfc-editor.org/rfc/rfc7518#section-3.3
	minRSABits = 2048
)

const (
	errKeySet    = fault("the keys are no JSON Web Key Set")
	errManyKeys  = fault("the key set has more than 100 keys")
	errSignature = fault("the signature is not by a key of the provider")
)

// keyring holds the provider's keys, as published at one address. Keys serve
// for maxAge and no longer, or one that the provider has withdrawn would be
// trusted for as long as the provider's site is kept unreachable.
type keyring struct {
	keys shared[[]key]
}

// keyring returns the ring for an address: the one in use if that is where its
// keys come from, so that an hourly discovery forgets neither keys nor waits.
func (c *Client) keyring(uri string) *keyring {
	if held := c.metadata.current(); held.number > 0 && held.value.JWKSURI == uri {
		return held.value.keys
	}
	return &keyring{keys: shared[[]key]{op: opKeys, now: c.cfg.Now, get: func(ctx context.Context) ([]key, *Error) {
		body, err := c.get(ctx, opKeys, uri)
		if err != nil {
			return nil, err
		}
		return parseKeys(body)
	}}}
}

// verify checks a signature by alg of a token that names the key id, or none
// (""). signed says whether a key has made it, and is asked about keys that fit.
// op is what is being verified.
//
// If no key fits, the keys are fetched once more, since providers rotate, and
// then not again for a while: forged tokens must not turn into requests
// (https://openid.net/specs/openid-connect-core-1_0.html#RotateSigKeys). Within
// that while a token by an unknown key is not called forged. Nobody knows
// that, and a refresh that believed it would end sessions right after a
// rotation, whenever somebody posts forged tokens at the time.
func (k *keyring) verify(ctx context.Context, op, alg, id string, signed func(key) bool) error {
	held := k.keys.current()
	if !k.keys.young(held) {
		fetched, err := k.keys.fetch(ctx, held.number, false)
		if err != nil {
			return err
		}
		held = fetched
	}
	k.keys.ahead(ctx)
	fitting, known := candidates(held.value, alg, id)
	if slices.ContainsFunc(fitting, signed) {
		return nil
	}
	newer, err := k.keys.fetch(ctx, held.number, true)
	switch {
	case err == nil:
		fitting, _ = candidates(newer.value, alg, id)
		if slices.ContainsFunc(fitting, signed) {
			return nil
		}
	case !known:
		return err
	}
	return rejected(op, errSignature)
}

// candidates returns the keys that fit an algorithm and a key ID, and whether
// they have that ID. IDs are optional on both sides
// (https://openid.net/specs/openid-connect-core-1_0.html#Signing): a token
// without one may be by any key, and a key without one may have signed any
// token that no other key claims.
func candidates(keys []key, alg, id string) (fitting []key, named bool) {
	var anonymous []key
	for _, k := range keys {
		switch {
		case !k.fits(alg):
		case id == "" || k.id == "":
			anonymous = append(anonymous, k)
		case k.id == id:
			fitting = append(fitting, k)
		}
	}
	if len(fitting) > 0 {
		return fitting, true
	}
	return anonymous, false
}

// key is a public key for signatures.
type key struct {
	id, alg string // both may be empty
	public  any    // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey
}

// fits reports whether k may verify signatures by alg: an algorithm belongs to
// one type of key and, where it is elliptic, to one curve
// (https://www.rfc-editor.org/rfc/rfc7518#section-3.4).
func (k key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		rsaAlgs := []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512}
		return slices.Contains(rsaAlgs, alg) && public.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		curves := map[string]elliptic.Curve{oidc.ES256: elliptic.P256(), oidc.ES384: elliptic.P384(), oidc.ES512: elliptic.P521()}
		return curves[alg] == public.Curve
	case ed25519.PublicKey:
		return alg == oidc.EdDSA || alg == "Ed25519" // https://www.rfc-editor.org/rfc/rfc9864#section-2.2
	default:
		return false
	}
}

// signed reports whether signature is by k over input, with an algorithm that k
// fits. The mathematics is the standard library's, as it is below go-jose, which
// takes three times as many allocations to get there.
// https://www.rfc-editor.org/rfc/rfc7518#section-3.1
func (k key) signed(alg string, input, signature []byte) bool {
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		hash, sum := digest(alg, input)
		if strings.HasPrefix(alg, "PS") {
			// The salt is as long as the hash, https://www.rfc-editor.org/rfc/rfc7518#section-3.5
			return rsa.VerifyPSS(public, hash, sum, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(public, hash, sum, signature) == nil
	case *ecdsa.PublicKey:
		// Two numbers of the curve's size, and not a byte more or less.
		// https://www.rfc-editor.org/rfc/rfc7518#section-3.4
		size := (public.Params().BitSize + 7) / 8
		_, sum := digest(alg, input)
		return len(signature) == 2*size && ecdsa.VerifyASN1(public, sum, ecdsaASN1(signature))
	default:
		edwards, ok := k.public.(ed25519.PublicKey)
		return ok && ed25519.Verify(edwards, input, signature)
	}
}

// ecdsaASN1 writes the two numbers of a signature as crypto/ecdsa reads them: a
// SEQUENCE of two INTEGERs. big.Int and ecdsa.Verify would come to the same, with
// ten allocations more.
func ecdsaASN1(signature []byte) []byte {
	half := len(signature) / 2
	// Two bytes are for the sequence's head, three if it is long, and in front of
	// each number there are three at the most.
	der := append(make([]byte, 0, len(signature)+9), 0x30, 0x81, 0)
	for _, n := range [][]byte{signature[:half], signature[half:]} {
		n = bytes.TrimLeft(n, "\x00")
		if len(n) == 0 || n[0] >= 0x80 { // which would be a sign
			der = append(der, 2, byte(len(n)+1), 0)
		} else {
			der = append(der, 2, byte(len(n)))
		}
		der = append(der, n...)
	}
	size := len(der) - 3
	if der[2] = byte(size); size < 0x80 {
		der = der[1:]
		der[0] = 0x30
	}
	return der
}

// digest returns the hash of input that an algorithm has in its name. Ed25519 has
// none: it hashes by itself.
func digest(alg string, input []byte) (crypto.Hash, []byte) {
	switch {
	case strings.HasSuffix(alg, "256"):
		sum := sha256.Sum256(input)
		return crypto.SHA256, sum[:]
	case strings.HasSuffix(alg, "384"):
		sum := sha512.Sum384(input)
		return crypto.SHA384, sum[:]
	default:
		sum := sha512.Sum512(input)
		return crypto.SHA512, sum[:]
	}
}

// jwk is a JSON Web Key: the members of public keys, and D to recognize private
// ones. Certificates (x5c, x5t) are not looked at.
type jwk struct {
	Kty    string          `json:"kty"`
	Kid    string          `json:"kid,omitempty"`
	Use    string          `json:"use,omitempty"`
	KeyOps []string        `json:"key_ops,omitempty"`
	Alg    string          `json:"alg,omitempty"`
	Crv    string          `json:"crv,omitempty"`
	X      string          `json:"x,omitempty"`
	Y      string          `json:"y,omitempty"`
	N      string          `json:"n,omitempty"`
	E      string          `json:"e,omitempty"`
	D      json.RawMessage `json:"d,omitempty"`
}

// parseKeys reads a key set. Keys that it cannot use are left out, as
// https://www.rfc-editor.org/rfc/rfc7517#section-5 says: of unknown type, ill
// formed, not for signatures, and private ones, with which anybody may sign.
func parseKeys(body []byte) ([]key, *Error) {
	set, err := parseObject(body)
	if err != nil {
		return nil, unavailable(opKeys, err)
	}
	var raws []json.RawMessage
	if !set.has("keys") || json.Unmarshal(set["keys"], &raws) != nil {
		return nil, unavailable(opKeys, errKeySet)
	}
	if len(raws) > maxKeys {
		return nil, unavailable(opKeys, errManyKeys)
	}
	var keys []key
	for _, raw := range raws {
		if k, ok := parseKey(raw); ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func parseKey(raw []byte) (key, bool) {
	var in jwk
	if json.Unmarshal(raw, &in) != nil || in.D != nil {
		return key{}, false
	}
	if in.Use != "" && in.Use != "sig" || len(in.KeyOps) > 0 && !slices.Contains(in.KeyOps, "verify") {
		return key{}, false
	}
	// Written again, it holds the members above and nothing else.
	public, err := json.Marshal(in)
	var out jose.JSONWebKey
	if err != nil || out.UnmarshalJSON(public) != nil {
		return key{}, false
	}
	return key{id: out.KeyID, alg: out.Algorithm, public: out.Key}, true
}
