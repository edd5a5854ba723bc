package authflow

import (
	"errors"
	"net/url"
	"strings"
)

// Flow is what the flow itself puts into an authorization request.
type Flow struct {
	ClientID, RedirectURI       string
	Scopes, Resources           []string
	State, Nonce, CodeChallenge string
}

// URL returns the authorization request of
// https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest with PKCE
// (https://www.rfc-editor.org/rfc/rfc7636#section-4.3). The flow's own parameters
// win over any other.
func (r *Request) URL(endpoint string, addConsent bool, f Flow) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", errors.New("signin: the authorization endpoint is not a URL")
	}
	// "The endpoint URI MAY include a query component, which MUST be retained":
	// https://www.rfc-editor.org/rfc/rfc6749#section-3.1
	q := u.Query()
	for name, values := range r.Values(addConsent) {
		q[name] = values
	}
	for name, value := range map[string]string{
		"response_type": "code", "client_id": f.ClientID, "redirect_uri": f.RedirectURI,
		"scope": strings.Join(f.Scopes, " "), "state": f.State, "nonce": f.Nonce,
		"code_challenge": f.CodeChallenge, "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	if len(f.Resources) > 0 {
		q["resource"] = f.Resources
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}
