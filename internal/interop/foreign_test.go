package interop

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/luikyv/go-oidc/pkg/goidc"
)

// accessTokenLifetime is what every provider here gives an access token.
const accessTokenLifetime = time.Minute

// edDSA is a name that luikyv/go-oidc has no constant for, though it signs with it.
const edDSA goidc.SignatureAlgorithm = jose.EdDSA

// A foreign is a running provider that nobody of this project wrote, and the
// client that is registered there.
type foreign struct {
	issuer, clientID, clientSecret string
	// alg is what the provider signs ID tokens with.
	alg goidc.SignatureAlgorithm
	// needsConsentPrompt tells that this provider gives no refresh token to
	// somebody who does not ask for consent.
	needsConsentPrompt bool
	// spendsOnRefusal tells that this provider takes a refresh token for used even
	// if it answers invalid_target, and so without the one that would replace it.
	// The next use is then the second, which ends the grant.
	spendsOnRefusal bool
	// resources and scopes are what an application asks for at this provider
	// besides what every one does.
	resources, scopes []string
}

// A foreignProvider can be started for applications at baseURLs, each with a
// client of its own, in that order.
type foreignProvider struct {
	name  string
	start func(t *testing.T, baseURLs ...string) []foreign
}

var (
	// foreigns are the providers every test of the flow runs against.
	foreigns = signingWith(goidc.ES256, goidc.RS256)
	// foreignsWithEachKey are for the tests in which signatures matter.
	foreignsWithEachKey = signingWith(keyAlgorithms...)
	keyAlgorithms       = []goidc.SignatureAlgorithm{goidc.RS256, goidc.ES256, goidc.ES384, edDSA, goidc.PS256}
)

// signingWith returns each provider once for each algorithm of its ID tokens.
func signingWith(algs ...goidc.SignatureAlgorithm) []foreignProvider {
	var providers []foreignProvider
	for _, kind := range []struct {
		name  string
		start func(*testing.T, goidc.SignatureAlgorithm, ...string) []foreign
	}{
		{"luikyv go-oidc", startLuikyv},
		{"node oidc-provider", startNodeProvider},
	} {
		for _, alg := range algs {
			providers = append(providers, foreignProvider{
				name: kind.name + " with " + string(alg),
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

// TestForeignProvidersAnnounceWhatTheOtherTestsRelyOn keeps the others honest:
// a provider that stopped announcing one of these would make their assertions
// pass for want of an occasion to fail.
func TestForeignProvidersAnnounceWhatTheOtherTestsRelyOn(t *testing.T) {
	t.Parallel()
	for _, provider := range foreignsWithEachKey {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			op := provider.start(t, "http://127.0.0.1:1")[0]
			metadata := metadataOf(t, op)
			if metadata.Issuer != op.issuer {
				t.Errorf("issuer: got %s; want %s", metadata.Issuer, op.issuer)
			}
			if !metadata.IssParameter {
				t.Error("the provider does not announce iss in authorization responses")
			}
			if metadata.EndSessionEndpoint == "" || metadata.RevocationEndpoint == "" || metadata.UserInfoEndpoint == "" {
				t.Errorf("an endpoint is missing: %+v", metadata)
			}
			if !slices.Equal(metadata.CodeChallengeMethods, []string{"S256"}) {
				t.Errorf("PKCE methods: got %v; want S256 alone", metadata.CodeChallengeMethods)
			}
			if !slices.Contains(metadata.Scopes, "offline_access") {
				t.Errorf("scopes: got %v; want offline_access among them", metadata.Scopes)
			}
			if !slices.Contains(metadata.TokenEndpointAuthMeth, "client_secret_basic") {
				t.Errorf("client authentication: got %v; want client_secret_basic among them", metadata.TokenEndpointAuthMeth)
			}
			if !slices.Contains(metadata.IDTokenAlgorithms, string(op.alg)) {
				t.Errorf("algorithms of ID tokens: got %v; want %s among them", metadata.IDTokenAlgorithms, op.alg)
			}
		})
	}
}

// metadata is what a provider says of itself, as far as anybody here asks.
type metadata struct {
	Issuer                string   `json:"issuer"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
	TokenEndpoint         string   `json:"token_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
	Scopes                []string `json:"scopes_supported"`
	TokenEndpointAuthMeth []string `json:"token_endpoint_auth_methods_supported"`
	IDTokenAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
}

func metadataOf(t *testing.T, op foreign) metadata {
	t.Helper()
	resp, err := (&http.Client{Transport: ownTransport}).Get(op.issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m metadata
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}
