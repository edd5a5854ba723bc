package signintest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/faults"
)

// An AuthorizationRequest is one request at the authorization endpoint, and its
// outcome.
type AuthorizationRequest struct {
	// Asked holds the parameters as they were sent.
	Asked url.Values
	// Effective holds the parameters that the provider acts on: without
	// offline_access if the prompt has no consent, and without any of Logto's own
	// parameters if one of them has a wrong value.
	Effective url.Values
	// Err is the error code that refused the request at once, such as
	// "invalid_request" or "login_required"; empty if it was accepted.
	Err string
}

// AuthorizationRequests returns every authorization request so far, the oldest
// first.
func (p *Provider) AuthorizationRequests() []AuthorizationRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.requests)
	for i := range out {
		out[i].Asked = cloneValues(out[i].Asked)
		out[i].Effective = cloneValues(out[i].Effective)
	}
	return out
}

// interaction is an authorization request that waits for the user.
type interaction struct {
	id     string
	params url.Values // effective
}

// session is a browser's session at the provider.
type session struct {
	id       string // what the cookie holds
	sid      string // what tokens say
	subject  string
	authTime time.Time
	seen     time.Time // the last authorization request
	grant    *grant    // Logto gives every sign-in of a session the same grant
}

// sessionLifetime is counted from a session's last authorization request.
const sessionLifetime = 14 * 24 * time.Hour

// grant is what a user has allowed; it is revoked as a whole.
type grant struct {
	revoked  bool
	inFlight int // token requests under way
}

// authorization is the outcome of one authorization request: what its code and
// its refresh tokens are exchanged for.
type authorization struct {
	grant     *grant
	subject   string
	sid       string
	scopes    []string
	resources []string
	nonce     string
	authTime  time.Time
	maxAge    bool // asked for, so ID tokens say auth_time
	acr       string
	idToken   string // the last one
}

// code is an authorization code.
type code struct {
	*authorization
	redirectURI string
	challenge   string
	issued      time.Time
	used        bool
}

func (p *Provider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		badRequest("invalid_request", "the request cannot be read").write(w)
		return
	}
	asked := r.Form
	// An unknown client or redirect URI is an error for the user, not a redirect.
	// https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1
	if err := p.checkClient(asked); err != nil {
		p.record(asked, asked, err.code)
		err.write(w)
		return
	}
	if err := checkAuthorization(asked); err != nil {
		p.record(asked, asked, err.code)
		p.respond(w, r, asked, err.response())
		return
	}
	params := effective(asked)
	if err := p.checkResources(params["resource"]); err != nil {
		p.record(asked, params, err.code)
		p.respond(w, r, params, err.response())
		return
	}
	p.decide(w, r, asked, params)
}

// decide answers at once if the user need not be asked, and otherwise redirects
// the browser to a page.
func (p *Provider) decide(w http.ResponseWriter, r *http.Request, asked, params url.Values) {
	prompt := strings.Fields(params.Get("prompt"))
	ignored := params.Has("max_age") && slices.ContainsFunc(p.injected(), func(f *faults.Effect) bool { return f.IgnoreMaxAge })
	p.mu.Lock()
	s := p.sessionOf(r)
	if s != nil {
		s.seen = p.now()
	}
	if s != nil && !ignored && p.tooOld(s, params) {
		s = nil
	}
	if u, ok := p.byOneTimeToken(params); ok {
		s = p.signedIn(w, s, u)
	}
	if slices.Contains(prompt, "login") && !ignored {
		s = nil
	}
	if s == nil && slices.Contains(prompt, "none") {
		p.mu.Unlock()
		p.record(asked, params, "login_required")
		p.respond(w, r, params, badRequest("login_required", "end-user authentication is required").response())
		return
	}
	if s != nil {
		answer := p.codeFor(s, params)
		p.mu.Unlock()
		p.record(asked, params, "")
		p.respond(w, r, params, answer)
		return
	}
	in := &interaction{id: random(), params: params}
	p.interactions[in.id] = in
	p.mu.Unlock()
	p.record(asked, params, "")
	http.Redirect(w, r, p.firstPage(in), http.StatusSeeOther)
}

func (p *Provider) record(asked, effective url.Values, code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, AuthorizationRequest{Asked: asked, Effective: effective, Err: code})
}

func (p *Provider) checkClient(q url.Values) *oauthError {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(q["client_id"]) != 1 || q.Get("client_id") != p.settings.clientID {
		return badRequest("invalid_client", "client is invalid")
	}
	if len(q["redirect_uri"]) != 1 || !slices.Contains(p.redirects, q.Get("redirect_uri")) {
		return badRequest("invalid_redirect_uri", "redirect_uri did not match any of the client's registered redirect_uris")
	}
	return nil
}

// checkAuthorization checks a request against the standards. Logto's own
// parameters are never an error.
func checkAuthorization(q url.Values) *oauthError {
	for name, values := range q {
		// https://www.rfc-editor.org/rfc/rfc6749#section-3.1
		if len(values) > 1 && name != "resource" {
			return badRequest("invalid_request", "'"+name+"' parameter must not be provided twice")
		}
	}
	if q.Get("response_type") != "code" {
		return badRequest("unsupported_response_type", "unsupported response_type requested")
	}
	if mode := q.Get("response_mode"); mode != "" && mode != "query" {
		return badRequest("unsupported_response_mode", "unsupported response_mode requested")
	}
	if !slices.Contains(strings.Fields(q.Get("scope")), "openid") {
		return badRequest("invalid_scope", "openid scope must be requested")
	}
	// https://www.rfc-editor.org/rfc/rfc7636#section-4.2
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 {
		return badRequest("invalid_request", "Authorization Server policy requires PKCE with S256 to be used for this request")
	}
	prompt := strings.Fields(q.Get("prompt"))
	for _, value := range prompt {
		if !slices.Contains([]string{"none", "login", "consent"}, value) {
			return badRequest("invalid_request", "unsupported prompt value requested")
		}
	}
	if slices.Contains(prompt, "none") && len(prompt) > 1 {
		return badRequest("invalid_request", "prompt none must only be used alone")
	}
	if s := q.Get("max_age"); s != "" {
		if n, err := strconv.Atoi(s); err != nil || n < 0 {
			return badRequest("invalid_request", "invalid max_age parameter value")
		}
	}
	return nil
}

// effective returns the parameters that the provider acts on.
func effective(asked url.Values) url.Values {
	q := cloneValues(asked)
	if !validLogtoParams(q) {
		for _, name := range logtoParams {
			q.Del(name)
		}
	}
	if resources := resourcesOf(q); len(resources) > 0 {
		q["resource"] = resources
	}
	if !slices.Contains(strings.Fields(q.Get("prompt")), "consent") {
		// https://openid.net/specs/openid-connect-core-1_0.html#OfflineAccess
		scopes := slices.DeleteFunc(strings.Fields(q.Get("scope")), func(s string) bool { return s == "offline_access" })
		q.Set("scope", strings.Join(scopes, " "))
	}
	return q
}

// sessionOf returns the session that the request's cookie names, if its user
// may still sign in. p.mu is held.
func (p *Provider) sessionOf(r *http.Request) *session {
	c, err := r.Cookie(p.cookieName)
	if err != nil {
		return nil
	}
	s := p.sessions[c.Value]
	if s == nil {
		return nil
	}
	if _, ok := p.active(s.subject); !ok || !p.now().Before(s.seen.Add(sessionLifetime)) {
		return nil
	}
	return s
}

// tooOld reports whether max_age asks for a newer sign-in than s.
func (p *Provider) tooOld(s *session, params url.Values) bool {
	n, err := strconv.Atoi(params.Get("max_age"))
	return err == nil && (n == 0 || p.now().Sub(s.authTime) > time.Duration(n)*time.Second)
}

// acrFor returns the first class of authentication that params ask for and this
// provider knows. acr_values is in order of preference.
// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
func (p *Provider) acrFor(params url.Values) string {
	for _, value := range strings.Fields(params.Get("acr_values")) {
		if slices.Contains(p.settings.acr, value) {
			return value
		}
	}
	return ""
}

// signedIn returns the session of a browser in which u has just signed in: have
// if that is u's, and otherwise a new one. The session of another user ends, and
// the applications are told before they see u. Grants stay. p.mu is held, and
// released meanwhile.
func (p *Provider) signedIn(w http.ResponseWriter, have *session, u User) *session {
	if have != nil && have.subject == u.Subject {
		have.authTime = p.now()
		return have
	}
	if have != nil {
		delete(p.sessions, have.id)
		p.mu.Unlock()
		p.deliver(have.subject, have.sid)
		p.mu.Lock()
	}
	now := p.now()
	s := &session{id: random(), sid: random(), subject: u.Subject, authTime: now, seen: now}
	p.sessions[s.id] = s
	http.SetCookie(w, &http.Cookie{
		Name: p.cookieName, Value: s.id, Path: "/",
		HttpOnly: true, Secure: p.settings.tls, SameSite: http.SameSiteLaxMode,
	})
	return s
}

// codeFor issues a code for what params ask of s. p.mu is held.
func (p *Provider) codeFor(s *session, params url.Values) url.Values {
	if s.grant == nil || s.grant.revoked {
		s.grant = &grant{}
	}
	value := p.secret(func(f *faults.Effect) int { return f.CodeSize })
	p.codes[value] = &code{
		authorization: &authorization{
			grant:     s.grant,
			subject:   s.subject,
			sid:       s.sid,
			scopes:    strings.Fields(params.Get("scope")),
			resources: params["resource"],
			nonce:     params.Get("nonce"),
			authTime:  s.authTime,
			maxAge:    params.Has("max_age"),
			acr:       p.acrFor(params),
		},
		redirectURI: params.Get("redirect_uri"),
		challenge:   params.Get("code_challenge"),
		issued:      p.now(),
	}
	return url.Values{"code": {value}}
}

// response returns e as parameters of an authorization response.
func (e *oauthError) response() url.Values {
	return url.Values{"error": {e.code}, "error_description": {e.description}}
}

// respond sends answer, which may be an error, to the client's redirect URI, and adds
// the issuer. https://www.rfc-editor.org/rfc/rfc9207#section-2
func (p *Provider) respond(w http.ResponseWriter, r *http.Request, params, answer url.Values) {
	if state := params.Get("state"); state != "" {
		answer.Set("state", state)
	}
	answer.Set("iss", p.Issuer)
	appended := ""
	for _, f := range p.injected() {
		if f.Response != nil {
			f.Response(answer)
		}
		appended += f.Appended
	}
	http.Redirect(w, r, withQuery(params.Get("redirect_uri"), answer)+appended, http.StatusSeeOther)
}

// withQuery adds q to a URI that may already have a query.
func withQuery(uri string, q url.Values) string {
	if len(q) == 0 {
		return uri
	}
	if strings.Contains(uri, "?") {
		return uri + "&" + q.Encode()
	}
	return uri + "?" + q.Encode()
}
