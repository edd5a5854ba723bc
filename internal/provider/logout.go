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
	if err != nil {
		return "", misconfigured("end session", errEndpoint)
	}
	q := u.Query()
	q.Set("client_id", c.cfg.ClientID)
	q.Set("post_logout_redirect_uri", postLogoutRedirectURI)
	u.RawQuery = q.Encode()
	without := u.String()
	if hint == "" {
		return without, nil
	}
	q.Set("id_token_hint", hint)
	u.RawQuery = q.Encode()
	if with := u.String(); len(with) <= maxEndSessionURL {
		return with, nil
	}
	return without, nil // client_id says as much as providers need
}

// maxEndSessionURL is how long the URL may be with a hint: proxies limit the header of
// an answer, and providers the line of a request.
const maxEndSessionURL = 2000
