package sharedstate

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// Progress is how far the callback of a sign-in has come.
type Progress byte

const (
	Begun     Progress = 0   // nothing is proven
	Exchanged Progress = 'x' // the code is used up
	Finished  Progress = 'f' // there is a session
)

// TakeCallback takes the lease on the callback with a state, or returns nil if another
// request has it. Before the provider has redeemed a code, a callback leaves nothing else.
func (st *State) TakeCallback(ctx context.Context, state string, lease time.Duration) (*Held, error) {
	return st.take(ctx, st.namer.names(Callback, []byte(state)), nil, lease)
}

// MarkCallback records how far a callback has come, and a note, for requests that
// bring the same response again.
func (st *State) MarkCallback(ctx context.Context, state string, progress Progress, note []byte, ttl time.Duration) error {
	return st.set(ctx, "writing to", st.namer.names(Used, []byte(state)), append([]byte{byte(progress)}, note...), ttl)
}

// CallbackStanding is what is known of the callback of a sign-in.
type CallbackStanding struct {
	Progress Progress
	Note     []byte
	Leased   bool // a request is under way with it, or has just finished
}

// LookAtCallback reads what is known of the callback with a state.
func (st *State) LookAtCallback(ctx context.Context, state string) (CallbackStanding, error) {
	found, err := st.get(ctx, st.namer.names(Used, []byte(state)), st.namer.names(Callback, []byte(state)))
	if err != nil {
		return CallbackStanding{}, err
	}
	standing := CallbackStanding{Leased: found[1].there()}
	if standing.Leased {
		if _, err := st.open(found[1]); err != nil {
			return CallbackStanding{}, err
		}
	}
	if !found[0].there() {
		return standing, nil
	}
	plain, err := st.open(found[0])
	if err != nil || len(plain) == 0 {
		return CallbackStanding{}, ErrBroken
	}
	standing.Progress, standing.Note = Progress(plain[0]), plain[1:]
	return standing, nil
}

// UseLogoutToken notes that a logout token has been obeyed.
func (st *State) UseLogoutToken(ctx context.Context, jti string, ttl time.Duration) error {
	return st.set(ctx, "writing to", st.namer.names(LogoutToken, []byte(jti)), nil, ttl)
}

// LogoutTokenUsed reports whether a logout token has been obeyed.
func (st *State) LogoutTokenUsed(ctx context.Context, jti string) (bool, error) {
	found, err := st.get(ctx, st.namer.names(LogoutToken, []byte(jti)))
	if err != nil || !found[0].there() {
		return false, err
	}
	_, err = st.open(found[0]) // a value that does not open must not hide a sign-out
	return err == nil, err
}

// LookForToken reads what Look reads, and the access token that is kept for an
// audience, in one round trip. The token is nil if there is no readable one. A value that
// does not open says nothing about the session, so it is an error only if the session has
// no refresh token to fetch another.
func (st *State) LookForToken(ctx context.Context, s *session.Session, audience session.Audience) (Standing, *session.Token, error) {
	return st.lookFor(ctx, s, st.tokenNames(s.ID, audience))
}

// LookForAccess reads what Look reads, and the session's own access token if it has
// left the session, in one round trip. The token is nil if it is not kept.
func (st *State) LookForAccess(ctx context.Context, s *session.Session) (Standing, *session.Token, error) {
	return st.lookFor(ctx, s, st.accessNames(s))
}

func (st *State) lookFor(ctx context.Context, s *session.Session, names []string) (Standing, *session.Token, error) {
	standing, e, err := st.look(ctx, s, names)
	if err != nil || !e.there() {
		return standing, nil, err
	}
	plain, err := st.open(e)
	switch {
	case err != nil && s.RefreshToken == "":
		return Standing{}, nil, err
	case err != nil:
		return standing, nil, nil // another is fetched, which takes its place
	}
	token, _ := session.ParseToken(plain)
	return standing, token, nil
}

// KeepAccess keeps the session's own access token, sealed, until it expires. It is for
// sessions that do not fit their cookies. Until then the entry is not dropped, as
// another token would cost a token request.
func (st *State) KeepAccess(ctx context.Context, s *session.Session, now time.Time) error {
	ttl := min(s.AccessExpiry.Sub(now), st.cfg.PersonTTL) // no session lives longer
	if ttl <= 0 {
		return nil // it is of no use to anyone
	}
	token := &session.Token{Access: s.AccessToken.String(), Scope: s.Scope, Expiry: s.AccessExpiry, Until: s.AccessExpiry}
	return st.set(ctx, "writing an access token to", st.accessNames(s), token.Append(nil), ttl)
}

// accessNames returns the names of the session's own access token. The expiry tells it
// from those of other generations, which a request that comes late must not replace it
// by. A generation that has only another refresh token has the same access token.
func (st *State) accessNames(s *session.Session) []string {
	return st.namer.names(Access, binary.AppendVarint(bytes.Clone(s.ID[:]), s.AccessExpiry.Unix()))
}

// KeepToken keeps an access token for a time, sealed.
func (st *State) KeepToken(ctx context.Context, id session.ID, audience session.Audience, token *session.Token, ttl time.Duration) error {
	return st.set(ctx, "writing an access token to", st.tokenNames(id, audience), token.Append(nil), ttl)
}

// tokenNames returns the names of a session's access token for an audience. The length
// separates the resource from the organization.
func (st *State) tokenNames(id session.ID, audience session.Audience) []string {
	value := binary.AppendUvarint(bytes.Clone(id[:]), uint64(len(audience.Resource)))
	value = append(value, audience.Resource...)
	return st.namer.names(Token, append(value, audience.Organization...))
}
