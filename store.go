package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/page"
	"github.com/gosignin/signin/internal/provider"
	"github.com/gosignin/signin/internal/refresh"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/returnto"
	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sessionstore"
	"github.com/gosignin/signin/internal/settings"
	"github.com/gosignin/signin/internal/sharedstate"
	"github.com/gosignin/signin/internal/testuser"
	"github.com/gosignin/signin/internal/tokens"
)

// SharedState is what all replicas of an application must know: which sessions
// have been signed out, what refreshed sessions have become, and which one-time
// values have been used. It is a small key-value store with expiry. Keys are
// hashes, and values are empty or sealed.
//
// An implementation must be safe for concurrent use. It must fail rather than
// guess: an error makes requests fail with 503, but a nil value in place of one
// that exists lets a signed-out session live. A read must see every write that
// was completed before it, so with a replicated database it goes to the
// primary.
type SharedState interface {
	// Get returns the values of keys in their order, and nil for a key that has
	// no value. It is called once for an ordinary request, with at most five
	// keys, and should take one round trip. It must not keep the slice of keys.
	// The caller does not change the values.
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	// Set stores value under key for ttl, in place of a value that key may
	// have.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Add stores value under key for ttl unless key has a value, and reports
	// whether it has stored it. Of several calls at once, one stores its value.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)
	// Delete removes key if it has a value.
	Delete(ctx context.Context, key string) error
}

// memoryLimits are the limits of shared state in memory. A person who is active
// all day, with access tokens of one hour, leaves some 6 KB: the last successor
// of their session, and a mark for each earlier one. There is room for 40,000
// such people.
var memoryLimits = sharedstate.Limits{Entries: 1 << 20, Bytes: 256 << 20}

func checkKeys(c *checker, cfg *Config, base *url.URL) [][]byte {
	var keys [][]byte
	for i, k := range cfg.Keys {
		if len(k) < seal.MinKey {
			c.add(fmt.Sprintf("Keys[%d]", i), fmt.Errorf("has %d bytes; needs %d or more: openssl rand -hex 32", len(k), seal.MinKey))
		}
		keys = append(keys, slices.Clone(k))
	}
	if len(keys) > 0 {
		return keys
	}
	if base == nil || !settings.LoopbackInBrowsers(base.Hostname()) {
		c.add("Keys", errors.New("are missing; make one with openssl rand -hex 32 (optional only while BaseURL is on loopback)"))
	}
	random := make([]byte, seal.MinKey)
	rand.Read(random) // never fails: crypto/rand
	return [][]byte{random}
}

// build makes the parts of an Auth from a Config without mistakes.
func (a *Auth) build(cfg *Config, name string, keys [][]byte, l session.Limits, ahead time.Duration) error {
	a.provider = provider.New(provider.Config{
		Issuer: a.issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret,
		RedirectURL: a.absolute(a.paths.Callback), SigningAlgs: slices.Clone(cfg.Provider.SigningAlgs),
		HTTPClient: cfg.HTTPClient, Now: a.now,
	})
	a.tokens = &tokens.Source{
		Provider: a.provider, Logto: a.logto, UserInfo: cfg.MergeUserInfo, Scopes: a.scopes, Ahead: ahead, Log: a.log, Now: a.now,
	}
	a.transport = http.DefaultTransport
	if cfg.HTTPClient != nil && cfg.HTTPClient.Transport != nil {
		a.transport = cfg.HTTPClient.Transport
	}
	ring, err := seal.NewRing(keys, "transaction", a.issuer, a.clientID)
	if err := errors.Join(err, a.openSessions(cfg, name, keys, l, ahead)); err != nil {
		return err
	}
	a.transactions = authflow.NewTransactions(ring, a.cookies, name, a.now)
	a.client = &authflow.Client{
		Issuer: a.issuer, Logto: a.logto, ID: a.clientID, RedirectURI: a.absolute(a.paths.Callback),
		Scopes: a.scopes, Resources: a.resources, ReturnTo: a.returnTo, Now: a.now,
	}
	a.sameSite = http.NewCrossOriginProtection()
	// Without this it compares Origin with Host, which proxies rewrite.
	return a.sameSite.AddTrustedOrigin(a.base.Scheme + "://" + a.base.Host)
}

// announce logs, once, what an operator has to know.
func (a *Auth) announce(cfg *Config) {
	a.log.Info("signin: register these URLs at the provider",
		"redirect_uri", a.absolute(a.paths.Callback),
		"post_logout_redirect_uri", a.absolute(a.paths.AfterSignOut),
		"backchannel_logout_uri", a.absolute(a.paths.BackChannelLogout))
	if len(cfg.Keys) == 0 {
		a.log.Warn("signin: Config.Keys is empty: a random key is used, and everybody is signed out when this process ends")
	}
	if cfg.Shared == nil {
		a.log.Info("signin: Config.Shared is empty, which is fine for one process: sign-outs are known to this one only, and forgotten when it ends")
	}
}

// openSessions makes a.sessions from Config.Store and Config.Shared.
func (a *Auth) openSessions(cfg *Config, name string, keys [][]byte, l session.Limits, ahead time.Duration) error {
	shared := cfg.Shared
	if shared == nil {
		shared = sharedstate.NewMemory(a.now, memoryLimits)
	}
	// An end or a successor must be known for as long as a cookie that it
	// concerns is good.
	ttl := max(l.Idle, authflow.Lifetime) + refresh.Lease
	ring, err := seal.NewRing(keys, "session", a.issuer, a.clientID)
	state, err2 := sharedstate.New(shared, keys, a.issuer, a.clientID, ttl)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	a.shared = state
	a.sessions = &lifecycle.Sessions{
		Store:   sessionstore.New(cfg.Store, name, ring.Box(name), a.cookies.Secure),
		State:   state,
		Refresh: refresh.New(refresh.Config{State: state, Source: a.tokens, Observer: observer{a}, Ahead: ahead, Now: a.now}),
		Limits:  l, Log: a.log, Now: a.now,
	}
	return nil
}

// observer makes events and log lines of refreshes.
type observer struct{ *Auth }

// Refreshed reports a refresh, or one that failed for a reason that may pass.
func (o observer) Refreshed(ctx context.Context, s *session.Session, err error) {
	e := Event{Kind: EventRefreshed}
	if err != nil {
		e = Event{Kind: EventRefreshFailed, Err: err}
		o.log.ErrorContext(ctx, "signin: refreshing a session failed; it goes on, and will be tried again", "error", err)
	}
	o.emit(ctx, about(s, e))
}

// load looks up the session of a request, once per request. The request that it
// returns has the result in its context, even if there is no session.
func (a *Auth) load(w http.ResponseWriter, r *http.Request) (*http.Request, *caller) {
	if c := a.loaded(r.Context()); c != nil {
		return c.makeNearest(r)
	}
	both := new(struct { // in one allocation
		caller
		known lifecycle.Known
	})
	c := &both.caller
	c.Context, c.auth, c.known = r.Context(), a, &both.known
	if v := testuser.From(r.Context()); v != nil {
		c.signedIn = v.User != nil
	} else {
		out, err := a.sessions.Load(w, r, c.known)
		c.err, c.signedIn = sessionError(err), c.known.Session != nil
		a.report(w, r, out)
	}
	return r.WithContext(c), c
}

// report emits an event for a session that is over, and keeps an answer that
// sets or clears its cookies out of caches.
func (a *Auth) report(w http.ResponseWriter, r *http.Request, out lifecycle.Outcome) {
	if out.Written {
		noStore(w)
	}
	switch out.Ended {
	case "":
	case lifecycle.Superseded:
		a.emit(r.Context(), about(out.Session, Event{Kind: EventSuperseded}))
	default:
		a.emit(r.Context(), about(out.Session, Event{Kind: EventSessionEnded, Reason: string(out.Ended)}))
	}
}

// providerError translates an error of the provider package.
func providerError(err error) *Error {
	if err == nil {
		return nil
	}
	e := newError(ErrProviderUnavailable, err)
	var pe *provider.Error
	if !errors.As(err, &pe) {
		return e // usually that of the caller's context
	}
	switch pe.Kind {
	case provider.Rejected:
		return newError(ErrProviderRejected, err)
	case provider.Refused:
		return newError(ErrDeclined, err)
	case provider.Misconfigured:
		e = newError(ErrProviderMisconfigured, err)
		// A provider that is still being set up may soon answer otherwise.
		if pe.RetryAfter > 0 {
			e.Status = http.StatusServiceUnavailable
		}
	}
	e.retryAfter = pe.RetryAfter
	return e
}

// unverified translates an error about a token in a request: to bad if the
// token breaks a rule, and to one with status 503 while the provider's keys
// cannot be fetched. err may be nil.
func unverified(err error, bad Code) *Error {
	e := providerError(err)
	switch {
	case e == nil:
		return nil
	case e.Code == ErrProviderRejected:
		return newError(bad, err)
	}
	e.Status = http.StatusServiceUnavailable
	var pe *provider.Error
	e.expected = errors.As(err, &pe) && pe.UnknownKey() // usually a forged token
	return e
}

// sessionError translates an error of package lifecycle.
func sessionError(err error) *Error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lifecycle.ErrTooLarge):
		return newError(ErrSessionTooLarge, err)
	case errors.Is(err, lifecycle.ErrEnded):
		return newError(ErrSignInExpired, err)
	case errors.Is(err, lifecycle.ErrShared):
		return newError(ErrSharedUnavailable, err)
	}
	return newError(ErrStoreUnavailable, err)
}

// redeem turns an authorization code into a session.
func (a *Auth) redeem(ctx context.Context, tx *authflow.Transaction, code string) (*session.Session, *Error) {
	s, err := a.tokens.Redeem(ctx, code, tx.Verifier, jwt.Expect{
		Nonce: tx.Nonce, MaxAge: tx.MaxAge, MaxAgeAsked: tx.MaxAgeAsked, ACR: tx.ACR,
	})
	if err == nil {
		s.ID, s.Began = session.NewID(), tx.Began
		return s, nil
	}
	e := providerError(err)
	var pe *provider.Error
	switch {
	case errors.Is(err, session.ErrTooLarge):
		e = newError(ErrSessionTooLarge, err)
	case tx.Demanded && errors.As(err, &pe) && pe.Unmet():
		e = a.stepUpFailed(tx, err)
	case e.Code != ErrDeclined:
	case errors.As(err, &pe) && pe.OAuthCode == "invalid_grant": // the code is too old, or of another client
		e = newError(ErrSignInExpired, err)
	default: // for example "client secret has expired"
		e = newError(ErrProviderMisconfigured, err)
	}
	return nil, e
}

// answered checks that the right person has answered a step-up.
func (a *Auth) answered(ctx context.Context, tx *authflow.Transaction, s *session.Session) *Error {
	if tx.Subject == "" || s.Claims.Text(session.Subject) == tx.Subject {
		return nil
	}
	a.sessions.Revoke(ctx, s)
	return a.stepUpFailed(tx, errors.New("signin: another person has answered the step-up"))
}

// stepUpFailed returns an error whose page has a link to try once more.
func (a *Auth) stepUpFailed(tx *authflow.Transaction, cause error) *Error {
	e := newError(ErrStepUpFailed, cause)
	e.wayOn = a.orHome(tx.ReturnTo)
	return e
}

// EventKind says what an [Event] is about.
type EventKind string

// The kinds of events.
const (
	EventSignedIn      EventKind = "signed_in"      // a callback has made a session
	EventSignedOut     EventKind = "signed_out"     // here, or by a logout token of the provider
	EventRefreshed     EventKind = "refreshed"      // a session has new tokens
	EventRefreshFailed EventKind = "refresh_failed" // the session goes on; Err says why
	EventSessionEnded  EventKind = "session_ended"  // a request came with a session that is over; Reason says why
	EventSuperseded    EventKind = "superseded"     // a request came with an old copy of a session
	// EventRefused says that a guard or [Auth.HandleError] has refused a
	// request. There is none when a person who is not signed in opens a page.
	EventRefused      EventKind = "refused"
	EventSignInFailed EventKind = "sign_in_failed" // at its start or in the callback; Err says why
)

// Event is something worth recording about a sign-in, a session or a refusal of
// a guard. It never holds a token, a session ID or a key of a store.
type Event struct {
	Kind EventKind
	Time time.Time
	// Subject and ProviderSessionID say whom the event is about, if that is
	// known.
	Subject           string
	ProviderSessionID string
	// Reason is why a session ended, with EventSessionEnded only: "idle",
	// "lifetime", "signed_out", "provider", "replaced", or "unknown" if another
	// release of this package has written why.
	Reason string
	// Err is what went wrong, or nil.
	Err error
}

func (a *Auth) emit(ctx context.Context, e Event) {
	if a.onEvent == nil {
		return
	}
	e.Time = a.now()
	a.onEvent(ctx, e)
}

// about returns an event about a session.
func about(s *session.Session, e Event) Event {
	e.Subject, e.ProviderSessionID = s.Claims.Text(session.Subject), s.Claims.Text(session.SessionID)
	return e
}

// SignOut returns the handler that signs a person out, here and at the
// provider. Mount it for GET and POST. A POST from this application signs out
// at once, and so does a link in it. Any other GET, from a mail, an image or
// another site, gets a page with one button. So does a POST from another site,
// with status 403.
func (a *Auth) SignOut() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allow(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
			return
		}
		if r.Method != http.MethodPost && !requestkind.SameOriginNavigation(r) {
			a.confirmSignOut(w, r, http.StatusOK)
			return
		}
		if err := a.sameSite.Check(r); err != nil {
			a.emit(r.Context(), Event{Kind: EventRefused, Err: newError(ErrForbidden, err)})
			a.confirmSignOut(w, r, http.StatusForbidden)
			return
		}
		location, err := a.endSession(w, r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		returnto.Location(w, location, http.StatusSeeOther)
	}
}

// confirmSignOut shows a page with one button.
func (a *Auth) confirmSignOut(w http.ResponseWriter, r *http.Request, status int) {
	noStore(w)
	p := page.For(string(ConfirmSignOut))
	p.Status, p.Actions[0].URL = status, a.paths.SignOut
	a.write(w, r, ConfirmSignOut, p)
}

// BeginSignOut signs the person out at once and returns where to send them: the
// provider's end-session endpoint, which leads back to
// Config.Paths.AfterSignOut, or that path itself if the provider has no such
// endpoint or cannot be reached. The caller redirects, and makes sure that no
// other site can cause the call (see [http.CrossOriginProtection]). A person
// who is not signed in here may have a session at the provider, so they get the
// same location and no error.
//
// The only error is [ErrSignOutIncomplete]: this browser is signed out, but
// copies of its cookie may not be. There is no location then.
func (a *Auth) BeginSignOut(w http.ResponseWriter, r *http.Request) (location string, err error) {
	location, failed := a.endSession(w, r)
	if failed != nil {
		return "", failed
	}
	return location, nil
}

// BackChannelLogout returns the handler to which the provider sends logout
// tokens (OpenID Connect Back-Channel Logout 1.0) when a person signs out of
// another application, or an operator ends their sessions. Mount it for POST,
// outside of any protection against cross-site requests, because these requests
// come from the provider's server. Register it at the provider with "session
// required".
//
// A token that names a session ends that session, and one that names only a
// person ends all of theirs. This includes sessions in cookies, which are then
// refused. The answer is 200, 400 for a token that breaks a rule, or 503 while
// the provider's keys or shared state are not available.
func (a *Auth) BackChannelLogout() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allow(w, r, http.MethodPost) {
			return
		}
		noStore(w)
		if err := a.backChannelLogout(w, r); err != nil {
			a.fail(w, r, err)
		}
	}
}

// endSessionTimeout is how long a person waits for the provider, which does not
// decide whether they are signed out here.
const endSessionTimeout = 3 * time.Second

// endSession ends the local session first, whatever the provider does.
func (a *Auth) endSession(w http.ResponseWriter, r *http.Request) (string, *Error) {
	noStore(w)
	out, err := a.sessions.End(w, r)
	if out.Recorded {
		a.emit(r.Context(), about(out.Session, Event{Kind: EventSignedOut}))
	}
	switch {
	case err != nil:
		return "", newError(ErrSignOutIncomplete, err)
	case isDown(out.Revoked):
		return a.paths.AfterSignOut, nil // the provider is down, and so are its pages
	case out.Newest == nil:
		return a.endSessionURL(r.Context(), ""), nil
	}
	return a.endSessionURL(r.Context(), out.Newest.IDToken()), nil
}

// endSessionURL returns the URL at which the provider ends its own session, or
// AfterSignOut if the provider has no end-session endpoint or cannot be asked.
func (a *Auth) endSessionURL(ctx context.Context, hint string) string {
	ctx, cancel := context.WithTimeout(ctx, endSessionTimeout)
	defer cancel()
	location, err := a.provider.EndSessionURL(ctx, a.absolute(a.paths.AfterSignOut), hint)
	if err != nil || location == "" {
		return a.paths.AfterSignOut
	}
	return location
}

// isDown reports whether the provider gave no answer at all.
func isDown(err error) bool {
	var pe *provider.Error
	return errors.As(err, &pe) && pe.Kind == provider.Unavailable && pe.Status == 0
}

// Logout tokens are small. They are accepted for two minutes and the difference
// between the clocks, so their IDs need not be known for longer.
const (
	maxLogoutBody = 64 << 10
	logoutTime    = 5 * time.Minute
)

func (a *Auth) backChannelLogout(w http.ResponseWriter, r *http.Request) *Error {
	raw, err := logoutToken(w, r)
	if err != nil {
		return newError(ErrBadRequest, err)
	}
	token, err := a.provider.VerifyLogoutToken(r.Context(), raw)
	if e := unverified(err, ErrBadRequest); e != nil {
		return e
	}
	_, repeated, err := a.shared.UsedNote(r.Context(), sharedstate.LogoutToken, []byte(token.ID))
	if err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	if repeated {
		return nil
	}
	// The sign-out is written first. If the token's ID cannot be written then,
	// the provider may send the token again, and nothing is lost.
	kind, value := sharedstate.EndedSubject, token.Subject
	if token.SessionID != "" {
		kind, value = sharedstate.EndedProviderSession, token.SessionID
	}
	// The later of two times: if this replica's clock is slow, a recent sign-in
	// would seem to have begun after the logout.
	at := a.now()
	if token.IssuedAt.After(at) {
		at = token.IssuedAt
	}
	if err := a.shared.End(r.Context(), kind, []byte(value), sharedstate.SignedOut, at); err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	if _, err := a.shared.Use(r.Context(), sharedstate.LogoutToken, []byte(token.ID), nil, logoutTime); err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	a.emit(r.Context(), Event{Kind: EventSignedOut, Subject: token.Subject, ProviderSessionID: token.SessionID})
	return nil
}

// logoutToken reads the one parameter of a logout request (section 2.5).
func logoutToken(w http.ResponseWriter, r *http.Request) (string, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return "", errors.New("signin: a logout request is not a form")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutBody)
	if err := r.ParseForm(); err != nil {
		return "", errors.New("signin: a logout request is not a form that can be read")
	}
	if tokens := r.PostForm["logout_token"]; len(tokens) == 1 {
		return tokens[0], nil
	}
	return "", errors.New("signin: a logout request has no logout token, or several")
}

// Diagnose checks that the provider can be reached and discovered now, that
// shared state works, by writing, reading and deleting, and that the store
// works, by writing and deleting. The error joins an *[Error] for each that
// does not. It is for an operator. It is tempting to use it as a readiness
// probe, but then a provider that is down takes the application down, even for
// people who are signed in.
func (a *Auth) Diagnose(ctx context.Context) error {
	var errs []error
	if err := a.provider.Reach(ctx); err != nil {
		errs = append(errs, providerError(err))
	}
	if err := a.shared.Check(ctx); err != nil {
		errs = append(errs, newError(ErrSharedUnavailable, err))
	}
	if err := a.sessions.Store.Check(ctx); err != nil {
		errs = append(errs, newError(ErrStoreUnavailable, err))
	}
	return errors.Join(errs...)
}
