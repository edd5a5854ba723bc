package tokens_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/tokens"
)

const nonce = "the-nonce"

// now is when all tests happen.
var now = time.Unix(1_800_000_000, 0)

var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// fake is a provider whose answers a test writes.
type fake struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	keys     int // the status of the keys' document
	tokens   reply
	info     reply
	revoke   int // the status of a revocation
	forms    []url.Values
	revoked  []string
	asked    int // for userinfo
	lastSeen string
}

// reply is an answer in JSON.
type reply struct {
	status int
	body   any
}

// log is what a Source has said.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newFake starts a provider, and returns it with a Source that asks it.
func newFake(t *testing.T, change ...func(*tokens.Source)) (*fake, *tokens.Source, *log) {
	t.Helper()
	f := &fake{t: t, keys: http.StatusOK, revoke: http.StatusOK}
	mux := http.NewServeMux()
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": f.URL, "authorization_endpoint": f.URL + "/authorize", "token_endpoint": f.URL + "/token",
			"jwks_uri": f.URL + "/keys", "userinfo_endpoint": f.URL + "/me", "revocation_endpoint": f.URL + "/revoke",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(f.keys)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signingKey().Public(), KeyID: "k"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		f.note(func() { _ = r.ParseForm(); f.forms = append(f.forms, r.PostForm) })
		f.tokens.write(w)
	})
	mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) {
		f.note(func() { f.asked++; f.lastSeen = r.Header.Get("Authorization") })
		f.info.write(w)
	})
	mux.HandleFunc("/revoke", func(w http.ResponseWriter, r *http.Request) {
		f.note(func() { f.revoked = append(f.revoked, r.PostFormValue("token")) })
		w.WriteHeader(f.revoke)
	})
	said := new(log)
	s := &tokens.Source{
		Provider: provider.New(provider.Config{
			Issuer: f.URL, ClientID: "app", ClientSecret: "the-secret", RedirectURL: "https://app.test/callback",
			Now: func() time.Time { return now },
		}),
		Scopes: []string{"openid", "profile", "offline_access"}, Ahead: time.Minute,
		Log: slog.New(slog.NewTextHandler(said, nil)), Now: func() time.Time { return now },
	}
	for _, c := range change {
		c(s)
	}
	return f, s, said
}

func (f *fake) note(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
}

func (r reply) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(max(r.status, http.StatusOK))
	_ = json.NewEncoder(w).Encode(r.body)
}

// object is JSON.
type object = map[string]any

// idToken signs claims: those of a good ID token, after changes; nil removes one.
// oddToken is an ID token whose payload has bits at its end that say nothing, and
// that is signed so.
func (f *fake) oddToken() string {
	f.t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, name := range []string{"A", "Al", "Ali"} {
		input := []byte(f.idToken(object{"name": name}))
		input = input[:bytes.LastIndexByte(input, '.')]
		if (len(input)-1-bytes.IndexByte(input, '.'))%4 == 0 {
			continue // there are no such bits
		}
		end := len(input) - 1
		input[end] = alphabet[strings.IndexByte(alphabet, input[end])|1]
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, signingKey(), sum[:])
		if err != nil {
			f.t.Fatal(err)
		}
		both := make([]byte, 64)
		r.FillBytes(both[:32])
		s.FillBytes(both[32:])
		return string(input) + "." + base64.RawURLEncoding.EncodeToString(both)
	}
	panic("one of three lengths in a row has such bits")
}

func (f *fake) idToken(changes object) string {
	f.t.Helper()
	claims := object{
		"iss": f.URL, "aud": "app", "sub": "alice", "sid": "s1", "nonce": nonce, "iat": now.Unix(), "exp": now.Unix() + 3600,
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		f.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: signingKey()}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		f.t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		f.t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		f.t.Fatal(err)
	}
	return compact
}

// answers makes the token endpoint give new tokens, after changes; nil removes a
// member.
func (f *fake) answers(changes object) {
	body := object{
		"access_token": "new-access", "refresh_token": "new-refresh", "token_type": "Bearer", "expires_in": 600,
		"scope": "openid email", "id_token": f.idToken(nil),
	}
	maps.Copy(body, changes)
	maps.DeleteFunc(body, func(_ string, v any) bool { return v == nil })
	f.tokens = reply{body: body}
}

// refuses makes the token endpoint refuse.
func (f *fake) refuses(status int, code, description string) {
	f.tokens = reply{status, object{"error": code, "error_description": description}}
	if code == "" {
		f.tokens.body = object{}
	}
}

// form returns the only token request there was.
func (f *fake) form() url.Values {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.forms) != 1 {
		f.t.Fatalf("token requests: got %d; want 1", len(f.forms))
	}
	return f.forms[0]
}

func (f *fake) wantRevoked(tokens ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.revoked, tokens) {
		f.t.Errorf("revoked: got %q; want %q", f.revoked, tokens)
	}
}

// session is a record whose ID token has these claims beside sub, and whose
// tokens are "old-refresh" and "old-access".
func (f *fake) session(claims object, extra string) *session.Session {
	f.t.Helper()
	all := object{"sid": nil}
	maps.Copy(all, claims)
	jwt, ok := session.SplitJWT(f.idToken(all))
	if !ok {
		f.t.Fatal("got no JWT")
	}
	parsed, err := session.ParseClaims(jwt.Payload, extra)
	if err != nil {
		f.t.Fatalf("ParseClaims: got error %v; want none", err)
	}
	return &session.Session{
		ID: session.ID{7}, Began: now.Add(-2 * time.Hour), Created: now.Add(-2 * time.Hour), LastSeen: now.Add(-time.Hour), Generation: 4,
		Claims: parsed, IDHeader: jwt.Header, IDSignature: jwt.Signature, RefreshToken: "old-refresh", AccessToken: session.Pack("old-access"),
		AccessExpiry: now, AccessLife: time.Hour, Scope: "openid profile",
	}
}

// quiet checks that nothing secret was said.
func quiet(t *testing.T, f *fake, said *log, err error) {
	t.Helper()
	text := said.String()
	if err != nil {
		text += err.Error()
	}
	for _, secret := range []string{"old-refresh", "new-refresh", "old-access", "new-access", "the-secret", "the-code", "the-verifier", "confidential"} {
		if strings.Contains(text, secret) {
			t.Errorf("got %q said; want no %q in it", text, secret)
		}
	}
}
