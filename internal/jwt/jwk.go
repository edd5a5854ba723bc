package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/document"
)

// https://www.rfc-editor.org/rfc/rfc7518#section-3.3
const minRSABits = 2048

// key is a public key, with the algorithms whose signatures it verifies.
type key struct {
	jose.JSONWebKey
	algorithms []string
}

// parseKeys reads a key set. Keys that cannot be used are left out, as
// https://www.rfc-editor.org/rfc/rfc7517#section-5 says, and named in skipped, each
// with the reason.
func parseKeys(body []byte) (keys []key, skipped []string, err error) {
	set, _ := document.Parse(body) // nil if it is not an object
	var raws []json.RawMessage
	if !set.Has("keys") || json.Unmarshal(set["keys"], &raws) != nil {
		return nil, nil, fault("the keys are not a JSON Web Key Set")
	}
	if len(raws) > maxKeys {
		return nil, nil, fault("the key set has more than 100 keys")
	}
	for i, raw := range raws {
		k, err := parseKey(raw)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("number %d, kid %s: %v", i+1, document.Quote(k.KeyID), err))
			continue
		}
		keys = append(keys, *k)
	}
	return keys, skipped, nil
}

// parseKey reads a public key for signatures. The error says why it is not; the key
// has an ID then as well.
//
// What describes a key, but is not needed to use it, may be written in any way: an alg
// that is no algorithm (RSA), a use in capitals, a kid that is a number, a certificate
// that is malformed. That lets no one in, since the material decides which signatures a
// key verifies. But a key that is for something else is not used, nor a private or
// symmetric one, since others can sign with it.
func parseKey(raw []byte) (*key, error) {
	k := new(key)
	members, err := document.Parse(raw)
	if err != nil {
		return k, err
	}
	k.KeyID = keyID(members)
	if members.Has("d") || members.Has("k") {
		return k, fault("it is private or symmetric")
	}
	if err := forSignatures(members); err != nil {
		return k, err
	}
	if err := k.material(members); err != nil {
		return k, err
	}
	if k.algorithms, err = algorithmsOf(k.Key, members); err != nil {
		return k, err
	}
	return k, nil
}

// keyID returns the ID of a key. A number is its digits, and of any other type there
// is none.
func keyID(members document.Object) string {
	if text, err := members.Text("kid"); err == nil {
		return text
	}
	var number json.Number
	_ = json.Unmarshal(members["kid"], &number)
	return number.String()
}

// forSignatures checks use and key_ops, which may each be text or a list.
func forSignatures(members document.Object) error {
	uses, _ := members.Texts("use")
	operations, _ := members.Texts("key_ops")
	if len(operations) == 1 {
		operations = strings.Fields(operations[0])
	}
	is := func(want ...string) func(string) bool {
		return func(found string) bool { return slices.Contains(want, strings.ToLower(found)) }
	}
	switch {
	case len(uses) > 0 && !slices.ContainsFunc(uses, is("", "sig")):
		return fault("its use is " + document.Quote(strings.Join(uses, " ")) + ", not sig")
	case len(operations) > 0 && !slices.ContainsFunc(operations, is("verify")):
		return fault("its key_ops are " + document.Quote(strings.Join(operations, " ")) + ", without verify")
	}
	return nil
}

// material reads the key itself. Its numbers may be padded, or in base64 of the other
// alphabet, which have one meaning all the same.
func (k *key) material(members document.Object) error {
	kty, _ := members.Text("kty")
	curve, _ := members.Text("crv")
	plain := map[string]string{"kty": kty, "crv": curve}
	for _, name := range []string{"n", "e", "x", "y"} {
		if text, err := members.Text(name); err == nil && text != "" {
			plain[name] = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
		}
	}
	text, _ := json.Marshal(plain) // cannot fail
	id := k.KeyID
	err := k.UnmarshalJSON(text)
	if k.KeyID = id; err != nil || !k.Valid() || !k.IsPublic() {
		return fault("its material is malformed, or of an unknown type: kty " + document.Quote(kty) + ", crv " + document.Quote(curve))
	}
	return nil
}

// algorithmsOf returns the algorithms of a key. An algorithm belongs to one
// type of key and, if that is elliptic, to one curve
// (https://www.rfc-editor.org/rfc/rfc7518#section-3.4). Its alg chooses one of them, or
// says that the key is for something else. An alg that is not known says nothing.
func algorithmsOf(public any, members document.Object) (algorithms []string, err error) {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits {
			return nil, fault(fmt.Sprintf("it has %d bits, and %d are needed", bits, minRSABits))
		}
		algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		curves := map[elliptic.Curve]string{elliptic.P256(): "ES256", elliptic.P384(): "ES384", elliptic.P521(): "ES512"}
		algorithms = []string{curves[public.Curve]}
	case ed25519.PublicKey:
		algorithms = []string{"EdDSA", ed25519Name}
	}
	named, _ := members.Texts("alg")
	if !slices.ContainsFunc(named, registered) {
		return algorithms, nil
	}
	algorithms = slices.DeleteFunc(algorithms, func(alg string) bool { return !slices.Contains(named, alg) })
	if len(algorithms) == 0 {
		return nil, fault("its alg is " + document.Quote(strings.Join(named, " ")) + ", which is not one of its type for signatures")
	}
	return algorithms, nil
}

// registered reports whether alg is an algorithm for signatures or encryption, by how
// the names at https://www.iana.org/assignments/jose begin.
func registered(alg string) bool {
	beginnings := []string{"RS2", "RS3", "RS5", "PS2", "PS3", "PS5", "ES2", "ES3", "ES5", "Ed", "HS2", "HS3", "HS5",
		"RSA-OAEP", "RSA1_5", "ECDH-ES", "A1", "A2", "PBES2", "dir", "none"}
	return slices.ContainsFunc(beginnings, func(beginning string) bool { return strings.HasPrefix(alg, beginning) })
}
