package signintest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// logoutTimeout is how long Logto waits for an application's answer to a logout
// token. It does not retry.
const logoutTimeout = 2500 * time.Millisecond

// logoutEvent is https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// A LogoutDelivery is the outcome of sending one logout token to one application.
type LogoutDelivery struct {
	URL    string // where it was sent
	Token  string // the logout token
	Status int    // of the application's answer; 0 without an answer
	Err    error  // why it did not answer
}

// LogoutDeliveries returns the outcome of every logout token sent so far, the
// oldest first. It waits for those in progress.
func (p *Provider) LogoutDeliveries() []LogoutDelivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.delivering > 0 {
		p.delivery.Wait()
	}
	return slices.Clone(p.delivered)
}

// LogoutToken returns a logout token that names a user, a session, or both. A
// test posts it as "logout_token" in a form. Faults of logout tokens apply.
func (p *Provider) LogoutToken(subject, sid string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	claims := map[string]any{
		"iss":    p.Issuer,
		"aud":    p.settings.clientID,
		"iat":    now.Unix(),
		"jti":    random(),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
	if subject != "" {
		claims["sub"] = subject
	}
	if sid != "" {
		claims["sid"] = sid
	}
	if !p.settings.logto137 {
		claims["exp"] = now.Add(2 * time.Minute).Unix()
	}
	t := p.newJWT("logout+jwt", claims)
	for _, f := range p.faults {
		if f.LogoutToken != nil {
			f.LogoutToken(&p.facts, t)
		}
	}
	return compact(t)
}

// Logout sends a logout token that names a user, a session, or both to every
// registered address, waits for the answers, and returns them. These sessions
// end at the provider, too.
func (p *Provider) Logout(subject, sid string) []LogoutDelivery {
	p.mu.Lock()
	for id, s := range p.sessions {
		if s.sid == sid || sid == "" && s.subject == subject {
			delete(p.sessions, id)
		}
	}
	p.mu.Unlock()
	return p.deliver(subject, sid)
}

// SessionIDs returns the sid of every session that a user has at the provider.
func (p *Provider) SessionIDs(subject string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, s := range p.sessions {
		if s.subject == subject {
			out = append(out, s.sid)
		}
	}
	slices.Sort(out)
	return out
}

// deliver sends one logout token to each registered address, in turn.
// https://openid.net/specs/openid-connect-backchannel-1_0.html#BCRequest
func (p *Provider) deliver(subject, sid string) []LogoutDelivery {
	p.mu.Lock()
	addresses := slices.Clone(p.backChannels)
	p.mu.Unlock()
	client := &http.Client{
		Transport:     p.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var out []LogoutDelivery
	for _, address := range addresses {
		out = append(out, post(client, address, p.LogoutToken(subject, sid)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delivered = append(p.delivered, out...)
	return out
}

func post(client *http.Client, address, token string) LogoutDelivery {
	d := LogoutDelivery{URL: address, Token: token}
	ctx, cancel := context.WithTimeout(context.Background(), logoutTimeout)
	defer cancel()
	form := url.Values{"logout_token": {token}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form))
	if err != nil {
		d.Err = err
		return d
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		d.Err = err
		return d
	}
	resp.Body.Close()
	d.Status = resp.StatusCode
	return d
}

// serveEndSession is https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout
func (p *Provider) serveEndSession(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		badRequest("invalid_request", "the request cannot be read").write(w)
		return
	}
	target := r.Form.Get("post_logout_redirect_uri")
	if err := p.checkEndSession(r.Form, target); err != nil {
		err.write(w)
		return
	}
	p.endSession(w, r)
	if target == "" {
		showNotice(w, r, http.StatusOK, "You are signed out", "This browser has no session at the test provider any more.")
		return
	}
	q := url.Values{}
	if state := r.Form.Get("state"); state != "" {
		q.Set("state", state)
	}
	for _, f := range p.injected() {
		if f.SignOut != nil {
			f.SignOut(q)
		}
	}
	http.Redirect(w, r, withQuery(target, q), http.StatusSeeOther)
}

func (p *Provider) checkEndSession(q url.Values, target string) *oauthError {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, hint := q.Get("client_id"), q.Get("id_token_hint")
	if id != "" && id != p.settings.clientID {
		return badRequest("invalid_client", "client is invalid")
	}
	if hint != "" && !p.ours(hint) {
		return badRequest("invalid_request", "could not validate id_token_hint")
	}
	if target == "" {
		return nil
	}
	if id == "" && hint == "" {
		return badRequest("invalid_request", "post_logout_redirect_uri needs client_id or id_token_hint")
	}
	if !slices.Contains(p.signOuts, target) {
		return badRequest("invalid_request", "post_logout_redirect_uri not registered")
	}
	return nil
}

// ours reports whether a token is signed with a key that is still published. It
// may be expired. p.mu is held.
func (p *Provider) ours(hint string) bool {
	parsed, err := jose.ParseSignedCompact(hint, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(p.settings.algorithm)})
	if err != nil {
		return false
	}
	for _, k := range p.keys {
		if _, err := parsed.Verify(k.Private.Public()); err == nil {
			return true
		}
	}
	return false
}

// endSession ends the browser's session and tells the applications in the
// background. Grants stay: a refresh token with offline access outlives the
// session, as at Logto.
func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := r.Cookie(p.cookieName)
	if err != nil {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: p.cookieName, Path: "/", MaxAge: -1,
		HttpOnly: true, Secure: p.settings.tls, SameSite: http.SameSiteLaxMode,
	})
	s := p.sessions[c.Value]
	if s == nil {
		return
	}
	delete(p.sessions, s.id)
	p.delivering++
	go func() {
		p.deliver(s.subject, s.sid)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.delivering--
		p.delivery.Broadcast()
	}()
}
