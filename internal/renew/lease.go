package renew

import (
	"context"
	"errors"
	"time"

	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/record"
)

// renew goes on until the session is at a generation that is not due, or that
// this flight itself has fetched: a provider whose tokens live for less than
// they are renewed ahead would be asked again and again.
func (n *Renewer) renew(ctx context.Context, r *record.Record, presented uint64, must bool) (*record.Record, error) {
	for range maxSteps {
		next, asked, err := n.step(ctx, r, presented, must)
		if err != nil || asked || next.Generation == r.Generation || !n.Due(next) {
			return next, err
		}
		r = next
	}
	return r, nil
}

// step writes what could not be written before, or takes the lease, or waits
// for whoever has it. asked says that the provider was asked.
func (n *Renewer) step(ctx context.Context, r *record.Record, presented uint64, must bool) (next *record.Record, asked bool, err error) {
	if next := n.held(r); next != nil {
		// Without the lease: Add decides who was first.
		next, err = n.keep(ctx, r, next, presented)
		return next, false, err
	}
	locked, err := n.Ledger.TryLock(ctx, r.ID[:], r.Generation, n.Lease)
	switch {
	case err != nil:
		return nil, false, err
	case !locked && !must:
		return r, false, nil
	case !locked:
		if locked, err = n.await(ctx, r); err != nil {
			return nil, false, err
		}
	}
	return n.underLock(ctx, r, presented, locked)
}

// How often a replica looks whether another has finished: every 20 ms, and less
// often the longer it takes. Whoever waits, waits a few per cent of the time for
// nothing; and a provider that hangs does not cost shared state too.
const (
	poll    = 20 * time.Millisecond
	patient = 16
)

// await waits until the session's successor is there, its end, or the lease of
// whoever refreshes it; then it reports whether it has taken that lease over.
func (n *Renewer) await(ctx context.Context, r *record.Record) (locked bool, err error) {
	began := time.Now() // not n.Now, which may stand still
	timer := time.NewTimer(poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timer.C:
		}
		timer.Reset(max(poll, time.Since(began)/patient))
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
func (n *Renewer) underLock(ctx context.Context, r *record.Record, presented uint64, locked bool) (next *record.Record, asked bool, err error) {
	if locked {
		// Whoever has waited for the lease has all of it nonetheless: a token
		// request that is broken off loses the token that it rotates.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), n.Lease)
		defer cancel()
		defer n.unlock(ctx, r, n.Now())
	}
	s, err := n.standing(ctx, r)
	switch {
	case err != nil:
		return nil, false, err
	case !s.Plain():
		next, err = n.follow(ctx, r, s)
		return next, false, err
	case !locked:
		return r, false, nil
	}
	next, err = n.Refresh(ctx, r)
	if err != nil {
		next, err = n.failed(ctx, r, err)
		return next, true, err
	}
	next.ID, next.Began, next.Created, next.Generation = r.ID, r.Began, r.Created, r.Generation+1
	next, err = n.keep(ctx, r, next, presented)
	return next, true, err
}

// unlock gives the lease back while well inside it, unless r's token is used
// up and only this process knows: then the rest of the lease is for writing
// that down.
func (n *Renewer) unlock(ctx context.Context, r *record.Record, taken time.Time) {
	if n.held(r) == nil && n.Now().Sub(taken) < n.Lease/2 {
		// If it fails, the lease lapses by itself.
		_ = n.Ledger.Unlock(ctx, r.ID[:], r.Generation)
	}
}

// failed looks once more before it believes that the session is over: a
// replica whose lease had lapsed may have used the token first, and a sign-out
// revokes it.
func (n *Renewer) failed(ctx context.Context, r *record.Record, err error) (*record.Record, error) {
	if !errors.Is(err, ErrFinal) {
		return nil, err
	}
	s, lookErr := n.standing(ctx, r)
	switch {
	case lookErr != nil:
		return nil, lookErr
	case !s.Plain():
		return n.follow(ctx, r, s)
	}
	if endErr := n.Ledger.End(ctx, ledger.EndedSession, r.ID[:], ledger.ByProvider, n.Now()); endErr != nil {
		return nil, errors.Join(err, endErr)
	}
	return nil, errors.Join(&Ended{Reason: ledger.ByProvider, Record: r}, err)
}

// keep writes the successor, unless the session has ended meanwhile. What
// cannot be written is held in this process and returned beside the error.
func (n *Renewer) keep(ctx context.Context, r, next *record.Record, presented uint64) (*record.Record, error) {
	s, err := n.standing(ctx, r)
	switch {
	case err != nil:
		return n.hold(next, presented), err
	case s.Ended:
		return nil, n.giveBack(ctx, next, s)
	}
	plain, err := next.Append(nil)
	if err != nil {
		return n.hold(next, presented), err
	}
	first, err := n.Ledger.AddNext(ctx, r.ID[:], r.Generation, plain)
	if err != nil {
		return n.hold(next, presented), err
	}
	n.drop(r.ID)
	// A sign-out that looked for successors before this one was written has
	// written its own mark before it looked.
	s, err = n.standing(ctx, r)
	switch {
	case err == nil && s.Ended:
		return nil, n.giveBack(ctx, next, s)
	case !first && err == nil && !s.Plain():
		// Somebody was faster, and one session has one line of successors. It
		// is tempting to revoke what is not used: the provider may have given
		// both the same grant.
		return n.follow(ctx, r, s)
	}
	n.report(ctx, next, nil)
	// The browser has shown this generation, so it needs the one before no
	// more, and nobody else should be using that.
	if err == nil && presented > 0 {
		err = n.Ledger.Supersede(ctx, r.ID[:], presented-1)
	}
	return next, err
}

// giveBack revokes what was received for a session that has ended meanwhile,
// unless a new sign-in has replaced it: the provider may have given both the same
// grant.
func (n *Renewer) giveBack(ctx context.Context, next *record.Record, s ledger.Standing) error {
	n.drop(next.ID)
	if s.Reason != ledger.Replaced {
		n.Revoke(context.WithoutCancel(ctx), next) // however much of the lease is left
	}
	return &Ended{Reason: s.Reason, Record: next}
}

// maxHeld is how many records are held that could not be written.
const maxHeld = 4096

// unwritten is a record that could not be written to shared state.
type unwritten struct {
	record    *record.Record
	presented uint64
	until     time.Time // the end of the lease under which it was fetched, at the latest
}

// hold keeps what the provider has given until it is written, and returns it.
func (n *Renewer) hold(next *record.Record, presented uint64) *record.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	u, there := n.unwritten[next.ID]
	if there && u.record == next {
		return next
	}
	if !there && len(n.unwritten) >= maxHeld {
		for id := range n.unwritten { // any: its browser has most likely got it
			delete(n.unwritten, id)
			break
		}
	}
	n.unwritten[next.ID] = unwritten{next, presented, n.Now().Add(n.Lease)}
	if !n.writing {
		n.writing = true
		go n.writeHeld()
	}
	return next
}

// rewrite is how often it is tried to write what is held.
const rewrite = time.Second

// writeHeld writes what is held while its lease keeps other replicas from using
// the token before it. It is tempting to leave that to the next request. That
// one may reach another replica, and wait there until the lease has lapsed: then
// it uses the token again, and the session is over.
func (n *Renewer) writeHeld() {
	for {
		<-time.After(rewrite)
		all := n.underLease()
		if len(all) == 0 {
			return
		}
		for _, u := range all {
			before := *u.record
			before.Generation--
			err := guard(func() error {
				ctx, cancel := context.WithTimeout(context.Background(), n.Lease) // nobody's request
				defer cancel()
				_, err := n.keep(ctx, &before, u.record, u.presented)
				return err
			})
			if err != nil && !Over(err) {
				break // and so would the others
			}
		}
	}
}

// underLease returns what is held under a lease that has not lapsed. If there is
// nothing, whoever asks is to stop writing.
func (n *Renewer) underLease() (all []unwritten) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, u := range n.unwritten {
		if n.Now().Before(u.until) {
			all = append(all, u)
		}
	}
	n.writing = len(all) > 0
	return all
}

func (n *Renewer) drop(id record.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.unwritten, id)
}

// held returns r's successor if it could not be written yet, or nil.
func (n *Renewer) held(r *record.Record) *record.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	if u, there := n.unwritten[r.ID]; there && u.record.Generation == r.Generation+1 {
		return u.record
	}
	return nil
}

// atHand returns what there is without asking anybody: r, or its successor
// that is still to be written.
func (n *Renewer) atHand(r *record.Record) *record.Record {
	if next := n.held(r); next != nil {
		return next
	}
	return r
}
