package faults_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gosignin/signin/internal/faults"
)

// document returns some of the metadata of the provider at address.
func document(address string) map[string]any {
	return map[string]any{
		"issuer":                                address + "/oidc",
		"jwks_uri":                              address + "/oidc/jwks",
		"token_endpoint":                        address + "/oidc/token",
		"userinfo_endpoint":                     address + "/oidc/me",
		"revocation_endpoint":                   address + "/oidc/token/revocation",
		"end_session_endpoint":                  address + "/oidc/session/end",
		"id_token_signing_alg_values_supported": []string{"ES384"},
		"authorization_response_iss_parameter_supported": true,
	}
}

var metadataFaults = map[string]map[string]any{ // what changes; nil goes
	faults.DiscoveryIssuerWrong: {"issuer": "https://other-provider.example/oidc"},
	faults.DiscoveryIssuerSlash: {"issuer": issuer + "/"},
	faults.DiscoveryHTTPEndpoints: {
		"jwks_uri": "http://op.example/oidc/jwks", "token_endpoint": "http://op.example/oidc/token",
		"userinfo_endpoint": "http://op.example/oidc/me", "revocation_endpoint": "http://op.example/oidc/token/revocation",
		"end_session_endpoint": "http://op.example/oidc/session/end",
	},
	faults.DiscoveryOtherProvider: {
		"issuer": "https://other-provider.example/oidc", "jwks_uri": "https://other-provider.example/oidc/jwks",
		"token_endpoint": "https://other-provider.example/oidc/token", "userinfo_endpoint": "https://other-provider.example/oidc/me",
		"revocation_endpoint":  "https://other-provider.example/oidc/token/revocation",
		"end_session_endpoint": "https://other-provider.example/oidc/session/end",
	},
	faults.DiscoveryNoResponseIssuer: {"authorization_response_iss_parameter_supported": nil},
	faults.DiscoveryNoEndSession:     {"end_session_endpoint": nil},
	faults.DiscoveryNoRevocation:     {"revocation_endpoint": nil},
	faults.DiscoveryNoUserInfo:       {"userinfo_endpoint": nil},
	faults.DiscoveryAlgNone:          {"id_token_signing_alg_values_supported": []string{"none", "HS256", "ES384"}},
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	for fault, changes := range metadataFaults {
		got, want := document(address), document(address)
		maps.Copy(want, changes)
		maps.DeleteFunc(want, func(_ string, value any) bool { return value == nil })
		faults.Of(fault).Metadata(facts(), got)
		if got, want := encoded(t, got), encoded(t, want); got != want {
			t.Errorf("%s: got %s; want %s", fault, got, want)
		}
	}
}

// There is no s to take away: the endpoints leave loopback, where http is fine.
func TestMetadata_HTTPEndpointsOfAnHTTPProvider(t *testing.T) {
	t.Parallel()
	f, doc := facts(), document("http://127.0.0.1:3001")
	f.URL, f.Issuer = "http://127.0.0.1:3001", "http://127.0.0.1:3001/oidc"
	faults.Of(faults.DiscoveryHTTPEndpoints).Metadata(f, doc)
	if doc["issuer"] != f.Issuer || doc["token_endpoint"] != "http://provider.example/oidc/token" || doc["jwks_uri"] != "http://provider.example/oidc/jwks" {
		t.Errorf("got %v", doc)
	}
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var keysFaults = map[string]func(ids []string, size int) bool{
	faults.KeysEmpty:    func(ids []string, _ int) bool { return len(ids) == 0 },
	faults.KeysReversed: func(ids []string, _ int) bool { return slices.Equal(ids, []string{"before", current.ID}) },
	faults.Keys10000: func(ids []string, size int) bool {
		return len(ids) == 10_002 && slices.Equal(ids[10_000:], []string{current.ID, "before"}) && size < 1<<20
	},
}

// published returns the key set after the effect of a fault, as it is sent.
func published(t *testing.T, fault string) (jose.JSONWebKeySet, string) {
	t.Helper()
	before := spare
	before.ID = "before"
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{current.Public(), before.Public()}}
	faults.Of(fault).Keys(facts(), &set)
	return set, encoded(t, set)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for fault, is := range keysFaults {
		set, sent := published(t, fault)
		var ids []string
		for _, key := range set.Keys {
			ids = append(ids, key.KeyID)
		}
		if !is(ids, len(sent)) || !strings.Contains(sent, `"keys":[`) {
			t.Errorf("%s: got %d keys in %d bytes", fault, len(ids), len(sent))
		}
	}
}

func TestKeys_ThatTokensAreWronglySignedWith(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]struct {
		key      faults.Key
		alg, use string
	}{
		faults.IDTokenOtherAlgorithm:     {other, "ES256", "sig"},
		faults.LogoutTokenOtherAlgorithm: {other, "ES256", "sig"},
		faults.IDTokenKeyForEncryption:   {spare, "ES384", "enc"},
	} {
		set, _ := published(t, fault)
		got := set.Keys[len(set.Keys)-1]
		if len(set.Keys) != 3 || got.KeyID != want.key.ID || got.Algorithm != want.alg || got.Use != want.use {
			t.Errorf("%s: got %d keys, the last %s for %s; want one more, for %+v", fault, len(set.Keys), got.Algorithm, got.Use, want)
		}
	}
}
