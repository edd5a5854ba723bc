package jwt_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
)

// whichKey says which published keys verify an RS256 token.
func whichKey(t *testing.T) {
	t.Parallel()
	ours, other := rsaKey().Public(), otherRSAKey().Public()
	private := m{}
	json.Unmarshal(must(json.Marshal(public(rsaKey(), "rsa"))), &private)
	many := make([]any, 101)
	for i := range many {
		many[i] = public(ours, "rsa")
	}
	for _, c := range []struct {
		name string
		keys []any
		id   string // in the token's header
		want kind
	}{
		{"P-kid-absent-single-jwks", []any{public(ours, "rsa")}, "", good},
		{"P-kid-absent-multiple-jwks", []any{public(other, "a"), public(ecKeys()["ES256"].Public(), "b"), public(ours, "c")}, "", good},
		{"kid in the token, the only fitting key without", []any{public(ecKeys()["ES256"].Public(), "rsa"), public(ours, "")}, "rsa", good},
		{"kid of another fitting key", []any{public(ours, "a")}, "b", rejected},
		{"a key without kid, and one that claims the token", []any{public(other, "rsa"), public(ours, "")}, "rsa", rejected},
		{"two keys of one kid", []any{public(other, "rsa"), public(ours, "rsa")}, "rsa", good},
		{"3.1 use enc", []any{published(ours, "rsa", m{"use": "enc"})}, "rsa", rejected},
		{"3.1 use enc, no kid", []any{published(ours, "rsa", m{"use": "enc"})}, "", rejected},
		{"use sig", []any{published(ours, "rsa", m{"use": "sig"})}, "rsa", good},
		{"key_ops without verify", []any{published(ours, "rsa", m{"key_ops": []string{"encrypt"}})}, "rsa", rejected},
		{"key_ops with verify", []any{published(ours, "rsa", m{"key_ops": []string{"verify"}})}, "rsa", good},
		{"alg of the token", []any{published(ours, "rsa", m{"alg": "RS256"})}, "rsa", good},
		{"another alg", []any{published(ours, "rsa", m{"alg": "PS256"})}, "rsa", rejected},
		{"another kty under the kid", []any{public(ecKeys()["ES256"].Public(), "rsa")}, "rsa", rejected},
		{"an Ed25519 key under the kid", []any{public(edKey().Public(), "rsa")}, "rsa", rejected},
		{"a symmetric key", []any{m{"kty": "oct", "kid": "rsa", "k": "AAAA"}}, "rsa", rejected},
		{"a private key", []any{private}, "rsa", rejected},
		{"keys that nobody understands beside it", []any{
			m{"kty": "XYZ"}, m{"kty": 1}, 7, nil, m{"kty": "EC", "crv": "secp256k1"}, m{"kty": "OKP", "crv": "Ed448", "x": "AA"},
			m{"kty": "RSA", "n": "!", "e": "AQAB"}, public(ours, "rsa"),
		}, "rsa", good},
		{"x5c that is none", []any{published(ours, "rsa", m{"x5c": []string{"!"}, "x5t": "?"})}, "rsa", good},
		{"no key", []any{}, "rsa", rejected},
		{"9.2 101 keys", many, "rsa", unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Keys(c.keys...)
			_, err := verify(f.Client(), sign(t, "RS256", rsaKey(), c.id, f.Claims(nil), nil))
			wantKind(t, err, c.want)
		})
	}
}

// https://www.rfc-editor.org/rfc/rfc7518#section-3.3
func TestShortRSAKeyIsNotTrusted(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	short := must(rsa.GenerateKey(rand.Reader, 1024))
	f.Keys(public(short.Public(), "short"))
	_, err := verify(f.Client(), sign(t, "RS256", short, "short", f.Claims(nil), nil))
	wantKind(t, err, rejected)
}

func badKeySets(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"<html>", " ", `[]`, `{}`, `{"keys":null}`, `{"keys":{}}`, `{"keys":[],"keys":[]}`, `{"Keys":[]}`} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.body = body
			token, client := f.goodToken(t), f.Client()
			for range 10 {
				_, err := verify(client, token)
				if _, wait := wantKind(t, err, unavailable); wait != time.Second {
					t.Fatalf("got retry after %v; want 1s", wait)
				}
			}
			f.wantHits(t, 1)
		})
	}
}

// An error of fetching the keys is passed on, with a wait. One of the caller's
// Keys is passed on as it is.
func TestVerifier_NoKeys(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	f.Down(true)
	tokens := map[string]func() error{
		"ID token":     func() error { _, err := verify(c, f.goodToken(t)); return err },
		"logout token": func() error { _, err := c.LogoutToken(t.Context(), f.logoutToken(t, nil)); return err },
		"access token": func() error { _, err := c.AccessToken(t.Context(), f.accessToken(t, nil), api); return err },
	}
	for name, verify := range tokens {
		if err := verify(); !errors.Is(err, errDown) {
			t.Errorf("%s: got %v; want why the keys are not to be had", name, err)
		} else if _, wait := wantKind(t, err, unavailable); wait != time.Second {
			t.Errorf("%s: got retry after %v; want 1s", name, wait)
		}
	}
	f.wantHits(t, 1)
	f.Down(false)
	f.clock.Move(time.Second)
	for _, verify := range tokens {
		wantKind(t, verify(), good)
	}
	c.Keys = func(context.Context) (*jwt.KeySet, error) { return nil, errDown }
	for name, verify := range tokens {
		if err := verify(); err != errDown {
			t.Errorf("%s: got %v; want the error of Keys", name, err)
		}
	}
}

// P-signing-key-rotation-just-before-signing: at once after the first keys,
// and again when the cool-down is over; within it the answer is "not now",
// never "forged".
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	wantVerify(t, c, f.goodToken(t), good)

	f.Keys(public(otherRSAKey().Public(), "second"))
	second := sign(t, "RS256", otherRSAKey(), "second", f.Claims(nil), nil)
	wantVerify(t, c, second, good)

	f.Keys(public(rsaKey().Public(), "third"))
	third := sign(t, "RS256", rsaKey(), "third", f.Claims(nil), nil)
	_, err := verify(c, third)
	if _, wait := wantKind(t, err, unavailable); wait != 30*time.Second || !errors.Is(err, document.ErrCoolingDown) {
		t.Errorf("got %v, retry after %v; want ErrCoolingDown, 30s", err, wait)
	}
	// A bad signature by a known key needs no new keys to be judged.
	wantVerify(t, c, sign(t, "RS256", rsaKey(), "second", f.Claims(nil), nil), rejected)
	f.clock.Move(30 * time.Second)
	wantVerify(t, c, third, good)
	f.wantHits(t, 3)
}

func TestRotationWithoutKeyIDs(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Keys(public(rsaKey().Public(), ""))
	c := f.Client()
	wantVerify(t, c, sign(t, "RS256", rsaKey(), "", f.Claims(nil), nil), good)
	f.Keys(public(otherRSAKey().Public(), ""))
	wantVerify(t, c, sign(t, "RS256", otherRSAKey(), "", f.Claims(nil), nil), good)
}

func TestWithdrawnKeyIsNotTrustedForever(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	wantVerify(t, c, f.goodToken(t), good)

	f.Keys(public(otherRSAKey().Public(), "second"))
	f.clock.Move(59 * time.Minute)
	wantVerify(t, c, f.goodToken(t), good)
	f.clock.Move(time.Minute)
	wantVerify(t, c, f.goodToken(t), rejected)

	// Keys that cannot be fetched anew are not used beyond their time.
	f.Down(true)
	f.clock.Move(time.Hour)
	wantVerify(t, c, sign(t, "RS256", otherRSAKey(), "second", f.Claims(nil), nil), unavailable)
}

// An extra fetch that fails is followed by the short back-off, not by the
// cool-down: the rotation was real.
func TestFailedExtraFetchBacksOff(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	wantVerify(t, c, f.goodToken(t), good)
	second := sign(t, "RS256", otherRSAKey(), "second", f.Claims(nil), nil)
	f.Down(true)
	if _, wait := wantVerify(t, c, second, unavailable); wait != time.Second {
		t.Errorf("got retry after %v; want 1s", wait)
	}
	wantVerify(t, c, f.goodToken(t), good)
	f.Down(false)
	f.Keys(public(otherRSAKey().Public(), "second"))
	f.clock.Move(time.Second)
	wantVerify(t, c, second, good)
}

// A set that is pinned anew has the same keys, and the same waits.
func TestKeySet_Pin(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	algorithms := []string{"PS384"}
	set := jwt.NewKeySet(f.clock.Now, f.fetch)
	pinned := set.Pin(algorithms)
	algorithms[0] = "RS256"
	token := sign(t, "RS256", rsaKey(), "rsa", f.Claims(nil), nil)
	for _, c := range []struct {
		keys *jwt.KeySet
		want kind
	}{{set, rejected}, {pinned, rejected}, {pinned.Pin([]string{"RS256"}), good}, {set.Pin(algorithms), good}, {pinned, rejected}} {
		v := f.Client()
		v.Keys = func(context.Context) (*jwt.KeySet, error) { return c.keys, nil }
		wantVerify(t, v, token, c.want)
	}
	f.wantHits(t, 1)
}
