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

// maxSteps is how many generations a request may be behind. Each is an
// expiry that its browser did not hear of.
const maxSteps = 8

// Ended is the error for a session that is over.
type Ended struct {
	Reason ledger.Reason
	// Record is the newest generation known; its tokens may be revoked.
	Record *record.Record
}

func (*Ended) Error() string { return "signin: session has ended" }

// Config is what a Renewer works with.
type Config struct {
	Ledger *ledger.Ledger
	// Refresh asks the provider and returns the next generation's content:
	// tokens and claims. Errors that are final wrap ErrFinal.
	Refresh func(context.Context, *record.Record) (*record.Record, error)
	// Revoke gives back what a refresh received for a session that has ended.
	Revoke func(context.Context, *record.Record)
	// Report is told once of each refresh this process has made, with the new
	// generation, and of each that failed for a passing reason, with the old
	// one and the error.
	Report func(context.Context, *record.Record, error)
	// Due reports whether a record's access token is to be renewed.
	Due func(*record.Record) bool
	Now func() time.Time
	// Lease is how long one refresh may take at the most; it is longer than
	// the provider's time-out.
	Lease time.Duration
}

// Renewer refreshes sessions. It is safe for concurrent use.
type Renewer struct {
	Config

	mu      sync.Mutex
	flights map[record.ID]*flight
	waits   map[record.ID]wait
}

// flight is one refresh under way in this process.
type flight struct {
	done   chan struct{}
	record *record.Record
	err    error
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

// New returns a Renewer.
func New(c Config) *Renewer {
	return &Renewer{Config: c, flights: make(map[record.ID]*flight), waits: make(map[record.ID]wait)}
}

// Newest follows the successors of a record as far as they go. sealed is the
// first of them.
func (n *Renewer) Newest(ctx context.Context, r *record.Record, sealed []byte) (*record.Record, error) {
	for range maxSteps {
		next, err := n.successor(r, sealed)
		if err != nil {
			return nil, err
		}
		standing, err := n.standing(ctx, next)
		switch {
		case err != nil:
			return nil, err
		case standing.Ended:
			return nil, &Ended{Reason: standing.Reason, Record: next}
		case standing.Superseded:
			// The newest that there is has successors that were shown: this
			// browser was left behind long ago.
			return nil, ErrSuperseded
		case standing.Next == nil:
			return next, nil
		}
		r, sealed = next, standing.Next
	}
	return nil, ErrSuperseded
}

// successor opens what was handed on. A successor that does not open, or is
// not this session's next generation, exists all the same: the token of the
// generation before it must not be used.
func (n *Renewer) successor(r *record.Record, sealed []byte) (*record.Record, error) {
	plain, err := n.Ledger.OpenNext(r.ID[:], r.Generation, sealed)
	if err != nil {
		return nil, ErrSuperseded
	}
	v, err := record.Parse(plain)
	if err != nil {
		return nil, ErrSuperseded
	}
	next := v.Record()
	if next.ID != r.ID || next.Generation != r.Generation+1 {
		return nil, ErrSuperseded
	}
	return next, nil
}

func (n *Renewer) standing(ctx context.Context, r *record.Record) (ledger.Standing, error) {
	v, err := r.View()
	if err != nil {
		return ledger.Standing{}, err
	}
	return n.Ledger.Look(ctx, n.Ledger.Keys(&v), r.Began)
}

// Renew refreshes the session of r and returns its newest generation. presented
// is the generation the browser has shown. If must is false, r is still good:
// then a caller who is not the first does not wait, and gets r back.
//
// The error is *Ended or ErrSuperseded if the session is over, the context's
// if the caller went away (the flight goes on), and otherwise passing: the
// session stands. A record beside a passing error was refreshed but could not
// be written to shared state; it is good, and the browser should get it.
func (n *Renewer) Renew(ctx context.Context, r *record.Record, presented uint64, must bool) (*record.Record, error) {
	n.mu.Lock()
	f, under := n.flights[r.ID]
	switch {
	case under && !must:
		n.mu.Unlock()
		return r, nil
	case !under && n.Now().Before(n.waits[r.ID].until):
		n.mu.Unlock()
		return r, nil
	case !under:
		f = &flight{done: make(chan struct{})}
		n.flights[r.ID] = f
		// The flight survives its first caller: the provider may have rotated
		// the token already, and what it answers must not be lost.
		go n.fly(context.WithoutCancel(ctx), f, r, presented, must)
	}
	n.mu.Unlock()
	select {
	case <-f.done:
		return f.record, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly is the flight's own goroutine; it ends with the lease.
func (n *Renewer) fly(ctx context.Context, f *flight, r *record.Record, presented uint64, must bool) {
	ctx, cancel := context.WithTimeout(ctx, n.Lease)
	defer cancel()
	f.record, f.err = n.renew(ctx, r, presented, must)
	passing := f.err != nil && !Over(f.err)
	n.mu.Lock()
	delete(n.flights, r.ID)
	n.settle(r.ID, passing)
	n.mu.Unlock()
	if passing {
		n.Report(ctx, r, f.err)
	}
	close(f.done)
}

// Over reports whether an error of Renew or Newest means that the session is
// over, and not that something failed.
func Over(err error) bool {
	var ended *Ended
	return errors.As(err, &ended) || errors.Is(err, ErrSuperseded)
}

// settle counts passing failures. Only this session waits for them: one
// person's trouble must not block another.
func (n *Renewer) settle(id record.ID, passing bool) {
	if !passing {
		delete(n.waits, id)
		return
	}
	now := n.Now()
	for other, w := range n.waits {
		if now.Sub(w.until) > lastDelay {
			delete(n.waits, other)
		}
	}
	delay := min(max(2*n.waits[id].delay, firstDelay), lastDelay)
	n.waits[id] = wait{until: now.Add(delay), delay: delay}
}

// renew takes the lease, or waits for whoever has it.
func (n *Renewer) renew(ctx context.Context, r *record.Record, presented uint64, must bool) (*record.Record, error) {
	for range maxSteps {
		locked, err := n.Ledger.TryLock(ctx, r.ID[:], r.Generation, n.Lease)
		if err != nil {
			return nil, err
		}
		if !locked && !must {
			return r, nil
		}
		if !locked {
			if locked, err = n.await(ctx, r); err != nil {
				return nil, err
			}
		}
		next, err := n.underLock(ctx, r, presented, locked)
		if err != nil || !n.Due(next) || next.Generation == r.Generation {
			return next, err
		}
		r = next
	}
	return r, nil
}

// poll is how often a replica looks whether another has finished.
const poll = 50 * time.Millisecond

// await waits until the session's successor is there, its end, or the lease of
// whoever refreshes it; then it reports whether it has taken that lease over.
func (n *Renewer) await(ctx context.Context, r *record.Record) (locked bool, err error) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-ticker.C:
		}
		s, err := n.standing(ctx, r)
		if err != nil || s.Ended || s.Superseded || s.Next != nil {
			return false, err
		}
		if locked, err := n.Ledger.TryLock(ctx, r.ID[:], r.Generation, n.Lease); locked || err != nil {
			return locked, err
		}
	}
}

// underLock reads shared state again, asks the provider if r is still the
// newest, and keeps the successor.
func (n *Renewer) underLock(ctx context.Context, r *record.Record, presented uint64, locked bool) (*record.Record, error) {
	if locked {
		defer n.unlock(ctx, r, n.Now())
	}
	s, err := n.standing(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case s.Ended:
		return nil, &Ended{Reason: s.Reason, Record: r}
	case s.Superseded:
		return nil, ErrSuperseded
	case s.Next != nil:
		return n.Newest(ctx, r, s.Next)
	case !locked:
		return r, nil
	}
	next, err := n.Refresh(ctx, r)
	if err != nil {
		return nil, n.failed(ctx, r, err)
	}
	next.ID, next.Began, next.Created, next.Generation = r.ID, r.Began, r.Created, r.Generation+1
	if err := n.keep(ctx, r, next, presented); err != nil {
		return next, err
	}
	n.Report(ctx, next, nil)
	return next, nil
}

// unlock gives the lease back while well inside it.
func (n *Renewer) unlock(ctx context.Context, r *record.Record, taken time.Time) {
	if n.Now().Sub(taken) < n.Lease/2 {
		// If it fails, the lease lapses by itself.
		_ = n.Ledger.Unlock(ctx, r.ID[:], r.Generation)
	}
}

// failed looks once more for a successor before it believes that the session
// is over: a replica whose lease had lapsed may have used the token first.
func (n *Renewer) failed(ctx context.Context, r *record.Record, err error) error {
	if !errors.Is(err, ErrFinal) {
		return err
	}
	s, lookErr := n.standing(ctx, r)
	if lookErr != nil {
		return lookErr
	}
	if s.Next != nil {
		return errors.New("signin: refreshed by another replica meanwhile")
	}
	if endErr := n.Ledger.End(ctx, ledger.EndedSession, r.ID[:], ledger.ByProvider, n.Now()); endErr != nil {
		return errors.Join(err, endErr)
	}
	return errors.Join(&Ended{Reason: ledger.ByProvider, Record: r}, err)
}

// keep writes the successor, unless the session has ended meanwhile.
func (n *Renewer) keep(ctx context.Context, r, next *record.Record, presented uint64) error {
	if err := n.stillStands(ctx, r, next); err != nil {
		return err
	}
	plain, err := next.Append(nil)
	if err != nil {
		return err
	}
	if _, err := n.Ledger.AddNext(ctx, r.ID[:], r.Generation, plain); err != nil {
		return err
	}
	// A sign-out that looked for successors before this one was written has
	// written its own mark before it looked.
	if err := n.stillStands(ctx, r, next); err != nil {
		return err
	}
	// The browser has shown this generation, so it needs the one before no
	// more, and nobody else should be using that.
	if presented > 0 {
		return n.Ledger.Supersede(ctx, r.ID[:], presented-1)
	}
	return nil
}

func (n *Renewer) stillStands(ctx context.Context, r, next *record.Record) error {
	s, err := n.standing(ctx, r)
	if err != nil {
		return err
	}
	if s.Ended {
		n.Revoke(ctx, next)
		return &Ended{Reason: s.Reason, Record: next}
	}
	return nil
}

// Last returns the newest generation of a session, whether or not it has
// ended: the one whose refresh token is alive.
func (n *Renewer) Last(ctx context.Context, r *record.Record) *record.Record {
	for range maxSteps {
		s, err := n.standing(ctx, r)
		if err != nil || s.Next == nil {
			return r
		}
		next, err := n.successor(r, s.Next)
		if err != nil {
			return r
		}
		r = next
	}
	return r
}
