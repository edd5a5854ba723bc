package faults_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"testing"

	"github.com/gosignin/signin/internal/faults"
)

// HMAC is keyed with what everyone can fetch, or with the client secret and the
// zeros that RFC 2104, section 2, pads it with.
func TestHS256(t *testing.T) {
	t.Parallel()
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	edKey, _, err2 := ed25519.GenerateKey(rand.Reader)
	ecKey := other.Private.Public().(*ecdsa.PublicKey)
	point, err3 := ecKey.Bytes()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		public any
		number []byte
	}{
		"RSA":     {&rsaKey.PublicKey, rsaKey.N.Bytes()},
		"ECDSA":   {ecKey, point},
		"Ed25519": {edKey, edKey},
	} {
		der, err := x509.MarshalPKIXPublicKey(row.public)
		if err != nil {
			t.Fatal(err)
		}
		for fault, want := range map[string][]byte{
			faults.IDTokenHS256DER:     der,
			faults.IDTokenHS256PEM:     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
			faults.IDTokenHS256Modulus: row.number,
			faults.IDTokenHS256Secret:  append([]byte("short"), make([]byte, 27)...),
		} {
			token := newToken()
			token.Public = row.public
			faults.Of(fault).IDToken(facts(), token)
			if got, _ := token.Key.([]byte); !slices.Equal(got, want) {
				t.Errorf("%s, %s: got key %x; want %x", name, fault, got, want)
			}
		}
	}
}
