package refresh_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// actor is the context key of who is at work.
type actor struct{}

// verdict is what becomes of an operation.
type verdict byte

const (
	done   verdict = ' '
	failed verdict = '!' // it is not done, and its caller gets an error
	lost   verdict = '?' // it is done, and its caller gets an error
)

// option is one way to go on: whose operation comes next and what becomes of it.
type option struct {
	who  string
	what verdict
}

// The clock is a party as any other: it comes between two operations, or it does
// not.
const (
	tick  = "tick"  // who polls looks again
	lapse = "lapse" // leases end
)

// budget is how often something may happen in one order.
type budget struct {
	preemptions int // one actor is interrupted by another or the clock; -1: no limit
	ticks       int // while somebody could go on; otherwise there is no limit
	lapses      int
	failures    int // of shared state
}

// scheduler lets one operation at a time happen, in an order it is told.
type scheduler struct {
	budget
	// alike names two actors that could change their names; so the second does
	// not begin before the first.
	alike [2]string

	mu       sync.Mutex
	begun    bool                    // the first of alike
	waiting  map[string]chan verdict // by who waits
	reliable map[string]bool         // whose next operation does not fail
	running  int                     // actors that have not finished
}

// act runs an actor.
func (s *scheduler) act(ctx context.Context, name string, do func(ctx context.Context)) {
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
	go func() {
		do(context.WithValue(ctx, actor{}, name))
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
}

// turn waits until it is the caller's turn.
func (s *scheduler) turn(ctx context.Context, reliable bool) verdict {
	who := ctx.Value(actor{}).(string)
	granted := make(chan verdict)
	s.mu.Lock()
	s.waiting[who], s.reliable[who] = granted, reliable
	s.mu.Unlock()
	return <-granted
}

// run grants turns until all actors have finished. At each step it takes the
// option that choices says, or the first when they have run out. It returns what
// it chose and from how many.
func (s *scheduler) run(choices []int) (taken, from []int) {
	current := ""
	for {
		synctest.Wait()
		s.mu.Lock()
		options, over := s.options(current), s.running == 0
		s.mu.Unlock()
		if over {
			return taken, from
		}
		if len(options) == 0 {
			after(poll) // all that are left wait for the clock
			continue
		}
		choice := 0
		if len(taken) < len(choices) {
			choice = choices[len(taken)]
		}
		taken, from = append(taken, choice), append(from, len(options))
		s.take(options[choice], current)
		current = options[choice].who
	}
}

// options lists the ways to go on; first that of who went on last. s.mu is held.
func (s *scheduler) options(current string) (all []option) {
	var names []string
	for name := range s.waiting {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		switch {
		case a == current:
			return -1
		case b == current || a > b:
			return 1
		}
		return -1
	})
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if name == s.alike[1] && !s.begun {
			continue
		}
		if name != current && s.waiting[current] != nil && s.preemptions == 0 {
			break
		}
		all = append(all, option{name, done})
		if s.failures > 0 && !s.reliable[name] {
			all = append(all, option{name, failed}, option{name, lost})
		}
	}
	if s.ticks > 0 && s.running > len(names) {
		all = append(all, option{tick, done})
	}
	if s.lapses > 0 {
		all = append(all, option{lapse, done})
	}
	return all
}

func (s *scheduler) take(o option, current string) {
	s.mu.Lock()
	granted := s.waiting[o.who]
	if o.who != current && s.waiting[current] != nil && granted != nil {
		s.preemptions--
	}
	delete(s.waiting, o.who)
	s.begun = s.begun || o.who == s.alike[0]
	switch {
	case o.who == tick:
		s.ticks--
	case o.who == lapse:
		s.lapses--
	case o.what != done:
		s.failures--
	}
	s.mu.Unlock()
	switch o.who {
	case tick:
		after(poll)
	case lapse:
		after(lease + time.Second)
	default:
		granted <- o.what
	}
}

// poll is a little longer than replicas wait between two looks for each other.
const poll = 51 * time.Millisecond

// following returns the choices of the next order, or nil after the last.
func following(taken, from []int) []int {
	for i := len(taken) - 1; i >= 0; i-- {
		if taken[i]+1 < from[i] {
			return append(slices.Clone(taken[:i]), taken[i]+1)
		}
	}
	return nil
}

func (o option) String() string {
	if o.what == done {
		return o.who
	}
	return fmt.Sprintf("%s%c", o.who, o.what)
}
