package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// advance goes on until the session is at a generation that is not due, or that
// this flight itself has fetched: a provider whose tokens live for less than
// they are refreshed ahead would be asked again and again.
func (g *Group) advance(ctx context.Context, s *session.Session, shown uint64, must bool) (*session.Session, error) {
	for range maxSteps {
		next, asked, err := g.step(ctx, s, shown, must)
		if err != nil || asked || next.Generation == s.Generation || !g.Due(next) {
			return next, err
		}
		s = next
	}
	return s, nil
}

// step writes what could not be written before, or takes the lease, or waits
// for its holder. asked says that the provider was asked.
func (g *Group) step(ctx context.Context, s *session.Session, shown uint64, must bool) (next *session.Session, asked bool, err error) {
	if next := g.heldAfter(s); next != nil {
		// Without the lease: Add decides who was first.
		next, err = g.keep(ctx, s, next, shown)
		return next, false, err
	}
	leased, err := g.State.TakeLease(ctx, s, Lease)
	switch {
	case err != nil:
		return nil, false, err
	case !leased && !must:
		return s, false, nil
	case !leased:
		if leased, err = g.await(ctx, s); err != nil {
			return nil, false, err
		}
	}
	return g.underLease(ctx, s, shown, leased)
}

// How often a replica looks whether another has finished: every 20 ms, and less
// often the longer it takes. A caller waits a few per cent of the time for
// nothing; and a provider that hangs does not cost shared state too.
const (
	poll    = 20 * time.Millisecond
	patient = 16
)

// await waits until the session's successor is there, its end, or the lease of
// the replica that refreshes it; then it reports whether it has taken that lease
// over.
func (g *Group) await(ctx context.Context, s *session.Session) (leased bool, err error) {
	began := time.Now() // not g.Now, which may stand still
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

// underLease reads shared state again, asks the provider if s is still the
// newest, and keeps the successor.
func (g *Group) underLease(ctx context.Context, s *session.Session, shown uint64, leased bool) (next *session.Session, asked bool, err error) {
	if leased {
		// A caller that has waited for the lease has all of it nonetheless: a token
		// request that is broken off loses the token that it rotates.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), Lease)
		defer cancel()
		defer g.release(ctx, s, g.Now())
	}
	standing, err := g.State.Look(ctx, s)
	switch {
	case err != nil:
		return nil, false, err
	case !standing.Plain():
		next, err = g.Newest(ctx, s, standing)
		return next, false, err
	case !leased:
		return s, false, nil
	}
	next, err = g.Source.Refresh(ctx, s)
	if err != nil {
		next, err = g.failed(ctx, s, err)
		return next, true, err
	}
	next, err = g.keep(ctx, s, numbered(s, next), shown)
	return next, true, err
}

// numbered makes next the next generation of s: which session it is, is not the
// provider's to say.
func numbered(s, next *session.Session) *session.Session {
	next.ID, next.Began, next.Created, next.Generation = s.ID, s.Began, s.Created, s.Generation+1
	return next
}

// release gives the lease back while well inside it, unless the token of s is
// used up and only this process knows: then the rest of the lease is for writing
// that down.
func (g *Group) release(ctx context.Context, s *session.Session, taken time.Time) {
	if g.heldAfter(s) == nil && g.Now().Sub(taken) < Lease/2 {
		// If it fails, the lease lapses by itself.
		_ = g.State.ReleaseLease(ctx, s)
	}
}

// failed looks once more before it believes that the session is over: a
// replica whose lease had lapsed may have used the token first, and a sign-out
// revokes it.
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

// keep writes the successor, unless the session has ended meanwhile. What
// cannot be written is held in this process and returned beside the error.
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
	// A sign-out that looked for successors before this one was written has
	// written its own mark before it looked.
	standing, err = g.State.Look(ctx, s)
	switch {
	case err == nil && standing.Ended:
		return nil, g.giveBack(ctx, next, standing)
	case !first && err == nil && !standing.Plain():
		// Another replica was faster, and one session has one line of successors. It
		// is tempting to revoke what is not used: the provider may have given
		// both the same grant.
		return g.Newest(ctx, s, standing)
	}
	g.report(ctx, next, nil)
	// The browser has shown this generation, so it needs the one before no
	// more, and only a copy would use that.
	if err == nil && shown > 0 {
		err = g.State.Supersede(ctx, s.ID, shown-1)
	}
	return next, err
}

// giveBack revokes what was received for a session that has ended meanwhile,
// unless a new sign-in has replaced it: the provider may have given both the same
// grant.
func (g *Group) giveBack(ctx context.Context, next *session.Session, standing sharedstate.Standing) error {
	g.drop(next.ID)
	if standing.Reason != sharedstate.Replaced {
		_ = g.Source.Revoke(context.WithoutCancel(ctx), next) // however much of the lease is left
	}
	return &Ended{Reason: standing.Reason, Session: next}
}
