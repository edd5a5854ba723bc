package jwt_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/jwt"
)

// forgeries are tokens that must not verify, whatever they claim.
func forgeries(k kind) map[string]string {
	claims, token := k.payload(nil), k.token(nil)
	parts := strings.Split(token, ".")
	bob := strings.Split(k.token(m{"sub": "bob"}), ".")
	signed := func(header string) string { return signEd(header, claims) }
	der := must(x509.MarshalPKIXPublicKey(rsaKey().Public()))
	encrypter := must(jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP, Key: rsaKey().Public()}, nil))
	other := otherRSAKey()
	cases := map[string]string{
		"P-idtoken-sig-none":            b64(`{"alg":"none"}`) + "." + parts[1] + ".",
		"alg none with a signature":     signed(`{"alg":"none","kid":"ed"}`),
		"alg in another case":           signed(`{"alg":"eddsa","kid":"ed"}`),
		"alg absent":                    signed(`{"kid":"ed"}`),
		"alg null":                      signed(`{"alg":null,"kid":"ed"}`),
		"alg a list":                    signed(`{"alg":["EdDSA"],"kid":"ed"}`),
		"alg of another type of key":    signed(`{"alg":"ES256","kid":"ed"}`),
		"P-invalid-sig-rs256":           k.signedBy("RS256", other, "rsa", nil),
		"another RSA key, and no kid":   k.signedBy("RS256", other, "", nil),
		"P-invalid-sig-es256":           k.signedBy("ES256", ecKeys()["ES256"], "ES384", nil),
		"3.1 jwk in the header":         k.signedBy("RS256", other, "", m{"jwk": public(other.Public(), "")}),
		"3.1 jku and x5u in the header": k.signedBy("RS256", other, "", m{"jku": issuer + "/evil", "x5u": issuer + "/evil"}),
		"a jwk that is malformed":       signed(k.header(`,"jwk":{"kty":"oct"}`)),

		"3.1 unknown crit":         signed(k.header(`,"crit":["x"],"x":1`)),
		"crit null":                signed(k.header(`,"crit":null`)),
		"b64 true":                 signed(k.header(`,"b64":true`)),
		"b64 true through crit":    signed(k.header(`,"b64":true,"crit":["b64"]`)),
		"b64 false":                unencoded(k.header(`,"b64":false`), claims),
		"b64 false through crit":   unencoded(k.header(`,"b64":false,"crit":["b64"]`), claims),
		"a header name twice":      signed(k.header(`,"alg":"EdDSA"`)),
		"typ twice, in other case": signed(k.header(`,"Typ":"at+jwt"`)),
		"kid a number":             signed(`{"alg":"EdDSA","kid":1}`),
		"typ a list":               signed(`{"alg":"EdDSA","kid":"ed","typ":["` + k.typ + `"]}`),
		"a header not an object":   signed(`["EdDSA"]`),

		"3.1 an encrypted token":     must(must(encrypter.Encrypt([]byte(claims))).CompactSerialize()),
		"the JSON form":              fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"another token's payload":    parts[0] + "." + bob[1] + "." + parts[2],
		"another token's signature":  parts[0] + "." + parts[1] + "." + bob[2],
		"a signature cut off":        parts[0] + "." + parts[1] + ".",
		"a signature left out":       parts[0] + "." + parts[1],
		"a header not base64":        "!" + token,
		"a payload not base64":       strings.Replace(token, ".", ".!", 1),
		"a signature not base64":     token + "!",
		"padding":                    token + "==",
		"a space in front":           " " + token,
		"a line break at the end":    token + "\n",
		"a line break in the header": strings.Replace(token, ".", "\n.", 1),
		// go-jose encodes again what it has decoded, and verifies that.
		"a header with unused bits set":    respelled(signed(padded(k.header(""))), 0),
		"a payload with unused bits set":   respelled(signEd(k.header(""), padded(claims)), 1),
		"a signature with unused bits set": respelled(token, 2),
		"a megabyte":                       k.token(m{"x": strings.Repeat("x", 1<<20)}),
		"an opaque token":                  "opaque",
		"an empty string":                  "",
		"two dots":                         "..",
	}
	for name, secret := range map[string][]byte{
		"PEM of the public key":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"DER of the public key":     der,
		"modulus of the public key": rsaKey().N.Bytes(),
		"client secret":             []byte(strings.Repeat(clientSecret, 4)),
	} {
		cases["3.1 HS256 keyed with the "+name] = k.signedBy("HS256", secret, "rsa", nil)
	}
	return cases
}

// padded adds spaces until the last character in base64 has four unused bits.
func padded(text string) string { return text + strings.Repeat(" ", (4-len(text)%3)%3) }

// respelled sets one of the unused bits at the end of a part of a token.
func respelled(token string, part int) string {
	parts := strings.Split(token, ".")
	last := len(parts[part]) - 1
	parts[part] = parts[part][:last] + string(parts[part][last]+1)
	return strings.Join(parts, ".")
}

// unencoded returns a token whose payload is signed unencoded, as with b64
// false:
// https://www.rfc-editor.org/rfc/rfc7797
func unencoded(header, payload string) string {
	signature := ed25519.Sign(edKey(), []byte(b64(header)+"."+payload))
	return b64(header) + "." + b64(payload) + "." + b64(string(signature))
}

func TestVerifier_ForgedTokens(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		for name, token := range forgeries(k) {
			t.Run(k.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				k.want(t, newFake().Verifier(), token, rejected)
			})
		}
	}
}

// A token of one kind is rejected as another kind, even with the same audience.
func TestVerifier_TokensOfAnotherKind(t *testing.T) {
	t.Parallel()
	both := m{"aud": []string{clientID, api}, "client_id": clientID, "scope": "read"}
	dressed := claimsCase{typ: "at+jwt", changes: both}
	for name, c := range map[string]struct {
		k     kind
		token string
	}{
		"an ID token":                            {accessToken, idToken.token(nil)},
		"an ID token for the API as well":        {accessToken, idToken.token(m{"aud": []string{clientID, api}})},
		"an ID token with typ and claims":        {accessToken, dressed.token(idToken)},
		"a logout token":                         {accessToken, logoutToken.token(m{"aud": api})},
		"a logout token without typ":             {accessToken, claimsCase{typ: "-", changes: m{"aud": api, "client_id": "spa"}}.token(logoutToken)},
		"a logout token at a sign-in":            {idToken, logoutToken.token(m{"nonce": nonce})},
		"an access token at a sign-in":           {idToken, accessToken.token(m{"aud": clientID, "nonce": nonce})},
		"an access token to the logout endpoint": {logoutToken, accessToken.token(m{"aud": clientID, "events": m{logoutEvent: m{}}})},
		"an access token for this client too":    {idToken, accessToken.token(m{"aud": []string{api, clientID}, "azp": clientID, "nonce": nonce})},
	} {
		t.Run(name, func(t *testing.T) { c.k.want(t, everyKey(), c.token, rejected) })
	}
}

// Each type is listed with the kinds of tokens that may have it.
func TestVerifier_Type(t *testing.T) {
	t.Parallel()
	id, logout, access := idToken.name, logoutToken.name, accessToken.name
	for typ, want := range map[string][]string{
		"-": {id, logout, access}, "JWT": {id, logout, access}, "jWt": {id, logout, access}, // Keycloak says JWT
		"application/jwt": {id, logout, access}, "APPLICATION/JWT": {id, logout, access},
		"logout+jwt": {logout}, "Logout+JWT": {logout}, "application/logout+jwt": {logout},
		"at+jwt": {access}, "AT+jwt": {access}, "application/at+jwt": {access}, "Application/AT+JWT": {access},
		"secevent+jwt": {id}, "dpop+jwt": {id}, "token-introspection+jwt": {id}, "x-at+jwt": {id}, "text/at+jwt": {id},
		" JWT": {id}, " at+jwt": {id}, "application/": {id}, "application/application/": {id},
	} {
		for _, k := range kinds {
			outcome := rejected
			if slices.Contains(want, k.name) {
				outcome = good
			}
			t.Run(typ+" of "+k.name, func(t *testing.T) { k.want(t, everyKey(), claimsCase{typ: typ}.token(k), outcome) })
		}
	}
}

// A token may have at most 64 KB, and its header at most 8 KB.
func TestVerifier_Size(t *testing.T) {
	t.Parallel()
	header := func(size int) string { // in base64
		const start = `{"alg":"EdDSA","kid":"ed","x":"`
		return start + strings.Repeat("x", size/4*3-len(start+`"}`)) + `"}`
	}
	for size, want := range map[int]outcome{8 << 10: good, 8<<10 + 4: rejected} {
		raw := signEd(header(size), idToken.payload(nil))
		if got := strings.Index(raw, "."); got != size {
			t.Fatalf("got a header of %d; want %d", got, size)
		}
		idToken.want(t, everyKey(), raw, want)
	}
	for size, want := range map[int]outcome{64 << 10: good, 64<<10 + 1: rejected} {
		header := idToken.header("")
		for len(b64(header))%4 == (size+3)%4 { // no payload has a length of 1 modulo 4 in base64
			header += " "
		}
		const signature = 86
		rest := size - len(b64(header)) - signature - len("..")
		payload := idToken.payload(nil)
		raw := signEd(header, payload+strings.Repeat(" ", rest*3/4-len(payload)))
		if len(raw) != size {
			t.Fatalf("got a token of %d; want %d", len(raw), size)
		}
		idToken.want(t, everyKey(), raw, want)
	}
}

// Members and elements that anyone may send are counted by their commas.
func TestVerifier_ManyMembers(t *testing.T) {
	t.Parallel()
	list := func(text string, commas int) string { // adds a claim with as many elements as it takes
		return text[:len(text)-1] + `,"x":[0` + strings.Repeat(",0", commas-strings.Count(text, ",")-1) + "]}"
	}
	for commas, want := range map[int]outcome{64: good, 65: rejected} {
		for _, k := range kinds {
			k.want(t, everyKey(), signEd(list(k.header(""), commas), k.payload(nil)), want)
		}
	}
	for commas, want := range map[int]outcome{512: good, 513: rejected} {
		accessToken.want(t, everyKey(), signEd(accessToken.header(""), list(accessToken.payload(nil), commas)), want)
		idToken.want(t, everyKey(), signEd(idToken.header(""), list(idToken.payload(nil), commas)), good)
	}
	small := len(logoutToken.token(m{"x": ""}))
	logoutToken.want(t, everyKey(), logoutToken.token(m{"x": strings.Repeat("x", (8<<10-small)/4*3)}), good)
	logoutToken.want(t, everyKey(), logoutToken.token(m{"x": strings.Repeat("x", (8<<10-small)/4*3+4)}), rejected)
}

// https://www.rfc-editor.org/rfc/rfc7518#section-3.1: each algorithm verifies
// what go-jose has signed with it, and rejects it if one bit differs.
func TestVerifier_Algorithms(t *testing.T) {
	t.Parallel()
	keys := map[string]crypto.Signer{
		"RS256": rsaKey(), "RS384": rsaKey(), "RS512": rsaKey(), "PS256": rsaKey(), "PS384": rsaKey(), "PS512": rsaKey(),
		"ES256": ecKeys()["ES256"], "ES384": ecKeys()["ES384"], "ES512": ecKeys()["ES512"], "EdDSA": edKey(), "Ed25519": edKey(),
	}
	for alg, private := range keys {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			f, k := newFake(), accessToken
			f.Publish(public(private.Public(), "k"))
			v := f.Verifier()
			raw := ""
			if alg == "Ed25519" { // go-jose does not sign with it
				raw = signEd(`{"alg":"Ed25519","kid":"k","typ":"at+jwt"}`, k.payload(nil))
			} else {
				raw = k.signedBy(alg, private, "k", nil)
			}
			k.want(t, v, raw, good)

			dot := strings.LastIndex(raw, ".")
			signature := string(must(base64.RawURLEncoding.DecodeString(raw[dot+1:])))
			for i := 0; i < len(signature); i += 13 {
				wrong := []byte(signature)
				wrong[i] ^= 1 << (i % 8)
				k.want(t, v, raw[:dot+1]+b64(string(wrong)), rejected)
			}
			half := len(signature) / 2
			for name, wrong := range map[string]string{
				"a byte short": signature[1:], "a byte long": "\x00" + signature, "one byte": "\x00", "twice": signature + signature,
				"all zeros":            strings.Repeat("\x00", len(signature)),
				"a byte longer a half": "\x00" + signature[:half] + "\x00" + signature[half:],
			} {
				if _, err := v.AccessToken(context.Background(), raw[:dot+1]+b64(wrong), api); err == nil {
					t.Errorf("a signature that is %s was accepted", name)
				}
			}
			_, rest, _ := strings.Cut(raw, ".")
			for other := range keys {
				header := b64(fmt.Sprintf(`{"typ":"at+jwt","alg":%q}`, other))
				if _, err := v.AccessToken(context.Background(), header+"."+rest, api); err == nil {
					t.Errorf("the same signature was accepted as %s", other)
				}
			}
		})
	}
}

// Only the pinned algorithms verify. Those that no provider may use are
// rejected even if they are pinned.
func TestVerifier_PinnedAlgorithms(t *testing.T) {
	t.Parallel()
	rs256, ps384 := idToken.signedBy("RS256", rsaKey(), "rsa", nil), idToken.signedBy("PS384", rsaKey(), "rsa", nil)
	for _, c := range []struct {
		name   string
		pinned []string
		token  string
		want   outcome
	}{
		{"one of several", []string{"RS256", "PS384"}, ps384, good},
		{"another of the same key", []string{"PS384"}, rs256, rejected},
		{"an algorithm not pinned", []string{"HS256", "none", ""}, rs256, rejected},
		{"HMAC", []string{"HS256"}, idToken.signedBy("HS256", rsaKey().N.Bytes(), "rsa", nil), rejected},
		{"alg none", []string{"none"}, signEd(`{"alg":"none","kid":"ed"}`, idToken.payload(nil)), rejected},
		{"no alg", []string{""}, signEd(`{"kid":"ed"}`, idToken.payload(nil)), rejected},
	} {
		t.Run(c.name, func(t *testing.T) { idToken.want(t, newFake().Verifier(c.pinned...), c.token, c.want) })
	}
}

// Tokens that are refused regardless of their signature cause no request.
func TestVerifier_KeysNotAskedFor(t *testing.T) {
	t.Parallel()
	v := *everyKey()
	v.Keys = func(context.Context) (*jwt.KeySet, error) { t.Error("keys were asked for"); return nil, errDown }
	for _, k := range kinds {
		token := k.token(nil)
		for _, raw := range []string{
			"", "opaque", "a.b.c", token + "=", token[:strings.LastIndex(token, ".")+1], signEd(`[]`, k.payload(nil)),
			signEd(k.header(`,"crit":["x"]`), k.payload(nil)),
		} {
			k.want(t, &v, raw, rejected)
		}
	}
	idToken.want(t, &v, accessToken.token(nil), rejected)
	logoutToken.want(t, &v, accessToken.token(nil), rejected)
	for _, changes := range []m{{"exp": at(-61 * time.Second)}, {"iss": issuer + "/"}, {"aud": "https://other.example.com"}} {
		accessToken.want(t, &v, accessToken.token(changes), rejected)
	}
	accessToken.want(t, &v, idToken.token(nil), rejected)
}
