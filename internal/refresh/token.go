package refresh

import (
	"context"
	"errors"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// ErrRefused marks an error of Source.Fetch as the provider's word about this
// audience alone: it says nothing about the session, and others may be asked for
// at once.
var ErrRefused = errors.New("signin: the provider gives no token for this audience")

// ErrResting means that the provider has just failed, and is not asked again
// yet.
var ErrResting = errors.New("signin: the provider has just failed, and is given time")

// errMovedOn means that a session was refreshed too often to be followed while a
// token was asked for.
var errMovedOn = errors.New("signin: the session moves on faster than it can be followed")

// errUnwanted is the outcome of an errand whose callers left before its turn came.
var errUnwanted = errors.New("signin: no caller waits for this access token any more")

// Wanted says which access token of a session is asked for.
type Wanted struct {
	Audience session.Audience
	// Refused is an access token that its audience has refused: if that is the
	// one that is kept, it is not good enough.
	Refused string
}

// fits reports whether a token that is kept will do.
func (g *Group) fits(t *session.Token, want Wanted) bool {
	if t == nil || !g.Now().Before(t.Until) {
		return false
	}
	// An audience that refuses the new token too is out of order itself: it must
	// not turn each call into a token request, and a rotated refresh token.
	return t.Access != want.Refused || g.Now().Sub(t.Replaced) < lastDelay
}

// errand is one access token that is being fetched in this process. Its results
// are to be read when done is closed.
type errand struct {
	generation uint64 // it set out from
	callers    int    // who are waiting
	done       chan struct{}
	token      *session.Token
	newest     *session.Session
	err        error
}

type errandKey struct {
	id   session.ID
	want Wanted
}

// turn lets the errands of one session go one after another: two uses of one
// rotating refresh token at once end the whole grant. Among replicas the lease
// does that; a queue spares those of one process from polling it.
type turn struct {
	token chan struct{} // of one
	users int
}

// Token returns an access token for an audience, and the newest generation of
// the session that is known: the token may have cost a rotated refresh token. It
// is the one kept in shared state, if that fits, or a new one; equal calls share
// it. shown is the generation the browser has shown.
//
// The error is *Ended or ErrSuperseded if the session is over, ErrRefused if
// there is no token for this audience, ErrResting, or another passing one.
func (g *Group) Token(ctx context.Context, s *session.Session, shown uint64, want Wanted) (*session.Token, *session.Session, error) {
	standing, kept, err := g.lookForToken(ctx, s, want)
	switch {
	case err != nil:
		return nil, nil, err
	case standing.Ended:
		return nil, nil, &Ended{Reason: standing.Reason, Session: s}
	case kept != nil:
		return kept, s, nil
	}
	for {
		e, err := g.errand(ctx, s, shown, want)
		if err != nil {
			return nil, nil, err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			g.mu.Lock()
			e.callers--
			g.mu.Unlock()
			return nil, nil, ctx.Err()
		}
		// That an older copy is superseded says nothing about s.
		if !errors.Is(e.err, ErrSuperseded) || e.generation >= s.Generation {
			return e.token, e.newest, e.err
		}
	}
}

// lookForToken reads what shared state says of a session, and which token is
// kept; nil unless it fits.
func (g *Group) lookForToken(ctx context.Context, s *session.Session, want Wanted) (sharedstate.Standing, *session.Token, error) {
	standing, kept, err := g.State.LookForToken(ctx, s, want.Audience)
	if !g.fits(kept, want) {
		kept = nil
	}
	return standing, kept, err
}

// errand returns the errand that is under way for such a token, or starts it.
func (g *Group) errand(ctx context.Context, s *session.Session, shown uint64, want Wanted) (*errand, error) {
	key := errandKey{s.ID, want}
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.errands[key]; e != nil {
		e.callers++
		return e, nil
	}
	if g.resting(s.ID) {
		return nil, ErrResting
	}
	e := &errand{generation: s.Generation, callers: 1, done: make(chan struct{}), err: errCutShort}
	g.errands[key] = e
	t := g.turns[s.ID]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		g.turns[s.ID] = t
	}
	t.users++
	// It survives its caller, as a refresh does, and for the same reason.
	go g.run(context.WithoutCancel(ctx), e, t, key, s, shown)
	return e, nil
}

// run is the errand's own goroutine.
func (g *Group) run(ctx context.Context, e *errand, t *turn, key errandKey, s *session.Session, shown uint64) {
	passing := false
	defer close(e.done)
	defer func() {
		if passing {
			g.report(ctx, s, e.err)
		}
	}()
	// Its turn comes in any case: each of those before it ends by itself.
	t.token <- struct{}{}
	defer func() {
		passing = e.err != nil && !Over(e.err) && !errors.Is(e.err, ErrRefused) && !errors.Is(e.err, ErrResting) && e.err != errUnwanted
		g.mu.Lock()
		if g.errands[key] == e {
			delete(g.errands, key)
		}
		if t.users--; t.users == 0 {
			delete(g.turns, key.id)
		}
		if passing || e.err == nil {
			g.settle(key.id, passing)
		}
		g.mu.Unlock()
		<-t.token // last, so that the next one knows of the failure
	}()
	g.mu.Lock()
	resting, wanted := g.resting(key.id), e.callers > 0
	if !wanted {
		delete(g.errands, key) // the next caller begins another
	}
	g.mu.Unlock()
	switch {
	case resting: // the one before it has just failed
		e.err = ErrResting
		return
	case !wanted: // one person must not make a queue that outlives their requests
		e.err = errUnwanted
		return
	}
	waiting, cancel := context.WithTimeout(ctx, 2*Lease)
	defer cancel()
	e.err = guard(func() (err error) {
		e.token, e.newest, err = g.fetch(waiting, s, shown, key.want)
		return err
	})
}

// fetch goes on until it holds the lease on the session's newest generation, and
// asks the provider then.
func (g *Group) fetch(ctx context.Context, s *session.Session, shown uint64, want Wanted) (*session.Token, *session.Session, error) {
	for range maxSteps {
		if next := g.heldAfter(s); next != nil {
			var err error
			if s, err = g.keep(ctx, s, next, shown); err != nil {
				return nil, nil, err
			}
		}
		leased, err := g.State.TakeLease(ctx, s, Lease)
		if err == nil && !leased {
			leased, err = g.await(ctx, s)
		}
		if err != nil {
			return nil, nil, err
		}
		token, next, err := g.fetchUnderLease(ctx, s, shown, want, leased)
		if token != nil || err != nil {
			return token, next, err
		}
		s = next
	}
	return nil, nil, errMovedOn
}

// fetchUnderLease reads shared state again, and asks the provider if s is still
// the newest and the token has not been fetched meanwhile. Without a token and
// without an error it returns the generation to go on with.
func (g *Group) fetchUnderLease(ctx context.Context, s *session.Session, shown uint64, want Wanted, leased bool) (*session.Token, *session.Session, error) {
	if leased {
		// All of the lease, however long it was waited for; see underLease.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), Lease)
		defer cancel()
		defer g.release(ctx, s, g.Now())
	}
	standing, kept, err := g.lookForToken(ctx, s, want)
	switch {
	case err != nil:
		return nil, nil, err
	case standing.Ended:
		return nil, nil, &Ended{Reason: standing.Reason, Session: s}
	case kept != nil:
		return kept, s, nil
	case !standing.Plain():
		next, err := g.Newest(ctx, s, standing)
		return nil, next, err
	case !leased:
		return nil, s, nil
	}
	token, next, err := g.Source.Fetch(ctx, s, want.Audience)
	if err != nil {
		next, err = g.failed(ctx, s, err)
		return nil, next, err
	}
	if want.Refused != "" {
		token.Replaced = g.Now()
	}
	// Before the successor, since another replica that finds that may ask in its turn.
	if ttl := token.Until.Sub(g.Now()); ttl > 0 {
		if err := g.State.KeepToken(ctx, s.ID, want.Audience, token, ttl); err != nil {
			g.report(ctx, s, err) // it is fetched again when it is wanted again
		}
	}
	if next, err = g.settleRotation(ctx, s, next, shown); err != nil {
		return nil, nil, err
	}
	return token, next, nil
}

// settleRotation keeps the successor, if fetching a token has brought a new
// refresh token, and looks for a sign-out in any case.
func (g *Group) settleRotation(ctx context.Context, s, next *session.Session, shown uint64) (*session.Session, error) {
	if next == nil {
		standing, err := g.State.Look(ctx, s)
		if err == nil && standing.Ended {
			err = &Ended{Reason: standing.Reason, Session: s}
		}
		return s, err
	}
	kept, err := g.keep(ctx, s, numbered(s, next), shown)
	switch {
	case Over(err):
		return nil, err
	case err != nil: // it is held, and tried again
		g.report(ctx, s, err)
	}
	if kept == nil {
		kept = next
	}
	return kept, nil
}
