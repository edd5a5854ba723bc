package provider

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/settings"
)

const (
	opDiscovery = "discovery"
	opKeys      = "keys"
)

const errEndpoint = fault("an endpoint in the metadata is missing, or is not a URL that may be used with this issuer")

// Metadata is what the provider says about itself, and has been checked. The
// endpoints are https URLs, or http URLs on loopback if the issuer is one.
// Endpoints that are not required are empty if the provider lacks them.
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
type Metadata struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"` // required
	TokenEndpoint         string `json:"token_endpoint"`         // required
	JWKSURI               string `json:"jwks_uri"`               // required
	UserInfoEndpoint      string `json:"userinfo_endpoint"`
	EndSessionEndpoint    string `json:"end_session_endpoint"`
	RevocationEndpoint    string `json:"revocation_endpoint"`
	// IssParameterSupported says that authorization responses have iss, so that
	// one without it is forged. https://www.rfc-editor.org/rfc/rfc9207#section-3
	IssParameterSupported bool `json:"authorization_response_iss_parameter_supported"`
	// ScopesSupported is nil if the provider does not list its scopes.
	ScopesSupported []string `json:"scopes_supported"`
	// PromptValues are the values of prompt that it lists, or nil.
	// https://openid.net/specs/openid-connect-prompt-create-1_0.html#section-4.1
	PromptValues []string `json:"-"`
	// The algorithms and ways to authenticate that it lists. Not all are used.
	SigningAlgs    []string `json:"id_token_signing_alg_values_supported"`
	TokenAuth      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth []string `json:"revocation_endpoint_auth_methods_supported"`

	tokenAuth, revocationAuth string
	keys                      *jwt.KeySet
}

// Reach fetches the metadata, even if it is cached, and reports whether it can be
// used. The other methods go on using the cached metadata.
func (c *Client) Reach(ctx context.Context) error {
	_, err := c.discover(ctx)
	return err
}

// discover fetches the metadata.
func (c *Client) discover(ctx context.Context) (*Metadata, error) {
	// https://openid.net/specs/openid-connect-core-1_0.html#Terminology: no query,
	// no fragment
	if !usableURL(c.cfg.Issuer, true) || strings.Contains(c.cfg.Issuer, "?") {
		return nil, misconfigured(opDiscovery, fault("the issuer is not an https URL, or an http URL on loopback, without query and fragment"))
	}
	// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest
	body, err := c.get(ctx, opDiscovery, strings.TrimSuffix(c.cfg.Issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	members, err := document.Parse(body)
	if err != nil {
		return nil, unavailable(opDiscovery, err)
	}
	meta := new(Metadata)
	if members.Has("prompt_values_supported") {
		meta.PromptValues, _ = members.Texts("prompt_values_supported") // nil if of another type
	}
	if json.Unmarshal(body, meta) != nil {
		return nil, misconfigured(opDiscovery, fault("a member of the metadata has the wrong type"))
	}
	if err := c.complete(meta); err != nil {
		return nil, misconfigured(opDiscovery, err)
	}
	return meta, nil
}

// complete checks metadata as received, and chooses the ways to authenticate,
// the keys and the algorithms.
func (c *Client) complete(meta *Metadata) error {
	// Exactly:
	// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation
	if meta.Issuer != c.cfg.Issuer {
		return fault("the issuer in the metadata is not the one configured")
	}
	onLoopback := strings.HasPrefix(c.cfg.Issuer, "http:")
	for _, endpoint := range []string{meta.AuthorizationEndpoint, meta.TokenEndpoint, meta.JWKSURI} {
		if !usableURL(endpoint, onLoopback) {
			return errEndpoint
		}
	}
	for _, endpoint := range []string{meta.UserInfoEndpoint, meta.EndSessionEndpoint, meta.RevocationEndpoint} {
		if endpoint != "" && !usableURL(endpoint, onLoopback) {
			return errEndpoint
		}
	}
	if meta.tokenAuth = chooseAuth(meta.TokenAuth); meta.tokenAuth == "" {
		return fault("the token endpoint supports neither client_secret_basic nor client_secret_post")
	}
	meta.revocationAuth = meta.tokenAuth
	if len(meta.RevocationAuth) > 0 {
		meta.revocationAuth = chooseAuth(meta.RevocationAuth)
	}
	algorithms := c.algorithms(meta.SigningAlgs)
	if len(algorithms) == 0 {
		return fault("none of the configured signing algorithms can be used")
	}
	meta.keys = c.keysAt(meta.JWKSURI).Pin(algorithms)
	return nil
}

// keysAt returns the keys at an address. It is the set in use if that has the
// same address, so that an hourly discovery forgets neither keys nor waits.
func (c *Client) keysAt(uri string) *jwt.KeySet {
	if held := c.metadata.Held(); held != nil && held.JWKSURI == uri {
		return held.keys
	}
	return jwt.NewKeySet(c.cfg.Now, c.cfg.Log, func(ctx context.Context) ([]byte, error) { return c.get(ctx, opKeys, uri) })
}

// algorithms returns the algorithms to pin: those configured, else those that
// the provider lists, else the one that every provider must support.
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation (7)
func (c *Client) algorithms(listed []string) []string {
	known := settings.Asymmetric()
	usable := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(known, name) })
	}
	if len(c.cfg.SigningAlgs) > 0 {
		return usable(c.cfg.SigningAlgs)
	}
	if algorithms := usable(listed); len(algorithms) > 0 {
		return algorithms
	}
	return []string{oidc.RS256}
}

// usableURL reports whether raw is an absolute https URL, or with onLoopback
// also an http URL on this machine, without user information and fragment.
func usableURL(raw string, onLoopback bool) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(raw, "#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && onLoopback && settings.Loopback(u.Hostname())
}
