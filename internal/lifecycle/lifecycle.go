// Package lifecycle loads, saves and ends sessions.
//
//	known := new(lifecycle.Known)
//	err := sessions.Load(w, r, known) // one of Err…: the session cannot be looked up
//	if known.Session != nil {
//		… known.Session.Claims.Text(session.Subject)
//	}
//
// It puts together the rooms that each know one thing about sessions: sealed in
// a store (sessionstore), known to all replicas (sharedstate), refreshed
// (refresh). A session is brought to its newest generation, and saved, before
// the handler runs. The caller decides what becomes of a request: errors match
// one of the sentinels below, with [errors.Is].
package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
	"github.com/gosignin/signin/internal/sharedstate"
)

// Why a session cannot be looked up, saved or ended.
var (
	ErrStore          = errors.New("signin: the session store failed")
	ErrShared         = errors.New("signin: shared state failed")
	ErrTooLarge       = sessionstore.ErrTooLarge
	ErrEnded          = errors.New("signin: the session was ended before the sign-in was complete")
	ErrNoRefreshToken = errors.New("signin: the provider has given no refresh token, so no other token can be fetched; is offline_access asked for?")
)

// failure is a cause that matches a sentinel as well, and reads as the cause.
type failure struct{ sentinel, cause error }

func (f *failure) Error() string   { return f.cause.Error() }
func (f *failure) Unwrap() []error { return []error{f.sentinel, f.cause} }

// Sessions are those of one application. They are safe for concurrent use, and
// must not be changed once they are in use.
type Sessions struct {
	Store   *sessionstore.Store
	State   *sharedstate.State
	Refresh *refresh.Group
	Limits  session.Limits
	Log     *slog.Logger
	Now     func() time.Time
}

// Reason is why a session that was presented is over.
type Reason string

const (
	Idle       Reason = "idle"
	Lifetime   Reason = "lifetime"
	SignedOut  Reason = "signed_out"
	ByProvider Reason = "provider"
	Replaced   Reason = "replaced"
	Unknown    Reason = "unknown"    // written by another release
	Superseded Reason = "superseded" // its browser has shown a later generation
)

// Known is what is known of a request's session. Once it is loaded it may be
// read by many goroutines. The zero Known is for a request without a session.
type Known struct {
	// Session is the one that the request goes on with; nil if there is none.
	Session *session.Session

	opened session.Session                 // what the request has brought
	newest atomic.Pointer[session.Session] // what fetching access tokens has led to
}

// Outcome is what Load has done, besides finding a session.
type Outcome struct {
	// Ended says why the session that was presented is over, and Session which it
	// was. They are zero if it is not over.
	Ended   Reason
	Session *session.Session
	// Written says that the answer carries cookies of the session.
	Written bool
}

// Load looks up the session that a request presents and decides whether it is
// good: one scan of the Cookie header, one base64, one AEAD, one look at shared
// state. advance does what needs more.
func (l *Sessions) Load(w http.ResponseWriter, r *http.Request, k *Known) (Outcome, error) {
	found, err := l.Store.Load(r, &k.opened)
	if err != nil {
		return Outcome{}, &failure{ErrStore, err}
	}
	if !found {
		return Outcome{}, nil
	}
	now := l.Now()
	if reason := l.Limits.Ended(&k.opened, now); reason != "" {
		return l.over(w, r, Reason(reason), &k.opened), nil
	}
	standing, err := l.State.Look(r.Context(), &k.opened)
	if err != nil {
		return Outcome{}, &failure{ErrShared, err}
	}
	if !standing.Plain() || l.Refresh.Due(&k.opened) || l.Limits.Unwritten(&k.opened, now) {
		return l.advance(w, r, k, standing, now)
	}
	k.Session = &k.opened
	return Outcome{}, nil
}

// advance brings a session to its newest generation and saves that.
func (l *Sessions) advance(w http.ResponseWriter, r *http.Request, k *Known, standing sharedstate.Standing, now time.Time) (Outcome, error) {
	s, err := l.newest(r.Context(), &k.opened, standing, now)
	var ended *refresh.Ended
	switch {
	case errors.As(err, &ended):
		return l.ended(w, r, ended), nil
	case errors.Is(err, refresh.ErrSuperseded):
		return l.over(w, r, Superseded, &k.opened), nil
	case err != nil:
		return Outcome{}, &failure{ErrShared, err}
	}
	written, err := l.write(w, r, k, s, now)
	if err == nil {
		k.Session = s
	}
	return Outcome{Written: written}, err
}

// newest follows the session's successors and refreshes it if that is due.
func (l *Sessions) newest(ctx context.Context, s *session.Session, standing sharedstate.Standing, now time.Time) (*session.Session, error) {
	shown := s.Generation
	s, err := l.Refresh.Newest(ctx, s, standing)
	if err != nil || !l.Refresh.Due(s) {
		return s, err
	}
	next, err := l.Refresh.Refresh(ctx, s, shown, !now.Before(s.AccessExpiry))
	if refresh.Over(err) {
		return nil, err
	}
	return cmp.Or(next, s), nil // s if it failed for a passing reason: the session goes on
}

// write saves what has changed of a session, where an answer may carry it. What
// is not written now is written with a later request.
func (l *Sessions) write(w http.ResponseWriter, r *http.Request, k *Known, s *session.Session, now time.Time) (written bool, err error) {
	seen := l.Limits.Unwritten(s, now)
	if s == &k.opened && !seen || !requestkind.CookieWritable(r) {
		return false, nil
	}
	if seen {
		used := *s
		used.LastSeen = now
		s = &used
	}
	err = l.save(w, r, s, now, false)
	if errors.Is(err, ErrTooLarge) {
		// The claims have grown, which must not lock the person out of every page.
		// The old generation leads to the newest while shared state knows that.
		l.Log.ErrorContext(r.Context(), "signin: a refreshed session does not fit its store; it goes on for IdleTimeout at most", "error", err)
		return false, nil
	}
	return err == nil, err
}

// save gives a session to the store. If it fails, no session cookie is set.
func (l *Sessions) save(w http.ResponseWriter, r *http.Request, s *session.Session, now time.Time, fresh bool) error {
	err := l.Store.Save(w, r, s, l.Limits.Left(s, now), fresh)
	if err == nil {
		return nil
	}
	l.Store.Withdraw(w)
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	return &failure{ErrStore, err}
}

// Start makes s the browser's session, and ends the one that it has presented;
// if Start fails before, that one is left as it is. ErrEnded means that a
// sign-out has come in while the person was at the provider.
func (l *Sessions) Start(w http.ResponseWriter, r *http.Request, s *session.Session) error {
	standing, err := l.State.Look(r.Context(), s)
	switch {
	case err != nil:
		return &failure{ErrShared, err}
	case standing.Ended:
		l.Revoke(r.Context(), s)
		return ErrEnded
	}
	var old session.Session
	found, err := l.Store.Load(r, &old)
	if err != nil {
		return &failure{ErrStore, err}
	}
	now := l.Now()
	if err := l.save(w, r, s, now, true); err != nil {
		return err
	}
	if found {
		if err := l.State.End(r.Context(), sharedstate.EndedSession, old.ID[:], sharedstate.Replaced, now); err != nil {
			l.Store.Withdraw(w)
			return &failure{ErrShared, err}
		}
	}
	// Last, since it cannot be taken back. What is left behind has ended, so a
	// failure concerns the operator alone.
	if err := l.Store.Forget(r); err != nil {
		l.Log.ErrorContext(r.Context(), "signin: a session that was replaced could not be removed", "error", err)
	}
	return nil
}
