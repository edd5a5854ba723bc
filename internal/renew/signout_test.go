package renew_test

import (
	"context"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/record"
)

// CASES 4.7, one process at a time.
func TestASignOutWins(t *testing.T) {
	t.Parallel()
	bubble(t, "before the refresh: the provider is not asked", func(t *testing.T, w *world) {
		r := session(0)
		w.end(t, r, ledger.SignedOut)
		for _, must := range []bool{false, true} {
			got, err := w.replica().Renew(t.Context(), r, 0, must)
			wantEnded(t, got, err, ledger.SignedOut)
			if err != nil && err.Error() != "signin: session has ended" {
				t.Errorf("got %q; want an error that says so", err)
			}
		}
		w.want(t, nil, nil, nil)
	})
	bubble(t, "while the provider answers: what it gave is revoked and not written", func(t *testing.T, w *world) {
		r := session(1)
		w.answer = func(_ context.Context, r *record.Record) (*record.Record, error) {
			w.end(t, r, ledger.SignedOut)
			return fresh(r), nil
		}
		got, err := w.replica().Renew(t.Context(), r, 1, true)
		wantEnded(t, got, err, ledger.SignedOut)
		w.want(t, []string{"token 1"}, []string{"token 2"}, nil)
		if s := w.standing(t, r); !s.Ended || s.Next != nil {
			t.Errorf("got %+v; want it ended, and no successor", s)
		}
	})
	bubble(t, "after the refresh: the newest token is found", func(t *testing.T, w *world) {
		r := session(0)
		got, err := w.replica().Renew(t.Context(), r, 0, true)
		wantToken(t, got, err, "token 1")
		w.end(t, r, ledger.SignedOut)
		if last := w.replica().Last(t.Context(), r); last.RefreshToken != "token 1" {
			t.Errorf("Last: got %q; want the token that is alive", last.RefreshToken)
		}
	})
	bubble(t, "when the lease is over by then, what was received is revoked all the same", func(t *testing.T, w *world) {
		asked := false
		w.answer = func(_ context.Context, r *record.Record) (*record.Record, error) {
			w.end(t, r, ledger.SignedOut)
			asked = true
			return fresh(r), nil
		}
		w.after = func(operation, _ string) {
			if operation == "get" && asked {
				after(lease + time.Second)
			}
		}
		got, err := w.replica().Renew(t.Context(), session(0), 0, true)
		wantEnded(t, got, err, ledger.SignedOut)
		w.want(t, []string{"token 0"}, []string{"token 1"}, nil)
	})
}
