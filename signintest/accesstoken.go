package signintest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gosignin/signin/internal/faults"
)

const (
	// resourceOrganizations means every organization, among the resources of an
	// authorization request.
	resourceOrganizations = "urn:logto:resource:organizations"
	// organizationAudience is the prefix of the audience of an organization's own
	// token; the organization's ID follows.
	organizationAudience = "urn:logto:organization:"
)

// apiToken holds the claims of a JWT access token.
type apiToken struct {
	subject, client string
	audience        string
	organization    string // if audience is a resource within an organization
	scope           string
}

// accessFor returns the access token that form asks for and its scope: for a
// resource, for an organization, for a resource within an organization, or the
// opaque one. p.mu is held.
func (p *Provider) accessFor(u User, a *authorization, form url.Values) (token, scope string, err *oauthError) {
	resource, organization := form.Get("resource"), form.Get("organization_id")
	if organization != "" {
		if err := p.mayEnter(u, a, organization); err != nil {
			return "", "", err
		}
	}
	// https://www.rfc-editor.org/rfc/rfc8707#section-2.2
	if resource != "" && !slices.Contains(a.resources, resource) {
		return "", "", badRequest("invalid_target", "resource indicator is missing, or unknown")
	}
	t := apiToken{subject: a.subject, client: p.settings.clientID, audience: resource, organization: organization}
	switch {
	case resource == "" && organization == "":
		token = p.secret(func(f *faults.Effect) int { return f.AccessSize })
		p.access[token] = &accessToken{authorization: a, expires: p.now().Add(p.settings.accessLifetime)}
		return token, strings.Join(a.openIDScopes(), " "), nil
	case resource == "":
		t.audience, t.organization = organizationAudience+organization, ""
	}
	// Logto grants no permission that the authorization request did not ask for.
	granted := slices.DeleteFunc(slices.Clone(u.Permissions[t.audience]), func(scope string) bool { return !slices.Contains(a.scopes, scope) })
	t.scope = strings.Join(granted, " ")
	return p.issue(t), t.scope, nil
}

// openIDScopes returns the scopes of the opaque token: none of an API's.
func (a *authorization) openIDScopes() []string {
	return slices.DeleteFunc(slices.Clone(a.scopes), func(scope string) bool { return !slices.Contains(supportedScopes, scope) })
}

// checkResources refuses a whole authorization request for one API that is not
// registered.
func (p *Provider) checkResources(asked []string) *oauthError {
	for _, resource := range asked {
		if p.settings.resources != nil && resource != resourceOrganizations && !slices.Contains(p.settings.resources, resource) {
			return badRequest("invalid_target", "resource indicator is missing, or unknown")
		}
	}
	return nil
}

// mayEnter returns an error if u gets no token for an organization. As at Logto,
// it checks what the user may do before what the client asked for. p.mu is held.
func (p *Provider) mayEnter(u User, a *authorization, organization string) *oauthError {
	switch {
	case !slices.Contains(u.Organizations, organization):
		return &oauthError{http.StatusForbidden, "access_denied", "user is not a member of the organization"}
	case slices.Contains(p.settings.mfaRequired, organization) && !u.MFA:
		return &oauthError{http.StatusForbidden, "access_denied", "organization requires MFA but user has no MFA configured"}
	case !slices.Contains(a.scopes, scopeOrganizations), !slices.Contains(a.resources, resourceOrganizations):
		return &oauthError{http.StatusForbidden, "insufficient_scope", "refresh token missing required scope"}
	}
	return nil
}

// issue returns a JWT access token. p.mu is held.
// https://www.rfc-editor.org/rfc/rfc9068#section-2
func (p *Provider) issue(t apiToken) string {
	now := p.now()
	claims := map[string]any{
		"iss":       p.Issuer,
		"sub":       t.subject,
		"aud":       t.audience,
		"client_id": t.client,
		"jti":       random(),
		"iat":       now.Unix(),
		"exp":       now.Add(p.settings.accessLifetime).Unix(),
		"scope":     t.scope,
	}
	if t.organization != "" {
		claims["organization_id"] = t.organization
	}
	j := p.newJWT("at+jwt", claims)
	for _, f := range p.faults {
		if f.AccessToken != nil {
			f.AccessToken(&p.facts, j)
		}
	}
	out := compact(j)
	p.secrets = append(p.secrets, out)
	return out
}

// AccessToken returns a person's access token for audience, which is an API
// resource or "urn:logto:organization:<id>": the JWT that the token endpoint
// gives to this provider's client, with exactly these scopes. A test of an API
// sends it in an Authorization header, and needs no sign-in.
//
// Nothing is checked: the person may have no account, may be suspended, and need
// not belong to the organization or have the scopes. Faults of access tokens
// apply.
func (p *Provider) AccessToken(subject, audience string, scopes ...string) string {
	return p.mint(apiToken{subject: subject, client: p.settings.clientID, audience: audience}, scopes)
}

// MachineToken returns an access token of a program, such as an application gets
// for itself with the client credentials grant: its subject is the client ID.
// Otherwise it is like a token of [Provider.AccessToken].
func (p *Provider) MachineToken(clientID, audience string, scopes ...string) string {
	return p.mint(apiToken{subject: clientID, client: clientID, audience: audience}, scopes)
}

func (p *Provider) mint(t apiToken, scopes []string) string {
	t.scope = strings.Join(scopes, " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issue(t)
}
