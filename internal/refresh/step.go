package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

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
	if !f.refresh {
		return nil, errMovedOn
	}
	return s, nil
}

// step writes what could not be written before, or takes the lease, or waits
// for its holder. It returns the generation to go on with.
func (g *Group) step(ctx context.Context, f *flight, s *session.Session) (next *session.Session, done bool, err error) {
	if next := g.heldAfter(s); next != nil {
		// Without the lease: Add decides who was first.
		next, err = g.keep(ctx, s, next, f.shown)
		return next, false, err
	}
	leased, err := g.State.TakeLease(ctx, s, Lease)
	if err == nil && !leased {
		if !f.must {
			return s, true, nil
		}
		leased, err = g.await(ctx, s)
	}
	if err != nil {
		return nil, false, err
	}
	return g.underLease(ctx, f, s, leased)
}

// How often a replica looks whether another has finished: every 20 ms, and less
// often the longer it takes. A caller waits a few per cent longer than it must,
// and a provider that hangs does not burden shared state too.
const (
	poll    = 20 * time.Millisecond
	patient = 16
)

// await waits until the session has a successor, has ended, or can be leased.
// It reports whether it has taken the lease.
func (g *Group) await(ctx context.Context, s *session.Session) (leased bool, err error) {
	began := time.Now() // not g.Now, which may be frozen
	timer := time.NewTimer(poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timer.C:
		}
		timer.Reset(max(poll, time.Since(began)/patient))
		standing, err := g.State.Look(ctx, s)
		if err != nil || !standing.Plain() {
			return false, err
		}
		if leased, err := g.State.TakeLease(ctx, s, Lease); leased || err != nil {
			return leased, err
		}
	}
}

// underLease reads shared state again, and asks the provider if s is still the
// newest and no token has been fetched meanwhile.
func (g *Group) underLease(ctx context.Context, f *flight, s *session.Session, leased bool) (next *session.Session, done bool, err error) {
	if leased {
		// However long it was waited for, there is a whole lease to use: a token
		// request that is broken off loses the token that it rotates.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), Lease)
		defer cancel()
		defer g.release(ctx, s, g.Now())
	}
	standing, kept, err := g.look(ctx, f.errand, s)
	switch {
	case err != nil:
		return nil, false, err
	case kept != nil:
		f.token = kept
		return s, true, nil
	case !standing.Plain():
		next, err = g.Newest(ctx, s, standing)
		return next, false, err
	case !leased: // a refresh goes on with what there is, a fetch waits again
		return s, f.refresh, nil
	}
	return g.ask(ctx, f, s)
}

// ask asks the provider, and keeps what it gives.
func (g *Group) ask(ctx context.Context, f *flight, s *session.Session) (next *session.Session, done bool, err error) {
	limited, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	if f.refresh {
		next, err = g.Source.Refresh(limited, s)
	} else {
		f.token, next, err = g.Source.Fetch(limited, s, f.want.Audience)
	}
	switch {
	case err != nil:
		next, err = g.failed(ctx, s, err)
		return next, f.refresh, err
	case f.refresh:
		next, err = g.keep(ctx, s, numbered(s, next), f.shown)
	default:
		next, err = g.keepToken(ctx, f, s, next)
	}
	return next, true, err
}

// numbered makes next the next generation of s, whatever session the provider
// says it is.
func numbered(s, next *session.Session) *session.Session {
	next.ID, next.Began, next.Created, next.Generation = s.ID, s.Began, s.Created, s.Generation+1
	return next
}

// release gives the lease back while well inside it. But if only this process
// knows that the token of s is used up, the rest of the lease is for writing that
// down.
func (g *Group) release(ctx context.Context, s *session.Session, taken time.Time) {
	if g.heldAfter(s) == nil && g.Now().Sub(taken) < Lease/2 {
		// If it fails, the lease lapses by itself.
		_ = g.State.ReleaseLease(ctx, s)
	}
}

// failed looks at shared state before it believes that the session is over: a
// replica whose lease had lapsed may have used the token, or a sign-out may
// have revoked it.
func (g *Group) failed(ctx context.Context, s *session.Session, err error) (*session.Session, error) {
	if !errors.Is(err, ErrFinal) {
		return nil, err
	}
	standing, lookErr := g.State.Look(ctx, s)
	switch {
	case lookErr != nil:
		return nil, lookErr
	case !standing.Plain():
		return g.Newest(ctx, s, standing)
	}
	if endErr := g.State.End(ctx, sharedstate.EndedSession, s.ID[:], sharedstate.ByProvider, g.Now()); endErr != nil {
		return nil, errors.Join(err, endErr)
	}
	return nil, errors.Join(&Ended{Reason: sharedstate.ByProvider, Session: s}, err)
}

// keep writes the successor, unless the session has ended meanwhile. If it
// cannot be written, it is held in this process and returned beside the error.
func (g *Group) keep(ctx context.Context, s, next *session.Session, shown uint64) (*session.Session, error) {
	standing, err := g.State.Look(ctx, s)
	switch {
	case err != nil:
		return g.hold(next, shown), err
	case standing.Ended:
		return nil, g.giveBack(ctx, next, standing)
	}
	first, err := g.State.AddSuccessor(ctx, s, next)
	if err != nil {
		return g.hold(next, shown), err
	}
	g.drop(s.ID)
	// A sign-out that looked for successors before this one was written had
	// written its end by then.
	standing, err = g.State.Look(ctx, s)
	switch {
	case err == nil && standing.Ended:
		return nil, g.giveBack(ctx, next, standing)
	case !first && err == nil && !standing.Plain():
		// Another replica was faster. It is tempting to revoke what is not used, but
		// the provider may have given both the same grant.
		return g.Newest(ctx, s, standing)
	}
	g.report(ctx, next, nil)
	// The browser has shown this generation and no longer needs the one before:
	// only a copy would use it.
	if err == nil && shown > 0 {
		err = g.State.Supersede(ctx, s.ID, shown-1)
	}
	return next, err
}

// giveBack revokes what was received for a session that has ended meanwhile,
// unless a new sign-in has replaced it: both may have the same grant.
func (g *Group) giveBack(ctx context.Context, next *session.Session, standing sharedstate.Standing) error {
	g.drop(next.ID)
	if standing.Reason != sharedstate.Replaced {
		_ = g.Source.Revoke(context.WithoutCancel(ctx), next) // however much of the lease is left
	}
	return &Ended{Reason: standing.Reason, Session: next}
}
