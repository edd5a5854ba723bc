package callback_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/callback"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/session"
)

// sentinels are the errors by which an application tells failures apart.
var sentinels = []error{
	callback.ErrUsed, callback.ErrStepUp, callback.ErrAsked, callback.ErrDemand,
	lifecycle.ErrEnded, lifecycle.ErrShared, lifecycle.ErrStore, lifecycle.ErrTooLarge,
}

// wantError checks that an error matches want and no other sentinel, and holds no secret.
func wantError(t *testing.T, got, want error) {
	t.Helper()
	if (got == nil) != (want == nil) || !errors.Is(got, want) {
		t.Errorf("got error %v; want %v", got, want)
	}
	for _, e := range sentinels {
		if e != want && errors.Is(got, e) {
			t.Errorf("got error %v, which matches %v; want %v", got, e, want)
		}
	}
	if got == nil {
		return
	}
	for _, secret := range []string{"the-code", "the-nonce", "the-verifier", "the-access", "the-refresh"} {
		if strings.Contains(got.Error(), secret) {
			t.Errorf("got %q in error %v; want no secret", secret, got)
		}
	}
}

// asking makes a transaction one whose query asks for a class that is not given.
func asking(tx *authflow.Transaction) { tx.Asked = authflow.Demand{ACR: []string{"mfa"}} }

// demanding makes a transaction one whose route demands a class that is not given.
func demanding(tx *authflow.Transaction) { tx.Demand = authflow.Demand{ACR: []string{"mfa"}} }

// stepUp makes a transaction a step-up of Alice.
func stepUp(tx *authflow.Transaction) { tx.Subject = "alice" }

// crowd takes all places at the provider.
func crowd(w *world) {
	for range 32 {
		_, _, err := w.Provider.Admit(w.t.Context())
		noError(w.t, err)
	}
}

// What each failure leaves: a code that is used up is marked and never given to the
// provider again, a lease is released unless nothing else says that, and what was
// granted is given back unless a session of this browser may rest on it.
func TestConclude(t *testing.T) {
	const started = "alice to /account: signin -signin.tx"
	refused := errors.New("a *provider.Error")
	for _, c := range []struct {
		name    string
		old     string // who has a session in this browser
		tx      []func(*authflow.Transaction)
		arrange func(*world)
		fails   string
		nth     int
		server  bool
		said    string
		left    string
		err     error // refused is any of package provider
	}{
		{name: "a good response", said: started, left: "finished leased"},
		{name: "a good response, with a session from before", old: "bob", said: started, left: "finished leased"},
		{name: "no place to return to", tx: []func(*authflow.Transaction){func(tx *authflow.Transaction) { tx.ReturnTo = "" }}, said: "alice : signin -signin.tx", left: "finished leased"},
		{name: "the step-up of the same person", old: "alice", tx: []func(*authflow.Transaction){stepUp}, said: started, left: "finished leased"},
		{name: "that it is finished cannot be written", fails: "set u", nth: 2, said: started, left: "exchanged leased"},

		// The code can be used again.
		{name: "the lease cannot be taken", fails: "add c", nth: 1, err: lifecycle.ErrShared},
		{name: "how it stands cannot be read", fails: "get", nth: 1, err: lifecycle.ErrShared},
		{name: "its turn does not come", arrange: crowd, err: refused},
		{name: "the provider refuses the code", arrange: func(w *world) {
			w.status, w.claims, w.members = http.StatusBadRequest, nil, object{"error": "invalid_grant"}
		}, err: refused},

		// The code is used up.
		{name: "an answer without an ID token", arrange: func(w *world) { w.claims = nil }, left: "exchanged revoked the-refresh", err: refused},
		{
			name: "an ID token with another nonce", arrange: func(w *world) { w.claims["nonce"] = "another" },
			left: "exchanged revoked the-refresh", err: refused,
		},
		{
			name: "an ID token with another nonce, and Alice is signed in", old: "alice", arrange: func(w *world) { w.claims["nonce"] = "another" },
			left: "exchanged", err: refused,
		},
		{
			name: "no refresh token: there is nothing to give back", arrange: func(w *world) { delete(w.members, "refresh_token"); w.claims["nonce"] = "x" },
			left: "exchanged", err: refused,
		},
		{
			name: "at Logto nothing is given back", arrange: func(w *world) { w.Tokens.Logto, w.claims["nonce"] = true, "x" },
			left: "exchanged", err: refused,
		},
		{
			name: "that the code is used up cannot be written: the lease says so", fails: "set u", nth: 1,
			left: "leased revoked the-refresh", err: lifecycle.ErrShared,
		},

		// Who has signed in, and how.
		{
			name: "another person answers a step-up", old: "alice", tx: []func(*authflow.Transaction){stepUp},
			arrange: func(w *world) { w.claims["sub"] = "bob" }, left: "exchanged revoked the-refresh", err: callback.ErrStepUp,
		},
		{name: "what the route demands is not met", tx: []func(*authflow.Transaction){demanding}, left: "exchanged revoked the-refresh", err: callback.ErrDemand},
		{
			name: "what the route demands is not met by a step-up", old: "alice", tx: []func(*authflow.Transaction){demanding, asking, stepUp},
			left: "exchanged", err: callback.ErrStepUp,
		},
		{name: "what the query asks is not met, without a session", tx: []func(*authflow.Transaction){asking}, said: "alice to /account unmet: signin -signin.tx", left: "finished leased"},
		{name: "what the query asks is not met, with one", old: "alice", tx: []func(*authflow.Transaction){asking}, left: "exchanged", err: callback.ErrAsked},
		{
			name: "what the query asks is not met, with one of another person", old: "bob", tx: []func(*authflow.Transaction){asking},
			left: "exchanged revoked the-refresh", err: callback.ErrAsked,
		},
		{
			name: "what the query asks is not met by a step-up, whose session has gone", tx: []func(*authflow.Transaction){asking, stepUp},
			left: "exchanged revoked the-refresh", err: callback.ErrAsked,
		},
		{
			name: "what the query asks is not met, and the store fails", server: true, tx: []func(*authflow.Transaction){asking}, fails: "read", nth: 2,
			left: "exchanged revoked the-refresh", err: lifecycle.ErrStore,
		},

		// The session cannot begin.
		{
			name: "the person's sessions were ended after it began", arrange: func(w *world) { noError(w.t, w.State.EndPerson(w.t.Context(), "alice")) },
			tx:   []func(*authflow.Transaction){func(tx *authflow.Transaction) { tx.Began = tx.Began.Add(-time.Second) }},
			left: "exchanged revoked the-refresh", err: lifecycle.ErrEnded,
		},
		{name: "the person cannot be read", fails: "get", nth: 2, left: "exchanged revoked the-refresh", err: lifecycle.ErrShared},
		{name: "the store does not take it", server: true, fails: "save", nth: 1, left: "exchanged revoked the-refresh", err: lifecycle.ErrStore},
		{
			name: "it does not fit", arrange: func(w *world) { w.claims["x"] = strings.Repeat("x", 8000) },
			left: "exchanged revoked the-refresh", err: lifecycle.ErrTooLarge,
		},
		{name: "the old one cannot be ended", old: "bob", fails: "add e", nth: 1, left: "exchanged revoked the-refresh", err: lifecycle.ErrShared},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			b := browser("")
			if c.server {
				w.keepOnServer()
			}
			if c.old != "" {
				b = w.with(c.old)
			}
			if c.arrange != nil {
				c.arrange(w)
			}
			tx := transaction(c.tx...)
			w.failing(c.fails, c.nth)
			said, err := w.bring(b.request(), tx)
			if left := w.left(); said != c.said || left != c.left {
				t.Errorf("got %q, and left %q; want %q, %q (%v)", said, left, c.said, c.left, err)
			}
			if pe := new(provider.Error); c.err != refused {
				wantError(t, err, c.err)
			} else if !errors.As(err, &pe) {
				t.Errorf("got error %v; want one of package provider", err)
			}
			// Whatever happened, the provider gets a code that it has redeemed only once.
			before := w.exchanges
			_, _ = w.bring(b.request(), tx)
			if used := strings.Contains(c.left, "exchanged") || strings.Contains(c.left, "leased"); used && w.exchanges != before {
				t.Errorf("the response once more: got %d token requests; want none", w.exchanges-before)
			}
		})
	}
}

// A session that does not sign its browser in is none that a step-up may keep.
func TestConclude_StaleSession(t *testing.T) {
	bubble(t, "what the query asks is not met", func(t *testing.T, w *world) {
		var old *session.Session
		b := w.with("alice", func(s *session.Session) { old = s })
		for n := range uint64(3) {
			next := *old
			next.Generation = n + 1
			_, err := w.State.AddSuccessor(t.Context(), old, &next)
			noError(t, err)
			noError(t, w.State.Show(t.Context(), old.ID, n, n+1))
			old = &next
			<-time.After(2 * time.Hour)
		}
		w.claims["iat"], w.claims["exp"] = time.Now().Unix(), time.Now().Unix()+3600
		said, err := w.bring(b.request(), transaction(asking))
		wantError(t, err, nil)
		if want := "alice to /account unmet: signin -signin.tx"; said != want {
			t.Errorf("got %q; want %q", said, want)
		}
	})
}

// A browser may go on sending a cookie that is not ours: it must not be sent to sign in
// for ever.
func TestConclude_UnreadableCookie(t *testing.T) {
	bubble(t, "it is noted", func(t *testing.T, w *world) {
		said, err := w.bring(browser("signin=x").request(), transaction())
		wantError(t, err, nil)
		if !strings.HasSuffix(said, "signin.unread") {
			t.Errorf("got %q; want it noted", said)
		}
	})
}

// The code is good once, so a callback goes on without its client.
func TestConclude_ClientGoesAway(t *testing.T) {
	bubble(t, "during the exchange", func(t *testing.T, w *world) {
		ctx, leave := context.WithCancel(t.Context())
		w.before = leave
		said, err := w.bring(browser("").request().WithContext(ctx), transaction())
		wantError(t, err, nil)
		if left := w.left(); !slices.Contains(strings.Fields(said), "signin") || left != "finished leased" {
			t.Errorf("got %q, left %q; want a session, and the mark for the reload", said, left)
		}
	})
}

func TestConclude_GivesItsTurnBack(t *testing.T) {
	bubble(t, "32 codes that the provider refuses, and a good one", func(t *testing.T, w *world) {
		w.status = http.StatusBadRequest
		for range 32 {
			_, _ = w.bring(browser("").request(), transaction())
		}
		w.status = http.StatusOK
		said, err := w.bring(browser("").request(), transaction())
		if wantError(t, err, nil); w.exchanges != 33 {
			t.Errorf("got %q after %d token requests; want a session", said, w.exchanges)
		}
	})
}
