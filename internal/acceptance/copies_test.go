package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A copy of a cookie that is used as often as the original works until the session
// ends.
func TestCopy_InUseUntilASignOut(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(*app, *browser){
		"the owner signs out":                       func(_ *app, b *browser) { b.do(http.MethodPost, "/sign-out") },
		"the owner signs in again":                  func(_ *app, b *browser) { b.signInAs(signintest.Alice()) },
		"the application ends the owner's sessions": func(a *app, _ *browser) { _ = a.auth.EndSessions(context.Background(), signintest.Alice().Subject) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock := stoppedApp(t, with{provider: []signintest.Option{signintest.WithRefreshRotation()}})
			owner := a.signedIn(signintest.Alice())
			thief := owner.copyOf()
			for range 5 {
				clock.add(50 * time.Minute)
				if o, c := owner.who(), thief.who(); o != signintest.Alice().Subject || c != o {
					t.Fatalf("got %q and %q; want Alice in both browsers", o, c)
				}
			}
			ends(a, owner)
			if got := thief.who(); got != "not signed in" {
				t.Errorf("the thief: got %q; want no user signed in", got)
			}
		})
	}
}

// staleCopy returns an owner's browser that has been in use for ten hours, and
// a copy of it that has not been used since the sign-in.
func staleCopy(t *testing.T, a *app, clock *stopped) (owner, thief *browser) {
	t.Helper()
	owner = a.signedIn(signintest.Alice())
	thief = owner.copyOf()
	for range 20 {
		clock.add(30 * time.Minute)
		if got := owner.who(); got != signintest.Alice().Subject {
			t.Fatalf("the owner: got %q; want Alice", got)
		}
	}
	return owner, thief
}

func TestCopy_Stale(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{provider: []signintest.Option{signintest.WithRefreshRotation()}})
	owner, thief := staleCopy(t, a, clock)
	clock.add(2 * time.Hour) // so that a refresh is due
	before := a.provider.Stats().Refreshes
	got := thief.get("/account")
	got.want(t, http.StatusSeeOther, "/sign-in?return_to=%2Faccount")
	if cookies := got.Header["Set-Cookie"]; len(cookies) > 0 {
		t.Errorf("got cookies %q; want none set", cookies)
	}
	if n := a.provider.Stats().Refreshes; n != before {
		t.Errorf("got %d refreshes; want none, since the copy's refresh token must not be sent", n-before)
	}
	if kinds := a.kinds(); !slices.Contains(kinds, signin.EventStaleSession) || slices.Contains(kinds, signin.EventSessionEnded) {
		t.Errorf("got events %v; want %v, and no session ended", kinds, signin.EventStaleSession)
	}
	if got := owner.who(); got != signintest.Alice().Subject {
		t.Errorf("the owner: got %q; want still Alice", got)
	}
}

// The stale cookie may be the owner's. The owner's sign-in then ends the session for
// the other browser.
func TestCopy_SignInWithStaleCookie(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{provider: []signintest.Option{signintest.WithRefreshRotation()}})
	other, stale := staleCopy(t, a, clock)
	stale.signInAs(signintest.Alice())
	if got := stale.who(); got != signintest.Alice().Subject {
		t.Errorf("the browser that signed in: got %q; want Alice", got)
	}
	if got := other.who(); got != "not signed in" {
		t.Errorf("the other browser: got %q; want it signed out", got)
	}
}

// Nor is a person with a stale cookie kept out by a demand that the provider does not
// meet: as without a session, they are signed in, and get a page.
func TestCopy_UnmetDemandWithStaleCookie(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{config: otherProvider, provider: []signintest.Option{signintest.WithRefreshRotation()}})
	_, stale := staleCopy(t, a, clock)
	got := stale.visit("/sign-in?acr_values=mfa&return_to=%2Faccount", signintest.Alice())
	got.want(t, http.StatusForbidden, "")
	if who := stale.who(); who != signintest.Alice().Subject || got.action(t) != "/account" {
		t.Errorf("got %q signed in, and a link to %q; want Alice, and the page", who, got.action(t))
	}
}

// A page that polls sends the cookie of a session that has ended. Its answer
// may arrive after that of a new sign-in in another tab, so it sets no cookie.
func TestEndedSession_CookieIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*app, *stopped, *browser){
		"signed out":           func(_ *app, _ *stopped, b *browser) { b.copyOf().do(http.MethodPost, "/sign-out") },
		"idle":                 func(_ *app, c *stopped, _ *browser) { c.add(25 * time.Hour) },
		"ended by application": func(a *app, _ *stopped, _ *browser) { _ = a.auth.EndSessions(context.Background(), "alice0000001") },
		"refused by provider": func(a *app, c *stopped, _ *browser) {
			a.provider.Suspend("alice0000001")
			c.add(2 * time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock := stoppedApp(t, with{})
			b := a.signedIn(signintest.Alice())
			end(a, clock, b)
			for _, path := range []string{"/", "/account"} {
				if got := b.get(path); len(got.Header["Set-Cookie"]) > 0 || got.body == "alice0000001" {
					t.Errorf("%s: got cookies %q and %q; want neither a cookie nor Alice", path, got.Header["Set-Cookie"], got.body)
				}
			}
		})
	}
}

// A handler that is still running after the sign-out gets no more tokens.
func TestAccessToken_AfterTheSignOut(t *testing.T) {
	t.Parallel()
	a, clock := stoppedApp(t, with{})
	b := a.signedIn(signintest.Alice())
	a.within(t, b.session(), func(ctx context.Context) {
		if _, err := signin.AccessToken(ctx); err != nil {
			t.Fatalf("got error %v; want a token", err)
		}
		b.do(http.MethodPost, "/sign-out")
		clock.add(6 * time.Second)
		if token, err := signin.AccessToken(ctx); !errors.Is(err, signin.ErrNotSignedIn) {
			t.Errorf("got %v, %v; want ErrNotSignedIn", token, err)
		}
	})
}

// twoReplicas are an application and another Auth with the same shared state.
func twoReplicas(t *testing.T) (a *app, clock *stopped, other *signin.Auth) {
	t.Helper()
	a, clock = stoppedApp(t, with{config: func(c *signin.Config) { c.Shared = new(mapState) }})
	return a, clock, newAuth(t, a.cfg)
}

func TestEndSessions(t *testing.T) {
	t.Parallel()
	a, clock, other := twoReplicas(t)
	alice, phone, bob := a.signedIn(signintest.Alice()), a.signedIn(signintest.Alice()), a.signedIn(signintest.Bob())
	clock.add(time.Second)
	if err := other.EndSessions(t.Context(), "alice0000001"); err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	for name, row := range map[string]struct {
		b    *browser
		want string
	}{"Alice": {alice, "not signed in"}, "Alice's phone": {phone, "not signed in"}, "Bob": {bob, signintest.Bob().Subject}} {
		if got := row.b.who(); got != row.want {
			t.Errorf("%s: got %q; want %q", name, got, row.want)
		}
	}
	if reasons := a.reasons(signin.EventSessionEnded); !slices.Equal(reasons, []string{"application", "application"}) {
		t.Errorf("got reasons %q; want both sessions ended by the application", reasons)
	}
	clock.add(time.Second)
	if got := a.signedIn(signintest.Alice()).who(); got != "alice0000001" {
		t.Errorf("a sign-in afterwards: got %q; want Alice", got)
	}
	if err := other.EndSessions(t.Context(), ""); !errors.Is(err, signin.ErrBadRequest) {
		t.Errorf("no subject: got %v; want ErrBadRequest", err)
	}
	broken, _, fail := fragile(t)
	fail("shared set")
	if err := broken.auth.EndSessions(t.Context(), "alice0000001"); !errors.Is(err, signin.ErrSharedUnavailable) {
		t.Errorf("shared state fails: got %v; want ErrSharedUnavailable", err)
	}
}

// A sign-in makes no session if the application or the provider ends the
// person's sessions while it is under way.
func TestEndMeanwhile_RefusesTheSignIn(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, a *app, other *signin.Auth){
		"EndSessions": func(t *testing.T, _ *app, other *signin.Auth) {
			if err := other.EndSessions(t.Context(), "alice0000001"); err != nil {
				t.Error(err)
			}
		},
		"a logout token": func(t *testing.T, a *app, other *signin.Auth) {
			logoutAt(t, other, a.provider.LogoutToken("alice0000001", ""))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, clock, other := twoReplicas(t)
			b := a.browser()
			got := b.signInWhile(signintest.Alice(), func() {
				clock.add(time.Second)
				end(t, a, other)
			})
			if got.StatusCode != http.StatusBadRequest || b.who() != "not signed in" {
				t.Errorf("got %d, and %q signed in; want 400 and no session", got.StatusCode, b.who())
			}
			if n := a.provider.Stats().Revocations; n != 0 {
				t.Errorf("got %d revocations; want none, since the grant may be that of another sign-in", n)
			}
		})
	}
}

func TestEnds_ClocksOfReplicasDiffer(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-40 * time.Second, 40 * time.Second} {
		for name, end := range map[string]func(t *testing.T, p *app, other *signin.Auth){
			"EndSessions": func(t *testing.T, _ *app, other *signin.Auth) {
				if err := other.EndSessions(t.Context(), "alice0000001"); err != nil {
					t.Error(err)
				}
			},
			"a logout token for the person": func(t *testing.T, a *app, other *signin.Auth) {
				logoutAt(t, other, a.provider.LogoutToken("alice0000001", ""))
			},
			"a logout token for the session": func(t *testing.T, a *app, other *signin.Auth) {
				logoutAt(t, other, a.provider.LogoutToken("", a.provider.SessionIDs("alice0000001")[0]))
			},
		} {
			t.Run(fmt.Sprint(name, " at a replica that is off by ", off), func(t *testing.T) {
				t.Parallel()
				a, clock := stoppedApp(t, with{config: func(c *signin.Config) { c.Shared = new(mapState) }})
				b := a.signedIn(signintest.Alice())
				clock.add(time.Second)
				cfg := a.cfg
				cfg.Now = func() time.Time { return clock.now().Add(off) }
				end(t, a, newAuth(t, cfg))
				if got := b.who(); got != "not signed in" {
					t.Errorf("got %q; want the session ended", got)
				}
				clock.add(41 * time.Second) // a replica that is ahead refuses sign-ins for that long
				if got := a.signedIn(signintest.Alice()).who(); got != "alice0000001" {
					t.Errorf("a sign-in afterwards: got %q; want Alice", got)
				}
			})
		}
	}
}

// logoutAt sends a logout token to one replica.
func logoutAt(t *testing.T, auth *signin.Auth, token string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/backchannel-logout", nil)
	r.PostForm = map[string][]string{"logout_token": {token}}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	auth.BackChannelLogout()(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("got %d %q; want 200", w.Code, w.Body)
	}
}
