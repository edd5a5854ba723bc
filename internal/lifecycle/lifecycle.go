// Package lifecycle loads, saves and ends sessions.
//
//	known := new(lifecycle.Known)
//	err := sessions.Load(w, r, known) // one of Err…: the session cannot be looked up
//	if known.Session != nil {
//		… known.Session.Claims.Text(session.Subject)
//	}
//
// It combines the packages that each do one thing for sessions: keep them sealed
// in a store (sessionstore), tell all replicas about them (sharedstate), and
// refresh them (refresh). A session is brought to its newest generation, and
// saved, before the handler runs. The caller decides how a request is answered:
// errors match one of the sentinels below, with [errors.Is].
package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
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
	ErrUnknown        = errors.New("signin: it is not known whether the session goes on")
	ErrOffline        = errors.New("signin: the provider has not refreshed the session for too long")
	ErrTooLarge       = sessionstore.ErrTooLarge
	ErrEnded          = errors.New("signin: the session was ended before the sign-in was complete")
	ErrNoRefreshToken = errors.New("signin: the provider has given no refresh token, so no other token can be fetched; is offline_access asked for?")
)

// failure is what Because returns.
type failure struct{ sentinel, cause error }

// Because returns an error that matches a sentinel as well as its cause, and reads as
// the cause.
func Because(sentinel, cause error) error { return &failure{sentinel, cause} }

func (f *failure) Error() string   { return f.cause.Error() }
func (f *failure) Unwrap() []error { return []error{f.sentinel, f.cause} }

// Sessions are the sessions of one application. The value is safe for concurrent
// use, and must not be changed once it is in use.
type Sessions struct {
	Store   *sessionstore.Store
	State   *sharedstate.State
	Refresh *refresh.Group
	Limits  session.Limits
	Log     *slog.Logger
	Now     func() time.Time
	// OnEnd is told of each session that has ended while it was watched. It must be set
	// if Watch is used.
	OnEnd func(context.Context, *Ended)

	told    told
	watches watches
	warned  sync.Once // which setting proxies need
}

// Reason is why a session that was presented has ended.
type Reason string

const (
	Idle       Reason = "idle"
	Lifetime   Reason = "lifetime"
	SignedOut  Reason = "signed_out"
	ByProvider Reason = "provider"
	Replaced   Reason = "replaced"
	ByApp      Reason = "application"
	Lost       Reason = "lost" // shared state has forgotten its successor
	// Stale is about the cookie, and not the session: its browser showed later
	// ones hours ago, so it is a copy, or from a backup.
	Stale Reason = "stale"
)

// Known is what is known of a request's session. Once it is loaded it may be
// read by many goroutines. The zero Known is for a request without a session.
type Known struct {
	// Session is the one that the request goes on with; nil if there is none.
	Session *session.Session

	opened session.Session                 // the one in the request's cookies
	looked atomic.Int64                    // when shared state was asked last, in nanoseconds since 1970
	newest atomic.Pointer[session.Session] // the newest generation from fetching access tokens
}

// Outcome is what Load has done, besides finding a session.
type Outcome struct {
	// Ended says why the session that was presented has ended, or that its cookie
	// is stale. Session is that session. Both are zero if it goes on.
	Ended   Reason
	Session *session.Session
	// Cause is the error that has ended the session, for the requests that waited
	// for the refresh that did; nil for all others.
	Cause error
	// Written says that the answer carries cookies of the session.
	Written bool
}

// Load looks up the session that a request presents and decides whether it is
// good: one scan of the Cookie header, one base64, one AEAD, one look at shared
// state. advance does what needs more.
func (l *Sessions) Load(w http.ResponseWriter, r *http.Request, k *Known) (Outcome, error) {
	found, err := l.Store.Load(r, &k.opened)
	if err != nil {
		return Outcome{}, Because(ErrStore, err)
	}
	if !found {
		return Outcome{}, nil
	}
	now := l.Now()
	if reason := l.Limits.Ended(&k.opened, now); reason != "" {
		return Outcome{Ended: Reason(reason), Session: &k.opened}, nil
	}
	k.looked.Store(now.UnixNano())
	standing, err := l.State.Look(r.Context(), &k.opened)
	if err != nil {
		return Outcome{}, Because(ErrShared, err)
	}
	if !standing.Plain() || l.Refresh.Due(&k.opened) || l.Limits.Unwritten(&k.opened, now) || l.Limits.Adrift(&k.opened, now) {
		return l.advance(w, r, k, standing, now)
	}
	k.Session = &k.opened
	return Outcome{}, nil
}

// advance brings a session to its newest generation and saves that.
func (l *Sessions) advance(w http.ResponseWriter, r *http.Request, k *Known, standing sharedstate.Standing, now time.Time) (Outcome, error) {
	s, err := l.newest(r.Context(), &k.opened, standing, now)
	if out := over(&k.opened, err); out.Ended != "" {
		return out, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	written, over, err := l.write(w, r, k, s, now)
	if err != nil || over != 0 {
		return Outcome{Ended: reasons[over], Session: s}, err
	}
	k.Session = s
	return Outcome{Written: written}, nil
}

// over returns why an error means that a session has ended, or that its cookie is stale;
// the zero Outcome if it means something else.
func over(s *session.Session, err error) Outcome {
	var ended *refresh.Ended
	switch {
	case errors.As(err, &ended):
		return Outcome{Ended: reasons[ended.Reason], Session: ended.Session, Cause: ended.Cause}
	case errors.Is(err, sharedstate.ErrLost):
		return Outcome{Ended: Lost, Session: s, Cause: err}
	case errors.Is(err, errStale):
		return Outcome{Ended: Stale, Session: s}
	}
	return Outcome{}
}

var reasons = map[sharedstate.Reason]Reason{
	sharedstate.SignedOut: SignedOut, sharedstate.Refused: ByProvider, sharedstate.ByProvider: ByProvider,
	sharedstate.Replaced: Replaced, sharedstate.ByApplication: ByApp,
}

var errStale = errors.New("signin: stale cookie")

// newest follows the session's successors and refreshes it if that is due.
func (l *Sessions) newest(ctx context.Context, brought *session.Session, standing sharedstate.Standing, now time.Time) (*session.Session, error) {
	s, shown, err := l.Refresh.NewestAndShown(ctx, brought, standing)
	switch {
	case refresh.Over(err):
		return nil, err
	case err != nil:
		return nil, Because(ErrShared, err)
	case brought.Generation < shown.Settled && !l.Store.OnServer():
		return nil, errStale
	}
	return l.renew(ctx, s, now)
}

// renew refreshes a session if that is due, or if its claims have gone unconfirmed for
// too long. It fails closed: if a refresh must succeed and is not known to have
// succeeded, the request does not go on.
func (l *Sessions) renew(ctx context.Context, s *session.Session, now time.Time) (*session.Session, error) {
	switch {
	case l.Refresh.Due(s):
	case !l.Limits.Adrift(s, now):
		return s, nil
	case now.Before(s.LastSeen.Add(askAgain)):
		return nil, Because(ErrOffline, ErrUnconfirmed)
	}
	generation, must := s.Generation, !now.Before(s.AccessExpiry) || l.Limits.Adrift(s, now)
	next, err := l.Refresh.Refresh(ctx, s, must)
	switch {
	case refresh.Over(err):
		return nil, err
	case next != nil:
		s = next // and if there is an error, it has been reported
		if expired := !s.AccessExpiry.IsZero() && !now.Before(s.AccessExpiry); expired && err != nil && !errors.Is(err, refresh.ErrFailed) {
			// A generation that could not be written is not refreshed before it is.
			return nil, Because(ErrUnknown, err)
		}
	case errors.Is(err, refresh.ErrFinal): // the end could not be written
		return nil, Because(ErrShared, err)
	case must && !errors.Is(err, refresh.ErrFailed):
		return nil, Because(ErrUnknown, err)
	}
	switch {
	case !l.Limits.Adrift(s, now):
		return s, nil
	case err == nil && s.Generation > generation:
		err = ErrUnconfirmed
	}
	return nil, Because(ErrOffline, cmp.Or(err, l.Refresh.Rest(s.ID)))
}

// ErrUnconfirmed is why a session whose refreshes succeed is not served. The reason was
// logged with each of them.
var ErrUnconfirmed = errors.New("signin: for too long, no refresh has brought claims that can be used")

// askAgain is how long after a refresh that has confirmed no claims the provider is
// asked again while requests are not served for it.
const askAgain = time.Minute

// write saves a session that has changed, if the answer may carry its cookie;
// otherwise a later request does. ended is not zero if the session has ended meanwhile.
func (l *Sessions) write(w http.ResponseWriter, r *http.Request, k *Known, s *session.Session, now time.Time) (written bool, ended sharedstate.Reason, err error) {
	seen := l.Limits.Unwritten(s, now)
	if s == &k.opened && !seen || !requestkind.CookieWritable(r) {
		return false, 0, nil
	}
	if seen {
		used := *s
		used.LastSeen = now
		s = &used
	}
	err = l.save(w, r, s, now, 0, false)
	switch {
	case errors.Is(err, ErrTooLarge):
		// The claims have grown, which must not lock the person out of every page.
		// The old generation leads to the newest while shared state has the successor.
		l.Log.ErrorContext(r.Context(), "signin: a refreshed session does not fit its store; it goes on for IdleTimeout at most", "error", err)
		return false, 0, nil
	case err != nil:
		return false, 0, err
	case l.Store.OnServer():
		ended, err := l.removeIfEnded(w, r, s)
		return ended == 0 && err == nil, ended, err
	case k.opened.Generation < s.Generation:
		if err := l.State.Show(r.Context(), s.ID, k.opened.Generation, s.Generation); err != nil {
			l.Log.WarnContext(r.Context(), "signin: which generation a browser has shown could not be written; an old copy of its cookie is detected later", "error", err)
		}
	}
	return true, 0, nil
}

// removeIfEnded removes a session that was saved but has ended meanwhile: a
// sign-out may have removed it from the store before it was saved again, which gave
// it another place there. It does so even if the client has gone away.
func (l *Sessions) removeIfEnded(w http.ResponseWriter, r *http.Request, s *session.Session) (sharedstate.Reason, error) {
	r, cancel := patient(r)
	defer cancel()
	standing, err := l.State.Look(r.Context(), s)
	switch {
	case err != nil:
		l.Store.Withdraw(w)
		return 0, Because(ErrShared, err)
	case standing.Ended == 0:
		return 0, nil
	}
	if err := l.Store.TakeBack(w, r); err != nil {
		return 0, Because(ErrStore, err)
	}
	return standing.Ended, nil
}

// Beginning is a session that is to begin.
type Beginning struct {
	Session *session.Session
	Began   time.Time // when its sign-in began
	Others  int       // the size of the other cookies of the answer, and of its redirect
	// Admit, unless nil, is asked last whether the session may begin. If it ends the
	// sessions of the person, it sets Number to that which spares this one.
	Admit func(*session.Session) error
}

// Start makes b.Session the browser's, and then ends the one that the browser presented;
// if Start fails before that, the old one is left as it is. ErrEnded means that the
// person's sessions were ended meanwhile; an error of b.Admit is returned as it is. If
// Start fails, the caller revokes what was granted.
func (l *Sessions) Start(w http.ResponseWriter, r *http.Request, b Beginning) error {
	ctx, s, subject := r.Context(), b.Session, b.Session.Claims.Text(session.Subject)
	person, err := l.State.Person(ctx, subject)
	if err != nil {
		return Because(ErrShared, err)
	}
	s.Number = person.Number
	standing, err := l.State.Look(ctx, s)
	switch {
	case err != nil:
		return Because(ErrShared, err)
	case standing.Ended != 0, person.Since.After(b.Began):
		return ErrEnded
	}
	var old session.Session
	found, err := l.Store.Load(r, &old)
	if err != nil {
		return Because(ErrStore, err)
	}
	if b.Admit != nil {
		if err := b.Admit(s); err != nil {
			return err
		}
	}
	// Read last: an end that begins after this ends this session by its number.
	same, err := l.State.Same(ctx, subject, person)
	switch {
	case err != nil:
		return Because(ErrShared, err)
	case !same:
		return ErrEnded
	}
	now := l.Now()
	if err := l.save(w, r, s, now, b.Others, true); err != nil {
		return err
	}
	if found && !l.isLongEnded(&old) {
		// The cookie may be stale: then this ends the session for the other browser.
		if err := l.State.EndSession(ctx, old.ID, sharedstate.Replaced); err != nil {
			r, cancel := patient(r)
			defer cancel()
			return Because(ErrShared, errors.Join(err, l.Store.TakeBack(w, r)))
		}
	}
	// Done last, since it cannot be undone. What is left behind has ended, so a
	// failure concerns the operator alone.
	if err := l.Store.Forget(r); err != nil {
		l.Log.ErrorContext(ctx, "signin: a session that was replaced could not be removed", "error", err)
	}
	return nil
}
