// Package callback makes a session of an authorization response.
//
//	outcome, err := flow.Conclude(w, r, tx, response)
//	if err == nil {
//		… outcome.ReturnTo
//	}
//
// The response must belong to a transaction of this browser, and must not be an error:
// see package authflow. Many requests may bring the same response: a person reloads, a
// browser prefetches, an attacker guesses. One of them, under a lease that all replicas
// see, gives the code to the provider. The others wait for it and go where it went.
// Until the provider has redeemed a code, nothing lasting is left in shared state, since
// anyone can bring an invented one.
//
// The steps are: lease, exchange, mark, ID token, what the transaction demands, whether
// the person's sessions have been ended meanwhile, the application's hook, session. If
// one fails after the exchange, what was granted is given back.
package callback

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/internal/tokens"
)

// Why a response does not become a session. Other errors are those of the provider
// package, of lifecycle and [session.ErrTooLarge].
var (
	// ErrUsed means that the code is used up, or that another request is using it.
	ErrUsed = errors.New("signin: the response has been used")
	// ErrStepUp means that a step-up was answered by another person, or not as its route
	// demands.
	ErrStepUp = errors.New("signin: the step-up has failed")
	// ErrAsked means that a step-up was not answered as its query asks, and that this
	// browser has a session, which goes on.
	ErrAsked = errors.New("signin: the step-up is not what was asked for")
	// ErrDemand means that the provider has not done what the route always asks for.
	ErrDemand = errors.New("signin: the sign-in is not what the route demands")
)

// Refused is the error of a sign-in that OnSignIn has refused. It does not wrap the hook's
// error, which is the application's: one that matches a sentinel of ours would be taken for
// it, and one that is a nil pointer may panic when it is asked what it matches.
type Refused struct{ Err error }

// Error says who has refused. It leaves the cause to the caller.
func (*Refused) Error() string { return "signin: OnSignIn has refused the sign-in" }

// Flow is the callback of one application. It must not be changed once it is in use.
type Flow struct {
	Provider     *provider.Client
	Tokens       *tokens.Source
	Sessions     *lifecycle.Sessions
	State        *sharedstate.State
	Transactions *authflow.Transactions
	// Home is where people go if the transaction does not say.
	Home string
	// OnSignIn, unless nil, is the application's hook: it may refuse the session. See
	// Refused.
	OnSignIn func(*http.Request, *session.Session) error
	Log      *slog.Logger
	Now      func() time.Time

	waiting chan struct{} // full when no more requests may wait for another one
}

// New returns a copy of f that can be used.
func New(f Flow) *Flow {
	f.waiting = make(chan struct{}, maxWaiting)
	return &f
}

// Outcome is where a sign-in has led.
type Outcome struct {
	// Session has begun with this response; nil if it began with an earlier request.
	Session  *session.Session
	ReturnTo string // where the person was going; empty if that is not known
	// Unmet says that the session is not what the query of its route asked for.
	Unmet error
}

const (
	// timeout is longer than all that a callback waits for, with its time-outs:
	// discovery, its turn, keys, the token and the userinfo request, and the hook.
	timeout   = 110 * time.Second
	leaseLife = timeout + 10*time.Second
	// markLife is for how long a callback's outcome is known: as long as its
	// transaction may live.
	markLife = authflow.Lifetime + sharedstate.Clocks
	// hookTimeout is how long the application's hook has.
	hookTimeout = 10 * time.Second
	// giveBackTimeout is how long the page for a sign-in that has failed waits until
	// its grant is revoked.
	giveBackTimeout = 3 * time.Second
)

// Conclude processes the response of a transaction. It outlives its client: the code is
// good once, and a reload finds that it has been used.
func (f *Flow) Conclude(w http.ResponseWriter, r *http.Request, tx *authflow.Transaction, response *authflow.Response) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), timeout)
	defer cancel()
	lease, err := f.State.TakeCallback(ctx, response.State, leaseLife)
	switch {
	case err != nil:
		return Outcome{}, lifecycle.Because(lifecycle.ErrShared, err)
	case lease == nil:
		return f.wait(r.Context(), tx)
	}
	free := true
	defer func() { // also if the hook panics
		if free {
			_ = f.State.ReleaseLease(ctx, lease)
		}
	}()
	out, free, err := f.finish(w, r.WithContext(ctx), tx, response.Code)
	free = free && err != nil // a reload may try again
	return out, err
}

// finish exchanges an authorization code for a session, under the lease on its
// state. free reports whether the lease may be released: the code has not been
// used, its use is recorded, or it is not known whether the provider has got it.
func (f *Flow) finish(w http.ResponseWriter, r *http.Request, tx *authflow.Transaction, code string) (out Outcome, free bool, err error) {
	ctx := r.Context()
	standing, err := f.State.LookAtCallback(ctx, tx.State)
	switch {
	case err != nil:
		return out, true, lifecycle.Because(lifecycle.ErrShared, err)
	case standing.Progress == sharedstate.Finished:
		out, _ = Finished(standing.Note, tx.ReturnTo)
		return out, true, nil
	case standing.Progress == sharedstate.Exchanged:
		return out, true, lifecycle.Because(ErrUsed, errors.New("signin: the code of this response is used up"))
	}
	unread := f.Sessions.Store.Unreadable(r)
	got, err := f.redeem(r, tx, code)
	begun := false
	defer func() { // also if the hook panics
		if !begun {
			f.giveBack(r, got)
		}
	}()
	if err == nil {
		err = f.Sessions.Start(w, r, lifecycle.Beginning{
			Session: got.session, Began: tx.Began, Others: f.Transactions.FinishSize(tx.State, f.home(tx.ReturnTo), unread), Admit: f.admit(r),
		})
	}
	if err != nil {
		return out, !got.unmarked, err
	}
	begun = true
	f.Transactions.Finish(w, tx.State, unread)
	note := authflow.Note{Subject: got.session.Claims.Text(session.Subject), ReturnTo: tx.ReturnTo, Unmet: got.unmet != nil}
	// If this cannot be written, a reload does not go on by itself.
	if err := f.State.MarkCallback(ctx, tx.State, sharedstate.Finished, note.Encode(), markLife); err != nil {
		f.Log.WarnContext(ctx, "signin: that a sign-in is finished could not be written", "error", err)
	}
	return Outcome{Session: got.session, ReturnTo: tx.ReturnTo, Unmet: got.unmet}, true, nil
}

// admit returns what asks the application's hook, or nil if there is none.
func (f *Flow) admit(r *http.Request) func(*session.Session) error {
	if f.OnSignIn == nil {
		return nil
	}
	return func(s *session.Session) error {
		ctx, cancel := context.WithTimeout(r.Context(), hookTimeout)
		defer cancel()
		if err := f.OnSignIn(r.WithContext(ctx), s); err != nil {
			return &Refused{err}
		}
		return nil
	}
}

func (f *Flow) home(target string) string {
	if target == "" {
		return f.Home
	}
	return target
}

// granted is what a provider has given for an authorization code.
type granted struct {
	tokens   *provider.Tokens // nil if it has given nothing
	session  *session.Session // nil if they were not believed
	unmet    error            // that the session is not what the query asked for
	unmarked bool             // that the code is used up could not be written
}

// redeem gives an authorization code to the provider, when it is this callback's turn,
// and makes a session of the answer that is not started yet. If the turn does not come,
// the code and the transaction can be used again.
func (f *Flow) redeem(r *http.Request, tx *authflow.Transaction, code string) (got granted, err error) {
	ctx := r.Context()
	admitted, leave, err := f.Provider.Admit(ctx)
	if err != nil {
		return got, err
	}
	defer leave()
	got.tokens, err = admitted.Exchange(ctx, code, tx.Verifier)
	if got.tokens == nil {
		return got, err
	}
	if unwritten := f.State.MarkCallback(ctx, tx.State, sharedstate.Exchanged, nil, markLife); unwritten != nil {
		got.unmarked = true
		return got, lifecycle.Because(lifecycle.ErrShared, unwritten)
	}
	if err != nil {
		return got, err
	}
	got.session, err = f.Tokens.Accept(ctx, admitted, got.tokens, jwt.Expect{Nonce: tx.Nonce})
	if err != nil {
		got.session = nil
		return got, err
	}
	got.session.ID = session.NewID()
	got.unmet, err = f.answered(r, tx, got.session)
	return got, err
}

// answered checks who has signed in, and how. What the route demands must be met. If a
// step-up does not meet what its query asked for, it fails. If this browser presents no
// session, the person signs in all the same, as by a plain visit to the route, and unmet
// says so.
func (f *Flow) answered(r *http.Request, tx *authflow.Transaction, s *session.Session) (unmet, err error) {
	authTime, acr := s.Claims.Time(session.AuthTime), s.Claims.Text(session.ACR)
	asked := tx.Asked.Met(authTime, acr, f.Now())
	switch demanded := tx.Demand.Met(authTime, acr, f.Now()); {
	case tx.Subject != "" && s.Claims.Text(session.Subject) != tx.Subject:
		return nil, lifecycle.Because(ErrStepUp, errors.New("signin: the step-up was answered by another person"))
	case demanded != nil && tx.Asked.IsZero():
		return nil, lifecycle.Because(ErrDemand, demanded)
	case demanded != nil:
		return nil, lifecycle.Because(ErrStepUp, demanded)
	case asked == nil:
		return nil, nil
	}
	live, err := f.Sessions.Live(r) // it may be newer than this sign-in
	switch {
	case err != nil:
		return nil, lifecycle.Because(lifecycle.ErrStore, err)
	case tx.Subject != "" || live != nil && !f.Sessions.IsStale(r, live):
		return nil, lifecycle.Because(ErrAsked, asked)
	}
	return asked, nil
}

// giveBack revokes what was granted to a sign-in that has failed, unless a session of
// this browser may rest on it. It does so even if the client has gone, but not for
// long, since nothing here depends on it.
func (f *Flow) giveBack(r *http.Request, got granted) {
	if got.tokens == nil || got.tokens.RefreshToken == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), giveBackTimeout)
	defer cancel()
	subject := ""
	if got.session != nil {
		subject = got.session.Claims.Text(session.Subject)
	}
	live, err := f.Sessions.Live(r.WithContext(ctx))
	if err == nil && f.Tokens.MayRevoke(live, subject) {
		f.Tokens.GiveBack(ctx, got.tokens.RefreshToken)
	}
}
