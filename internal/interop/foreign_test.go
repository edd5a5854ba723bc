package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// accessTokenLifetime is what every provider here gives an access token.
const accessTokenLifetime = time.Minute

// A foreign is a running provider that nobody of this project wrote, and the
// client that is registered there.
type foreign struct {
	issuer, clientID, clientSecret string
	// needsConsentPrompt tells that this provider gives no refresh token to
	// somebody who does not ask for consent.
	needsConsentPrompt bool
}

// foreigns are the providers every test of the flow runs against, started for
// an application at baseURL.
var foreigns = []struct {
	name  string
	start func(t *testing.T, baseURL string) foreign
}{
	{"luikyv go-oidc with ES256", func(t *testing.T, baseURL string) foreign {
		return startLuikyv(t, baseURL, goidc.ES256)
	}},
	{"luikyv go-oidc with RS256", func(t *testing.T, baseURL string) foreign {
		return startLuikyv(t, baseURL, goidc.RS256)
	}},
	{"node oidc-provider with RS256", func(t *testing.T, baseURL string) foreign {
		return startNodeProvider(t, goidc.RS256, baseURL)[0]
	}},
	{"node oidc-provider with ES256", func(t *testing.T, baseURL string) foreign {
		return startNodeProvider(t, goidc.ES256, baseURL)[0]
	}},
}

// signingKey makes a key pair for ID tokens signed with alg.
func signingKey(t *testing.T, alg goidc.SignatureAlgorithm) goidc.JSONWebKey {
	t.Helper()
	key := goidc.JSONWebKey{KeyID: string(alg), Algorithm: string(alg), Use: "sig"}
	var err error
	switch alg {
	case goidc.ES256:
		key.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case goidc.RS256:
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
	for _, provider := range foreigns {
		t.Run(provider.name, func(t *testing.T) {
			t.Parallel()
			op := provider.start(t, "http://127.0.0.1:1")
			resp, err := http.Get(op.issuer + "/.well-known/openid-configuration")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var metadata struct {
				Issuer                string   `json:"issuer"`
				IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
				EndSessionEndpoint    string   `json:"end_session_endpoint"`
				RevocationEndpoint    string   `json:"revocation_endpoint"`
				UserInfoEndpoint      string   `json:"userinfo_endpoint"`
				CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
				Scopes                []string `json:"scopes_supported"`
				TokenEndpointAuthMeth []string `json:"token_endpoint_auth_methods_supported"`
			}
			if err := json.NewDecoder(resp.Body).Decode(&metadata); err != nil {
				t.Fatal(err)
			}
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
		})
	}
}
