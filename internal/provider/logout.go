package provider

import (
	"context"
	"net/url"
)

// EndSessionURL returns the URL at which the provider signs a person out, and
// then sends the browser back to postLogoutRedirectURI
// (https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout). hint
// is an ID token of the person, or empty; it is left out if the URL would be too long
// with it. If the provider has no end-session endpoint, the result is empty.
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
	said, add := u.Query(), url.Values{}
	for name, value := range map[string]string{"client_id": c.cfg.ClientID, "post_logout_redirect_uri": postLogoutRedirectURI} {
		if !said.Has(name) {
			add.Set(name, value)
		}
	}
	without := extended(*u, add)
	if hint == "" || said.Has("id_token_hint") {
		return without, nil
	}
	add.Set("id_token_hint", hint)
	if with := extended(*u, add); len(with) <= maxEndSessionURL {
		return with, nil
	}
	return without, nil // client_id says as much as providers need
}

// maxEndSessionURL is how long the URL may be with a hint: proxies limit the header of
// an answer, and providers the line of a request.
const maxEndSessionURL = 2000

// extended returns a URL with further parameters behind those that it has.
func extended(u url.URL, add url.Values) string {
	if u.RawQuery != "" && len(add) > 0 {
		u.RawQuery += "&"
	}
	u.RawQuery += add.Encode()
	return u.String()
}
