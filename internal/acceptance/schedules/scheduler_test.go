package schedules_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

// scheduler lets one thing happen at a time. It is in a synctest bubble, so it
// knows when every goroutine waits, and then its seed decides whose turn it is.
type scheduler struct {
	rand   *rand.Rand // for the scheduler's own goroutine
	sticky float64    // the probability that the last actor gets the next turn
	faults float64    // the probability of a fault

	turn    sync.Mutex // guards what follows
	free    bool       // operations continue without a turn, and nothing fails
	running int        // operations that have not ended
	waiting []*waiter
	stuck   bool
	turns   []string // the turns that were given, in order
}

type waiter struct {
	who, what string
	leave     context.CancelFunc // as if the browser went away; nil if there is no browser
	granted   chan turn
}

// turn says what happens to an operation that has waited.
type turn struct {
	fault bool
	pick  int // chooses among kinds of faults, or among replicas
}

type actorKey struct{}

// actor is the cause of all operations in a context.
type actor struct {
	name  string
	leave context.CancelFunc
}

// wait returns when it is the caller's turn.
func (s *scheduler) wait(ctx context.Context, what string) turn {
	w := &waiter{who: "unknown", what: what, granted: make(chan turn)}
	if a, ok := ctx.Value(actorKey{}).(actor); ok {
		w.who, w.leave = a.name, a.leave
	}
	s.turn.Lock()
	if s.free {
		s.turn.Unlock()
		return turn{pick: 1}
	}
	s.waiting = append(s.waiting, w)
	s.turn.Unlock()
	return <-w.granted
}

// start starts an operation.
func (s *scheduler) start(name string, do func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	ctx = context.WithValue(ctx, actorKey{}, actor{name, cancel})
	s.turn.Lock()
	s.running++
	s.turn.Unlock()
	go func() {
		defer cancel()
		do(ctx)
		s.turn.Lock()
		defer s.turn.Unlock()
		s.running--
	}()
}

// patience is longer than everything the package waits for in one run.
const patience = 10 * time.Minute

// run gives turns until all operations, and what they have started, have ended.
func (s *scheduler) run() {
	s.turn.Lock()
	s.free = false
	s.turn.Unlock()
	last, began := "", time.Now()
	for {
		synctest.Wait()
		s.turn.Lock()
		running, waiting := s.running, len(s.waiting)
		s.turn.Unlock()
		if running == 0 && waiting == 0 {
			break
		}
		if s.stuck = time.Since(began) > patience; s.stuck {
			break
		}
		if waiting == 0 { // what is left waits for the clock
			time.Sleep(10 * time.Millisecond)
			continue
		}
		time.Sleep(time.Millisecond) // so that no two operations have the same time
		synctest.Wait()
		last = s.grant(last)
	}
	s.turn.Lock()
	s.free = true
	waiting := s.waiting
	s.waiting = nil
	s.turn.Unlock()
	for _, w := range waiting {
		w.granted <- turn{pick: 1}
	}
}

// grant gives one turn, and returns whose it was.
func (s *scheduler) grant(last string) string {
	s.turn.Lock()
	slices.SortStableFunc(s.waiting, func(a, b *waiter) int {
		return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.what, b.what))
	})
	i := s.rand.IntN(len(s.waiting))
	if s.rand.Float64() < s.sticky {
		if same := slices.IndexFunc(s.waiting, func(w *waiter) bool { return w.who == last }); same >= 0 {
			i = same
		}
	}
	w := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	t := turn{fault: s.rand.Float64() < s.faults, pick: s.rand.IntN(1 << 20)}
	leave := s.rand.Float64() < s.faults/4
	s.turns = append(s.turns, fmt.Sprintf("%v %s: %s %v", time.Now().Format("15:04:05.000"), w.who, w.what, t))
	s.turn.Unlock()
	if leave && w.leave != nil {
		w.leave()
	}
	w.granted <- t
	return w.who
}

// pass lets time pass, so that what has failed is tried again.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var errBroken = errors.New("broken on purpose")

// sharedState is shared state whose operations wait for their turn, and fail
// before or after they are done.
type sharedState struct {
	*scheduler
	memory *sharedstate.Memory
}

func (s sharedState) do(ctx context.Context, op, key string, operate func() error) error {
	t := s.wait(ctx, op+" "+key[:1])
	if t.fault && t.pick%2 == 0 {
		return errBroken
	}
	err := operate()
	if t.pick%4 == 0 { // others may run before the caller gets the result
		s.wait(ctx, "done "+op+" "+key[:1])
	}
	if t.fault {
		return errBroken
	}
	return err
}

func (s sharedState) Get(ctx context.Context, keys ...string) (values [][]byte, err error) {
	err = s.do(ctx, "get", keys[0], func() (err error) { values, err = s.memory.Get(ctx, keys...); return err })
	return values, err
}

func (s sharedState) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.do(ctx, "set", key, func() error { return s.memory.Set(ctx, key, value, ttl) })
}

func (s sharedState) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error) {
	err = s.do(ctx, "add", key, func() (err error) { added, err = s.memory.Add(ctx, key, value, ttl); return err })
	return added && err == nil, err
}

func (s sharedState) Delete(ctx context.Context, key string) error {
	return s.do(ctx, "delete", key, func() error { return s.memory.Delete(ctx, key) })
}
