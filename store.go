package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/callback"
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
	"github.com/gosignin/signin/internal/webhook"
)

// SharedState is what all replicas of an application must know: which sessions
// have been signed out, what refreshed sessions have become, which one-time
// values have been used. It is a small key-value store with expiry. Keys are
// hashes of a secret, and values are sealed, both by Config.Keys: another
// application on the same store, and people who may read it, learn nothing from
// either. A value that does not open makes requests fail with 503.
//
// An implementation must be safe for concurrent use. It must fail rather than
// guess: an error makes requests fail with 503, but a nil value in place of one
// that exists lets a signed-out session live. A read must see every write that
// was completed before it, so with a replicated database it goes to the
// primary.
type SharedState interface {
	// Get returns the values of keys, in their order, with nil for a key without
	// one. It is called once for an ordinary request, with five or six keys for
	// each of Config.Keys, and once or twice more, with up to 35 for each, if the
	// browser's cookie is not the newest. It should take one round trip. The caller
	// may reuse keys after Get has returned, and does not change the values.
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	// Set stores value under key for ttl, and replaces a value that is there.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Add stores value under key for ttl unless key has a value, and reports
	// whether it has stored it. Of several calls at once, one stores its value.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)
	// Delete removes key if it has a value.
	Delete(ctx context.Context, key string) error
}

// The limits of shared state in memory. A person who is active all day with
// access tokens of one hour leaves some 6 KB: the last successor of their
// session, and a mark for each earlier one. There is room for 35,000 such people.
var memoryLimits = sharedstate.Limits{Entries: 1 << 20, Bytes: 256 << 20}

// checker collects the mistakes of a Config.
// plainly is a rule for a URL, with the hosts to which plain http is accepted.
func plainly[Out any](rule func(string, settings.Plain) (Out, error), plain settings.Plain) func(string) (Out, error) {
	return func(raw string) (Out, error) { return rule(raw, plain) }
}

func (a *Auth) checkProvider(c *settings.Checker, cfg *Config) {
	plain := settings.Plain(settings.Loopback)
	if cfg.DangerouslyAllowHTTP {
		plain = settings.Anywhere
	}
	switch {
	case cfg.LogtoEndpoint != "" && cfg.Issuer != "":
		c.Add("Issuer", errors.New("is set, and so is LogtoEndpoint; set only one of them"))
	case cfg.LogtoEndpoint != "":
		a.issuer = settings.Check(c, "LogtoEndpoint", cfg.LogtoEndpoint, plainly(settings.LogtoIssuer, plain))
	case cfg.Issuer != "":
		a.issuer = settings.Check(c, "Issuer", cfg.Issuer, plainly(settings.Issuer, plain))
	default:
		c.Add("LogtoEndpoint", errors.New("is missing, and so is Issuer; set LogtoEndpoint for Logto, Issuer for any other provider"))
	}
	if cfg.ClientID == "" {
		c.Add("ClientID", errors.New("is missing; at Logto it is the App ID"))
	}
	if cfg.ClientSecret == "" {
		c.Add("ClientSecret", errors.New("is missing; at Logto it is the App secret"))
	}
	a.scopes = settings.Check(c, "Scopes", cfg.Scopes, func(s []string) ([]string, error) {
		return settings.Scopes(s, cfg.OmitDefaultScopes, a.logto)
	})
	a.resources = settings.Check(c, "Resources", cfg.Resources, settings.Resources)
	if a.logto && slices.Contains(a.scopes, organizationsScope) && !slices.Contains(a.resources, organizationsResource) {
		// Otherwise Logto gives no tokens for organizations.
		a.resources = append(a.resources, organizationsResource)
	}
	p, plain := &cfg.Provider, settings.PlainEndpoints(a.issuer, cfg.DangerouslyAllowHTTP)
	settings.Check(c, "Provider.SigningAlgs", p.SigningAlgs, settings.Algorithms)
	settings.Check(c, "Provider.ClientAuth", p.ClientAuth, settings.ClientAuth)
	settings.Check(c, "Provider.Endpoints", p.Endpoints, func(m map[string]string) (map[string]string, error) { return settings.Endpoints(m, plain) })
	if p.DiscoveryURL != "" {
		settings.Check(c, "Provider.DiscoveryURL", p.DiscoveryURL, plainly(settings.Endpoint, plain))
	}
	a.roles = settings.Check(c, "Provider.RolesClaim", p.RolesClaim, settings.RolesClaim)
}

func (a *Auth) checkApplication(c *settings.Checker, cfg *Config) {
	plain := settings.Plain(settings.LoopbackInBrowsers)
	if cfg.DangerouslyAllowHTTP {
		plain = settings.Anywhere
	}
	a.base = settings.Check(c, "BaseURL", cfg.BaseURL, plainly(settings.Base, plain))
	if a.base == nil {
		return
	}
	route := func(field, given, def string) string {
		return settings.Check(c, field, cmp.Or(given, a.base.Path+def), settings.Route)
	}
	a.paths.SignIn = route("Paths.SignIn", cfg.Paths.SignIn, "/sign-in")
	a.paths.Callback = route("Paths.Callback", cfg.Paths.Callback, "/callback")
	a.paths.SignOut = route("Paths.SignOut", cfg.Paths.SignOut, "/sign-out")
	a.paths.BackChannelLogout = route("Paths.BackChannelLogout", cfg.Paths.BackChannelLogout, "/backchannel-logout")
	routes := []string{a.paths.SignIn, a.paths.Callback, a.paths.SignOut, a.paths.BackChannelLogout}
	for i, r := range routes {
		if r != "" && slices.Contains(routes[:i], r) {
			c.Add("Paths", fmt.Errorf("have %q twice; each route needs another path", r))
		}
	}
	a.returnTo = returnto.New(a.base, routes)
	after := func(field, given string) string {
		if given == "" {
			return a.base.Path + "/"
		}
		return settings.Check(c, field, given, func(p string) (string, error) {
			if _, err := a.returnTo.OnHost(p); err != nil {
				return "", fmt.Errorf("is %q; needs a path of this host that is not one of the routes", p)
			}
			return p, nil
		})
	}
	a.paths.AfterSignIn = after("Paths.AfterSignIn", cfg.Paths.AfterSignIn)
	if a.paths.AfterSignOut = cfg.Paths.AfterSignOut; a.paths.AfterSignOut != "" && !strings.HasPrefix(a.paths.AfterSignOut, "/") {
		settings.Check(c, "Paths.AfterSignOut", a.paths.AfterSignOut, func(u string) (string, error) { return settings.AfterSignOut(u, a.isRoute) })
	} else {
		a.paths.AfterSignOut = after("Paths.AfterSignOut", cfg.Paths.AfterSignOut)
	}
}

// isRoute returns an error if a URL is one of the routes.
func (a *Auth) isRoute(u string) error {
	if own := a.returnTo.Local(u); own != "" {
		_, err := a.returnTo.OnHost(own)
		return err
	}
	return nil
}

// checkOptions checks Config.SignInOptions. It runs after the checks of the
// provider and of the application's paths, which it needs.
func (a *Auth) checkOptions(c *settings.Checker) {
	var err error
	if a.ordinary, _, err = a.compile(nil); err == nil {
		err = refusePersonal(a.ordinary)
	}
	if err != nil {
		c.Add("SignInOptions", fmt.Errorf("have a mistake: %w", err))
	}
}

// build makes the parts of an Auth from a Config without mistakes.
func (a *Auth) build(cfg *Config, name string, keys [][]byte, l session.Limits, ahead time.Duration) error {
	a.provider = provider.New(provider.Config{
		Issuer: a.issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret,
		RedirectURL: a.absolute(a.paths.Callback), SigningAlgs: cfg.Provider.SigningAlgs,
		DiscoveryURL: cfg.Provider.DiscoveryURL, Endpoints: cfg.Provider.Endpoints, ClientAuth: cfg.Provider.ClientAuth,
		AnyHTTP: cfg.DangerouslyAllowHTTP, HTTPClient: cfg.HTTPClient, Log: a.log, Now: a.now,
	})
	a.tokens = &tokens.Source{
		Provider: a.provider, Logto: a.logto, UserInfo: cfg.MergeUserInfo, Scopes: a.scopes, Roles: a.roles,
		Ahead: ahead, Log: a.log, Now: a.now,
	}
	a.transport = http.DefaultTransport
	if cfg.HTTPClient != nil && cfg.HTTPClient.Transport != nil {
		a.transport = cfg.HTTPClient.Transport
	}
	ring, err := seal.NewRing(keys, "transaction", a.issuer, a.clientID, a.base.String())
	if err := errors.Join(err, a.openSessions(cfg, name, keys, l, ahead)); err != nil {
		return err
	}
	a.transactions = authflow.NewTransactions(ring, a.cookies, name, a.now)
	a.client = &authflow.Client{
		Issuer: a.issuer, Logto: a.logto, ID: a.clientID, RedirectURI: a.absolute(a.paths.Callback),
		Scopes: a.scopes, Offline: slices.Contains(cfg.Scopes, "offline_access"), Resources: a.resources,
		ReturnTo: a.returnTo, Route: a.paths.SignIn, Home: a.paths.AfterSignIn, Now: a.now,
	}
	a.flow = callback.New(callback.Flow{
		Provider: a.provider, Tokens: a.tokens, Sessions: a.sessions, State: a.shared, Transactions: a.transactions,
		Home: a.paths.AfterSignIn, OnSignIn: a.hook(), Log: a.log, Now: a.now,
	})
	a.sameSite = http.NewCrossOriginProtection()
	// Otherwise it would compare Origin with Host, which proxies rewrite.
	return a.sameSite.AddTrustedOrigin(a.base.Scheme + "://" + a.base.Host)
}

// announce logs, once, what an operator needs to know.
func (a *Auth) announce(cfg *Config) {
	a.log.Info("signin: register these URLs at the provider",
		"redirect_uri", a.absolute(a.paths.Callback),
		"post_logout_redirect_uri", a.afterSignOut(),
		"backchannel_logout_uri", a.absolute(a.paths.BackChannelLogout))
	if cfg.DangerouslyAllowHTTP {
		a.log.Warn("signin: Config.DangerouslyAllowHTTP is set: any listener on the network can sign in as anyone; it is for a development network only",
			"issuer", a.issuer, "base_url", a.base.String())
	}
	if settings.OfflineAtKeycloak(a.issuer, a.scopes) {
		a.log.Warn("signin: at Keycloak, offline_access makes offline sessions, without single sign-on and back-channel logout: set Config.OmitDefaultScopes",
			"issuer", a.issuer)
	}
	if len(cfg.Keys) == 0 {
		a.log.Warn("signin: Config.Keys is empty: a random key is used, and all users are signed out when this process ends")
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
	// An entry that ends a session, or leads to its successor, must live for as
	// long as any cookie that it is about can be used.
	ttl := max(l.Idle, authflow.Lifetime) + sharedstate.Clocks
	ring, err := seal.NewRing(keys, "session", a.issuer, a.clientID, a.base.String())
	state, err2 := sharedstate.New(sharedstate.Config{
		Store: shared, Keys: keys, Issuer: a.issuer, Client: a.clientID, Base: a.base.String(), TTL: ttl, PersonTTL: l.Max + sharedstate.Clocks,
		SinceTTL: authflow.Lifetime + sharedstate.Clocks, Now: a.now,
	})
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	a.shared = state
	a.sessions = &lifecycle.Sessions{
		Store:   sessionstore.New(cfg.Store, name, ring, a.cookies.Secure),
		State:   state,
		Refresh: refresh.New(refresh.Config{State: state, Source: a.tokens, Observer: observer{a}, Ahead: ahead, Keep: ttl, Now: a.now}),
		Limits:  l, Log: a.log, Now: a.now,
		OnEnd: func(ctx context.Context, e *lifecycle.Ended) { a.ended(ctx, e.Session, e.Reason, e.Cause) },
	}
	return nil
}

// observer reports refreshes as events and log lines.
type observer struct{ *Auth }

// Refreshed reports a refresh, and why it has ended the session.
func (o observer) Refreshed(ctx context.Context, s *session.Session, err error) {
	e := Event{Kind: EventRefreshed}
	var ended *refresh.Ended
	switch {
	case errors.As(err, &ended):
		o.ended(ctx, s, lifecycle.ByProvider, ended.Cause)
		return
	case err != nil:
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
		c.err, c.signedIn = sessionError(r.Context(), err), c.known.Session != nil
		if errors.Is(err, lifecycle.ErrUnconfirmed) {
			c.err.start = a.client.Link(a.openPage(r, requestkind.Of(r)), authflow.Demand{})
		}
		a.report(w, r, out)
	}
	return r.WithContext(c), c
}

// report emits an event for a session that has ended or a cookie that is stale,
// and keeps an answer that carries cookies of the session out of caches.
func (a *Auth) report(w http.ResponseWriter, r *http.Request, out lifecycle.Outcome) {
	if out.Written {
		noStore(w)
	}
	switch out.Ended {
	case "":
	default:
		a.ended(r.Context(), out.Session, out.Ended, out.Cause)
	}
}

// ended reports, once in this process, that a session has ended or that its cookie is
// stale. A browser keeps presenting the cookie, since it is not deleted.
func (a *Auth) ended(ctx context.Context, s *session.Session, reason lifecycle.Reason, cause error) {
	if !a.sessions.FirstTold(s.ID, reason) {
		return
	}
	e := Event{Kind: EventSessionEnded, Reason: string(reason), Err: cause}
	level := slog.LevelInfo
	switch reason {
	case lifecycle.Stale:
		e, level = Event{Kind: EventStaleSession}, slog.LevelWarn
	case lifecycle.Lost:
		level = slog.LevelError
	case lifecycle.ByProvider:
		if cause != nil { // not by a logout token
			level = slog.LevelWarn
		}
	}
	attrs := []any{"reason", string(reason)}
	if cause != nil {
		attrs = append(attrs, "error", cause)
	}
	a.log.Log(ctx, level, "signin: a session has ended, or its cookie is stale", attrs...)
	a.emit(ctx, about(s, e))
}

// providerError translates an error of the provider package.
func providerError(err error) *Error {
	if err == nil {
		return nil
	}
	e := newError(ErrProviderUnavailable, err)
	var pe *provider.Error
	if !errors.As(err, &pe) {
		return e // usually the error of the caller's context
	}
	switch pe.Kind {
	case provider.Rejected:
		return newError(ErrProviderRejected, err)
	case provider.Refused:
		return newError(ErrDeclined, err)
	case provider.Misconfigured:
		return newError(ErrProviderMisconfigured, err) // waiting does not help, so there is no Retry-After
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
	case e.Code == ErrProviderMisconfigured:
		return e
	}
	var pe *provider.Error
	if unknown := errors.As(err, &pe) && pe.UnknownKey(); unknown && bad == ErrInvalidToken {
		// Most such tokens are forged, and the others are good after the next fetch.
		// With 503, strangers could make the API look broken.
		e = newError(bad, err)
		e.retryAfter = pe.RetryAfter
		return e
	} else if unknown {
		e.expected = true
	}
	e.Status = http.StatusServiceUnavailable
	return e
}

// sessionError translates an error of package lifecycle about a session.
func sessionError(ctx context.Context, err error) *Error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lifecycle.ErrTooLarge):
		return newError(ErrSessionTooLarge, err)
	case errors.Is(err, lifecycle.ErrEnded):
		return newError(ErrSignInExpired, err)
	case errors.Is(err, lifecycle.ErrOffline):
		e := newError(offlineCode(err), err)
		if errors.Is(err, lifecycle.ErrUnconfirmed) { // another sign-in brings claims
			e = explained(e.Code, err, string(ErrStepUpRequired))
		}
		e.Status, e.retryAfter = http.StatusServiceUnavailable, retryAfter
		return e
	case errors.Is(err, lifecycle.ErrUnknown):
		e := newError(ErrSharedUnavailable, err)
		e.expected = ctx.Err() != nil // its client went away
		return e
	case errors.Is(err, lifecycle.ErrShared):
		return newError(ErrSharedUnavailable, err)
	}
	return newError(ErrStoreUnavailable, err)
}

// offlineCode says who has to act for refreshes to succeed again.
func offlineCode(err error) Code {
	var pe *provider.Error
	if errors.Is(err, lifecycle.ErrUnconfirmed) || errors.As(err, &pe) && pe.Kind != provider.Unavailable {
		return ErrProviderMisconfigured
	}
	return ErrProviderUnavailable
}

// callbackError translates an error of package callback.
func callbackError(r *http.Request, err error) *Error {
	switch {
	case errors.Is(err, callback.ErrUsed):
		return newError(ErrSignInExpired, err)
	case errors.Is(err, callback.ErrStepUp), errors.Is(err, callback.ErrAsked):
		return newError(ErrStepUpFailed, err)
	case errors.Is(err, callback.ErrDemand):
		return newError(ErrProviderRejected, err)
	case errors.Is(err, session.ErrTooLarge):
		return newError(ErrSessionTooLarge, err)
	}
	for _, known := range []error{lifecycle.ErrTooLarge, lifecycle.ErrEnded, lifecycle.ErrShared, lifecycle.ErrStore} {
		if errors.Is(err, known) {
			return sessionError(r.Context(), err)
		}
	}
	return exchangeError(err)
}

// notAdmitted is the refusal of Config.OnSignIn. another is where another account signs
// in. What a rule says to people who are signed in is not said to a person who is not.
func notAdmitted(err error, another string) *Error {
	var e *Error
	var code Code
	if found := errors.As(err, &e); e == nil && (found || !errors.As(err, &code)) {
		return newError(ErrInternal, err)
	}
	e = asRefusal(err)
	e.ofRule = false
	known := page.For(page.English, string(e.Code)).Status != 0
	if e.Status >= 500 || known && e.Code != ErrForbidden && e.Code != ErrNotMember {
		return e
	}
	if e.text != "" {
		e.Message = ""
	}
	e.text, e.value, e.another = page.SignInRefused, nil, another
	return e
}

// exchangeError translates an error of exchanging a code for tokens, or of
// accepting them.
func exchangeError(err error) *Error {
	e := providerError(err)
	var pe *provider.Error
	switch {
	case e.Code != ErrDeclined:
		return e
	case errors.As(err, &pe) && pe.OAuthCode == "invalid_grant": // a code that is too old, or of another sign-in
		return newError(ErrSignInExpired, err)
	}
	return newError(ErrProviderMisconfigured, err) // "client secret has expired", for one
}

// withoutTransaction answers a response for which this browser has no transaction under
// way. If the sign-in has finished (a reload, the back button), the person goes on. It is
// tempting to start any other again from here, but what its route demands is not known
// here.
func (a *Auth) withoutTransaction(w http.ResponseWriter, r *http.Request, response *authflow.Response, late bool) (string, *Error) {
	standing, err := a.shared.LookAtCallback(r.Context(), response.State)
	if err != nil {
		return "", newError(ErrSharedUnavailable, err)
	}
	if standing.Progress == sharedstate.Finished {
		loaded, c := a.load(w, r)
		if c.err != nil {
			return "", c.err
		}
		if u, ok := UserFrom(loaded.Context()); ok {
			out, subject := callback.Finished(standing.Note, "")
			if u.Subject != subject { // another person must not learn where the sign-in led
				return a.paths.AfterSignIn, nil
			}
			return a.goOn(r.Context(), out)
		}
	}
	if name, twice := a.transactions.Twice(r, response.State); twice {
		return "", a.conflict(name)
	}
	// Where a sign-in has led that was used is not told to other browsers. If Host is not
	// BaseURL's here either, it is a proxy's, and the hint means nothing.
	if to, ok := a.transactions.ReadHint(response.Hint); ok && !late && standing.Progress == 0 && !a.elsewhere(r) {
		e := explained(ErrSignInExpired, authflow.ErrNoTransaction, page.OtherAddress, a.base.String())
		e.start = a.absolute(a.orHome(to))
		return "", e
	}
	if _, any := r.Header["Cookie"]; !any && standing.Progress == 0 {
		return "", newError(ErrCookiesBlocked, authflow.ErrNoTransaction)
	}
	return "", newError(ErrSignInExpired, authflow.ErrNoTransaction)
}

// declined answers an error response.
func (a *Auth) declined(w http.ResponseWriter, tx *authflow.Transaction, response *authflow.Response) (string, *Error) {
	switch outcome, cause := response.Outcome(a.client, tx); outcome {
	case authflow.Silence:
		a.transactions.SetQuiet(w)
		return a.orHome(tx.ReturnTo), nil
	case authflow.Trouble:
		if response.Expired && a.transactions.Repeat(w, tx) {
			return tx.Again(), nil
		}
		e := newError(ErrProviderUnavailable, cause)
		e.retryAfter = retryAfter
		return "", e
	case authflow.Misfit:
		return "", newError(ErrProviderMisconfigured, cause)
	case authflow.Unmet:
		return "", newError(ErrStepUpFailed, cause)
	default:
		return "", newError(ErrDeclined, cause)
	}
}

// unmet is the refusal for a person who has signed in, but not as the query asked. Its
// page leads to the page that they were going to. A guard there asks again; if no guard
// asked, the demand came from a link that anyone can write.
func (a *Auth) unmet(returnTo string, cause error) *Error {
	e := explained(ErrStepUpFailed, cause, page.NotConfirmed)
	e.ofRule, e.start = true, a.orHome(returnTo)
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
	EventSessionEnded  EventKind = "session_ended"  // a session has ended; once in each process that learns of it; Reason and Err say why
	EventStaleSession  EventKind = "stale_session"  // a cookie was presented that its browser replaced hours ago: a copy, or from a backup
	EventRefused       EventKind = "refused"        // by a guard, [Auth.HandleError] or [Auth.LogtoWebhook]; not if a person opens a page without having signed in
	EventSignInFailed  EventKind = "sign_in_failed" // at its start or in the callback; Err says why

	EventLogoutTokenRejected EventKind = "logout_token_rejected" // by [Auth.BackChannelLogout]; Err says why
)

// Event is something worth recording about a sign-in, a session or a guard's
// refusal. It never holds a token, a session ID or a key of a store.
type Event struct {
	Kind EventKind
	Time time.Time
	// Subject and ProviderSessionID say who the event is about, if that is
	// known.
	Subject           string
	ProviderSessionID string
	// Reason is why a session ended, with EventSessionEnded only: "idle",
	// "lifetime", "signed_out", "provider" (by its logout token, or because it
	// refused to refresh the session), "replaced" (by a new sign-in in the same
	// browser), "application" (by [Auth.EndSessions]), or "lost" if shared state has
	// forgotten what the session has become.
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
// another site, gets a page that asks or, in a browser without a session, a redirect to
// Config.Paths.AfterSignOut. A POST from another site gets the page, with status 403.
func (a *Auth) SignOut() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allow(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
			return
		}
		if r.Method != http.MethodPost && !requestkind.SameOriginNavigation(r) {
			if found, err := a.sessions.Store.Load(r, new(session.Session)); !found && err == nil {
				noStore(w)
				returnto.Location(w, a.paths.AfterSignOut, http.StatusSeeOther)
				return
			}
			a.confirmSignOut(w, r, http.StatusOK)
			return
		}
		if err := a.fromHere(r); err != nil {
			a.emit(r.Context(), Event{Kind: EventRefused, Err: newError(ErrForbidden, err)})
			a.confirmSignOut(w, r, http.StatusForbidden)
			return
		}
		location, err := a.endSession(w, r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		switch requestkind.Of(r) { // a fetch cannot follow to the provider
		case requestkind.Inertia:
			w.Header().Set("X-Inertia-Location", location)
			w.WriteHeader(http.StatusConflict)
		case requestkind.HTMX:
			w.Header().Set("HX-Redirect", location)
		default:
			returnto.Location(w, location, http.StatusSeeOther)
		}
	}
}

// maxOrigin is longer than the origin of any site: a host name has 253 bytes.
const maxOrigin = 512

// fromHere returns an error if another site has caused a request.
func (a *Auth) fromHere(r *http.Request) error {
	if len(r.Header.Get("Origin")) > maxOrigin {
		return errors.New("signin: the Origin header is longer than the origin of any site")
	}
	return a.sameSite.Check(r)
}

// confirmSignOut shows a page with one button.
func (a *Auth) confirmSignOut(w http.ResponseWriter, r *http.Request, status int) {
	noStore(w)
	p := page.For(page.Choose(requestkind.AcceptLanguage(r)), string(ConfirmSignOut))
	p.Status, p.Actions[0].URL, p.Actions[1].URL = status, a.paths.SignOut, a.paths.AfterSignIn
	a.write(w, r, ConfirmSignOut, p)
}

// BeginSignOut signs the person out at once and returns where to send them: the
// provider's end-session endpoint, which leads back to
// Config.Paths.AfterSignOut, or that path itself if the provider has no such
// endpoint. The caller redirects, and makes sure that no
// other site can cause the call (see [http.CrossOriginProtection]). A person
// who is not signed in here may have a session at the provider, so they get the
// same location and no error.
//
// The error is [ErrSignOutLocalOnly] if the provider cannot be reached: it may still
// know the person. [ErrSignOutIncomplete] means that this browser is signed out, but
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
			a.emit(r.Context(), Event{Kind: EventLogoutTokenRejected, Err: err})
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
	case provider.IsDown(out.Revoked): // and so are the provider's pages
		a.provider.NoteDown()
		return "", newError(ErrSignOutLocalOnly, out.Revoked)
	case out.Newest == nil: // "Sign out again", which sends nothing else
		if err := a.provider.StillDown(r.Context(), endSessionTimeout); err != nil {
			return "", newError(ErrSignOutLocalOnly, err)
		}
	}
	hint := ""
	if out.Newest != nil {
		hint = out.Newest.IDToken()
	}
	location, err := a.endSessionURL(r.Context(), hint)
	if err != nil {
		return "", newError(ErrSignOutLocalOnly, err)
	}
	return location, nil
}

// endSessionURL returns the URL at which the provider ends its own session, or
// AfterSignOut if the provider has no end-session endpoint.
func (a *Auth) endSessionURL(ctx context.Context, hint string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, endSessionTimeout)
	defer cancel()
	location, err := a.provider.EndSessionURL(ctx, a.afterSignOut(), hint)
	return cmp.Or(location, a.paths.AfterSignOut), err
}

// afterSignOut is the post_logout_redirect_uri.
func (a *Auth) afterSignOut() string {
	if strings.HasPrefix(a.paths.AfterSignOut, "/") {
		return a.absolute(a.paths.AfterSignOut)
	}
	return a.paths.AfterSignOut
}

const (
	// Logout tokens are accepted for two minutes and the difference between the clocks,
	// so their IDs need not be known for longer.
	logoutTime = 5 * time.Minute
	// logoutTimeout limits the handling of one: it may wait for the next fetch of
	// keys, and for the lease of each of the two ends that it writes.
	logoutTimeout = 30 * time.Second
)

func (a *Auth) backChannelLogout(w http.ResponseWriter, r *http.Request) *Error {
	raw, err := authflow.LogoutToken(w, r)
	if err != nil {
		return newError(ErrBadRequest, err)
	}
	// Logto sends a token once, and may not wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), logoutTimeout)
	defer cancel()
	token, err := a.provider.VerifyLogoutToken(ctx, raw)
	if e := unverified(err, ErrBadRequest); e != nil {
		return e
	}
	used, err := a.shared.LogoutTokenUsed(ctx, token.ID)
	if err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	if used {
		return nil
	}
	// The sign-out is written first: if the token's ID cannot be written, the
	// provider may send the token again, and nothing is lost.
	who := sharedstate.Ended{Subject: token.Subject, SessionID: token.SessionID}
	if err := a.shared.EndByProvider(ctx, who, token.IssuedAt); err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	if err := a.shared.UseLogoutToken(ctx, token.ID, logoutTime); err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	a.emit(r.Context(), Event{Kind: EventSignedOut, Subject: token.Subject, ProviderSessionID: token.SessionID})
	return nil
}

// LogtoWebhook returns the handler to which Logto sends a webhook, so that a person whose
// account is suspended or deleted, or who has reset a forgotten password, is signed out
// everywhere at once, as by [Auth.EndSessions]; the sign-in in which a password is reset
// goes on. Mount it for POST, outside of any protection against cross-site requests. In
// Logto's console, create a webhook with its address and the events
// User.SuspensionStatus.Updated, User.Deleted and PostResetPassword. LogtoWebhook panics
// if signingKey, which the console shows for the webhook, is empty.
//
// Logto sends a webhook once. If it is lost, a suspended or deleted person stays signed in
// until the next refresh, for the life of an access token at most, and a person who has
// reset the password stays signed in.
//
// The answer is 200 if sessions have ended, 204 for an event that ends none, 401 if the
// signature is wrong, 400 or 413 for a body that cannot be read, and 503 if the end could
// not be written. A webhook created more than ten minutes ago, or five ahead of our clock,
// is answered 200, logged, and ends nothing.
func (a *Auth) LogtoWebhook(signingKey string) http.HandlerFunc {
	if signingKey == "" {
		panic("signin: LogtoWebhook needs a signing key; Logto's console shows it with the webhook")
	}
	key := []byte(signingKey)
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allow(w, r, http.MethodPost) {
			return
		}
		noStore(w)
		notice, err := webhook.Read(w, r, key, a.now())
		switch {
		case err != nil:
			e := webhookError(err)
			a.emit(r.Context(), Event{Kind: EventRefused, Err: e})
			a.fail(w, r, e)
		case notice.Outcome == webhook.Ignored:
			w.WriteHeader(http.StatusNoContent)
		case notice.Outcome == webhook.Late:
			a.log.WarnContext(r.Context(), "signin: a webhook is too old, or ahead of our clock, and ends no session", "event", notice.Event, "created", notice.Created)
		default:
			// Logto sends it once, and may not wait for the answer.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), logoutTimeout)
			defer cancel()
			end := a.shared.EndPerson
			if notice.Begun {
				end = func(ctx context.Context, subject string) error {
					_, err := a.shared.EndBegun(ctx, subject)
					return err
				}
			}
			if err := a.endBy(ctx, notice.Subject, end); err != nil {
				a.fail(w, r, asRefusal(err))
			}
		}
	}
}

// webhookError translates an error of package webhook.
func webhookError(err error) *Error {
	e := newError(ErrBadRequest, err)
	switch {
	case errors.Is(err, webhook.ErrSignature):
		e.Status = http.StatusUnauthorized
	case errors.Is(err, webhook.ErrTooLarge):
		e.Status = http.StatusRequestEntityTooLarge
	}
	return e
}

// EndSessions ends every session of a person, everywhere: those that have begun, and
// those of sign-ins that are under way. It is for an account that was taken over, and
// for a button "sign out everywhere". The subject is [User.Subject]. Later sign-ins
// are not affected; the provider may answer them without a question. Called by
// Config.OnSignIn with its context, for the person who signs in, it spares that sign-in.
//
// The error is [ErrBadRequest] for an empty subject, and [ErrSharedUnavailable] if the
// end could not be written; call EndSessions again then. Access tokens that APIs have
// already been given stay good until they expire.
func (a *Auth) EndSessions(ctx context.Context, subject string) error {
	if subject == "" {
		return newError(ErrBadRequest, errors.New("signin: EndSessions needs a subject"))
	}
	end := a.shared.EndPerson
	if b := a.beginningOf(ctx); b != nil && subject == b.session.Claims.Text(session.Subject) {
		end = b.endOthers
	}
	return a.endBy(ctx, subject, end)
}

// endBy ends the sessions of a person, and reports that.
func (a *Auth) endBy(ctx context.Context, subject string, end func(context.Context, string) error) error {
	if err := end(ctx, subject); err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	a.emit(ctx, Event{Kind: EventSignedOut, Subject: subject})
	return nil
}

// Diagnose checks that the provider can be reached and discovered now, and that
// shared state and the store work, by writing, reading and removing an entry and a
// session. The error joins an *[Error] for each check that failed.
//
// Call it when the application starts, and log its error: [New] does no I/O, so a
// store whose directory is missing would show itself only to the first user who
// comes back from the provider. It is tempting to use it as a readiness probe, but
// then a provider that is down takes the application down too, even for people who
// are signed in.
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
