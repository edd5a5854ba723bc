package refresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// maxSteps is how often a flight may find that others have moved the session on.
const maxSteps = 32

// advance goes on from generation to generation until the errand is done. A
// refresh is done at a generation that is not due, or that it has fetched
// itself: otherwise a provider whose tokens are due as soon as they come would
// be asked again and again.
func (g *Group) advance(ctx context.Context, f *flight, s *session.Session) (*session.Session, error) {
	for range maxSteps {
		next, done, err := g.step(ctx, f, s)
		if err != nil || done || f.refresh && !g.Due(next) {
			return next, err
		}
		s = next
	}
	return nil, errMovedOn
}

// step writes what could not be written before, or takes the lease, or waits
// for its holder. It returns the generation to go on with.
func (g *Group) step(ctx context.Context, f *flight, s *session.Session) (next *session.Session, done bool, err error) {
	// This needs no lease: Add decides who was first. The unwritten generation is s
	// itself if a caller has got it already. Its token is not sent before it is written:
	// a gap among the successors would lead older cookies to a token that is used up.
	if next := cmp.Or(g.heldAt(s.ID, s.Generation), g.heldAfter(s)); next != nil {
		before := *next
		before.Generation--
		next, err = g.keep(ctx, &before, next)
		return next, false, err
	}
	lease, err := g.takeLease(ctx, s)
	if err == nil && lease == nil {
		if !f.must {
			return s, true, nil
		}
		lease, err = g.await(ctx, s)
	}
	switch {
	case err != nil:
		return nil, false, err
	case lease == nil:
		return g.withoutLease(ctx, s)
	}
	return g.underLease(ctx, f, s, lease)
}

// lease is a lease that this process has taken, and when it began to take it.
type lease struct {
	held  *sharedstate.Held
	taken time.Time
	lost  bool // another may have it
}

// takeLease takes the lease of a session, or returns nil if another has it. It notes
// the time first, since this process may be stopped before it learns that it has the lease.
func (g *Group) takeLease(ctx context.Context, s *session.Session) (*lease, error) {
	taken := g.Now()
	held, err := g.State.TakeLease(ctx, s, Lease)
	if held == nil {
		return nil, err
	}
	return &lease{held: held, taken: taken}, nil
}

// How often a replica looks whether another has finished: every 20 ms, and less
// often the longer it takes. So a caller waits only a few per cent longer than it
// must, and a provider that hangs does not burden shared state too.
const (
	poll    = 20 * time.Millisecond
	patient = 16
)

// await waits until the session has a successor, has ended, or can be leased. It
// returns the lease that it has taken, or nil.
func (g *Group) await(ctx context.Context, s *session.Session) (*lease, error) {
	began := time.Now() // not g.Now, which may be frozen
	timer := time.NewTimer(poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
		timer.Reset(max(poll, time.Since(began)/patient))
		standing, err := g.State.Look(ctx, s)
		if err != nil || !standing.Plain() {
			return nil, err
		}
		if lease, err := g.takeLease(ctx, s); lease != nil || err != nil {
			return lease, err
		}
	}
}

// withoutLease goes on with what another replica has done.
func (g *Group) withoutLease(ctx context.Context, s *session.Session) (next *session.Session, done bool, err error) {
	standing, err := g.State.Look(ctx, s)
	switch {
	case err != nil:
		return nil, false, err
	case !standing.Plain():
		next, err = g.Newest(ctx, s, standing)
		return next, false, err
	}
	return s, false, nil // what await found is gone, so the outcome is unknown
}

// underLease reads shared state again, and asks the provider if s is still the
// newest and no token has been fetched meanwhile.
func (g *Group) underLease(ctx context.Context, f *flight, s *session.Session, lease *lease) (next *session.Session, done bool, err error) {
	// However long the wait was, a whole lease is left to use: a token request that
	// is cut off loses the token that it rotates.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Lease)
	defer cancel()
	defer g.release(ctx, s, lease)
	if !f.refresh {
		_, kept, err := g.look(ctx, s, f.want)
		if err != nil || kept != nil {
			f.token = kept
			return s, err == nil, err
		}
	}
	// Last, right before the request.
	standing, holds, err := g.State.LookUnderLease(ctx, s, lease.held)
	switch {
	case err != nil:
		return nil, false, err
	case !standing.Plain():
		next, err = g.Newest(ctx, s, standing)
		return next, false, err
	case g.heldAfter(s) != nil: // since this flight has waited for the lease
		return s, false, nil
	case !holds: // this process was stopped for so long that it has lapsed
		lease.lost = true
		return s, false, nil
	}
	left := asking - g.Now().Sub(lease.taken)
	if left < leastAsking {
		return s, false, nil
	}
	return g.ask(ctx, f, s, left)
}

// ask asks the provider, within the time given, and keeps what it answers.
func (g *Group) ask(ctx context.Context, f *flight, s *session.Session, time time.Duration) (next *session.Session, done bool, err error) {
	limited, cancel := context.WithTimeout(ctx, time)
	defer cancel()
	if f.refresh {
		next, err = g.Source.Refresh(limited, s)
	} else {
		f.token, next, err = g.Source.Fetch(limited, s, f.want.Audience)
	}
	switch {
	case err != nil && next != nil:
		next, err = g.keepBeside(ctx, s, numbered(s, next), err)
		return next, true, err
	case err != nil:
		next, err = g.refused(ctx, s, err)
		return next, false, err
	case f.refresh:
		next, err = g.keep(ctx, s, numbered(s, next))
	default:
		next, err = g.keepToken(ctx, f, s, next)
	}
	return next, true, err
}

// numbered makes next the next generation of s, whatever the Source put into it.
func numbered(s, next *session.Session) *session.Session {
	next.ID, next.Number, next.IssuedAt, next.Created, next.Generation = s.ID, s.Number, s.IssuedAt, s.Created, s.Generation+1
	return next
}

// release gives the lease back, unless another may have it. But if only this
// process knows that the token of s is used up, it needs the rest of the lease to
// write that down.
func (g *Group) release(ctx context.Context, s *session.Session, lease *lease) {
	if !lease.lost && g.heldAfter(s) == nil {
		// If it fails, the lease lapses by itself.
		_ = g.State.ReleaseLease(ctx, lease.held)
	}
}

// keepBeside keeps what came with an error: a new refresh token, since the one before may
// be used up, and then the refresh has failed all the same; or all that a refresh brings,
// if the provider refuses an audience alone.
func (g *Group) keepBeside(ctx context.Context, s, next *session.Session, failure error) (*session.Session, error) {
	kept, first, err := g.write(ctx, s, next)
	switch {
	case Over(err):
		return nil, err
	case !errors.Is(failure, ErrRefused):
		failure = failed{failure}
	case first:
		g.report(ctx, next, nil)
	}
	return kept, errors.Join(failure, err)
}

// denied makes a denial final if the same generation has heard one before, long ago.
func (g *Group) denied(ctx context.Context, s *session.Session, err error) error {
	first, unknown := g.State.Deny(ctx, s)
	if unknown == nil && g.Now().Sub(first) >= denials {
		return fmt.Errorf("%w: %w", ErrFinal, err)
	}
	return errors.Join(err, unknown)
}

// refused looks at shared state before it believes that the session has ended: a
// replica whose lease had lapsed may have used the token, or a sign-out may have
// revoked it.
func (g *Group) refused(ctx context.Context, s *session.Session, err error) (*session.Session, error) {
	if errors.Is(err, ErrDenied) {
		err = g.denied(ctx, s, err)
	}
	if !errors.Is(err, ErrFinal) {
		if !errors.Is(err, ErrRefused) {
			err = failed{err}
		}
		return nil, err
	}
	standing, lookErr := g.State.Look(ctx, s)
	switch {
	case lookErr != nil:
		return nil, errors.Join(err, lookErr)
	case !standing.Plain():
		return g.Newest(ctx, s, standing)
	}
	if endErr := g.State.EndSession(ctx, s.ID, sharedstate.Refused); endErr != nil {
		return nil, errors.Join(err, endErr)
	}
	ended := &Ended{Reason: sharedstate.Refused, Session: s, Cause: err}
	g.report(ctx, s, ended)
	return nil, errors.Join(ended, err)
}

// keep writes the successor, unless the session has ended meanwhile. If it
// cannot be written, it is held in this process and returned with the error.
func (g *Group) keep(ctx context.Context, s, next *session.Session) (*session.Session, error) {
	kept, first, err := g.write(ctx, s, next)
	if first {
		g.report(ctx, next, nil)
	}
	return kept, err
}

// write is keep without a report. first says that next is the successor.
func (g *Group) write(ctx context.Context, s, next *session.Session) (kept *session.Session, first bool, err error) {
	standing, err := g.State.Look(ctx, s)
	switch {
	case err != nil:
		return g.hold(next), false, err
	case standing.Ended != 0:
		return nil, false, g.giveBack(ctx, next, standing)
	}
	first, err = g.State.AddSuccessor(ctx, s, next)
	if err == nil {
		// A sign-out that looked for successors before this one was written had
		// written its end by then.
		standing, err = g.State.Look(ctx, s)
	}
	if err != nil {
		return g.hold(next), false, err // until it is written, and it is known whether it is to be revoked
	}
	g.drop(next)
	switch {
	case standing.Ended != 0:
		return nil, false, g.giveBack(ctx, next, standing)
	case !first && !standing.Newest():
		// Another replica was faster. It is tempting to revoke what is not used, but
		// the provider may have given both the same grant.
		kept, err = g.Newest(ctx, s, standing)
		return kept, false, err
	}
	return next, true, nil
}

// giveBack revokes what was received for a session that was signed out meanwhile.
// After any other end the grant may be that of a new sign-in.
func (g *Group) giveBack(ctx context.Context, next *session.Session, standing sharedstate.Standing) error {
	g.drop(next)
	if standing.Ended == sharedstate.SignedOut {
		_ = g.Source.Revoke(context.WithoutCancel(ctx), next) // however much of the lease is left
	}
	return &Ended{Reason: standing.Ended, Session: next}
}
