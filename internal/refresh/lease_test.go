package refresh_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
)

func TestLease_Waiting(t *testing.T) {
	bubble(t, "after its holder has died there is a whole lease to use", func(t *testing.T, w *world) {
		s, began := generation(0), time.Now()
		const held = lease + 20*time.Second // another replica had taken it over
		w.lease(t, s, held)
		w.answer = func(ctx context.Context, s *session.Session) (*session.Session, error) {
			if waited := time.Since(began); waited < held || waited > held+held/16+time.Second {
				t.Errorf("took over after %v; want after %v", waited, held)
			}
			if end, ok := ctx.Deadline(); !ok || time.Until(end) != asking {
				t.Errorf("got %v for the token request; want %v", time.Until(end), asking)
			}
			return fresh(s), nil
		}
		refreshes(t, w.replica(), s, true, "1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "for two leases at most", func(t *testing.T, w *world) {
		w.interfere(func(_ context.Context, operation, key string) error {
			if operation == "add l" { // another replica has taken it each time
				_ = w.Memory.Set(context.Background(), key, []byte{1}, lease)
			}
			return nil
		})
		began := time.Now()
		refreshes(t, w.replica(), generation(0), true, "unknown")
		if waited := time.Since(began); waited != 2*lease {
			t.Errorf("gave up after %v; want %v", waited, 2*lease)
		}
		w.want(t, nil, nil, []string{"0 failed"})
	})
	bubble(t, "until a successor, which has expired by then: it is not known that it was refreshed", func(t *testing.T, w *world) {
		s, began := generation(0), time.Now()
		w.lease(t, s, lease)
		waiting := start(t.Context(), w.replica(), s, true)
		wait(time.Second)
		w.write(t, s, generation(1))
		w.expire()
		wantSaid(t, <-waiting, "1")
		if waited := time.Since(began); waited < lease {
			t.Errorf("got an answer after %v; want it to wait for the lease", waited)
		}
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "until a successor, which cannot be read", func(t *testing.T, w *world) {
		s := generation(0)
		w.lease(t, s, lease)
		waiting := start(t.Context(), w.replica(), s, true)
		wait(time.Second)
		w.write(t, s, fresh(s))
		looks := 0
		w.interfere(func(_ context.Context, operation, _ string) error {
			if operation == "get" {
				if looks++; looks == 2 {
					return errDown
				}
			}
			return nil
		})
		wantSaid(t, <-waiting, "unknown")
		w.want(t, nil, nil, []string{"0 failed"})
	})
	bubble(t, "while others move the session on", func(t *testing.T, w *world) {
		newest := generation(0)
		var outrun hook
		outrun = func(_ context.Context, operation, _ string) error {
			if operation == "add l" {
				w.interfere(nil)
				newest = w.write(t, newest, generation(newest.Generation+1))
				w.interfere(outrun)
			}
			return nil
		}
		w.interfere(outrun)
		refreshes(t, w.replica(), generation(0), true, "unknown")
		w.want(t, nil, nil, []string{"0 failed"})
	})
}

// stop stops the process of the first operation of a kind for longer than a
// lease.
func (w *world) stop(operation string, meanwhile func()) hook {
	var stopped atomic.Bool
	return func(_ context.Context, o, _ string) error {
		if o == operation && stopped.CompareAndSwap(false, true) {
			wait(lease + time.Second)
			meanwhile()
		}
		return nil
	}
}

func TestLease_ProcessIsStopped(t *testing.T) {
	bubble(t, "after it has taken the lease: it does not use the token, nor release the lease of another", func(t *testing.T, w *world) {
		w.takes = time.Second
		s := generation(0)
		var second <-chan outcome
		w.after = w.stop("add l", func() {
			second = start(t.Context(), w.replica(), s, true)
			wait(time.Second / 2)
		})
		refreshes(t, w.replica(), s, true, "1")
		wantSaid(t, <-second, "1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
		if len(w.names["delete l"]) != 1 {
			t.Errorf("got releases of %q; want the one of its holder", w.names["delete l"])
		}
	})
	bubble(t, "and another has its lease: it does not release that", func(t *testing.T, w *world) {
		w.interfere(func(_ context.Context, o, _ string) error {
			if names := w.named("add l"); o == "get" && len(names) == 1 { // a failover has lost the first
				w.interfere(nil)
				noError(t, w.Memory.Delete(t.Context(), names[0]))
				w.lease(t, generation(0), time.Minute)
			}
			return nil
		})
		ctx, leave := context.WithTimeout(t.Context(), lease)
		defer leave()
		<-start(ctx, w.replica(), generation(0), true)
		if names := w.named("delete l"); len(names) != 0 {
			t.Errorf("got releases of %q; want none", names)
		}
		w.used(t)
	})
	bubble(t, "while it looks: the token request might outlast the lease, so it takes another", func(t *testing.T, w *world) {
		s := generation(0)
		var gets atomic.Int32
		w.meddle(nil, func(_ context.Context, o, _ string) error {
			if o == "get" && gets.Add(1) == 1 { // under the lease
				wait(lease - time.Second)
			}
			return nil
		})
		w.answer = func(_ context.Context, s *session.Session) (*session.Session, error) {
			if gets.Load() < 2 {
				t.Error("got a token request after one look; want it under another lease")
			}
			return fresh(s), nil
		}
		refreshes(t, w.replica(), s, true, "1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
	bubble(t, "and no other wants it: it takes another", func(t *testing.T, w *world) {
		w.after = w.stop("add l", func() {})
		refreshes(t, w.replica(), generation(0), true, "1")
		w.want(t, []string{"token 0"}, nil, []string{"1 ok"})
	})
}

func TestLease_Released(t *testing.T) {
	for _, row := range []struct {
		name  string
		takes time.Duration
		want  bool
	}{
		{"well inside it", lease/2 - time.Second, true},
		{"not when half of it is over", lease / 2, false},
	} {
		bubble(t, row.name, func(t *testing.T, w *world) {
			w.takes = row.takes
			released := false
			w.after = func(_ context.Context, operation, _ string) error {
				released = released || operation == "delete l"
				return nil
			}
			refreshes(t, w.replica(), generation(0), true, "1")
			if released != row.want {
				t.Errorf("got released %v; want %v", released, row.want)
			}
		})
	}
}

func TestLease_TokenRequestTakesLonger(t *testing.T) {
	bubble(t, "it is broken off", func(t *testing.T, w *world) {
		w.answer = func(ctx context.Context, _ *session.Session) (*session.Session, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		refreshes(t, w.replica(), generation(0), true, "failed")
		if took := time.Since(began); took != asking {
			t.Errorf("got an answer after %v; want one after %v", took, asking)
		}
	})
}
