package refresh_test

import (
	"context"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// CASES 4.7, one process at a time.
func TestASignOutWins(t *testing.T) {
	t.Parallel()
	bubble(t, "before the refresh: the provider is not asked", func(t *testing.T, w *world) {
		r := generation(0)
		w.end(t, r, sharedstate.SignedOut)
		for _, must := range []bool{false, true} {
			got, err := w.replica().Refresh(t.Context(), r, 0, must)
			wantEnded(t, got, err, sharedstate.SignedOut)
			if err != nil && err.Error() != "signin: session has ended" {
				t.Errorf("got %q; want an error that says so", err)
			}
		}
		w.want(t, nil, nil, nil)
	})
	bubble(t, "while the provider answers: what it gave is revoked and not written", func(t *testing.T, w *world) {
		r := generation(1)
		w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
			w.end(t, r, sharedstate.SignedOut)
			return fresh(r), nil
		}
		got, err := w.replica().Refresh(t.Context(), r, 1, true)
		wantEnded(t, got, err, sharedstate.SignedOut)
		w.want(t, []string{"token 1"}, []string{"token 2"}, nil)
		if s := w.standing(t, r); !s.Ended || s.Successor != nil {
			t.Errorf("got %+v; want it ended, and no successor", s)
		}
	})
	bubble(t, "after the refresh: the newest token is found", func(t *testing.T, w *world) {
		r := generation(0)
		got, err := w.replica().Refresh(t.Context(), r, 0, true)
		wantToken(t, got, err, "token 1")
		w.end(t, r, sharedstate.SignedOut)
		if last := w.replica().Last(t.Context(), r); last.RefreshToken != "token 1" {
			t.Errorf("Last: got %q; want the token that is alive", last.RefreshToken)
		}
	})
	bubble(t, "when the lease is over by then, what was received is revoked all the same", func(t *testing.T, w *world) {
		asked := false
		w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
			w.end(t, r, sharedstate.SignedOut)
			asked = true
			return fresh(r), nil
		}
		w.after = func(operation, _ string) {
			if operation == "get" && asked {
				after(lease + time.Second)
			}
		}
		got, err := w.replica().Refresh(t.Context(), generation(0), 0, true)
		wantEnded(t, got, err, sharedstate.SignedOut)
		w.want(t, []string{"token 0"}, []string{"token 1"}, nil)
	})
}
