package renew_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

// scheduler lets one operation at a time happen, in an order it is told.
type scheduler struct {
	mu      sync.Mutex
	waiting map[string]chan struct{} // by who waits
}

type actor struct{}

// turn waits until it is the caller's turn.
func (s *scheduler) turn(ctx context.Context) {
	who := ctx.Value(actor{}).(string)
	granted := make(chan struct{})
	s.mu.Lock()
	s.waiting[who] = granted
	s.mu.Unlock()
	<-granted
}

// run grants turns until nobody waits. At each step where there is a choice it
// takes the one in choices, or the first when they have run out. It returns
// what it chose and from how many.
func (s *scheduler) run(choices []int) (taken, from []int) {
	for {
		synctest.Wait()
		s.mu.Lock()
		var names []string
		for name := range s.waiting {
			names = append(names, name)
		}
		s.mu.Unlock()
		if len(names) == 0 {
			return taken, from
		}
		slices.Sort(names)
		choice := 0
		if len(taken) < len(choices) {
			choice = choices[len(taken)]
		}
		taken, from = append(taken, choice), append(from, len(names))
		s.mu.Lock()
		granted := s.waiting[names[choice]]
		delete(s.waiting, names[choice])
		s.mu.Unlock()
		close(granted)
	}
}

// following returns the choices of the next schedule, or nil after the last.
func following(taken, from []int) []int {
	for i := len(taken) - 1; i >= 0; i-- {
		if taken[i]+1 < from[i] {
			return append(slices.Clone(taken[:i]), taken[i]+1)
		}
	}
	return nil
}

// CASES 4.7, in every order of reads and writes. A refresh and a sign-out are
// stepped through every interleaving of their operations on shared state; the
// provider's answer is one more.
func TestASignOutWinsInEveryOrder(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name       string
		generation uint64
		stays      bool // the provider does not rotate, as Logto most of the time
		final      bool // the provider refuses the token once it is revoked
	}{
		{"the token rotates", 0, false, false},
		{"the generation before is superseded", 1, false, false},
		{"the token stays the same", 0, true, false},
		{"the provider refuses a revoked token", 0, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			orders, outcomes := 0, map[string]int{}
			for choices := []int{}; choices != nil && !t.Failed(); orders++ {
				synctest.Test(t, func(t *testing.T) {
					taken, from := oneOrder(t, choices, row.generation, row.stays, row.final, outcomes)
					choices = following(taken, from)
				})
			}
			// The sign-out takes two steps or three, the refresh up to seven;
			// fewer orders than this, and some were left out.
			if orders < 31 || len(outcomes) < 3 {
				t.Errorf("got %d orders with outcomes %v; want all", orders, outcomes)
			}
		})
	}
}

func oneOrder(t *testing.T, choices []int, generation uint64, stays, final bool, outcomes map[string]int) (taken, from []int) {
	w, s := newWorld(t), &scheduler{waiting: make(map[string]chan struct{})}
	var trace []string
	w.before = func(ctx context.Context, operation, _ string) error {
		s.turn(ctx)
		trace = append(trace, ctx.Value(actor{}).(string)+" "+operation)
		return nil
	}
	w.answer = func(ctx context.Context, r *record.Record) (*record.Record, error) {
		s.turn(ctx)
		trace = append(trace, "provider")
		if final && slices.Contains(w.revoked, r.RefreshToken) {
			return refuse(ctx, r)
		}
		next := fresh(r)
		if stays {
			next.RefreshToken = r.RefreshToken
		}
		return next, nil
	}
	r := session(generation)
	as := func(name string) context.Context { return context.WithValue(t.Context(), actor{}, name) }
	refreshed := start(as("refresh"), w.replica(), r, generation, true)
	signedOut := make(chan struct{})
	go func() { // another replica
		defer close(signedOut)
		if err := w.ledger.End(as("sign-out"), ledger.EndedSession, r.ID[:], ledger.SignedOut, r.AccessExpiry); err != nil {
			t.Errorf("End: got error %v; want none", err)
		}
		w.revoke(w.replica().Last(as("sign-out"), r))
	}()
	taken, from = s.run(choices)
	<-signedOut
	got := <-refreshed
	w.before = nil

	story := strings.Join(trace, ", ")
	if standing := w.standing(t, r); !standing.Ended {
		t.Errorf("%s: got %+v; want it ended", story, standing)
	}
	alive := r.RefreshToken
	if slices.Contains(trace, "provider") && !stays {
		alive = fmt.Sprintf("token %d", generation+1)
	}
	if !slices.Contains(w.revoked, alive) {
		t.Errorf("%s: got %q revoked; want %q to be", story, w.revoked, alive)
	}
	if len(w.sent) > 1 {
		t.Errorf("%s: got tokens %q sent; want one at the most", story, w.sent)
	}
	outcomes[fmt.Sprintf("asked %v, revoked %d, error %v", len(w.sent) > 0, len(w.revoked), got.err != nil)]++
	return taken, from
}
