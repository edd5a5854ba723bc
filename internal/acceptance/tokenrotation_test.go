package acceptance_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// spending is granting with a provider that gives a new refresh token at each use,
// and a page, /spend, that asks for tokens once its answer has begun.
func spending(t *testing.T) (*app, *stopped, *mapState) {
	t.Helper()
	a, clock, shared := granting(t, nil, signintest.WithRefreshRotation())
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

// spend visits the page that asks for tokens, and wants no cookie changed.
func (b *browser) spend(t *testing.T, apis ...string) {
	t.Helper()
	got := b.get("/spend?" + url.Values{"api": apis}.Encode())
	shows(t, "spending", got, "")
	wantCookies(t, "spending", got, false)
}

// A refresh token that comes with access tokens for a page arrives after the header
// of the page's answer, so the browser gets it with a later answer.
func TestRotation_DuringAPage(t *testing.T) {
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
		clock.add(5 * time.Second) // longer than the provider tolerates reuse
		b.spend(t, apiA, apiB)
		a.used(t, 2)
		for range 2 {
			clock.add(time.Hour)
			shows(t, "an hour later", b.get("/account"), signintest.Alice().Subject)
		}
		a.used(t, 4)
	})
}

// The handler of a stream runs for hours with the cookie with which it began, while
// the browser sends nothing.
func TestRotation_HandlerRunsForHours(t *testing.T) {
	t.Parallel()
	a, clock, _ := granting(t, nil, signintest.WithRefreshRotation())
	cookies := a.signedIn(signintest.Alice()).session()
	a.within(t, cookies, func(ctx context.Context) {
		seen := map[string]bool{}
		for range 12 {
			for range 2 {
				seen[own(t, ctx).AccessToken] = true
				seen[hasToken(t, ctx, audience{Aud: apiA}, signin.ForResource(apiA)).AccessToken] = true
			}
			clock.add(time.Hour)
		}
		if len(seen) != 24 {
			t.Errorf("got %d different tokens in 12 hours; want 24", len(seen))
		}
	})
	a.used(t, 23)
	shows(t, "afterwards", knock(a.handler(), "/", cookies), signintest.Alice().Subject)
	a.used(t, 24)
}
