package tokens_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
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

// now is when all tests happen, and issued when the provider issues ID tokens.
var now, issued = time.Unix(1_800_000_000, 0), time.Unix(1_799_999_997, 0)

var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// fake is a provider whose answers a test writes, and the log of its client.
type fake struct {
	*httptest.Server
	t *testing.T

	// Its answers: a status of the keys and of a revocation, and documents.
	keys, revoke int
	tokens, info reply
	perAudience  *reply // to a token request that names an audience; nil for the same

	// What it was asked. The requests of a test come one after another.
	forms   []url.Values
	revoked []string
	bearers []string // the Authorization of userinfo requests
	said    strings.Builder
}

// reply is an answer in JSON.
type reply struct {
	status int
	body   any
}

// newFake starts a provider, and returns it with a Source that asks it.
func newFake(t *testing.T, change ...func(*tokens.Source)) (*fake, *tokens.Source) {
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
		_ = r.ParseForm()
		f.forms = append(f.forms, r.PostForm)
		if f.perAudience != nil && r.PostForm.Has("resource") {
			f.perAudience.write(w)
			return
		}
		f.tokens.write(w)
	})
	mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) {
		f.bearers = append(f.bearers, r.Header.Get("Authorization"))
		f.info.write(w)
	})
	mux.HandleFunc("/revoke", func(w http.ResponseWriter, r *http.Request) {
		f.revoked = append(f.revoked, r.PostFormValue("token"))
		w.WriteHeader(f.revoke)
	})
	s := &tokens.Source{
		Provider: provider.New(provider.Config{
			Issuer: f.URL, ClientID: "app", ClientSecret: "the-secret", RedirectURL: "https://app.test/callback",
			Now: func() time.Time { return now },
		}),
		Scopes: []string{"openid", "profile", "offline_access"}, Ahead: time.Minute,
		Log: slog.New(slog.NewTextHandler(&f.said, nil)), Now: func() time.Time { return now },
	}
	for _, c := range change {
		c(s)
	}
	return f, s
}

func (r reply) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(max(r.status, http.StatusOK))
	_ = json.NewEncoder(w).Encode(r.body)
}

// object is JSON.
type object = map[string]any

// idToken signs the claims of a good ID token, with changes; nil removes one.
func (f *fake) idToken(changes object) string {
	f.t.Helper()
	claims := object{
		"iss": f.URL, "aud": "app", "sub": "alice", "sid": "s1", "nonce": nonce, "iat": issued.Unix(), "exp": now.Unix() + 3600,
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

// answers makes the token endpoint give new tokens, with changes; nil removes a
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

// answersID makes the token endpoint give new tokens, with changes to the ID token.
func (f *fake) answersID(changes object) { f.answers(object{"id_token": f.idToken(changes)}) }

// refuses makes the token endpoint refuse.
func (f *fake) refuses(status int, code, description string) {
	f.tokens = reply{status, object{"error": code, "error_description": description}}
	if code == "" {
		f.tokens.body = object{}
	}
}

// form returns the token request, of which there must be one.
func (f *fake) form() url.Values {
	f.t.Helper()
	if len(f.forms) != 1 {
		f.t.Fatalf("token requests: got %d; want 1", len(f.forms))
	}
	return f.forms[0]
}

func (f *fake) wantRevoked(tokens ...string) {
	f.t.Helper()
	if !slices.Equal(f.revoked, tokens) {
		f.t.Errorf("revoked: got %q; want %q", f.revoked, tokens)
	}
}

// session returns a session whose ID token has sub and these claims, and whose
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
		ID: session.ID{7}, Number: session.Number{5}, IssuedAt: now.Add(-2 * time.Hour).Unix(), Created: now.Add(-2 * time.Hour), LastSeen: now.Add(-time.Hour), Generation: 4,
		Claims: parsed, IDHeader: jwt.Header, IDSignature: jwt.Signature, RefreshToken: "old-refresh", AccessToken: session.Pack("old-access"),
		AccessExpiry: now, AccessLife: time.Hour, Scope: "openid profile",
	}
}

// quiet checks that no secret was logged or is in an error.
func (f *fake) quiet(err error) {
	f.t.Helper()
	text := fmt.Sprint(f.said.String(), err)
	for _, secret := range []string{
		"old-refresh", "new-refresh", "old-access", "new-access", "the-secret", "the-code", "the-verifier", "confidential",
	} {
		if strings.Contains(text, secret) {
			f.t.Errorf("got %q logged or returned; want no %q in it", text, secret)
		}
	}
}

// wantKind checks the kind of an error of package provider.
func wantKind(t *testing.T, what string, err error, kind provider.Kind) {
	t.Helper()
	var pe *provider.Error
	if !errors.As(err, &pe) || pe.Kind != kind {
		t.Errorf("%s: got error %v; want one that is %v", what, err, kind)
	}
}

func withUserInfo(s *tokens.Source) { s.UserInfo = true }

// atHash is https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken
func atHash(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
