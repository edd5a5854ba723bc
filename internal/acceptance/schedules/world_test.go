package schedules_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/signintest"
)

const (
	appHost      = "app.localhost"
	appURL       = "http://" + appHost
	cookieName   = "signin"
	resource     = "https://api.example.test"
	organization = "org_one"
)

// people returns users who may have every access token.
func people() []signintest.User {
	alice, bob := signintest.Alice(), signintest.Bob()
	bob.Organizations = alice.Organizations
	return []signintest.User{alice, bob}
}

// world is an application in several replicas, its provider and some browsers. They
// reach each other by function calls in place of a network.
type world struct {
	*scheduler
	*ledger
	provider *signintest.Provider
	oidc     http.Handler // the provider's
	replicas []http.Handler
	auths    []*signin.Auth // of the replicas
}

// newWorld must be called within a bubble, with a provider that was made outside.
func newWorld(t *testing.T, k kind, provider *signintest.Provider, random *rand.Rand, dir string) *world {
	w := &world{
		scheduler: &scheduler{rand: random, free: true, sticky: random.Float64()}, ledger: newLedger(k),
		provider: provider, oidc: provider.Handler(),
	}
	if k.faulty {
		w.faults = 0.02
	}
	// This is how the provider sends logout tokens.
	provider.NewClient().Transport.(*http.Transport).RegisterProtocol("http", w)
	provider.OnTokenRequest(func(form url.Values) {
		by := actor{name: fmt.Sprint("the provider for ", w.numberOf(form.Get("refresh_token")))}
		w.wait(context.WithValue(context.Background(), actorKey{}, by), "token")
	})
	cfg := provider.Config(appURL)
	cfg.HTTPClient, cfg.Logger = &http.Client{Transport: w}, slog.New(slog.DiscardHandler)
	cfg.Shared = sharedState{w.scheduler, sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1 << 16, Bytes: 1 << 26})}
	cfg.OnEvent = func(_ context.Context, e signin.Event) {
		w.turn.Lock()
		defer w.turn.Unlock()
		w.turns = append(w.turns, fmt.Sprintf("%v %s %v", time.Now().Format("15:04:05.000"), e.Kind, e.Err))
	}
	cfg.Resources, cfg.Scopes = []string{resource}, []string{"urn:logto:scope:organizations"}
	if k.files {
		store := sessions.NewFilesystemStore(dir, bytes.Repeat([]byte{'h'}, 32))
		store.MaxLength(64 << 10)
		cfg.Store = store
	}
	w.deploy(t, cfg, 1+random.IntN(4), random.IntN(3))
	return w
}

// deploy starts the replicas. During a key rotation, every second replica is of another
// deployment: before and after the new key was added, or was moved to the front.
func (w *world) deploy(t *testing.T, cfg signin.Config, n, rotation int) {
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	deployments := [][2][][]byte{{{one}, {one}}, {{one}, {one, two}}, {{one, two}, {two, one}}}[rotation]
	for i := range n {
		cfg := cfg
		cfg.Keys = deployments[i%2]
		auth, err := signin.New(cfg)
		if err != nil {
			t.Fatalf("New: got error %v; want none", err)
		}
		mux := http.NewServeMux()
		mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(show)))
		mux.Handle("/tokens", auth.RequireAuth(http.HandlerFunc(show)))
		mux.Handle("/", auth.WithRoutes(http.HandlerFunc(show)))
		w.replicas, w.auths = append(w.replicas, mux), append(w.auths, auth)
	}
}

// page is what a page of the application says.
type page struct {
	claims
	User  string // the subject that UserFrom returns
	Token string // the access token at /tokens
	Error string // why there is no access token
}

// show shows the user of a request and, at /tokens, an access token for what the
// query names.
func show(w http.ResponseWriter, r *http.Request) {
	var p page
	if u, ok := signin.UserFrom(r.Context()); ok {
		p.User = u.Subject
		p.claims, _ = signin.ClaimsAs[claims](r.Context())
	}
	if r.URL.Path == "/tokens" {
		var opts []signin.TokenOption
		if r.FormValue("resource") != "" {
			opts = append(opts, signin.ForResource(resource))
		}
		if r.FormValue("organization") != "" {
			opts = append(opts, signin.ForOrganization(organization))
		}
		token, err := signin.AccessToken(r.Context(), opts...)
		if e, ok := errors.AsType[*signin.Error](err); ok {
			p.Error = string(e.Code)
		} else if err == nil {
			p.Token = token.AccessToken
		}
	}
	_ = json.NewEncoder(w).Encode(p)
}

// RoundTrip carries the application's requests to the provider, and the provider's
// logout tokens to the application.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	form, _ := url.ParseQuery(string(body))
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	in.Header = r.Header.Clone()
	if r.URL.Host != appHost {
		return w.toProvider(in, form)
	}
	answered := w.logoutToken(form.Get("logout_token"))
	resp, err := w.toApp(in)
	if err != nil {
		answered(0)
		return nil, err
	}
	answered(resp.StatusCode)
	if resp.StatusCode != http.StatusOK {
		w.unlessExplained("4: a logout token was answered %d", resp.StatusCode)
	}
	return resp, nil
}

// What can go wrong on the way to the provider.
const (
	refused = iota
	hangs
	answerLost
	kindsOfTrouble
)

func (w *world) toProvider(r *http.Request, form url.Values) (*http.Response, error) {
	what := r.URL.Path
	t := w.wait(r.Context(), "to "+what)
	trouble := -1
	if t.fault {
		trouble = t.pick % kindsOfTrouble
		w.faultAt(what, form.Get("token"))
	}
	switch trouble {
	case refused:
		return &http.Response{StatusCode: http.StatusBadGateway, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	case hangs:
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	answered := func(int, []byte, bool) {}
	switch {
	case form.Has("grant_type"):
		answered = w.tokenRequest(form)
	case form.Has("token"):
		w.revocation(form.Get("token"))
	}
	resp, err := serve(w.oidc, r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	w.wait(r.Context(), "from "+what)
	lost := trouble == answerLost || r.Context().Err() != nil
	answered(resp.StatusCode, body, lost)
	if lost {
		return nil, errors.New("the answer was lost")
	}
	return resp, nil
}

// toApp lets one of the replicas answer.
func (w *world) toApp(r *http.Request) (*http.Response, error) {
	t := w.wait(r.Context(), "to the application's "+r.URL.Path)
	resp, err := serve(w.replicas[t.pick%len(w.replicas)], r)
	if err != nil {
		w.violated("4: %v", err)
		return nil, err
	}
	if t := w.wait(r.Context(), "from the application's "+r.URL.Path); t.fault {
		return nil, errors.New("the answer was lost")
	}
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return resp, nil
}

// serve lets a handler answer, and turns a panic into an error.
func serve(h http.Handler, r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic at %s: %v", r.URL.Path, p)
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp = w.Result()
	resp.Request = r
	return resp, nil
}

// alive reports whether the provider accepts a refresh token.
func (w *world) alive(token string) bool {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	cfg := w.provider.Config(appURL)
	r := httptest.NewRequest(http.MethodPost, w.provider.Issuer+"/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(cfg.ClientID, cfg.ClientSecret)
	resp, err := serve(w.oidc, r)
	return err == nil && resp.StatusCode == http.StatusOK
}
