package provider

import (
	"context"
	"net/url"
)

// EndSessionURL returns the URL at which the provider signs a person out, and
// then sends the browser back to postLogoutRedirectURI
// (https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout). hint
// is an ID token of the person, or empty. If the provider has no end-session
// endpoint, the result is empty.
func (c *Client) EndSessionURL(ctx context.Context, postLogoutRedirectURI, hint string) (string, error) {
	meta, err := c.Metadata(ctx)
	if err != nil || meta.EndSessionEndpoint == "" {
		return "", err
	}
	u, err := url.Parse(meta.EndSessionEndpoint)
	if err != nil { // it has been parsed before
		return "", misconfigured("end session", err)
	}
	// Some providers want other parameters (Amazon Cognito: logout_uri), which
	// Config.Endpoints puts into the query. What stands there is not added again.
	said, q := u.Query(), url.Values{}
	for name, value := range map[string]string{
		"client_id": c.cfg.ClientID, "post_logout_redirect_uri": postLogoutRedirectURI, "id_token_hint": hint,
	} {
		if value != "" && !said.Has(name) {
			q.Set(name, value)
		}
	}
	if u.RawQuery != "" && len(q) > 0 {
		u.RawQuery += "&"
	}
	u.RawQuery += q.Encode()
	return u.String(), nil
}
