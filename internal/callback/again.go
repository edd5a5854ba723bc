package callback

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/sharedstate"
)

// A request that brings the same response again looks whether the first one has
// finished: first after firstPause, then less and less often, since each look asks
// shared state, and at most for patience. At most maxWaiting wait at once.
const (
	patience, firstPause, lastPause = 10 * time.Second, 50 * time.Millisecond, time.Second
	maxWaiting                      = 256
)

// wait answers a request whose response another request is exchanging. It waits for
// that request, and does not use the code a second time.
func (f *Flow) wait(ctx context.Context, tx *authflow.Transaction) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	used := func(why string) (Outcome, error) {
		return Outcome{}, lifecycle.Because(ErrUsed, errors.New("signin: another request "+why))
	}
	select {
	case f.waiting <- struct{}{}:
		defer func() { <-f.waiting }()
	default:
		return used("has brought this response, and too many wait for such")
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		standing, err := f.State.LookAtCallback(ctx, tx.State)
		switch {
		case standing.Progress == sharedstate.Finished:
			out, _ := Finished(standing.Note, tx.ReturnTo)
			return out, nil
		case err != nil && ctx.Err() == nil:
			return Outcome{}, lifecycle.Because(lifecycle.ErrShared, err)
		case err == nil && !standing.Leased:
			return used("brought this response, and failed")
		}
		select {
		case <-ctx.Done():
			return used("brought this response, and has not finished")
		case <-time.After(pause):
		}
	}
}

// Finished is the outcome of a sign-in that an earlier request has finished, and who has
// signed in, by the note that it left. returnTo is where the transaction led, if it is
// known: the note leaves out a long one.
func Finished(kept []byte, returnTo string) (out Outcome, subject string) {
	note := authflow.ReadNote(kept)
	out.ReturnTo = cmp.Or(note.ReturnTo, returnTo)
	if note.Unmet {
		out.Unmet = errors.New("signin: this sign-in has not met what was asked for")
	}
	return out, note.Subject
}
