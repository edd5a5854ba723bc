package provider

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/settings"
)

const (
	opExchange = "code exchange"
	opRefresh  = "refresh"
	opRevoke   = "revocation"
)

const (
	// revokeTimeout is short, since a person who signs out is waiting, and the
	// session has ended already.
	revokeTimeout = 3 * time.Second
	// maxLifetime is the longest life of an access token that is believed.
	maxLifetime = 365 * 24 * time.Hour
	// maxOAuthCode is the longest "error" that is put into an Error, in bytes.
	maxOAuthCode = 64
)

// chooseAuth picks a method of those that a provider lists, and "" if none of
// them is supported here. A provider that lists nothing supports Basic
// (https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata).
// It is tempting to try one and then the other, as golang.org/x/oauth2 does by
// default, but by then the code has been used, and the secret is sent twice.
func chooseAuth(listed []string) string {
	for _, method := range settings.ClientAuths() {
		if len(listed) == 0 || slices.Contains(listed, method) {
			return method
		}
	}
	return ""
}

// Tokens is an answer of the token endpoint as received. Nothing in it has been
// verified, and what was not sent is empty.
type Tokens struct {
	IDToken, AccessToken, RefreshToken, Scope string
	// Expiry is that of the access token. It is zero if expires_in is not a number from
	// one second to a year.
	Expiry time.Time
}

// LogValue keeps the tokens out of logs.
func (Tokens) LogValue() slog.Value { return slog.StringValue("[tokens]") }

// Exchange redeems an authorization code with its PKCE verifier
// (https://www.rfc-editor.org/rfc/rfc7636#section-4.5). The error for an answer
// without an ID token is Rejected. With an error there may be a refresh token, and
// nothing else: the code is used up then, and the token is there to be revoked.
func (c *Client) Exchange(ctx context.Context, code, verifier string) (*Tokens, error) {
	tokens, err := c.token(ctx, opExchange, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {c.cfg.RedirectURL},
		"code_verifier": {verifier},
	})
	if err == nil && tokens.IDToken == "" {
		// https://openid.net/specs/openid-connect-core-1_0.html#TokenResponse
		err = rejected(opExchange, fault("the answer has no ID token"))
	}
	return whole(tokens, err)
}

// Refresh uses a refresh token. params may add parameters (resource,
// organization_id). The answer may lack an ID token, and it may lack a new
// refresh token, in which case the old one remains valid. With an error there may be
// a new refresh token, and nothing else: the old one may be used up then.
func (c *Client) Refresh(ctx context.Context, refreshToken string, params url.Values) (*Tokens, error) {
	form := url.Values{}
	maps.Copy(form, params)
	form.Set("grant_type", "refresh_token")
	form.Set("refresh_token", refreshToken)
	tokens, err := c.token(ctx, opRefresh, form)
	return whole(tokens, err)
}

// whole returns the tokens of an answer or, with an error, only a refresh token.
func whole(tokens *Tokens, err error) (*Tokens, error) {
	switch {
	case err == nil:
		return tokens, nil
	case tokens == nil || tokens.RefreshToken == "":
		return nil, err
	}
	return &Tokens{RefreshToken: tokens.RefreshToken}, err
}

// Revoke revokes a refresh token, and with it the whole grant if the provider
// follows https://www.rfc-editor.org/rfc/rfc7009#section-2.1. It gives up after
// three seconds. If the provider has no revocation endpoint, it does nothing
// and returns nil.
func (c *Client) Revoke(ctx context.Context, refreshToken string) error {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	meta, err := c.Metadata(ctx)
	if err != nil || meta.RevocationEndpoint == "" {
		return err
	}
	if meta.revocationAuth == "" {
		return misconfigured(opRevoke, fault("the revocation endpoint supports neither client_secret_basic nor client_secret_post"))
	}
	form := url.Values{"token": {refreshToken}, "token_type_hint": {"refresh_token"}}
	got, err := c.post(ctx, opRevoke, meta.RevocationEndpoint, meta.revocationAuth, form)
	if err == nil && !got.ok() {
		err = refusal(opRevoke, got)
	}
	return err
}

// token sends a request to the token endpoint. It is tempting to leave this to
// golang.org/x/oauth2. But that cannot send resource twice in a refresh,
// truncates a large answer silently, reads answers that are not JSON, copies
// the old refresh token into the answer, uses the system clock, and its errors
// quote bodies.
func (c *Client) token(ctx context.Context, op string, form url.Values) (*Tokens, error) {
	meta, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	got, err := c.post(ctx, op, meta.TokenEndpoint, meta.tokenAuth, form)
	if err != nil {
		return nil, err
	}
	return parseTokens(op, got, c.cfg.Now())
}

// post sends a form with the client's credentials.
func (c *Client) post(ctx context.Context, op, endpoint, auth string, form url.Values) (answer, error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if auth == "client_secret_post" {
		form.Set("client_id", c.cfg.ClientID)
		form.Set("client_secret", c.cfg.ClientSecret)
	} else {
		// Form encoding first: https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1
		basic := url.QueryEscape(c.cfg.ClientID) + ":" + url.QueryEscape(c.cfg.ClientSecret)
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(basic)))
	}
	got, err := c.do(ctx, op, http.MethodPost, endpoint, header, strings.NewReader(form.Encode()))
	got.auth = auth
	return got, err
}

// parseTokens reads an answer of the token endpoint. With an error it returns what
// tokens it has found.
func parseTokens(op string, a answer, now time.Time) (*Tokens, error) {
	if !a.ok() {
		return nil, refusal(op, a)
	}
	members, err := document.Parse(a.body)
	if err != nil {
		return nil, unavailable(op, err)
	}
	// Some providers report errors with status 200.
	if code, err := members.Text("error"); err != nil || code != "" {
		return nil, refusal(op, a)
	}
	// An ID token that is not text counts as absent: not every caller needs one.
	tokens := &Tokens{Expiry: expiry(members["expires_in"], now), Scope: scopeOf(members)}
	tokens.IDToken, _ = token(members, "id_token")
	var access, refresh error
	tokens.AccessToken, access = token(members, "access_token")
	tokens.RefreshToken, refresh = token(members, "refresh_token")
	switch err := cmp.Or(access, refresh); {
	case err != nil:
		return tokens, rejected(op, err)
	case tokens.AccessToken == "":
		// Azure AD B2C gives none unless a scope of an API, or the client ID as a scope,
		// is asked for.
		return tokens, misconfigured(op, fault("the answer has no access_token; some providers (Azure AD B2C) give one only "+
			"if Config.Scopes asks for a scope of an API, or for the client ID"))
	}
	// https://www.rfc-editor.org/rfc/rfc6749#section-7.1: a token of another type
	// must not be used as if it were a bearer's. Some providers leave the type out,
	// since they have bearer tokens only.
	switch typ, err := members.Text("token_type"); {
	case err != nil: // an object might hold a token
		return tokens, rejected(op, fault("token_type is not text; needs Bearer"))
	case typ != "" && !strings.EqualFold(typ, "Bearer"):
		return tokens, rejected(op, fault("token_type is "+document.Quote(typ)+"; needs Bearer"))
	}
	return tokens, nil
}

// token returns a member that is a token, and "" if it is absent.
func token(members document.Object, name string) (string, error) {
	text, err := members.Text(name)
	if err != nil || !document.Printable(text) {
		return "", fault(name + " is not text in printable ASCII")
	}
	return text, nil
}

// scopeOf returns the scopes of an answer, which some providers send as a list.
func scopeOf(members document.Object) string {
	return strings.Join(texts(members, "scope"), " ")
}

// expiry computes a time from expires_in: a number of seconds, or text with a
// number, which some providers send. Anything else counts as absent.
func expiry(in json.RawMessage, now time.Time) time.Time {
	seconds, err := strconv.ParseFloat(strings.Trim(string(in), `"`), 64)
	if err != nil || !(seconds >= 1 && seconds <= maxLifetime.Seconds()) { // and not NaN
		return time.Time{}
	}
	return now.Add(time.Duration(seconds) * time.Second)
}

// refusal makes an error of an answer that is not a success. It decides whether
// the grant is no longer valid, this client is not accepted, or neither is
// known.
func refusal(op string, a answer) error {
	failure := &Error{Kind: Refused, Op: op, Status: a.status, Err: fault("the provider refuses")}
	// A 400 may be empty, but an HTML page is likely from a proxy.
	members, err := document.Parse(a.body)
	if err == nil {
		failure.OAuthCode = oauthCode(members)
		description, _ := members.Text("error_description")
		failure.WantsMFA = failure.OAuthCode == "access_denied" && strings.Contains(description, "MFA")
	}
	switch code := failure.OAuthCode; {
	case aboutPerson(code):
		// Even with 401 or 403, which Auth0 sends, it is not about the client.
	case code == "unauthorized_client":
		failure.Kind, failure.Err = Misconfigured, fault("the provider does not allow this client to do so")
	case code == "invalid_client", a.status == http.StatusUnauthorized, a.status == http.StatusForbidden && code == "":
		failure.Kind, failure.Err = Misconfigured, fault("the provider does not accept this client's credentials, sent by "+
			a.auth+"; check the client secret, and Config.Provider.ClientAuth")
	case code == "server_error", code == "temporarily_unavailable":
		failure.Kind = Unavailable
	case code != "":
	case a.missing():
		failure.Kind, failure.Err = Misconfigured, errMissing
	case a.status != http.StatusBadRequest, err != nil && len(a.body) > 0, len(members) > 0: // a gateway's, say
		failure.Kind, failure.Err = Unavailable, fault("the answer is not an OAuth error")
	}
	return failure
}

// oauthCode returns the "error" member if it has the form of
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2 and the length of a code.
func oauthCode(members document.Object) string {
	code, _ := members.Text("error")
	if len(code) > maxOAuthCode || !document.Printable(code) || strings.ContainsAny(code, `"\`) {
		return ""
	}
	return code
}
