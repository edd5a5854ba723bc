package refresh_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// CASES 4.8.
func TestLease(t *testing.T) {
	t.Parallel()
	lock := func(t *testing.T, w *world, r *session.Session) {
		t.Helper()
		if ok, err := w.state.TakeLease(t.Context(), r, lease); !ok || err != nil {
			t.Fatalf("TakeLease: got %v, %v; want true", ok, err)
		}
	}
	bubble(t, "when its holder has died, another takes over after the lease, with a whole lease for itself", func(t *testing.T, w *world) {
		r := generation(0)
		lock(t, w, r)
		begin := time.Now()
		w.answer = func(ctx context.Context, r *session.Session) (*session.Session, error) {
			if waited := time.Since(begin); waited < lease || waited > lease+time.Second {
				t.Errorf("took over after %v; want after %v", waited, lease)
			}
			if end, ok := ctx.Deadline(); !ok || time.Until(end) != asking {
				t.Errorf("got %v for the token request; want %v", time.Until(end), asking)
			}
			return fresh(r), nil
		}
		after(100 * time.Millisecond)
		next, err := w.replica().Refresh(t.Context(), r, 0, true)
		wantToken(t, next, err, "token 1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "a holder that never finishes makes the others give up in the end", func(t *testing.T, w *world) {
		r := generation(0)
		w.before = func(_ context.Context, operation, key string) error {
			if operation == "add l" { // each time it lapses somebody else has it
				_ = w.Memory.Set(context.Background(), key, []byte{1}, lease)
			}
			return nil
		}
		begin := time.Now()
		next, err := w.replica().Refresh(t.Context(), r, 0, true)
		wantPassing(t, err)
		if waited := time.Since(begin); next != nil || waited != 2*lease {
			t.Errorf("got %v after %v; want nothing after %v", next, waited, 2*lease)
		}
		w.want(t, nil, nil, []string{"0 failed"})
	})
	bubble(t, "a replica that waits hears of a sign-out", func(t *testing.T, w *world) {
		r := generation(0)
		lock(t, w, r)
		waiting := start(t.Context(), w.replica(), r, 0, true)
		after(time.Second)
		w.end(t, r, sharedstate.SignedOut)
		begin := time.Now()
		got := <-waiting
		if waited := time.Since(begin); waited > time.Second {
			t.Errorf("heard of it after %v; want at once", waited)
		}
		wantEnded(t, got.record, got.err, sharedstate.SignedOut)
		w.want(t, nil, nil, nil)
	})
	bubble(t, "a replica that waits does not use a successor it has seen expire", func(t *testing.T, w *world) {
		r := generation(0)
		lock(t, w, r)
		var written atomic.Bool
		w.after = func(operation, key string) {
			if operation == "get" && written.Load() {
				_ = w.Memory.Delete(context.Background(), key)
			}
		}
		waiting := start(t.Context(), w.replica(), r, 0, true)
		after(time.Second)
		w.write(t, r, generation(1))
		written.Store(true)
		got := <-waiting
		wantToken(t, got.record, got.err, "token 0")
		w.want(t, nil, nil, nil)
	})
	for _, row := range []struct {
		name   string
		takes  time.Duration
		unlock bool
	}{
		{"is given back well inside itself", lease/2 - time.Second, true},
		{"is left to lapse when half of it is over", lease / 2, false},
		{"is left to lapse near its end", lease - time.Second, false},
	} {
		bubble(t, row.name, func(t *testing.T, w *world) {
			w.slow(row.takes)
			unlocked := false
			w.after = func(operation, _ string) { unlocked = unlocked || operation == "delete l" }
			next, err := w.replica().Refresh(t.Context(), generation(0), 0, true)
			wantToken(t, next, err, "token 1")
			if unlocked != row.unlock {
				t.Errorf("unlocked: got %v; want %v", unlocked, row.unlock)
			}
		})
	}
	bubble(t, "a token request that takes longer is broken off", func(t *testing.T, w *world) {
		w.answer = func(ctx context.Context, _ *session.Session) (*session.Session, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begin := time.Now()
		_, err := w.replica().Refresh(t.Context(), generation(0), 0, true)
		wantPassing(t, err)
		if took := time.Since(begin); took != asking {
			t.Errorf("got an answer after %v; want one after %v", took, asking)
		}
	})
	bubble(t, "of two who have refreshed after all, both go on with the one that was written first", func(t *testing.T, w *world) {
		r := generation(0)
		w.answer = func(_ context.Context, r *session.Session) (*session.Session, error) {
			theirs := fresh(r)
			theirs.Scope = "theirs"
			w.write(t, r, theirs)
			return fresh(r), nil
		}
		next, err := w.replica().Refresh(t.Context(), r, 0, true)
		wantToken(t, next, err, "token 1")
		if next != nil && next.Scope != "theirs" {
			t.Errorf("got scope %q; want the record of whoever was first", next.Scope)
		}
		w.want(t, []string{"token 0"}, nil, nil)
	})
}
