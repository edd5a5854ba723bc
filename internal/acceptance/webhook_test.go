package acceptance_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

const webhookKey = "Xf7LgYmWzhbJ0W2r3MXVzdF4pLWNE1oI" // as long as Logto's

// A webhook ends the person's sessions at every replica, and no one else's. What a lost
// one leaves is up to the next refresh.
func TestLogtoWebhook(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		do     func(*signintest.Provider, string) signintest.WebhookDelivery
		fault  signintest.Fault
		status int
		ends   bool
		// refreshed is whether the session goes on at the next refresh; for one that goes on.
		refreshed bool
		log       string
	}{
		{name: "10.15 suspended", do: (*signintest.Provider).Suspend, status: 200, ends: true},
		{name: "10.15 deleted", do: (*signintest.Provider).DeleteUser, status: 200, ends: true},
		{name: "10.15 the password is reset", do: (*signintest.Provider).ResetPassword, status: 200, ends: true},
		{name: "reinstated", do: (*signintest.Provider).Reinstate, status: 204, refreshed: true},
		{name: "10.15 lost", do: (*signintest.Provider).Suspend, fault: faults.WebhookLost},
		{
			name: "10.15 created eleven minutes ago", do: (*signintest.Provider).ResetPassword, fault: faults.WebhookLate, status: 200,
			refreshed: true, log: "a webhook is too old",
		},
		{
			name: "10.15 signed with another key", do: (*signintest.Provider).ResetPassword, fault: faults.WebhookSignature, status: 401,
			refreshed: true, log: "code=bad_request status=401",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a, clock, _ := refreshing(t, nil)
			a.mount("/logto-webhook", a.auth.LogtoWebhook(webhookKey))
			a.provider.SetWebhook(a.server.URL+"/logto-webhook", webhookKey)
			other := a.again(func(*signin.Config) {})
			alice, bob := a.signedIn(signintest.Alice()).session(), a.signedIn(signintest.Bob()).session()
			if row.fault != "" {
				a.provider.Inject(row.fault)
			}
			got := row.do(a.provider, signintest.Alice().Subject)
			if got.Status != row.status || !strings.Contains(a.log.String(), row.log) {
				t.Errorf("got status %d, log %q; want %d, %q", got.Status, a.log, row.status, row.log)
			}
			if signedOut := slices.Contains(a.kinds(), signin.EventSignedOut); signedOut != row.ends {
				t.Errorf("events: got %v; want signed_out: %v", a.kinds(), row.ends)
			}
			for _, replica := range []http.Handler{a.handler(), other} {
				wantSignedIn(t, replica, bob, signintest.Bob())
				if row.ends {
					a.wantSignedOut(t, replica, alice)
					continue
				}
				wantSignedIn(t, replica, alice, signintest.Alice())
			}
			if row.ends {
				return
			}
			clock.add(due)
			if row.refreshed {
				wantSignedIn(t, other, alice, signintest.Alice())
				return
			}
			a.wantSignedOut(t, other, alice)
		})
	}
}

// A person who has forgotten the password sets another during a sign-in, which goes on. A
// sign-in of a person who is suspended meanwhile does not, even if that ends at once.
func TestLogtoWebhook_SignInUnderWay(t *testing.T) {
	t.Parallel()
	a, clock, _ := refreshing(t, nil)
	a.mount("/logto-webhook", a.auth.LogtoWebhook(webhookKey))
	a.provider.SetWebhook(a.server.URL+"/logto-webhook", webhookKey)
	alice := signintest.Alice()
	old, b := a.signedIn(alice).session(), a.browser()
	b.signInWhile(alice, func() {
		clock.add(time.Second)
		a.provider.ResetPassword(alice.Subject)
	}).want(t, http.StatusSeeOther, "/")
	wantSignedIn(t, a.handler(), b.session(), alice)
	a.wantSignedOut(t, a.handler(), old)
	b = a.browser()
	b.signInWhile(alice, func() {
		clock.add(time.Second)
		a.provider.Suspend(alice.Subject)
		a.provider.Reinstate(alice.Subject)
	}).want(t, http.StatusBadRequest, "")
	if errs := a.errs(signin.EventSignInFailed); len(errs) != 1 || !errors.Is(errs[0], signin.ErrSignInExpired) {
		t.Errorf("events: got failures %v; want %v", errs, signin.ErrSignInExpired)
	}
}

// What is not a webhook of Logto changes nothing, and the answer says little.
func TestLogtoWebhook_Refused(t *testing.T) {
	t.Parallel()
	a, _, shared := refreshing(t, nil)
	hook := a.auth.LogtoWebhook(webhookKey)
	a.mount("/logto-webhook", hook)
	a.provider.SetWebhook(a.server.URL+"/logto-webhook", webhookKey)
	alice := a.signedIn(signintest.Alice()).session()
	for name, row := range map[string]struct {
		method, body string
		status       int
		code         signin.Code
	}{
		"GET":               {http.MethodGet, "", http.StatusMethodNotAllowed, signin.ErrMethodNotAllowed},
		"without signature": {http.MethodPost, `{"event":"User.Deleted"}`, http.StatusUnauthorized, signin.ErrBadRequest},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(row.method, "/logto-webhook", strings.NewReader(row.body))
		hook(w, r)
		(answer{w.Result(), w.Body.String()}).untouched(t, row.status, row.code)
		if strings.Contains(w.Body.String(), "signature-sha") {
			t.Errorf("%s: got %s; want no details", name, w.Body)
		}
	}
	shared.failing(func(string) bool { return true })
	if got := a.provider.Suspend(signintest.Alice().Subject); got.Status != http.StatusServiceUnavailable {
		t.Errorf("shared state fails: got status %d; want 503", got.Status)
	}
	shared.failing(func(string) bool { return false })
	wantSignedIn(t, a.handler(), alice, signintest.Alice())
	if refused := a.errs(signin.EventRefused); len(refused) != 1 || slices.Contains(a.kinds(), signin.EventSignedOut) {
		t.Errorf("events: got %v, refused %v; want the one without signature", a.kinds(), refused)
	}
	if said := panicOf(func() { a.auth.LogtoWebhook("") }); !strings.Contains(said, "signing key") {
		t.Errorf("an empty key: got the panic %q; want one that names the signing key", said)
	}
}

// heeding is shared state that does nothing for a client that has gone away.
type heeding struct{ signin.SharedState }

func (h heeding) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return errors.Join(ctx.Err(), h.SharedState.Set(ctx, key, value, ttl))
}

// A webhook that was recorded can be sent again for ten minutes, and ends sessions again,
// even if its sender does not wait for the answer.
func TestLogtoWebhook_SentAgain(t *testing.T) {
	t.Parallel()
	a, clock, _ := refreshing(t, func(c *signin.Config) { c.Shared = heeding{c.Shared} })
	hook := a.auth.LogtoWebhook(webhookKey)
	a.mount("/logto-webhook", hook)
	a.provider.SetWebhook(a.server.URL+"/logto-webhook", webhookKey)
	sent := a.provider.ResetPassword(signintest.Alice().Subject)
	again := func() {
		r := httptest.NewRequest(http.MethodPost, "/logto-webhook", strings.NewReader(sent.Body))
		r.Header.Set("logto-signature-sha-256", sent.Signature)
		gone, leave := context.WithCancel(r.Context())
		leave()
		w := httptest.NewRecorder()
		if hook(w, r.WithContext(gone)); w.Code != http.StatusOK {
			t.Errorf("got %d %s; want 200", w.Code, w.Body)
		}
	}
	clock.add(10 * time.Minute)
	first := a.signedIn(signintest.Alice()).session()
	again()
	a.wantSignedOut(t, a.handler(), first)
	clock.add(time.Second)
	second := a.signedIn(signintest.Alice()).session()
	again()
	wantSignedIn(t, a.handler(), second, signintest.Alice())
}
