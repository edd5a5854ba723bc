package jwt_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/settings"
)

const (
	issuer       = "https://id.example.com/oidc"
	clientID     = "app"
	clientSecret = "s3cret+/%:&="
	nonce        = "the-nonce"
	accessToken  = "the-access-token"
)

var (
	now     = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	errDown = errors.New("down")
	// signedIn is what most tests expect of a token.
	signedIn = jwt.Expect{Nonce: nonce, AccessToken: accessToken}
)

type m = map[string]any

type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func at(d time.Duration) int64 { return now.Add(d).Unix() }

// The keys that all tests share: making RSA keys is slow.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		return must(k, err)
	})
	otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		return must(k, err)
	})
	ecKeys = sync.OnceValue(func() map[string]*ecdsa.PrivateKey {
		keys := make(map[string]*ecdsa.PrivateKey)
		for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
			k, err := ecdsa.GenerateKey(curve, rand.Reader)
			keys[alg] = must(k, err)
		}
		return keys
	})
	edKey = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return must(k, err)
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fake is a provider's keys, and the clock of those who fetch them.
type fake struct {
	clock clock

	mu   sync.Mutex
	keys []any
	body string // instead of keys
	down bool
	late time.Duration // by which the clock moves while keys are fetched
	hits int
}

// newFake publishes one RSA key, named "rsa".
func newFake(*testing.T) *fake {
	f := &fake{clock: clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	f.Keys(public(&rsaKey().PublicKey, "rsa"))
	return f
}

// Keys replaces the published keys.
func (f *fake) Keys(keys ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = keys
}

// Down says whether the keys cannot be fetched.
func (f *fake) Down(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

// wantHits fails unless they were fetched so often.
func (f *fake) wantHits(t *testing.T, want int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hits != want {
		t.Errorf("got %d fetches of the keys; want %d", f.hits, want)
	}
}

func (f *fake) fetch(context.Context) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hits++
	f.clock.Move(f.late)
	if f.down {
		return nil, errDown
	}
	if f.body != "" {
		return []byte(f.body), nil
	}
	return json.Marshal(m{"keys": f.keys})
}

// Client returns a Verifier with these algorithms pinned; without any, with
// those that the fake is taken to list.
func (f *fake) Client(algorithms ...string) *jwt.Verifier {
	if len(algorithms) == 0 {
		algorithms = []string{"RS256", "ES256", "ES384", "ES512", "PS384", "EdDSA", "Ed25519"}
	}
	keys := jwt.NewKeySet(f.clock.Now, f.fetch).Pin(algorithms)
	return &jwt.Verifier{
		Issuer: issuer, ClientID: clientID, Now: f.clock.Now,
		Keys: func(context.Context) (*jwt.KeySet, error) { return keys, nil },
	}
}

// Claims returns those of a good ID token, after changes; nil removes one.
func (f *fake) Claims(changes m) m { return idClaims(f.clock.Now(), changes) }

func idClaims(now time.Time, changes m) m {
	claims := m{
		"iss": issuer, "aud": clientID, "sub": "alice", "sid": "s1", "nonce": nonce, "iat": now.Unix(), "exp": now.Unix() + 3600,
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// offline is published keys of a provider for which it is always now.
type offline []any

// Client returns a Verifier that has fetched them.
func (o offline) Client() *jwt.Verifier {
	f := &fake{clock: clock{t: now}, keys: o}
	return f.Client(settings.Asymmetric()...)
}

// everyKey is published by the names of its algorithms, one for each type.
var everyKey = sync.OnceValue(func() *jwt.Verifier {
	ec := ecKeys()
	return offline{
		public(rsaKey().Public(), "rsa"), public(edKey().Public(), "ed"),
		public(ec["ES256"].Public(), "ES256"), public(ec["ES384"].Public(), "ES384"), public(ec["ES512"].Public(), "ES512"),
	}.Client()
})

// at returns the Verifier at another time.
func verifierAt(now time.Time) *jwt.Verifier {
	v := *everyKey()
	v.Now = func() time.Time { return now }
	return &v
}

// signed is a token of this payload with a good signature.
func signed(alg string, payload []byte) string {
	private := map[string]any{"ES256": ecKeys()["ES256"], "ES384": ecKeys()["ES384"], "ES512": ecKeys()["ES512"]}[alg]
	switch {
	case alg == "" || alg == "EdDSA":
		return signEd(`{"alg":"EdDSA","kid":"ed"}`, string(payload))
	case private == nil:
		private = rsaKey()
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: private}, nil))
	return must(must(signer.Sign(payload)).CompactSerialize())
}

// check verifies an ID token of this payload.
func check(payload []byte, alg string, want jwt.Expect, now time.Time) (*jwt.IDToken, error) {
	return verifierAt(now).IDToken(context.Background(), signed(alg, payload), want)
}

// checkLogout verifies a logout token of this payload.
func checkLogout(payload []byte, now time.Time) (*jwt.LogoutToken, error) {
	return verifierAt(now).LogoutToken(context.Background(), signed("", payload))
}

// verify verifies an ID token as at a sign-in.
func verify(v *jwt.Verifier, raw string) (*jwt.IDToken, error) {
	return v.IDToken(context.Background(), raw, signedIn)
}

// public returns a published key.
func public(key crypto.PublicKey, id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id}
}

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

// sign signs claims, a string or what marshals to JSON. extra is for the
// header.
func sign(t *testing.T, alg string, key any, id string, claims any, extra map[string]any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	if id != "" {
		opts.WithHeader("kid", id)
	}
	for name, value := range extra {
		opts.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, isText := claims.(string)
	if !isText {
		payload = string(must(json.Marshal(claims)))
	}
	jws, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return must(jws.CompactSerialize())
}

// handmade is a token of any header and payload, with an RS256 signature over
// them that is good.
func handmade(t *testing.T, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	hash := crypto.SHA256.New()
	hash.Write([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, hash.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(string(signature))
}

// signEd is a token of any header and payload, with an Ed25519 signature over
// them that is good.
func signEd(header, payload string) string {
	input := b64(header) + "." + b64(payload)
	return input + "." + b64(string(ed25519.Sign(edKey(), []byte(input))))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// kind is what an error says of a token.
type kind string

const (
	good        kind = "good"
	rejected    kind = "rejected"
	unavailable kind = "not known, since keys are missing"
	noAPI       kind = "not asked about for an API"
)

// wantKind fails unless an error is of a kind. For tokens that are refused it
// says why, for those that are not known, how long to wait.
func wantKind(t *testing.T, err error, want kind) (text string, wait time.Duration) {
	t.Helper()
	got := rejected
	missing, isMissing := errors.AsType[*document.Error](err)
	switch {
	case err == nil:
		got = good
	case isMissing:
		got, wait = unavailable, missing.RetryAfter
	case err == jwt.ErrNoAPI:
		got = noAPI
	}
	if got != want {
		t.Fatalf("got a token that is %s (%v); want %s", got, err, want)
	}
	if err != nil {
		wantFixedWords(t, err)
		text = err.Error()
	}
	return text, wait
}

// wantVerify verifies an ID token as at a sign-in.
func wantVerify(t *testing.T, v *jwt.Verifier, raw string, want kind) (text string, wait time.Duration) {
	t.Helper()
	id, err := verify(v, raw)
	if (id != nil) != (err == nil) {
		t.Errorf("got token %+v with error %v; want one without the other", id, err)
	}
	return wantKind(t, err, want)
}

// wantFixedWords fails if an error may hold something of a token.
func wantFixedWords(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); len(text) > 130 || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
		t.Errorf("got error %q; want fixed words", text)
	}
}
