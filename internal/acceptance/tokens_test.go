package acceptance_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
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

// granting is an application that may get tokens for three resources, and for the
// organizations of its users.
func granting(t *testing.T, config func(*signin.Config), opts ...signintest.Option) (*app, *stopped, *mapState) {
	t.Helper()
	return refreshing(t, func(c *signin.Config) {
		c.Resources, c.Scopes = []string{apiA, apiB, apiC}, []string{orgScope}
		if config != nil {
			config(c)
		}
	}, opts...)
}

// within runs f in a handler behind RequireAuth, for a request with these cookies.
func (a *app) within(t *testing.T, cookies string, f func(context.Context)) {
	t.Helper()
	behind(t, a.auth.RequireAuth, cookies, f)
}

// behind runs f in a handler behind a guard.
func behind(t *testing.T, guard func(http.Handler) http.Handler, cookies string, f func(context.Context), header ...string) {
	t.Helper()
	called := false
	got := knock(guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called = true
		f(r.Context())
	})), "/page", cookies, header...)
	if !called {
		t.Fatalf("got status %d; want the handler called", got.StatusCode)
	}
}

// another is a replica: the same configuration, another process.
func (a *app) another(t *testing.T) *app {
	t.Helper()
	return &app{t: t, provider: a.provider, server: a.server, auth: newAuth(t, a.cfg), cfg: a.cfg, log: a.log, clock: a.clock}
}

// audience are the claims of an access token that say what it is for.
type audience struct {
	Aud, Sub     string
	Organization string `json:"organization_id"`
}

// hasToken asks for a token of Alice and checks what it is for.
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

// own asks for the session's own token.
func own(t *testing.T, ctx context.Context) *oauth2.Token {
	t.Helper()
	token, err := signin.AccessToken(ctx)
	if err != nil {
		t.Fatalf("got error %v; want the session's own token", err)
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

func TestAccessToken(t *testing.T) {
	t.Parallel()
	permits := signintest.Alice()
	permits.Permissions = map[string][]string{apiA: {"read", "delete", "write"}}
	a, clock, _ := granting(t, func(c *signin.Config) { c.Scopes = append(c.Scopes, "read", "write", "admin") })
	cookies := a.signedIn(permits).session()
	inOneHour := clock.now().Add(time.Hour)
	a.within(t, cookies, func(ctx context.Context) {
		for _, opts := range [][]signin.TokenOption{nil, {{}}} {
			token, err := signin.AccessToken(ctx, opts...)
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
	for i, row := range []struct {
		name  string
		opts  []signin.TokenOption
		want  audience
		scope string
	}{
		{"a resource", []signin.TokenOption{signin.ForResource(apiA)}, audience{Aud: apiA}, "read write"},
		{"an organization", []signin.TokenOption{signin.ForOrganization("org_one")}, audience{Aud: "urn:logto:organization:org_one"}, ""},
		{"a resource within an organization", []signin.TokenOption{signin.ForOrganization("org_two"), {}, signin.ForResource(apiA)},
			audience{Aud: apiA, Organization: "org_two"}, "read write"},
		{"the last option of a kind", []signin.TokenOption{signin.ForResource(apiA), signin.ForResource(apiB)}, audience{Aud: apiB}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			for range 2 { // the second call, and the second request, cause no token request
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

func TestForOrganization_ResourceOfLogto(t *testing.T) {
	t.Parallel()
	const all = "urn:logto:resource:organizations"
	for name, row := range map[string]struct {
		change func(*signin.Config)
		want   []string
	}{
		"with the scope and others": {func(c *signin.Config) { c.Scopes, c.Resources = []string{orgScope}, []string{apiA} }, []string{apiA, all}},
		"not twice":                 {func(c *signin.Config) { c.Scopes, c.Resources = []string{orgScope}, []string{all, apiA} }, []string{all, apiA}},
		"not with another scope":    {func(c *signin.Config) { c.Scopes = []string{"urn:logto:scope:organization_roles"} }, nil},
		"not at another provider": {func(c *signin.Config) {
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
