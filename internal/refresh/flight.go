package refresh

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// errCutShort is the outcome of a flight whose goroutine was ended from within.
var errCutShort = errors.New("signin: refreshing a session was cut short")

// errand is what a flight is for: to refresh, or to fetch an access token.
type errand struct {
	id      session.ID
	refresh bool
	want    Wanted // the token
}

// flight is an errand under way in this process. token, newest and err may be
// read when done is closed.
type flight struct {
	errand
	generation uint64 // that it began with
	must       bool   // it waits for other replicas
	callers    int    // who wait for it

	turn   <-chan struct{} // closed when the fetch before it has ended; nil if there is none
	over   chan struct{}   // closed when the next may begin
	done   chan struct{}
	token  *session.Token
	newest *session.Session
	err    error
}

// answers reports whether the outcome of f is an answer to a caller that has s:
// the flight may have begun with an older generation, or may not have waited
// for another replica.
func (f *flight) answers(s *session.Session, must bool) bool {
	switch {
	case f.newest == nil:
		// Shared state may have forgotten the generation that f began with, but not s.
		return f.generation >= s.Generation || !errors.Is(f.err, sharedstate.ErrLost)
	case f.newest.Generation == s.Generation:
		return f.must || !must || f.err != nil
	}
	return f.newest.Generation > s.Generation
}

// join boards the flight for an errand and waits for its outcome. It returns nil if
// the caller should go on with s as it is.
func (g *Group) join(ctx context.Context, e errand, s *session.Session, must bool) (*flight, error) {
	for {
		f := g.board(ctx, e, s, must)
		if f == nil {
			return nil, nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			g.mu.Lock()
			f.callers--
			g.mu.Unlock()
			return nil, ctx.Err()
		}
		if f.answers(s, must) {
			return f, nil
		}
	}
}

// board returns the flight for an errand; if it is not under way, it starts one.
// It returns nil if the caller need not wait for one that is under way, or if
// the session rests.
func (g *Group) board(ctx context.Context, e errand, s *session.Session, must bool) *flight {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, under := g.flights[e]
	switch {
	case under && must:
		f.callers++
		return f
	case under || g.resting(e):
		return nil
	}
	f = &flight{
		errand: e, generation: s.Generation, must: must, callers: 1,
		over: make(chan struct{}), done: make(chan struct{}), err: errCutShort,
	}
	g.flights[e] = f
	if !e.refresh {
		// The fetches of a session go one after another: two uses of one rotating
		// refresh token at once end the whole grant. Among replicas the lease
		// prevents that; within a process, this queue saves polling for the lease.
		f.turn, g.turns[e.id] = g.turns[e.id], f.over
	}
	// The flight survives its callers: the provider may have rotated the token
	// already, and what it answers must not be lost.
	go g.fly(context.WithoutCancel(ctx), f, s)
	return f
}

// fly is the goroutine of a flight. It waits for another replica for two leases
// at most, and then has a lease for itself.
func (g *Group) fly(ctx context.Context, f *flight, s *session.Session) {
	defer close(f.done)
	// Deferred, so that no caller waits for a goroutine that has ended.
	defer func() {
		if g.land(f) {
			g.report(ctx, s, f.err)
		}
	}()
	if f.turn != nil {
		<-f.turn // it comes, since each earlier fetch ends by itself
		if !g.called(f) {
			f.err = g.Rest(f.id)
			return
		}
	}
	waiting, cancel := context.WithTimeout(ctx, 2*Lease)
	defer cancel()
	// net/http recovers a handler's panic, but only on the handler's own
	// goroutine: here it would end the process.
	f.err = guard(func() (err error) {
		f.newest, err = g.advance(waiting, f, s)
		return err
	})
}

// called reports whether a fetch whose turn has come should begin: the one before
// it has not just failed, and a caller still waits. Otherwise one person could make
// a queue that outlives their requests.
func (g *Group) called(f *flight) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.callers == 0 {
		delete(g.flights, f.errand) // the next caller begins another
		return false
	}
	return !g.resting(f.errand)
}

// land takes f off the lists, and reports whether it failed for a passing reason.
func (g *Group) land(f *flight) (passing bool) {
	passing = f.err != nil && !Over(f.err) && !errors.Is(f.err, ErrRefused) && !errors.Is(f.err, ErrResting)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flights[f.errand] == f {
		delete(g.flights, f.errand)
	}
	if g.turns[f.id] == f.over {
		delete(g.turns, f.id)
	}
	// Only a provider that has failed is given a rest. Requests then go on with the
	// session they have, which would be wrong after an unknown outcome.
	if rests := errors.Is(f.err, ErrFailed); rests || f.err == nil {
		g.settle(f.errand, f.err, rests)
	}
	close(f.over) // last, so that the next fetch knows of the failure
	return passing
}

// guard calls f and makes an error of its panic.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("signin: panic while refreshing a session: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// report tells the Observer, which calls the application. A panic there does not
// change the outcome of the refresh, and is reported as well.
func (g *Group) report(ctx context.Context, s *session.Session, err error) {
	tell := func(err error) error {
		return guard(func() error { g.Observer.Refreshed(ctx, s, err); return nil })
	}
	if err := tell(err); err != nil {
		_ = tell(err) // the observer logs before it can panic
	}
}

// wait keeps a session whose refresh has failed from trying again at once.
type wait struct {
	until time.Time
	delay time.Duration
	cause error
}

// resting is ErrResting, and says why.
type resting struct{ cause error }

func (r resting) Error() string        { return ErrResting.Error() + ": " + r.cause.Error() }
func (r resting) Unwrap() error        { return r.cause }
func (r resting) Is(target error) bool { return target == ErrResting }

// Rest returns an ErrResting with the cause of the last failure of a session, or without
// one if it is not known here.
func (g *Group) Rest(id session.ID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, fetches := range []bool{false, true} {
		if r := (rest{id, fetches}); g.waiting(r) {
			return resting{g.waits[r].cause}
		}
	}
	return ErrResting
}

// The back-off of a session whose refresh fails for a passing reason.
const (
	firstDelay = 2 * time.Second
	lastDelay  = time.Minute
)

// minPurge is how many waits are kept before those that have ended are dropped.
const minPurge = 1024

// rest is what waits: the refresh of a session, or the fetches for it.
type rest struct {
	id      session.ID
	fetches bool
}

// resting reports whether an errand should not be tried again yet. After a failed
// refresh, fetches wait too. After a failed fetch, a refresh does not: the trouble
// may be the audience's, and what a refresh tells about the session must not be put
// off. g.mu is held.
func (g *Group) resting(e errand) bool {
	return g.waiting(rest{e.id, false}) || !e.refresh && g.waiting(rest{e.id, true})
}

// waiting reports whether a wait is still going on. If more is left than there ever
// was, the clock was set back.
func (g *Group) waiting(r rest) bool {
	w := g.waits[r]
	left := w.until.Sub(g.Now())
	return left > 0 && left <= w.delay
}

// settle counts passing failures. They make only this session wait: one
// person's trouble must not block another. g.mu is held.
func (g *Group) settle(e errand, cause error, passing bool) {
	of := rest{e.id, !e.refresh}
	if !passing {
		delete(g.waits, rest{e.id, true})
		delete(g.waits, rest{e.id, false})
		return
	}
	now := g.Now()
	if len(g.waits) >= g.purgeAt {
		for other, w := range g.waits {
			if now.Sub(w.until) > lastDelay {
				delete(g.waits, other)
			}
		}
		// Twice what is left, so that while a provider is down, not every failure
		// has to look through all of them.
		g.purgeAt = max(2*len(g.waits), minPurge)
	}
	if f, ok := errors.AsType[failed](cause); ok {
		cause = f.error // a rest is not another failure
	}
	delay := min(max(2*g.waits[of].delay, firstDelay), lastDelay)
	g.waits[of] = wait{until: now.Add(delay), delay: delay, cause: cause}
}
