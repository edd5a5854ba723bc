package provider_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

// What sign-ins do not need fails nothing, however odd it is, and is named once.
func TestMetadata_OddMembers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		changes m
		named   string // "" if it is as it may be
	}{
		"text in place of a list":         {m{"claims_supported": "sub", "scopes_supported": "openid"}, ""},
		"a boolean in place of a list":    {m{"scopes_supported": true}, "scopes_supported"},
		"text in place of a boolean":      {m{"authorization_response_iss_parameter_supported": "yes"}, "authorization_response_iss_parameter_supported"},
		"null in place of a list":         {m{"scopes_supported": raw("null")}, "scopes_supported"},
		"an object in place of a list":    {m{"id_token_signing_alg_values_supported": m{}}, "id_token_signing_alg_values_supported"},
		"a number in place of a list":     {m{"token_endpoint_auth_methods_supported": 1}, "token_endpoint_auth_methods_supported"},
		"a number in place of a boolean":  {m{"authorization_response_iss_parameter_supported": 1}, "authorization_response_iss_parameter_supported"},
		"a relative end-session endpoint": {m{"end_session_endpoint": "/logout"}, "end_session_endpoint"},
		"an end-session endpoint by http": {m{"end_session_endpoint": "http://id.example.com/logout"}, "end_session_endpoint"},
		"a script as end-session address": {m{"end_session_endpoint": "javascript:alert(1)"}, "end_session_endpoint"},
		"a revocation endpoint by number": {m{"revocation_endpoint": 5}, "revocation_endpoint"},
		"userinfo with a password":        {m{"userinfo_endpoint": "https://u:p@id.example.com/"}, "userinfo_endpoint"},
		"an unknown endpoint that is odd": {m{"device_authorization_endpoint": []int{1}}, "device_authorization_endpoint"},
		"two lines in a name":             {m{"a\nb_supported": 5}, `"a\\nb_supported`},
		"unknown names":                   {m{"x": 1, "y": raw("null"), "mtls_endpoint_aliases": m{}}, ""},
		"booleans as text":                {m{"authorization_response_iss_parameter_supported": "true", "frontchannel_logout_supported": "false"}, ""},
		"an object of an extension":       {m{"vp_formats_supported": m{"jwt_vp": m{}}}, ""},
		"a name in two spellings":         {m{"SCOPES_supported": []string{"x"}, "Issuer": "https://evil.example", "X": 1, "x": 2}, ""},
	} {
		f, log := newFake(), new(bytes.Buffer)
		f.Meta(row.changes)
		c := f.Client(func(cfg *provider.Config) { cfg.Log = slog.New(slog.NewTextHandler(log, nil)) })
		for range 3 { // again, and again after a change of something else
			meta, err := c.Metadata(context.Background())
			wantKind(t, err, 0)
			if strings.HasPrefix(row.named, "end_session") && meta.EndSessionEndpoint != "" {
				t.Errorf("%s: got end-session endpoint %q; want none", name, meta.EndSessionEndpoint)
			}
			wantKind(t, c.Reach(context.Background()), 0)
			f.Move(time.Hour)
		}
		if got := strings.Count(log.String(), "level=WARN"); row.named == "" && got != 0 || row.named != "" && (got != 1 || !strings.Contains(log.String(), row.named)) {
			t.Errorf("%s: got log %q; want %q named once", name, log.String(), row.named)
		}
	}
}

// An error names what was found and what was wanted.
func TestMetadata_Errors(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		changes m
		want    []string
	}{
		"an issuer with a slash":     {m{"issuer": issuer + "/"}, []string{`"` + issuer + `/"`, `"` + issuer + `"`}},
		"an inner host name":         {m{"issuer": "http://keycloak:8080/realms/x"}, []string{`"http://keycloak:8080/realms/x"`, `"` + issuer + `"`}},
		"an issuer in another case":  {m{"issuer": nil, "Issuer": issuer}, []string{"absent", `"` + issuer + `"`}},
		"no issuer":                  {m{"issuer": nil}, []string{"absent", `"` + issuer + `"`}},
		"no token endpoint":          {m{"token_endpoint": nil}, []string{"token_endpoint is absent; it needs an absolute URL"}},
		"a token endpoint of null":   {m{"token_endpoint": raw("null")}, []string{`token_endpoint is "null"; it needs an absolute URL`}},
		"keys by http":               {m{"jwks_uri": "http://id.example.com/keys"}, []string{`jwks_uri is "http://id.example.com/keys"; it needs https`, "DangerouslyAllowHTTP"}},
		"unsupported authentication": {m{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}, []string{"private_key_jwt", "client_secret_basic", "ClientAuth"}},
	} {
		_, err := publishes(issuer, metaOf(issuer, row.changes)).Metadata(context.Background())
		e := wantKind(t, err, provider.Misconfigured)
		for _, text := range row.want {
			if !strings.Contains(e.Error(), text) {
				t.Errorf("%s: got %v; want %s in it", name, e, text)
			}
		}
	}
}

// Metadata and keys are fetched where they are said to have moved, within the origin.
func TestClient_MovedDocuments(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, from, to string
		good           bool
	}{
		{"a path of the same origin", issuer, "/moved", true},
		{"the same origin in full", issuer, "HTTPS://ID.example.com:443/moved", true},
		{"https instead of http", "http://127.0.0.1:3001", "https://127.0.0.1/moved", true},
		{"http instead of https", issuer, "http://id.example.com/moved", false},
		{"another host", issuer, "https://evil.example/moved", false},
		{"a host below", issuer, "https://a.id.example.com/moved", false},
		{"another port", issuer, "https://id.example.com:8443/moved", false},
		{"another port by http", "http://127.0.0.1:3001", "http://127.0.0.1:3002/moved", false},
		{"another host by https", "http://127.0.0.1:3001", "https://localhost:3001/moved", false},
		{"a password", issuer, "https://u:p@id.example.com/moved", false},
		{"another scheme", issuer, "ftp://id.example.com/moved", false},
		{"nowhere", issuer, "", false},
	} {
		for _, path := range []string{wellKnown, keysPath} {
			f := newFake()
			f.issuer, f.meta = row.from, usualMeta(row.from)
			f.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", row.to)
				w.WriteHeader(http.StatusFound)
			})
			f.Answer("/moved", func(w http.ResponseWriter, r *http.Request) {
				f.Answer(path, nil)
				r.URL.Path = path
				f.ServeHTTP(w, r)
			})
			err := verify(f.Client(), f.idToken())
			if row.good {
				wantKind(t, err, 0)
				continue
			}
			if e := wantKind(t, err, provider.Misconfigured); e.Status != http.StatusFound || strings.Contains(e.Error(), "u:p") {
				t.Errorf("%s: got %v; want an error about the redirect", row.name, e)
			}
			f.wantHits(t, "/moved", 0)
		}
	}
}

// Three redirects are followed, a fourth is not.
func TestClient_MovedAgainAndAgain(t *testing.T) {
	t.Parallel()
	for redirects, want := range map[int]provider.Kind{3: 0, 4: provider.Misconfigured} {
		f := newFake()
		left := redirects
		f.Answer(wellKnown, func(w http.ResponseWriter, r *http.Request) {
			if left--; left == 0 {
				f.Answer(wellKnown, nil)
			}
			http.Redirect(w, r, wellKnown, http.StatusTemporaryRedirect)
		})
		_, err := f.Client().Metadata(context.Background())
		wantKind(t, err, want)
		f.wantHits(t, wellKnown, 4)
	}
}

// Settings take the place of what discovery says, and the issuer stays exact.
func TestConfig_PeculiarProviders(t *testing.T) {
	t.Parallel()
	const elsewhere = "/b2c/policy/metadata"
	for _, row := range []struct {
		name   string
		change func(*provider.Config)
		meta   m // changes
		want   provider.Kind
		token  string // endpoint; "" is the provider's
	}{
		{"metadata elsewhere", func(c *provider.Config) { c.DiscoveryURL = issuer + elsewhere + "?p=1" }, nil, 0, ""},
		{"metadata elsewhere of another issuer", func(c *provider.Config) { c.DiscoveryURL = issuer + elsewhere }, m{"issuer": issuer + "/"}, provider.Misconfigured, ""},
		{"a token endpoint inside", func(c *provider.Config) {
			c.Endpoints = map[string]string{"token_endpoint": "https://inner.example/token"}
		}, nil, 0, "https://inner.example/token"},
		{"an endpoint that the metadata lack", func(c *provider.Config) {
			c.Endpoints = map[string]string{"token_endpoint": "https://inner.example/token"}
		}, m{"token_endpoint": nil}, 0, "https://inner.example/token"},
		{"endpoints, and another issuer", func(c *provider.Config) {
			c.Endpoints = map[string]string{"token_endpoint": "https://inner.example/token"}
		}, m{"issuer": "https://evil.example"}, provider.Misconfigured, ""},
		{"an endpoint by http", func(c *provider.Config) {
			c.Endpoints = map[string]string{"token_endpoint": "http://inner.example/token"}
		},
			nil, provider.Misconfigured, ""},
		{"an endpoint by http in a network without https", func(c *provider.Config) {
			c.AnyHTTP, c.Endpoints = true, map[string]string{"token_endpoint": "http://inner.example/token"}
		}, nil, 0, "http://inner.example/token"},
		{"endpoints not to be used", func(c *provider.Config) {
			c.Endpoints = map[string]string{"userinfo_endpoint": "", "end_session_endpoint": "", "revocation_endpoint": ""}
		}, nil, 0, ""},
	} {
		f := newFake()
		f.Meta(row.meta)
		f.Answer(elsewhere, func(w http.ResponseWriter, r *http.Request) {
			r.URL.Path = wellKnown
			f.ServeHTTP(w, r)
		})
		meta, err := f.Client(row.change).Metadata(context.Background())
		if wantKind(t, err, row.want); err != nil {
			continue
		}
		if row.token == "" {
			row.token = issuer + tokenPath
		}
		if meta.TokenEndpoint != row.token {
			t.Errorf("%s: got token endpoint %q; want %q", row.name, meta.TokenEndpoint, row.token)
		}
		if unused := strings.HasSuffix(row.name, "not to be used"); unused != (meta.UserInfoEndpoint+meta.EndSessionEndpoint+meta.RevocationEndpoint == "") {
			t.Errorf("%s: got %q; want them unused: %t", row.name, endpoints(meta), unused)
		}
	}
}
