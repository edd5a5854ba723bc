package provider

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
	"github.com/gosignin/signin/internal/settings"
)

const (
	opDiscovery = "discovery"
	opKeys      = "keys"
)

// Reach fetches the metadata, even if it is cached, and reports whether it can be
// used. The other methods go on using the cached metadata.
func (c *Client) Reach(ctx context.Context) error {
	_, err := c.discover(ctx)
	return err
}

// discover fetches the metadata.
func (c *Client) discover(ctx context.Context) (*Metadata, error) {
	address, err := c.cfg.discoveryURL()
	if err != nil {
		return nil, misconfigured(opDiscovery, fault("the issuer "+err.Error()))
	}
	body, err := c.getMetadata(ctx, address)
	if err != nil {
		return nil, err
	}
	members, err := document.Parse(body)
	switch {
	case err != nil && json.Valid(body):
		return nil, misconfigured(opDiscovery, err)
	case err != nil: // truncated, for one
		return nil, unavailable(opDiscovery, err)
	}
	meta, algorithms, odd, err := c.cfg.readMetadata(members)
	if err != nil {
		return nil, misconfigured(opDiscovery, err)
	}
	meta.keys = c.keysAt(meta.JWKSURI).Pin(algorithms)
	c.odd.report(ctx, c.cfg.Log, odd)
	return meta, nil
}

// discoveryURL returns the address of the metadata.
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest
func (c *Config) discoveryURL() (string, error) {
	// No query, no fragment:
	// https://openid.net/specs/openid-connect-core-1_0.html#Terminology
	if _, err := settings.Issuer(c.Issuer, settings.PlainEndpoints(c.Issuer, c.AnyHTTP)); err != nil {
		return "", err
	}
	return cmp.Or(c.DiscoveryURL, strings.TrimSuffix(c.Issuer, "/")+"/.well-known/openid-configuration"), nil
}

// getMetadata fetches the metadata. A page in their place means that they are not at
// this address: waiting does not help.
func (c *Client) getMetadata(ctx context.Context, address string) ([]byte, error) {
	got, err := c.get(ctx, opDiscovery, address)
	if err == nil && bytes.HasPrefix(bytes.TrimSpace(got), []byte("<")) {
		err = misconfigured(opDiscovery, fault("there is a page at "+document.Quote(address)+"; needs the metadata of the issuer, in JSON"))
	}
	return got, err
}

// oddities are what was odd in the metadata when they were last read.
type oddities struct {
	mu   sync.Mutex
	last []string
}

// report logs what has not been odd before.
func (o *oddities) report(ctx context.Context, log *slog.Logger, odd []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, text := range odd {
		if !slices.Contains(o.last, text) {
			log.WarnContext(ctx, "signin: a member of the provider's metadata cannot be used, and counts as absent", "member", text)
		}
	}
	o.last = odd
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
func (c *Config) algorithms(listed []string) []string {
	known := settings.Asymmetric()
	usable := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(known, name) })
	}
	if len(c.SigningAlgs) > 0 {
		return usable(c.SigningAlgs)
	}
	if algorithms := usable(listed); len(algorithms) > 0 {
		return algorithms
	}
	return []string{oidc.RS256}
}
