package jwt_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/jwt"
)

// FuzzKeys: a key that is used is, as go-jose reads it from the same bytes, the
// same public key, under the same name, not for encryption and not for another
// algorithm.
func FuzzKeys(f *testing.F) {
	keys := []any{public(rsaKey(), "private"), public(ecKeys()["ES256"], "private"), public(edKey(), "private")}
	for _, k := range []any{rsaKey().Public(), ecKeys()["ES256"].Public(), ecKeys()["ES384"].Public(), ecKeys()["ES512"].Public(), edKey().Public()} {
		keys = append(keys, public(k, "k"), published(k, "", m{"use": "enc"}), published(k, "a", m{"use": "sig", "alg": "RS256"}),
			published(k, "b", m{"key_ops": []string{"encrypt"}}), published(k, "c", m{"key_ops": []string{"verify"}, "x5c": []string{"!"}, "x5t": "?"}))
	}
	keys = append(keys, m{"kty": "oct", "kid": "rsa", "k": "AAAA"}, m{"kty": "XYZ"}, m{"kty": 1}, 7, nil,
		m{"kty": "EC", "crv": "secp256k1"}, m{"kty": "OKP", "crv": "Ed448", "x": "AA"}, m{"kty": "RSA", "n": "!", "e": "AQAB"}, m{"KTY": "RSA", "n": "AQAB", "E": "AQAB"})
	for _, k := range keys {
		f.Add(must(json.Marshal(m{"keys": []any{k}})))
	}
	f.Add(must(json.Marshal(m{"keys": keys[len(keys)-10:]})))
	for _, text := range []string{`[]`, `{}`, `{"keys":null}`, `{"keys":{}}`, `{"keys":[]}`, `{"keys":[],"keys":[]}`, `<html>`, `{"keys":[` + strings.Repeat("1,", 100) + `1]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, failure := jwt.ParseKeys(body)
		if failure != nil {
			if wantFixedWords(t, failure); got != nil {
				t.Fatalf("got %v, %v; want keys or an error", got, failure)
			}
			return
		}
		var set struct {
			Keys []m `json:"keys"`
		}
		var loose struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(body, &loose); err != nil || len(loose.Keys) > 100 || len(got) > len(loose.Keys) {
			t.Fatalf("%s: read as %d keys; encoding/json says %v, %d", body, len(got), err, len(loose.Keys))
		}
		for _, raw := range loose.Keys {
			var k m
			if json.Unmarshal(raw, &k) != nil {
				k = nil
			}
			set.Keys = append(set.Keys, k)
		}
		for _, k := range got {
			source := slices.IndexFunc(set.Keys, func(in m) bool { return sameKey(in, k) })
			if source < 0 {
				t.Errorf("%s: got key %q of type %T; want one of those", body, k.KeyID, k.Key)
			}
			for _, alg := range []string{"none", "HS256", "HS512", "RSA-OAEP", "ECDH-ES", ""} {
				if k.Fits(alg) {
					t.Errorf("%s: key %q fits %q", body, k.KeyID, alg)
				}
			}
			for _, alg := range []string{"RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
				if k.Fits(alg) && (k.Algorithm != "" && k.Algorithm != alg || !suits(k.Key, alg)) {
					t.Errorf("%s: key %q of type %T for %q fits %q", body, k.KeyID, k.Key, k.Algorithm, alg)
				}
			}
		}
	})
}

// sameKey reports whether a published key is one that may be used as k, in the
// eyes of go-jose.
func sameKey(in m, k jwt.PublicKey) bool {
	members := m{}
	for name, value := range in {
		if name == "d" || name == "use" && value != nil && value != "" && value != "sig" {
			return false
		}
		if _, twice := members[name]; twice {
			return true // either may count, and both are the provider's
		}
		if slices.Contains([]string{"kty", "kid", "use", "key_ops", "alg", "crv", "x", "y", "n", "e"}, name) {
			members[name] = value
		}
	}
	var out jose.JSONWebKey
	if json.Unmarshal(must(json.Marshal(members)), &out) != nil || !out.Valid() || !out.IsPublic() {
		return false
	}
	switch out.Key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return false
	}
	return out.KeyID == k.KeyID && out.Algorithm == k.Algorithm && reflect.DeepEqual(out.Key, k.Key)
}

// suits reports whether an algorithm is one of a key's type.
// https://www.rfc-editor.org/rfc/rfc7518#section-3.1
func suits(key any, alg string) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return (alg[:2] == "RS" || alg[:2] == "PS") && key.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Params().BitSize]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// FuzzSignedTokens gives one token to all who take some. No token is good for
// two of them (https://www.rfc-editor.org/rfc/rfc8725#section-3.11), and what
// is good for one go-jose verifies with the published key, with the payload
// that was judged. seal is as in FuzzVerifyAccessToken.
func FuzzSignedTokens(f *testing.F) {
	headers := []string{
		`{"alg":"EdDSA","kid":"ed"}`, `{"alg":"EdDSA","kid":"ed","typ":"JWT"}`, `{"alg":"EdDSA","typ":"at+jwt"}`, `{"alg":"EdDSA","typ":"logout+jwt"}`,
		`{"alg":"EdDSA","typ":"application/at+jwt"}`, `{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"RS256"}`, `{"alg":"EdDSA","crit":["x"]}`, `{"alg":"EdDSA","alg":"EdDSA"}`,
	}
	logout := string(must(json.Marshal(logoutClaims(now, nil))))
	both := m{"nonce": nonce, "events": m{logoutEvent: m{}}, "jti": "j", "scope": "read", "client_id": "c", "aud": []string{clientID, api}}
	for _, header := range headers {
		for _, payload := range []string{string(claimsCase{}.payload()), string(claimsCase{changes: both}.payload()), logout, accessCase{}.payload()} {
			for seal := range byte(3) {
				f.Add([]byte(header), []byte(payload), seal)
			}
		}
	}
	for _, c := range claimsCases() {
		f.Add([]byte(headers[0]), c.payload(), byte(0))
	}
	for _, c := range logoutCases() {
		f.Add([]byte(headers[0]), c.payload(), byte(0))
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	c := offline{public(edKey().Public(), "ed"), public(rsaKey().Public(), "rsa")}.Client()
	f.Fuzz(func(t *testing.T, header, payload []byte, seal byte) {
		input := b64(string(header)) + "." + b64(string(payload))
		signature := payload
		switch seal {
		case 0:
			signature = ed25519.Sign(edKey(), []byte(input))
		case 1:
			signature = ed25519.Sign(stranger, []byte(input))
		}
		ctx, token := context.Background(), input+"."+b64(string(signature))
		id, idErr := verify(c, token)
		logout, logoutErr := c.LogoutToken(ctx, token)
		access, accessErr := c.AccessToken(ctx, token, api)
		good := 0
		for _, err := range []error{idErr, logoutErr, accessErr} {
			if err == nil {
				good++
			} else if wantFixedWords(t, err); (id != nil) != (idErr == nil) || (logout != nil) != (logoutErr == nil) || (access != nil) != (accessErr == nil) {
				t.Fatalf("%q.%q: got a token and %v", header, payload, err)
			}
		}
		switch {
		case good > 1:
			t.Fatalf("%q.%q: good as %d kinds of tokens: %+v, %+v, %+v", header, payload, good, id, logout, access)
		case good == 0:
			return
		}
		jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
		if err != nil {
			t.Fatalf("%q.%q: accepted; go-jose says %v", header, payload, err)
		}
		verified, err := jws.Verify(edKey().Public())
		if err != nil || string(verified) != string(payload) || id != nil && string(id.Payload) != string(payload) {
			t.Fatalf("%q.%q: accepted; go-jose says %v, %q", header, payload, err, verified)
		}
		typ, _ := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
		typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
		if id != nil && (typ == "at+jwt" || typ == "logout+jwt") || logout != nil && typ == "at+jwt" || access != nil && typ == "logout+jwt" {
			t.Errorf("%q: accepted as another type", header)
		}
	})
}
