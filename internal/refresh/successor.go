package refresh

import (
	"context"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// maxSteps is how many generations a request may be behind. Each is a refresh
// that its browser did not hear of, or, where refresh tokens rotate, an access
// token that its handler has asked for.
const maxSteps = 32

// Newest follows the successors of a session as far as they go, given what
// shared state says of it. The error is *Ended or ErrSuperseded if the session
// is over, or that of shared state.
func (g *Group) Newest(ctx context.Context, s *session.Session, standing sharedstate.Standing) (*session.Session, error) {
	for range maxSteps + 1 {
		switch {
		case standing.Ended:
			return nil, &Ended{Reason: standing.Reason, Session: s}
		case standing.Superseded:
			// s itself, or the newest that can be reached: its successors were shown, so
			// this browser was left behind long ago.
			return nil, ErrSuperseded
		case standing.Successor == nil:
			return s, nil
		}
		next, err := g.State.Successor(s, standing.Successor)
		if err != nil {
			// It exists all the same: the token of s must not be used.
			return nil, ErrSuperseded
		}
		if standing, err = g.State.Look(ctx, next); err != nil {
			return nil, err
		}
		s = next
	}
	return nil, ErrSuperseded
}

// Last returns the newest generation of a session, whether or not it has
// ended: the one whose refresh token is alive.
func (g *Group) Last(ctx context.Context, s *session.Session) *session.Session {
	for range maxSteps {
		next := g.heldAfter(s)
		if next == nil {
			standing, err := g.State.Look(ctx, s)
			if err != nil {
				return s
			}
			if next, err = g.State.Successor(s, standing.Successor); err != nil {
				return s
			}
		}
		s = next
	}
	return s
}
