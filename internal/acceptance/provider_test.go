package acceptance_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// TestProvider is about a provider that fails.
func TestProvider(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		spoil func(*signintest.Provider)
		want  refusal
	}{
		{"down at start is 503", func(p *signintest.Provider) { p.Down() }, refusal{http.StatusServiceUnavailable, signin.ErrProviderUnavailable, 0}},
		{"another issuer at start is 502", func(p *signintest.Provider) { p.Inject(faults.DiscoveryIssuerWrong) }, mismatch},
	} {
		t.Run("9.1 "+row.name+" until the provider is back", func(t *testing.T) {
			t.Parallel()
			recovers(t, row.spoil, row.want)
		})
	}
	rejection{
		name: "9.3 a token endpoint that redirects", faults: fault(faults.TokenRedirect), also: unfollowed,
		want: refusal{http.StatusBadGateway, signin.ErrProviderMisconfigured, 1},
	}.run(t)
}

// unfollowed checks that no request went where a redirect pointed.
func unfollowed(t *testing.T, a *app) {
	t.Helper()
	for _, s := range a.wire.requests() {
		if s.url.Query().Has("redirected") || !strings.HasPrefix(s.url.String(), a.provider.URL) {
			t.Errorf("requests: got one for %s://%s%s; want none", s.url.Scheme, s.url.Host, s.url.Path)
		}
	}
}

// recovers starts an application while the provider fails. A user who is signed in
// stays signed in. A sign-in is refused, with Retry-After if that may pass by itself,
// and works when the provider is back.
func recovers(t *testing.T, spoil func(*signintest.Provider), want refusal) {
	t.Helper()
	a := newApp(t, with{recorded: true})
	bob := a.browser()
	bob.visit("/sign-in", signintest.Bob())
	before := len(a.wire.requests())
	spoil(a.provider)
	a.start()
	if n := len(a.wire.requests()) - before; n != 0 {
		t.Errorf("requests of New: got %d; want none", n)
	}
	if got := bob.who(); got != signintest.Bob().Subject {
		t.Errorf("a session from before: got %q; want Bob", got)
	}
	b := a.browser()
	got := b.get("/sign-in")
	got.untouched(t, want.status, want.code)
	want.wantError(t, a.errs(signin.EventSignInFailed))
	wait, err := strconv.Atoi(got.Header.Get("Retry-After"))
	if passes := want.status == http.StatusServiceUnavailable; passes != (err == nil && wait >= 1 && wait <= 60) {
		t.Fatalf("Retry-After: got %q; want seconds, at most 60: %t", got.Header.Get("Retry-After"), passes)
	}
	asked := len(a.wire.requests())
	for range 1000 { // spread over a minute
		a.clock.add(time.Minute / 1000)
		knock(a.handler(), "/sign-in", "").want(t, want.status, "")
	}
	// After 1, 2, 4, 8 and 16 seconds, and then every 30.
	if n := len(a.wire.requests()) - asked; n < 1 || n > 8 {
		t.Errorf("requests to the provider during 1,000 sign-ins: got %d; want 1 to 8", n)
	}
	a.provider.Up()
	a.provider.Clear()
	a.clock.add(time.Minute)
	a.wantArrival(t, b, signintest.Alice())
}
