package provider_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/provider"
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
			return sign(t, "RS256", otherRSAKey(), "", f.AccessClaims(nil), m{"typ": "at+jwt", "jku": f.URL + "/evil", "x5u": f.URL + "/evil"})
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
			// 256 bytes leave four bits of the last character without meaning.
			raw := f.accessToken(t, nil)
			last := raw[len(raw)-1]
			return raw[:len(raw)-1] + string(last+1)
		},
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

func TestForgedAccessTokens(t *testing.T) {
	t.Parallel()
	for name, forge := range accessForgeries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			wantAccess(t, f.Client(), forge(t, f), provider.Rejected)
			if hits := f.Hits("/evil"); hits != 0 {
				t.Errorf("got %d requests to an address in the token; want none", hits)
			}
		})
	}
}

// https://www.rfc-editor.org/rfc/rfc7518#section-3.1: each algorithm, signed by
// go-jose, and that same signature with any bit of any byte changed.
func TestAccessTokenAlgorithms(t *testing.T) {
	t.Parallel()
	keys := map[string]crypto.Signer{
		"RS256": rsaKey(), "RS384": rsaKey(), "RS512": rsaKey(), "PS256": rsaKey(), "PS384": rsaKey(), "PS512": rsaKey(),
		"ES256": ecKeys()["ES256"], "ES384": ecKeys()["ES384"], "ES512": ecKeys()["ES512"], "EdDSA": edKey(),
	}
	for alg, private := range keys {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Keys(public(private.Public(), "k"))
			c := f.Client(pin(slices.Collect(maps.Keys(keys))...))
			raw := sign(t, alg, private, "k", f.AccessClaims(nil), m{"typ": "at+jwt"})
			wantAccess(t, c, raw, 0)

			dot := strings.LastIndex(raw, ".")
			signature := string(must(base64.RawURLEncoding.DecodeString(raw[dot+1:])))
			for i := 0; i < len(signature); i += 13 {
				wrong := []byte(signature)
				wrong[i] ^= 1 << (i % 8)
				wantAccess(t, c, raw[:dot+1]+b64(string(wrong)), provider.Rejected)
			}
			half := len(signature) / 2
			for name, wrong := range map[string]string{
				"a byte short": signature[1:], "a byte long": "\x00" + signature, "one byte": "\x00", "nothing but zeros": strings.Repeat("\x00", len(signature)),
				"each half a byte long": "\x00" + signature[:half] + "\x00" + signature[half:], "twice": signature + signature,
			} {
				if _, err := c.VerifyAccessToken(context.Background(), raw[:dot+1]+b64(wrong), api); err == nil {
					t.Errorf("a signature that is %s was accepted", name)
				}
			}
			_, rest, _ := strings.Cut(raw, ".")
			for other := range keys {
				header := b64(fmt.Sprintf(`{"typ":"at+jwt","alg":%q}`, other))
				if _, err := c.VerifyAccessToken(context.Background(), header+"."+rest, api); err == nil {
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
			wantAccess(t, c, raw, 0)
		}
	}
	if short < 4 {
		t.Errorf("got %d signatures with a short number; want 4", short)
	}
}

// https://www.rfc-editor.org/rfc/rfc7518#section-3.5: the salt of a PSS signature is
// as long as the hash.
func TestAccessTokensWithAnotherSalt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client(pin("PS256"))
	input := b64(`{"alg":"PS256","kid":"rsa","typ":"at+jwt"}`) + "." + b64(string(must(json.Marshal(f.AccessClaims(nil)))))
	sum := sha256.Sum256([]byte(input))
	for salt, want := range map[int]provider.Kind{32: 0, 20: provider.Rejected, 222: provider.Rejected} {
		signature := must(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt}))
		wantAccess(t, c, input+"."+b64(string(signature)), want)
	}
}

// A signature's numbers are written as encoding/asn1 writes them, however many
// zeros they begin with.
func TestECDSASignaturesInASN1(t *testing.T) {
	t.Parallel()
	for _, size := range []int{32, 48, 66} {
		for zeros := range size + 1 {
			for _, first := range []byte{0x01, 0x7f, 0x80, 0xff} {
				number := append(make([]byte, zeros), bytes.Repeat([]byte{first}, size-zeros)...)
				other := bytes.Repeat([]byte{0x7f}, size)
				for _, signature := range [][]byte{append(slices.Clone(number), other...), append(slices.Clone(other), number...)} {
					want := must(asn1.Marshal([]*big.Int{new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])}))
					if got := provider.ECDSAASN1(signature); !bytes.Equal(got, want) {
						t.Fatalf("%x: got %x; want %x", signature, got, want)
					}
				}
			}
		}
	}
}

// The algorithms are those of ID tokens: configured, else listed.
func TestAccessTokenAlgorithmsArePinned(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	raw := f.accessToken(t, nil)
	wantAccess(t, f.Client(pin("PS384")), raw, provider.Rejected)
	wantAccess(t, f.Client(pin("PS384", "RS256")), raw, 0)
	f.Meta(m{"id_token_signing_alg_values_supported": []string{"ES384"}})
	wantAccess(t, f.Client(), raw, provider.Rejected)
	f.Meta(m{"id_token_signing_alg_values_supported": nil})
	wantAccess(t, f.Client(), raw, 0)
}

// 3.1: tokens that are good but for their key cause two fetches at most, and when
// they have been refused the good ones are still served.
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
				if _, err := c.VerifyAccessToken(context.Background(), input+"."+b64(strings.Repeat("x", 256)), api); err == nil {
					t.Errorf("forged token %d-%d was accepted", i, j)
				}
			}
		})
	}
	all.Wait()
	wantAccess(t, c, f.accessToken(t, nil), 0)
	if hits := f.Hits("/x7/keys"); hits > 2 {
		t.Errorf("got %d fetches of the keys; want 2 at most", hits)
	}
}
