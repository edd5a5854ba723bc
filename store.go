package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/renew"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/testuser"
	"github.com/gosignin/signin/internal/vault"
)

// SharedState is what all replicas of an application must know: which sessions
// have been signed out, what refreshed sessions have become, which one-time
// values have been used. It is a small key-value store with expiry; keys are
// hashes, and values are sealed where they hold anything.
//
// An implementation must be safe for concurrent use. It must fail rather than
// guess: an error makes requests fail with 503, while a nil value where there
// is one lets a signed-out session live. A read must see every write that was
// completed before it, so it goes to the primary of a replicated database.
type SharedState interface {
	// Get returns the values of keys, in their order, nil where there is none.
	// It is called once per request, with at most five keys, and should take
	// one round trip. The slice of keys is the caller's again when Get returns;
	// the values are not changed by the caller.
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	// Set stores value under key for ttl, whether or not key has a value.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Add stores value under key for ttl, unless key has a value; it reports
	// whether it has stored it. Of several calls at once one succeeds.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)
	// Delete removes key, if it is there.
	Delete(ctx context.Context, key string) error
}

type sessionKey struct{}

// session is what a request keeps of its session, and the context that carries
// it: one allocation for both. It belongs to one Auth.
type session struct {
	context.Context
	auth     *Auth
	summary  record.Summary
	header   [2]string
	signedIn bool
	bearer   *presented // it came as a bearer token, and has no tokens of its own
	err      *Error

	// For access tokens, which few handlers ask for: what the session was opened
	// from, and the newest generation that is known if that is another. It is
	// tempting to keep the request instead of the text; but proxies delete its
	// Cookie header.
	sealed string
	newest atomic.Pointer[record.Record]
}

// presented is what is known of a bearer token besides its claims.
type presented struct {
	organization    string
	issued, expires time.Time
	machine         bool
}

// describe completes the user that a token speaks of.
func (p *presented) describe(u *User) {
	u.Machine, u.SignedInAt, u.ExpiresAt = p.machine, p.issued, p.expires
	if p.organization != "" {
		u.Organizations = []string{p.organization}
	}
}

// again is s for a request that has another context.
func (s *session) again(ctx context.Context) *session {
	t := &session{
		Context: ctx, auth: s.auth, summary: s.summary, signedIn: s.signedIn, bearer: s.bearer, err: s.err,
		sealed: s.sealed,
	}
	t.newest.Store(s.newest.Load())
	return t
}

// String is what programs print that print a context. Without it they would print
// the fields, and among them the cookie's text, with which anybody is this person.
func (s *session) String() string { return fmt.Sprint(s.Context) + ".WithSession" }

// GoString is String, for %#v.
func (s *session) GoString() string { return s.String() }

// Value returns the session for its key, and what the request's own context has
// for any other.
func (s *session) Value(key any) any {
	if key == (sessionKey{}) {
		return s
	}
	return s.Context.Value(key)
}

// mark says in an answer's header that it depends on the cookie and, if somebody
// is signed in, that it is theirs alone. The values are slices of s, since
// http.Header.Set would allocate each; they have no room to grow, so whoever adds
// to them copies.
func (s *session) mark(w http.ResponseWriter) {
	h := w.Header()
	s.header[1] = "Cookie"
	if s.signedIn {
		s.private(h)
	}
	if h["Vary"] == nil {
		h["Vary"] = s.header[1:2:2]
		return
	}
	varyByCookie(h)
}

// private keeps an answer out of caches, unless somebody has said otherwise.
func (s *session) private(h http.Header) {
	if h["Cache-Control"] == nil {
		s.header[0] = "no-store"
		h["Cache-Control"] = s.header[0:1:1]
	}
}

// loaded returns this Auth's session if the request has been through Load.
// Another Auth's session says nothing here, and neither does a bearer token.
func (a *Auth) loaded(ctx context.Context) *session {
	for {
		s, _ := ctx.Value(sessionKey{}).(*session)
		if s == nil || s.auth == a && s.bearer == nil {
			return s
		}
		ctx = s.Context
	}
}

// innermost returns what is the nearest of this Auth in a context, be it a session
// or a bearer token.
func (a *Auth) innermost(ctx context.Context) *session {
	for {
		s, _ := ctx.Value(sessionKey{}).(*session)
		if s == nil || s.auth == a {
			return s
		}
		ctx = s.Context
	}
}

// load looks up the session that a request presents, once per request. What was
// found, or that nothing was, stands in the context of the request it returns.
func (a *Auth) load(w http.ResponseWriter, r *http.Request) (*http.Request, *session) {
	if s := a.loaded(r.Context()); s != nil {
		if s == r.Context().Value(sessionKey{}) {
			return r, s
		}
		// Another Auth stands between: UserFrom speaks of the innermost.
		again := s.again(r.Context())
		return r.WithContext(again), again
	}
	s := &session{Context: r.Context(), auth: a}
	if v := testuser.From(r.Context()); v != nil {
		s.signedIn = v.User != nil
	} else {
		s.err = a.fill(w, r, s)
	}
	return r.WithContext(s), s
}

// fill opens the session and decides whether it is good: one scan of the Cookie
// header, one base64, one AEAD, one look at shared state. Whatever needs more
// than that goes to advance.
func (a *Auth) fill(w http.ResponseWriter, r *http.Request, s *session) *Error {
	b := a.sessions.Buffers()
	defer a.sessions.Put(b)
	v, ok, err := a.sessions.Open(r, b)
	if err != nil {
		return newError(ErrStoreUnavailable, err)
	}
	if !ok {
		return nil
	}
	s.sealed = b.Text
	now := a.now()
	if reason := a.sessions.Over(v.Created(), v.LastSeen(), now); reason != "" {
		a.over(w, r, v.Record(), Event{Kind: EventSessionEnded, Reason: reason})
		return nil
	}
	b.Joined = slices.Grow(b.Joined[:0], 1024) // for the keys, and all that Summarize adds
	joined, n := a.ledger.AppendKeys(b.Joined, &v)
	s.summary = v.Summarize(joined)
	keys := ledger.SplitKeys(b.Keys[:n], s.summary.Prefix(len(joined)))
	standing, err := a.ledger.Look(r.Context(), keys, v.Began())
	if err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	plain := standing.Plain() && !(v.Refreshable() && a.dueAt(v.AccessExpiry(), v.AccessLife(), now)) &&
		now.Sub(v.LastSeen()) < a.sessions.Idle/4
	if !plain {
		return a.advance(w, r, s, v.Record(), standing, now)
	}
	s.signedIn = true
	return nil
}

// dueAt reports whether an access token is to be renewed: RefreshBefore ahead of
// its expiry, but not in the first half of its life, or one that lives for a
// minute would be renewed with each request.
func (a *Auth) dueAt(expiry time.Time, life time.Duration, now time.Time) bool {
	return !expiry.IsZero() && !now.Before(expiry.Add(-min(a.refreshIn, life/2)))
}

func (a *Auth) due(rec *record.Record) bool {
	return rec.RefreshToken != "" && a.dueAt(rec.AccessExpiry, rec.AccessLife, a.now())
}

// advance brings a session to its newest generation, or finds that it is over,
// and writes it down before the handler runs.
func (a *Auth) advance(w http.ResponseWriter, r *http.Request, s *session, presented *record.Record, standing ledger.Standing, now time.Time) *Error {
	rec, err := a.newest(r.Context(), presented, standing, now)
	var ended *renew.Ended
	switch {
	case errors.As(err, &ended):
		a.ended(w, r, ended)
		return nil
	case errors.Is(err, renew.ErrSuperseded):
		a.over(w, r, presented, Event{Kind: EventSuperseded})
		return nil
	case err != nil:
		return newError(ErrSharedUnavailable, err)
	}
	if rec != presented {
		v, err := rec.View()
		if err != nil {
			return newError(ErrSessionTooLarge, err)
		}
		s.summary = v.Summarize(nil)
		s.newest.Store(rec)
	}
	if failed := a.write(w, r, presented, rec, now); failed != nil {
		return failed
	}
	s.signedIn = true
	return nil
}

// newest follows the session's successors and refreshes it if that is due.
func (a *Auth) newest(ctx context.Context, rec *record.Record, standing ledger.Standing, now time.Time) (*record.Record, error) {
	presented := rec.Generation
	switch {
	case standing.Ended:
		return nil, &renew.Ended{Reason: standing.Reason, Record: rec}
	case standing.Superseded:
		return nil, renew.ErrSuperseded
	case standing.Next != nil:
		var err error
		if rec, err = a.renewer.Newest(ctx, rec, standing.Next); err != nil {
			return nil, err
		}
	}
	if !a.due(rec) {
		return rec, nil
	}
	must := !now.Before(rec.AccessExpiry)
	next, err := a.renewer.Renew(ctx, rec, presented, must)
	switch {
	case renew.Over(err):
		return nil, err
	case next == nil:
		return rec, nil // it failed for a passing reason: the session stands
	}
	return next, nil
}

// write gives the browser or the store what has changed of a session, where an
// answer may carry it. What is not written now is handed on with a later
// request.
func (a *Auth) write(w http.ResponseWriter, r *http.Request, presented, rec *record.Record, now time.Time) *Error {
	if now.Sub(rec.LastSeen) >= a.sessions.Idle/4 {
		seen := *rec
		seen.LastSeen = now
		rec = &seen
	}
	if rec == presented || !requestkind.CookieWritable(r) {
		return nil
	}
	noStore(w)
	err := a.sessions.Save(w, r, rec, now, false)
	if errors.Is(err, vault.ErrTooLarge) {
		// The claims have grown, and must not lock the person out of every page. The
		// browser keeps what it has, which leads to the newest generation for as long as
		// shared state knows it.
		a.log.ErrorContext(r.Context(), "signin: a refreshed session does not fit its store; it goes on for IdleTimeout at most", "error", err)
		return nil
	}
	return vaultError(err)
}

// ended clears away a session that was found ended. The first to find it
// revokes its refresh token, unless a new sign-in has replaced it: the provider
// may have given both the same grant.
func (a *Auth) ended(w http.ResponseWriter, r *http.Request, e *renew.Ended) {
	reason := map[ledger.Reason]string{
		ledger.SignedOut: "signed_out", ledger.ByProvider: "provider", ledger.Replaced: "replaced",
	}[e.Reason]
	a.over(w, r, e.Record, Event{Kind: EventSessionEnded, Reason: reason})
	if e.Reason != ledger.SignedOut {
		return
	}
	last := a.renewer.Last(r.Context(), e.Record)
	// If that cannot be noted, it may be given back twice, which does no harm: its
	// cookie is gone now, and with it whoever might do it later.
	if first, err := a.markRevoked(r.Context(), last); err != nil || first {
		_ = a.revoke(context.WithoutCancel(r.Context()), last) // which logs it
	}
}

// markRevoked notes that a session's refresh token has been given back, and
// reports whether nobody has noted it before.
func (a *Auth) markRevoked(ctx context.Context, rec *record.Record) (first bool, err error) {
	generation := ledger.Generation(rec.ID[:], rec.Generation)
	return a.ledger.Use(ctx, ledger.Revoked, generation[:], nil, a.sessions.Idle)
}

// over clears a session's cookies, where the answer may carry that, and tells
// of it.
func (a *Auth) over(w http.ResponseWriter, r *http.Request, rec *record.Record, e Event) {
	e.Subject, e.ProviderSessionID = about(rec)
	a.emit(r.Context(), e)
	if !requestkind.CookieWritable(r) {
		return
	}
	noStore(w)
	if err := a.sessions.Remove(w, r); err != nil {
		a.log.ErrorContext(r.Context(), "signin: a session that is over could not be removed", "error", err)
	}
}

// about returns whom a record is about.
func about(rec *record.Record) (subject, providerSession string) {
	v, err := rec.View()
	if err != nil {
		return "", ""
	}
	return string(v.Claim(record.Subject)), string(v.Claim(record.SessionID))
}

// signIn makes rec the browser's session, and ends the one it has presented.
// Until the last step nothing of that one is touched.
func (a *Auth) signIn(w http.ResponseWriter, r *http.Request, rec *record.Record) *Error {
	v, err := rec.View()
	if err != nil {
		return newError(ErrSessionTooLarge, err)
	}
	// A sign-out that came in while the person was at the provider counts.
	standing, err := a.ledger.Look(r.Context(), a.ledger.Keys(&v), rec.Began)
	switch {
	case err != nil:
		return newError(ErrSharedUnavailable, err)
	case standing.Ended:
		_ = a.revoke(context.WithoutCancel(r.Context()), rec) // which logs it
		return newError(ErrSignInExpired, errors.New("signin: the session was ended before the sign-in was complete"))
	}
	b := a.sessions.Buffers()
	defer a.sessions.Put(b)
	old, found, err := a.sessions.Open(r, b)
	if err != nil {
		return newError(ErrStoreUnavailable, err)
	}
	now := a.now()
	if failed := vaultError(a.sessions.Save(w, r, rec, now, true)); failed != nil {
		a.sessions.Withdraw(w)
		return failed
	}
	if found {
		if err := a.ledger.End(r.Context(), ledger.EndedSession, old.ID(), ledger.Replaced, now); err != nil {
			a.sessions.Withdraw(w)
			return newError(ErrSharedUnavailable, err)
		}
	}
	// Last, since it cannot be taken back. What stays behind has been ended, so a
	// failure is the operator's to know of.
	if err := a.sessions.Forget(r); err != nil {
		a.log.ErrorContext(r.Context(), "signin: a session that was replaced could not be removed", "error", err)
	}
	subject, sid := about(rec)
	a.emit(r.Context(), Event{Kind: EventSignedIn, Subject: subject, ProviderSessionID: sid})
	return nil
}

// end ends the session that a request presents, everywhere, and returns its
// newest generation. The browser's cookie is cleared in any case.
func (a *Auth) end(w http.ResponseWriter, r *http.Request) (*record.Record, *Error) {
	// It does not depend on whether the person waits for the answer. And all of it
	// together has to be done while they do.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), endTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	b := a.sessions.Buffers()
	defer a.sessions.Put(b)
	v, found, err := a.sessions.Open(r, b)
	removed := a.sessions.Remove(w, r)
	if !found {
		if err := errors.Join(err, removed); err != nil {
			return nil, newError(ErrSignOutIncomplete, err)
		}
		return nil, nil
	}
	rec := v.Record()
	subject, sid := about(rec)
	// Written before successors are looked for: see the renew package.
	if err := a.ledger.End(r.Context(), ledger.EndedSession, v.ID(), ledger.SignedOut, a.now()); err != nil {
		return a.renewer.Last(r.Context(), rec), newError(ErrSignOutIncomplete, errors.Join(err, removed))
	}
	a.emit(r.Context(), Event{Kind: EventSignedOut, Subject: subject, ProviderSessionID: sid})
	newest := a.renewer.Last(r.Context(), rec)
	if removed != nil {
		return newest, newError(ErrSignOutIncomplete, removed)
	}
	return newest, nil
}

// endTimeout bounds how long store and shared state may take for a sign-out.
const endTimeout = 4 * time.Second

func vaultError(err error) *Error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, vault.ErrTooLarge):
		return newError(ErrSessionTooLarge, err)
	}
	return newError(ErrStoreUnavailable, err)
}

// redeem turns an authorization code into a record.
func (a *Auth) redeem(ctx context.Context, tx *authflow.Transaction, code string) (*record.Record, *Error) {
	rec, err := a.grants.Redeem(ctx, code, tx.Verifier, provider.Expect{
		Nonce: tx.Nonce, MaxAge: tx.MaxAge, MaxAgeAsked: tx.MaxAgeAsked, ACR: tx.ACR,
	})
	if err == nil {
		rec.ID, rec.Began = record.NewID(), tx.Began
		return rec, nil
	}
	e := providerError(err)
	var pe *provider.Error
	switch {
	case tx.Demanded && errors.As(err, &pe) && pe.Unmet():
		e = a.stepUpFailed(tx, err)
	case e.Code != ErrDenied:
	case errors.As(err, &pe) && pe.OAuthCode == "invalid_grant": // a code that is too old, or another's
		e = newError(ErrSignInExpired, err)
	default: // "client secret has expired", for one
		e = newError(ErrProviderMisconfigured, err)
	}
	return nil, e
}

// revoke gives a refresh token back to the provider, as a courtesy to the
// person: the session is over, whether or not it succeeds.
func (a *Auth) revoke(ctx context.Context, rec *record.Record) error {
	return a.grants.Revoke(ctx, rec)
}

// refreshed tells of a refresh, or of one that failed for a passing reason.
func (a *Auth) refreshed(ctx context.Context, rec *record.Record, err error) {
	e := Event{Kind: EventRefreshed, Err: err}
	e.Subject, e.ProviderSessionID = about(rec)
	if err != nil {
		e.Kind = EventRefreshFailed
		a.log.ErrorContext(ctx, "signin: refreshing a session failed; it stands, and will be tried again", "error", err)
	}
	a.emit(ctx, e)
}

// accessToken returns a token of a session for an audience. refused is one that
// the audience has not accepted, or "".
func (a *Auth) accessToken(ctx context.Context, s *session, audience record.Audience, refused string) (*record.Token, *Error) {
	if audience.Organization != "" && !slices.Contains(a.scopes, organizationsScope) {
		// Some providers ignore what they do not know, and would give a token that is
		// good everywhere.
		return nil, newError(ErrScopeMissing, errors.New("signin: ForOrganization needs the scope "+organizationsScope))
	}
	if audience.Organization == named("") {
		return nil, newError(ErrNotMember, errors.New("signin: ForOrganization needs an organization"))
	}
	if audience.Resource != "" && !slices.Contains(a.resources, audience.Resource) {
		return nil, newError(ErrUnknownResource, fmt.Errorf("signin: %q is not one of Config.Resources", audience.Resource))
	}
	rec, shown, failed := a.atHand(s)
	if failed != nil {
		return nil, failed
	}
	if rec.RefreshToken == "" && (audience != record.Audience{} || !usable(rec, refused, a.now())) {
		return nil, newError(ErrProviderMisconfigured, errors.New("signin: the provider has given no refresh token, and other tokens cannot be had without; is offline_access asked for?"))
	}
	if audience == (record.Audience{}) && rec.AccessToken != "" && rec.AccessToken != refused {
		return a.ownToken(ctx, s, rec, shown)
	}
	token, newest, err := a.renewer.Token(ctx, rec, shown, renew.Wanted{Audience: audience, Refused: refused})
	if err != nil {
		return nil, tokenError(ctx, err)
	}
	s.moveOn(newest)
	return token, nil
}

// ownToken returns the access token that is part of the session, and refreshes
// the session first if that is due: a handler may have run for long.
func (a *Auth) ownToken(ctx context.Context, s *session, rec *record.Record, shown uint64) (*record.Token, *Error) {
	if now := a.now(); a.due(rec) {
		next, err := a.renewer.Renew(ctx, rec, shown, !now.Before(rec.AccessExpiry))
		if next != nil { // perhaps what there was, if nobody is to be asked now
			rec = next
			s.moveOn(rec)
		}
		if renew.Over(err) || !now.Before(rec.AccessExpiry) {
			return nil, tokenError(ctx, cmp.Or(err, error(renew.ErrResting)))
		}
	}
	return &record.Token{Access: rec.AccessToken, Scope: rec.Scope, Expiry: rec.AccessExpiry}, nil
}

// usable reports whether a record's own access token will do without a refresh.
func usable(rec *record.Record, refused string, now time.Time) bool {
	return rec.AccessToken != "" && rec.AccessToken != refused && now.Before(rec.AccessExpiry)
}

// atHand returns the newest generation of a session that this request knows, and
// the one that the browser has shown.
func (a *Auth) atHand(s *session) (newest *record.Record, shown uint64, failed *Error) {
	b := a.sessions.Buffers()
	defer a.sessions.Put(b)
	v, ok, err := a.sessions.Reopen(s.sealed, b)
	if !ok || err != nil {
		return nil, 0, newError(ErrNotSignedIn, errors.Join(errors.New("signin: the session cannot be opened again"), err))
	}
	if newest = s.newest.Load(); newest == nil {
		newest = v.Record()
	}
	return newest, v.Generation(), nil
}

// moveOn remembers a generation, unless a newer one is known.
func (s *session) moveOn(rec *record.Record) {
	for {
		known := s.newest.Load()
		if known != nil && known.Generation >= rec.Generation || s.newest.CompareAndSwap(known, rec) {
			return
		}
	}
}

// tokenError translates what kept an access token from coming.
func tokenError(ctx context.Context, err error) *Error {
	var pe *provider.Error
	switch {
	case renew.Over(err):
		return newError(ErrNotSignedIn, err)
	case errors.Is(err, renew.ErrResting), ctx.Err() != nil, err == context.DeadlineExceeded: // of a wait for another replica
		return newError(ErrProviderUnavailable, err)
	case !errors.As(err, &pe), errors.Is(err, renew.ErrFinal): // which could not be written down
		return newError(ErrSharedUnavailable, err)
	case pe.Kind != provider.Refused:
		return providerError(err)
	case !errors.Is(err, renew.ErrRefused): // a plain refresh, which is about no audience
		return newError(ErrProviderMisconfigured, err)
	case pe.WantsMFA:
		return newError(ErrMFARequired, err)
	}
	// https://www.rfc-editor.org/rfc/rfc8707#section-2 has the first of these,
	// Logto the others.
	switch pe.OAuthCode {
	case "invalid_target":
		return newError(ErrUnknownResource, err)
	case "insufficient_scope", "invalid_scope":
		return newError(ErrScopeMissing, err)
	case "access_denied":
		return newError(ErrNotMember, err)
	}
	return newError(ErrProviderMisconfigured, err)
}
