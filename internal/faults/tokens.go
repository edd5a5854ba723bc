package faults

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func set(claim string, value any) func(*Facts, *Token) {
	return func(_ *Facts, t *Token) { t.Claims[claim] = value }
}

func setTime(claim string, offset time.Duration) func(*Facts, *Token) {
	return func(f *Facts, t *Token) { t.Claims[claim] = f.Now().Add(offset).Unix() }
}

func drop(claims ...string) func(*Facts, *Token) {
	return func(_ *Facts, t *Token) {
		for _, claim := range claims {
			delete(t.Claims, claim)
		}
	}
}

func secondAudience(azp bool) func(*Facts, *Token) {
	return func(f *Facts, t *Token) {
		t.Claims["aud"] = []string{f.ClientID, foreignClient}
		if azp {
			t.Claims["azp"] = f.ClientID
		}
	}
}

// clientToo adds the client to the audience of an API.
func clientToo(f *Facts, t *Token) { t.Claims["aud"] = []any{t.Claims["aud"], f.ClientID} }

// protocolOnly leaves the claims that say nothing about a person.
func protocolOnly(_ *Facts, t *Token) {
	maps.DeleteFunc(t.Claims, func(name string, _ any) bool {
		return !slices.Contains([]string{"iss", "sub", "aud", "exp", "iat", "nonce", "sid", "auth_time"}, name)
	})
}

// authenticatedAnew claims another authentication than that of the sign-in.
func authenticatedAnew(f *Facts, t *Token) {
	t.Claims["auth_time"] = f.Now().Unix()
	t.Claims["acr"] = "phr"
	t.Claims["sid"] = "another-sid"
}

func spellings(claims map[string]any) {
	claims["groups"] = []string{"a"}
	claims["Groups"] = []string{"b"}
}

func typJWT(_ *Facts, t *Token) { t.Header["typ"] = "JWT" }

func duplicateSubject(_ *Facts, t *Token) {
	t.Rewrite = func(payload []byte) []byte {
		return append([]byte(`{"sub":"`+foreignSubject+`",`), payload[1:]...)
	}
}

func oldLogout(f *Facts, t *Token) {
	t.Claims["iat"] = f.Now().Add(-10 * time.Minute).Unix()
	delete(t.Claims, "exp") // so that iat alone says how old it is
}

func unsigned(_ *Facts, t *Token) {
	t.Algorithm = "none"
	delete(t.Header, "kid")
}

func badSignature(_ *Facts, t *Token) { t.Finish = breakSignature }

func signForeign(f *Facts, t *Token) { t.SignWith(f.Spare()) }

func signOther(f *Facts, t *Token) { t.SignWith(f.Other()) }

func foreignJWK(f *Facts, t *Token) {
	t.SignWith(f.Spare())
	t.Header["jwk"] = f.Spare().Public()
}

func foreignAt(header string) func(*Facts, *Token) {
	return func(f *Facts, t *Token) {
		t.SignWith(f.Spare())
		t.Header[header] = f.URL + ForeignKeysPath
	}
}

func unknownCrit(_ *Facts, t *Token) {
	t.Header["crit"] = []string{"urn:example:crit"}
	t.Header["urn:example:crit"] = true
}

// hs256 keys an HMAC with something public, or with the client secret.
// https://www.rfc-editor.org/rfc/rfc8725#section-2.1
func hs256(key func(*Facts, *Token) []byte) func(*Facts, *Token) {
	return func(f *Facts, t *Token) {
		k := key(f, t)
		if len(k) < 32 { // go-jose accepts no shorter one; HMAC pads with zeros, so the key is the same
			k = append(k, make([]byte, 32-len(k))...)
		}
		t.Algorithm, t.Key = "HS256", k
	}
}

func clientSecret(f *Facts, _ *Token) []byte { return []byte(f.ClientSecret) }

func publicDER(_ *Facts, t *Token) []byte {
	der, err := x509.MarshalPKIXPublicKey(t.Public)
	must(err)
	return der
}

func publicPEM(f *Facts, t *Token) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(f, t)})
}

func publicNumber(_ *Facts, t *Token) []byte {
	switch key := t.Public.(type) {
	case *rsa.PublicKey:
		return key.N.Bytes()
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		must(err)
		return point
	default:
		return slices.Clone(key.(ed25519.PublicKey))
	}
}

// breakSignature changes one bit in the middle of the signature.
func breakSignature(compact string) string {
	i := strings.LastIndexByte(compact, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(compact[i:])
	must(err)
	sig[len(sig)/2] ^= 1
	return compact[:i] + base64.RawURLEncoding.EncodeToString(sig)
}

// encrypted encrypts a token with a key that it does not keep.
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

// must panics for an error that only a mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic("signintest: " + err.Error())
	}
}
