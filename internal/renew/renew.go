// Package renew refreshes sessions: one refresh per session, however many
// requests ask.
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
package renew

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/record"
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
	Reason ledger.Reason
	// Record is the newest generation known; its tokens may be revoked.
	Record *record.Record
}

func (*Ended) Error() string { return "signin: session has ended" }

// Over reports whether an error of Renew or Newest means that the session is
// over, and not that something failed.
func Over(err error) bool {
	var ended *Ended
	return errors.As(err, &ended) || errors.Is(err, ErrSuperseded)
}

// Config is what a Renewer works with. Its functions are called by several
// goroutines at once.
type Config struct {
	Ledger *ledger.Ledger
	// Refresh asks the provider and returns the next generation's content:
	// tokens and claims, in a new Record. Errors that are final wrap ErrFinal.
	Refresh func(context.Context, *record.Record) (*record.Record, error)
	// Fetch asks the provider for an access token for an audience, and returns
	// the next generation's content too if that has rotated the refresh token.
	// Errors that are final wrap ErrFinal, and those that are about this audience
	// ErrRefused.
	Fetch func(context.Context, *record.Record, record.Audience) (*record.Token, *record.Record, error)
	// Revoke gives back what a refresh received for a session that has ended.
	Revoke func(context.Context, *record.Record)
	// Report is told once of each refresh this process has made, with the new
	// generation, and of whatever failed for a passing reason, with the old
	// one and the error.
	Report func(context.Context, *record.Record, error)
	// Due reports whether a record's access token is to be renewed.
	Due func(*record.Record) bool
	Now func() time.Time
	// Lease is how long one refresh may take at the most; it is longer than
	// the provider's time-out.
	Lease time.Duration
}

// Renewer refreshes sessions. It is safe for concurrent use. The records that
// it returns are shared among all who asked, and are not to be changed.
type Renewer struct {
	Config

	mu      sync.Mutex
	flights map[record.ID]*flight
	errands map[errandKey]*errand
	turns   map[record.ID]*turn
	waits   map[record.ID]wait
	purgeAt int // how many waits there may be before those that are over go
	// unwritten holds refreshed records that could not be written to shared
	// state. Their predecessors' tokens are used up, and nobody else knows.
	unwritten map[record.ID]unwritten
	writing   bool // somebody tries to write them
}

// flight is one refresh under way in this process. record and err are to be
// read when done is closed.
type flight struct {
	generation uint64 // it set out from
	must       bool
	done       chan struct{}
	record     *record.Record
	err        error
}

// answers reports whether what came of f is an answer to somebody who has r.
// A flight may have set out from an older generation, or not have waited for
// another replica.
func (f *flight) answers(r *record.Record, must bool) bool {
	switch {
	case errors.Is(f.err, ErrSuperseded):
		return f.generation >= r.Generation
	case f.record == nil:
		return true
	case f.record.Generation == r.Generation:
		return f.must || !must || f.err != nil
	}
	return f.record.Generation > r.Generation
}

// New returns a Renewer.
func New(c Config) *Renewer {
	return &Renewer{
		Config: c, flights: make(map[record.ID]*flight),
		errands: make(map[errandKey]*errand), turns: make(map[record.ID]*turn), waits: make(map[record.ID]wait),
		purgeAt: minPurge, unwritten: make(map[record.ID]unwritten),
	}
}

// Renew refreshes the session of r and returns its newest generation. presented
// is the generation the browser has shown. If must is false, r is still good:
// then a caller who is not the first does not wait, and gets r back.
//
// The error is *Ended or ErrSuperseded if the session is over, the context's
// if the caller went away (the flight goes on), and otherwise passing: the
// session stands. A record beside a passing error was refreshed, but shared
// state failed; it is good, and the browser should get it.
func (n *Renewer) Renew(ctx context.Context, r *record.Record, presented uint64, must bool) (*record.Record, error) {
	for {
		f, first := n.board(ctx, r, presented, must)
		if f == nil {
			return n.atHand(r), nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if first || f.answers(r, must) {
			return f.record, f.err
		}
	}
}

// board returns the session's flight, and whether the caller is the first
// aboard; no flight if the caller goes on with what there is.
func (n *Renewer) board(ctx context.Context, r *record.Record, presented uint64, must bool) (f *flight, first bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, under := n.flights[r.ID]
	switch {
	case under && must:
		return f, false
	case under || n.resting(r.ID):
		return nil, false
	}
	f = &flight{generation: r.Generation, must: must, done: make(chan struct{}), err: errCutShort}
	n.flights[r.ID] = f
	// The flight survives its first caller: the provider may have rotated the
	// token already, and what it answers must not be lost.
	go n.fly(context.WithoutCancel(ctx), f, r, presented)
	return f, true
}

// fly is the flight's own goroutine. It waits for another replica for two
// leases at the most, and has one of its own then.
func (n *Renewer) fly(ctx context.Context, f *flight, r *record.Record, presented uint64) {
	waiting, cancel := context.WithTimeout(ctx, 2*n.Lease)
	defer cancel()
	defer close(f.done)
	// Deferred, so that nobody waits for a goroutine that is no more.
	defer func() {
		passing := f.err != nil && !Over(f.err)
		n.mu.Lock()
		delete(n.flights, r.ID)
		n.settle(r.ID, passing)
		n.mu.Unlock()
		if passing {
			n.report(ctx, r, f.err)
		}
	}()
	// net/http recovers a handler's panic, but only on the handler's own
	// goroutine: here it would end the process.
	f.err = guard(func() (err error) {
		f.record, err = n.renew(waiting, r, presented, f.must)
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

// report calls Report, which is the application's code in the end. Its panic
// changes nothing of what came of the refresh, and is reported as well.
func (n *Renewer) report(ctx context.Context, r *record.Record, err error) {
	tell := func(err error) error {
		return guard(func() error { n.Report(ctx, r, err); return nil })
	}
	if err := tell(err); err != nil {
		_ = tell(err) // its log line comes before whatever panics
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
// is longer than it was made to be means that the clock was set back. n.mu is
// held.
func (n *Renewer) resting(id record.ID) bool {
	w, ok := n.waits[id]
	if !ok {
		return false
	}
	left := w.until.Sub(n.Now())
	return left > 0 && left <= w.delay
}

// settle counts passing failures. Only this session waits for them: one
// person's trouble must not block another. n.mu is held.
func (n *Renewer) settle(id record.ID, passing bool) {
	if !passing {
		delete(n.waits, id)
		return
	}
	now := n.Now()
	if len(n.waits) >= n.purgeAt {
		for other, w := range n.waits {
			if now.Sub(w.until) > lastDelay {
				delete(n.waits, other)
			}
		}
		// Twice as many as are left: while a provider is down, all that fail
		// together pay for each look through them.
		n.purgeAt = max(2*len(n.waits), minPurge)
	}
	delay := min(max(2*n.waits[id].delay, firstDelay), lastDelay)
	n.waits[id] = wait{until: now.Add(delay), delay: delay}
}
