package provider_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/provider"
)

const (
	clientID     = "app"
	clientSecret = "s3cret+/%:&="
	redirectURL  = "https://app.example.com/callback"
	nonce        = "the-nonce"
	accessToken  = "the-access-token"
)

const (
	issuer      = "https://id.example.com/oidc"
	api         = "https://api.example.com"
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

type m = map[string]any

type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

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

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

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

// fake is a provider whose every answer a test can replace.
type fake struct {
	*httptest.Server
	clock *clock

	mu      sync.Mutex
	meta    map[string]any
	keys    []any
	answers map[string]http.HandlerFunc
	hits    map[string]int
	forms   []*http.Request // of the token and revocation endpoints, parsed
}

// newFake starts a provider with one RSA key, named "rsa".
func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{clock: newClock(), answers: make(map[string]http.HandlerFunc), hits: make(map[string]int)}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	f.meta = map[string]any{
		"issuer":                                f.URL,
		"authorization_endpoint":                f.URL + "/x7/authorize",
		"token_endpoint":                        f.URL + "/x7/token",
		"jwks_uri":                              f.URL + "/x7/keys",
		"userinfo_endpoint":                     f.URL + "/x7/me",
		"revocation_endpoint":                   f.URL + "/x7/revoke",
		"end_session_endpoint":                  f.URL + "/x7/end",
		"scopes_supported":                      []string{"openid", "offline_access"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "ES384", "ES512", "PS384", "EdDSA", "Ed25519", "HS256", "none"},
		"authorization_response_iss_parameter_supported": true,
	}
	f.Keys(public(&rsaKey().PublicKey, "rsa"))
	f.Answer("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		json.NewEncoder(w).Encode(f.meta)
	})
	f.Answer("/x7/keys", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		json.NewEncoder(w).Encode(map[string]any{"keys": f.keys})
	})
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	f.mu.Lock()
	f.hits[r.URL.Path]++
	if r.Method == http.MethodPost {
		f.forms = append(f.forms, r)
	}
	answer := f.answers[r.URL.Path]
	f.mu.Unlock()
	if answer == nil {
		http.NotFound(w, r)
		return
	}
	answer(w, r)
}

// Answer sets what a path answers.
func (f *fake) Answer(path string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[path] = h
}

// Says makes a path answer with a status and JSON.
func (f *fake) Says(path string, status int, body string) {
	f.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(body))
	})
}

// Meta changes the metadata; nil removes a member.
func (f *fake) Meta(changes map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.Copy(f.meta, changes)
	maps.DeleteFunc(f.meta, func(_ string, v any) bool { return v == nil })
}

// Keys replaces the published keys.
func (f *fake) Keys(keys ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = keys
}

// Hits counts the requests for a path so far.
func (f *fake) Hits(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits[path]
}

// Form returns the last form posted, with its credentials.
func (f *fake) Form(t *testing.T) *http.Request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.forms) == 0 {
		t.Fatal("no form was posted")
	}
	return f.forms[len(f.forms)-1]
}

// Client returns a client of f, after changes.
func (f *fake) Client(changes ...func(*provider.Config)) *provider.Client {
	cfg := provider.Config{
		Issuer: f.URL, ClientID: clientID, ClientSecret: clientSecret, RedirectURL: redirectURL,
		Now: f.clock.Now,
	}
	for _, change := range changes {
		change(&cfg)
	}
	return provider.New(cfg)
}

func pin(algs ...string) func(*provider.Config) {
	return func(c *provider.Config) { c.SigningAlgs = algs }
}

// Claims returns those of a good ID token, after changes; nil removes one.
func (f *fake) Claims(changes map[string]any) map[string]any {
	now := f.clock.Now().Unix()
	claims := map[string]any{
		"iss": f.URL, "aud": clientID, "sub": "alice", "sid": "s1", "nonce": nonce, "iat": now, "exp": now + 3600,
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// LogoutClaims returns those of a good logout token, after changes.
func (f *fake) LogoutClaims(changes m) m {
	claims := f.Claims(m{"nonce": nil, "jti": "j1", "exp": f.clock.Now().Unix() + 120, "events": m{logoutEvent: m{}}})
	maps.Copy(claims, changes)
	return claims
}

// goodToken is an ID token that is signed with the published key.
func (f *fake) goodToken(t *testing.T) string {
	t.Helper()
	return sign(t, "RS256", rsaKey(), "rsa", f.Claims(nil), nil)
}

// accessToken is one for the API, signed with the published key.
func (f *fake) accessToken(t *testing.T) string {
	t.Helper()
	claims := f.Claims(m{"aud": api, "client_id": "spa", "nonce": nil, "scope": "read"})
	return sign(t, "RS256", rsaKey(), "rsa", claims, m{"typ": "at+jwt"})
}

// public returns a published key.
func public(key crypto.PublicKey, id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id}
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

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// signedIn is what most tests expect of a token.
var signedIn = jwt.Expect{Nonce: nonce, AccessToken: accessToken}

// verify verifies a token as at a sign-in.
func verify(c *provider.Client, raw string) (*jwt.IDToken, error) {
	return c.VerifyIDToken(context.Background(), raw, signedIn)
}

// wantKind fails unless err is a *provider.Error of a kind; 0 means no error.
func wantKind(t *testing.T, err error, want provider.Kind) *provider.Error {
	t.Helper()
	if want == 0 {
		if err != nil {
			t.Fatalf("got error %v; want none", err)
		}
		return nil
	}
	var e *provider.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v; want a *provider.Error that is %v", err, want)
	}
	if e.Kind != want {
		t.Fatalf("got %v error (%v); want %v", e.Kind, e, want)
	}
	return e
}
