// Package refresh refreshes sessions: one token request per session at a time,
// however many requests and replicas ask.
//
//	next, err := group.Refresh(ctx, s, s.Generation, true)
//	switch {
//	case refresh.Over(err): // *Ended, ErrSuperseded: the session is over
//	case next == nil: // it failed for a passing reason: the session goes on
//	}
//
// A rotating refresh token may be used once. Used twice, providers take it for
// stolen and end the whole grant, and the person is signed out for opening two
// tabs. So within this process one flight per session asks the provider, and
// among replicas only the holder of a lease does. What came back is kept sealed
// as the successor of the generation it came from, for requests that still
// carry the old cookie.
//
// A sign-out during a refresh wins: the flight looks for one before it asks,
// after the answer, and once more after it has written the successor. A
// sign-out writes first and looks for successors then; so of the two at least
// one sees the other, and what was received is revoked.
package refresh

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// ErrFinal marks a refresh's error as the provider's word that the session is
// over. Any other error is a passing one: the session stands.
var ErrFinal = errors.New("signin: the provider has ended the session")

// ErrSuperseded means that the browser has shown a later generation of this
// session, so whoever presents this one has an old copy.
var ErrSuperseded = errors.New("signin: superseded session")

// errCutShort is the outcome of a flight whose goroutine was ended from within.
var errCutShort = errors.New("signin: refreshing a session was cut short")

// Ended is the error for a session that is over.
type Ended struct {
	Reason sharedstate.Reason
	// Session is the newest generation known; its tokens may be revoked.
	Session *session.Session
}

func (*Ended) Error() string { return "signin: session has ended" }

// Over reports whether an error of Renew or Newest means that the session is
// over, and not that something failed.
func Over(err error) bool {
	var ended *Ended
	return errors.As(err, &ended) || errors.Is(err, ErrSuperseded)
}

// Source asks the provider. Its methods are called by several goroutines at
// once, but for one session only under its lease.
type Source interface {
	// Refresh returns the next generation's content: tokens and claims, in a new
	// Session. Errors that are final wrap ErrFinal.
	Refresh(context.Context, *session.Session) (*session.Session, error)
	// Fetch returns an access token for an audience, and the next generation's
	// content too if that has rotated the refresh token. Errors that are final wrap
	// ErrFinal, and those that are about this audience ErrRefused.
	Fetch(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error)
	// Revoke gives back what a refresh received for a session that has ended.
	Revoke(context.Context, *session.Session) error
}

// Observer is told once of each refresh that this process has made, with the new
// generation, and of each that failed for a passing reason, with the old one and
// the error.
type Observer interface {
	Refreshed(context.Context, *session.Session, error)
}

// Lease is how long one refresh may hold its session. It is longer than the
// token request and the userinfo request, with their time-outs, together.
const Lease = 30 * time.Second

// Config is what a Group works with.
type Config struct {
	State    *sharedstate.State
	Source   Source
	Observer Observer
	// Ahead is how long before its access token's expiry a session is refreshed.
	Ahead time.Duration
	Now   func() time.Time
}

// Group refreshes sessions. It is safe for concurrent use. The sessions that it
// returns are shared among all who asked, and are not to be changed.
type Group struct {
	Config

	mu      sync.Mutex
	flights map[session.ID]*flight
	errands map[errandKey]*errand
	turns   map[session.ID]*turn
	waits   map[session.ID]wait
	purgeAt int // how many waits there may be before those that are over go
	// held are refreshed sessions that could not be written to shared state.
	// Their predecessors' tokens are used up, and only this process knows.
	held    map[session.ID]held
	writing bool // a goroutine tries to write them
}

// flight is one refresh under way in this process. newest and err are to be
// read when done is closed.
type flight struct {
	generation uint64 // it set out from
	must       bool
	done       chan struct{}
	newest     *session.Session
	err        error
}

// answers reports whether what came of f is an answer to a caller that has s.
// A flight may have set out from an older generation, or not have waited for
// another replica.
func (f *flight) answers(s *session.Session, must bool) bool {
	switch {
	case errors.Is(f.err, ErrSuperseded):
		return f.generation >= s.Generation
	case f.newest == nil:
		return true
	case f.newest.Generation == s.Generation:
		return f.must || !must || f.err != nil
	}
	return f.newest.Generation > s.Generation
}

// New returns a Group.
func New(c Config) *Group {
	return &Group{
		Config: c, flights: make(map[session.ID]*flight),
		errands: make(map[errandKey]*errand), turns: make(map[session.ID]*turn), waits: make(map[session.ID]wait),
		purgeAt: minPurge, held: make(map[session.ID]held),
	}
}

// Due reports whether a session is to be refreshed now.
func (g *Group) Due(s *session.Session) bool { return s.Due(g.Now(), g.Ahead) }

// Refresh refreshes a session and returns its newest generation. shown is the
// generation that the browser has shown. If must is false, s is still good:
// then a caller who is not the first does not wait, and gets s back.
//
// The error is *Ended or ErrSuperseded if the session is over, the context's
// if the caller went away (the flight goes on), and otherwise passing: the
// session goes on. A session beside a passing error was refreshed, but shared
// state failed; it is good, and the browser should get it.
func (g *Group) Refresh(ctx context.Context, s *session.Session, shown uint64, must bool) (*session.Session, error) {
	for {
		f, first := g.board(ctx, s, shown, must)
		if f == nil {
			return g.atHand(s), nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if first || f.answers(s, must) {
			return f.newest, f.err
		}
	}
}

// board returns the session's flight, and whether the caller is the first
// aboard; no flight if the caller goes on with what there is.
func (g *Group) board(ctx context.Context, s *session.Session, shown uint64, must bool) (f *flight, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, under := g.flights[s.ID]
	switch {
	case under && must:
		return f, false
	case under || g.resting(s.ID):
		return nil, false
	}
	f = &flight{generation: s.Generation, must: must, done: make(chan struct{}), err: errCutShort}
	g.flights[s.ID] = f
	// The flight survives its first caller: the provider may have rotated the
	// token already, and what it answers must not be lost.
	go g.fly(context.WithoutCancel(ctx), f, s, shown)
	return f, true
}

// fly is the flight's own goroutine. It waits for another replica for two
// leases at the most, and has one of its own then.
func (g *Group) fly(ctx context.Context, f *flight, s *session.Session, shown uint64) {
	waiting, cancel := context.WithTimeout(ctx, 2*Lease)
	defer cancel()
	defer close(f.done)
	// Deferred, so that no caller waits for a goroutine that has ended.
	defer func() {
		passing := f.err != nil && !Over(f.err)
		g.mu.Lock()
		delete(g.flights, s.ID)
		g.settle(s.ID, passing)
		g.mu.Unlock()
		if passing {
			g.report(ctx, s, f.err)
		}
	}()
	// net/http recovers a handler's panic, but only on the handler's own
	// goroutine: here it would end the process.
	f.err = guard(func() (err error) {
		f.newest, err = g.advance(waiting, s, shown, f.must)
		return err
	})
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

// report tells the Observer, which is the application's code in the end. Its panic
// changes nothing of what came of the refresh, and is reported as well.
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
}

// The back-off of a session whose refresh fails for a passing reason.
const (
	firstDelay = 2 * time.Second
	lastDelay  = time.Minute
)

// minPurge is how many waits are kept before it is worth looking for those
// that are over.
const minPurge = 1024

// resting reports whether a session is not to be tried again yet. A rest that
// is longer than it was made to be means that the clock was set back. g.mu is
// held.
func (g *Group) resting(id session.ID) bool {
	w, ok := g.waits[id]
	if !ok {
		return false
	}
	left := w.until.Sub(g.Now())
	return left > 0 && left <= w.delay
}

// settle counts passing failures. Only this session waits for them: one
// person's trouble must not block another. g.mu is held.
func (g *Group) settle(id session.ID, passing bool) {
	if !passing {
		delete(g.waits, id)
		return
	}
	now := g.Now()
	if len(g.waits) >= g.purgeAt {
		for other, w := range g.waits {
			if now.Sub(w.until) > lastDelay {
				delete(g.waits, other)
			}
		}
		// Twice as many as are left: while a provider is down, all that fail
		// together pay for each look through them.
		g.purgeAt = max(2*len(g.waits), minPurge)
	}
	delay := min(max(2*g.waits[id].delay, firstDelay), lastDelay)
	g.waits[id] = wait{until: now.Add(delay), delay: delay}
}
