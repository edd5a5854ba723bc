package refresh

import (
	"cmp"
	"context"
	"errors"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// ErrRefused marks an error of Source.Fetch that is about this audience alone:
// tokens for others may be asked for at once.
var ErrRefused = errors.New("signin: the provider gives no token for this audience")

// ErrResting means that the provider has just failed, and is given time to recover.
var ErrResting = errors.New("signin: the provider has just failed, and is given time to recover")

// errMovedOn means that others have refreshed a session too often for it to be
// followed.
var errMovedOn = errors.New("signin: the session moves on faster than it can be followed")

// Wanted says which access token of a session is asked for.
type Wanted struct {
	Audience session.Audience
	// Refused is an access token that the audience has refused, so it will not do.
	Refused string
}

// fits reports whether a token that is kept will do.
func (g *Group) fits(t *session.Token, want Wanted) bool {
	if t == nil || !g.Now().Before(t.Until) {
		return false
	}
	// An audience that refuses the new token too is out of order itself: it must
	// not make each call cost a token request and a rotated refresh token.
	return t.Access != want.Refused || g.Now().Sub(t.Replaced) < lastDelay
}

// Token returns an access token for an audience, and the newest generation of
// the session that is known: the token may have cost a rotated refresh token.
// It is the one kept in shared state, if that fits, or a new one; equal calls
// share it.
//
// If the session has ended, Over reports true for the error. ErrRefused says that there
// is no token for this audience; ErrResting and all others are passing.
func (g *Group) Token(ctx context.Context, s *session.Session, want Wanted) (*session.Token, *session.Session, error) {
	standing, kept, err := g.look(ctx, s, want)
	switch {
	case err != nil:
		return nil, nil, err
	case standing.Ended != 0:
		return nil, nil, &Ended{Reason: standing.Ended, Session: s}
	case kept != nil:
		return kept, s, nil
	}
	f, err := g.join(ctx, errand{id: s.ID, want: want}, s, true)
	switch {
	case err != nil:
		return nil, nil, err
	case f == nil:
		return nil, nil, g.Rest(s.ID)
	case f.err != nil:
		return nil, nil, f.err
	}
	return f.token, f.newest, nil
}

// look reads what shared state says of a session, and a kept token that fits.
func (g *Group) look(ctx context.Context, s *session.Session, want Wanted) (sharedstate.Standing, *session.Token, error) {
	standing, kept, err := g.State.LookForToken(ctx, s, want.Audience)
	if standing.Ended != 0 || !g.fits(kept, want) {
		kept = nil
	}
	return standing, kept, err
}

// keepToken keeps what a fetch has brought: the token, and the successor if the
// refresh token was rotated. It looks for a sign-out in any case.
func (g *Group) keepToken(ctx context.Context, f *flight, s, next *session.Session) (*session.Session, error) {
	if f.want.Refused != "" {
		f.token.Replaced = g.Now()
	}
	// Before the successor: another replica that finds the successor may ask next.
	if ttl := f.token.Until.Sub(g.Now()); ttl > 0 {
		if err := g.State.KeepToken(ctx, s.ID, f.want.Audience, f.token, ttl); err != nil {
			g.report(ctx, s, err) // it is fetched again when it is wanted again
		}
	}
	if next == nil {
		standing, err := g.State.Look(ctx, s)
		if err == nil && standing.Ended != 0 {
			err = &Ended{Reason: standing.Ended, Session: s}
		}
		return s, err
	}
	next = numbered(s, next)
	kept, err := g.keep(ctx, s, next)
	switch {
	case Over(err):
		return nil, err
	case err != nil: // it is held, and tried again
		g.report(ctx, s, err)
	}
	return cmp.Or(kept, next), nil
}
