package acceptance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/signintest"
)

// world is an application in a few replicas, its provider and some people's
// browsers, with nothing between them but function calls.
type world struct {
	*schedule
	*truth
	t        *testing.T
	provider *signintest.Provider
	oidc     http.Handler
	replicas []http.Handler

	people struct {
		sync.Mutex
		at map[string]string // by the cookie of a session at the provider
	}
}

const (
	appHost = "app.localhost"
	appURL  = "http://" + appHost
)

// newWorld is called within a bubble, with a provider that was made outside of it
// and has been closed: it answers without a socket all the same.
func newWorld(t *testing.T, kind worldKind, provider *signintest.Provider, random *rand.Rand, dir string) *world {
	w := &world{
		schedule: &schedule{rand: random, free: true, sticky: random.Float64()}, truth: newTruth(), t: t,
		provider: provider, oidc: provider.Handler(),
	}
	w.people.at = map[string]string{}
	w.rotating, w.faulty, w.store = kind.rotating, kind.faulty, kind.files
	if kind.faulty {
		w.faults = 0.02
	}
	// What the provider sends of its own accord: logout tokens.
	provider.NewClient().Transport.(*http.Transport).RegisterProtocol("http", w)
	provider.OnTokenRequest(func(form url.Values) {
		who := actor{name: fmt.Sprint("the provider for ", w.numberOf(form.Get("refresh_token")))}
		w.wait(context.WithValue(context.Background(), actorKey{}, who), "token")
	})
	shared := turns{w.schedule, sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1 << 16, Bytes: 1 << 26})}
	cfg := provider.Config(appURL)
	cfg.HTTPClient, cfg.Shared, cfg.Logger = &http.Client{Transport: w}, shared, quiet()
	cfg.OnEvent = func(_ context.Context, e signin.Event) {
		w.schedule.mu.Lock()
		defer w.schedule.mu.Unlock()
		w.took = append(w.took, fmt.Sprintf("%v %s %v", time.Now().Format("15:04:05.000"), e.Kind, e.Err))
	}
	cfg.Resources, cfg.Scopes = []string{apiA}, []string{orgScope}
	if kind.files {
		gorillaStores(dir)["FilesystemStore"](&cfg)
	}
	w.deploy(cfg, 1+random.IntN(4), random.IntN(3))
	return w
}

// deploy starts the replicas. While the keys are rotated there are two kinds of
// them: before and after the new key was added, or was moved to the front.
func (w *world) deploy(cfg signin.Config, n, rotation int) {
	w.t.Helper()
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	deployments := [][2][][]byte{{{one}, {one}}, {{one}, {one, two}}, {{one, two}, {two, one}}}[rotation]
	for i := range n {
		cfg := cfg
		cfg.Keys = deployments[i%2]
		auth, err := signin.New(cfg)
		if err != nil {
			w.t.Fatalf("New: got error %v; want none", err)
		}
		mux := http.NewServeMux()
		mux.Handle("/account", auth.RequireAuth(http.HandlerFunc(introduce)))
		mux.Handle("/tokens", auth.RequireAuth(http.HandlerFunc(showToken)))
		mux.Handle("/", auth.WithRoutes(http.HandlerFunc(introduce)))
		w.replicas = append(w.replicas, mux)
	}
}

// shown is what the application's pages say.
type shown struct {
	said
	Page  string // whom UserFrom says this is
	Token string // an access token
	Error string // why there is none
}

// introduce says whose session this is.
func introduce(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(describe(r)) }

func describe(r *http.Request) (page shown) {
	if u, ok := signin.UserFrom(r.Context()); ok {
		page.Page = u.Subject
		page.said, _ = signin.ClaimsAs[said](r.Context())
	}
	return page
}

// showToken shows an access token for what the query asks for, and whose session
// it is.
func showToken(w http.ResponseWriter, r *http.Request) {
	var opts []signin.TokenOption
	if api := r.FormValue("api"); api != "" {
		opts = append(opts, signin.ForResource(api))
	}
	if org := r.FormValue("org"); org != "" {
		opts = append(opts, signin.ForOrganization(org))
	}
	page := describe(r)
	token, err := signin.AccessToken(r.Context(), opts...)
	var e *signin.Error
	switch {
	case errors.As(err, &e):
		page.Error = string(e.Code)
	case err == nil:
		page.Token = token.AccessToken
	}
	_ = json.NewEncoder(w).Encode(page)
}

// RoundTrip carries what the application asks of the provider, and the logout
// tokens that the provider sends to the application.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(orEmpty(r.Body))
	if err != nil {
		return nil, err
	}
	form, _ := url.ParseQuery(string(body))
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	in.Header = r.Header.Clone()
	if r.URL.Host == appHost {
		answered := w.notified(form.Get("logout_token"))
		resp, err := w.toApp(in)
		if err != nil {
			answered(0)
			return nil, err
		}
		answered(resp.StatusCode)
		if resp.StatusCode != http.StatusOK {
			w.odd("a logout token was answered %d", resp.StatusCode)
		}
		return resp, nil
	}
	return w.toProvider(in, form)
}

func orEmpty(body io.Reader) io.Reader {
	if body == nil {
		return strings.NewReader("")
	}
	return body
}

// What goes wrong between the application and its provider.
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
		w.notRevoked(what, form.Get("token"))
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
	resp, err := answerOf(w.oidc, r)
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

// toApp lets a replica answer.
func (w *world) toApp(r *http.Request) (*http.Response, error) {
	t := w.wait(r.Context(), "to the application's "+r.URL.Path)
	resp, err := answerOf(w.replicas[t.pick%len(w.replicas)], r)
	if err != nil {
		w.wronged("%v", err)
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

// odd is an answer that only a fault explains, or a key that is quite new.
func (w *world) odd(format string, args ...any) {
	w.truth.mu.Lock()
	explained := w.faulty || w.moved
	w.truth.mu.Unlock()
	if !explained {
		w.wronged(format, args...)
	}
}

func (w *world) wronged(format string, args ...any) {
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	w.lie(format, args...)
}

// members are people who may have every token.
func members() []signintest.User {
	alice, bob := signintest.Alice(), signintest.Bob()
	bob.Organizations = alice.Organizations
	return []signintest.User{alice, bob}
}

// alive reports whether the provider would still answer to a refresh token.
func (w *world) alive(token string) bool {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	cfg := w.provider.Config(appURL)
	r := httptest.NewRequest(http.MethodPost, w.provider.Issuer+"/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(cfg.ClientID, cfg.ClientSecret)
	resp, err := answerOf(w.oidc, r)
	return err == nil && resp.StatusCode == http.StatusOK
}

func (w *world) String() string {
	return fmt.Sprintf("%d replicas, %d sign-ins", len(w.replicas), len(w.sittings))
}
