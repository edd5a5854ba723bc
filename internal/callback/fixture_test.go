package callback_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/gorilla/sessions"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/callback"
	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/internal/tokens"
)

const (
	issuer = "https://op.test"
	state  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	nonce  = "the-nonce"
)

var errDown = errors.New("signin: it is down")

var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// object is JSON.
type object = map[string]any

// world is the callback of an application, with its provider, shared state and store.
// Tests run in bubbles, so its provider is asked without a network.
type world struct {
	*callback.Flow
	t      *testing.T
	config callback.Flow // what Flow was made of

	// The provider answers a token request with status and these members, and an ID
	// token with these claims. before is called before it answers.
	status    int
	members   object
	claims    object
	before    func()
	exchanges int
	revoked   string

	// fail returns the error of an operation of shared state ("get", "set u", "add c") or
	// the store ("read", "save").
	mu   sync.Mutex
	fail func(operation string) error
	hook int // how often the hook was called
	gets int // of shared state
	log  bytes.Buffer
}

// bubble runs a test of a world in a bubble of its own.
func bubble(t *testing.T, name string, test func(*testing.T, *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, newWorld(t)) }) })
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, status: http.StatusOK, before: func() {}, fail: func(string) error { return nil }}
	w.members = object{"access_token": "the-access", "refresh_token": "the-refresh", "token_type": "Bearer", "expires_in": 3600}
	w.claims = object{"iss": issuer, "aud": "app", "sub": "alice", "nonce": nonce, "iat": time.Now().Unix(), "exp": time.Now().Unix() + 3600}
	keys := [][]byte{bytes.Repeat([]byte{1}, 32)}
	shared, err := sharedstate.New(sharedstate.Config{
		Store: store{w, sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})}, Keys: keys,
		Issuer: issuer, Client: "app", TTL: 25 * time.Hour, PersonTTL: 15 * 24 * time.Hour, SinceTTL: 70 * time.Minute, Now: time.Now,
	})
	noError(t, err)
	ring, err := seal.NewRing(keys, "test", issuer, "app")
	noError(t, err)
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	source := &tokens.Source{
		Provider: provider.New(provider.Config{
			Issuer: issuer, ClientID: "app", ClientSecret: "the-secret", RedirectURL: "https://app.test/callback",
			HTTPClient: &http.Client{Transport: w}, Now: time.Now,
		}),
		Scopes: []string{"openid"}, Ahead: time.Minute, Log: log, Now: time.Now,
	}
	w.config = callback.Flow{
		Provider: source.Provider, Tokens: source, State: shared, Home: "/home", Log: log, Now: time.Now,
		Sessions: &lifecycle.Sessions{
			Store: sessionstore.New(nil, "signin", ring, true), State: shared,
			Refresh: refresh.New(refresh.Config{State: shared, Ahead: time.Minute, Keep: time.Minute, Now: time.Now}),
			Limits:  session.Limits{Idle: 24 * time.Hour, Max: 14 * 24 * time.Hour}, Log: log, Now: time.Now,
		},
		Transactions: authflow.NewTransactions(ring, cookie.Writer{Secure: true}, "signin", time.Now),
	}
	w.Flow = callback.New(w.config)
	return w
}

// keepOnServer keeps sessions in a store whose operations can fail.
func (w *world) keepOnServer() {
	ring, err := seal.NewRing([][]byte{bytes.Repeat([]byte{2}, 32)}, "test")
	noError(w.t, err)
	w.Sessions.Store = sessionstore.New(gorilla{w, new(sessionstore.Cookies)}, "signin", ring, true)
}

// withHook sets the application's hook.
func (w *world) withHook(hook func(*http.Request, *session.Session) error) {
	w.config.OnSignIn = func(r *http.Request, s *session.Session) error {
		w.mu.Lock()
		w.hook++
		w.mu.Unlock()
		return hook(r, s)
	}
	w.Flow = callback.New(w.config)
}

// RoundTrip is the provider.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	status, body := http.StatusOK, any(object{})
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		body = object{
			"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
			"jwks_uri": issuer + "/keys", "revocation_endpoint": issuer + "/revoke", "id_token_signing_alg_values_supported": []string{"ES256"},
		}
	case "/keys":
		body = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signingKey().Public(), KeyID: "k"}}}
	case "/token":
		w.mu.Lock()
		w.exchanges++
		w.mu.Unlock()
		w.before()
		status, body = w.status, w.answer()
	case "/revoke":
		_ = r.ParseForm()
		w.revoked += r.PostFormValue("token")
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
}

// answer returns the body of an answer to a token request.
func (w *world) answer() object {
	members := maps.Clone(w.members)
	if w.claims == nil {
		return members
	}
	payload, err := json.Marshal(w.claims)
	noError(w.t, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: signingKey()}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	noError(w.t, err)
	jws, err := signer.Sign(payload)
	noError(w.t, err)
	members["id_token"], err = jws.CompactSerialize()
	noError(w.t, err)
	return members
}

// do notes an operation, and returns the error that it is to fail with.
func (w *world) do(operation string) error {
	w.mu.Lock()
	fail := w.fail
	if operation == "get" {
		w.gets++
	}
	w.mu.Unlock()
	return fail(operation)
}

// countReads returns how often shared state was read.
func (w *world) countReads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gets
}

// failing makes the nth operation of a kind from now on fail, and no other.
func (w *world) failing(operation string, nth int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = func(o string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if o == operation {
			nth--
			if nth == 0 {
				return errDown
			}
		}
		return nil
	}
}

// store is shared state.
type store struct {
	w *world
	*sharedstate.Memory
}

func (s store) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	if err := s.w.do("get"); err != nil {
		return nil, err
	}
	return s.Memory.Get(ctx, keys...)
}

func (s store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.w.do("set " + key[:1]); err != nil {
		return err
	}
	return s.Memory.Set(ctx, key, value, ttl)
}

func (s store) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.w.do("add " + key[:1]); err != nil {
		return false, err
	}
	return s.Memory.Add(ctx, key, value, ttl)
}

// gorilla is a store of sessions.
type gorilla struct {
	w *world
	*sessionstore.Cookies
}

func (g gorilla) New(r *http.Request, name string) (*sessions.Session, error) {
	s, err := g.Cookies.New(r, name)
	return s, errors.Join(err, g.w.do("read"))
}

func (g gorilla) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	if err := g.w.do("save"); err != nil {
		return err
	}
	return g.Cookies.Save(r, w, s)
}

// browser is the Cookie header of a browser.
type browser string

// with returns a browser that has a session of a person.
func (w *world) with(subject string, changes ...func(*session.Session)) browser {
	w.t.Helper()
	claims, err := session.ParseClaims(`{"sub":"`+subject+`"}`, "")
	noError(w.t, err)
	s := &session.Session{ID: session.NewID(), Claims: claims, Created: time.Now(), LastSeen: time.Now(), AccessExpiry: time.Now().Add(time.Hour)}
	for _, change := range changes {
		change(s)
	}
	rec := httptest.NewRecorder()
	noError(w.t, w.Sessions.Store.Save(rec, browser("").request(), s, time.Hour, true))
	return browser("signin=" + rec.Result().Cookies()[0].Value)
}

func (b browser) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/callback", nil)
	if b != "" {
		r.Header.Set("Cookie", string(b))
	}
	return r
}

// transaction returns the transaction of the response that tests bring.
func transaction(changes ...func(*authflow.Transaction)) *authflow.Transaction {
	tx := &authflow.Transaction{State: state, Nonce: nonce, Verifier: "the-verifier", Began: time.Now(), ReturnTo: "/account"}
	for _, change := range changes {
		change(tx)
	}
	return tx
}

// bring brings the response of a transaction, and says where that leads and which
// cookies are set: "alice to /account: signin", or "panic" with its value.
func (w *world) bring(r *http.Request, tx *authflow.Transaction) (said string, err error) {
	w.t.Helper()
	rec := httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil {
			said = fmt.Sprintf("panic %v", v)
		}
		var set []string
		for _, c := range rec.Result().Cookies() {
			switch {
			case c.MaxAge < 0:
				set = append(set, "-"+strings.TrimSuffix(c.Name, "."+state))
			default:
				set = append(set, c.Name)
			}
		}
		said = strings.TrimSuffix(said+": "+strings.Join(set, " "), ": ")
	}()
	out, err := w.Conclude(rec, r, tx, &authflow.Response{State: state, Code: "the-code"})
	if out.Session != nil {
		if out.Session.ID == (session.ID{}) {
			w.t.Error("got a session without an ID; want one with a new ID")
		}
		said = out.Session.Claims.Text(session.Subject) + " "
	}
	if out.ReturnTo != "" {
		said += "to " + out.ReturnTo
	}
	if out.Unmet != nil {
		said += " unmet"
	}
	return said, err
}

// left says what a callback has left: how far it is marked, if its lease is kept, and
// which refresh token was revoked.
func (w *world) left() string {
	w.t.Helper()
	w.failing("", 0)
	standing, err := w.State.LookAtCallback(w.t.Context(), state)
	noError(w.t, err)
	said := map[sharedstate.Progress]string{sharedstate.Begun: "", sharedstate.Exchanged: "exchanged ", sharedstate.Finished: "finished "}[standing.Progress]
	if standing.Leased {
		said += "leased "
	}
	if w.revoked != "" {
		said += "revoked " + w.revoked
	}
	return strings.TrimSpace(said)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
}
