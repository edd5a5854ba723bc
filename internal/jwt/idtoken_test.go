package jwt_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// goodToken is signed with the published RSA key.
func (f *fake) goodToken(t *testing.T) string {
	t.Helper()
	return sign(t, "RS256", rsaKey(), "rsa", f.Claims(nil), nil)
}

func goodTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		alg     string
		private any
		public  any
	}{
		{"RS256", rsaKey(), rsaKey().Public()},
		{"PS384", rsaKey(), rsaKey().Public()},
		{"ES256", ecKeys()["ES256"], ecKeys()["ES256"].Public()},
		{"ES384", ecKeys()["ES384"], ecKeys()["ES384"].Public()},
		{"ES512", ecKeys()["ES512"], ecKeys()["ES512"].Public()},
		{"EdDSA", edKey(), edKey().Public()},
		{"Ed25519", edKey(), edKey().Public()},
	} {
		t.Run("P-idtoken-sig: "+c.alg, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Keys(public(c.public, "k"))
			raw := ""
			if c.alg == "Ed25519" { // which go-jose does not sign with
				raw = signEd(`{"alg":"Ed25519","kid":"k"}`, string(must(json.Marshal(f.Claims(nil)))))
			} else {
				raw = sign(t, c.alg, c.private, "k", f.Claims(nil), nil)
			}
			id, err := verify(f.Client(), raw)
			wantKind(t, err, good)
			if id.Subject != "alice" || id.Raw != raw {
				t.Errorf("got subject %q, raw equal: %t; want alice and the token", id.Subject, id.Raw == raw)
			}
		})
	}
}

// forgedTokens must not verify, whatever they claim.
func forgedTokens() map[string]func(t *testing.T, f *fake) string {
	good := func(f *fake) string { return string(must(json.Marshal(f.Claims(nil)))) }
	der := must(x509.MarshalPKIXPublicKey(rsaKey().Public()))
	secrets := map[string][]byte{
		"the PEM of the public key":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"the DER of the public key":     der,
		"the modulus of the public key": rsaKey().N.Bytes(),
		"the client secret":             []byte(strings.Repeat(clientSecret, 4)),
	}
	cases := map[string]func(t *testing.T, f *fake) string{
		"P-idtoken-sig-none":        func(_ *testing.T, f *fake) string { return b64(`{"alg":"none"}`) + "." + b64(good(f)) + "." },
		"alg none with a signature": func(t *testing.T, f *fake) string { return handmade(t, `{"alg":"none","kid":"rsa"}`, good(f)) },
		"alg absent":                func(t *testing.T, f *fake) string { return handmade(t, `{"kid":"rsa"}`, good(f)) },
		"alg a list":                func(t *testing.T, f *fake) string { return handmade(t, `{"alg":["RS256"]}`, good(f)) },
		"P-invalid-sig-rs256": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "rsa", f.Claims(nil), nil)
		},
		"P-invalid-sig-es256": func(t *testing.T, f *fake) string {
			f.Keys(public(ecKeys()["ES384"].Public(), "k"))
			return sign(t, "ES256", ecKeys()["ES256"], "k", f.Claims(nil), nil)
		},
		"3.1 an algorithm outside the pinned set": func(t *testing.T, f *fake) string {
			return sign(t, "RS512", rsaKey(), "rsa", f.Claims(nil), nil)
		},
		"3.1 unknown crit": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"RS256","kid":"rsa","crit":["x"],"x":1}`, good(f))
		},
		"crit null": func(t *testing.T, f *fake) string { return handmade(t, `{"alg":"RS256","crit":null}`, good(f)) },
		"b64 through crit": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"RS256","b64":true,"crit":["b64"]}`, good(f))
		},
		"header name twice": func(t *testing.T, f *fake) string { return handmade(t, `{"alg":"RS256","alg":"RS256"}`, good(f)) },
		"kid a number":      func(t *testing.T, f *fake) string { return handmade(t, `{"alg":"RS256","kid":1}`, good(f)) },
		"typ a number":      func(t *testing.T, f *fake) string { return handmade(t, `{"alg":"RS256","typ":1}`, good(f)) },
		"a logout token":    func(t *testing.T, f *fake) string { return handmade(t, `{"alg":"RS256","typ":"logout+jwt"}`, good(f)) },
		"an access token": func(t *testing.T, f *fake) string {
			return handmade(t, `{"alg":"RS256","typ":"application/AT+jwt"}`, good(f))
		},
		"3.1 jwk in the header": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "", f.Claims(nil), m{"jwk": public(otherRSAKey().Public(), "")})
		},
		"3.1 jku and x5u in the header": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", otherRSAKey(), "", f.Claims(nil), m{"jku": issuer + "/evil", "x5u": issuer + "/evil"})
		},
		"3.1 an encrypted token": func(*testing.T, *fake) string {
			enc := must(jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP, Key: rsaKey().Public()}, nil))
			return must(must(enc.Encrypt([]byte(`{}`))).CompactSerialize())
		},
		"the JSON form": func(t *testing.T, f *fake) string {
			parts := strings.Split(f.goodToken(t), ".")
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
		},
		"a line break within": func(t *testing.T, f *fake) string { return strings.Replace(f.goodToken(t), ".", "\n.", 1) },
		"a space in front":    func(t *testing.T, f *fake) string { return " " + f.goodToken(t) },
		"padding":             func(t *testing.T, f *fake) string { return f.goodToken(t) + "==" },
		"an empty string":     func(*testing.T, *fake) string { return "" },
		"a megabyte": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"x": strings.Repeat("x", 1<<20)}), nil)
		},
		"a signature cut off": func(t *testing.T, f *fake) string { s := f.goodToken(t); return s[:strings.LastIndex(s, ".")+1] },
		"an opaque token":     func(*testing.T, *fake) string { return "opaque" },
		"claims of no known source": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"_claim_names": m{"x": "nowhere"}}), nil)
		},
		"Google's other issuer": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"iss": "accounts.google.com"}), nil)
		},
		"P-missing-sub": func(t *testing.T, f *fake) string {
			return sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"sub": nil}), nil)
		},
	}
	for name, secret := range secrets {
		cases["3.1 HS256 keyed with "+name] = func(t *testing.T, f *fake) string {
			return sign(t, "HS256", secret, "rsa", f.Claims(nil), nil)
		}
	}
	return cases
}

func forgeries(t *testing.T) {
	t.Parallel()
	for name, forge := range forgedTokens() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			id, err := verify(f.Client(), forge(t, f))
			wantKind(t, err, rejected)
			if id != nil {
				t.Errorf("got token %+v with the error; want none", id)
			}
		})
	}
}

// go-oidc takes this issuer for that one.
func TestGooglesOtherIssuer(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	c.Issuer = "https://accounts.google.com"
	for iss, want := range map[string]kind{c.Issuer: good, "accounts.google.com": rejected} {
		wantVerify(t, c, sign(t, "RS256", rsaKey(), "rsa", f.Claims(m{"iss": iss}), nil), want)
		_, err := c.LogoutToken(t.Context(), f.logoutToken(t, m{"iss": iss}))
		wantKind(t, err, want)
		wantAccess(t, c, f.accessToken(t, m{"iss": iss}), want)
	}
}

func pinnedAlgorithms(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, c := range []struct {
		name   string
		pinned []string
		alg    string
		want   kind
	}{
		{"the one", []string{"PS384"}, "PS384", good},
		{"one of several", []string{"PS384", "RS256"}, "RS256", good},
		{"another of the same key", []string{"PS384"}, "RS256", rejected},
		{"what must not be used is of no use when pinned", []string{"HS256", "none", ""}, "RS256", rejected},
	} {
		wantVerify(t, f.Client(c.pinned...), sign(t, c.alg, rsaKey(), "rsa", f.Claims(nil), nil), c.want)
	}
	for alg, token := range map[string]string{
		"HS256": sign(t, "HS256", rsaKey().N.Bytes(), "rsa", f.Claims(nil), nil),
		"none":  handmade(t, `{"alg":"none","kid":"rsa"}`, string(must(json.Marshal(f.Claims(nil))))),
		"":      handmade(t, `{"kid":"rsa"}`, string(must(json.Marshal(f.Claims(nil))))),
	} {
		wantVerify(t, f.Client(alg), token, rejected)
	}
}

// 3.3, through all that looks at times, and with a clock between two seconds.
func skewedClocks(t *testing.T) {
	t.Parallel()
	for offset, want := range map[time.Duration]kind{
		-time.Minute: good, time.Minute: good, -61 * time.Second: rejected, 61 * time.Second: rejected,
		-10 * time.Minute: rejected, 10 * time.Minute: rejected, 24 * time.Hour: rejected,
	} {
		f := newFake(t)
		f.clock.Move(999 * time.Millisecond)
		now := f.clock.Now().Add(offset).Unix()
		claims := f.Claims(m{"iat": now, "nbf": now, "exp": now + 3600})
		if offset < 0 {
			claims["exp"] = now
		}
		_, err := verify(f.Client(), sign(t, "RS256", rsaKey(), "rsa", claims, nil))
		wantKind(t, err, want)
	}
}

// 3.1: forged key IDs in parallel and in a row cause two fetches at most, and
// none of the tokens is accepted.
func forgedKeyIDs(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	forge := func(i int) {
		_, err := verify(c, handmade(t, fmt.Sprintf(`{"alg":"RS256","kid":"forged-%d"}`, i), `{}`))
		if err == nil {
			t.Errorf("forged token %d was accepted", i)
		}
	}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			for j := range 10 {
				forge(i*10 + j)
			}
		})
	}
	all.Wait()
	f.wantHits(t, 2)
	f.clock.Move(31 * time.Second)
	forge(1000)
	f.wantHits(t, 3)
}

// A header is parsed before the signature is checked, and several times.
func TestHeadersAreShort(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	claims := string(must(json.Marshal(f.Claims(nil))))
	for size, want := range map[int]kind{8 << 10: good, 8<<10 + 4: rejected} {
		const start, end = `{"alg":"RS256","kid":"rsa","x":"`, `"}`
		header := start + strings.Repeat("x", size/4*3-len(start+end)) + end
		raw := handmade(t, header, claims)
		if got := strings.Index(raw, "."); got != size {
			t.Fatalf("got a header of %d; want %d", got, size)
		}
		_, err := verify(f.Client(), raw)
		wantKind(t, err, want)
	}
}
