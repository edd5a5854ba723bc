package acceptance_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// spending is granting with a provider that gives a new refresh token at each use,
// and a page, /spend, that asks for tokens when its own answer has begun.
func spending(t *testing.T, resources ...string) (*app, *stopped, *mapState) {
	t.Helper()
	a, clock, shared := granting(t, func(c *signin.Config) { c.Resources = append(c.Resources, resources...) }, signintest.WithRefreshRotation())
	a.mount("/spend", a.auth.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for _, api := range r.URL.Query()["api"] {
			if _, err := signin.AccessToken(r.Context(), signin.ForResource(api)); err != nil {
				_, _ = fmt.Fprintln(w, err)
			}
		}
	})))
	return a, clock, shared
}

// spend visits the page that asks for tokens, which changes no cookie.
func (b *browser) spend(t *testing.T, apis ...string) {
	t.Helper()
	got := b.get("/spend?" + url.Values{"api": apis}.Encode())
	if got.StatusCode != http.StatusOK || got.body != "" {
		t.Errorf("spending: got %d %q; want tokens", got.StatusCode, got.body)
	}
	wantCookies(t, "spending", got, false)
}

// CASES 4.2: the refresh token that a page's tokens have cost is handed on, since
// the header of the page's own answer had been sent.
func TestARotationDuringAPageIsHandedOn(t *testing.T) {
	t.Parallel()
	t.Run("the next request carries the old cookie and gets the new generation", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := spending(t)
		b := a.signedIn(signintest.Alice())
		old := b.session()
		b.spend(t, apiA)
		a.used(t, 1)
		got := b.get("/account")
		shows(t, "the next request", got, signintest.Alice().Subject)
		wantCookies(t, "the next request", got, false, "signin 86400")
		if b.session() == old {
			t.Error("the next request: got the same session; want the new generation")
		}
		wantCookies(t, "the one after", b.get("/account"), false)
		clock.add(5 * time.Second) // longer than the provider forgives
		b.spend(t, apiA, apiB)
		a.used(t, 2)
		for range 2 {
			clock.add(time.Hour)
			shows(t, "an hour later", b.get("/account"), signintest.Alice().Subject)
		}
		a.used(t, 4)
		comes(t, a.handler(), b.session(), signintest.Alice())
	})
	t.Run("a page of one generation, and another page of the same at once", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := spending(t)
		b := a.signedIn(signintest.Alice())
		tab := b.copyOf()
		b.spend(t, apiA)
		clock.add(5 * time.Second)
		// It was opened with the old cookie, before anybody had the new one.
		a.within(t, tab.session(), func(ctx context.Context) {
			hasToken(t, ctx, audience{Aud: apiB}, signin.ForResource(apiB))
			hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
		})
		clock.add(5 * time.Second)
		a.within(t, b.session(), func(ctx context.Context) { hasToken(t, ctx, audience{Aud: apiC}, signin.ForResource(apiC)) })
		a.used(t, 3)
		shows(t, "the browser", b.get("/account"), signintest.Alice().Subject)
		shows(t, "the tab", tab.get("/account"), signintest.Alice().Subject)
	})
	t.Run("twenty resources in one page, then a normal page", func(t *testing.T) {
		t.Parallel()
		var many []string
		for i := range 20 {
			many = append(many, fmt.Sprint("urn:api:", i))
		}
		a, clock, _ := spending(t, many...)
		b := a.signedIn(signintest.Alice())
		old := b.copyOf()
		b.spend(t, many...)
		a.used(t, 20)
		clock.add(5 * time.Second)
		got := b.get("/account")
		shows(t, "a normal page", got, signintest.Alice().Subject)
		wantCookies(t, "a normal page", got, false, "signin 86395")
		shows(t, "another tab", old.get("/account"), signintest.Alice().Subject)
		b.spend(t, many...)
		a.used(t, 20)
		clock.add(time.Hour)
		shows(t, "an hour later", b.get("/account"), signintest.Alice().Subject)
		a.used(t, 21)
	})
	t.Run("what a token costs does not grow with those before it", func(t *testing.T) {
		t.Parallel()
		a, _, shared := spending(t)
		a.within(t, a.signedIn(signintest.Alice()).session(), func(ctx context.Context) {
			var costs []int
			for _, opts := range [][]signin.TokenOption{
				{signin.ForResource(apiA)}, {signin.ForResource(apiB)}, {signin.ForResource(apiC)}, {signin.ForOrganization("org_one")}, {signin.ForOrganization("org_two")},
			} {
				shared.asked()
				if _, err := signin.AccessToken(ctx, opts...); err != nil {
					t.Errorf("got error %v; want a token", err)
				}
				costs = append(costs, len(shared.asked()))
			}
			if slices.Min(costs) != slices.Max(costs) {
				t.Errorf("Get: got %v calls; want as many for each", costs)
			}
		})
	})
	t.Run("a session that was refreshed for this very page", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := spending(t)
		b := a.signedIn(signintest.Alice())
		clock.add(time.Hour)
		got := b.get("/spend?" + url.Values{"api": {apiA, apiB}}.Encode())
		shows(t, "spending", got, "")
		wantCookies(t, "spending", got, false, "signin 86400")
		clock.add(5 * time.Second)
		shows(t, "the next request", b.get("/account"), signintest.Alice().Subject)
		a.used(t, 3)
	})
}

// CASES 4.6: shared state fails at each single operation of a fetch in turn, and is
// back for the next request.
func TestSharedStateFailsWhileATokenIsFetched(t *testing.T) {
	t.Parallel()
	for at := 1; ; at++ {
		a, clock, shared := spending(t)
		b := a.signedIn(signintest.Alice())
		clock.add(time.Hour)
		b.get("/") // so that there is a generation before, to be superseded
		var count atomic.Int32
		failed, asked := "", 0
		a.within(t, b.session(), func(ctx context.Context) {
			shared.before(func(op, key string) error {
				if count.Add(1) == int32(at) {
					failed = op + " " + key[:1]
					return errOnPurpose
				}
				return nil
			})
			token, err := signin.AccessToken(ctx, signin.ForResource(apiA))
			shared.before(nil)
			if asked = a.provider.Stats().Refreshes - 1; asked == 0 {
				wantCode(t, failed, token, err, signin.ErrSharedUnavailable)
			} else if err != nil {
				t.Errorf("%s: got error %v; want what was received", failed, err)
			}
		})
		if failed == "" {
			if at != 10 {
				t.Errorf("operations of a fetch: got %d; want 9", at-1)
			}
			return
		}
		clock.add(5 * time.Second) // more than the back-off, and than the provider forgives
		shows(t, failed+", the next page", b.get("/account"), signintest.Alice().Subject)
		b.spend(t, apiB, apiC)
		shows(t, failed+", the page after", b.get("/account"), signintest.Alice().Subject)
		clock.add(time.Hour)
		shows(t, failed+", an hour later", b.get("/account"), signintest.Alice().Subject)
		a.used(t, 1+asked+2+1)
		if a.provider.LiveRefreshTokens(signintest.Alice().Subject) == 0 {
			t.Errorf("%s: got no refresh token alive; want the newest to be", failed)
		}
	}
}

// CASES 4.7, for a fetch. What it receives is for it to revoke.
func TestASignOutDuringAFetch(t *testing.T) {
	t.Parallel()
	at := func(step string) func(op, key string) bool {
		return func(op, key string) bool { return op+" "+key[:1] == step }
	}
	for _, row := range []struct {
		name   string
		at     func(op, key string) bool // nil: while the provider is asked
		rotate bool
		other  bool // another replica signs out
	}{
		{"while the provider is asked", nil, true, false},
		{"while the provider is asked, in another replica", nil, true, true},
		{"while a provider is asked that does not rotate", nil, false, true},
		{"before the lease is taken", at("add l"), true, true},
		{"before the token is kept", at("set t"), true, false},
		{"before the token is kept, without rotation", at("set t"), false, false},
		{"before the successor is written", at("add n"), true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var opts []signintest.Option
			if row.rotate {
				opts = append(opts, signintest.WithRefreshRotation())
			}
			a, _, shared := granting(t, nil, opts...)
			cookies := a.signedIn(signintest.Alice()).session()
			out := a.handler()
			if row.other {
				out = a.again(func(*signin.Config) {})
			}
			var met atomic.Bool
			meet := func() {
				if met.CompareAndSwap(false, true) {
					shared.before(nil)
					a.provider.Inject(faults.Revocation500)
					signOutWith(out, cookies)
					a.provider.Clear()
				}
			}
			a.within(t, cookies, func(ctx context.Context) {
				if row.at == nil {
					a.provider.OnTokenRequest(func(url.Values) { meet() })
				} else {
					shared.before(func(op, key string) error {
						if row.at(op, key) {
							meet()
						}
						return nil
					})
				}
				token, err := signin.AccessToken(ctx, signin.ForResource(apiA))
				wantCode(t, "during it", token, err, signin.ErrNotSignedIn)
				if !met.Load() {
					t.Fatal("got no meeting of the two; want one")
				}
				requests := a.provider.Stats().Refreshes
				for _, api := range []string{apiA, apiB} {
					a.badly(t, "after it", ctx, signin.ErrNotSignedIn, 0, signin.ForResource(api))
				}
				if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); row.rotate && requests > 0 && n != 0 {
					t.Errorf("refresh tokens: got %d alive; want what was received revoked", n)
				}
			})
			a.nobodyComes(t, a.handler(), cookies)
			a.nobodyComes(t, out, cookies)
		})
	}
}

// A stream's handler goes on for hours with the cookie that it began with.
func TestAHandlerThatRunsForHours(t *testing.T) {
	t.Parallel()
	a, clock, _ := granting(t, nil, signintest.WithRefreshRotation())
	cookies := a.signedIn(signintest.Alice()).session()
	events := httptest.NewRecorder()
	a.within(t, cookies, func(ctx context.Context) {
		seen := map[string]bool{}
		for hour := range 12 {
			for range 2 {
				own, err := signin.AccessToken(ctx)
				if err != nil {
					t.Fatalf("hour %d: got error %v; want the session's own", hour, err)
				}
				api := hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA))
				seen[own.AccessToken], seen[api.AccessToken] = true, true
			}
			clock.add(time.Hour)
		}
		if len(seen) != 24 {
			t.Errorf("got %d different tokens in 12 hours; want 24", len(seen))
		}
	})
	a.used(t, 23)
	// Its browser has slept meanwhile.
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookies)
	a.handler().ServeHTTP(events, r)
	if got := strings.TrimSpace(events.Body.String()); got != signintest.Alice().Subject {
		t.Errorf("afterwards: got %q; want Alice", got)
	}
	a.used(t, 24)
}
