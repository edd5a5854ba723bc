package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// admitting is an application with the hook OnSignIn.
func admitting(t *testing.T, hook func(*http.Request, *signin.User) error, also ...func(*signin.Config)) *app {
	t.Helper()
	return newApp(t, with{config: func(c *signin.Config) {
		for _, change := range also {
			change(c)
		}
		c.OnSignIn = hook
	}})
}

// A refused person is not signed in, and the session from before goes on. At an Issuer
// the grant is given back. Package callback tests what else a refusal leaves.
func TestOnSignIn_Refuses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		err    error
		status int
		code   signin.Code
		text   string // on the page
		logto  bool
	}{
		{
			name: "a code", err: signin.ErrForbidden, status: http.StatusForbidden, code: signin.ErrForbidden,
			text: `<a href="/sign-in?prompt=login&amp;return_to=%2Faccount">Use another account</a>`,
		},
		{
			name: "what a rule says", err: signin.HasRole("admin").Check(httptest.NewRequest("GET", "/", nil), &signin.User{}),
			status: http.StatusForbidden, code: signin.ErrForbidden, text: "this account does not have access to this site",
		},
		{
			name: "a code whose page says what to do", err: signin.ErrMFARequired, status: http.StatusForbidden, code: signin.ErrMFARequired,
			text: "a second step",
		},
		{name: "a code, wrapped", err: fmt.Errorf("at the door: %w", signin.ErrForbidden), status: http.StatusForbidden, code: signin.ErrForbidden, text: "Use another account"},
		{
			name: "an *Error", err: &signin.Error{Code: "not_invited", Status: http.StatusConflict, Message: "Ask for an invitation."},
			status: http.StatusConflict, code: "not_invited", text: "Ask for an invitation.",
		},
		{name: "a code of its own", err: signin.Code("missing_role"), status: http.StatusForbidden, code: "missing_role", text: "Use another account"},
		{name: "another error", err: errors.New("the database is down"), status: http.StatusInternalServerError, code: signin.ErrInternal, text: "Something went wrong"},
		{name: "an *Error that is nil", err: (*signin.Error)(nil), status: http.StatusInternalServerError, code: signin.ErrInternal, text: "Something went wrong"},
		{name: "at Logto the grant stays", err: signin.ErrForbidden, status: http.StatusForbidden, code: signin.ErrForbidden, text: "another account", logto: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			kind := otherProvider
			if row.logto {
				kind = func(*signin.Config) {}
			}
			a := admitting(t, func(_ *http.Request, u *signin.User) error {
				if u.Subject == signintest.Alice().Subject {
					return row.err
				}
				return nil
			}, kind)
			b := a.signedIn(signintest.Bob())
			before, said := b.session(), len(a.log.String())
			got := b.visit("/sign-in?return_to=%2Faccount", signintest.Alice())
			got.want(t, row.status, "")
			if !strings.Contains(got.body, row.text) || strings.Contains(got.body, "database") || strings.Contains(got.body, "You are signed in") {
				t.Errorf("page: got %q; want %q in it, and no cause", got.body, row.text)
			}
			want := refusal{row.status, row.code, 0}
			want.wantError(t, a.errs(signin.EventSignInFailed))
			want.wantLogged(t, a.log.String()[said:])
			if b.session() != before || b.who() != signintest.Bob().Subject || a.signIns() != 1 {
				t.Errorf("got %q signed in; want Bob still, with the cookies from before", b.who())
			}
			if n := a.provider.Stats().Revocations; (n == 0) != row.logto {
				t.Errorf("got %d revocations; want one, and none at Logto", n)
			}
		})
	}
}

// A page of the application that began the sign-in has options of its own, so nothing can
// begin it for another account. No page then offers that, the application's own neither.
func TestOnSignIn_RefusesWhatAPageBegan(t *testing.T) {
	t.Parallel()
	var shown signin.Page
	a := admitting(t, func(*http.Request, *signin.User) error { return signin.ErrForbidden }, func(c *signin.Config) {
		c.Pages = func(w http.ResponseWriter, _ *http.Request, p *signin.Page) { shown = *p; w.WriteHeader(p.Status) }
	})
	a.mount("/vip", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		location, _ := a.auth.BeginSignIn(w, r)
		http.Redirect(w, r, location, http.StatusSeeOther)
	}))
	a.browser().visit("/vip", signintest.Alice()).want(t, http.StatusForbidden, "")
	if len(shown.Actions) != 1 || shown.Actions[0].URL != "/" {
		t.Errorf("got %+v; want the way home alone", shown.Actions)
	}
}

// What a hook panics with reaches the application's own middleware.
func TestOnSignIn_Panics(t *testing.T) {
	t.Parallel()
	a := admitting(t, func(*http.Request, *signin.User) error { panic("of the hook") }, otherProvider)
	b := a.browser()
	back := b.responded()
	var got answer
	said := panicOf(func() { got = knock(a.handler(), strings.TrimPrefix(back, a.server.URL), b.cookies()) })
	if said != "of the hook" || got.Response != nil || a.signIns() != 0 || a.provider.Stats().Revocations != 1 {
		t.Errorf("got panic %q, %d sign-ins, %d revocations; want the hook's, none, and one", said, a.signIns(), a.provider.Stats().Revocations)
	}
}

// The hook is asked at each sign-in and step-up, with the user in the context, and not
// when a response comes again.
func TestOnSignIn_Context(t *testing.T) {
	t.Parallel()
	var calls int
	var a *app
	check := func(r *http.Request, u *signin.User) error {
		calls++
		ctx := r.Context()
		if from, ok := signin.UserFrom(ctx); !ok || from.Subject != u.Subject || u.Subject != signintest.Alice().Subject || r.URL.Path != "/callback" {
			t.Errorf("got user %+v at %s; want Alice at the callback", from, r.URL.Path)
		}
		if left, ok := ctx.Deadline(); !ok || time.Until(left) > 10*time.Second {
			t.Errorf("got deadline %v; want ten seconds", left)
		}
		if token, err := signin.AccessToken(ctx); err != nil || token.AccessToken == "" {
			t.Errorf("the sign-in's own token: got %v, %v; want one", token, err)
		}
		if token, err := signin.AccessToken(ctx, signin.ForResource("https://api.test")); token != nil || !errors.Is(err, signin.ErrInternal) {
			t.Errorf("a token of a resource: got %v, %v; want an error", token, err)
		}
		if info, err := signin.FetchUserInfo[struct{ Sub string }](ctx); err != nil || info.Sub != u.Subject {
			t.Errorf("userinfo: got %+v, %v; want Alice's", info, err)
		}
		return nil
	}
	a = admitting(t, check, func(c *signin.Config) { c.Resources = []string{"https://api.test"} })
	b := a.browser()
	back := b.responded()
	for range 2 {
		b.get(back).want(t, http.StatusSeeOther, "/account")
	}
	if exchanges := a.provider.Stats(); calls != 1 || exchanges.Exchanges != 1 || exchanges.Refreshes != 0 {
		t.Errorf("a response that came twice: got %d calls, %+v; want one, one exchange, and no refresh", calls, exchanges)
	}
	if b.visit("/sign-in?max_age=0&return_to=%2Faccount", signintest.Alice()); calls != 2 {
		t.Errorf("after a step-up: got %d calls; want two", calls)
	}
}

// A user whose account was taken over resets the password, and signs in with it: the
// hook ends all sessions but this one.
func TestOnSignIn_EndSessions(t *testing.T) {
	t.Parallel()
	alice, bob := signintest.Alice(), signintest.Bob()
	for _, row := range []struct {
		name       string
		end        func(a *app, ctx context.Context) error
		late       bool // end runs when the hook has returned
		owner      string
		thief, bob string
		goesOn     [2]bool // sign-ins of Alice and Bob that are under way elsewhere
	}{
		{
			name:  "hers: a thief who came in between the start and the callback is out",
			end:   func(a *app, ctx context.Context) error { return a.auth.EndSessions(ctx, alice.Subject) },
			owner: alice.Subject, thief: notSignedIn, bob: bob.Subject, goesOn: [2]bool{true, true},
		},
		{
			name:  "another person's",
			end:   func(a *app, ctx context.Context) error { return a.auth.EndSessions(ctx, bob.Subject) },
			owner: alice.Subject, thief: alice.Subject, bob: notSignedIn, goesOn: [2]bool{true, false},
		},
		{
			name: "hers, in a goroutine that the hook waits for",
			end: func(a *app, ctx context.Context) (err error) {
				var all sync.WaitGroup
				all.Go(func() { err = a.auth.EndSessions(ctx, alice.Subject) })
				all.Wait()
				return err
			},
			owner: alice.Subject, thief: notSignedIn, bob: bob.Subject, goesOn: [2]bool{true, true},
		},
		{
			name: "hers, when the hook has returned: this one too", late: true,
			end: func(a *app, ctx context.Context) error {
				return a.auth.EndSessions(context.WithoutCancel(ctx), alice.Subject)
			},
			owner: notSignedIn, thief: notSignedIn, bob: bob.Subject, goesOn: [2]bool{false, true},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var a *app
			var armed bool
			var kept context.Context
			a = admitting(t, func(r *http.Request, _ *signin.User) error {
				if kept = r.Context(); !armed || row.late {
					return nil
				}
				return row.end(a, kept)
			})
			owner, other := a.browser(), a.signedIn(bob)
			back := owner.responded()
			thief := a.signedIn(alice)
			elsewhere := [2]*browser{a.browser(), a.browser()}
			backs := [2]string{elsewhere[0].responded(), elsewhere[1].respond(a.provider, "/sign-in?return_to=%2Faccount", bob)}
			armed = true
			owner.get(back).want(t, http.StatusSeeOther, "/account")
			armed = false
			if row.late {
				if err := row.end(a, kept); err != nil {
					t.Errorf("EndSessions: got error %v; want none", err)
				}
			}
			if o, th, b := owner.who(), thief.who(), other.who(); o != row.owner || th != row.thief || b != row.bob {
				t.Errorf("signed in afterwards: got %q, thief %q, Bob %q; want %q, %q, %q", o, th, b, row.owner, row.thief, row.bob)
			}
			for i, b := range elsewhere {
				if got := b.get(backs[i]); (got.StatusCode == http.StatusSeeOther) != row.goesOn[i] {
					t.Errorf("the sign-in under way of %s: got %s; want that it goes on: %t", []string{"Alice", "Bob"}[i], got.Status, row.goesOn[i])
				}
			}
		})
	}
}

// A hook may return while a goroutine of it ends the sessions: the sign-in waits, and is
// spared. Run with -race.
func TestOnSignIn_EndSessionsWhileItReturns(t *testing.T) {
	t.Parallel()
	var a *app
	var all sync.WaitGroup
	shared, returned := new(mapState), make(chan struct{})
	a = admitting(t, func(r *http.Request, u *signin.User) error {
		defer close(returned)
		writing := make(chan struct{})
		shared.before(func(op, key string) error {
			if op == "set" && key[0] == 'x' {
				close(writing)
				<-returned
			}
			return nil
		})
		all.Go(func() {
			if err := a.auth.EndSessions(r.Context(), u.Subject); err != nil {
				t.Errorf("EndSessions: got error %v; want none", err)
			}
		})
		<-writing
		return nil
	}, func(c *signin.Config) { c.Shared = shared })
	b := a.browser()
	b.get(b.responded()).want(t, http.StatusSeeOther, "/account")
	all.Wait()
	if who := b.who(); who != signintest.Alice().Subject {
		t.Errorf("got %q signed in; want Alice", who)
	}
}
