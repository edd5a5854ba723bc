package acceptance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

const (
	apiA, apiB, apiC = "https://a.api.example.test", "https://b.api.example.test", "urn:api:c"
	orgScope         = "urn:logto:scope:organizations"
)

// granting is an application that may have tokens for three resources, and for
// the organizations of its users.
func granting(t *testing.T, config func(*signin.Config), opts ...signintest.Option) (*app, *stopped, *mapState) {
	t.Helper()
	return refreshing(t, func(c *signin.Config) {
		c.Resources, c.Scopes = []string{apiA, apiB, apiC}, []string{orgScope}
		if config != nil {
			config(c)
		}
	}, opts...)
}

// within runs f in a handler behind RequireAuth, for whom the cookies are.
func (a *app) within(t *testing.T, cookies string, f func(context.Context)) {
	t.Helper()
	called := false
	got := knock(a.auth.RequireAuth(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called = true
		f(r.Context())
	})), "/page", cookies)
	if !called {
		t.Fatalf("got status %d; want the handler called", got.StatusCode)
	}
}

// another is a replica: the same configuration, another process.
func (a *app) another(t *testing.T) *app {
	t.Helper()
	auth, err := signin.New(a.cfg)
	if err != nil {
		t.Fatalf("New: got error %v; want none", err)
	}
	return &app{t: t, provider: a.provider, server: a.server, auth: auth, cfg: a.cfg, log: a.log, clock: a.clock}
}

// audience are the claims of an access token that say what it is for.
type audience struct {
	Aud, Sub     string
	Organization string `json:"organization_id"`
}

// hasToken asks for a token and checks what it is for.
func hasToken(t *testing.T, ctx context.Context, want audience, opts ...signin.TokenOption) *oauth2.Token {
	t.Helper()
	token, err := signin.AccessToken(ctx, opts...)
	if err != nil {
		t.Fatalf("got error %v; want a token for %v", err, want)
	}
	got, err := signin.UnverifiedClaims[audience](token.AccessToken)
	if want.Sub = signintest.Alice().Subject; err != nil || got != want {
		t.Errorf("got a token for %+v, %v; want %+v", got, err, want)
	}
	if token.RefreshToken != "" || token.TokenType != "Bearer" {
		t.Errorf("got refresh token %q, type %q; want none, Bearer", token.RefreshToken, token.TokenType)
	}
	return token
}

// wantCode checks an error of AccessToken and its like.
func wantCode(t *testing.T, when string, token *oauth2.Token, err error, code signin.Code) {
	t.Helper()
	var e *signin.Error
	if token != nil || !errors.As(err, &e) || !errors.Is(err, code) || e.Code != code || e.Status == 0 || e.Message == "" {
		t.Errorf("%s: got %+v, %v; want no token and %s", when, token, err, code)
	}
}

func TestAccessTokenIsForWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	permits := signintest.Alice()
	permits.Permissions = map[string][]string{apiA: {"read", "delete", "write"}}
	a, clock, _ := granting(t, func(c *signin.Config) { c.Scopes = append(c.Scopes, "read", "write", "admin") })
	cookies := a.signedIn(permits).session()
	inOneHour := clock.now().Add(time.Hour)
	t.Run("nothing: the session's own, which is opaque", func(t *testing.T) {
		a.within(t, cookies, func(ctx context.Context) {
			for range 2 {
				token, err := signin.AccessToken(ctx, signin.TokenOption{})
				if err != nil {
					t.Fatalf("got error %v; want a token", err)
				}
				scope, _ := token.Extra("scope").(string)
				if !slices.Contains(a.provider.Secrets(), token.AccessToken) || token.RefreshToken != "" || token.TokenType != "Bearer" ||
					!token.Expiry.Equal(inOneHour) || !slices.Contains(strings.Fields(scope), "openid") || !slices.Contains(strings.Fields(scope), orgScope) {
					t.Errorf("got %+v with scope %q; want the provider's own token, for an hour, without a refresh token", token, scope)
				}
				if _, err := signin.UnverifiedClaims[audience](token.AccessToken); err == nil {
					t.Error("got a JWT; want an opaque token")
				}
			}
		})
		a.used(t, 0)
	})
	for i, row := range []struct {
		name  string
		opts  []signin.TokenOption
		want  audience
		scope string
	}{
		{"a resource", []signin.TokenOption{signin.ForResource(apiA)}, audience{Aud: apiA}, "read write"},
		{"another resource", []signin.TokenOption{signin.ForResource(apiC)}, audience{Aud: apiC}, ""},
		{"an organization", []signin.TokenOption{signin.ForOrganization("org_one")}, audience{Aud: "urn:logto:organization:org_one"}, ""},
		{"a resource within an organization", []signin.TokenOption{signin.ForOrganization("org_two"), {}, signin.ForResource(apiA)},
			audience{Aud: apiA, Organization: "org_two"}, "read write"},
		{"the last option of a kind", []signin.TokenOption{signin.ForResource(apiA), signin.ForResource(apiB)}, audience{Aud: apiB}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			for range 2 { // the second call, and the second request, ask nobody
				a.within(t, cookies, func(ctx context.Context) {
					first := hasToken(t, ctx, row.want, row.opts...)
					second := hasToken(t, ctx, row.want, row.opts...)
					if first.AccessToken != second.AccessToken || !first.Expiry.Equal(inOneHour) || first.Extra("scope") != row.scope {
						t.Errorf("got %+v with scope %q, then %+v; want it twice, for an hour, with scope %q", first, first.Extra("scope"), second, row.scope)
					}
				})
				a.used(t, i+1)
			}
		})
	}
}

func TestAccessTokenIsFetchedAgainAheadOfItsExpiry(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		life, ahead, after time.Duration
	}{
		"a minute ahead, if nothing else is said":    {time.Hour, 0, 59 * time.Minute},
		"Config.RefreshBefore ahead":                 {time.Hour, 10 * time.Minute, 50 * time.Minute},
		"not in the first half of the token's life":  {time.Minute, 0, 30 * time.Second},
		"nor if the configuration asks for it early": {time.Hour, 2 * time.Hour, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock, _ := granting(t, func(c *signin.Config) { c.RefreshBefore = row.ahead }, signintest.WithAccessTokenLifetime(row.life))
			a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
				own, err := signin.AccessToken(ctx)
				if err != nil {
					t.Fatalf("got error %v; want a token", err)
				}
				first := hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
				clock.add(row.after - 1)
				if again := hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)); again.AccessToken != first.AccessToken {
					t.Error("a moment before: got another token; want the first")
				}
				if again, err := signin.AccessToken(ctx); err != nil || again.AccessToken != own.AccessToken {
					t.Errorf("a moment before: got %v, %v; want the session's own", again, err)
				}
				a.used(t, 1)
				clock.add(1)
				if again := hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)); again.AccessToken == first.AccessToken || !again.Expiry.Equal(clock.now().Add(row.life)) {
					t.Errorf("then: got %v; want a new token", again.Expiry)
				}
				a.used(t, 2)
				// A handler may have run for long, and no guard has refreshed its session.
				if again, err := signin.AccessToken(ctx); err != nil || again.AccessToken == own.AccessToken {
					t.Errorf("then: got %v, %v; want the session refreshed", again, err)
				}
				a.used(t, 3)
				if got := a.kinds(); got[len(got)-1] != signin.EventRefreshed {
					t.Errorf("events: got %q; want refreshed last", got)
				}
			})
		})
	}
}

// tokenKeys returns the keys of the access tokens that are there, sorted.
func (m *mapState) tokenKeys() (keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.values {
		if key[0] == 't' {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestAccessTokensAreSharedAndSealed(t *testing.T) {
	t.Parallel()
	a, _, shared := granting(t, nil)
	cookies := a.signedIn(signintest.Alice()).session()
	tokens := map[string]string{}
	all := func(a *app) {
		t.Helper()
		a.within(t, cookies, func(ctx context.Context) {
			for _, api := range []string{apiA, apiB, apiC} {
				tokens[api] = hasToken(t, ctx, audience{Aud: api}, signin.ForResource(api)).AccessToken
			}
			tokens["org"] = hasToken(t, ctx, audience{Aud: "urn:logto:organization:org_one"}, signin.ForOrganization("org_one")).AccessToken
		})
	}
	all(a)
	first := fmt.Sprint(tokens)
	shared.asked()
	if all(a.another(t)); fmt.Sprint(tokens) != first {
		t.Error("another replica: got other tokens; want the same")
	}
	a.used(t, 4)
	if got := slices.Max(shared.asked()); got > 5 {
		t.Errorf("Get: got a call for %d keys; want 5 at the most", got)
	}
	var seen bytes.Buffer
	for key, value := range shared.ever() {
		fmt.Fprintf(&seen, "%s %s\n", key, value)
	}
	if holds(seen.Bytes(), tokenParts(a.provider.Secrets()), 6) {
		t.Error("got a token in shared state; want none")
	}

	keys := shared.tokenKeys()
	if len(keys) != 4 {
		t.Fatalf("tokens in shared state: got %q; want 4", keys)
	}
	values := shared.values
	for name, spoil := range map[string]func(){
		"copied to each other's keys": func() { // all of them
			values[keys[0]], values[keys[1]], values[keys[2]], values[keys[3]] = values[keys[1]], values[keys[2]], values[keys[3]], values[keys[0]]
		},
		"garbage": func() {
			for i, key := range keys {
				values[key] = bytes.Repeat([]byte{'x'}, 100*i)
			}
		},
		"another session's": func() {
			other := a.signedIn(signintest.Alice()).session()
			a.within(t, other, func(ctx context.Context) { hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)) })
			for _, key := range shared.tokenKeys() {
				if !slices.Contains(keys, key) {
					for _, own := range keys {
						values[own] = values[key]
					}
					delete(values, key)
				}
			}
		},
	} {
		spoil()
		requests := a.provider.Stats().Refreshes
		if all(a); fmt.Sprint(tokens) == first { // and checks what each is for
			t.Errorf("%s: got the first tokens; want others", name)
		}
		if got := a.provider.Stats().Refreshes - requests; got != 4 {
			t.Errorf("%s: got %d requests; want one for each", name, got)
		}
	}
}

// CASES 4.1.
func TestManyAskForAccessTokensAtOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		replicas int
		due      bool // the session's own token is to be refreshed as well
		rotates  bool
		want     int
	}{
		{"500 calls for three resources, three requests", 1, false, false, 3},
		{"over two replicas", 2, false, false, 3},
		{"while the session is due to be refreshed", 1, true, false, 4},
		{"all of it, where refresh tokens rotate", 2, true, true, 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var opts []signintest.Option
			if row.rotates {
				opts = append(opts, signintest.WithRefreshRotation())
			}
			a, clock, _ := granting(t, nil, opts...)
			cookies := a.signedIn(signintest.Alice()).session()
			replicas := []*app{a, a}
			if row.replicas > 1 {
				replicas[1] = a.another(t)
			}
			const n = 500
			var ready, done sync.WaitGroup
			ready.Add(n)
			begin := make(chan struct{})
			a.provider.OnTokenRequest(func(url.Values) { ready.Wait() })
			var tokens sync.Map
			for i := range n {
				done.Go(func() {
					replicas[i%2].within(t, cookies, func(ctx context.Context) {
						ready.Done()
						<-begin
						if row.due && i%5 == 0 {
							if _, err := signin.AccessToken(ctx); err != nil {
								t.Errorf("got error %v; want the session's own", err)
							}
							return
						}
						api := []string{apiA, apiB, apiC}[i/2%3]
						token, err := signin.AccessToken(ctx, signin.ForResource(api))
						if err != nil {
							t.Errorf("got error %v; want a token", err)
							return
						}
						tokens.Store(token.AccessToken, api)
					})
				})
			}
			ready.Wait() // all of them are past their guard
			if row.due {
				clock.add(time.Hour)
			}
			close(begin)
			done.Wait()
			for token, api := range tokens.Range {
				if got, err := signin.UnverifiedClaims[audience](token.(string)); err != nil || got.Aud != api {
					t.Errorf("got a token for %q, %v; want %q", got.Aud, err, api)
				}
			}
			if got := count(&tokens); got != 3 {
				t.Errorf("got %d different tokens; want 3", got)
			}
			a.used(t, row.want)
		})
	}
}

// A cookie that is too small for the session's own access token does without; see
// DESIGN.md, "A session".
func TestAnAccessTokenThatDidNotFitItsCookieIsFetched(t *testing.T) {
	t.Parallel()
	var forms []url.Values
	a, clock, _ := granting(t, func(c *signin.Config) {
		c.HTTPClient = &http.Client{Transport: tokens(func(body map[string]any) {
			body["access_token"] = body["access_token"].(string) + strings.Repeat("x", 3000)
		})}
	})
	cookies := a.signedIn(large(signintest.Alice(), 2000)).session()
	a.provider.OnTokenRequest(func(form url.Values) { forms = append(forms, form) })
	var first string
	for range 2 {
		a.within(t, cookies, func(ctx context.Context) {
			for range 2 {
				token, err := signin.AccessToken(ctx)
				if err != nil || len(token.AccessToken) < 3000 {
					t.Fatalf("got %v, %v; want the large token", token, err)
				}
				if first == "" {
					first = token.AccessToken
				}
				if token.AccessToken != first {
					t.Error("got another token; want the first")
				}
			}
		})
		a.used(t, 1)
	}
	if len(forms) != 1 || forms[0].Has("resource") || forms[0].Has("organization_id") {
		t.Errorf("token requests: got %v; want one without an audience", forms)
	}
	srv := newAPI(t)
	srv.refuse(first)
	a.within(t, cookies, func(ctx context.Context) {
		if status, _ := reads(t, clientOf(ctx, srv.URL), newRequest(t, http.MethodGet, srv.URL, nil)); status != http.StatusOK {
			t.Errorf("refused by an API: got %d; want another token, and 200", status)
		}
	})
	a.used(t, 2)
	// The refreshed session has one at hand, in the request that refreshed it.
	clock.add(time.Hour)
	a.within(t, cookies, func(ctx context.Context) {
		if token, err := signin.AccessToken(ctx); err != nil || token.AccessToken == first {
			t.Errorf("an hour later: got %v, %v; want a new token", token, err)
		}
	})
	a.used(t, 3)
}

func TestOrganizationsAreAResourceAtLogto(t *testing.T) {
	t.Parallel()
	const all = "urn:logto:resource:organizations"
	for name, row := range map[string]struct {
		change func(*signin.Config)
		want   []string
	}{
		"with the scope":        {func(c *signin.Config) { c.Scopes = []string{orgScope} }, []string{all}},
		"beside others":         {func(c *signin.Config) { c.Scopes, c.Resources = []string{orgScope}, []string{apiA} }, []string{apiA, all}},
		"not twice":             {func(c *signin.Config) { c.Scopes, c.Resources = []string{orgScope}, []string{all, apiA} }, []string{all, apiA}},
		"not without the scope": {func(c *signin.Config) { c.Resources = []string{apiA} }, []string{apiA}},
		"not with the scope of their roles alone": {func(c *signin.Config) { c.Scopes = []string{"urn:logto:scope:organization_roles"} }, nil},
		"not at another provider, scope or no scope": {func(c *signin.Config) {
			c.Scopes = []string{orgScope}
			otherProvider(c)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, with{config: row.change})
			a.signedIn(signintest.Alice())
			if got := a.provider.AuthorizationRequests()[0].Asked["resource"]; !slices.Equal(got, row.want) {
				t.Errorf("resource: got %q; want %q", got, row.want)
			}
		})
	}
}

// Where several Auths are nested, it is the innermost that speaks.
func TestAccessTokenIsTheInnermostAuths(t *testing.T) {
	t.Parallel()
	a, _, _ := granting(t, nil)
	cookies := a.signedIn(signintest.Alice()).session()
	cfg := a.cfg
	cfg.CookieName = "staff"
	staff, err := signin.New(cfg)
	if err != nil {
		t.Fatalf("New: got error %v; want none", err)
	}
	for name, row := range map[string]struct {
		around func(http.Handler) http.Handler
		code   signin.Code
	}{
		"a customer behind customers":                     {a.auth.Load, ""},
		"a customer behind customers, twice":              {func(h http.Handler) http.Handler { return a.auth.Load(a.auth.RequireAuth(h)) }, ""},
		"a customer behind staff, then customers":         {func(h http.Handler) http.Handler { return staff.Load(a.auth.Load(h)) }, ""},
		"a customer behind customers, staff, customers":   {func(h http.Handler) http.Handler { return a.auth.Load(staff.Load(a.auth.Load(h))) }, ""},
		"a customer behind customers, then staff: nobody": {func(h http.Handler) http.Handler { return a.auth.Load(staff.Load(h)) }, signin.ErrNotSignedIn},
		"behind nothing":                                  {func(h http.Handler) http.Handler { return h }, signin.ErrInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			knock(row.around(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if row.code == "" {
					hasToken(t, r.Context(), audience{Aud: apiA}, signin.ForResource(apiA))
					return
				}
				token, err := signin.AccessToken(r.Context(), signin.ForResource(apiA))
				wantCode(t, name, token, err, row.code)
			})), "/", cookies)
		})
	}
}

// A store of another kind, and the shared state of one process.
func TestAccessTokenInEveryStore(t *testing.T) {
	t.Parallel()
	for name, store := range everyStore() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock := stoppedApp(t, with{
				provider: []signintest.Option{signintest.WithRefreshRotation()},
				config: func(c *signin.Config) {
					c.Resources = []string{apiA, apiB}
					store(t.TempDir())(c)
				},
			})
			b := a.signedIn(signintest.Alice())
			a.mount("/tokens", a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("Cookie") // as a proxy does that passes the request on
				for _, api := range []string{apiA, apiB, apiA} {
					hasToken(t, r.Context(), audience{Aud: api}, signin.ForResource(api))
				}
			})))
			for hour := range 3 {
				for range 2 {
					b.get("/tokens").want(t, http.StatusOK, "")
				}
				a.used(t, 2+3*hour)
				clock.add(time.Hour)
			}
		})
	}
}
