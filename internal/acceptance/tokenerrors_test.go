package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// badly asks for a token that must not come, and that asks the provider so many
// times.
func (a *app) badly(t *testing.T, when string, ctx context.Context, code signin.Code, requests int, opts ...signin.TokenOption) {
	t.Helper()
	before := a.provider.Stats().Refreshes
	token, err := signin.AccessToken(ctx, opts...)
	wantCode(t, when, token, err, code)
	if got := a.provider.Stats().Refreshes - before; got != requests {
		t.Errorf("%s: got %d token requests; want %d", when, got, requests)
	}
	a.silent(t, err)
}

// silent checks that neither an error nor the log holds a secret.
func (a *app) silent(t *testing.T, err error) {
	t.Helper()
	said := a.log.String() + fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, secret := range a.provider.Secrets() {
		if strings.Contains(said, secret) {
			t.Errorf("got a secret in the log, or in %v; want none", err)
		}
	}
}

func TestAccessTokenOfNobody(t *testing.T) {
	t.Parallel()
	a, clock, _ := granting(t, nil, signintest.WithRefreshRotation())
	api := signin.ForResource(apiA)
	here := func(t *testing.T, when string, h func(http.Handler) http.Handler, cookies string, code signin.Code) {
		t.Helper()
		called := false
		knock(h(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			called = true
			for _, opts := range [][]signin.TokenOption{nil, {api}, {signin.ForResource("urn:unknown")}} {
				a.badly(t, when, r.Context(), code, 0, opts...)
			}
		})), "/", cookies)
		if !called {
			t.Errorf("%s: got the handler not called; want it called", when)
		}
	}
	b := a.signedIn(signintest.Alice())
	here(t, "behind nothing", func(h http.Handler) http.Handler { return h }, b.session(), signin.ErrInternal)
	here(t, "behind Load, without a cookie", a.auth.Load, "", signin.ErrNotSignedIn)
	here(t, "behind Load, with garbage", a.auth.Load, "signin=x", signin.ErrNotSignedIn)
	a.badly(t, "without a request", context.Background(), signin.ErrInternal, 0, api)

	t.Run("behind RequireBearer there is no session to get tokens from", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+a.provider.AccessToken(signintest.Alice().Subject, apiA))
		r.Header.Set("Cookie", b.session())
		called := false
		a.auth.RequireBearer(apiA)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			called = true
			a.badly(t, "a bearer", r.Context(), signin.ErrNotSignedIn, 0)
			a.badly(t, "a bearer", r.Context(), signin.ErrNotSignedIn, 0, api)
			a.badly(t, "a bearer", r.Context(), signin.ErrNotSignedIn, 0, signin.ForResource("urn:unknown"))
		})).ServeHTTP(httptest.NewRecorder(), r)
		if !called {
			t.Error("got the handler not called; want it called")
		}
	})
	t.Run("the session has ended meanwhile", func(t *testing.T) {
		mine := a.signedIn(signintest.Bob()).session()
		a.within(t, mine, func(ctx context.Context) {
			hasTokenOf(t, ctx, signintest.Bob(), apiB)
			signOutWith(a.handler(), mine)
			a.badly(t, "signed out", ctx, signin.ErrNotSignedIn, 0, api)
			a.badly(t, "signed out, with a token that is kept", ctx, signin.ErrNotSignedIn, 0, signin.ForResource(apiB))
		})
	})
	t.Run("the browser has shown a later generation, twice", func(t *testing.T) {
		a.within(t, b.session(), func(ctx context.Context) {
			for range 2 {
				clock.add(time.Hour)
				b.get("/")
			}
			a.badly(t, "superseded", ctx, signin.ErrNotSignedIn, 0, api)
			a.badly(t, "superseded", ctx, signin.ErrNotSignedIn, 0)
		})
		if got := b.who(); got != signintest.Alice().Subject {
			t.Errorf("the browser itself: got %q; want Alice", got)
		}
	})
}

// hasTokenOf asks for a token of somebody's for a resource.
func hasTokenOf(t *testing.T, ctx context.Context, u signintest.User, api string) *oauth2.Token {
	t.Helper()
	token, err := signin.AccessToken(ctx, signin.ForResource(api))
	if err != nil {
		t.Fatalf("got error %v; want a token", err)
	}
	if got, err := signin.UnverifiedClaims[audience](token.AccessToken); err != nil || got != (audience{Aud: api, Sub: u.Subject}) {
		t.Errorf("got a token for %+v, %v; want %s's for %s", got, err, u.Subject, api)
	}
	return token
}

// What the provider refuses is about one audience: each call asks it again, others
// are not put to rest, and the session stands.
func TestAccessTokenThatIsRefused(t *testing.T) {
	t.Parallel()
	org := signin.ForOrganization
	for _, row := range []struct {
		name     string
		config   func(*signin.Config)
		provider []signintest.Option
		later    func(*signin.Config) // a deployment after the sign-in
		fault    signintest.Fault
		opts     []signin.TokenOption
		code     signin.Code
		requests int
	}{
		{name: "a resource that is not one of Config.Resources: nobody is asked", opts: []signin.TokenOption{signin.ForResource("urn:unknown")}, code: signin.ErrUnknownResource},
		{name: "one within an organization", opts: []signin.TokenOption{signin.ForResource(apiA + "/"), org("org_one")}, code: signin.ErrUnknownResource},
		{name: "a resource that was configured after the sign-in", later: func(c *signin.Config) { c.Resources = append([]string{"urn:new"}, c.Resources...) },
			opts: []signin.TokenOption{signin.ForResource("urn:new")}, code: signin.ErrUnknownResource, requests: 1},
		{name: "an organization that the person does not belong to", opts: []signin.TokenOption{org("org_three")}, code: signin.ErrNotMember, requests: 1},
		{name: "such an organization with a resource", opts: []signin.TokenOption{org("org_three"), signin.ForResource(apiA)}, code: signin.ErrNotMember, requests: 1},
		{name: "an organization that wants a second factor", provider: []signintest.Option{signintest.WithMFARequired("org_one")},
			opts: []signin.TokenOption{org("org_one")}, code: signin.ErrMFARequired, requests: 1},
		{name: "an organization, without the scope", config: func(c *signin.Config) { c.Scopes = nil },
			opts: []signin.TokenOption{org("org_one")}, code: signin.ErrScopeMissing},
		// Which does not heed organization_id, and would give a token that is good everywhere.
		{name: "an organization, at a provider that is not Logto", config: func(c *signin.Config) {
			c.Issuer, c.LogtoEndpoint, c.Scopes = c.LogtoEndpoint+"/oidc", "", nil
			c.SignInOptions = []signin.SignInOption{signin.Prompt("consent")}
		}, opts: []signin.TokenOption{org("org_one")}, code: signin.ErrScopeMissing},
		{name: "an organization, with a scope that was configured after the sign-in", config: func(c *signin.Config) { c.Scopes = nil },
			later: func(c *signin.Config) { c.Scopes = []string{orgScope} }, opts: []signin.TokenOption{org("org_one")}, code: signin.ErrScopeMissing, requests: 1},
		{name: "invalid_scope", fault: faults.TokenInvalidScope, opts: []signin.TokenOption{signin.ForResource(apiC)}, code: signin.ErrScopeMissing, requests: 1},
		{name: "a client secret that has expired, at Logto", fault: faults.TokenSecretExpired,
			opts: []signin.TokenOption{signin.ForResource(apiC)}, code: signin.ErrProviderMisconfigured, requests: 1},
		{name: "an empty 400 at another provider", config: otherProvider, fault: faults.TokenEmpty400,
			opts: []signin.TokenOption{signin.ForResource(apiC)}, code: signin.ErrProviderMisconfigured, requests: 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, _, _ := granting(t, row.config, row.provider...)
			cookies := a.signedIn(signintest.Alice()).session()
			if row.later != nil {
				row.later(&a.cfg)
				a = a.another(t)
			}
			a.within(t, cookies, func(ctx context.Context) {
				for range 2 {
					if row.fault != "" {
						a.provider.Inject(row.fault)
					}
					a.badly(t, row.name, ctx, row.code, row.requests, row.opts...)
					a.provider.Clear()
					hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
				}
				hasToken(t, ctx, audience{Aud: apiB}, signin.ForResource(apiB))
			})
			a.used(t, 2+2*row.requests)
			if got := a.kinds(); len(got) > 0 && got[len(got)-1] != signin.EventSignedIn {
				t.Errorf("events: got %q; want none after the sign-in", got)
			}
		})
	}
}

// CASES 4.5: what passes is given time, and everybody else of this session waits
// with it.
func TestAccessTokenWhileTheProviderIsInTrouble(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		begin func(*app, *timeouts)
		code  signin.Code
		seen  int // by the provider
	}{
		{"down", func(a *app, _ *timeouts) { a.provider.Down() }, signin.ErrProviderUnavailable, 0},
		{"500", func(a *app, _ *timeouts) { a.provider.Inject(faults.Token500) }, signin.ErrProviderUnavailable, 1},
		{"429", func(a *app, _ *timeouts) { a.provider.Inject(faults.Token429) }, signin.ErrProviderUnavailable, 1},
		{"a page", func(a *app, _ *timeouts) { a.provider.Inject(faults.TokenHTML) }, signin.ErrProviderUnavailable, 1},
		{"a reset", func(a *app, _ *timeouts) { a.provider.Inject(faults.TokenReset) }, signin.ErrProviderUnavailable, 1},
		{"a time-out", func(_ *app, slow *timeouts) { slow.left.Store(1) }, signin.ErrProviderUnavailable, 0},
		{"the secret was rotated", func(a *app, _ *timeouts) { a.provider.Inject(faults.TokenInvalidClient) }, signin.ErrProviderMisconfigured, 1},
		{"a redirect", func(a *app, _ *timeouts) { a.provider.Inject(faults.TokenRedirect) }, signin.ErrProviderMisconfigured, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			slow := new(timeouts)
			a, clock, _ := granting(t, func(c *signin.Config) { c.HTTPClient = &http.Client{Transport: slow} })
			cookies := a.signedIn(signintest.Alice()).session()
			a.within(t, cookies, func(ctx context.Context) {
				hasToken(t, ctx, audience{Aud: apiB}, signin.ForResource(apiB))
				row.begin(a, slow)
				a.badly(t, row.name, ctx, row.code, row.seen, signin.ForResource(apiA))
				a.provider.Up()
				a.provider.Clear()
				clock.add(2*time.Second - 1)
				a.badly(t, "within the back-off", ctx, signin.ErrProviderUnavailable, 0, signin.ForResource(apiA))
				a.badly(t, "another audience", ctx, signin.ErrProviderUnavailable, 0, signin.ForOrganization("org_one"))
				hasToken(t, ctx, audience{Aud: apiB}, signin.ForResource(apiB)) // which is kept
				if token, err := signin.AccessToken(ctx); err != nil || token.AccessToken == "" {
					t.Errorf("the session's own: got %v, %v; want the token that is still good", token, err)
				}
				clock.add(1)
				hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
			})
			if got := a.kinds(); len(got) != 2 || got[1] != signin.EventRefreshFailed {
				t.Errorf("events: got %q; want the failure, once", got)
			}
		})
	}
}

func TestTheSessionsOwnAccessTokenWhileTheProviderIsInTrouble(t *testing.T) {
	t.Parallel()
	t.Run("one that is due and still good is returned", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := granting(t, nil)
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			clock.add(time.Hour - time.Second)
			a.provider.Down()
			for range 2 {
				if token, err := signin.AccessToken(ctx); err != nil || !token.Expiry.Equal(clock.now().Add(time.Second)) {
					t.Errorf("got %v, %v; want the token that is still good", token, err)
				}
			}
		})
	})
	for _, row := range []struct {
		name  string
		begin func(*app)
		code  signin.Code
		seen  int
	}{
		{"down", func(a *app) { a.provider.Down() }, signin.ErrProviderUnavailable, 0},
		{"500", func(a *app) { a.provider.Inject(faults.Token500) }, signin.ErrProviderUnavailable, 1},
		{"the secret was rotated", func(a *app) { a.provider.Inject(faults.TokenInvalidClient) }, signin.ErrProviderMisconfigured, 1},
		{"403, which here is about nobody's membership", func(a *app) { a.provider.Inject(faults.TokenForbidden) }, signin.ErrProviderMisconfigured, 1},
	} {
		t.Run("one that has expired is not: "+row.name, func(t *testing.T) {
			t.Parallel()
			a, clock, _ := granting(t, nil)
			a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
				clock.add(time.Hour)
				row.begin(a)
				a.badly(t, row.name, ctx, row.code, row.seen)
				clock.add(2*time.Second - 1)
				a.badly(t, "within the back-off", ctx, signin.ErrProviderUnavailable, 0)
				a.provider.Up()
				a.provider.Clear()
				clock.add(1)
				if token, err := signin.AccessToken(ctx); err != nil || !token.Expiry.Equal(clock.now().Add(time.Hour)) {
					t.Errorf("after it: got %v, %v; want a new token", token, err)
				}
			})
		})
	}
}

// CASES 4.5.
func TestAccessTokenOfASessionThatTheProviderHasEnded(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]signin.TokenOption{
		"a resource": {signin.ForResource(apiA)}, "an organization": {signin.ForOrganization("org_one")}, "the session's own": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock, _ := granting(t, nil)
			b := a.signedIn(signintest.Alice())
			a.within(t, b.session(), func(ctx context.Context) {
				if opts == nil {
					clock.add(time.Hour)
				}
				a.provider.Suspend(signintest.Alice().Subject)
				a.badly(t, "suspended", ctx, signin.ErrNotSignedIn, 1, opts...)
				a.provider.Reinstate(signintest.Alice().Subject)
				a.badly(t, "after it", ctx, signin.ErrNotSignedIn, 0, signin.ForResource(apiB))
			})
			got := b.get("/account")
			got.want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
			wantCookies(t, "the next request", got, false, "signin cleared")
			if reasons := a.reasons(signin.EventSessionEnded); len(reasons) != 1 || reasons[0] != "provider" {
				t.Errorf("events: got sessions ended for %q; want provider, once", reasons)
			}
		})
	}
}

// CASES 5.9.
func TestAccessTokenWithoutSharedState(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]error{
		"broken": errOnPurpose, "timed out": fmt.Errorf("redis: %w", context.DeadlineExceeded), "cancelled by itself": fmt.Errorf("pool: %w", context.Canceled),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock, shared := granting(t, nil)
			a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
				for _, op := range []string{"get", "addl"} {
					shared.before(func(got, key string) error {
						if strings.HasPrefix(got+key, op) {
							return broken
						}
						return nil
					})
					a.badly(t, op, ctx, signin.ErrSharedUnavailable, 0, signin.ForResource(apiA))
					shared.before(nil)
					clock.add(time.Minute)
				}
				hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
				clock.add(time.Hour)
				shared.before(func(string, string) error { return broken })
				a.badly(t, "the session's own", ctx, signin.ErrSharedUnavailable, 0)
			})
		})
	}
	t.Run("the provider's last word cannot be written: the session stands", func(t *testing.T) {
		t.Parallel()
		a, clock, shared := granting(t, nil)
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			shared.before(func(op, key string) error {
				if op+key[:1] == "sete" {
					return errOnPurpose
				}
				return nil
			})
			a.provider.Suspend(signintest.Alice().Subject)
			a.badly(t, "suspended", ctx, signin.ErrSharedUnavailable, 1, signin.ForResource(apiA))
			shared.before(nil)
			clock.add(2 * time.Second)
			a.badly(t, "written", ctx, signin.ErrNotSignedIn, 1, signin.ForResource(apiA))
		})
	})
}

func TestAccessTokenWithoutARefreshToken(t *testing.T) {
	t.Parallel()
	a, clock, _ := granting(t, func(c *signin.Config) { c.OmitDefaultScopes = true })
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		for range 2 {
			if token, err := signin.AccessToken(ctx); err != nil || token.AccessToken == "" {
				t.Errorf("got %v, %v; want the token of the sign-in", token, err)
			}
			a.badly(t, "a resource", ctx, signin.ErrProviderMisconfigured, 0, signin.ForResource(apiA))
			a.badly(t, "an organization", ctx, signin.ErrProviderMisconfigured, 0, signin.ForOrganization("org_one"))
			clock.add(time.Hour - 1)
		}
		clock.add(1)
		a.badly(t, "expired", ctx, signin.ErrProviderMisconfigured, 0)
	})
	a.used(t, 0)
}

func TestWhoWaitsForAnAccessTokenMayGo(t *testing.T) {
	t.Parallel()
	a, _, _ := granting(t, nil)
	cookies := a.signedIn(signintest.Alice()).session()
	for i, api := range []string{apiA, apiB} { // the first leaves, then the second
		begun, release := a.paused()
		a.within(t, cookies, func(ctx context.Context) {
			leaving, leave := context.WithCancel(ctx)
			defer leave()
			contexts := []context.Context{ctx, ctx}
			contexts[i] = leaving
			var results [2]chan error
			for n := range results {
				results[n] = make(chan error, 1)
				go func() {
					_, err := signin.AccessToken(contexts[n], signin.ForResource(api))
					results[n] <- err
				}()
				<-begun // by the first; the second joins it, or finds what it has fetched
			}
			leave()
			err := <-results[i]
			wantCode(t, "who has left", nil, err, signin.ErrProviderUnavailable)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v; want it to say that the context is over", err)
			}
			release()
			if err := <-results[1-i]; err != nil {
				t.Errorf("who waits: got error %v; want a token", err)
			}
			hasToken(t, ctx, audience{Aud: api}, signin.ForResource(api))
		})
		a.used(t, i+1)
	}
}

// broken is a transport that panics at the token endpoint.
type panicking struct{ at *bool }

func (p panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	if *p.at && strings.HasSuffix(r.URL.Path, "/token") {
		panic("in the application's transport")
	}
	return ownTransport.RoundTrip(r)
}

// net/http recovers panics of handlers, and only on their own goroutines.
func TestAPanicWhileATokenIsFetchedIsAnError(t *testing.T) {
	t.Parallel()
	at := false
	a, clock, _ := granting(t, func(c *signin.Config) { c.HTTPClient = &http.Client{Transport: panicking{&at}} })
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		at = true
		if token, err := signin.AccessToken(ctx, signin.ForResource(apiA)); token != nil || err == nil || !strings.Contains(err.Error(), "panic") {
			t.Errorf("got %v, %v; want the panic as an error", token, err)
		}
		at = false
		clock.add(2 * time.Second)
		hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
	})
	a.used(t, 1)
}
