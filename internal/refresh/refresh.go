// Package refresh refreshes sessions: one token request per session at a time,
// however many requests and replicas ask.
//
//	next, err := group.Refresh(ctx, s, true)
//	switch {
//	case refresh.Over(err): // the session has ended
//	case next != nil: // the session goes on with it
//	case errors.Is(err, refresh.ErrFailed): // the provider failed: s may go on
//	}
//
// A rotating refresh token may be used once. If it is used twice, providers
// take it for stolen and end the whole grant: opening two tabs would sign the
// person out. So in one process all callers who want the same thing share one flight,
// and among replicas only the holder of a lease asks the provider. The answer is
// kept, sealed, as the successor of the generation that was refreshed, for
// requests that still carry the old cookie.
//
// A sign-out during a refresh wins: the flight looks for one before it asks,
// after the answer, and once more after it has written the successor. A
// sign-out writes first and then looks for successors, so at least one of the two
// sees the other, and what was received is revoked. It is not revoked if a later
// sign-in has replaced the session, or the person's sessions were ended all at
// once: then the grant may be that of a new session.
package refresh

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// ErrFinal marks an error with which the provider ends the session. After any
// other error the session goes on.
var ErrFinal = errors.New("signin: the provider has ended the session")

// ErrDenied marks an error with which the provider may have ended the session, in words
// that a gateway in front of it may have said. The same generation has to hear such words
// twice, and denials apart.
var ErrDenied = errors.New("signin: the provider denies a refresh")

// denials is how long after the first denial another one ends the session. Faults of
// gateways are most often shorter.
const denials = 15 * time.Minute

// ErrFailed marks an error as a failure of the provider that is known and passing:
// it was asked, or is given a rest, and the session was not refreshed. An error
// without this mark means that the state of the session is unknown.
var ErrFailed = errors.New("signin: the provider could not refresh the session")

// failed marks an error with ErrFailed, and keeps its text.
type failed struct{ error }

func (f failed) Unwrap() error      { return f.error }
func (failed) Is(target error) bool { return target == ErrFailed }

// Ended is the error for a session that has ended.
type Ended struct {
	Reason sharedstate.Reason
	// Session is the newest generation known; its tokens may be revoked.
	Session *session.Session
	// Cause is why the provider has refused to refresh it; nil for all other ends.
	Cause error
}

func (*Ended) Error() string { return "signin: session has ended" }

// Over reports whether an error means that the session has ended, and not that
// something failed.
func Over(err error) bool {
	var ended *Ended
	return errors.As(err, &ended) || errors.Is(err, sharedstate.ErrLost)
}

// Source asks the provider. Its methods are called by several goroutines at
// once; Refresh and Fetch for one session only under its lease.
type Source interface {
	// Refresh returns the next generation's tokens and claims in a new Session.
	// Errors that are final wrap ErrFinal, and those that are if they are repeated
	// ErrDenied. A Session beside an error has a new refresh token, and nothing else.
	Refresh(context.Context, *session.Session) (*session.Session, error)
	// Fetch returns an access token for an audience, and what the next generation
	// has if the refresh token was rotated. Errors that are final wrap ErrFinal,
	// those that are about this audience alone ErrRefused, and the rest is as for Refresh.
	// A Session beside ErrRefused is that of a refresh which has shown so.
	Fetch(context.Context, *session.Session, session.Audience) (*session.Token, *session.Session, error)
	// Revoke revokes what a refresh received for a session that has ended.
	Revoke(context.Context, *session.Session) error
}

// Observer is told of each refresh that this process has made, with the new
// generation, and of each failure, with the old one and the error: an *[Ended] if
// the provider has refused for good, and all others may pass.
type Observer interface {
	Refreshed(context.Context, *session.Session, error)
}

const (
	// Lease is how long one refresh may hold its session. It is longer than the
	// token request and the userinfo request, with their time-outs, together.
	Lease = 30 * time.Second
	// asking is how much of a lease the provider may use, for discovery and keys
	// too. The rest is for writing down its answer: if the lease lapsed before that,
	// another replica would use the same refresh token.
	asking = Lease - 5*time.Second
	// leastAsking is how much of that must be left when shared state has been
	// slow; the provider has ten seconds for a token request.
	leastAsking = 10 * time.Second
)

// Config is what a Group works with.
type Config struct {
	State    *sharedstate.State
	Source   Source
	Observer Observer
	// Ahead is how long before its access token's expiry a session is refreshed.
	Ahead time.Duration
	// Keep is how long a generation can be of use after it has a successor.
	Keep time.Duration
	Now  func() time.Time
}

// Group refreshes sessions. It is safe for concurrent use. The sessions that it
// returns are shared among all callers, and must not be changed.
type Group struct {
	Config

	mu      sync.Mutex
	flights map[errand]*flight
	turns   map[session.ID]chan struct{} // closed when the last fetch has ended
	waits   map[rest]wait
	purgeAt int // how many waits there may be before old ones are dropped
	held    map[session.ID]held
	writing bool // a goroutine tries to write what is held
}

// New returns a Group.
func New(c Config) *Group {
	return &Group{
		Config: c, flights: make(map[errand]*flight), turns: make(map[session.ID]chan struct{}),
		waits: make(map[rest]wait), purgeAt: minPurge, held: make(map[session.ID]held),
	}
}

// Due reports whether a session is to be refreshed now.
func (g *Group) Due(s *session.Session) bool { return s.Due(g.Now(), g.Ahead) }

// Refresh refreshes a session and returns its newest generation. If must is false,
// s is still good: then a caller who is not the first does not wait, and gets s back.
//
// If the session has ended, Over reports true for the error. An error that ErrFailed
// marks is passing. Any other says that the outcome is unknown: the caller went
// away (the flight goes on), or shared state failed. A session returned with an error
// is the newest generation, which could not be written to shared state yet; the browser
// should get it. It may be due, or have expired: it is refreshed once it is written.
func (g *Group) Refresh(ctx context.Context, s *session.Session, must bool) (*session.Session, error) {
	f, err := g.join(ctx, errand{id: s.ID, refresh: true}, s, must)
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return cmp.Or(g.heldAfter(s), s), nil
	}
	return f.newest, f.err
}
