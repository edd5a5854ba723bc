package lifecycle

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// endTimeout is how long store and shared state may take for a sign-out, and
// how long its revocation may take after that.
const endTimeout = 4 * time.Second

// SignOut is what came of ending a session.
type SignOut struct {
	// Session is the one that was presented; nil if there was none. Newest is its
	// newest generation.
	Session, Newest *session.Session
	// Recorded says that all replicas know.
	Recorded bool
	// Revoked is the error of giving the refresh token back, if there was one.
	Revoked error
}

// End ends the session that a request presents, everywhere, and gives its
// refresh token back. The browser's cookie is cleared in any case. An error
// means that store or shared state failed.
func (l *Sessions) End(w http.ResponseWriter, r *http.Request) (SignOut, error) {
	out, err := l.end(w, r)
	if out.Newest == nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), endTimeout)
	defer cancel()
	out.Revoked = l.Refresh.Source.Revoke(ctx, out.Newest)
	if err == nil && out.Newest.RefreshToken != "" && out.Revoked == nil {
		// So that a copy of the cookie does not have it revoked again. If it cannot
		// be noted, that happens, and does no harm.
		_, _ = l.State.Revoked(ctx, out.Newest)
	}
	return out, err
}

// end ends the local session first, whatever the provider does.
func (l *Sessions) end(w http.ResponseWriter, r *http.Request) (SignOut, error) {
	// Done even if the person does not wait for it, and quickly if they do.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), endTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	s := new(session.Session)
	found, err := l.Store.Load(r, s)
	removed := l.Store.Remove(w, r)
	if !found {
		return SignOut{}, errors.Join(err, removed)
	}
	// Written before successors are looked for: see the refresh package.
	err = l.State.End(ctx, sharedstate.EndedSession, s.ID[:], sharedstate.SignedOut, l.Now())
	return SignOut{Session: s, Newest: l.Refresh.Last(ctx, s), Recorded: err == nil}, errors.Join(err, removed)
}

var reasons = map[sharedstate.Reason]Reason{
	sharedstate.SignedOut: SignedOut, sharedstate.ByProvider: ByProvider, sharedstate.Replaced: Replaced,
	sharedstate.Unknown: Unknown,
}

// ended clears away a session that was found ended. If it was signed out, the
// first to find that revokes its refresh token. After a new sign-in that would
// be wrong: the provider may have given both the same grant.
func (l *Sessions) ended(w http.ResponseWriter, r *http.Request, e *refresh.Ended) Outcome {
	out := l.over(w, r, reasons[e.Reason], e.Session)
	if e.Reason != sharedstate.SignedOut {
		return out
	}
	last := l.Refresh.Last(r.Context(), e.Session)
	// If that cannot be noted, it is revoked perhaps twice, which does no harm.
	if first, err := l.State.Revoked(r.Context(), last); err != nil || first {
		l.Revoke(r.Context(), last)
	}
	return out
}

// over clears a session's cookies, if the answer may carry that.
func (l *Sessions) over(w http.ResponseWriter, r *http.Request, reason Reason, s *session.Session) Outcome {
	out := Outcome{Ended: reason, Session: s, Written: requestkind.CookieWritable(r)}
	if !out.Written {
		return out
	}
	if err := l.Store.Remove(w, r); err != nil {
		l.Log.ErrorContext(r.Context(), "signin: a session that is over could not be removed", "error", err)
	}
	return out
}

// Revoke gives a session's refresh token back. The session is over whether or
// not that succeeds. The Source logs a failure.
func (l *Sessions) Revoke(ctx context.Context, s *session.Session) {
	_ = l.Refresh.Source.Revoke(context.WithoutCancel(ctx), s)
}
