package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/session"
)

// lookAgain is how old a look at shared state may be when a handler asks for the
// session's own access token. A handler may run for long, and its session may end.
const lookAgain = 5 * time.Second

// Token returns an access token for an audience: the session's own, or one that
// is fetched. refused is a token that the audience has not accepted, or "". The
// error is ErrNoRefreshToken, or one of package refresh.
func (l *Sessions) Token(ctx context.Context, k *Known, audience session.Audience, refused string) (*session.Token, error) {
	s := cmp.Or(k.newest.Load(), k.Session)
	now := l.Now()
	access := s.AccessToken.String()
	own := audience == session.Audience{} && access != "" && access != refused
	if s.RefreshToken == "" && !(own && now.Before(s.AccessExpiry)) {
		return nil, ErrNoRefreshToken
	}
	if l.Limits.Ended(s, now) != "" {
		return nil, &refresh.Ended{Session: s} // its refresh token is not used any more
	}
	if own {
		return l.ownToken(ctx, k, s, now)
	}
	token, newest, err := l.Refresh.Token(ctx, s, refresh.Wanted{Audience: audience, Refused: refused})
	if err != nil {
		return nil, err
	}
	k.moveOn(newest)
	return token, nil
}

// ownToken returns the access token that is part of the session. It refreshes
// the session first if that is due, since a handler may have run for long.
func (l *Sessions) ownToken(ctx context.Context, k *Known, s *session.Session, now time.Time) (*session.Token, error) {
	if age := now.Sub(time.Unix(0, k.looked.Load())); age > lookAgain || age < 0 {
		standing, err := l.State.Look(ctx, s)
		if err == nil {
			s, err = l.Refresh.Newest(ctx, s, standing)
		}
		if err != nil {
			return nil, err
		}
		k.looked.Store(now.UnixNano())
		k.moveOn(s)
	}
	if l.Refresh.Due(s) {
		next, err := l.Refresh.Refresh(ctx, s, !now.Before(s.AccessExpiry))
		s = cmp.Or(next, s) // s if it failed, or the provider must not be asked now
		k.moveOn(s)
		if refresh.Over(err) || errors.Is(err, refresh.ErrFinal) || !now.Before(s.AccessExpiry) {
			return nil, cmp.Or(err, l.Refresh.Rest(s.ID))
		}
	}
	return &session.Token{Access: s.AccessToken.String(), Scope: s.Scope, Expiry: s.AccessExpiry}, nil
}

// moveOn remembers a generation, unless a newer one is known.
func (k *Known) moveOn(s *session.Session) {
	known := k.newest.Load()
	for (known == nil || known.Generation < s.Generation) && !k.newest.CompareAndSwap(known, s) {
		known = k.newest.Load()
	}
}
