package renew

import (
	"context"
	"errors"

	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/record"
)

// ErrRefused marks an error of Config.Fetch as the provider's word about this
// audience alone: it says nothing about the session, and others may be asked for
// at once.
var ErrRefused = errors.New("signin: the provider gives no token for this audience")

// ErrResting means that the provider has just failed, and is not asked again
// yet.
var ErrResting = errors.New("signin: the provider has just failed, and is given time")

// errMovedOn means that a session was refreshed more often than anybody follows
// while a token was asked for.
var errMovedOn = errors.New("signin: the session moves on faster than it can be followed")

// errUnwanted is the outcome of an errand whose callers left before its turn came.
var errUnwanted = errors.New("signin: nobody waits for this access token any more")

// Wanted says which access token of a session is asked for.
type Wanted struct {
	Audience record.Audience
	// Refused is an access token that its audience has refused: if that is the
	// one that is kept, it is not good enough.
	Refused string
}

// fits reports whether a token that is kept will do.
func (n *Renewer) fits(t *record.Token, want Wanted) bool {
	if t == nil || !n.Now().Before(t.Until) {
		return false
	}
	// An audience that refuses the new token too is out of order itself: it must
	// not turn each call into a token request, and a rotated refresh token.
	return t.Access != want.Refused || n.Now().Sub(t.Replaced) < lastDelay
}

// errand is one access token that is being fetched in this process. Its results
// are to be read when done is closed.
type errand struct {
	generation uint64 // it set out from
	callers    int    // who are waiting
	done       chan struct{}
	token      *record.Token
	newest     *record.Record
	err        error
}

type errandKey struct {
	id   record.ID
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
// it. presented is the generation the browser has shown.
//
// The error is *Ended or ErrSuperseded if the session is over, ErrRefused if
// there is no token for this audience, ErrResting, or another passing one.
func (n *Renewer) Token(ctx context.Context, r *record.Record, presented uint64, want Wanted) (*record.Token, *record.Record, error) {
	s, kept, err := n.lookForToken(ctx, r, want)
	switch {
	case err != nil:
		return nil, nil, err
	case s.Ended:
		return nil, nil, &Ended{Reason: s.Reason, Record: r}
	case kept != nil:
		return kept, r, nil
	}
	for {
		e, err := n.errand(ctx, r, presented, want)
		if err != nil {
			return nil, nil, err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			n.mu.Lock()
			e.callers--
			n.mu.Unlock()
			return nil, nil, ctx.Err()
		}
		// That an older copy is superseded says nothing about r.
		if !errors.Is(e.err, ErrSuperseded) || e.generation >= r.Generation {
			return e.token, e.newest, e.err
		}
	}
}

// lookForToken reads where a session stands and which token is kept; nil unless
// it fits.
func (n *Renewer) lookForToken(ctx context.Context, r *record.Record, want Wanted) (ledger.Standing, *record.Token, error) {
	v, err := r.View()
	if err != nil {
		return ledger.Standing{}, nil, err
	}
	s, kept, err := n.Ledger.LookForToken(ctx, &v, r.Began, want.Audience)
	if !n.fits(kept, want) {
		kept = nil
	}
	return s, kept, err
}

// errand returns the errand that is under way for such a token, or starts it.
func (n *Renewer) errand(ctx context.Context, r *record.Record, presented uint64, want Wanted) (*errand, error) {
	key := errandKey{r.ID, want}
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.errands[key]; e != nil {
		e.callers++
		return e, nil
	}
	if n.resting(r.ID) {
		return nil, ErrResting
	}
	e := &errand{generation: r.Generation, callers: 1, done: make(chan struct{}), err: errCutShort}
	n.errands[key] = e
	t := n.turns[r.ID]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		n.turns[r.ID] = t
	}
	t.users++
	// It survives its caller, as a refresh does, and for the same reason.
	go n.run(context.WithoutCancel(ctx), e, t, key, r, presented)
	return e, nil
}

// run is the errand's own goroutine.
func (n *Renewer) run(ctx context.Context, e *errand, t *turn, key errandKey, r *record.Record, presented uint64) {
	passing := false
	defer close(e.done)
	defer func() {
		if passing {
			n.report(ctx, r, e.err)
		}
	}()
	// Its turn comes in any case: each of those before it ends by itself.
	t.token <- struct{}{}
	defer func() {
		passing = e.err != nil && !Over(e.err) && !errors.Is(e.err, ErrRefused) && !errors.Is(e.err, ErrResting) && e.err != errUnwanted
		n.mu.Lock()
		if n.errands[key] == e {
			delete(n.errands, key)
		}
		if t.users--; t.users == 0 {
			delete(n.turns, key.id)
		}
		if passing || e.err == nil {
			n.settle(key.id, passing)
		}
		n.mu.Unlock()
		<-t.token // last, so that whoever is next knows of the failure
	}()
	n.mu.Lock()
	resting, wanted := n.resting(key.id), e.callers > 0
	if !wanted {
		delete(n.errands, key) // whoever comes now begins another
	}
	n.mu.Unlock()
	switch {
	case resting: // whoever was before it has just failed
		e.err = ErrResting
		return
	case !wanted: // one person must not make a queue that outlives their requests
		e.err = errUnwanted
		return
	}
	waiting, cancel := context.WithTimeout(ctx, 2*n.Lease)
	defer cancel()
	e.err = guard(func() (err error) {
		e.token, e.newest, err = n.fetch(waiting, r, presented, key.want)
		return err
	})
}

// fetch goes on until it holds the lease on the session's newest generation, and
// asks the provider then.
func (n *Renewer) fetch(ctx context.Context, r *record.Record, presented uint64, want Wanted) (*record.Token, *record.Record, error) {
	for range maxSteps {
		if next := n.held(r); next != nil {
			var err error
			if r, err = n.keep(ctx, r, next, presented); err != nil {
				return nil, nil, err
			}
		}
		locked, err := n.Ledger.TryLock(ctx, r.ID[:], r.Generation, n.Lease)
		if err == nil && !locked {
			locked, err = n.await(ctx, r)
		}
		if err != nil {
			return nil, nil, err
		}
		token, next, err := n.fetchUnderLock(ctx, r, presented, want, locked)
		if token != nil || err != nil {
			return token, next, err
		}
		r = next
	}
	return nil, nil, errMovedOn
}

// fetchUnderLock reads shared state again, and asks the provider if r is still
// the newest and nobody else has fetched the token. Without a token and without
// an error it returns the generation to go on with.
func (n *Renewer) fetchUnderLock(ctx context.Context, r *record.Record, presented uint64, want Wanted, locked bool) (*record.Token, *record.Record, error) {
	if locked {
		// All of the lease, however long it was waited for; see underLock.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), n.Lease)
		defer cancel()
		defer n.unlock(ctx, r, n.Now())
	}
	s, kept, err := n.lookForToken(ctx, r, want)
	switch {
	case err != nil:
		return nil, nil, err
	case s.Ended:
		return nil, nil, &Ended{Reason: s.Reason, Record: r}
	case kept != nil:
		return kept, r, nil
	case !s.Plain():
		next, err := n.follow(ctx, r, s)
		return nil, next, err
	case !locked:
		return nil, r, nil
	}
	token, next, err := n.Fetch(ctx, r, want.Audience)
	if err != nil {
		next, err = n.failed(ctx, r, err)
		return nil, next, err
	}
	if want.Refused != "" {
		token.Replaced = n.Now()
	}
	// Before the successor, since whoever finds that may ask in its turn.
	if ttl := token.Until.Sub(n.Now()); ttl > 0 {
		if err := n.Ledger.KeepToken(ctx, r.ID[:], want.Audience, token, ttl); err != nil {
			n.report(ctx, r, err) // it is fetched again when it is wanted again
		}
	}
	if next, err = n.settleRotation(ctx, r, next, presented); err != nil {
		return nil, nil, err
	}
	return token, next, nil
}

// settleRotation keeps the successor, if fetching a token has brought a new
// refresh token, and looks for a sign-out in any case.
func (n *Renewer) settleRotation(ctx context.Context, r, next *record.Record, presented uint64) (*record.Record, error) {
	if next == nil {
		s, err := n.standing(ctx, r)
		if err == nil && s.Ended {
			err = &Ended{Reason: s.Reason, Record: r}
		}
		return r, err
	}
	next.ID, next.Began, next.Created, next.Generation = r.ID, r.Began, r.Created, r.Generation+1
	kept, err := n.keep(ctx, r, next, presented)
	switch {
	case Over(err):
		return nil, err
	case err != nil: // it is held, and tried again
		n.report(ctx, r, err)
	}
	if kept == nil {
		kept = next
	}
	return kept, nil
}
