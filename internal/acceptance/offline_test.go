package acceptance_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// A person whom the provider has suspended does not reach the handler by giving up
// before the provider answers.
func TestRefreshDue_ClientGoesAway(t *testing.T) {
	t.Parallel()
	for name, guard := range map[string]func(*app, http.Handler) http.Handler{
		"the client closes the connection": func(_ *app, h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
				defer cancel()
				h.ServeHTTP(w, r.WithContext(ctx))
			})
		},
		"a time-out around the guard": func(_ *app, h http.Handler) http.Handler {
			return http.TimeoutHandler(h, 20*time.Millisecond, "too late")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock := stoppedApp(t, with{})
			b := a.signedIn(signintest.Alice())
			a.provider.Suspend("alice0000001")
			clock.add(2 * time.Hour)
			begun, release := a.paused()
			knocked := make(chan answer)
			go func() { knocked <- knock(guard(a, a.handler()), "/account", b.session()) }()
			<-begun
			got := <-knocked
			release()
			if got.StatusCode == http.StatusOK || a.insideCalls() > 0 {
				t.Errorf("got %d %q, and the handler called %d times; want no 200 and no call", got.StatusCode, got.body, a.insideCalls())
			}
		})
	}
}

// While the provider does not answer, people stay signed in for MaxOffline. After
// that they get 503, and go on when the provider is back.
func TestMaxOffline(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{config: func(c *signin.Config) { c.MaxOffline = 3 * time.Hour }})
	b := a.signedIn(signintest.Alice())
	a.provider.Down()
	clock.add(time.Hour + 3*time.Hour - time.Minute) // an access token's life, and nearly MaxOffline
	if got := b.who(); got != "alice0000001" {
		t.Errorf("within MaxOffline: got %q; want Alice", got)
	}
	clock.add(2 * time.Minute)
	for range 2 { // the second is during the back-off
		for _, path := range []string{"/", "/account"} {
			got := b.get(path)
			if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || len(got.Header["Set-Cookie"]) > 0 {
				t.Errorf("after it, %s: got %d, Retry-After %q, cookies %q; want 503 and no cookie touched",
					path, got.StatusCode, got.Header.Get("Retry-After"), got.Header["Set-Cookie"])
			}
		}
	}
	a.provider.Up()
	clock.add(time.Minute)
	if got := b.who(); got != "alice0000001" {
		t.Errorf("the provider is back: got %q; want Alice", got)
	}
}

// While refreshes succeed, but bring no claims that can be used, a role that was taken away
// at the provider stays. That lasts for MaxOffline, too.
func TestMaxOffline_ClaimsNotConfirmed(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{config: func(c *signin.Config) { c.MaxOffline = 3 * time.Hour }})
	b := a.signedIn(signintest.Alice())
	a.provider.Inject(signintest.Fault(faults.IDTokenIssuedAtAhead))
	for range 3 {
		clock.add(time.Hour + time.Minute)
		if got := b.who(); got != "alice0000001" {
			t.Errorf("within MaxOffline: got %q; want Alice", got)
		}
	}
	clock.add(time.Hour)
	for range 2 { // the second does not ask the provider
		got := b.get("/account")
		const again = `<a href="/sign-in?return_to=%2Faccount">Sign in again</a>`
		if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, again) || len(got.Header["Set-Cookie"]) > 0 {
			t.Errorf("after it: got %d %q, cookies %q; want 503, a way to sign in, and no cookie touched",
				got.StatusCode, got.body, got.Header["Set-Cookie"])
		}
	}
	a.provider.Clear()
	clock.add(time.Minute)
	if got := b.who(); got != "alice0000001" {
		t.Errorf("a good ID token has come: got %q; want Alice", got)
	}
}

// A client secret that was changed is no outage: who has to act learns it, at once, while
// the session rests, and after MaxOffline.
func TestMaxOffline_ClientSecretChanged(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{})
	cookies := a.signedIn(signintest.Alice()).session()
	a.provider.Inject(signintest.ClientSecretWrong)
	clock.add(2 * time.Hour)
	a.within(t, cookies, func(ctx context.Context) {
		for _, when := range []string{"at once", "while the session rests"} {
			_, err := signin.AccessToken(ctx)
			if e, ok := errors.AsType[*signin.Error](err); !ok || e.Code != signin.ErrProviderMisconfigured || !strings.Contains(err.Error(), "invalid_client") {
				t.Errorf("%s: got %v; want %s with the provider's code", when, err, signin.ErrProviderMisconfigured)
			}
		}
	})
	clock.add(9 * time.Hour)
	for range 2 { // the second is during the back-off
		got := knock(a.handler(), "/account", cookies, "Accept: application/json")
		if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, string(signin.ErrProviderMisconfigured)) || strings.Contains(got.body, "in a moment") {
			t.Errorf("after MaxOffline: got %d %q; want 503 with %s, and no promise", got.StatusCode, got.body, signin.ErrProviderMisconfigured)
		}
	}
	if got := a.errs(signin.EventRefreshFailed); len(got) == 0 || !strings.Contains(got[len(got)-1].Error(), "invalid_client") {
		t.Errorf("events: got %v; want the provider's code in the failure", got)
	}
}

// Forged tokens with unknown key IDs do not make an API look broken.
func TestUnknownKeyID_WhileKeysMayNotBeFetched(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{})
	api := a.auth.RequireBearer("https://api.example.com")(http.HandlerFunc(who))
	good := a.provider.AccessToken("alice0000001", "https://api.example.com")
	_, rest, _ := strings.Cut(good, ".")
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES384","typ":"at+jwt","kid":"nowhere"}`)) + "." + rest
	ask := func(token string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+token)
		api.ServeHTTP(w, r)
		return w
	}
	for i, wantRetry := range []bool{false, true, true} {
		w := ask(forged)
		if w.Code != http.StatusUnauthorized || (w.Header().Get("Retry-After") != "") != wantRetry {
			t.Errorf("%d: got %d, Retry-After %q; want 401, with Retry-After while no fetch is allowed: %v", i, w.Code, w.Header().Get("Retry-After"), wantRetry)
		}
		if w := ask(good); w.Code != http.StatusOK {
			t.Errorf("%d: a token by a known key: got %d; want 200", i, w.Code)
		}
	}
	clock.add(6 * time.Second)
	if w := ask(forged); w.Code != http.StatusUnauthorized || w.Header().Get("Retry-After") != "" {
		t.Errorf("five seconds later: got %d, Retry-After %q; want 401 after another fetch", w.Code, w.Header().Get("Retry-After"))
	}
	if n, log := a.provider.Stats().Keys, a.log.String(); n != 3 || strings.Contains(log, "level=ERROR") {
		t.Errorf("got %d requests for keys, log %q; want one for the good token, two for forged ones, and no error", n, log)
	}
}
