package acceptance_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/faults"
	"github.com/gosignin/signin/signintest"
)

// Package internal/refresh tests every order of concurrent refreshes, fetches
// of access tokens, and a session's end.
func TestRefresh(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		replicas int
		after    time.Duration
	}{
		"with a token that is expired": {1, time.Hour},
		"with a token that is due":     {1, time.Hour - 30*time.Second},
		"over four replicas":           {4, time.Hour},
	} {
		t.Run("4.1 a thousand requests at once "+name+", one refresh", func(t *testing.T) {
			t.Parallel()
			refreshForMany(t, row.replicas, row.after)
		})
	}
	t.Run("4.2 an old cookie after the refresh, when the new one never arrives", func(t *testing.T) {
		t.Parallel()
		a, clock, _ := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		old := b.session()
		for hour := 1; hour <= 3; hour++ {
			name := fmt.Sprint("Hour ", hour)
			a.renamed(name)
			clock.add(time.Hour)
			shows(t, "refreshed", knock(a.handler(), "/name", old), name)
			clock.add(time.Minute) // longer than the provider tolerates reuse
			shows(t, "the old cookie", knock(a.handler(), "/name", old), name)
			a.used(t, hour)
		}
		again := b.get("/name")
		wantCookies(t, "the old cookie", again, false, "signin 86340")
		shows(t, "the new one", b.get("/name"), "Hour 3")
		a.used(t, 3)
	})
	t.Run("4.3 a cookie of any earlier generation leads to the newest", leadsOn)
	refreshAnswers(t)
	sharedStateFailsInARefresh(t)
	t.Run("4.7 a sign-out during a refresh, at another replica", signOutMeanwhile)
	t.Run("4.9 where a changed session cookie may be set", cookieWritable)
}

// refreshForMany sends a thousand requests at once with one session. Its access
// token is due or, after an hour, expired.
func refreshForMany(t *testing.T, replicas int, after time.Duration) {
	a, clock, _ := rotating(t, nil)
	cookies := a.signedIn(signintest.Alice()).session()
	var pages []http.Handler
	for range replicas {
		pages = append(pages, newAuth(t, a.cfg).RequireAuth(http.HandlerFunc(showName)))
	}
	a.renamed("New")
	clock.add(after)
	const n = 1000
	var started, done sync.WaitGroup
	started.Add(n)
	a.provider.OnTokenRequest(func(url.Values) { started.Wait() })
	wrong := make(chan answer, n)
	for i := range n {
		done.Go(func() {
			started.Done()
			got := knock(pages[i%replicas], "/", cookies)
			old := after < time.Hour && got.body == "Alice Example" // the old token is still good
			if got.StatusCode != http.StatusOK || got.body != "New" && !old {
				wrong <- got
			}
		})
	}
	done.Wait()
	if len(wrong) > 0 {
		got := <-wrong
		t.Errorf("%d of %d requests, one of them: got %d %q; want 200 and the new name", len(wrong)+1, n, got.StatusCode, got.body)
	}
	a.used(t, 1)
	if got := a.kinds(); !slices.Equal(got, []signin.EventKind{signin.EventSignedIn, signin.EventRefreshed}) {
		t.Errorf("events: got %q; want signed in, refreshed once", got)
	}
}

func leadsOn(t *testing.T) {
	t.Parallel()
	a, clock, _ := rotating(t, nil)
	b := a.signedIn(signintest.Alice())
	var earlier []string
	for range 3 {
		earlier = append(earlier, b.session())
		clock.add(time.Hour)
		b.get("/name")
	}
	a.renamed("New")
	clock.add(time.Hour)
	b.get("/name")
	for i, cookies := range earlier {
		shows(t, fmt.Sprint("generation ", i), knock(a.handler(), "/name", cookies), "New")
	}
	a.used(t, 4)
}

// refreshAnswers has a row for each kind of answer of the provider. Package
// internal/provider tests what each error means, and internal/tokens what is
// checked in an ID token.
func refreshAnswers(t *testing.T) {
	const renewed, claimsStay, waits, ends = "refreshed", "refreshed with old claims", "goes on and waits", "ends"
	for _, row := range []struct {
		name   string
		fault  signintest.Fault
		other  bool // with Issuer: a provider other than Logto
		expect string
	}{
		{"4.4 no new refresh token: the old one stays", faults.TokensNoRefreshToken, false, renewed},
		{"4.4 no nonce in the ID token", faults.IDTokenNonceMissing, false, renewed},
		{"4.4 no ID token: the claims stay", faults.TokensNoIDToken, false, claimsStay},
		{"4.4 keys not available: new tokens, old claims", faults.Keys500, false, claimsStay},
		{"4.4 an ID token with a wrong signature", faults.IDTokenSignatureInvalid, false, ends},
		{"4.4 an ID token of another person", faults.IDTokenSubjectWrong, false, ends},
		{"4.5 invalid_grant", faults.TokenInvalidGrant, false, ends},
		{"4.5 an empty 400, another provider: once", faults.TokenEmpty400, true, waits},
		{"4.5 invalid_request, another provider: once", faults.TokenInvalidRequest, true, waits},
		{"4.5 an empty 400, Logto", faults.TokenEmpty400, false, waits},
		{"4.5 invalid_request, Logto", faults.TokenInvalidRequest, false, waits},
		{"4.5 invalid_client: the secret was rotated", faults.TokenInvalidClient, false, waits},
		{"4.5 400 client secret has expired, Logto", faults.TokenSecretExpired, false, waits},
		{"4.5 403", faults.TokenForbidden, false, waits},
		{"4.5 invalid_target", faults.TokenInvalidTarget, true, waits},
		{"4.5 invalid_scope", faults.TokenInvalidScope, false, waits},
		{"4.5 429", faults.Token429, false, waits},
		{"4.5 500", faults.Token500, false, waits},
		{"4.5 a page", faults.TokenHTML, false, waits},
		{"4.5 garbage", faults.TokenGarbage, false, waits},
		{"4.5 a reset", faults.TokenReset, false, waits},
		{"4.5 a time-out", "", false, waits},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			slow := new(timeouts)
			a, clock, _ := refreshing(t, func(c *signin.Config) {
				c.HTTPClient = &http.Client{Transport: slow}
				if row.other {
					otherProvider(c)
				}
			})
			b := a.signedIn(signintest.Alice())
			copied := b.session()
			a.renamed("New")
			clock.add(time.Hour)
			requests := 1
			if row.fault == "" {
				slow.left.Store(1)
				requests = 0
			} else {
				a.provider.Inject(row.fault)
			}
			if row.fault == faults.Keys500 {
				a.provider.RotateKey()
			}
			got := b.get("/name")
			a.used(t, requests)
			events := a.kinds()
			last := events[len(events)-1]
			if row.expect == ends {
				got.want(t, http.StatusSeeOther, "/sign-in?return_to=%2Fname")
				wantCookies(t, "ended", got, false)
				if reasons := a.reasons(signin.EventSessionEnded); !slices.Equal(reasons, []string{"provider"}) {
					t.Errorf("events: got sessions ended for %q; want provider, once", reasons)
				}
				if cause := a.errs(signin.EventSessionEnded)[0]; cause == nil || strings.Count(a.log.String(), "error="+strconv.Quote(cause.Error())) != 1 {
					t.Errorf("got cause %v; want one, which is in the log too, once: %s", cause, a.log.String())
				}
				if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n > 0 && strings.HasPrefix(row.name, "4.4") {
					t.Errorf("refresh tokens: got %d alive; want those received to be revoked", n)
				}
				a.provider.Clear()
				a.wantSignedOut(t, a.handler(), copied)
				a.used(t, 1)
				if n := len(a.reasons(signin.EventSessionEnded)); n != 1 {
					t.Errorf("events: got the end %d times; want it once, however often the cookie is presented", n)
				}
				return
			}
			name, cookies, kind := "Alice Example", []string{"signin 86400"}, signin.EventRefreshed
			switch row.expect {
			case renewed:
				name = "New"
			case waits:
				cookies, kind = nil, signin.EventRefreshFailed
			}
			shows(t, "refreshed", got, name)
			wantCookies(t, "refreshed", got, false, cookies...)
			if last != kind {
				t.Errorf("events: got %q last; want %q", last, kind)
			}
			wait := time.Hour
			if row.expect == waits {
				wait = 2 * time.Second
			}
			clock.add(2*time.Second - 1)
			shows(t, "a moment later", b.get("/name"), name)
			a.used(t, requests)
			a.provider.Clear()
			clock.add(wait)
			shows(t, "the provider works again", b.get("/name"), "New")
			a.used(t, requests+1)
		})
	}
}

// sharedStateFailsInARefresh tests what a browser gets. Package
// internal/refresh tests the failure of each operation.
func sharedStateFailsInARefresh(t *testing.T) {
	t.Run("4.6 the cookie is still set, and this process holds what could not be written", func(t *testing.T) {
		t.Parallel()
		a, clock, shared := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		old := b.copyOf()
		shared.failing(func(op string) bool { return op == "add n" || op == "set n" || op == "delete l" })
		a.renamed("New")
		clock.add(time.Hour)
		got := b.get("/name")
		shows(t, "refreshed", got, "New")
		wantCookies(t, "refreshed", got, false, "signin 86400")
		shared.before(nil)
		clock.add(5 * time.Second) // longer than the back-off, and than the provider tolerates reuse
		shows(t, "the other tab", old.get("/name"), "New")
		shows(t, "the first tab", b.get("/name"), "New")
		a.used(t, 1)
	})
	t.Run("4.6 without a lease nothing is sent, and the handler does not run", func(t *testing.T) {
		t.Parallel()
		a, clock, shared := rotating(t, nil)
		b := a.signedIn(signintest.Alice())
		clock.add(time.Hour)
		shared.failing(func(op string) bool { return op == "add l" })
		got := b.get("/name")
		got.want(t, http.StatusServiceUnavailable, "")
		wantCookies(t, "not refreshed", got, false)
		a.used(t, 0)
		if got := a.kinds(); !slices.Equal(got, []signin.EventKind{signin.EventSignedIn, signin.EventRefreshFailed}) {
			t.Errorf("events: got %q; want signed in, refresh failed", got)
		}
		shared.before(nil)
		clock.add(2 * time.Second)
		wantCookies(t, "refreshed", b.get("/name"), false, "signin 86400")
		a.used(t, 1)
	})
}

// signOutMeanwhile signs out at another replica during the token request. The
// refresh must revoke the token that it receives.
func signOutMeanwhile(t *testing.T) {
	t.Parallel()
	a, clock, _ := rotating(t, nil)
	cookies, other := a.signedIn(signintest.Alice()).session(), a.again(func(*signin.Config) {})
	clock.add(time.Hour)
	a.provider.OnTokenRequest(func(url.Values) {
		a.provider.Inject(faults.Revocation500)
		defer a.provider.Clear()
		signOutWith(other, cookies)
	})
	got := knock(a.handler(), "/name", cookies)
	a.used(t, 1)
	// This is checked now, since the next request with the session would revoke
	// them too.
	if n := a.provider.LiveRefreshTokens(signintest.Alice().Subject); n != 0 {
		t.Errorf("refresh tokens: got %d alive; want none", n)
	}
	for _, c := range got.Cookies() {
		a.wantSignedOut(t, a.handler(), c.Name+"="+c.Value)
	}
	a.wantSignedOut(t, a.handler(), cookies)
	a.wantSignedOut(t, other, cookies)
}

// cookieWritable tests that a changed cookie is set only in answers to some kinds of
// requests. Package internal/requestkind tests which.
func cookieWritable(t *testing.T) {
	t.Parallel()
	a, clock, _ := rotating(t, nil)
	b := a.signedIn(signintest.Alice())
	for i, dest := range []string{"image", "script"} {
		hour := fmt.Sprint("Hour ", i+1)
		a.renamed(hour)
		clock.add(time.Hour)
		got := b.get("/name", "Sec-Fetch-Dest: "+dest)
		shows(t, dest, got, hour)
		wantCookies(t, dest, got, false)
		next := []string{"document", "empty"}[i]
		later := b.get("/name", "Sec-Fetch-Dest: "+next)
		shows(t, next, later, hour)
		wantCookies(t, next+" after "+dest, later, false, "signin 86400")
		wantCookies(t, "once it has arrived", b.get("/name"), false)
		a.used(t, i+1)
	}
	copied := b.session()
	b.do(http.MethodPost, "/sign-out")
	wantCookies(t, "a page of a session that has ended", knock(a.handler(), "/", copied), false)
}
