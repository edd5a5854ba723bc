package interop

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// accessTokenLifetime is how long access tokens of every provider here live.
const accessTokenLifetime = time.Minute

// edDSA is an algorithm for which luikyv/go-oidc has no constant, though it signs
// with it.
const edDSA goidc.SignatureAlgorithm = jose.EdDSA

// A foreign is a running provider from another project, and the client that is
// registered there.
type foreign struct {
	issuer, clientID, clientSecret string
	// alg is the algorithm with which the provider signs ID tokens.
	alg goidc.SignatureAlgorithm
	// needsConsentPrompt means that this provider gives a refresh token only to
	// applications that ask for consent.
	needsConsentPrompt bool
	// spendsOnRefusal means that this provider counts a refresh token as used even if
	// it answers invalid_target, which brings no new one. The next use then counts as
	// the second, which ends the grant.
	spendsOnRefusal bool
	// resources and scopes are what an application asks for in addition.
	resources, scopes []string
}

// A foreignProvider can be started for applications at baseURLs. It registers
// one client for each, in that order.
type foreignProvider struct {
	name        string
	start       func(t *testing.T, baseURLs ...string) []foreign
	backChannel bool // sends logout tokens
}

var (
	// foreigns are for tests in which signatures do not matter.
	foreigns = signingWith(goidc.ES256)
	// foreignsWithEachKey are for tests in which they do.
	foreignsWithEachKey = signingWith(keyAlgorithms...)
)

// signingWith returns each provider once for each algorithm of its ID tokens.
func signingWith(algs ...goidc.SignatureAlgorithm) []foreignProvider {
	var providers []foreignProvider
	for _, kind := range []struct {
		name        string
		start       func(*testing.T, goidc.SignatureAlgorithm, ...string) []foreign
		backChannel bool
	}{
		{"luikyv go-oidc", startLuikyv, false},
		{"node oidc-provider", startNodeProvider, true},
	} {
		for _, alg := range algs {
			providers = append(providers, foreignProvider{
				name:        kind.name + " with " + string(alg),
				backChannel: kind.backChannel,
				start: func(t *testing.T, baseURLs ...string) []foreign {
					t.Helper()
					return kind.start(t, alg, baseURLs...)
				},
			})
		}
	}
	return providers
}

// signingKey makes a key pair for ID tokens signed with alg.
func signingKey(t *testing.T, alg goidc.SignatureAlgorithm) goidc.JSONWebKey {
	t.Helper()
	key := goidc.JSONWebKey{KeyID: string(alg), Algorithm: string(alg), Use: "sig"}
	var err error
	switch alg {
	case goidc.ES256:
		key.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case goidc.ES384:
		key.Key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case edDSA:
		_, key.Key, err = ed25519.GenerateKey(rand.Reader)
	case goidc.RS256, goidc.PS256:
		key.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("no key for %s", alg)
	}
	if err != nil {
		t.Fatalf("make a key for %s: %v", alg, err)
	}
	return key
}
