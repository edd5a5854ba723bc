package lifecycle

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// endTimeout is how long writing a sign-out may take, removing the session after
// that, and giving its refresh token back.
const endTimeout = 4 * time.Second

// patient returns r with a time of its own: what is done for a sign-out is done even
// if the person does not wait for it, or what was done before it took too long.
func patient(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), endTimeout)
	return r.WithContext(ctx), cancel
}

// SignOut is what came of ending a session.
type SignOut struct {
	// Session is the one that was presented; nil if there was none. Newest is its
	// newest generation.
	Session, Newest *session.Session
	// Recorded says that all replicas know.
	Recorded bool
	// Revoked is the error of giving the refresh token back, if there was one.
	Revoked error

	kept bool // the refresh token is not given back
}

// End ends the session that a request presents, everywhere, and gives its
// refresh token back. The browser's cookie is cleared in any case. An error
// means that store or shared state failed.
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

// end ends the local session first, whatever the provider does. Each step has a
// time of its own.
func (l *Sessions) end(w http.ResponseWriter, r *http.Request) (SignOut, error) {
	r, cancel := patient(r)
	defer cancel()
	s := new(session.Session)
	found, err := l.Store.Load(r, s)
	if !found || l.isLongOver(s) {
		return SignOut{}, errors.Join(err, l.Store.Remove(w, r))
	}
	over, kept := l.standing(r, s)
	r, cancel = patient(r)
	defer cancel()
	if !over {
		// Written before it is removed, so that a request which saves it after that
		// finds it ended, and before successors are looked for: see the refresh package.
		err = l.State.EndSession(r.Context(), s.ID, sharedstate.SignedOut)
	}
	r, cancel = patient(r)
	defer cancel()
	removed := l.Store.Remove(w, r)
	newest, unknown := l.Refresh.Last(r.Context(), s)
	return SignOut{Session: s, Newest: newest, Recorded: err == nil, kept: kept}, errors.Join(err, removed, unknown)
}

// isLongOver reports whether no generation of a session can be alive, at any replica.
func (l *Sessions) isLongOver(s *session.Session) bool {
	return l.Limits.Ended(s, l.Now().Add(-sharedstate.Clocks)) == string(Lifetime)
}

// standing reports whether a session that is signed out is over already, in all its
// generations and other than by a sign-out, and whether its refresh token is not to be
// given back.
//
// The grant of one that has ended may be that of a later sign-in, which a copy of an
// old cookie must not end. The refresh token of one that was not used for too long
// is not sent any more. If it is not known how the session stands, the person who
// wants out counts for more.
func (l *Sessions) standing(r *http.Request, s *session.Session) (over, kept bool) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	standing, err := l.State.Look(ctx, s)
	if err != nil {
		return false, false
	}
	switch standing.Ended {
	case sharedstate.Replaced, sharedstate.Refused, sharedstate.ByApplication:
		return true, true
	case sharedstate.ByProvider: // which goes by claims of this generation
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
	if !found || err != nil || l.isLongOver(s) {
		return nil, err
	}
	standing, err := l.State.Look(r.Context(), s)
	if err == nil && (standing.Ended != 0 || standing.Newest() && l.Limits.Ended(s, l.Now()) != "") {
		return nil, nil
	}
	return s, nil
}
