package provider

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/internal/settings"
)

const opDiscovery = "discovery"

const (
	errIssuerURL   = fault("the issuer is no https URL, nor an http one on loopback, without query and fragment")
	errIssuer      = fault("the metadata are of another issuer than the one configured")
	errMetadata    = fault("the metadata are no JSON object of the expected form")
	errEndpoint    = fault("the metadata lack an endpoint, or one is no URL that may be used with this issuer")
	errAlgorithms  = fault("none of the configured signing algorithms can be used")
	errAuthMethods = fault("the provider takes neither client_secret_basic nor client_secret_post")
)

// Metadata is what the provider says about itself, checked: the endpoints are
// https URLs, or on loopback if the issuer is. Those not required are empty if
// the provider has none. https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
type Metadata struct {
	AuthorizationEndpoint, TokenEndpoint, JWKSURI            string // required
	UserInfoEndpoint, EndSessionEndpoint, RevocationEndpoint string
	// IssParameterSupported: authorization responses carry iss, and one that
	// does not is forged. https://www.rfc-editor.org/rfc/rfc9207#section-3
	IssParameterSupported bool
	// ScopesSupported is nil if the provider does not list its scopes.
	ScopesSupported []string

	algorithms     []string
	tokenAuth      authMethod
	revocationAuth authMethod
	keys           *keyring
}

// document is the discovery document as it comes.
type document struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IssParameterSupported bool     `json:"authorization_response_iss_parameter_supported"`
	Scopes                []string `json:"scopes_supported"`
	SigningAlgs           []string `json:"id_token_signing_alg_values_supported"`
	TokenAuth             []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
}

// Reach fetches the metadata, whatever is known already, and reports whether they
// can be used. It changes nothing of what the other methods go by.
func (c *Client) Reach(ctx context.Context) error {
	if _, err := c.discover(ctx); err != nil {
		return err
	}
	return nil
}

// discover fetches the metadata.
func (c *Client) discover(ctx context.Context) (*Metadata, *Error) {
	// https://openid.net/specs/openid-connect-core-1_0.html#Terminology: no query, no fragment
	if !usableURL(c.cfg.Issuer, true) || strings.Contains(c.cfg.Issuer, "?") {
		return nil, misconfigured(opDiscovery, errIssuerURL)
	}
	// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest
	body, failure := c.get(ctx, opDiscovery, strings.TrimSuffix(c.cfg.Issuer, "/")+"/.well-known/openid-configuration")
	if failure != nil {
		return nil, failure
	}
	if _, err := parseObject(body); err != nil {
		return nil, unavailable(opDiscovery, err)
	}
	var doc document
	if json.Unmarshal(body, &doc) != nil {
		return nil, misconfigured(opDiscovery, errMetadata)
	}
	meta, cause := c.checkDocument(doc)
	if cause != "" {
		return nil, misconfigured(opDiscovery, cause)
	}
	meta.keys = c.keyring(meta.JWKSURI)
	return meta, nil
}

// checkDocument makes Metadata of a document. The cause is empty if nothing is
// wrong.
func (c *Client) checkDocument(doc document) (*Metadata, fault) {
	// To the letter: https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation
	if doc.Issuer != c.cfg.Issuer {
		return nil, errIssuer
	}
	onLoopback := strings.HasPrefix(c.cfg.Issuer, "http:")
	for _, endpoint := range []string{doc.AuthorizationEndpoint, doc.TokenEndpoint, doc.JWKSURI} {
		if !usableURL(endpoint, onLoopback) {
			return nil, errEndpoint
		}
	}
	for _, endpoint := range []string{doc.UserInfoEndpoint, doc.EndSessionEndpoint, doc.RevocationEndpoint} {
		if endpoint != "" && !usableURL(endpoint, onLoopback) {
			return nil, errEndpoint
		}
	}
	meta := &Metadata{
		AuthorizationEndpoint: doc.AuthorizationEndpoint,
		TokenEndpoint:         doc.TokenEndpoint,
		JWKSURI:               doc.JWKSURI,
		UserInfoEndpoint:      doc.UserInfoEndpoint,
		EndSessionEndpoint:    doc.EndSessionEndpoint,
		RevocationEndpoint:    doc.RevocationEndpoint,
		IssParameterSupported: doc.IssParameterSupported,
		ScopesSupported:       doc.Scopes,
		tokenAuth:             chooseAuth(doc.TokenAuth),
	}
	if meta.tokenAuth == authNone {
		return nil, errAuthMethods
	}
	meta.revocationAuth = meta.tokenAuth
	if len(doc.RevocationAuth) > 0 {
		meta.revocationAuth = chooseAuth(doc.RevocationAuth)
	}
	if meta.algorithms = c.algorithms(doc.SigningAlgs); len(meta.algorithms) == 0 {
		return nil, errAlgorithms
	}
	return meta, ""
}

// algorithms returns the pinned ones: those configured, else those the
// provider lists, else the one that every provider must have.
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation (7)
func (c *Client) algorithms(listed []string) []string {
	if len(c.cfg.SigningAlgs) > 0 {
		return asymmetric(c.cfg.SigningAlgs)
	}
	if algs := asymmetric(listed); len(algs) > 0 {
		return algs
	}
	return []string{oidc.RS256}
}

// asymmetric returns the names that are signature algorithms with a public key.
func asymmetric(names []string) []string {
	known := settings.Asymmetric()
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(known, name) })
}

// usableURL reports whether raw is an absolute https URL, or with onLoopback
// also an http one of this machine, that names a resource and nothing else.
func usableURL(raw string, onLoopback bool) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(raw, "#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && onLoopback && settings.Loopback(u.Hostname())
}
