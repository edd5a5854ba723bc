package faults_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
)

// newToken returns a right token: all claims of ID tokens, access tokens and
// logout tokens.
func newToken() *faults.Token {
	token := &faults.Token{
		Header: map[string]any{"typ": "right"},
		Claims: map[string]any{
			"iss": issuer, "aud": client, "sub": "bob", "sid": "a-sid", "nonce": "the-nonce", "jti": "an-id",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(), "acr": "gold", "client_id": client,
			"events": map[string]any{event: map[string]any{}},
		},
		Public: current.Private.Public(),
		AtHash: "right-at-hash", CHash: "right-c-hash",
	}
	token.SignWith(current)
	return token
}

// tokenFault is the effect on a token, as it is sent.
type tokenFault func(token *faults.Token, header, claims map[string]any) bool

func claim(name string, want any) tokenFault {
	return func(_ *faults.Token, _, claims map[string]any) bool { return reflect.DeepEqual(claims[name], want) }
}

func header(name string, want any) tokenFault {
	return func(_ *faults.Token, header, _ map[string]any) bool { return header[name] == want }
}

// without wants a claim not to be there; null is not enough.
func without(names ...string) tokenFault {
	return func(_ *faults.Token, _, claims map[string]any) bool {
		return !slices.ContainsFunc(names, func(name string) bool { _, there := claims[name]; return there })
	}
}

func off(name string, want time.Duration) tokenFault {
	return func(_ *faults.Token, _, claims map[string]any) bool {
		n, _ := claims[name].(json.Number)
		s, err := n.Int64()
		return err == nil && s == now.Add(want).Unix()
	}
}

func signedBy(key faults.Key) tokenFault {
	return func(token *faults.Token, header, _ map[string]any) bool {
		return token.Key == key.Private && token.Algorithm == key.Algorithm && header["kid"] == key.ID
	}
}

func all(of ...tokenFault) tokenFault {
	return func(token *faults.Token, header, claims map[string]any) bool {
		return !slices.ContainsFunc(of, func(is tokenFault) bool { return !is(token, header, claims) })
	}
}

var (
	critical = all(header("urn:example:crit", true), func(_ *faults.Token, header, _ map[string]any) bool {
		return reflect.DeepEqual(header["crit"], []any{"urn:example:crit"})
	})
	// hmac leaves the key to TestHS256.
	hmac     = header("alg", "HS256")
	unsigned = all(header("alg", "none"), header("kid", nil))
	// finished leaves what happens to TestFinish.
	finished = tokenFault(func(token *faults.Token, _, _ map[string]any) bool { return token.Finish != nil })
)

var idTokenFaults = map[string]tokenFault{
	faults.IDTokenIssuerWrong:      claim("iss", "https://other-provider.example/oidc"),
	faults.IDTokenIssuerMissing:    without("iss"),
	faults.IDTokenIssuerSlash:      claim("iss", issuer+"/"),
	faults.IDTokenIssuerCase:       claim("iss", strings.ToUpper(issuer)),
	faults.IDTokenIssuerPort:       claim("iss", address+"0/oidc"),
	faults.IDTokenAudienceWrong:    claim("aud", "other-client"),
	faults.IDTokenAudienceMissing:  without("aud"),
	faults.IDTokenAudienceArray:    claim("aud", []any{client}),
	faults.IDTokenAudienceExtra:    all(claim("aud", []any{client, "other-client"}), claim("azp", client)),
	faults.IDTokenAudienceNoAZP:    all(claim("aud", []any{client, "other-client"}), without("azp")),
	faults.IDTokenAZPWrong:         claim("azp", "other-client"),
	faults.IDTokenNonceWrong:       claim("nonce", "another-nonce"),
	faults.IDTokenNonceMissing:     without("nonce"),
	faults.IDTokenSIDMissing:       without("sid"),
	faults.IDTokenSubjectWrong:     claim("sub", "mallory00001"),
	faults.IDTokenSubjectMissing:   without("sub"),
	faults.IDTokenSubjectLong:      claim("sub", strings.Repeat("s", 300)),
	faults.IDTokenSubjectNonASCII:  claim("sub", "alicé"),
	faults.IDTokenIssuedAtMissing:  without("iat"),
	faults.IDTokenIssuedAtOld:      off("iat", -24*time.Hour),
	faults.IDTokenIssuedAtAhead:    off("iat", 24*time.Hour),
	faults.IDTokenExpired:          off("exp", -10*time.Minute),
	faults.IDTokenExpiryMissing:    without("exp"),
	faults.IDTokenExpiryText:       claim("exp", "1772604367"),
	faults.IDTokenExpiryHuge:       claim("exp", json.Number("1e400")),
	faults.IDTokenDuplicateClaim:   all(claim("sub", "bob"), func(token *faults.Token, _, _ map[string]any) bool { return token.Rewrite != nil }),
	faults.IDTokenAuthTimeMissing:  without("auth_time"),
	faults.IDTokenAuthTimeZero:     claim("auth_time", json.Number("0")),
	faults.IDTokenAuthTimeStale:    off("auth_time", -7*24*time.Hour),
	faults.IDTokenACRMissing:       without("acr"),
	faults.IDTokenAtHashWrong:      claim("at_hash", "right-c-hash"),
	faults.IDTokenAtHashRight:      claim("at_hash", "right-at-hash"),
	faults.IDTokenCHashPresent:     claim("c_hash", "right-c-hash"),
	faults.IDTokenAlgNone:          unsigned,
	faults.IDTokenHS256PEM:         hmac,
	faults.IDTokenHS256DER:         hmac,
	faults.IDTokenHS256Modulus:     hmac,
	faults.IDTokenHS256Secret:      hmac,
	faults.IDTokenOtherAlgorithm:   signedBy(other),
	faults.IDTokenSignatureInvalid: all(signedBy(current), finished),
	faults.IDTokenKeyIDUnknown:     signedBy(spare),
	faults.IDTokenKeyIDMissing:     header("kid", nil),
	faults.IDTokenHeaderJWK: all(signedBy(spare), func(_ *faults.Token, header, _ map[string]any) bool {
		key, _ := header["jwk"].(map[string]any)
		return key["kid"] == spare.ID && key["d"] == nil
	}),
	faults.IDTokenHeaderJKU:        all(signedBy(spare), header("jku", address+faults.ForeignKeysPath)),
	faults.IDTokenHeaderX5U:        all(signedBy(spare), header("x5u", address+faults.ForeignKeysPath)),
	faults.IDTokenHeaderCrit:       critical,
	faults.IDTokenEncrypted:        all(signedBy(current), finished),
	faults.IDTokenKeyForEncryption: signedBy(spare),
}

var accessTokenFaults = map[string]tokenFault{
	faults.AccessTokenIssuerWrong:      claim("iss", "https://other-provider.example/oidc"),
	faults.AccessTokenAudienceWrong:    claim("aud", "https://other-api.example"),
	faults.AccessTokenAudienceClientID: claim("aud", client),
	faults.AccessTokenExpired:          off("exp", -10*time.Minute),
	faults.AccessTokenNotYetValid:      off("nbf", 10*time.Minute),
	faults.AccessTokenAlgNone:          unsigned,
	faults.AccessTokenHS256PEM:         hmac,
	faults.AccessTokenSignatureInvalid: all(signedBy(current), finished),
	faults.AccessTokenKeyIDUnknown:     signedBy(spare),
	faults.AccessTokenTypeJWT:          header("typ", "JWT"),
	faults.AccessTokenTypeMissing:      header("typ", nil),
	faults.AccessTokenSubjectMissing:   without("sub"),
	faults.AccessTokenClientIDMissing:  without("client_id"),
	faults.AccessTokenHeaderCrit:       critical,
}

var logoutTokenFaults = map[string]tokenFault{
	faults.LogoutTokenAlgNone:        unsigned,
	faults.LogoutTokenOtherAlgorithm: signedBy(other),
	faults.LogoutTokenSignature:      all(signedBy(current), finished),
	faults.LogoutTokenIssuerWrong:    claim("iss", "https://other-provider.example/oidc"),
	faults.LogoutTokenAudienceWrong:  claim("aud", "other-client"),
	faults.LogoutTokenNoEvents:       without("events"),
	faults.LogoutTokenEventWrong:     claim("events", map[string]any{event + "-not": map[string]any{}}),
	faults.LogoutTokenEventsNull: func(_ *faults.Token, _, claims map[string]any) bool {
		e, there := claims["events"]
		return there && e == nil
	},
	faults.LogoutTokenEventsText:      claim("events", event),
	faults.LogoutTokenEventsArray:     claim("events", []any{event}),
	faults.LogoutTokenNonce:           claim("nonce", "a-nonce"),
	faults.LogoutTokenIDMissing:       without("jti"),
	faults.LogoutTokenIssuedAtOld:     all(off("iat", -10*time.Minute), without("exp")),
	faults.LogoutTokenIssuedAtAhead:   off("iat", 10*time.Minute),
	faults.LogoutTokenIssuedAtMissing: without("iat"),
	faults.LogoutTokenExpired:         off("exp", -10*time.Minute),
	faults.LogoutTokenExpiryMissing:   without("exp"),
	faults.LogoutTokenExtraClaim:      claim("urn:example:extra", "extra"),
	faults.LogoutTokenNobody:          without("sub", "sid"),
}

func TestTokens(t *testing.T) {
	t.Parallel()
	effect := func(fault string, apply func(*faults.Facts, *faults.Token), is tokenFault) {
		token := newToken()
		apply(facts(), token)
		token.Header["alg"] = token.Algorithm
		header, payload := encoded(t, token.Header), encoded(t, token.Claims)
		if token.Rewrite != nil {
			payload = string(token.Rewrite([]byte(payload)))
		}
		if !is(token, object(t, header), object(t, payload)) {
			t.Errorf("%s: got %s %s", fault, header, payload)
		}
	}
	for fault, is := range idTokenFaults {
		effect(fault, faults.Of(fault).IDToken, is)
	}
	for fault, is := range accessTokenFaults {
		effect(fault, faults.Of(fault).AccessToken, is)
	}
	for fault, is := range logoutTokenFaults {
		effect(fault, faults.Of(fault).LogoutToken, is)
	}
}

func object(t *testing.T, text string) (m map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDuplicateClaim(t *testing.T) {
	t.Parallel()
	token := newToken()
	faults.Of(faults.IDTokenDuplicateClaim).IDToken(facts(), token)
	if got := string(token.Rewrite([]byte(`{"sub":"bob"}`))); got != `{"sub":"mallory00001","sub":"bob"}` {
		t.Errorf("got %s; want sub twice, the right one last", got)
	}
}

// What an HMAC is keyed with is public, or the secret with the zeros that
// RFC 2104, section 2, pads it with.
func TestHS256(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ecKey.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
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
	finish := func(fault, compact string) string {
		token := newToken()
		faults.Of(fault).IDToken(facts(), token)
		return token.Finish(compact)
	}
	sig := []byte{0, 0, 0xff, 0, 0}
	got := finish(faults.IDTokenSignatureInvalid, "header.payload."+base64.RawURLEncoding.EncodeToString(sig))
	if want := "header.payload." + base64.RawURLEncoding.EncodeToString([]byte{0, 0, 0xfe, 0, 0}); got != want {
		t.Errorf("a broken signature: got %s; want %s", got, want)
	}
	if _, err := jose.ParseEncryptedCompact(finish(faults.IDTokenEncrypted, "header.payload.signature"),
		[]jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM}); err != nil {
		t.Errorf("an encrypted token: got %v", err)
	}
}
