package provider_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// published is a public key with further members, or with some removed (nil).
func published(key any, id string, changes m) m {
	out := m{}
	json.Unmarshal(must(json.Marshal(public(key, id))), &out)
	for name, value := range changes {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

// whichKey says which published keys verify an RS256 token.
func whichKey(t *testing.T) {
	t.Parallel()
	good, other := rsaKey().Public(), otherRSAKey().Public()
	private := m{}
	json.Unmarshal(must(json.Marshal(public(rsaKey(), "rsa"))), &private)
	many := make([]any, 101)
	for i := range many {
		many[i] = public(good, "rsa")
	}
	for _, c := range []struct {
		name string
		keys []any
		id   string // in the token's header
		want provider.Kind
	}{
		{"P-kid-absent-single-jwks", []any{public(good, "rsa")}, "", 0},
		{"P-kid-absent-multiple-jwks", []any{public(other, "a"), public(ecKeys()["ES256"].Public(), "b"), public(good, "c")}, "", 0},
		{"kid in the token, the only fitting key without", []any{public(ecKeys()["ES256"].Public(), "rsa"), public(good, "")}, "rsa", 0},
		{"kid of another fitting key", []any{public(good, "a")}, "b", provider.Rejected},
		{"a key without kid, and one that claims the token", []any{public(other, "rsa"), public(good, "")}, "rsa", provider.Rejected},
		{"two keys of one kid", []any{public(other, "rsa"), public(good, "rsa")}, "rsa", 0},
		{"3.1 use enc", []any{published(good, "rsa", m{"use": "enc"})}, "rsa", provider.Rejected},
		{"3.1 use enc, no kid", []any{published(good, "rsa", m{"use": "enc"})}, "", provider.Rejected},
		{"use sig", []any{published(good, "rsa", m{"use": "sig"})}, "rsa", 0},
		{"key_ops without verify", []any{published(good, "rsa", m{"key_ops": []string{"encrypt"}})}, "rsa", provider.Rejected},
		{"key_ops with verify", []any{published(good, "rsa", m{"key_ops": []string{"verify"}})}, "rsa", 0},
		{"alg of the token", []any{published(good, "rsa", m{"alg": "RS256"})}, "rsa", 0},
		{"another alg", []any{published(good, "rsa", m{"alg": "PS256"})}, "rsa", provider.Rejected},
		{"another kty under the kid", []any{public(ecKeys()["ES256"].Public(), "rsa")}, "rsa", provider.Rejected},
		{"an Ed25519 key under the kid", []any{public(edKey().Public(), "rsa")}, "rsa", provider.Rejected},
		{"a symmetric key", []any{m{"kty": "oct", "kid": "rsa", "k": "AAAA"}}, "rsa", provider.Rejected},
		{"a private key", []any{private}, "rsa", provider.Rejected},
		{"keys that nobody understands beside it", []any{
			m{"kty": "XYZ"}, m{"kty": 1}, 7, nil, m{"kty": "EC", "crv": "secp256k1"}, m{"kty": "OKP", "crv": "Ed448", "x": "AA"},
			m{"kty": "RSA", "n": "!", "e": "AQAB"}, public(good, "rsa"),
		}, "rsa", 0},
		{"x5c that is none", []any{published(good, "rsa", m{"x5c": []string{"!"}, "x5t": "?"})}, "rsa", 0},
		{"no key", []any{}, "rsa", provider.Rejected},
		{"9.2 101 keys", many, "rsa", provider.Unavailable},
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
	wantKind(t, err, provider.Rejected)
}

func badKeySets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   provider.Kind
	}{
		{"500", 500, "", provider.Unavailable},
		{"404", 404, "", provider.Misconfigured},
		{"a redirect", 302, "", provider.Misconfigured},
		{"HTML", 200, "<html>", provider.Unavailable},
		{"a list", 200, `[]`, provider.Unavailable},
		{"no keys member", 200, `{}`, provider.Unavailable},
		{"keys null", 200, `{"keys":null}`, provider.Unavailable},
		{"keys an object", 200, `{"keys":{}}`, provider.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Says("/x7/keys", c.status, c.body)
			raw := f.goodToken(t)
			client := f.Client()
			for range 10 {
				_, err := verify(client, raw)
				if e := wantKind(t, err, c.want); e.Op != "keys" || e.RetryAfter <= 0 {
					t.Fatalf("got op %q, retry after %v; want keys and a wait", e.Op, e.RetryAfter)
				}
			}
			if hits := f.Hits("/x7/keys"); hits != 1 {
				t.Errorf("got %d fetches; want 1", hits)
			}
		})
	}
}

// P-signing-key-rotation-just-before-signing: at once after the first keys,
// and again when the cool-down is over; within it the answer is "not now",
// never "forged".
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	ctx := context.Background()
	wantVerify(t, ctx, c, f.goodToken(t), 0)

	f.Keys(public(otherRSAKey().Public(), "second"))
	second := sign(t, "RS256", otherRSAKey(), "second", f.Claims(nil), nil)
	wantVerify(t, ctx, c, second, 0)

	f.Keys(public(rsaKey().Public(), "third"))
	third := sign(t, "RS256", rsaKey(), "third", f.Claims(nil), nil)
	if e := wantVerify(t, ctx, c, third, provider.Unavailable); e.RetryAfter != 30*time.Second {
		t.Errorf("got retry after %v; want 30s", e.RetryAfter)
	}
	// A bad signature by a known key needs no new keys to be judged.
	wantVerify(t, ctx, c, sign(t, "RS256", rsaKey(), "second", f.Claims(nil), nil), provider.Rejected)
	f.clock.Move(30 * time.Second)
	wantVerify(t, ctx, c, third, 0)
	if hits := f.Hits("/x7/keys"); hits != 3 {
		t.Errorf("got %d fetches; want 3", hits)
	}
}

func TestRotationWithoutKeyIDs(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Keys(public(rsaKey().Public(), ""))
	c := f.Client()
	ctx := context.Background()
	wantVerify(t, ctx, c, sign(t, "RS256", rsaKey(), "", f.Claims(nil), nil), 0)
	f.Keys(public(otherRSAKey().Public(), ""))
	wantVerify(t, ctx, c, sign(t, "RS256", otherRSAKey(), "", f.Claims(nil), nil), 0)
}

func TestWithdrawnKeyIsNotTrustedForever(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	ctx := context.Background()
	wantVerify(t, ctx, c, f.goodToken(t), 0)

	f.Keys(public(otherRSAKey().Public(), "second"))
	f.clock.Move(59 * time.Minute)
	wantVerify(t, ctx, c, f.goodToken(t), 0)
	f.clock.Move(time.Minute)
	wantVerify(t, ctx, c, f.goodToken(t), provider.Rejected)

	// Keys that cannot be fetched anew are not used beyond their time.
	f.Says("/x7/keys", 503, "")
	f.clock.Move(time.Hour)
	wantVerify(t, ctx, c, sign(t, "RS256", otherRSAKey(), "second", f.Claims(nil), nil), provider.Unavailable)
}

// An extra fetch that fails is followed by the short back-off, not by the
// cool-down: the rotation was real.
func TestFailedExtraFetchBacksOff(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	ctx := context.Background()
	wantVerify(t, ctx, c, f.goodToken(t), 0)
	second := sign(t, "RS256", otherRSAKey(), "second", f.Claims(nil), nil)
	keys := f.answers["/x7/keys"]
	f.Says("/x7/keys", 503, "")
	if e := wantVerify(t, ctx, c, second, provider.Unavailable); e.RetryAfter != time.Second {
		t.Errorf("got retry after %v; want 1s", e.RetryAfter)
	}
	wantVerify(t, ctx, c, f.goodToken(t), 0)
	f.Answer("/x7/keys", keys)
	f.Keys(public(otherRSAKey().Public(), "second"))
	f.clock.Move(time.Second)
	wantVerify(t, ctx, c, second, 0)
}

// Metadata that are fetched again, and say the same, do not cost the keys.
func TestKeysStayWithTheMetadata(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	_, err := c.Metadata(context.Background())
	wantKind(t, err, 0)
	f.clock.Move(30 * time.Minute)
	wantVerify(t, context.Background(), c, f.goodToken(t), 0)
	f.clock.Move(30 * time.Minute)
	wantVerify(t, context.Background(), c, f.goodToken(t), 0)
	if metadata, keys := f.Hits(wellKnown), f.Hits("/x7/keys"); metadata != 2 || keys != 1 {
		t.Errorf("got %d fetches of metadata and %d of keys; want 2 and 1", metadata, keys)
	}
}

func TestKeysMoveWithTheMetadata(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.Client()
	ctx := context.Background()
	wantVerify(t, ctx, c, f.goodToken(t), 0)
	f.Meta(m{"jwks_uri": f.URL + "/x8/keys"})
	f.Answer("/x8/keys", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(m{"keys": []any{public(otherRSAKey().Public(), "rsa")}})
	})
	f.clock.Move(time.Hour)
	wantVerify(t, ctx, c, f.goodToken(t), provider.Rejected)
	wantVerify(t, ctx, c, sign(t, "RS256", otherRSAKey(), "rsa", f.Claims(nil), nil), 0)
}
