package provider_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
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
	issuer       = "https://id.example.com"
	clientID     = "app"
	clientSecret = "s3cret+/%:&="
	redirectURL  = "https://app.example.com/callback"
	nonce        = "the-nonce"
	accessToken  = "the-access-token"
	api          = "https://api.example.com"
	logoutEvent  = "http://schemas.openid.net/event/backchannel-logout"

	wellKnown      = "/.well-known/openid-configuration"
	tokenPath      = "/x7/token"
	keysPath       = "/x7/keys"
	userInfoPath   = "/x7/me"
	revocationPath = "/x7/revoke"
)

var (
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// signedIn is what most tests expect of an ID token.
	signedIn = jwt.Expect{Nonce: nonce, AccessToken: accessToken}
)

type m = map[string]any

type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// changed returns a copy of members with changes; nil removes one.
func changed(members, changes m) m {
	out := maps.Clone(members)
	maps.Copy(out, changes)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

// The keys that all tests share: making RSA keys is slow.
var (
	rsaKey      = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// usualMeta is the metadata of a provider without changes.
func usualMeta(issuer string) m {
	return m{
		"issuer": issuer, "authorization_endpoint": issuer + "/x7/authorize", "token_endpoint": issuer + tokenPath,
		"jwks_uri": issuer + keysPath, "userinfo_endpoint": issuer + userInfoPath, "revocation_endpoint": issuer + revocationPath,
		"end_session_endpoint": issuer + "/x7/end", "scopes_supported": []string{"openid", "offline_access"},
		"id_token_signing_alg_values_supported":          []string{"RS256", "PS384", "HS256", "none"},
		"authorization_response_iss_parameter_supported": true,
	}
}

// fake is a provider in memory, which publishes one RSA key named "rsa". A test
// can replace every answer. Its clock is that of its clients.
type fake struct {
	issuer    string
	transport http.RoundTripper // for clients; the fake itself unless replaced

	mu      sync.Mutex
	time    time.Time
	meta    m
	keys    []any
	answers map[string]http.HandlerFunc
	hits    map[string]int
	form    *http.Request // the last one posted, parsed
}

func newFake() *fake {
	f := &fake{
		issuer: issuer, time: now, meta: usualMeta(issuer), keys: []any{public(rsaKey().Public(), "rsa")},
		answers: make(map[string]http.HandlerFunc), hits: make(map[string]int),
	}
	f.transport = f
	return f
}

// listen serves f on the network.
func (f *fake) listen(t *testing.T) {
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.issuer, f.meta, f.transport = srv.URL, usualMeta(srv.URL), nil
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		r.ParseForm()
	}
	f.mu.Lock()
	f.hits[r.URL.Path]++
	if r.Method == http.MethodPost {
		f.form = r
	}
	answer, meta, keys := f.answers[r.URL.Path], f.meta, m{"keys": f.keys}
	f.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case r.URL.Path == wellKnown:
		json.NewEncoder(w).Encode(meta)
	case r.URL.Path == keysPath:
		json.NewEncoder(w).Encode(keys)
	default:
		http.NotFound(w, r)
	}
}

// RoundTrip answers without a network.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, r.Context().Err()
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

// Answer sets what a path answers; nil is the usual answer.
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
		io.WriteString(w, body)
	})
}

// Meta changes the metadata; nil removes a member.
func (f *fake) Meta(changes m) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.meta = changed(f.meta, changes)
}

// Keys replaces the published keys.
func (f *fake) Keys(keys ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = keys
}

// wantHits fails unless a path was requested that often.
func (f *fake) wantHits(t *testing.T, path string, want int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.hits[path]; got != want {
		t.Errorf("got %d requests for %s; want %d", got, path, want)
	}
}

// Client returns a client of f, after changes.
func (f *fake) Client(changes ...func(*provider.Config)) *provider.Client {
	cfg := provider.Config{
		Issuer: f.issuer, ClientID: clientID, ClientSecret: clientSecret, RedirectURL: redirectURL,
		HTTPClient: &http.Client{Transport: f.transport}, Now: f.Now,
	}
	for _, change := range changes {
		change(&cfg)
	}
	return provider.New(cfg)
}

// Claims returns those of a good ID token, after changes.
func (f *fake) Claims(changes m) m {
	now := f.Now().Unix()
	return changed(m{
		"iss": f.issuer, "aud": clientID, "sub": "alice", "sid": "s1", "nonce": nonce, "iat": now, "exp": now + 3600,
	}, changes)
}

func (f *fake) idToken() string { return sign("RS256", rsaKey(), "rsa", f.Claims(nil), nil) }

// says returns a client of a provider with good metadata and one other answer.
func says(status int, mediaType, body string) *provider.Client {
	f := newFake()
	for _, path := range []string{tokenPath, keysPath, userInfoPath, revocationPath} {
		f.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			w.WriteHeader(status)
			io.WriteString(w, body)
		})
	}
	return f.Client()
}

// public returns a published key.
func public(key crypto.PublicKey, id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id}
}

// sign signs claims. header adds to the header.
func sign(alg string, key any, id string, claims, header m) string {
	opts := &jose.SignerOptions{}
	if id != "" {
		opts.WithHeader("kid", id)
	}
	for name, value := range header {
		opts.WithHeader(jose.HeaderKey(name), value)
	}
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, opts))
	return must(must(signer.Sign(must(json.Marshal(claims)))).CompactSerialize())
}

// verify verifies an ID token as at a sign-in.
func verify(c *provider.Client, raw string) error {
	_, err := c.VerifyIDToken(context.Background(), raw, signedIn)
	return err
}

func exchange(c *provider.Client) (*provider.Tokens, error) {
	return c.Exchange(context.Background(), "the-code", "the-verifier")
}

// calls are the requests of a client, by the path of the answer.
var calls = []struct {
	path string
	call func(*fake, *provider.Client) error
}{
	{wellKnown, func(_ *fake, c *provider.Client) error { _, err := c.Metadata(context.Background()); return err }},
	{keysPath, func(f *fake, c *provider.Client) error { return verify(c, f.idToken()) }},
	{tokenPath, func(_ *fake, c *provider.Client) error { _, err := exchange(c); return err }},
	{tokenPath, func(_ *fake, c *provider.Client) error {
		_, err := c.Refresh(context.Background(), "r1", nil)
		return err
	}},
	{userInfoPath, func(_ *fake, c *provider.Client) error {
		_, err := c.UserInfo(context.Background(), accessToken, "alice")
		return err
	}},
	{revocationPath, func(_ *fake, c *provider.Client) error { return c.Revoke(context.Background(), "r1") }},
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
	if !errors.As(err, &e) || e.Kind != want {
		t.Fatalf("got error %v; want a *provider.Error of kind %v", err, want)
	}
	return e
}
