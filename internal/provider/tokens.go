package provider

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	opExchange = "code exchange"
	opRefresh  = "refresh"
	opRevoke   = "revocation"
)

const (
	// revokeTimeout is short: a person who signs out is waiting, and the session
	// has ended already.
	revokeTimeout = 3 * time.Second
	// maxLifetime is the longest life of an access token that is believed.
	maxLifetime = 365 * 24 * time.Hour
	// maxOAuthCode is the longest "error" that is passed on, in bytes.
	maxOAuthCode = 64
)

const (
	errTokenAnswer = fault("the answer is not of the form of RFC 6749 section 5.1")
	errTokenType   = fault("the token type is not Bearer")
	errNoIDToken   = fault("the answer has no ID token")
	errAnswer      = fault("the answer is no OAuth error")
	errClient      = fault("the provider does not accept this client's credentials")
	errRefused     = fault("the provider refuses")
	errRevokeAuth  = fault("the revocation endpoint takes neither client_secret_basic nor client_secret_post")
)

// authMethod is how the client proves who it is.
type authMethod int

const (
	authNone  authMethod = iota // the provider takes no method that is known here
	authBasic                   // client_secret_basic
	authPost                    // client_secret_post
)

// chooseAuth picks a method of those that a provider lists; one that lists
// nothing takes Basic (https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata).
// It is tempting to try one and then the other, as golang.org/x/oauth2 does by
// default, but the code is spent and the secret sent twice by then.
func chooseAuth(listed []string) authMethod {
	method := authNone
	for _, name := range listed {
		switch name {
		case "client_secret_basic":
			return authBasic
		case "client_secret_post":
			method = authPost
		}
	}
	if len(listed) == 0 {
		return authBasic
	}
	return method
}

// Tokens is an answer of the token endpoint, as received: nothing in it is
// verified, and what was not sent is empty.
type Tokens struct {
	IDToken, AccessToken, RefreshToken, Scope string
	// Expiry is the access token's, zero if the provider does not give one that
	// is a number above 0, and a year ahead at most.
	Expiry time.Time
}

// LogValue keeps the tokens out of logs.
func (Tokens) LogValue() slog.Value { return slog.StringValue("[tokens]") }

// Exchange redeems an authorization code with its PKCE verifier
// (https://www.rfc-editor.org/rfc/rfc7636#section-4.5). An answer without an ID
// token is Rejected.
func (c *Client) Exchange(ctx context.Context, code, verifier string) (*Tokens, error) {
	tokens, err := c.token(ctx, opExchange, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {c.cfg.RedirectURL},
		"code_verifier": {verifier},
	})
	if err != nil {
		return nil, err
	}
	// https://openid.net/specs/openid-connect-core-1_0.html#TokenResponse
	if tokens.IDToken == "" {
		return nil, rejected(opExchange, errNoIDToken)
	}
	return tokens, nil
}

// Refresh uses a refresh token, with further parameters (resource,
// organization_id) if params is not nil. The answer need not hold an ID token
// or a new refresh token; without the latter the old one stays.
func (c *Client) Refresh(ctx context.Context, refreshToken string, params url.Values) (*Tokens, error) {
	form := url.Values{}
	maps.Copy(form, params)
	form.Set("grant_type", "refresh_token")
	form.Set("refresh_token", refreshToken)
	return c.token(ctx, opRefresh, form)
}

// Revoke revokes a refresh token, and by it the whole grant where the provider
// keeps to https://www.rfc-editor.org/rfc/rfc7009#section-2.1. It gives up after
// three seconds. If the provider has no revocation endpoint there is nothing to
// be done, and no error.
func (c *Client) Revoke(ctx context.Context, refreshToken string) error {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	meta, err := c.Metadata(ctx)
	if err != nil || meta.RevocationEndpoint == "" {
		return err
	}
	if meta.revocationAuth == authNone {
		return misconfigured(opRevoke, errRevokeAuth)
	}
	form := url.Values{"token": {refreshToken}, "token_type_hint": {"refresh_token"}}
	got, failure := c.post(ctx, opRevoke, meta.RevocationEndpoint, meta.revocationAuth, form)
	if failure == nil && (got.status < 200 || got.status > 299) {
		failure = refusal(opRevoke, got)
	}
	if failure != nil {
		return failure
	}
	return nil
}

// token asks the token endpoint. It is tempting to leave this to
// golang.org/x/oauth2. But that cannot say resource twice in a refresh, cuts a
// large answer short in silence, reads answers that are not JSON, copies the old
// refresh token into the answer, reads its own clock, and its errors quote
// bodies.
func (c *Client) token(ctx context.Context, op string, form url.Values) (*Tokens, error) {
	meta, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	got, failure := c.post(ctx, op, meta.TokenEndpoint, meta.tokenAuth, form)
	if failure != nil {
		return nil, failure
	}
	tokens, failure := parseTokens(op, got, c.cfg.Now())
	if failure != nil {
		return nil, failure
	}
	return tokens, nil
}

// post sends a form with the client's credentials.
func (c *Client) post(ctx context.Context, op, endpoint string, auth authMethod, form url.Values) (answer, *Error) {
	if auth == authPost {
		form.Set("client_id", c.cfg.ClientID)
		form.Set("client_secret", c.cfg.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, misconfigured(op, errEndpoint)
	}
	if auth == authBasic {
		// Form encoding first: https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1
		req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.cfg.ClientSecret))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	return c.do(op, req)
}

// parseTokens reads an answer of the token endpoint.
func parseTokens(op string, a answer, now time.Time) (*Tokens, *Error) {
	if a.status < 200 || a.status > 299 {
		return nil, refusal(op, a)
	}
	members, err := parseObject(a.body)
	if err != nil {
		return nil, unavailable(op, err)
	}
	// Some providers report errors with status 200.
	if members.has("error") {
		return nil, refusal(op, a)
	}
	tokens := new(Tokens)
	for name, to := range map[string]*string{
		"access_token":  &tokens.AccessToken,
		"refresh_token": &tokens.RefreshToken,
		"id_token":      &tokens.IDToken,
	} {
		*to, err = members.text(name)
		if err != nil || !printable(*to) {
			return nil, unavailable(op, errTokenAnswer)
		}
	}
	if tokens.AccessToken == "" {
		return nil, unavailable(op, errTokenAnswer)
	}
	// https://www.rfc-editor.org/rfc/rfc6749#section-7.1: a token of another type
	// must not be used as if it were a bearer's.
	if typ, err := members.text("token_type"); err != nil || !strings.EqualFold(typ, "Bearer") {
		return nil, rejected(op, errTokenType)
	}
	// Informative, so a wrong type (some send a list) is none at all.
	tokens.Scope, _ = members.text("scope")
	tokens.Expiry = members.expiry(now)
	return tokens, nil
}

// expiry computes a time from expires_in: a number of seconds, or text with a
// number, which some providers send. Anything else counts as not sent.
func (o object) expiry(now time.Time) time.Time {
	seconds, err := strconv.ParseFloat(strings.Trim(string(o["expires_in"]), `"`), 64)
	if !(seconds >= 1) {
		return time.Time{}
	}
	if err != nil || seconds > maxLifetime.Seconds() {
		seconds = maxLifetime.Seconds() // 1e400 is an error, and infinite
	}
	return now.Add(time.Duration(seconds) * time.Second)
}

// refusal makes an error of an answer that is no success. It is where
// "the grant is dead", "this client is not welcome" and "nobody knows" part.
func refusal(op string, a answer) *Error {
	if err := trouble(op, a); err != nil {
		return err
	}
	failure := &Error{Kind: Refused, Op: op, Status: a.status, Err: errRefused}
	// A 400 may be empty, but a page in HTML is by some box on the way.
	members, err := parseObject(a.body)
	if err == nil {
		failure.OAuthCode = members.oauthCode()
		description, _ := members.text("error_description")
		failure.WantsMFA = failure.OAuthCode == "access_denied" && strings.Contains(description, "MFA")
	}
	switch {
	case failure.OAuthCode == "invalid_grant":
		// The grant's end even with 401 or 403 (Auth0).
	case failure.OAuthCode == "invalid_client", failure.OAuthCode == "unauthorized_client", a.status == http.StatusUnauthorized,
		a.status == http.StatusForbidden && failure.OAuthCode == "":
		failure.Kind, failure.Err = Misconfigured, errClient
	case failure.OAuthCode == "server_error", failure.OAuthCode == "temporarily_unavailable":
		failure.Kind = Unavailable
	case failure.OAuthCode != "":
	case a.status != http.StatusBadRequest, err != nil && len(a.body) > 0:
		failure.Kind, failure.Err = Unavailable, errAnswer
	}
	return failure
}

// oauthCode returns the "error" member if it has the form of
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2 and the length of a code.
func (o object) oauthCode() string {
	code, err := o.text("error")
	if err != nil || len(code) > maxOAuthCode || !printable(code) || strings.ContainsAny(code, `"\`) {
		return ""
	}
	return code
}
