package refresh_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// fate is what becomes of an operation on shared state.
type fate string

const (
	done   fate = ""
	failed fate = "!" // it is not done, and the caller gets an error
	lost   fate = "?" // it is done, and the caller gets an error
	outage fate = "#" // it fails, and so does everything after it
)

// step is one way to go on: whose operation comes next, and what becomes of it.
// The clock has steps too: they come between two operations, or not at all.
type step struct {
	who  string
	fate fate
}

const (
	tick  = "tick"  // enough time for a party that waits to look again
	lapse = "lapse" // enough time for all leases to end: those that wait were stopped
)

// budget is how often something may happen in one order.
type budget struct {
	preemptions int // a party that could go on waits for another; -1: no limit
	ticks       int // while a party could go on; there is no limit while all wait
	lapses      int
	faults      int // of shared state
}

// scheduler lets the parties act one operation at a time, in an order that it
// is told.
type scheduler struct {
	budget
	// alike names two parties that do the same. Exchanging them gives no new
	// order, so the second does not begin before the first.
	alike [2]string
	// lapsed is called when a lapse begins.
	lapsed func()

	mu      sync.Mutex
	waiting map[string]turn // by party
	active  int             // parties that have not finished
	begun   bool            // the first of alike
	outage  bool
}

// turn is what a party waits for before an operation.
type turn struct {
	granted  chan fate
	reliable bool // the operation does not fail
}

// party is the key in a context for the name of a party.
type party struct{}

func who(ctx context.Context) string {
	name, _ := ctx.Value(party{}).(string)
	return name
}

// start runs a party.
func (s *scheduler) start(name string, do func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active++
	go func() {
		do(context.WithValue(context.Background(), party{}, name))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active--
	}()
}

// await waits until it is the turn of the party in ctx.
func (s *scheduler) await(ctx context.Context, reliable bool) fate {
	granted := make(chan fate)
	s.mu.Lock()
	s.waiting[who(ctx)] = turn{granted, reliable}
	s.mu.Unlock()
	return <-granted
}

// over reports whether all parties have finished.
func (s *scheduler) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active == 0
}

// background is the fate of an operation of no party: it has no turn.
func (s *scheduler) background() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outage {
		return errDown
	}
	return nil
}

// run grants turns until all parties have finished. Of the steps that there are
// each time, it takes the one that choices names, or the first when these have
// run out. It returns which it took, and of how many.
func (s *scheduler) run(choices []int) (taken, of []int) {
	last := ""
	for {
		synctest.Wait()
		steps := s.steps(last)
		switch {
		case s.over():
			return taken, of
		case len(steps) == 0:
			wait(poll) // all wait for the clock
			continue
		}
		choice := 0
		if len(taken) < len(choices) {
			choice = choices[len(taken)]
		}
		taken, of = append(taken, choice), append(of, len(steps))
		s.take(steps[choice], last)
		last = steps[choice].who
	}
}

// following returns the choices for the order after the one that was taken, or
// nil after the last.
func following(taken, of []int) []int {
	for i := len(taken) - 1; i >= 0; i-- {
		if taken[i]+1 < of[i] {
			return append(slices.Clone(taken[:i]), taken[i]+1)
		}
	}
	return nil
}

// steps lists the ways to go on, those of the party that acted last first.
func (s *scheduler) steps(last string) (all []step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(s.waiting))
	if i := slices.Index(names, last); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, last)
	}
	for _, name := range names {
		switch {
		case name == s.alike[1] && !s.begun:
			continue
		case name != last && s.couldGoOn(last) && s.preemptions == 0:
			continue
		case s.outage && !s.waiting[name].reliable:
			all = append(all, step{name, failed})
			continue
		}
		all = append(all, step{name, done})
		if s.faults > 0 && !s.waiting[name].reliable {
			all = append(all, step{name, failed}, step{name, lost}, step{name, outage})
		}
	}
	if s.ticks > 0 && s.active > len(names) {
		all = append(all, step{who: tick})
	}
	if s.lapses > 0 {
		all = append(all, step{who: lapse})
	}
	return all
}

func (s *scheduler) couldGoOn(name string) bool { return s.waiting[name].granted != nil }

// poll is a little longer than replicas wait between two looks.
const poll = 51 * time.Millisecond

// take pays for a step and lets it happen.
func (s *scheduler) take(next step, last string) {
	switch next.who {
	case tick:
		s.ticks--
		wait(poll)
		return
	case lapse:
		s.lapses--
		s.lapsed()
		wait(lease + time.Second)
		return
	}
	s.mu.Lock()
	granted := s.waiting[next.who].granted
	if next.who != last && s.couldGoOn(last) {
		s.preemptions--
	}
	if next.fate != done && !s.outage {
		s.faults--
	}
	delete(s.waiting, next.who)
	s.begun = s.begun || next.who == s.alike[0]
	s.outage = s.outage || next.fate == outage
	s.mu.Unlock()
	granted <- next.fate
}
