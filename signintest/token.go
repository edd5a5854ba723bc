package signintest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/faults"
)

const (
	codeLifetime    = time.Minute
	refreshLifetime = 14 * 24 * time.Hour
	// rotateAfter is the age at which Logto rotates the refresh token of a
	// confidential client.
	rotateAfter = refreshLifetime * 7 / 10
	// reuseGrace is how long a used refresh token still works, counted anew at each
	// use.
	reuseGrace = 3 * time.Second
)

// refreshToken belongs to an authorization. Rotation adds another one to it.
type refreshToken struct {
	*authorization
	issued time.Time
	used   time.Time // when it was last used after it was rotated away; zero while it is current
}

// accessToken is an opaque one.
type accessToken struct {
	*authorization
	expires time.Time
}

func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		badRequest("invalid_request", "the request cannot be read").write(w)
		return
	}
	done := p.tokenRequestBegins(r.PostForm)
	defer done()
	if err := p.authenticate(r); err != nil {
		err.write(w)
		return
	}
	var body map[string]any
	var err *oauthError
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		body, err = p.exchange(r.PostForm)
	case "refresh_token":
		body, err = p.refreshed(r.PostForm)
	default:
		err = badRequest("unsupported_grant_type", "unsupported grant_type requested")
	}
	if err != nil {
		err.write(w)
		return
	}
	for _, f := range p.injected() {
		if f.Tokens != nil {
			f.Tokens(body)
		}
	}
	writeJSON(w, http.StatusOK, body)
}

// tokenRequestBegins counts the token requests of one grant at the same time, and
// calls the test's hook. The caller calls done at the end.
func (p *Provider) tokenRequestBegins(form url.Values) (done func()) {
	p.mu.Lock()
	hook := p.onToken
	var g *grant
	if rt := p.refresh[form.Get("refresh_token")]; rt != nil {
		g = rt.grant
		g.inFlight++
		p.stats.MostRefreshesAtOnce = max(p.stats.MostRefreshesAtOnce, g.inFlight)
	}
	p.mu.Unlock()
	if hook != nil {
		hook(cloneValues(form))
	}
	return func() {
		if g != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			g.inFlight--
		}
	}
}

// authenticate checks the client's credentials. Both parts of Basic are
// form-encoded first. https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1
func (p *Provider) authenticate(r *http.Request) *oauthError {
	failed := &oauthError{http.StatusUnauthorized, "invalid_client", "client authentication failed"}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	method := "client_secret_post"
	if user, password, ok := r.BasicAuth(); ok {
		if secret != "" {
			return badRequest("invalid_request", "client authentication must only be provided using one mechanism")
		}
		var err1, err2 error
		method = "client_secret_basic"
		id, err1 = url.QueryUnescape(user)
		secret, err2 = url.QueryUnescape(password)
		if slices.ContainsFunc(p.injected(), func(f *faults.Effect) bool { return f.BasicNotDecoded }) {
			id, secret, err1, err2 = user, password, nil, nil
		}
		if err1 != nil || err2 != nil {
			return failed
		}
	}
	if !slices.Contains(p.settings.authMethods, method) ||
		subtle.ConstantTimeCompare([]byte(id), []byte(p.settings.clientID)) != 1 ||
		subtle.ConstantTimeCompare([]byte(secret), []byte(p.settings.clientSecret)) != 1 {
		return failed
	}
	return nil
}

// exchange trades a code for tokens.
// https://openid.net/specs/openid-connect-core-1_0.html#TokenEndpoint
func (p *Provider) exchange(form url.Values) (map[string]any, *oauthError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := form.Get("code")
	c := p.codes[value]
	switch {
	case c == nil || !p.now().Before(c.issued.Add(codeLifetime)):
		return nil, badRequest("invalid_grant", "authorization code not found or expired")
	case c.used:
		// https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2
		p.revokeForReuse(c.grant)
		return nil, badRequest("invalid_grant", "authorization code already consumed")
	case c.grant.revoked:
		return nil, badRequest("invalid_grant", "grant not found")
	case form.Get("redirect_uri") != c.redirectURI:
		return nil, badRequest("invalid_grant", "authorization code redirect_uri mismatch")
	case s256(form.Get("code_verifier")) != c.challenge && !slices.ContainsFunc(p.faults, func(f *faults.Effect) bool { return f.IgnorePKCE }):
		return nil, badRequest("invalid_grant", "PKCE verification failed")
	}
	u, ok := p.active(c.subject)
	if !ok {
		return nil, badRequest("invalid_grant", "authorization code invalid (referenced account not found)")
	}
	access, scope, err := p.accessFor(u, c.authorization, form)
	if err != nil {
		return nil, err
	}
	c.used = true
	body := p.tokenResponse(u, c.authorization, access, scope, value)
	if slices.Contains(c.scopes, "offline_access") {
		body["refresh_token"] = p.newRefreshToken(c.authorization)
	}
	return body, nil
}

// s256 is https://www.rfc-editor.org/rfc/rfc7636#section-4.6
func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// refreshed trades a refresh token for tokens.
func (p *Provider) refreshed(form url.Values) (map[string]any, *oauthError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := form.Get("refresh_token")
	rt := p.refresh[value]
	if rt == nil || rt.grant.revoked {
		return nil, badRequest("invalid_grant", "refresh token not found")
	}
	now := p.now()
	if !now.Before(rt.issued.Add(refreshLifetime)) {
		return nil, badRequest("invalid_grant", "refresh token is expired")
	}
	u, ok := p.active(rt.subject)
	if !ok {
		return nil, badRequest("invalid_grant", "refresh token invalid (referenced account not found)")
	}
	if !rt.used.IsZero() && now.Sub(rt.used) > reuseGrace {
		// https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2
		p.revokeForReuse(rt.grant)
		return nil, badRequest("invalid_grant", "refresh token already used")
	}
	access, scope, err := p.accessFor(u, rt.authorization, form)
	if err != nil {
		return nil, err
	}
	if p.settings.alwaysRotate || now.Sub(rt.issued) >= rotateAfter {
		rt.used = now
		value = p.newRefreshToken(rt.authorization)
	}
	body := p.tokenResponse(u, rt.authorization, access, scope, "")
	body["refresh_token"] = value
	return body, nil
}

// tokenResponse is https://openid.net/specs/openid-connect-core-1_0.html#TokenResponse
// without the refresh token. p.mu is held.
func (p *Provider) tokenResponse(u User, a *authorization, access, scope, authCode string) map[string]any {
	return map[string]any{
		"access_token": access,
		"token_type":   "Bearer",
		"expires_in":   int64(p.settings.accessLifetime / time.Second),
		"scope":        scope,
		"id_token":     p.idToken(u, a, access, authCode),
	}
}

func (p *Provider) newRefreshToken(a *authorization) string {
	value := p.secret(func(f *faults.Effect) int { return f.RefreshSize })
	p.refresh[value] = &refreshToken{authorization: a, issued: p.now()}
	return value
}

func (p *Provider) revokeForReuse(g *grant) {
	if !g.revoked {
		g.revoked = true
		p.stats.RevokedForReuse++
	}
}

// serveRevocation revokes the whole grant of a refresh token or an opaque access
// token: with it end the other sessions that the browser has at the application.
// Without client authentication it does nothing.
// https://www.rfc-editor.org/rfc/rfc7009#section-2.1
func (p *Provider) serveRevocation(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		badRequest("invalid_request", "the request cannot be read").write(w)
		return
	}
	if err := p.authenticate(r); err != nil {
		err.write(w)
		return
	}
	token := r.PostForm.Get("token")
	if token == "" {
		badRequest("invalid_request", "missing required parameter(s). (token)").write(w)
		return
	}
	if strings.Count(token, ".") == 2 && !p.settings.logto137 {
		badRequest("unsupported_token_type", "revocation of structured tokens is not supported").write(w)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if rt := p.refresh[token]; rt != nil {
		rt.grant.revoked = true
	}
	if at := p.access[token]; at != nil {
		at.grant.revoked = true
	}
	w.WriteHeader(http.StatusOK)
}

// LiveRefreshTokens returns how many refresh tokens of a user are valid now. A
// sign-out should leave none.
func (p *Provider) LiveRefreshTokens(subject string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.active(subject); !ok {
		return 0
	}
	n, now := 0, p.now()
	for _, rt := range p.refresh {
		if rt.subject == subject && !rt.grant.revoked && now.Before(rt.issued.Add(refreshLifetime)) &&
			(rt.used.IsZero() || now.Sub(rt.used) <= reuseGrace) {
			n++
		}
	}
	return n
}
