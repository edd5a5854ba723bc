package refresh_test

import (
	"context"
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
		refreshes(t, w.replica(), generation(0), true, "failed")
		if waited := time.Since(began); waited != 2*lease {
			t.Errorf("gave up after %v; want %v", waited, 2*lease)
		}
		w.want(t, nil, nil, []string{"0 failed"})
	})
	bubble(t, "until a successor, which has expired by then", func(t *testing.T, w *world) {
		s := generation(0)
		w.lease(t, s, lease)
		waiting := start(t.Context(), w.replica(), s, true)
		wait(time.Second)
		w.write(t, s, generation(1))
		w.expire()
		wantSaid(t, <-waiting, "0")
		w.want(t, nil, nil, nil)
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
