package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/bearer"
	"github.com/gosignin/signin/internal/callback"
	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/page"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/returnto"
)

// SignIn returns the handler that sends a person to the provider. Mount it for
// GET. Its query may name a path to come back to, ?return_to=/x, which wins
// over [ReturnTo]; one that is not a path of this application is ignored.
//
// Guards that want a step-up send people here too, with ?max_age= (seconds) or
// ?acr_values=: the query can only ask for more than the options do. A user who
// is signed in stays signed in: if another person answers, the callback
// refuses, and the session is kept. A demand that cannot be met here, because the
// options exclude it or Logto has no classes, is answered with 400.
//
// A provider may start a sign-in here as well, with ?iss= and target_link_uri
// (OpenID Connect Core 1.0, section 4); a foreign iss is refused.
//
// SignIn panics if an option has a mistake, as [http.ServeMux] does for a wrong
// pattern. Values that come from a request belong to [Auth.BeginSignIn].
func (a *Auth) SignIn(opts ...SignInOption) http.HandlerFunc {
	params, returnTo, err := a.compile(opts)
	if err == nil {
		err = refusePersonal(params)
	}
	if err != nil {
		panic(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allow(w, r, http.MethodGet, http.MethodHead) {
			return
		}
		if err := authflow.CheckQuery(r.URL.RawQuery); err != nil {
			a.fail(w, r, newError(ErrBadRequest, err))
			return
		}
		req, tx, err := a.client.FromQuery(r.URL.Query(), *params, returnTo)
		if err != nil {
			a.fail(w, r, newError(ErrBadRequest, err))
			return
		}
		tx.Start, tx.Route = a.returnTo.Start(authflow.WithoutReturnTo(a.returnTo.SeenIn(r)), a.paths.AfterSignIn), true
		fail := func(e Error) { e.start = tx.Again(); a.fail(w, r, &e) }
		if kind := requestkind.Of(r); !requestkind.MayStart(r, kind) {
			a.refuseNotSignedIn(w, r, kind, tx.Asked, tx.Again(), false)
			return
		}
		if !tx.Asked.IsZero() {
			loaded, c := a.load(w, r)
			if c.err != nil {
				fail(*c.err)
				return
			}
			if u, ok := UserFrom(loaded.Context()); ok {
				tx.Subject = u.Subject
			}
		}
		if req.Silent() && a.transactions.IsQuiet(r) {
			noStore(w)
			a.redirect(w, a.orHome(tx.ReturnTo))
			return
		}
		location, failed := a.begin(w, r, req, tx)
		if failed != nil {
			a.emit(r.Context(), Event{Kind: EventSignInFailed, Err: failed})
			fail(*failed)
			return
		}
		a.redirect(w, location)
	}
}

// redirect sends a person to an address that the caller has judged. If it leaves no
// room for cookies of the session that a refresh has set, those are left to a later
// answer.
func (a *Auth) redirect(w http.ResponseWriter, location string) {
	a.sessions.Store.MakeRoom(w, location)
	returnto.Location(w, location, http.StatusSeeOther)
}

// openPage returns the page that the sender of a request has open, or "".
func (a *Auth) openPage(r *http.Request, kind requestkind.Kind) string {
	switch kind {
	case requestkind.Navigation:
		return a.returnTo.SeenIn(r)
	case requestkind.HTMX:
		return a.returnTo.Local(r.Header.Get("HX-Current-URL"))
	case requestkind.Inertia:
		if r.Method == http.MethodGet { // a link: the page is the one that will be open
			return a.returnTo.SeenIn(r)
		}
	}
	return a.returnTo.Local(r.Header.Get("Referer")) // of a form
}

// refusePersonal refuses options that are for one person.
func refusePersonal(p *authflow.Request) error {
	if p.OneTimeAsked {
		return errors.New("signin: OneTimeToken is for one person and belongs to BeginSignIn")
	}
	return nil
}

// BeginSignIn starts a sign-in and returns where to send the person: it sets a
// cookie on w, and the caller redirects. It is for applications that redirect
// by themselves, and for options whose values come from the request, which it
// checks. Links in pages point to the route of [Auth.SignIn] instead. Guards
// send people there too, with a query that only the handler of SignIn reads: do
// not mount another handler at Config.Paths.SignIn.
//
// BeginSignIn reads nothing from the query, and does not check that the request
// is a navigation: call it for GET. If the sign-in fails, its page links to the page
// that called BeginSignIn. A [ReturnTo] that is not a path of this application is an
// error here, while the route ignores such a query.
//
// The error is an *[Error]: ErrBadRequest for an option with a mistake,
// ErrProviderUnavailable or ErrProviderMisconfigured while the provider cannot
// be discovered, ErrSharedUnavailable while shared state does not answer,
// ErrCookieConflict for two session cookies, of which a sign-in would replace only one,
// ErrNotSignedIn for a silent sign-in (see [Prompt]) within five minutes of one
// that failed. Then no cookie is set.
func (a *Auth) BeginSignIn(w http.ResponseWriter, r *http.Request, opts ...SignInOption) (location string, err error) {
	params, target, err := a.compile(opts)
	if err != nil {
		return "", newError(ErrBadRequest, err)
	}
	if params.Silent() && a.transactions.IsQuiet(r) {
		return "", newError(ErrNotSignedIn, errors.New("signin: a silent sign-in has just failed in this browser"))
	}
	kind := requestkind.Of(r)
	page := a.openPage(r, kind)
	if kind != requestkind.Navigation { // a form may be on the sign-out page, and a link to that signs out
		page, _ = a.returnTo.Path(page)
	}
	location, failed := a.begin(w, r, params, &authflow.Transaction{ReturnTo: target, Start: a.returnTo.Start(page, a.paths.AfterSignIn)})
	if failed != nil {
		a.emit(r.Context(), Event{Kind: EventSignInFailed, Err: failed})
		return "", failed
	}
	return location, nil
}

// begin starts a transaction, sets its cookie, and returns the authorization
// request.
func (a *Auth) begin(w http.ResponseWriter, r *http.Request, req *authflow.Request, tx *authflow.Transaction) (string, *Error) {
	if cookie.Twice(r.Header["Cookie"], a.cookieName) {
		return "", a.conflict(a.cookieName)
	}
	meta, err := a.provider.Metadata(r.Context())
	if err != nil {
		return "", providerError(err)
	}
	tx.Foreign = requestkind.CrossSite(r)
	if a.elsewhere(r) {
		tx.Hint = a.transactions.Hint(tx.ReturnTo)
	}
	location, err := a.client.Start(tx, req, authflow.Metadata{
		Endpoint: meta.AuthorizationEndpoint, Scopes: meta.ScopesSupported, Prompts: meta.PromptValues,
	})
	if err != nil {
		return "", newError(ErrProviderMisconfigured, err)
	}
	// The callback cannot do without shared state. If it is down, it is better to
	// say so now than when the person has typed their password.
	if _, err := a.shared.LookAtCallback(r.Context(), tx.State); err != nil {
		return "", newError(ErrSharedUnavailable, err)
	}
	noStore(w)
	a.transactions.Keep(w, r, tx, location)
	return location, nil
}

// elsewhere reports whether a browser may have opened another address of the application
// than BaseURL: 127.0.0.1 for localhost, say. Host can be a proxy's instead, mostly with
// another port, so nothing but a hint depends on it, and no address is made from it.
func (a *Auth) elsewhere(r *http.Request) bool {
	host := url.URL{Host: r.Host}
	return host.Port() == a.base.Port() && !strings.EqualFold(host.Hostname(), a.base.Hostname())
}

// Callback returns the handler to which the provider sends people back. Mount
// it for GET. It makes the session and sends the person on; see the
// documentation of [Code] for what can go wrong.
func (a *Auth) Callback() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allow(w, r, http.MethodGet) {
			return
		}
		noStore(w)
		location, err := a.callback(w, r)
		if err != nil {
			// It is tempting to lead to the ordinary route, but the one that began the sign-in
			// may demand more.
			err.start = cmp.Or(err.start, a.paths.AfterSignIn)
			if !err.ofRule {
				a.emit(r.Context(), Event{Kind: EventSignInFailed, Err: err})
			}
			a.fail(w, r, err)
			return
		}
		returnto.Location(w, location, http.StatusSeeOther)
	}
}

// callback processes an authorization response and returns where to go next.
// Until the response is tied to a sign-in of this browser, a session that the
// browser has must not be changed.
func (a *Auth) callback(w http.ResponseWriter, r *http.Request) (string, *Error) {
	response, err := authflow.ParseResponse(r.URL.RawQuery)
	if err != nil {
		failed := newError(ErrBadCallback, err)
		if newest := a.transactions.Newest(r); errors.Is(err, authflow.ErrBare) && (a.logto || newest != nil) {
			failed = newError(ErrDeclined, err)
			if newest != nil { // only a link
				failed.start = newest.Again()
			}
		}
		return "", failed
	}
	tx, err := a.transactions.Find(r, response.State)
	var location string
	var failed *Error
	if err == nil || tx != nil && response.Expired {
		location, failed = a.conclude(w, r, tx, response)
	} else {
		location, failed = a.withoutTransaction(w, r, response, tx != nil)
	}
	if failed != nil && tx != nil { // which may have taken too long
		failed.start = cmp.Or(failed.start, tx.Again())
	}
	return location, failed
}

// conclude processes an authorization response in the transaction that it belongs to.
func (a *Auth) conclude(w http.ResponseWriter, r *http.Request, tx *authflow.Transaction, response *authflow.Response) (string, *Error) {
	meta, err := a.provider.Metadata(r.Context())
	if err != nil {
		return "", providerError(err)
	}
	if err := response.CheckIssuer(a.issuer, meta.IssParameterSupported); err != nil {
		return "", newError(ErrBadCallback, err)
	}
	if response.Error != "" {
		return a.declined(w, tx, response)
	}
	out, err := a.flow.Conclude(w, r, tx, response)
	if err != nil {
		var refused *callback.Refused
		if errors.As(err, &refused) {
			return "", notAdmitted(refused.Err, tx.AgainAs())
		}
		failed := callbackError(r, err)
		if errors.Is(err, callback.ErrAsked) {
			failed.start = a.orHome(tx.ReturnTo)
		}
		return "", failed
	}
	if out.Session != nil {
		a.emit(r.Context(), about(out.Session, Event{Kind: EventSignedIn}))
	}
	return a.goOn(r.Context(), out)
}

// goOn returns where a sign-in leads that has finished, or the refusal of its outcome.
func (a *Auth) goOn(ctx context.Context, out callback.Outcome) (string, *Error) {
	if out.Unmet == nil {
		return a.orHome(out.ReturnTo), nil
	}
	failed := a.unmet(out.ReturnTo, out.Unmet)
	if out.Session != nil {
		a.emit(ctx, about(out.Session, Event{Kind: EventRefused, Err: failed}))
	}
	return "", failed
}

// retryAfter is when to try again if the provider does not say.
const retryAfter = 5 * time.Second

// orHome returns target, or AfterSignIn if target is empty.
func (a *Auth) orHome(target string) string {
	if target == "" {
		return a.paths.AfterSignIn
	}
	return target
}

// allow answers 405 to methods other than those given.
func (a *Auth) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	a.fail(w, r, newError(ErrMethodNotAllowed, nil))
	return false
}

// SignInOption changes a sign-in. The zero SignInOption changes nothing, and a
// later option replaces an earlier one of the same kind.
//
// # Any provider
//
//   - [Prompt], [MaxAge], and except at Logto [ACRValues]: what the provider must ask
//   - [LoginHint], [UILocales]: who is signing in, and in which language
//   - [ReturnTo]: where they go afterwards
//   - [ExtraParam]: a parameter that has no option
//
// # Logto only
//
//   - [FirstScreen], [Identifiers]: the page on which people arrive
//     ([ScreenRegister]: any provider)
//   - [Social], [EnterpriseSSO]: straight to a connector
//   - [OneTimeToken]: a magic link, for [Auth.BeginSignIn] only
//   - [OrganizationBranding]: an organization's looks
//
// # Mistakes
//
// A mistake in a value, or an option that the provider does not have, makes [New]
// fail, [Auth.SignIn] panic and [Auth.BeginSignIn] return [ErrBadRequest]:
// Logto itself would silently drop all options when one is wrong.
type SignInOption struct{ apply func(*signInSettings) }

type signInSettings struct {
	params   authflow.Request
	returnTo string
}

func option(apply func(*authflow.Request)) SignInOption {
	return SignInOption{func(s *signInSettings) { apply(&s.params) }}
}

// compile applies sign-in options, those of Config first, and reports mistakes.
func (a *Auth) compile(opts []SignInOption) (*authflow.Request, string, error) {
	s := signInSettings{}
	for _, o := range slices.Concat(a.defaults, opts) {
		if o.apply != nil {
			o.apply(&s)
		}
	}
	err := s.params.Check(a.logto)
	if s.returnTo != "" && a.base != nil {
		if _, badPath := a.returnTo.Path(s.returnTo); badPath != nil {
			err = errors.Join(err, fmt.Errorf("signin: ReturnTo: %w", badPath))
		}
	}
	return &s.params, s.returnTo, err
}

// Screen is a page of Logto.
type Screen string

// The screens on which [FirstScreen] lets people arrive.
const (
	ScreenSignIn             Screen = "sign_in"
	ScreenRegister           Screen = "register"
	ScreenResetPassword      Screen = "reset_password" // for people who forgot it
	ScreenIdentifierSignIn   Screen = "identifier:sign_in"
	ScreenIdentifierRegister Screen = "identifier:register"
	ScreenSingleSignOn       Screen = "single_sign_on" // asks for the e-mail address of an enterprise
)

// Identifier is a kind of name by which Logto knows people.
type Identifier string

// The identifiers for which [Identifiers] lets the identifier screens ask.
const (
	IdentifierEmail    Identifier = "email"
	IdentifierPhone    Identifier = "phone"
	IdentifierUsername Identifier = "username"
)

// FirstScreen lets people arrive on a page other than the one for signing in:
// [ScreenRegister] for a "Sign up" button. The others are for Logto only.
//
// While Logto remembers a person, it ignores this option, [Social] and [EnterpriseSSO]
// and signs that person in. So they imply Prompt("login"), except [ScreenSignIn];
// Prompt("consent") lets people that Logto remembers go straight through.
//
// With Config.Issuer, ScreenRegister is the prompt "create" if the provider lists it,
// and no other prompt or step-up is asked for; otherwise it is an ordinary sign-in.
func FirstScreen(s Screen) SignInOption {
	return option(func(p *authflow.Request) { p.FirstScreen = string(s) })
}

// Identifiers says what the screens [ScreenIdentifierSignIn] and
// [ScreenIdentifierRegister] ask for, and needs one of them in [FirstScreen].
// Logto only.
func Identifiers(ids ...Identifier) SignInOption {
	return option(func(p *authflow.Request) {
		p.Identifiers = nil
		for _, id := range ids {
			p.Identifiers = append(p.Identifiers, string(id))
		}
	})
}

// Social goes straight to a social connector, by its target: "naver", "x". If
// Logto has no such connector, people see its sign-in page. Logto only, and as
// [FirstScreen] says of people that it remembers.
func Social(target string) SignInOption {
	return option(func(p *authflow.Request) { p.DirectSignIn = "social:" + target })
}

// EnterpriseSSO goes straight to an enterprise connector. Logto only; see [Social].
func EnterpriseSSO(connectorID string) SignInOption {
	return option(func(p *authflow.Request) { p.DirectSignIn = "sso:" + connectorID })
}

// LoginHint pre-fills who is signing in.
func LoginHint(hint string) SignInOption {
	return option(func(p *authflow.Request) { p.LoginHint = hint })
}

// Prompt says what the provider must show: "login", "consent", "select_account",
// which Logto does not have, or "none" alone for a sign-in that shows nothing and
// fails if the person would have to do something. With Logto, "consent" is added to
// all but "none", since there is no refresh token otherwise; first-party
// applications show no screen for it. For a link "use another account",
// mount a route with "login" or, except at Logto, "select_account".
//
// After a silent sign-in has failed, "none" is not tried again for five
// minutes: the route sends people straight back. Mount a silent route in addition
// to the one at Config.Paths.SignIn: if that were silent, people could not sign
// in. An open page that tries by itself uses [Auth.BeginSignIn], and shows itself when
// the error is [ErrNotSignedIn]; if it sent people to the route instead, they
// would come straight back to it and be sent there again.
func Prompt(values ...string) SignInOption {
	return option(func(p *authflow.Request) { p.Prompt = slices.Clone(values) })
}

// MaxAge asks for people to have authenticated no longer ago than d, in whole
// seconds; zero asks them again in any case. The callback verifies it.
func MaxAge(d time.Duration) SignInOption {
	return option(func(p *authflow.Request) { p.MaxAge, p.MaxAgeAsked = d, true })
}

// ACRValues asks for one of several authentication contexts, in order of
// preference. The callback verifies that it is one of them. Not for Logto, which
// never states one; see [ACR].
func ACRValues(values ...string) SignInOption {
	return option(func(p *authflow.Request) { p.ACR = slices.Clone(values) })
}

// UILocales asks for the provider's pages in a language (BCP 47), in order of
// preference.
func UILocales(tags ...string) SignInOption {
	return option(func(p *authflow.Request) { p.UILocales = slices.Clone(tags) })
}

// OneTimeToken is the token of a magic link, with the e-mail address it was
// sent to. An empty token or address is a mistake, and does not begin an
// ordinary sign-in. Logto only, and for [Auth.BeginSignIn] only.
func OneTimeToken(token, email string) SignInOption {
	return option(func(p *authflow.Request) { p.OneTimeToken, p.OneTimeEmail, p.OneTimeAsked = token, email, true })
}

// OrganizationBranding shows Logto's pages in an organization's looks. It has
// nothing to do with access. Logto only.
func OrganizationBranding(id string) SignInOption {
	return option(func(p *authflow.Request) { p.Organization = id })
}

// ReturnTo is the path to go to after this sign-in, instead of
// Config.Paths.AfterSignIn.
func ReturnTo(path string) SignInOption {
	return SignInOption{func(s *signInSettings) { s.returnTo = path }}
}

// ExtraParam adds a parameter that this package does not know. Parameters that
// belong to the flow, or have an option, are a mistake.
func ExtraParam(name, value string) SignInOption {
	return option(func(p *authflow.Request) {
		extra := map[string]string{}
		maps.Copy(extra, p.Extra)
		extra[name] = value
		p.Extra = extra
	})
}

// Code says what an error or a page is about. Every error of this package that
// a caller may want to handle matches one with [errors.Is].
type Code string

// Error returns the code's own text, so that a Code is an error to compare
// with.
func (c Code) Error() string { return "signin: " + strings.ReplaceAll(string(c), "_", " ") }

// The codes, with the HTTP status of the page or problem document that answers
// a request with this outcome.
const (
	// ErrNotSignedIn (401): the user is not signed in.
	ErrNotSignedIn Code = "not_signed_in"
	// ErrForbidden (403): the user may not do what they asked for.
	ErrForbidden Code = "forbidden"
	// ErrBadRequest (400): a request that no page of this application makes.
	ErrBadRequest Code = "bad_request"
	// ErrMethodNotAllowed (405): a route was called with another method.
	ErrMethodNotAllowed Code = "method_not_allowed"
	// ErrBadCallback (400): the response that the browser brought from the
	// provider is malformed, or is not from this provider.
	ErrBadCallback Code = "bad_callback"
	// ErrSignInExpired (400): this browser has no sign-in under way for the
	// response it brought, or the sign-in took too long.
	ErrSignInExpired Code = "sign_in_expired"
	// ErrCookiesBlocked (400): the browser came back from the provider without any
	// cookie: it blocks them, or the sign-in was begun in another browser.
	ErrCookiesBlocked Code = "cookies_blocked"
	// ErrCookieConflict (400): the browser sends two cookies of one name, or keeps
	// sending a session cookie that cannot be read; the person has to delete them.
	ErrCookieConflict Code = "cookie_conflict"
	// ErrDeclined (403): the person or the provider declined the sign-in.
	ErrDeclined Code = "declined"
	// ErrProviderUnavailable (503): the provider cannot be reached, or is in
	// trouble; trying again may help.
	ErrProviderUnavailable Code = "provider_unavailable"
	// ErrProviderMisconfigured (502; 503 while the sessions of people who are signed
	// in wait for it): the provider and this application do not fit together, and an
	// operator must act: a wrong secret, for instance.
	ErrProviderMisconfigured Code = "provider_misconfigured"
	// ErrProviderRejected (502): what the provider sent breaks a rule and was
	// rejected: an ID token with a wrong signature, for instance.
	ErrProviderRejected Code = "provider_rejected"
	// ErrUnknownResource (500): an access token was asked for a resource that
	// is not one of Config.Resources, was not one when the person signed in, or
	// is unknown to the provider.
	ErrUnknownResource Code = "unknown_resource"
	// ErrScopeMissing (500): an access token was asked for an organization, and
	// the scope "urn:logto:scope:organizations" is not one of Config.Scopes, or
	// was not when the person signed in.
	ErrScopeMissing Code = "scope_missing"
	// ErrNotMember (403): the person does not belong to the organization that an
	// access token was asked for.
	ErrNotMember Code = "not_member"
	// ErrMFARequired (403): the organization that an access token was asked for
	// wants its members to have a second factor, and the person has none.
	ErrMFARequired Code = "mfa_required"
	// ErrStepUpRequired (401): the person has to sign in again, or in another
	// way, before this; see [AuthenticatedWithin] and [ACR].
	ErrStepUpRequired Code = "step_up_required"
	// ErrStepUpFailed (403): the person was asked to sign in again, and what
	// the provider states is not what was asked for.
	ErrStepUpFailed Code = "step_up_failed"
	// ErrInvalidToken (401): a bearer token is not from this provider, is not
	// for this API, or has expired.
	ErrInvalidToken Code = "invalid_token"
	// ErrInternal (500): a mistake in the application, such as a guard mounted
	// outside the route whose path its rule reads.
	ErrInternal Code = "internal"
	// ErrSessionTooLarge (500): the session does not fit its store.
	ErrSessionTooLarge Code = "session_too_large"
	// ErrStoreUnavailable (503): Config.Store failed.
	ErrStoreUnavailable Code = "store_unavailable"
	// ErrSharedUnavailable (503): Config.Shared failed.
	ErrSharedUnavailable Code = "shared_unavailable"
	// ErrSignOutIncomplete (503): the browser is signed out, but copies of its
	// session may still be good, because the sign-out could not be recorded.
	ErrSignOutIncomplete Code = "sign_out_incomplete"
	// ErrSignOutLocalOnly (503): the session has ended here, in all copies, but the
	// provider could not be reached and may still know the person.
	ErrSignOutLocalOnly Code = "sign_out_local_only"

	// ConfirmSignOut (200, or 403 for a form of another site) is not an error:
	// it is the page that asks whether a person wants to sign out.
	ConfirmSignOut Code = "confirm_sign_out"
)

// Page is a page of this package, for Config.Pages. Its texts are plain text for
// people.
type Page struct {
	// Status is the HTTP status to answer with, and Code says what happened.
	Status int
	Code   Code
	// Language is that of the texts, a BCP 47 tag: "en", "ko" or "th", whichever the
	// request's Accept-Language prefers. A Message that the application has given its
	// own [Error] is shown as it is.
	Language    string
	Title, Text string
	// Actions are what the person can do, the main one first. There is at least
	// one.
	Actions []Action
}

// Action is a link of a page or, with the method POST, a form with one button,
// which needs no fields.
type Action struct {
	Text   string
	URL    string // a path of this application or BaseURL with one, or Config.Paths.AfterSignOut
	Method string // "GET" or "POST"
}

// Error is an outcome with what is known about it. It does not change, and may
// be read by many goroutines.
type Error struct {
	// Code says what happened; errors.Is(err, ErrDeclined) compares it.
	Code Code
	// Status is the HTTP status for an answer.
	Status int
	// Message is what its page says, in English: the page itself is in the reader's
	// language. It holds nothing that the provider or the request sent. One that a
	// [RuleFunc] or Config.OnSignIn has written is shown as it is.
	Message string
	// Err is the cause, for the log and never for a page; nil if the code says
	// it all.
	Err error

	text       string // the key of its page; "" if the application has made it
	value      []any  // what that page names
	another    string // where another account signs in
	retryAfter time.Duration
	expected   bool             // a failure for which no operator is needed
	stepUp     *authflow.Demand // the step-up that would help
	scope      string           // that is missing
	ofRule     bool             // a rule made it: its user is signed in, whatever the code says
	start      string           // where a sign-in starts again, if not at Config.Paths.SignIn
	unsaved    bool             // a guard has made it: the handler was not called
}

// Error returns code and cause, for a log.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Code.Error()
	}
	return e.Code.Error() + ": " + strings.TrimPrefix(e.Err.Error(), "signin: ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's code.
func (e *Error) Is(target error) bool { return target == e.Code }

// challenge is the WWW-Authenticate of a bearer's refusal, or "" where none
// helps.
func (e *Error) challenge() string {
	c := bearer.Challenge{}
	switch {
	case e.stepUp != nil: // https://www.rfc-editor.org/rfc/rfc9470#section-3
		c.Error, c.ACRValues = bearer.CodeInsufficientUserAuthentication, e.stepUp.ACR
		if e.stepUp.MaxAgeAsked {
			c.MaxAge = &e.stepUp.MaxAge
		}
	case e.scope != "":
		c.Error, c.Scope = bearer.CodeInsufficientScope, e.scope
	case e.Code == ErrInvalidToken:
		c.Error = bearer.CodeInvalidToken
	case e.Code == ErrBadRequest:
		c.Error = bearer.CodeInvalidRequest
	case e.Status != http.StatusUnauthorized:
		return ""
	}
	return c.String()
}

// level is how urgent an error is for readers of the log.
func (e *Error) level() slog.Level {
	if e.Status >= 500 && !e.expected {
		return slog.LevelError
	}
	return slog.LevelInfo
}

// page is the page of an error. A code that the application defines has the
// texts of [ErrForbidden], unless the status says that it is not the person's
// mistake.
func (e *Error) page(in page.Language) page.Page {
	key := cmp.Or(e.text, string(e.Code))
	english := page.For(page.English, key, e.value...)
	if english.Status < 400 && e.Status < 500 {
		key = string(ErrForbidden)
	}
	p := page.For(in, key, e.value...)
	if e.Message != "" && e.Message != english.Text { // the application's own
		p.Text = e.Message
	}
	p.Status, p.RetryAfter = e.Status, e.retryAfter
	return p
}

// problem is the problem document of an error.
func (e *Error) problem() page.Problem {
	return page.Problem{Status: e.Status, Code: string(e.Code), Detail: e.page(page.English).Text, RetryAfter: e.retryAfter}
}

func newError(code Code, cause error) *Error {
	return explained(code, cause, string(code))
}

// explained is an error whose page says more than its code does.
func explained(code Code, cause error, text string, value ...any) *Error {
	p := page.For(page.English, text, value...)
	return &Error{Code: code, Status: p.Status, Message: p.Text, Err: cause, text: text, value: value}
}

// asRefusal turns an error of a rule into one that has a status. The caller may
// change the result.
func asRefusal(err error) *Error {
	var e *Error
	var code Code
	switch {
	case errors.As(err, &e) && e == nil:
		return newError(ErrForbidden, errors.New("signin: a Rule has returned an *Error that is nil"))
	case e != nil:
	case errors.As(err, &code):
		e = &Error{Code: code, Err: err}
	default:
		return newError(ErrForbidden, err)
	}
	own := *e
	if own.Status < 400 || own.Status > 599 {
		if own.Status = page.For(page.English, string(own.Code)).Status; own.Status < 400 { // a code of the application's own
			own.Status = http.StatusForbidden
		}
	}
	return &own
}

func stepUpOf(err error) *authflow.Demand {
	var e *Error
	if errors.As(err, &e) && e != nil {
		return e.stepUp
	}
	return nil
}

// hasToken reports whether a bearer guard has let the request in.
func (a *Auth) hasToken(r *http.Request) bool {
	c := a.innermost(r.Context())
	return c != nil && c.token != nil
}

// refuse answers a request of a user who is not allowed: a person, or a program
// with a token.
func (a *Auth) refuse(w http.ResponseWriter, r *http.Request, u *User, e *Error) {
	if a.hasToken(r) {
		a.refuseBearer(w, r, u, e)
		return
	}
	if e.Status >= 500 { // a rule's database, say
		a.fail(w, r, e)
		return
	}
	a.emit(r.Context(), Event{Kind: EventRefused, Subject: u.Subject, ProviderSessionID: u.ProviderSessionID, Err: e})
	noStore(w)
	if e.stepUp != nil {
		a.sendToSignIn(w, r, e, requestkind.Of(r), *e.stepUp, "")
		return
	}
	a.show(w, r, e, requestkind.Of(r))
}

// refuseBearer answers a program, with a challenge that says what would help. u
// is nil without a good token.
func (a *Auth) refuseBearer(w http.ResponseWriter, r *http.Request, u *User, e *Error) {
	if e.Status < 500 {
		refused := Event{Kind: EventRefused, Err: e}
		if u != nil {
			refused.Subject, refused.ProviderSessionID = u.Subject, u.ProviderSessionID
		}
		a.emit(r.Context(), refused)
	} else {
		a.log.Log(r.Context(), e.level(), "signin: request failed", "code", string(e.Code), "status", e.Status, "error", e.Err)
	}
	if c := e.challenge(); c != "" {
		w.Header().Set("WWW-Authenticate", c)
	}
	page.WriteProblem(w, r, e.problem())
}

// refuseNotSignedIn answers a request of a user who is not signed in, in the
// form that its sender can use. Headers decide nothing but that form, the kind. asked
// is what the guard demands besides, and start where the sign-in starts, if that is not
// the ordinary route. unsaved says that the handler was not called.
func (a *Auth) refuseNotSignedIn(w http.ResponseWriter, r *http.Request, kind requestkind.Kind, asked authflow.Demand, start string, unsaved bool) {
	if kind != requestkind.Navigation { // which is how every visit begins
		a.emit(r.Context(), Event{Kind: EventRefused, Err: ErrNotSignedIn})
	}
	noStore(w)
	e := newError(ErrNotSignedIn, nil)
	e.unsaved = unsaved
	a.sendToSignIn(w, r, e, kind, asked, start)
}

// sendToSignIn answers a request whose sender has to sign in first, or again.
func (a *Auth) sendToSignIn(w http.ResponseWriter, r *http.Request, e *Error, kind requestkind.Kind, asked authflow.Demand, start string) {
	if kind != requestkind.Program && e.Code == ErrNotSignedIn && !e.ofRule {
		if conflict := a.unreadable(r); conflict != nil {
			conflict.unsaved = e.unsaved
			a.fail(w, r, conflict)
			return
		}
	}
	// If every sign-in is silent and one has just failed, the next would fail
	// too, and come back here.
	quiet := asked.IsZero() && a.ordinary.Silent() && a.transactions.IsQuiet(r)
	start = cmp.Or(start, a.client.Link(a.openPage(r, kind), asked))
	switch {
	case kind == requestkind.Navigation && !quiet:
		a.redirect(w, start)
	case kind == requestkind.HTMX && !quiet:
		a.sessions.Store.MakeRoom(w, start)
		w.Header().Set("HX-Redirect", start)
		w.Header().Set("WWW-Authenticate", page.Scheme)
		w.WriteHeader(http.StatusUnauthorized)
	case kind == requestkind.Inertia && !quiet:
		a.sessions.Store.MakeRoom(w, start)
		w.Header().Set("X-Inertia-Location", start)
		w.WriteHeader(http.StatusConflict)
	default:
		shown := *e
		shown.start = start
		a.show(w, r, &shown, kind)
	}
}

// unreadable returns an error if another sign-in would not help, since the browser goes
// on sending session cookies that cannot be read. A redirect to a sign-in would then be
// followed by the next forever.
func (a *Auth) unreadable(r *http.Request) *Error {
	lines := r.Header["Cookie"]
	if cookie.MayHave(lines, a.cookieName) && (cookie.Twice(lines, a.cookieName) || a.sessions.Store.Unreadable(r) && a.transactions.IsUnread(r)) {
		return a.conflict(a.cookieName)
	}
	return nil
}

// conflict is the error for a cookie that this application cannot replace.
func (a *Auth) conflict(name string) *Error {
	cause := fmt.Errorf("signin: the browser sends %s twice, or keeps sending one that cannot be read", name)
	return explained(ErrCookieConflict, cause, page.CookiesOf, a.base.Hostname())
}

// absolute returns the address of a path of the application.
func (a *Auth) absolute(path string) string {
	return a.base.Scheme + "://" + a.base.Host + path
}

// fail logs an error and shows it.
func (a *Auth) fail(w http.ResponseWriter, r *http.Request, e *Error) {
	attrs := []slog.Attr{slog.String("code", string(e.Code)), slog.Int("status", e.Status), slog.Any("error", e.Err)}
	if strings.HasPrefix(string(e.Code), "provider_") {
		attrs = append(attrs, slog.String("issuer", a.issuer))
	}
	a.log.LogAttrs(r.Context(), e.level(), "signin: request failed", attrs...)
	noStore(w)
	a.show(w, r, e, requestkind.Of(r))
}

// show answers a request with an error: a page for a person, a problem document
// for a program.
func (a *Auth) show(w http.ResponseWriter, r *http.Request, e *Error, kind requestkind.Kind) {
	if kind == requestkind.Program {
		p := e.problem()
		if e.Status == http.StatusUnauthorized { // nothing else is mended by another sign-in
			p.SignIn = a.absolute(e.wayOn(a, r, kind, page.ToSignIn))
		}
		page.WriteProblem(w, r, p)
		return
	}
	p := e.page(page.Choose(requestkind.AcceptLanguage(r)))
	for i := range p.Actions {
		p.Actions[i].URL = e.wayOn(a, r, kind, p.Actions[i].Way)
	}
	if e.unsaved && kind == requestkind.Form {
		p = p.NotSaved()
	}
	a.write(w, r, e.Code, p)
}

// write answers a request with a page.
func (a *Auth) write(w http.ResponseWriter, r *http.Request, code Code, p page.Page) {
	if a.pages == nil {
		p.Home = page.Home{Name: a.base.Host, URL: a.paths.AfterSignOut}
		page.Write(w, r, p)
		return
	}
	page.Protect(w.Header())
	page.Prepare(w.Header(), p.Status, p.RetryAfter)
	own := &Page{Status: p.Status, Code: code, Language: string(p.Language), Title: p.Title, Text: p.Text}
	for _, action := range p.Actions {
		if action.URL != "" { // as page.Write does
			own.Actions = append(own.Actions, Action{Text: action.Text, URL: action.URL, Method: action.Method})
		}
	}
	a.pages(w, r, own)
}

// wayOn is where an error page's link leads.
func (e *Error) wayOn(a *Auth, r *http.Request, kind requestkind.Kind, way page.Way) string {
	switch way {
	case page.ToSignIn:
		// What failed was not the sign-in, but the page that was asked for.
		if e.start == "" && (e.Status >= 500 || e.Code == ErrCookieConflict) {
			if own, err := a.returnTo.Path(a.openPage(r, kind)); err == nil {
				return own
			}
		}
		return cmp.Or(e.start, a.paths.SignIn)
	case page.ToSwitch:
		return e.another
	case page.ToSignOut:
		return a.paths.SignOut
	case page.ToStart:
		return a.paths.AfterSignIn
	}
	return a.paths.AfterSignOut
}
