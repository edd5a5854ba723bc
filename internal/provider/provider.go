// Package provider is a client of an OpenID provider: discovery, the code
// grant, refresh, userinfo, revocation, and the keys with which package jwt
// verifies tokens.
//
// The answers of a provider are outside input: sizes, times and counts are
// bounded, and no request that carries a credential follows a redirect. What decides
// who has signed in is refused unless it is exactly right; what a provider merely
// writes in its own way is understood, or counts as absent. An error names what was
// found beside what was wanted, but never a token, a code or a secret. The package
// does not check the authorization response; its state and iss parameter, and the
// browser, are checked by the callback.
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
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
)

// Config describes the provider and this client. It is read once, by New.
type Config struct {
	// Issuer is the provider's issuer identifier. The discovery document and every
	// token must have exactly this one.
	Issuer string
	// ClientID and ClientSecret are those of this application at the provider.
	ClientID, ClientSecret string
	// RedirectURL is the registered redirect URI, sent again with the code.
	RedirectURL string
	// SigningAlgs pins the algorithms of ID tokens and logout tokens. If it is
	// empty, those that the provider's metadata lists are pinned. In either case
	// "none", HMAC and unknown names are left out: no token may be signed with a
	// secret shared with the provider, or with a published key taken for one.
	SigningAlgs []string
	// DiscoveryURL is where the metadata are. Empty means below the issuer.
	DiscoveryURL string
	// Endpoints replace those of the metadata, by the names that they have there. An
	// empty address says that an endpoint is not to be used. They are checked like
	// those of the metadata.
	Endpoints map[string]string
	// ClientAuth is the way of client authentication. Empty means one that the
	// metadata list.
	ClientAuth string
	// AnyHTTP accepts plain http for issuer and endpoints on any host, instead of on
	// loopback with an issuer there.
	AnyHTTP bool
	// HTTPClient sends the requests. Nil means a new client, not
	// http.DefaultClient. It is copied; CheckRedirect and Timeout are replaced, and
	// an *http.Transport is cloned for callbacks.
	HTTPClient *http.Client
	// Log gets a warning for each published key, and each member of the metadata, that
	// cannot be used. Nil means none.
	Log *slog.Logger
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// LogValue keeps the secret out of logs.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", c.Issuer), slog.String("client_id", c.ClientID))
}

// Client sends requests to one provider. It is safe for concurrent use, and
// runs a goroutine only while a document is being fetched.
type Client struct {
	cfg      Config
	http     *http.Client
	metadata *document.Cache[Metadata]
	verifier *jwt.Verifier
	waiting  chan struct{} // full when no more logout tokens may wait
	entrance *entrance
	odd      *oddities
	down     *atomic.Int64 // when the provider was last found down, in nanoseconds since 1970; 0 if it answers
}

// New makes a Client. It sends no request and cannot fail. An error of the
// configuration or the provider is reported by the first method that meets it.
func New(cfg Config) *Client {
	cfg.SigningAlgs, cfg.Endpoints = slices.Clone(cfg.SigningAlgs), maps.Clone(cfg.Endpoints)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, http: newHTTPClient(cfg.HTTPClient), waiting: make(chan struct{}, maxWaiting), odd: new(oddities), down: new(atomic.Int64)}
	c.metadata = document.NewCache(cfg.Now, staleWait, c.discover)
	c.verifier = &jwt.Verifier{Issuer: cfg.Issuer, ClientID: cfg.ClientID, Keys: c.keys, Now: cfg.Now}
	c.entrance = entranceFor(c)
	return c
}

// staleWait is how long a caller waits for new metadata before the old is
// used.
const staleWait = 500 * time.Millisecond

// Metadata returns what the provider says about itself, and has been checked.
// It is fetched on first use and again when it is an hour old. If that fails,
// or takes longer than half a second, the old document is used. The result is
// shared and must not be changed.
func (c *Client) Metadata(ctx context.Context) (*Metadata, error) {
	got, err := c.metadata.Get(ctx)
	return got, absent(opDiscovery, err)
}

// keys returns the provider's keys, with the pinned algorithms.
func (c *Client) keys(ctx context.Context) (*jwt.KeySet, error) {
	meta, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	return meta.keys, nil
}

// VerifyIDToken verifies an ID token as [jwt.Verifier.IDToken] does. The error
// for a token that breaks a rule is Rejected. With any other error the token
// may be good.
func (c *Client) VerifyIDToken(ctx context.Context, raw string, want jwt.Expect) (*jwt.IDToken, error) {
	verify := func() (*jwt.IDToken, error) { return c.verifier.IDToken(ctx, raw, want) }
	id, err := verify()
	if coolingDown(err) != nil {
		id, err = patiently(ctx, err, verify)
	}
	return id, judged("ID token", err)
}

// VerifyLogoutToken verifies a logout token as [jwt.Verifier.LogoutToken] does.
// The error for a token that breaks a rule is Rejected. With any other error
// the token may be good.
func (c *Client) VerifyLogoutToken(ctx context.Context, raw string) (*jwt.LogoutToken, error) {
	// Anyone may send one, so few wait at a time.
	verify := func() (*jwt.LogoutToken, error) { return c.verifier.LogoutToken(ctx, raw) }
	logout, err := verify()
	if coolingDown(err) != nil {
		select {
		case c.waiting <- struct{}{}:
			defer func() { <-c.waiting }()
			logout, err = patiently(ctx, err, verify)
		default:
		}
	}
	return logout, judged("logout token", err)
}

// coolingDown returns an error that says when the keys may be fetched again, or nil.
func coolingDown(err error) *document.Error {
	var cooling *document.Error
	if errors.As(err, &cooling) && cooling.Err == document.ErrCoolingDown {
		return cooling
	}
	return nil
}

// maxWaiting is how many logout tokens wait at a time for a fetch of the keys, and how
// many callbacks to be admitted.
const maxWaiting = 1000

// patiently verifies a token once more when the keys may be fetched: others may have
// asked for one that there is not, a moment ago.
func patiently[T any](ctx context.Context, err error, verify func() (T, error)) (token T, _ error) {
	timer := time.NewTimer(coolingDown(err).RetryAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return token, err
	case <-timer.C:
		return verify()
	}
}

// VerifyAccessToken verifies a token that was presented to an API as
// [jwt.Verifier.AccessToken] does. The error for a token that breaks a rule is
// Rejected. One that is Misconfigured is about audience or the provider's
// configuration. With any other error the token may be good.
func (c *Client) VerifyAccessToken(ctx context.Context, raw, audience string) (*jwt.AccessToken, error) {
	access, err := c.verifier.AccessToken(ctx, raw, audience)
	return access, judged("access token", err)
}
