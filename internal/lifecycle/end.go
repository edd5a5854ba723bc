package lifecycle

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// endTimeout limits each step of a sign-out: writing it, removing the session, and
// revoking its refresh token.
const endTimeout = 4 * time.Second

// patient returns r with a new deadline: each step of a sign-out is done even if the
// client has gone away, or the steps before it took too long.
func patient(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), endTimeout)
	return r.WithContext(ctx), cancel
}

// SignOut is the result of ending a session.
type SignOut struct {
	// Session is the one that was presented, or nil. Newest is its newest
	// generation.
	Session, Newest *session.Session
	// Recorded says that all replicas know of the end.
	Recorded bool
	// Revoked is the error of revoking the refresh token, or nil.
	Revoked error

	kept bool // the refresh token must not be revoked
}

// End ends the session that a request presents, everywhere, and revokes its
// refresh token. The browser's cookie is cleared in any case. An error means
// that the store or shared state failed.
func (l *Sessions) End(w http.ResponseWriter, r *http.Request) (SignOut, error) {
	out, err := l.end(w, r)
	if out.Newest == nil || out.kept {
		return out, err
	}
	r, cancel := patient(r)
	defer cancel()
	out.Revoked = l.Refresh.Source.Revoke(r.Context(), out.Newest)
	return out, err
}

// end ends the local session first, whatever the provider does. Each step has
// its own deadline.
func (l *Sessions) end(w http.ResponseWriter, r *http.Request) (SignOut, error) {
	r, cancel := patient(r)
	defer cancel()
	s := new(session.Session)
	found, err := l.Store.Load(r, s)
	if !found || l.isLongEnded(s) {
		return SignOut{}, errors.Join(err, l.Store.Remove(w, r))
	}
	ended, kept := l.standing(r, s)
	r, cancel = patient(r)
	defer cancel()
	if !ended {
		// The end is written before the session is removed, so that a request that
		// saves it again finds the end, and before successors are looked for; see
		// package refresh.
		err = l.State.EndSession(r.Context(), s.ID, sharedstate.SignedOut)
	}
	r, cancel = patient(r)
	defer cancel()
	removed := l.Store.Remove(w, r)
	newest, unknown := l.Refresh.Last(r.Context(), s)
	return SignOut{Session: s, Newest: newest, Recorded: err == nil, kept: kept}, errors.Join(err, removed, unknown)
}

// isLongEnded reports whether no generation of a session can be alive at any replica.
func (l *Sessions) isLongEnded(s *session.Session) bool {
	return l.Limits.Ended(s, l.Now().Add(-sharedstate.Clocks)) == string(Lifetime)
}

// standing reports whether a session has already ended in all its generations, other
// than by a sign-out, and whether its refresh token must be kept, that is, not revoked.
//
// A session that has ended may share its grant with a later sign-in, which a copy of
// an old cookie must not end. The refresh token of a session that was idle for too
// long is not sent any more. If shared state cannot say, the session is signed out
// and its token revoked: the person's wish to sign out matters more.
func (l *Sessions) standing(r *http.Request, s *session.Session) (ended, kept bool) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	standing, err := l.State.Look(ctx, s)
	if err != nil {
		return false, false
	}
	switch standing.Ended {
	case sharedstate.Replaced, sharedstate.Refused, sharedstate.ByApplication:
		return true, true
	case sharedstate.ByProvider: // judged by the claims of this generation only
		return false, true
	}
	return false, l.Limits.Ended(s, l.Now()) != "" && standing.Newest()
}

// Live returns the session that a request presents if it goes on in any generation, or
// if it is not known whether it does; nil if there is none. It changes nothing, and an
// error means that the store failed.
func (l *Sessions) Live(r *http.Request) (*session.Session, error) {
	s := new(session.Session)
	found, err := l.Store.Load(r, s)
	if !found || err != nil || l.isLongEnded(s) {
		return nil, err
	}
	standing, err := l.State.Look(r.Context(), s)
	if err == nil && (standing.Ended != 0 || standing.Newest() && l.Limits.Ended(s, l.Now()) != "") {
		return nil, nil
	}
	return s, nil
}

// IsStale reports whether a session that [Sessions.Live] has returned comes from a stale
// cookie, so that it does not sign in its browser. It is false if that is not known.
func (l *Sessions) IsStale(r *http.Request, s *session.Session) bool {
	standing, err := l.State.Look(r.Context(), s)
	if err != nil || l.Store.OnServer() {
		return false
	}
	_, shown, err := l.Refresh.NewestAndShown(r.Context(), s, standing)
	return err == nil && s.Generation < shown.Settled
}
