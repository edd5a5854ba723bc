package jwt_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
)

// keyCases are published keys, and whether they verify a token by the RSA key.
func keyCases() []keyCase {
	ours, other, ec := rsaKey().Public(), otherRSAKey().Public(), ecKeys()["ES256"].Public()
	many := make([]any, 101)
	for i := range many {
		many[i] = public(ours, "rsa")
	}
	return []keyCase{
		{"P-kid-absent-single-jwks", []any{public(ours, "rsa")}, "", good},
		{"P-kid-absent-multiple-jwks", []any{public(other, "a"), public(ec, "b"), public(ours, "c")}, "", good},
		{"kid in the token, the only fitting key without", []any{public(ec, "rsa"), public(ours, "")}, "rsa", good},
		{"kid of another fitting key", []any{public(ours, "a")}, "b", rejected},
		{"a key without kid, and another with that of the token", []any{public(other, "rsa"), public(ours, "")}, "rsa", rejected},
		{"two keys with the same kid", []any{public(other, "rsa"), public(ours, "rsa")}, "rsa", good},
		{"3.1 use enc", []any{published(ours, "rsa", m{"use": "enc"})}, "rsa", rejected},
		{"3.1 use enc, no kid", []any{published(ours, "rsa", m{"use": "enc"})}, "", rejected},
		{"use sig", []any{published(ours, "rsa", m{"use": "sig"})}, "rsa", good},
		{"use a number", []any{published(ours, "rsa", m{"use": 1})}, "rsa", good},
		{"use SIG", []any{published(ours, "rsa", m{"use": "SIG"})}, "rsa", good},
		{"use ENC", []any{published(ours, "rsa", m{"use": "ENC"})}, "rsa", rejected},
		{"use a list with enc", []any{published(ours, "rsa", m{"use": []string{"enc"}})}, "rsa", rejected},
		{"key_ops without verify", []any{published(ours, "rsa", m{"key_ops": []string{"encrypt"}})}, "rsa", rejected},
		{"key_ops with verify", []any{published(ours, "rsa", m{"key_ops": []string{"verify"}})}, "rsa", good},
		{"key_ops text", []any{published(ours, "rsa", m{"key_ops": "verify"})}, "rsa", good},
		{"key_ops text without verify", []any{published(ours, "rsa", m{"key_ops": "encrypt wrapKey"})}, "rsa", rejected},
		{"alg of the token", []any{published(ours, "rsa", m{"alg": "RS256"})}, "rsa", good},
		{"another alg", []any{published(ours, "rsa", m{"alg": "PS256"})}, "rsa", rejected},
		{"alg a list", []any{published(ours, "rsa", m{"alg": []string{"RS256"}})}, "rsa", good},
		{"alg RSA", []any{published(ours, "rsa", m{"alg": "RSA"})}, "rsa", good},
		{"alg of encryption", []any{published(ours, "rsa", m{"alg": "RSA-OAEP-256"})}, "rsa", rejected},
		{"3.1 alg of a shared secret", []any{published(ours, "rsa", m{"alg": "HS256"})}, "rsa", rejected},
		{"kid a number", []any{published(ours, "", m{"kid": 17})}, "17", good},
		{"kid another number", []any{published(ours, "", m{"kid": 17})}, "1", rejected},
		{"n and e padded", []any{padKey(published(ours, "rsa", nil))}, "rsa", good},
		{"an unknown member in two spellings", []any{published(ours, "rsa", m{"Note": 1, "note": 2})}, "rsa", good},
		{"3.1 alg in two spellings, the exact one fits", []any{published(ours, "rsa", m{"alg": "RS256", "Alg": "HS256"})}, "rsa", good},
		{"3.1 alg in two spellings, the other one fits", []any{published(ours, "rsa", m{"alg": "RS384", "Alg": "RS256"})}, "rsa", rejected},
		{"another kty with the kid", []any{public(ec, "rsa")}, "rsa", rejected},
		{"an Ed25519 key with the kid", []any{public(edKey().Public(), "rsa")}, "rsa", rejected},
		{"a symmetric key", []any{m{"kty": "oct", "kid": "rsa", "k": "AAAA"}}, "rsa", rejected},
		{"a private key", []any{public(rsaKey(), "rsa")}, "rsa", rejected},
		{"unknown and malformed keys in the same set", []any{
			m{"kty": "XYZ"}, m{"kty": 1}, 7, nil, m{"kty": "EC", "crv": "secp256k1"}, m{"kty": "OKP", "crv": "Ed448", "x": "AA"},
			m{"kty": "RSA", "n": "!", "e": "AQAB"}, m{"KTY": "RSA", "n": "AQAB", "E": "AQAB"}, public(ours, "rsa"),
		}, "rsa", good},
		{"a malformed certificate", []any{published(ours, "rsa", m{"x5c": []string{"!"}, "x5t": "?"})}, "rsa", good},
		{"no key", []any{}, "rsa", rejected},
		{"9.2 101 keys", many, "rsa", unavailable},
	}
}

// padKey writes the numbers of a key as encoding/base64.StdEncoding does.
func padKey(k m) m {
	for _, name := range []string{"n", "e"} {
		text := strings.NewReplacer("-", "+", "_", "/").Replace(k[name].(string))
		k[name] = text + strings.Repeat("=", (4-len(text)%4)%4)
	}
	return k
}

type keyCase struct {
	name string
	keys []any
	id   string // in the token's header
	want outcome
}

func TestKeySet_WhichKeyVerifies(t *testing.T) {
	t.Parallel()
	for _, c := range keyCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.Publish(c.keys...)
			idToken.want(t, f.Verifier(), idToken.signedBy("RS256", rsaKey(), c.id, nil), c.want)
		})
	}
}

// Each key that is not used is named once, with the reason, however often the keys
// are fetched.
func TestKeySet_NamesWhatItSkips(t *testing.T) {
	t.Parallel()
	f := newFake()
	ours := rsaKey().Public()
	short := must(rsa.GenerateKey(rand.Reader, 1024))
	f.Publish(public(ours, "rsa"), published(ours, "e\n", m{"use": "enc"}), m{"kty": "XYZ", "kid": 5}, m{"kty": "oct", "k": "AAAA"},
		public(short.Public(), "short"), 7, published(ours, "o", m{"alg": "RSA-OAEP"}))
	v := f.Verifier()
	for range 3 {
		idToken.want(t, v, idToken.signedBy("RS256", otherRSAKey(), "unknown", nil), rejected)
		f.Move(5 * time.Second)
	}
	f.wantHits(t, 4)
	for _, want := range []string{
		`number 2, kid "e\n": its use is "enc", not sig`, `number 3, kid "5": its material is malformed, or of an unknown type: kty "XYZ", crv ""`,
		`number 4, kid "": it is private or symmetric`, `number 5, kid "short": it has 1024 bits, and 2048 are needed`,
		`number 6, kid "": not a JSON object`, `number 7, kid "o": its alg is "RSA-OAEP", which is not one of its type for signatures`,
	} {
		if n := strings.Count(f.log.String(), fmt.Sprintf("key=%q", want)); n != 1 {
			t.Errorf("got %s named %d times; want once in %s", want, n, f.log.String())
		}
	}
	if n := strings.Count(f.log.String(), "\n"); n != 6 {
		t.Errorf("got %d lines; want 6: %s", n, f.log.String())
	}
}

// https://www.rfc-editor.org/rfc/rfc7518#section-3.3
func TestKeySet_ShortRSAKey(t *testing.T) {
	t.Parallel()
	f := newFake()
	short := must(rsa.GenerateKey(rand.Reader, 1024))
	f.Publish(public(short.Public(), "short"))
	idToken.want(t, f.Verifier(), idToken.signedBy("RS256", short, "short", nil), rejected)
}

var malformedSets = []string{"<html>", " ", `[]`, `{}`, `{"keys":null}`, `{"keys":{}}`, `{"keys":[],"keys":[]}`, `{"Keys":[]}`}

func TestKeySet_MalformedSet(t *testing.T) {
	t.Parallel()
	for _, body := range malformedSets {
		f := newFake()
		f.body = body
		v := f.Verifier()
		for range 10 {
			if wait := idToken.want(t, v, idToken.token(nil), unavailable); wait != time.Second {
				t.Errorf("%s: got retry after %v; want 1s", body, wait)
			}
		}
		f.wantHits(t, 1)
	}
}

// An error of fetching the keys comes with a wait. One of the caller's Keys is
// returned as it is.
func TestVerifier_NoKeys(t *testing.T) {
	t.Parallel()
	f := newFake()
	v := f.Verifier()
	f.Down(true)
	for _, k := range kinds {
		if wait := k.want(t, v, k.token(nil), unavailable); wait != time.Second {
			t.Errorf("%s: got retry after %v; want 1s", k.name, wait)
		}
		if _, err := k.verify(v, k.token(nil), signedIn, api); !errors.Is(err, errDown) {
			t.Errorf("%s: got %v; want the error of the fetch", k.name, err)
		}
	}
	f.wantHits(t, 1)
	f.Down(false)
	f.Move(time.Second)
	for _, k := range kinds {
		k.want(t, v, k.token(nil), good)
	}
	v.Keys = func(context.Context) (*jwt.KeySet, error) { return nil, errDown }
	for _, k := range kinds {
		if _, err := k.verify(v, k.token(nil), signedIn, api); err != errDown {
			t.Errorf("%s: got %v; want the error of Keys", k.name, err)
		}
	}
}

// P-signing-key-rotation-just-before-signing: a token by a new key is good at
// once, but during the cool-down it is unavailable, and never rejected. Tokens
// by a known key are verified all the time.
func TestVerifier_KeyRotation(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			v := f.Verifier()
			second, third := k.signedBy("RS256", otherRSAKey(), "second", nil), k.signedBy("RS256", rsaKey(), "third", nil)
			f.Publish(public(rsaKey().Public(), "first"))
			k.want(t, v, k.signedBy("RS256", rsaKey(), "first", nil), good)
			f.Publish(public(otherRSAKey().Public(), "second"))
			k.want(t, v, second, good)
			if wait := k.want(t, v, third, unavailable); wait != 5*time.Second {
				t.Errorf("got retry after %v; want 5s", wait)
			}
			if _, err := k.verify(v, third, signedIn, api); !errors.Is(err, document.ErrCoolingDown) {
				t.Errorf("got %v; want ErrCoolingDown", err)
			}
			again := rejected // anyone may have sent it
			if k.name == idToken.name {
				again = unavailable // "second" may be another key by now
			}
			k.want(t, v, k.signedBy("RS256", rsaKey(), "second", nil), again)
			k.want(t, v, second, good)
			f.Publish(public(rsaKey().Public(), "third"))
			f.Move(5 * time.Second)
			k.want(t, v, third, good)
			f.wantHits(t, 3)
		})
	}
}

// A withdrawn key is trusted for an hour at most, even if an attacker keeps the
// provider's site unreachable.
func TestVerifier_WithdrawnKey(t *testing.T) {
	t.Parallel()
	f := newFake()
	v := f.Verifier()
	token := func(after time.Duration) string {
		return idToken.token(m{"iat": at(after), "exp": at(after + time.Hour)})
	}
	idToken.want(t, v, token(0), good)
	f.Down(true)
	f.Move(time.Hour - time.Nanosecond)
	idToken.want(t, v, token(time.Hour), good)
	f.Move(time.Nanosecond)
	idToken.want(t, v, token(time.Hour), unavailable)
	f.Publish(public(otherRSAKey().Public(), "second"))
	f.Down(false)
	f.Move(time.Hour)
	idToken.want(t, v, token(2*time.Hour), rejected)
}

// 3.1: tokens with forged key IDs, at the same time and one after another,
// cause two fetches at most, and good tokens are still verified.
func TestVerifier_ForgedKeyIDs(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		f := newFake()
		v := f.Verifier()
		forge := func(i int) {
			header := fmt.Sprintf(`{"alg":"RS256","kid":"forged-%d","typ":%q}`, i, k.typ)
			raw := b64(header) + "." + b64(k.payload(nil)) + "." + b64(strings.Repeat("x", 256))
			if _, err := k.verify(v, raw, signedIn, api); err == nil {
				t.Errorf("forged %s %d was accepted", k.name, i)
			}
		}
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				for j := range 5 {
					forge(i*5 + j)
				}
			})
		}
		all.Wait()
		k.want(t, v, k.token(nil), good)
		f.wantHits(t, 2)
		f.Move(31 * time.Second)
		forge(1000)
		f.wantHits(t, 3)
	}
}

// A set that is pinned again has the same keys, and the same waits.
func TestKeySet_Pin(t *testing.T) {
	t.Parallel()
	f := newFake()
	algorithms := []string{"PS384"}
	set := jwt.NewKeySet(f.Now, slog.New(slog.NewTextHandler(&f.log, nil)), f.fetch)
	pinned := set.Pin(algorithms)
	algorithms[0] = "RS256"
	token := idToken.signedBy("RS256", rsaKey(), "rsa", nil)
	for _, c := range []struct {
		keys *jwt.KeySet
		want outcome
	}{{set, rejected}, {pinned, rejected}, {pinned.Pin([]string{"RS256"}), good}, {set.Pin(algorithms), good}, {pinned, rejected}} {
		idToken.want(t, f.verifierBy(c.keys), token, c.want)
	}
	f.wantHits(t, 1)
}

// A key that the provider publishes for something else than ID tokens ends no
// sessions: one of a weaker algorithm may have leaked.
// https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
func TestLogoutToken_AlgorithmOfNoIDToken(t *testing.T) {
	t.Parallel()
	by := func(k kind, alg string) string {
		if alg == "ES256" {
			return k.signedBy(alg, ecKeys()[alg], alg, nil)
		}
		return k.signedBy(alg, rsaKey(), "rsa", nil)
	}
	for name, row := range map[string]struct {
		idTokens []string // algorithms; "-" before one whose token is refused
		alg      string
		want     outcome
	}{
		"before there was an ID token":           {nil, "ES256", good},
		"after an ID token by the same":          {[]string{"ES256"}, "ES256", good},
		"after an ID token by another":           {[]string{"RS256"}, "ES256", rejected},
		"after an ID token by another hash":      {[]string{"RS256"}, "PS384", rejected},
		"after ID tokens by both":                {[]string{"ES256", "RS256"}, "ES256", good},
		"after an ID token that was not trusted": {[]string{"-ES256"}, "RS256", good},
		"after that, and one that was":           {[]string{"-ES256", "RS256"}, "ES256", rejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newFake().Verifier()
			for _, alg := range row.idTokens {
				alg, refused := strings.CutPrefix(alg, "-")
				if !refused {
					idToken.want(t, v, by(idToken, alg), good)
				} else if _, err := v.IDToken(t.Context(), by(idToken, alg), jwt.Expect{Nonce: "another"}); err == nil {
					t.Fatal("got an ID token with another nonce accepted; want it refused")
				}
			}
			logoutToken.want(t, v, by(logoutToken, row.alg), row.want)
		})
	}
}
