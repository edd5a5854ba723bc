package callback_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/callback"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/session"
)

// The application's hook is asked when everything else is known, and nothing of the
// session is anywhere yet.
func TestConclude_OnSignIn(t *testing.T) {
	stranger := errors.New("this person is not known here")
	refuse := func(*http.Request, *session.Session) error { return stranger }
	for _, c := range []struct {
		name    string
		old     string
		tx      []func(*authflow.Transaction)
		hook    func(*world, *http.Request, *session.Session) error // nil refuses
		arrange func(*world)
		calls   int
		said    string
		left    string
		err     error
	}{
		{
			name: "it agrees", hook: func(*world, *http.Request, *session.Session) error { return nil }, calls: 1,
			said: "alice to /account: signin -signin.tx", left: "finished leased",
		},
		{name: "it refuses", calls: 1, left: "exchanged revoked the-refresh", err: stranger},
		{name: "it refuses another person than the one before", old: "bob", calls: 1, left: "exchanged revoked the-refresh", err: stranger},
		{name: "it refuses a person who is signed in: that session may rest on the grant", old: "alice", calls: 1, left: "exchanged", err: stranger},
		{name: "it refuses at Logto", arrange: func(w *world) { w.Tokens.Logto = true }, calls: 1, left: "exchanged", err: stranger},
		{
			name: "it panics", hook: func(*world, *http.Request, *session.Session) error { panic("of the hook") }, calls: 1,
			said: "panic of the hook", left: "exchanged revoked the-refresh",
		},
		{
			name: "the person's sessions are ended while it runs", hook: func(w *world, r *http.Request, _ *session.Session) error {
				return w.State.EndPerson(r.Context(), "alice")
			},
			calls: 1, left: "exchanged revoked the-refresh", err: lifecycle.ErrEnded,
		},
		{
			name: "it ends them itself, and the sign-in notes that", hook: func(w *world, r *http.Request, s *session.Session) (err error) {
				s.Number, err = w.State.EndBegun(r.Context(), "alice")
				return err
			},
			calls: 1, said: "alice to /account: signin -signin.tx", left: "finished leased",
		},

		// It is not asked about a sign-in that fails anyway.
		{name: "another nonce", arrange: func(w *world) { w.claims["nonce"] = "another" }, left: "exchanged revoked the-refresh", err: errAny},
		{name: "another person answers a step-up", old: "bob", tx: []func(*authflow.Transaction){func(tx *authflow.Transaction) { tx.Subject = "bob" }},
			left: "exchanged revoked the-refresh", err: callback.ErrStepUp},
		{name: "what the route demands is not met", tx: []func(*authflow.Transaction){demanding}, left: "exchanged revoked the-refresh", err: callback.ErrDemand},
		{name: "what the query asks is not met", old: "alice", tx: []func(*authflow.Transaction){asking}, left: "exchanged", err: callback.ErrAsked},
		{
			name: "the person's sessions were ended before", arrange: func(w *world) { noError(w.t, w.State.EndPerson(w.t.Context(), "alice")) },
			tx:   []func(*authflow.Transaction){func(tx *authflow.Transaction) { tx.Began = tx.Began.Add(-time.Second) }},
			left: "exchanged revoked the-refresh", err: lifecycle.ErrEnded,
		},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			hook := refuse
			if c.hook != nil {
				hook = func(r *http.Request, s *session.Session) error { return c.hook(w, r, s) }
			}
			w.withHook(hook)
			b := browser("")
			if c.old != "" {
				b = w.with(c.old)
			}
			if c.arrange != nil {
				c.arrange(w)
			}
			tx := transaction(c.tx...)
			said, err := w.bring(b.request(), tx)
			if left := w.left(); said != c.said || left != c.left || w.hook != c.calls {
				t.Errorf("got %q, left %q after %d calls of the hook; want %q, %q after %d", said, left, w.hook, c.said, c.left, c.calls)
			}
			var by *callback.Refused
			if errors.As(err, &by) != (c.err == stranger) || by != nil && (by.Err != stranger || errors.Is(err, stranger)) {
				t.Errorf("got error %#v; want a *Refused that does not match the hook's error, and only if the hook refuses", err)
			}
			if c.err != errAny && by == nil {
				wantError(t, err, c.err)
			}
			// A reload asks neither the provider nor the hook again.
			_, _ = w.bring(b.request(), tx)
			if w.hook != c.calls || w.exchanges != 1 {
				t.Errorf("after a reload: got %d calls of the hook, %d token requests; want %d, 1", w.hook, w.exchanges, c.calls)
			}
		})
	}
}

// errAny is an error that none of the sentinels matches.
var errAny = errors.New("any")

func TestConclude_OnSignInTakesLong(t *testing.T) {
	bubble(t, "its context is done after ten seconds, and not when the client goes away", func(t *testing.T, w *world) {
		var took time.Duration
		w.withHook(func(r *http.Request, _ *session.Session) error {
			began := time.Now()
			<-r.Context().Done()
			took = time.Since(began)
			return r.Context().Err()
		})
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		said, err := w.bring(browser("").request().WithContext(ctx), transaction())
		var by *callback.Refused
		if !errors.As(err, &by) || !errors.Is(by.Err, context.DeadlineExceeded) || said != "" || took != 10*time.Second {
			t.Errorf("got %q, %v after %v; want a refusal after ten seconds", said, err, took)
		}
		if left := w.left(); left != "exchanged revoked the-refresh" {
			t.Errorf("got %q left; want the grant given back", left)
		}
	})
	bubble(t, "it ignores that, and refuses after minutes", func(t *testing.T, w *world) {
		w.withHook(func(*http.Request, *session.Session) error { <-time.After(3 * time.Minute); return errAny })
		_, err := w.bring(browser("").request(), transaction())
		by := new(callback.Refused)
		if left := w.left(); !errors.As(err, &by) || by.Err != errAny || left != "exchanged revoked the-refresh" {
			t.Errorf("got %v, left %q; want the grant given back", err, left)
		}
	})
	bubble(t, "a request with the same response waits for it", func(t *testing.T, w *world) {
		w.withHook(func(*http.Request, *session.Session) error { <-time.After(9 * time.Second); return nil })
		go func() { _, _ = w.bring(browser("").request(), transaction()) }()
		<-time.After(time.Millisecond)
		if said, err := w.bring(browser("").request(), transaction()); said != "to /account" || err != nil || w.hook != 1 {
			t.Errorf("got %q, %v after %d calls; want it to go on after one", said, err, w.hook)
		}
	})
}
