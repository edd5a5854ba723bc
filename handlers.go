package signin

import (
	"context"
	"errors"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/ledger"
	"github.com/gosignin/signin/internal/page"
	"github.com/gosignin/signin/internal/record"
	"github.com/gosignin/signin/internal/requestkind"
	"github.com/gosignin/signin/internal/returnto"
)

// SignIn returns the handler that sends a person to the provider. Mount it for
// GET. Its query may name a path to come back to, ?return_to=/x, which wins over
// [ReturnTo]; one that is not a path of this application is ignored.
//
// Guards that want a step-up send people here too, with ?max_age= (seconds) or
// ?acr_values=: what the query adds to the options can only be more than they ask
// for. A person who is signed in stays who they are: if somebody else answers, the
// callback refuses, and the session stands.
//
// A provider may start a sign-in here as well, with ?iss= and target_link_uri
// (OpenID Connect Core 1.0, section 4); a foreign iss is refused.
//
// SignIn panics if an option has a mistake, as [http.ServeMux] does for a wrong
// pattern. Values that come from a request belong to [Auth.BeginSignIn].
func (a *Auth) SignIn(opts ...SignInOption) http.HandlerFunc {
	params, returnTo, err := a.compile(opts)
	if err == nil {
		err = forEverybody(params)
	}
	if err != nil {
		panic(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.allow(w, r, http.MethodGet, http.MethodHead) {
			return
		}
		if !requestkind.MayStart(r) {
			a.refuseNotSignedIn(w, r)
			return
		}
		req, tx, err := a.client.FromQuery(r.URL.Query(), *params, returnTo)
		if err != nil {
			a.fail(w, r, newError(ErrBadRequest, err))
			return
		}
		if tx.Demanded {
			_, s := a.load(w, r)
			if s.err != nil {
				a.fail(w, r, s.err)
				return
			}
			if s.signedIn {
				tx.Subject = s.summary.Claim(record.Subject)
			}
		}
		if req.Silent() && a.transactions.IsQuiet(r) {
			noStore(w)
			returnto.Location(w, a.orHome(tx.ReturnTo), http.StatusSeeOther)
			return
		}
		location, failed := a.begin(w, r, req, tx)
		if failed != nil {
			a.fail(w, r, failed)
			return
		}
		returnto.Location(w, location, http.StatusSeeOther)
	}
}

// forEverybody refuses options that fit one person only.
func forEverybody(p *authflow.Request) error {
	if p.OneTimeAsked {
		return errors.New("signin: OneTimeToken is for one person and belongs to BeginSignIn")
	}
	return nil
}

// BeginSignIn starts a sign-in and returns where to send the person: it sets a
// cookie on w, and the caller redirects. It is for applications that redirect by
// themselves, and for options whose values come from the request, which it
// checks. Links in pages point to the route of [Auth.SignIn] instead. So do guards:
// what they ask for in the query of Config.SignInPath (see [Auth.SignIn]) is read by
// SignIn's handler alone, so that path is not one for a handler of one's own.
//
// BeginSignIn reads nothing from the query, and does not look at whether the
// request is a navigation: call it for GET. A [ReturnTo] that is no path of this
// application is an error here, while the route ignores such a query.
//
// The error is an *[Error]: ErrBadRequest for an option with a mistake,
// ErrProviderUnavailable or ErrProviderMisconfigured while the provider cannot be
// discovered, ErrSharedUnavailable while shared state does not answer, ErrNotSignedIn for a silent sign-in (see [Prompt]) within five minutes
// of one that failed. Then no cookie is set.
func (a *Auth) BeginSignIn(w http.ResponseWriter, r *http.Request, opts ...SignInOption) (location string, err error) {
	params, target, err := a.compile(opts)
	if err != nil {
		return "", newError(ErrBadRequest, err)
	}
	if params.Silent() && a.transactions.IsQuiet(r) {
		return "", newError(ErrNotSignedIn, errors.New("signin: a silent sign-in has just failed in this browser"))
	}
	location, failed := a.begin(w, r, params, &authflow.Transaction{ReturnTo: target})
	if failed != nil {
		return "", failed
	}
	return location, nil
}

// begin starts a transaction, sets its cookie, and returns the authorization
// request.
func (a *Auth) begin(w http.ResponseWriter, r *http.Request, req *authflow.Request, tx *authflow.Transaction) (string, *Error) {
	meta, err := a.provider.Metadata(r.Context())
	if err != nil {
		return "", providerError(err)
	}
	tx.Foreign = requestkind.CrossSite(r)
	location, err := a.client.Start(tx, req, meta.AuthorizationEndpoint, meta.ScopesSupported)
	if err != nil {
		return "", newError(ErrProviderMisconfigured, err)
	}
	// The callback cannot do without shared state. If it is down, it is better to
	// say so now than when the person has typed their password.
	if _, _, err := a.ledger.UsedNote(r.Context(), ledger.Used, []byte(tx.State)); err != nil {
		return "", newError(ErrSharedUnavailable, err)
	}
	noStore(w)
	a.setCookies(w, a.transactions.Cookies(r, tx)...)
	return location, nil
}

// setCookies sets, or deletes, cookies of sign-ins under way.
func (a *Auth) setCookies(w http.ResponseWriter, cookies ...*http.Cookie) {
	for _, c := range cookies {
		a.sessions.Set(w, c.Name, c.Value, time.Duration(c.MaxAge)*time.Second)
	}
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
			a.emit(r.Context(), Event{Kind: EventCallbackFailed, Err: err})
			a.fail(w, r, err)
			return
		}
		returnto.Location(w, location, http.StatusSeeOther)
	}
}

// callback answers an authorization response with where to go next. Until the
// response is tied to a sign-in of this browser, nothing may touch a session
// that is there.
func (a *Auth) callback(w http.ResponseWriter, r *http.Request) (string, *Error) {
	response, err := authflow.ParseResponse(r.URL.RawQuery)
	if err != nil {
		return "", newError(ErrBadCallback, err)
	}
	tx, err := a.transactions.Find(r, response.State)
	if err != nil {
		return a.withoutTransaction(w, r, response.State)
	}
	meta, err := a.provider.Metadata(r.Context())
	if err != nil {
		return "", providerError(err)
	}
	if err := response.CheckIssuer(a.issuer, meta.IssParameterSupported); err != nil {
		return "", newError(ErrBadCallback, err)
	}
	first, err := a.ledger.Use(r.Context(), ledger.Used, []byte(response.State), tx.Note(), 2*authflow.Lifetime)
	if err != nil {
		return "", newError(ErrSharedUnavailable, err)
	}
	if !first {
		// Another request of this browser brought the same response, and is
		// making the session, or has made it.
		return a.orHome(tx.ReturnTo), nil
	}
	a.setCookies(w, a.transactions.Remove(response.State))
	if response.Error != "" {
		return a.declined(w, tx, response)
	}
	rec, failed := a.redeem(r.Context(), tx, response.Code)
	if failed == nil {
		failed = a.answered(r.Context(), tx, rec)
	}
	if failed != nil {
		return "", failed
	}
	if failed := a.signIn(w, r, rec); failed != nil {
		return "", failed
	}
	return a.orHome(tx.ReturnTo), nil
}

// answered checks that the right person has answered a step-up.
func (a *Auth) answered(ctx context.Context, tx *authflow.Transaction, rec *record.Record) *Error {
	subject, _ := about(rec)
	if tx.Subject == "" || subject == tx.Subject {
		return nil
	}
	_ = a.revoke(context.WithoutCancel(ctx), rec) // which logs it
	return a.stepUpFailed(tx, errors.New("signin: somebody else has answered a step-up"))
}

// stepUpFailed is a page whose link tries once more, with a click.
func (a *Auth) stepUpFailed(tx *authflow.Transaction, cause error) *Error {
	e := newError(ErrStepUpFailed, cause)
	e.wayOn = a.orHome(tx.ReturnTo)
	return e
}

// withoutTransaction answers a response for which this browser has no transaction.
// If it is one that was finished (a reload, the back button), the person goes on,
// or the sign-in is repeated once; if not, a page says so. Never a loop.
func (a *Auth) withoutTransaction(w http.ResponseWriter, r *http.Request, state string) (string, *Error) {
	note, used, err := a.ledger.UsedNote(r.Context(), ledger.Used, []byte(state))
	switch {
	case err != nil:
		return "", newError(ErrSharedUnavailable, err)
	case used:
		_, s := a.load(w, r)
		if s.err != nil {
			return "", s.err
		}
		if s.signedIn {
			return a.orHome(string(note)), nil
		}
		if !authflow.Repeated(state) {
			return a.begin(w, r, a.ordinary, &authflow.Transaction{ReturnTo: string(note), Repeated: true})
		}
		return "", newError(ErrCookiesBlocked, errors.New("signin: the repeated sign-in came back without cookies"))
	case authflow.Repeated(state):
		return "", newError(ErrCookiesBlocked, authflow.ErrNoTransaction)
	}
	return "", newError(ErrSignInExpired, authflow.ErrNoTransaction)
}

// declined answers an error response.
func (a *Auth) declined(w http.ResponseWriter, tx *authflow.Transaction, response *authflow.Response) (string, *Error) {
	switch response.Outcome() {
	case authflow.PersonNeeded:
		if !tx.Silent {
			break
		}
		a.setCookies(w, a.transactions.Quiet())
		return a.orHome(tx.ReturnTo), nil
	case authflow.Trouble:
		e := newError(ErrProviderUnavailable, response.Cause())
		e.retryAfter = retryAfter
		return "", e
	case authflow.Misfit:
		return "", newError(ErrProviderMisconfigured, response.Cause())
	}
	return "", newError(ErrDenied, response.Cause())
}

// retryAfter is when to try again where the provider did not say.
const retryAfter = 5 * time.Second

// SignOut returns the handler that signs a person out, here and at the
// provider. Mount it for GET and POST. A POST from this application acts at
// once, and so does a link in it; any other GET, from a mail, an image or
// another site, gets a page with one button.
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
			a.emit(r.Context(), Event{Kind: EventDenied, Err: newError(ErrForbidden, err)})
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
	p := page.For("sign_out")
	p.Status, p.Action.Href = status, a.paths.signOut
	page.Write(w, r, p)
}

// EndSession signs the person out at once and returns where to send them: the
// provider's end-session endpoint, which comes back to AfterSignOut. The caller
// redirects, and makes sure that no other site can cause the call (see
// [http.CrossOriginProtection]). If nobody is signed in here, the provider may
// know the person all the same: the location is the same, and there is no error.
// If the error is [ErrSignOutIncomplete], this browser is signed out nonetheless,
// and there is no location.
func (a *Auth) EndSession(w http.ResponseWriter, r *http.Request) (location string, err error) {
	location, failed := a.endSession(w, r)
	if failed != nil {
		return "", failed
	}
	return location, nil
}

// revokeTimeout bounds what a person waits for a provider that has nothing to
// say in whether they are signed out here.
const revokeTimeout = 3 * time.Second

// endSession ends the local session first, whatever the provider does.
func (a *Auth) endSession(w http.ResponseWriter, r *http.Request) (string, *Error) {
	noStore(w)
	newest, err := a.end(w, r)
	if newest == nil {
		newest = &record.Record{}
	}
	revoked := a.revoke(context.WithoutCancel(r.Context()), newest)
	if err == nil && newest.RefreshToken != "" && revoked == nil {
		// So that a copy of the cookie does not ask for it again. If it cannot
		// be noted, it does: no harm.
		_, _ = a.markRevoked(r.Context(), newest)
	}
	if err != nil {
		return "", err
	}
	if isDown(revoked) {
		return a.paths.afterSignOut, nil // nobody is sent to a provider that is down
	}
	return a.endSessionURL(r.Context(), newest.IDToken.Compact()), nil
}

// endSessionURL returns where the provider ends its own session. Without an
// end-session endpoint, or while the provider cannot be asked for it, that is the
// application's own AfterSignOut.
func (a *Auth) endSessionURL(ctx context.Context, hint string) string {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	if a.logto {
		// The hint is personal data in a URL, and Logto answers 400 once the
		// key that signed it has been rotated away.
		hint = ""
	}
	location, err := a.provider.EndSessionURL(ctx, a.absolute(a.paths.afterSignOut), hint)
	if err != nil || location == "" {
		return a.paths.afterSignOut
	}
	return location
}

// BackChannelLogout returns the handler to which the provider sends logout
// tokens (OpenID Connect Back-Channel Logout 1.0): when a person signs out of
// another application, or an operator ends their sessions. Mount it for POST,
// outside of any protection against cross-site requests, since the provider's
// server is one, and register it at the provider with "session required".
//
// A token that names a session ends that one; one that names a person alone ends
// all of theirs. It works for sessions in cookies as well: they are refused when
// they are presented. The answer is 200, or 400 for a token that breaks a rule, or
// 503 while keys or shared state cannot be had.
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

// Logout tokens are small, and are accepted for two minutes and the clocks'
// difference: their IDs need not be known for longer.
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
	_, repeated, err := a.ledger.UsedNote(r.Context(), ledger.LogoutToken, []byte(token.ID))
	if err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	if repeated {
		return nil
	}
	// The sign-out is written first: if the token's ID cannot be written, the
	// provider may send it again, and nothing is lost.
	kind, value := ledger.EndedSubject, token.Subject
	if token.SessionID != "" {
		kind, value = ledger.EndedProviderSession, token.SessionID
	}
	// The later of two clocks: where this replica's is slow, a sign-in of a moment
	// ago would seem to have begun after this.
	at := a.now()
	if token.IssuedAt.After(at) {
		at = token.IssuedAt
	}
	if err := a.ledger.End(r.Context(), kind, []byte(value), ledger.SignedOut, at); err != nil {
		return newError(ErrSharedUnavailable, err)
	}
	if _, err := a.ledger.Use(r.Context(), ledger.LogoutToken, []byte(token.ID), nil, logoutTime); err != nil {
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

// WithRoutes serves the routes of Config (sign-in, callback, sign-out,
// back-channel logout) and passes everything else to next through [Auth.Load]. It guards nothing. It is
// for wrapping an existing tree of handlers, and belongs outside any router.
func (a *Auth) WithRoutes(next http.Handler) http.Handler {
	routes := map[string]http.Handler{
		a.paths.signIn:      a.SignIn(),
		a.paths.callback:    a.Callback(),
		a.paths.signOut:     a.SignOut(),
		a.paths.backChannel: a.BackChannelLogout(),
	}
	loaded := a.Load(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := routes[r.URL.Path]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		loaded.ServeHTTP(w, r)
	})
}

// allow answers 405 to other methods than those given.
func (a *Auth) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	a.fail(w, r, newError(ErrMethodNotAllowed, nil))
	return false
}

// SignInOption is something special about a sign-in. The zero SignInOption is
// nothing. Later options replace earlier ones of the same kind.
//
// A mistake in a value, or an option for Logto only with Config.Issuer, makes [New]
// fail, [Auth.SignIn] panic and [Auth.BeginSignIn] return [ErrBadRequest]. That is
// strict because Logto is silent: it drops all of these when one is wrong.
type SignInOption struct{ apply func(*signInSettings) }

type signInSettings struct {
	params   authflow.Request
	returnTo string
}

func option(apply func(*authflow.Request)) SignInOption {
	return SignInOption{func(s *signInSettings) { apply(&s.params) }}
}

// Screen is a page of Logto's.
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

// FirstScreen lets people arrive on another page of Logto than the one for
// signing in: [ScreenRegister] for a "Sign up" button. Logto only.
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
// Logto has no such connector people meet its sign-in page. Logto only.
func Social(target string) SignInOption {
	return option(func(p *authflow.Request) { p.DirectSignIn = "social:" + target })
}

// EnterpriseSSO goes straight to an enterprise connector. Logto only.
func EnterpriseSSO(connectorID string) SignInOption {
	return option(func(p *authflow.Request) { p.DirectSignIn = "sso:" + connectorID })
}

// LoginHint pre-fills who is signing in.
func LoginHint(hint string) SignInOption {
	return option(func(p *authflow.Request) { p.LoginHint = hint })
}

// Prompt says what the provider must show: "login", "consent",
// "select_account", or "none" alone for a sign-in that shows nothing and fails
// if the person would have to do something. With Logto, "consent" is added to
// all but "none", since there is no refresh token otherwise; people of
// first-party applications see no screen for it.
//
// After a silent sign-in has failed, "none" is not tried again for five minutes:
// its route sends people straight back. Mount it on a route of its own, since at
// Config.SignInPath they could not sign in otherwise. A page that everybody may see
// and that tries by itself does it with [Auth.BeginSignIn], and shows itself when the
// error is [ErrNotSignedIn]; sent to the route instead, people would come straight
// back to it, and be sent there again.
func Prompt(values ...string) SignInOption {
	return option(func(p *authflow.Request) { p.Prompt = slices.Clone(values) })
}

// MaxAge asks for people to have authenticated no longer ago than d, in whole
// seconds; zero asks them again in any case. The callback verifies it.
func MaxAge(d time.Duration) SignInOption {
	return option(func(p *authflow.Request) { p.MaxAge, p.MaxAgeSet = d, true })
}

// ACRValues asks for one of several authentication contexts, the best first.
// The callback verifies that it is one of them.
func ACRValues(values ...string) SignInOption {
	return option(func(p *authflow.Request) { p.ACRValues = slices.Clone(values) })
}

// UILocales asks for the provider's pages in a language (BCP 47), the best
// first.
func UILocales(tags ...string) SignInOption {
	return option(func(p *authflow.Request) { p.UILocales = slices.Clone(tags) })
}

// OneTimeToken is a magic link's token, with the e-mail address it was sent to;
// without either it is a mistake, and not an ordinary sign-in.
// Logto only, and for [Auth.BeginSignIn] only.
func OneTimeToken(token, email string) SignInOption {
	return option(func(p *authflow.Request) { p.OneTimeToken, p.OneTimeEmail, p.OneTimeAsked = token, email, true })
}

// OrganizationBranding shows Logto's pages in an organization's looks. It has
// nothing to do with access. Logto only.
func OrganizationBranding(id string) SignInOption {
	return option(func(p *authflow.Request) { p.Organization = id })
}

// ReturnTo is the path to go to after this sign-in, instead of
// Config.AfterSignIn.
func ReturnTo(path string) SignInOption {
	return SignInOption{func(s *signInSettings) { s.returnTo = path }}
}

// ExtraParam adds a parameter that this package does not know. Parameters that
// belong to the flow, or have an option of their own, are a mistake.
func ExtraParam(name, value string) SignInOption {
	return option(func(p *authflow.Request) {
		extra := map[string]string{}
		maps.Copy(extra, p.Extra)
		extra[name] = value
		p.Extra = extra
	})
}

// orHome returns target, or AfterSignIn if there is none.
func (a *Auth) orHome(target string) string {
	if target == "" {
		return a.paths.afterSignIn
	}
	return target
}
