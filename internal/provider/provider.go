// Package provider is the OpenID provider seen from a client: discovery, keys,
// the code grant, refresh, userinfo, revocation, and every check of an ID token
// or a logout token.
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
//		return err // a *provider.Error: its Kind says whom to blame
//	}
//	id, err := c.VerifyIDToken(ctx, tokens.IDToken, provider.Expect{Nonce: nonce, AccessToken: tokens.AccessToken})
package provider

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"
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
	// http.DefaultClient. It is copied; CheckRedirect and Timeout are replaced
	// and its Transport is wrapped.
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
	metadata shared[*Metadata]
}

// New makes a Client. It dials nobody and cannot fail: what is wrong with the
// configuration or the provider is reported by the first method that needs it.
func New(cfg Config) *Client {
	cfg.SigningAlgs = slices.Clone(cfg.SigningAlgs)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Client{cfg: cfg, http: newHTTPClient(cfg.HTTPClient)}
	c.metadata = shared[*Metadata]{op: opDiscovery, now: cfg.Now, get: c.discover}
	return c
}

// staleWait is how long new metadata are waited for while there are old ones.
const staleWait = 500 * time.Millisecond

// Metadata returns what the provider says about itself, checked. It is fetched
// on first use and again when it is an hour old; an old document goes on
// serving while no new one can be had, and nobody waits long for that. The result
// is shared and must not be changed.
func (c *Client) Metadata(ctx context.Context) (*Metadata, error) {
	held := c.metadata.current()
	if c.metadata.young(held) {
		c.metadata.ahead(ctx)
		return held.value, nil
	}
	if held.number > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, staleWait)
		defer cancel()
	}
	got, err := c.metadata.fetch(ctx, held.number, false)
	switch {
	case err == nil:
		return got.value, nil
	case held.number > 0:
		return held.value, nil
	default:
		return nil, err
	}
}
