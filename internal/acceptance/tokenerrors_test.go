package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// wantTokenError asks for a token that must not be given, and checks how many token
// requests that causes.
func (a *app) wantTokenError(t *testing.T, when string, ctx context.Context, code signin.Code, requests int, opts ...signin.TokenOption) {
	t.Helper()
	before := a.provider.Stats().Refreshes
	token, err := signin.AccessToken(ctx, opts...)
	wantCode(t, when, token, err, code)
	if got := a.provider.Stats().Refreshes - before; got != requests {
		t.Errorf("%s: got %d token requests; want %d", when, got, requests)
	}
	a.wantNoSecretTold(t, err)
}

// wantNoSecretTold checks that neither an error nor the log holds a secret.
func (a *app) wantNoSecretTold(t *testing.T, err error) {
	t.Helper()
	said := a.log.String() + fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, secret := range a.provider.Secrets() {
		if strings.Contains(said, secret) {
			t.Errorf("got a secret in the log, or in %v; want none", err)
		}
	}
}

func TestAccessToken_NotSignedIn(t *testing.T) {
	t.Parallel()
	a, _, _ := granting(t, nil, signintest.WithRefreshRotation())
	b := a.signedIn(signintest.Alice())
	for name, row := range map[string]struct {
		guard   func(http.Handler) http.Handler
		cookies string
		code    signin.Code
	}{
		"behind no guard":               {func(h http.Handler) http.Handler { return h }, b.session(), signin.ErrInternal},
		"behind Load, without a cookie": {a.auth.Load, "", signin.ErrNotSignedIn},
		"behind Load, with garbage":     {a.auth.Load, "signin=x", signin.ErrNotSignedIn},
		"behind RequireBearer":          {a.auth.RequireBearer(apiA), b.session(), signin.ErrNotSignedIn},
	} {
		behind(t, row.guard, row.cookies, func(ctx context.Context) {
			for _, opts := range [][]signin.TokenOption{nil, {signin.ForResource(apiA)}, {signin.ForResource("urn:unknown")}} {
				a.wantTokenError(t, name, ctx, row.code, 0, opts...)
			}
		}, "Authorization: Bearer "+a.provider.AccessToken(signintest.Alice().Subject, apiA))
	}
	t.Run("signed out meanwhile", func(t *testing.T) {
		mine := a.signedIn(signintest.Bob()).session()
		a.within(t, mine, func(ctx context.Context) {
			if _, err := signin.AccessToken(ctx, signin.ForResource(apiB)); err != nil {
				t.Fatalf("got error %v; want a token", err)
			}
			signOutWith(a.handler(), mine)
			a.wantTokenError(t, "a new token", ctx, signin.ErrNotSignedIn, 0, signin.ForResource(apiA))
			a.wantTokenError(t, "a token that is kept", ctx, signin.ErrNotSignedIn, 0, signin.ForResource(apiB))
		})
	})
}

// A refusal concerns one audience: the provider is asked again each time, tokens for
// other audiences are not affected, and the session goes on.
func TestAccessToken_Refused(t *testing.T) {
	t.Parallel()
	org, api := signin.ForOrganization("org_one"), signin.ForResource(apiC)
	for _, row := range []struct {
		name     string
		config   func(*signin.Config)
		provider []signintest.Option
		later    func(*signin.Config) // changes made after the sign-in
		fault    signintest.Fault
		opts     []signin.TokenOption
		code     signin.Code
		requests int
	}{
		{name: "a resource that is not in Config.Resources", opts: []signin.TokenOption{signin.ForResource("urn:unknown"), org},
			code: signin.ErrUnknownResource},
		{name: "a resource that was configured after the sign-in",
			later: func(c *signin.Config) { c.Resources = append([]string{"urn:new"}, c.Resources...) },
			opts:  []signin.TokenOption{signin.ForResource("urn:new")}, code: signin.ErrUnknownResource, requests: 1},
		{name: "a resource without a name", opts: []signin.TokenOption{signin.ForResource("")}, code: signin.ErrUnknownResource},
		{name: "an organization without a name", opts: []signin.TokenOption{signin.ForOrganization("")}, code: signin.ErrNotMember},
		{name: "an organization that the user does not belong to",
			opts: []signin.TokenOption{signin.ForOrganization("org_three"), api}, code: signin.ErrNotMember, requests: 1},
		{name: "an organization that requires a second factor", provider: []signintest.Option{signintest.WithMFARequired("org_one")},
			opts: []signin.TokenOption{org}, code: signin.ErrMFARequired, requests: 1},
		{name: "an organization, without the scope", config: func(c *signin.Config) { c.Scopes = nil },
			opts: []signin.TokenOption{org}, code: signin.ErrScopeMissing},
		// Such a provider ignores organization_id, and would give a token that is good everywhere.
		{name: "an organization, at a provider that is not Logto",
			config: func(c *signin.Config) { otherProvider(c); c.Scopes = nil },
			opts:   []signin.TokenOption{org}, code: signin.ErrScopeMissing},
		{name: "an organization, with a scope that was configured after the sign-in",
			config: func(c *signin.Config) { c.Scopes = nil },
			later:  func(c *signin.Config) { c.Scopes = []string{orgScope} },
			opts:   []signin.TokenOption{org}, code: signin.ErrScopeMissing, requests: 1},
		{name: "invalid_scope", fault: faults.TokenInvalidScope, opts: []signin.TokenOption{api}, code: signin.ErrScopeMissing, requests: 1},
		{name: "a client secret that has expired, at Logto", fault: faults.TokenSecretExpired,
			opts: []signin.TokenOption{api}, code: signin.ErrProviderMisconfigured, requests: 1},
		{name: "an empty 400 at another provider", config: otherProvider, fault: faults.TokenEmpty400,
			opts: []signin.TokenOption{api}, code: signin.ErrProviderMisconfigured, requests: 1},
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
					a.wantTokenError(t, row.name, ctx, row.code, row.requests, row.opts...)
					a.provider.Clear()
					hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
				}
			})
			a.used(t, 1+2*row.requests)
			if got := a.kinds(); len(got) > 0 && got[len(got)-1] != signin.EventSignedIn {
				t.Errorf("events: got %q; want none after the sign-in", got)
			}
		})
	}
}

func TestAccessToken_OwnWhileTheProviderIsInTrouble(t *testing.T) {
	t.Parallel()
	a, clock, _ := granting(t, nil)
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		clock.add(time.Hour - 10*time.Second)
		a.provider.Down()
		own(t, ctx) // is due, but still good
		clock.add(10 * time.Second)
		a.wantTokenError(t, "expired", ctx, signin.ErrProviderUnavailable, 0)
		a.provider.Up()
		clock.add(4*time.Second - 1)
		a.wantTokenError(t, "within the back-off", ctx, signin.ErrProviderUnavailable, 0)
		clock.add(1)
		a.provider.Inject(faults.TokenForbidden) // without an organization, not about a membership
		a.wantTokenError(t, "403", ctx, signin.ErrProviderMisconfigured, 1)
		a.provider.Clear()
		clock.add(8 * time.Second)
		if got := own(t, ctx); !got.Expiry.Equal(clock.now().Add(time.Hour)) {
			t.Errorf("after it: got %v; want a new token", got)
		}
	})
}

// A failure of shared state is reported as such, and not as one of the provider or of
// the caller.
func TestAccessToken_SharedStateBroken(t *testing.T) {
	t.Parallel()
	a, clock, shared := granting(t, nil)
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		for name, broken := range map[string]error{
			"broken": errOnPurpose, "timed out": fmt.Errorf("redis: %w", context.DeadlineExceeded),
			"cancelled, but not by the caller": fmt.Errorf("pool: %w", context.Canceled),
		} {
			shared.before(func(string, string) error { return broken })
			a.wantTokenError(t, name, ctx, signin.ErrSharedUnavailable, 0, signin.ForResource(apiA))
		}
		// If an end by the provider cannot be written, the session has not ended.
		shared.failing(func(op string) bool { return op == "add e" })
		a.provider.Suspend(signintest.Alice().Subject)
		clock.add(time.Minute)
		a.wantTokenError(t, "suspended, which a plain refresh confirms", ctx, signin.ErrSharedUnavailable, 2, signin.ForResource(apiA))
		shared.before(nil)
		clock.add(2 * time.Second)
		a.wantTokenError(t, "written", ctx, signin.ErrNotSignedIn, 2, signin.ForResource(apiA))
	})
}

// leased is shared state in which another replica holds the lease of every
// session.
type leased struct{ *mapState }

func (l leased) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if key[0] == 'l' {
		return false, nil
	}
	return l.mapState.Add(ctx, key, value, ttl)
}

// If another replica holds the lease, it is waiting for the provider, so the error is
// about the provider and not about shared state.
func TestAccessToken_AnotherReplicaHoldsTheLease(t *testing.T) {
	t.Parallel()
	a, _, shared := granting(t, nil)
	cookies := a.signedIn(signintest.Alice()).session()
	a.cfg.Shared = leased{shared}
	synctest.Test(t, func(t *testing.T) {
		replica := a.another(t)
		replica.within(t, cookies, func(ctx context.Context) {
			replica.wantTokenError(t, "another replica has the lease", ctx, signin.ErrProviderUnavailable, 0, signin.ForResource(apiA))
		})
	})
}

// Without a refresh token, only the session's own access token is available.
func TestAccessToken_NoRefreshToken(t *testing.T) {
	t.Parallel()
	a, clock, _ := granting(t, func(c *signin.Config) {
		c.HTTPClient = &http.Client{Transport: tokens(func(body map[string]any) { delete(body, "refresh_token") })}
	})
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		clock.add(time.Hour - 1)
		own(t, ctx)
		a.wantTokenError(t, "a resource", ctx, signin.ErrProviderMisconfigured, 0, signin.ForResource(apiA))
		clock.add(1)
		a.wantTokenError(t, "expired", ctx, signin.ErrProviderMisconfigured, 0)
	})
}

func TestAccessToken_CallerLeaves(t *testing.T) {
	t.Parallel()
	a, _, _ := granting(t, nil)
	a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
		begun, release := a.paused()
		leaving, leave := context.WithCancel(ctx)
		left := make(chan error, 1)
		go func() {
			_, err := signin.AccessToken(leaving, signin.ForResource(apiA))
			left <- err
		}()
		<-begun
		leave()
		err := <-left
		wantCode(t, "the caller who left", nil, err, signin.ErrProviderUnavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v; want context.Canceled in it", err)
		}
		release()
		hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
	})
	a.used(t, 1)
}
