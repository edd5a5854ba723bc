package signintest

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/faults"
)

// Logto's scopes beyond the standard.
const (
	scopeOrganizations     = "urn:logto:scope:organizations"
	scopeOrganizationRoles = "urn:logto:scope:organization_roles"
)

var supportedScopes = []string{
	"openid", "offline_access", "profile", "email", "phone", "address", "roles",
	"custom_data", "identities", scopeOrganizations, scopeOrganizationRoles,
}

var supportedClaims = []string{
	"sub", "sid", "auth_time", "iss", "aud", "exp", "iat", "nonce",
	"name", "picture", "username", "created_at", "updated_at",
	"email", "email_verified", "phone_number", "phone_number_verified", "address",
	"roles", "organizations", "organization_roles", "organization_data",
	"custom_data", "identities", "sso_identities",
}

// scopeOf maps the claims among [User.Claims] that need a scope to that scope.
var scopeOf = map[string]string{
	"address":           "address",
	"custom_data":       "custom_data",
	"identities":        "identities",
	"sso_identities":    "identities",
	"organization_data": scopeOrganizations,
}

// userInfoOnly are the claims that Logto leaves out of ID tokens.
var userInfoOnly = []string{"custom_data", "identities", "sso_identities", "organization_data"}

// accountEpoch is when every account was created and updated, in milliseconds as
// at Logto, where the standard has seconds.
// https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims
var accountEpoch = time.Date(2025, 1, 2, 3, 4, 5, 678e6, time.UTC).UnixMilli()

// userClaims returns the claims about u that scopes allow, as in userinfo.
func userClaims(u User, scopes []string) map[string]any {
	has := func(scope string) bool { return slices.Contains(scopes, scope) }
	claims := map[string]any{"sub": u.Subject}
	if has("profile") {
		claims["name"] = orNull(u.Name)
		claims["picture"] = orNull(u.Picture)
		claims["username"] = orNull(u.Username)
		claims["created_at"] = accountEpoch
		claims["updated_at"] = accountEpoch
	}
	if has("email") {
		claims["email"] = orNull(u.Email)
		claims["email_verified"] = u.Email != ""
	}
	if has("phone") {
		claims["phone_number"] = orNull(u.Phone)
		claims["phone_number_verified"] = u.Phone != ""
	}
	if has("roles") {
		claims["roles"] = orEmpty(u.Roles)
	}
	if has(scopeOrganizations) {
		claims["organizations"] = orEmpty(u.Organizations)
	}
	if has(scopeOrganizationRoles) {
		claims["organization_roles"] = orEmpty(u.OrganizationRoles)
	}
	for name, value := range u.Claims {
		if scope := scopeOf[name]; scope == "" || has(scope) {
			claims[name] = value
		}
	}
	return claims
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// idToken returns the ID token for a grant of a, issued with accessToken. p.mu
// is held. authCode is empty at a refresh.
func (p *Provider) idToken(u User, a *authorization, accessToken, authCode string) string {
	claims := userClaims(u, a.scopes)
	maps.DeleteFunc(claims, func(name string, _ any) bool { return slices.Contains(userInfoOnly, name) })
	now := p.now()
	claims["iss"] = p.Issuer
	claims["aud"] = p.settings.clientID
	claims["iat"] = now.Unix()
	claims["exp"] = now.Add(p.settings.accessLifetime).Unix()
	claims["sid"] = a.sid
	if a.nonce != "" {
		claims["nonce"] = a.nonce
	}
	// Both describe the sign-in. A refresh repeats them, as in oidc-provider, on
	// which Logto is built.
	// https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse
	if a.maxAge {
		claims["auth_time"] = a.authTime.Unix()
	}
	if a.acr != "" {
		claims["acr"] = a.acr
	}
	if a.idToken != "" && slices.ContainsFunc(p.faults, func(f *faults.Effect) bool { return f.RepeatIDToken }) {
		return a.idToken
	}
	t := p.newJWT("", claims)
	t.AtHash, t.CHash = tokenHash(t.Algorithm, accessToken), tokenHash(t.Algorithm, authCode)
	if p.settings.logto137 {
		claims["at_hash"] = t.AtHash
	}
	for _, f := range p.faults {
		if f.IDToken != nil {
			f.IDToken(&p.facts, t)
		}
	}
	a.idToken = compact(t)
	p.secrets = append(p.secrets, a.idToken)
	return a.idToken
}

// serveUserInfo accepts the opaque access token only, as Logto does.
// https://openid.net/specs/openid-connect-core-1_0.html#UserInfo
func (p *Provider) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	u, a, err := p.bearer(r)
	if err != nil {
		err.write(w)
		return
	}
	claims := userClaims(u, a.scopes)
	for _, f := range p.injected() {
		if f.UserInfoIDToken {
			p.mu.Lock()
			token := p.idToken(u, a, "", "")
			p.mu.Unlock()
			answerJWT(w, token)
			return
		}
		if f.InfoToken != nil {
			answerJWT(w, p.infoToken(claims, f))
			return
		}
		if f.UserInfo != nil {
			f.UserInfo(claims)
		}
	}
	writeJSON(w, http.StatusOK, claims)
}

// infoToken returns the userinfo response as a JWT.
// https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse
func (p *Provider) infoToken(claims map[string]any, f *faults.Effect) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims["iss"], claims["aud"] = p.Issuer, p.settings.clientID
	t := p.newJWT("", claims)
	f.InfoToken(&p.facts, t)
	return compact(t)
}

func answerJWT(w http.ResponseWriter, token string) {
	w.Header().Set("Content-Type", "application/jwt")
	io.WriteString(w, token)
}

// bearer returns the user and the authorization of the access token in the
// Authorization header, the only place where this provider looks for one.
// https://www.rfc-editor.org/rfc/rfc6750#section-2.1
func (p *Provider) bearer(r *http.Request) (User, *authorization, *oauthError) {
	invalid := &oauthError{http.StatusUnauthorized, "invalid_token", "invalid token provided"}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return User{}, nil, invalid
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.access[token]
	if at == nil || at.grant.revoked || !p.now().Before(at.expires) {
		return User{}, nil, invalid
	}
	u, ok := p.active(at.subject)
	if !ok {
		return User{}, nil, invalid
	}
	return u, at.authorization, nil
}
