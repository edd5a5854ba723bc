package jwt_test

import (
	"bytes"
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
	"fmt"
	"log/slog"
	"maps"
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
	received     = "the-access-token"
	api          = "https://api.example.com"
	organization = "urn:logto:organization:org1"
	logoutEvent  = "http://schemas.openid.net/event/backchannel-logout"
)

var (
	now     = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	errDown = errors.New("down")
	// signedIn is what most tests expect of an ID token.
	signedIn = jwt.Expect{Nonce: nonce, AccessToken: received}
)

type m = map[string]any

type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func at(d time.Duration) int64 { return now.Add(d).Unix() }

// The keys that all tests share: making RSA keys is slow.
var (
	rsaKey      = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKeys      = sync.OnceValue(func() map[string]*ecdsa.PrivateKey {
		return map[string]*ecdsa.PrivateKey{
			"ES256": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
			"ES384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
			"ES512": must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		}
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

// fake is a provider's published keys, and the clock of its clients.
type fake struct {
	body string        // published instead of keys
	late time.Duration // by which the clock moves while keys are fetched

	mu   sync.Mutex
	time time.Time
	keys []any
	down bool
	hits int
	log  bytes.Buffer // not for use while keys are fetched
}

// newFake publishes one key of each type. The elliptic ones have the names of
// their algorithms.
func newFake() *fake {
	f := &fake{time: now, keys: []any{public(rsaKey().Public(), "rsa"), public(edKey().Public(), "ed")}}
	for alg, key := range ecKeys() {
		f.keys = append(f.keys, public(key.Public(), alg))
	}
	return f
}

func (f *fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.time
}

func (f *fake) Move(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.time = f.time.Add(d)
}

// Publish replaces the published keys.
func (f *fake) Publish(keys ...any) {
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

// wantHits fails unless the keys were fetched that often.
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
	f.time = f.time.Add(f.late)
	if f.down {
		return nil, errDown
	}
	if f.body != "" {
		return []byte(f.body), nil
	}
	return json.Marshal(m{"keys": f.keys})
}

// Verifier returns a Verifier with these algorithms pinned, or all if none are given.
func (f *fake) Verifier(algorithms ...string) *jwt.Verifier {
	if len(algorithms) == 0 {
		algorithms = settings.Asymmetric()
	}
	return f.verifierBy(jwt.NewKeySet(f.Now, slog.New(slog.NewTextHandler(&f.log, nil)), f.fetch).Pin(algorithms))
}

func (f *fake) verifierBy(keys *jwt.KeySet) *jwt.Verifier {
	return &jwt.Verifier{
		Issuer: issuer, ClientID: clientID, Now: f.Now,
		Keys: func(context.Context) (*jwt.KeySet, error) { return keys, nil },
	}
}

// everyKey returns a verifier with all keys, whose clock always says now.
var everyKey = sync.OnceValue(func() *jwt.Verifier { return newFake().Verifier() })

// kind is a kind of token. verified says whether a token was returned.
type kind struct {
	name, typ string
	claims    m
	verify    func(v *jwt.Verifier, raw string, want jwt.Expect, audience string) (verified bool, err error)
}

var (
	idToken = kind{
		"ID token", "JWT", m{
			"iss": issuer, "aud": clientID, "sub": "alice", "sid": "s1", "nonce": nonce, "iat": at(0), "exp": at(time.Hour),
		},
		func(v *jwt.Verifier, raw string, want jwt.Expect, _ string) (bool, error) {
			got, err := v.IDToken(context.Background(), raw, want)
			return got != nil, err
		},
	}
	logoutToken = kind{
		"logout token", "logout+jwt", m{
			"iss": issuer, "aud": clientID, "sub": "alice", "sid": "s1", "jti": "j1", "iat": at(0), "exp": at(2 * time.Minute),
			"events": m{logoutEvent: m{}},
		},
		func(v *jwt.Verifier, raw string, _ jwt.Expect, _ string) (bool, error) {
			got, err := v.LogoutToken(context.Background(), raw)
			return got != nil, err
		},
	}
	accessToken = kind{
		"access token", "at+jwt", m{
			"iss": issuer, "aud": api, "sub": "alice", "sid": "s1", "client_id": "spa", "jti": "j1", "scope": "read write",
			"iat": at(0), "exp": at(time.Hour),
		},
		func(v *jwt.Verifier, raw string, _ jwt.Expect, audience string) (bool, error) {
			got, err := v.AccessToken(context.Background(), raw, audience)
			return got != nil, err
		},
	}
	kinds = []kind{idToken, logoutToken, accessToken}
)

// payload is the claims of a good token after changes; nil removes one.
func (k kind) payload(changes m) string {
	claims := maps.Clone(k.claims)
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return string(must(json.Marshal(claims)))
}

// header returns the header of a token by the key "ed", with more members.
func (k kind) header(members string) string {
	return fmt.Sprintf(`{"alg":"EdDSA","kid":"ed","typ":%q%s}`, k.typ, members)
}

// token is signed with the key "ed".
func (k kind) token(changes m) string { return signEd(k.header(""), k.payload(changes)) }

// signedBy is a token by another key.
func (k kind) signedBy(alg string, key any, id string, members m) string {
	header := m{"typ": k.typ}
	maps.Copy(header, members)
	return sign(alg, key, id, k.payload(nil), header)
}

// public returns a published key.
func public(key crypto.PublicKey, id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id}
}

// published is a public key with further members.
func published(key any, id string, members m) m {
	out := m{}
	must(0, json.Unmarshal(must(json.Marshal(public(key, id))), &out))
	maps.Copy(out, members)
	return out
}

// sign has go-jose sign a payload. Without id the header has no kid.
func sign(alg string, key any, id, payload string, header m) string {
	opts := &jose.SignerOptions{}
	if id != "" {
		opts.WithHeader("kid", id)
	}
	for name, value := range header {
		opts.WithHeader(jose.HeaderKey(name), value)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, opts))
	return must(must(signer.Sign([]byte(payload))).CompactSerialize())
}

// signEd signs any header and payload with the key "ed".
func signEd(header, payload string) string {
	input := b64(header) + "." + b64(payload)
	return input + "." + b64(string(ed25519.Sign(edKey(), []byte(input))))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// outcome is what the error of a verification means.
type outcome string

const (
	good        outcome = "good"
	rejected    outcome = "rejected"
	unavailable outcome = "not known, since keys are missing"
	noAPI       outcome = "not asked about for an API"
)

// outcomeOf returns the outcome, and how long to wait where keys are missing.
func outcomeOf(err error) (outcome, time.Duration) {
	missing, isMissing := errors.AsType[*document.Error](err)
	switch {
	case err == nil:
		return good, 0
	case isMissing:
		return unavailable, missing.RetryAfter
	case err == jwt.ErrNoAPI:
		return noAPI, 0
	}
	return rejected, 0
}

// want verifies a token, and fails if it has another outcome.
func (k kind) want(t *testing.T, v *jwt.Verifier, raw string, want outcome) (wait time.Duration) {
	t.Helper()
	verified, err := k.verify(v, raw, signedIn, api)
	got, wait := outcomeOf(err)
	if got != want || verified != (want == good) {
		t.Fatalf("got %s that is %s (%v), and a token: %t; want %s", k.name, got, err, verified, want)
	}
	if err != nil {
		wantShortText(t, err)
	}
	return wait
}

// wantShortText fails if an error quotes more of a token than it may, or what would
// harm a log.
func wantShortText(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); len(text) > 300 || !document.Printable(text) {
		t.Errorf("got error %q; want a short text in ASCII", text)
	}
}
