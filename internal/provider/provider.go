// Package provider is the OpenID provider seen from a client: discovery, the
// code grant, refresh, userinfo, revocation, and the keys by which package jwt
// verifies its tokens.
//
// Whatever a provider answers is outside input here: sizes, times and counts
// are bounded, no redirect is followed, an unknown or missing value is a
// refusal, and nothing of an answer's text gets into an error. What the package
// does not check is the authorization response: state, the iss parameter and
// the browser belong to the callback.
//
//	c := provider.New(provider.Config{Issuer: "https://…", ClientID: "…", ClientSecret: "…", RedirectURL: "https://…"})
//	tokens, err := c.Exchange(ctx, code, verifier)
//	if err != nil {
//		return err // a *provider.Error: its Kind says what to do
//	}
//	id, err := c.VerifyIDToken(ctx, tokens.IDToken, jwt.Expect{Nonce: nonce, AccessToken: tokens.AccessToken})
package provider

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
)

// Config says which provider it is, and who asks. It is read once, by New.
type Config struct {
	// Issuer is the provider's issuer identifier, to the letter: the discovery
	// document and every token must carry exactly this.
	Issuer string
	// ClientID and ClientSecret are this application's registration.
	ClientID, ClientSecret string
	// RedirectURL is the registered redirect URI, sent again with the code.
	RedirectURL string
	// SigningAlgs pins the algorithms of ID tokens and logout tokens. Empty:
	// those that the provider's metadata list. In either case "none", HMAC and
	// names that are not known here are left out: a secret shared with the
	// provider, or a published key taken for one, must not be able to sign.
	SigningAlgs []string
	// HTTPClient sends the requests. Nil: a client of the package's own, never
	// http.DefaultClient. It is copied; CheckRedirect and Timeout are replaced.
	HTTPClient *http.Client
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// LogValue keeps the secret out of logs.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", c.Issuer), slog.String("client_id", c.ClientID))
}

// Client talks to one provider. It is safe for concurrent use, holds no
// connection and runs no goroutine except while a document is being fetched.
type Client struct {
	cfg      Config
	http     *http.Client
	metadata *document.Cache[Metadata]
	verifier *jwt.Verifier
}

// New makes a Client. It sends nothing and cannot fail: what is wrong with the
// configuration or the provider is reported by the first method that needs it.
func New(cfg Config) *Client {
	cfg.SigningAlgs = slices.Clone(cfg.SigningAlgs)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Client{cfg: cfg, http: newHTTPClient(cfg.HTTPClient)}
	c.metadata = document.NewCache(cfg.Now, staleWait, c.discover)
	c.verifier = &jwt.Verifier{Issuer: cfg.Issuer, ClientID: cfg.ClientID, Keys: c.keys, Now: cfg.Now}
	return c
}

// staleWait is how long new metadata are waited for while there are old ones.
const staleWait = 500 * time.Millisecond

// Metadata returns what the provider says about itself, checked. It is fetched
// on first use and again when it is an hour old; an old document goes on
// serving while no new one can be had, and no caller waits long for that. The
// result is shared and must not be changed.
func (c *Client) Metadata(ctx context.Context) (*Metadata, error) {
	got, err := c.metadata.Get(ctx)
	return got, absent(opDiscovery, err)
}

// keys returns the provider's keys, with the algorithms that are pinned.
func (c *Client) keys(ctx context.Context) (*jwt.KeySet, error) {
	meta, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	return meta.keys, nil
}

// VerifyIDToken checks an ID token in full, as [jwt.Verifier.IDToken] does. A
// token that breaks a rule is Rejected. Any other error leaves that open.
func (c *Client) VerifyIDToken(ctx context.Context, raw string, want jwt.Expect) (*jwt.IDToken, error) {
	id, err := c.verifier.IDToken(ctx, raw, want)
	return id, judged("ID token", err)
}

// VerifyLogoutToken checks a logout token in full, as
// [jwt.Verifier.LogoutToken] does. A token that breaks a rule is Rejected. Any
// other error leaves that open.
func (c *Client) VerifyLogoutToken(ctx context.Context, raw string) (*jwt.LogoutToken, error) {
	logout, err := c.verifier.LogoutToken(ctx, raw)
	return logout, judged("logout token", err)
}

// VerifyAccessToken checks in full a token that was presented to an API, as
// [jwt.Verifier.AccessToken] does. A token that breaks a rule is Rejected. An
// error that is Misconfigured is about audience or the provider's set-up, and
// any other leaves open whether the token is good.
func (c *Client) VerifyAccessToken(ctx context.Context, raw, audience string) (*jwt.AccessToken, error) {
	access, err := c.verifier.AccessToken(ctx, raw, audience)
	return access, judged("access token", err)
}
