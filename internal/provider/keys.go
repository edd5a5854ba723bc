package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"slices"

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
	get  func(context.Context) ([]key, *Error)
}

// keyring returns the ring for an address: the one in use if that is where its
// keys come from, so that an hourly discovery forgets neither keys nor waits.
func (c *Client) keyring(uri string) *keyring {
	if held := c.metadata.current(); held.number > 0 && held.value.JWKSURI == uri {
		return held.value.keys
	}
	return &keyring{
		keys: shared[[]key]{op: opKeys, now: c.cfg.Now},
		get: func(ctx context.Context) ([]key, *Error) {
			body, err := c.get(ctx, opKeys, uri)
			if err != nil {
				return nil, err
			}
			return parseKeys(body)
		},
	}
}

// verify returns the payload of a signed token. op is what is being verified.
//
// If no key fits, the keys are fetched once more, since providers rotate, and
// then not again for a while: forged tokens must not turn into requests
// (https://openid.net/specs/openid-connect-core-1_0.html#RotateSigKeys). Within
// that while a token by an unknown key is not called forged. Nobody knows
// that, and a refresh that believed it would end sessions right after a
// rotation, whenever somebody posts forged tokens at the time.
func (k *keyring) verify(ctx context.Context, op string, jws *jose.JSONWebSignature) ([]byte, error) {
	held := k.keys.current()
	if !k.keys.young(held) {
		fetched, err := k.keys.fetch(ctx, held.number, false, k.get)
		if err != nil {
			return nil, err
		}
		held = fetched
	}
	payload, known := verifyAny(held.value, jws)
	if payload != nil {
		return payload, nil
	}
	newer, err := k.keys.fetch(ctx, held.number, true, k.get)
	switch {
	case err == nil:
		payload, _ = verifyAny(newer.value, jws)
	case !known:
		return nil, err
	}
	if payload == nil {
		return nil, rejected(op, errSignature)
	}
	return payload, nil
}

// verifyAny tries the keys that may have signed. known reports whether one of
// them has the very ID that the token names.
func verifyAny(keys []key, jws *jose.JSONWebSignature) (payload []byte, known bool) {
	header := jws.Signatures[0].Header
	fitting, known := candidates(keys, header.Algorithm, header.KeyID)
	for _, k := range fitting {
		// Verify is given a bare public key: what the token's header says of keys
		// (jwk, jku, x5u, x5c) plays no part.
		if payload, err := jws.Verify(k.public); err == nil {
			return payload, known
		}
	}
	return nil, known
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
		return alg == oidc.EdDSA
	default:
		return false
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
