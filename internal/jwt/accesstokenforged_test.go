package jwt_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// accessForgeries must not verify, whatever they claim.
func accessForgeries() map[string]func(t *testing.T, f *fake) string {
	good := func(f *fake) string { return string(must(json.Marshal(f.AccessClaims(nil)))) }
	header := func(extra string) string { return `{"alg":"RS256","kid":"rsa","typ":"at+jwt"` + extra + `}` }
	marked := m{"typ": "at+jwt"}
	der := must(x509.MarshalPKIXPublicKey(rsaKey().Public()))
	cases := map[string]func(t *testing.T, f *fake) string{
		"alg none": func(_ *testing.T, f *fake) string {
			return b64(`{"alg":"none","typ":"at+jwt"}`) + "." + b64(good(f)) + "."
		},
		"alg none with a signature": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"none","kid":"rsa","typ":"at+jwt"}`, good(f))
		},
		"alg in another case": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"rs256","kid":"rsa","typ":"at+jwt"}`, good(f))
		},
		"alg absent": func(t *testing.T, f *fake) string { return handmade(t, `{"kid":"rsa","typ":"at+jwt"}`, good(f)) },
		"alg null":   func(t *testing.T, f *fake) string { return handmade(t, `{"alg":null,"typ":"at+jwt"}`, good(f)) },
		"alg a list": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":["RS256"],"typ":"at+jwt"}`, good(f))
		},
		"alg of another kind of key": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"ES256","kid":"rsa","typ":"at+jwt"}`, good(f))
		},
		"3.1 an algorithm outside the pinned set": func(t *testing.T, f *fake) string {
			return sign(t, "RS512", rsaKey(), "rsa", f.AccessClaims(nil), marked)
		},
		"a key of somebody else": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "rsa", f.AccessClaims(nil), marked)
		},
		"a key of somebody else, and no kid": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "", f.AccessClaims(nil), marked)
		},
		"3.1 use enc": func(t *testing.T, f *fake) string {
			f.Keys(published(rsaKey().Public(), "rsa", m{"use": "enc"}))
			return f.accessToken(t, nil)
		},
		"a published key that is for another algorithm": func(t *testing.T, f *fake) string {
			f.Keys(published(rsaKey().Public(), "rsa", m{"alg": "PS256"}))
			return f.accessToken(t, nil)
		},
		"3.1 unknown crit": func(t *testing.T, f *fake) string { return handmade(t, header(`,"crit":["x"],"x":1`), good(f)) },
		"crit null":        func(t *testing.T, f *fake) string { return handmade(t, header(`,"crit":null`), good(f)) },
		"header name twice": func(t *testing.T, f *fake) string {
			return handmade(t, header(`,"alg":"RS256"`), good(f))
		},
		"typ twice": func(t *testing.T, f *fake) string { return handmade(t, header(`,"Typ":"at+jwt"`), good(f)) },
		"kid a number": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"RS256","typ":"at+jwt","kid":1}`, good(f))
		},
		"typ a list": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"RS256","kid":"rsa","typ":["at+jwt"]}`, good(f))
		},
		"a header that is no object":  func(t *testing.T, f *fake) string { return handmade(t, `["RS256"]`, good(f)) },
		"a header that is not base64": func(t *testing.T, f *fake) string { return "!" + f.accessToken(t, nil) },
		"3.1 jwk in the header": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "", f.AccessClaims(nil), m{"typ": "at+jwt", "jwk": public(otherRSAKey().Public(), "")})
		},
		"3.1 jku and x5u in the header": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "", f.AccessClaims(nil), m{"typ": "at+jwt", "jku": issuer + "/evil", "x5u": issuer + "/evil"})
		},
		"3.1 an encrypted token": func(_ *testing.T, f *fake) string {
			enc := must(jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP, Key: rsaKey().Public()}, nil))
			return must(must(enc.Encrypt([]byte(good(f)))).CompactSerialize())
		},
		"the JSON form": func(t *testing.T, f *fake) string {
			parts := strings.Split(f.accessToken(t, nil), ".")
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
		},
		"another token's body": func(t *testing.T, f *fake) string {
			return swapBody(f.accessToken(t, nil), string(must(json.Marshal(f.AccessClaims(m{"sub": "bob"})))))
		},
		"another token's signature": func(t *testing.T, f *fake) string {
			mine, its := f.accessToken(t, nil), f.accessToken(t, m{"sub": "bob"})
			return mine[:strings.LastIndex(mine, ".")] + its[strings.LastIndex(its, "."):]
		},
		"a payload that is not base64": func(t *testing.T, f *fake) string {
			return strings.Replace(f.accessToken(t, nil), ".", ".!", 1)
		},
		"a signature that is not base64": func(t *testing.T, f *fake) string { return f.accessToken(t, nil) + "!" },
		"a signature spelled in another way": func(t *testing.T, f *fake) string {
			return respelled(f.accessToken(t, nil), 2) // 256 bytes
		},
		// go-jose checks a signature over what it has decoded, written anew.
		"a header spelled in another way": func(t *testing.T, f *fake) string {
			return respelled(handmade(t, padded(header("")), good(f)), 0)
		},
		"a payload spelled in another way": func(t *testing.T, f *fake) string {
			return respelled(handmade(t, header(""), padded(good(f))), 1)
		},
		"a payload with a line break at its end": func(t *testing.T, f *fake) string {
			parts := strings.Split(f.accessToken(t, nil), ".")
			return parts[0] + "." + parts[1] + "\n." + parts[2]
		},
		"b64 false": func(t *testing.T, f *fake) string { return handmade(t, header(`,"b64":false`), good(f)) },
		"b64 false, and signed so": func(t *testing.T, f *fake) string {
			return unencoded(t, header(`,"b64":false`), good(f))
		},
		"b64 false through crit, and signed so": func(t *testing.T, f *fake) string {
			return unencoded(t, header(`,"b64":false,"crit":["b64"]`), good(f))
		},
		"b64 true":            func(t *testing.T, f *fake) string { return handmade(t, header(`,"b64":true`), good(f)) },
		"padding":             func(t *testing.T, f *fake) string { return f.accessToken(t, nil) + "==" },
		"a line break within": func(t *testing.T, f *fake) string { return strings.Replace(f.accessToken(t, nil), ".", "\n.", 1) },
		"a line break at the end": func(t *testing.T, f *fake) string {
			return f.accessToken(t, nil) + "\n"
		},
		"a space in front": func(t *testing.T, f *fake) string { return " " + f.accessToken(t, nil) },
		"a megabyte": func(t *testing.T, f *fake) string {
			return f.accessToken(t, m{"x": strings.Repeat("x", 1<<20)})
		},
		"a signature cut off": func(t *testing.T, f *fake) string {
			s := f.accessToken(t, nil)
			return s[:strings.LastIndex(s, ".")+1]
		},
		"a signature left out": func(t *testing.T, f *fake) string {
			s := f.accessToken(t, nil)
			return s[:strings.LastIndex(s, ".")]
		},
		"an opaque token": func(*testing.T, *fake) string { return "opaque" },
		"an empty string": func(*testing.T, *fake) string { return "" },
		"two dots":        func(*testing.T, *fake) string { return ".." },
		"an ID token":     func(t *testing.T, f *fake) string { return f.goodToken(t) },
		"an ID token that has the API for an audience as well": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"aud": []string{clientID, api}}), nil)
		},
		"an ID token dressed up as an access token": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"aud": []string{clientID, api}, "client_id": clientID, "scope": "read"}), marked)
		},
		"a logout token": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(m{"aud": []string{api}}), m{"typ": "logout+jwt"})
		},
		"a logout token without typ": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.LogoutClaims(m{"aud": []string{api}, "client_id": "spa"}), nil)
		},
	}
	for name, secret := range map[string][]byte{
		"the PEM of the public key":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"the DER of the public key":     der,
		"the modulus of the public key": rsaKey().N.Bytes(),
		"the client secret":             []byte(strings.Repeat(clientSecret, 4)),
	} {
		cases["3.1 HS256 keyed with "+name] = func(t *testing.T, f *fake) string {
			return sign(t, "HS256", secret, "rsa", f.AccessClaims(nil), marked)
		}
	}
	return cases
}

// padded makes a text one that leaves four bits of its last character in base64
// without meaning.
func padded(text string) string { return text + strings.Repeat(" ", (4-len(text)%3)%3) }

// respelled sets one of these bits in a part of a token.
func respelled(token string, part int) string {
	parts := strings.Split(token, ".")
	last := len(parts[part]) - 1
	parts[part] = parts[part][:last] + string(parts[part][last]+1)
	return strings.Join(parts, ".")
}

// unencoded is a token whose payload is signed as it is, as with b64 false:
// https://www.rfc-editor.org/rfc/rfc7797
func unencoded(t *testing.T, header, payload string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(b64(header) + "." + payload))
	return b64(header) + "." + b64(payload) + "." + b64(string(must(rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, sum[:]))))
}

func TestForgedAccessTokens(t *testing.T) {
	t.Parallel()
	for name, forge := range accessForgeries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			wantAccess(t, f.Client(), forge(t, f), rejected)
		})
	}
}

// https://www.rfc-editor.org/rfc/rfc7518#section-3.1: each algorithm, signed by
// go-jose, and that same signature with any bit of any byte changed.
func TestAccessTokenAlgorithms(t *testing.T) {
	t.Parallel()
	keys := map[string]crypto.Signer{
		"RS256": rsaKey(), "RS384": rsaKey(), "RS512": rsaKey(), "PS256": rsaKey(), "PS384": rsaKey(), "PS512": rsaKey(),
		"ES256": ecKeys()["ES256"], "ES384": ecKeys()["ES384"], "ES512": ecKeys()["ES512"], "EdDSA": edKey(), "Ed25519": edKey(),
	}
	for alg, private := range keys {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Keys(public(private.Public(), "k"))
			c := f.Client(slices.Collect(maps.Keys(keys))...)
			raw := ""
			if alg == "Ed25519" { // which go-jose does not sign with
				raw = signEd(`{"alg":"Ed25519","kid":"k","typ":"at+jwt"}`, string(must(json.Marshal(f.AccessClaims(nil)))))
			} else {
				raw = sign(t, alg, private, "k", f.AccessClaims(nil), m{"typ": "at+jwt"})
			}
			wantAccess(t, c, raw, good)

			dot := strings.LastIndex(raw, ".")
			signature := string(must(base64.RawURLEncoding.DecodeString(raw[dot+1:])))
			for i := 0; i < len(signature); i += 13 {
				wrong := []byte(signature)
				wrong[i] ^= 1 << (i % 8)
				wantAccess(t, c, raw[:dot+1]+b64(string(wrong)), rejected)
			}
			half := len(signature) / 2
			for name, wrong := range map[string]string{
				"a byte short": signature[1:], "a byte long": "\x00" + signature, "one byte": "\x00", "nothing but zeros": strings.Repeat("\x00", len(signature)),
				"each half a byte long": "\x00" + signature[:half] + "\x00" + signature[half:], "twice": signature + signature,
			} {
				if _, err := c.AccessToken(context.Background(), raw[:dot+1]+b64(wrong), api); err == nil {
					t.Errorf("a signature that is %s was accepted", name)
				}
			}
			_, rest, _ := strings.Cut(raw, ".")
			for other := range keys {
				header := b64(fmt.Sprintf(`{"typ":"at+jwt","alg":%q}`, other))
				if _, err := c.AccessToken(context.Background(), header+"."+rest, api); err == nil {
					t.Errorf("the same signature was accepted as %s", other)
				}
			}
		})
	}
}

// The two numbers of a signature may begin with zeros, or with a bit that
// elsewhere is a sign.
func TestAccessTokensWithShortNumbers(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Keys(public(ecKeys()["ES256"].Public(), "k"))
	c := f.Client()
	short := 0
	for i := 0; short < 4 && i < 10_000; i++ {
		raw := sign(t, "ES256", ecKeys()["ES256"], "k", f.AccessClaims(m{"jti": i}), m{"typ": "at+jwt"})
		signature := must(base64.RawURLEncoding.DecodeString(raw[strings.LastIndex(raw, ".")+1:]))
		if signature[0] == 0 || signature[32] == 0 {
			short++
			wantAccess(t, c, raw, good)
		}
	}
	if short < 4 {
		t.Errorf("got %d signatures with a short number; want 4", short)
	}
}

// Numbers that no signature has are refused, however many zeros they begin with.
func TestAccessTokensWithOddNumbers(t *testing.T) {
	t.Parallel()
	for alg, size := range map[string]int{"ES256": 32, "ES384": 48, "ES512": 66} {
		f := newFake(t)
		f.Keys(public(ecKeys()[alg].Public(), "k"))
		c := f.Client()
		input := b64(`{"alg":"`+alg+`","kid":"k","typ":"at+jwt"}`) + "." + b64(string(must(json.Marshal(f.AccessClaims(nil)))))
		for _, zeros := range []int{0, 1, size - 1, size} {
			for _, first := range []string{"\x01", "\x7f", "\x80", "\xff"} {
				number := strings.Repeat("\x00", zeros) + strings.Repeat(first, size-zeros)
				other := strings.Repeat("\x7f", size)
				for _, signature := range []string{number + other, other + number, number + number} {
					wantAccess(t, c, input+"."+b64(signature), rejected)
				}
			}
		}
	}
}

// https://www.rfc-editor.org/rfc/rfc7518#section-3.5: the salt of a PSS
// signature is as long as the hash. go-jose takes any length. No forgery
// follows from that: with each length, only the owner of the key can sign.
func TestAccessTokensWithAnotherSalt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client("PS256")
	input := b64(`{"alg":"PS256","kid":"rsa","typ":"at+jwt"}`) + "." + b64(string(must(json.Marshal(f.AccessClaims(nil)))))
	sum := sha256.Sum256([]byte(input))
	for _, salt := range []int{32, 20, 222} {
		signature := must(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt}))
		wantAccess(t, c, input+"."+b64(string(signature)), good)
		signature = must(rsa.SignPSS(rand.Reader, otherRSAKey(), crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt}))
		wantAccess(t, c, input+"."+b64(string(signature)), rejected)
	}
}

// 3.1: tokens that are good but for their key cause two fetches at most, and
// when they have been refused the good ones are still served.
func TestForgedKeyIDsOfAccessTokens(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	payload := string(must(json.Marshal(f.AccessClaims(nil))))
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			for j := range 10 {
				input := b64(fmt.Sprintf(`{"alg":"RS256","kid":"forged-%d-%d","typ":"at+jwt"}`, i, j)) + "." + b64(payload)
				if _, err := c.AccessToken(context.Background(), input+"."+b64(strings.Repeat("x", 256)), api); err == nil {
					t.Errorf("forged token %d-%d was accepted", i, j)
				}
			}
		})
	}
	all.Wait()
	wantAccess(t, c, f.accessToken(t, nil), good)
	f.wantHits(t, 2)
}
