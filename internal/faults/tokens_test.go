package faults_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
)

func TestDuplicateClaim(t *testing.T) {
	t.Parallel()
	token := newToken()
	faults.Of(faults.IDTokenDuplicateClaim).IDToken(facts(), token)
	if got := string(token.Rewrite([]byte(`{"sub":"bob"}`))); got != `{"sub":"mallory00001","sub":"bob"}` {
		t.Errorf("got %s; want sub twice, the right one last", got)
	}
}

// HMAC is keyed with what everyone can fetch, or with the client secret and the
// zeros that RFC 2104, section 2, pads it with.
func TestHS256(t *testing.T) {
	t.Parallel()
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	edKey, _, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	point, err := ecKey.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		public any
		number []byte
	}{
		"RSA":     {&rsaKey.PublicKey, rsaKey.N.Bytes()},
		"ECDSA":   {&ecKey.PublicKey, point},
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

func TestFinish(t *testing.T) {
	t.Parallel()
	finish := func(apply func(*faults.Facts, *faults.Token), compact string) string {
		token := newToken()
		apply(facts(), token)
		return token.Finish(compact)
	}
	right := "header.payload." + base64.RawURLEncoding.EncodeToString([]byte{0, 0, 0xff, 0, 0})
	wrong := "header.payload." + base64.RawURLEncoding.EncodeToString([]byte{0, 0, 0xfe, 0, 0})
	for name, apply := range map[string]func(*faults.Facts, *faults.Token){
		"ID token":     faults.Of(faults.IDTokenSignatureInvalid).IDToken,
		"access token": faults.Of(faults.AccessTokenSignatureInvalid).AccessToken,
		"logout token": faults.Of(faults.LogoutTokenSignature).LogoutToken,
	} {
		if got := finish(apply, right); got != wrong {
			t.Errorf("%s: got %s; want one bit of the signature changed", name, got)
		}
	}
	encrypted := finish(faults.Of(faults.IDTokenEncrypted).IDToken, right)
	if _, err := jose.ParseEncryptedCompact(encrypted, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM}); err != nil {
		t.Errorf("an encrypted token: got %v", err)
	}
}
