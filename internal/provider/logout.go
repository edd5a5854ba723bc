package provider

import (
	"context"
	"net/url"
	"strings"
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
	// Config.Provider.Endpoints puts into the query. What is there is not added again.
	said, before := u.Query(), u.RawQuery
	with := func(hint string) string {
		q := url.Values{}
		for name, value := range map[string]string{
			"client_id": c.cfg.ClientID, "post_logout_redirect_uri": postLogoutRedirectURI, "id_token_hint": hint,
		} {
			if value != "" && !said.Has(name) {
				q.Set(name, value)
			}
		}
		u.RawQuery = strings.Trim(before+"&"+q.Encode(), "&")
		return u.String()
	}
	if location := with(hint); len(location) <= maxEndSessionURL {
		return location, nil
	}
	return with(""), nil // client_id says as much as providers need
}

// maxEndSessionURL is how long the URL may be with a hint: proxies limit the header of
// an answer, and providers the line of a request.
const maxEndSessionURL = 2000
