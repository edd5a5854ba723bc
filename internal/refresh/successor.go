package refresh

import (
	"context"
	"errors"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// Newest follows the successors of a session as far as they go, given what
// shared state says of it. The error is *Ended if the session has ended, or that
// of shared state.
func (g *Group) Newest(ctx context.Context, s *session.Session, standing sharedstate.Standing) (*session.Session, error) {
	newest, _, err := g.NewestAndShown(ctx, s, standing)
	return newest, err
}

// NewestAndShown is Newest, and says what the session's browser has shown.
func (g *Group) NewestAndShown(ctx context.Context, s *session.Session, standing sharedstate.Standing) (*session.Session, sharedstate.Shown, error) {
	if standing.Ended != 0 {
		return nil, sharedstate.Shown{}, &Ended{Reason: standing.Ended, Session: s}
	}
	newest, standing, shown, err := g.State.Follow(ctx, s, standing)
	switch {
	case err != nil:
		return nil, shown, err
	case standing.Ended != 0:
		return nil, shown, &Ended{Reason: standing.Ended, Session: newest}
	}
	return newest, shown, nil
}

// Last returns the newest generation of a session, whether or not it has ended:
// the one whose refresh token is alive. With an error of shared state it is the
// newest that is known.
func (g *Group) Last(ctx context.Context, s *session.Session) (*session.Session, error) {
	for {
		newest, err := g.last(ctx, s)
		next := g.heldAfter(newest)
		if next == nil {
			return newest, err
		}
		s = next
	}
}

func (g *Group) last(ctx context.Context, s *session.Session) (*session.Session, error) {
	standing, err := g.State.Look(ctx, s)
	if err != nil {
		return s, err
	}
	newest, _, _, err := g.State.Follow(ctx, s, standing)
	switch {
	case errors.Is(err, sharedstate.ErrLost):
		return s, nil // the newest cannot be found any more
	case err != nil:
		return s, err
	}
	return newest, nil
}
