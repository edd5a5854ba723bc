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

// errTokenLost is why there is no token for a session that could only give its own.
var errTokenLost = Because(ErrNoRefreshToken, errors.New("signin: shared state has lost the session's access token, "+
	"and the provider has given no refresh token to fetch another; is offline_access asked for?"))

// Token returns an access token for an audience: the session's own, or one that
// is fetched. refused is a token that the audience has not accepted, or "". The
// error is ErrNoRefreshToken, or one of package refresh.
func (l *Sessions) Token(ctx context.Context, k *Known, audience session.Audience, refused string) (*session.Token, error) {
	s := cmp.Or(k.newest.Load(), k.Session)
	now := l.Now()
	own := audience == session.Audience{} && (refused == "" || s.AccessToken.String() != refused)
	if s.RefreshToken == "" && !(own && now.Before(s.AccessExpiry)) {
		return nil, ErrNoRefreshToken
	}
	if l.Limits.Ended(s, now) != "" {
		return nil, &refresh.Ended{Session: s} // its refresh token is not used any more
	}
	if own {
		newest, err := l.withOwnToken(ctx, k, s, now)
		if err != nil {
			return nil, err
		}
		switch access := newest.AccessToken.String(); {
		case access != "" && access != refused:
			return &session.Token{Access: access, Scope: newest.Scope, Expiry: newest.AccessExpiry}, nil
		case newest.RefreshToken == "" && access == "":
			return nil, errTokenLost
		case newest.RefreshToken == "":
			return nil, ErrNoRefreshToken
		}
		s = newest
	}
	token, newest, err := l.Refresh.Token(ctx, s, refresh.Wanted{Audience: audience, Refused: refused})
	if err != nil {
		return nil, err
	}
	k.moveOn(newest)
	return token, nil
}

// withOwnToken returns the newest generation of a session with its own access token,
// unless shared state has lost that. It refreshes the session first if that is due,
// since a handler may have run for long.
func (l *Sessions) withOwnToken(ctx context.Context, k *Known, s *session.Session, now time.Time) (*session.Session, error) {
	age := now.Sub(time.Unix(0, k.looked.Load()))
	if age > lookAgain || age < 0 || s.AccessToken == (session.Packed{}) {
		var err error
		if s, err = l.look(ctx, s); err != nil {
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
	return s, nil
}

// look asks shared state for the newest generation of a session, and for its access
// token if that has left it.
func (l *Sessions) look(ctx context.Context, s *session.Session) (*session.Session, error) {
	standing, token, err := l.State.LookForAccess(ctx, s)
	if err != nil {
		return nil, err
	}
	newest, err := l.Refresh.Newest(ctx, s, standing)
	if err != nil || token == nil || newest.AccessToken != (session.Packed{}) || !newest.AccessExpiry.Equal(s.AccessExpiry) {
		return newest, err
	}
	whole := *newest
	whole.AccessToken = session.Pack(token.Access)
	return &whole, nil
}

// moveOn remembers a generation, unless a newer one is known. One with its access
// token is newer than the same without.
func (k *Known) moveOn(s *session.Session) {
	newer := func(known *session.Session) bool {
		return known == nil || known.Generation < s.Generation ||
			known.Generation == s.Generation && known.AccessToken == (session.Packed{}) && s.AccessToken != (session.Packed{})
	}
	known := k.newest.Load()
	for newer(known) && !k.newest.CompareAndSwap(known, s) {
		known = k.newest.Load()
	}
}
