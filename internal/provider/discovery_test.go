package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/provider"
)

const loopbackIssuer = "http://127.0.0.1:3001"

func TestMetadata_Fields(t *testing.T) {
	t.Parallel()
	meta, err := newFake().Client().Metadata(context.Background())
	wantKind(t, err, 0)
	want := []string{"/x7/authorize", tokenPath, keysPath, userInfoPath, "/x7/end", revocationPath}
	for i, got := range endpoints(meta) {
		if got != issuer+want[i] {
			t.Errorf("got endpoint %q; want %q", got, issuer+want[i])
		}
	}
	if !meta.IssParameterSupported || !slices.Equal(meta.ScopesSupported, []string{"openid", "offline_access"}) {
		t.Errorf("got iss parameter %t, scopes %q; want true and those listed", meta.IssParameterSupported, meta.ScopesSupported)
	}
}

// One text counts as a list of one, and is not split.
func TestMetadata_Lists(t *testing.T) {
	t.Parallel()
	for listed, want := range map[string][]string{
		`["none","create"]`: {"none", "create"}, `["create",5]`: {"create"}, `"create"`: {"create"}, `"a b"`: {"a b"}, `""`: nil,
		`null`: nil, `[1]`: nil, `{"create":true}`: nil, `true`: nil, `[]`: nil,
	} {
		changes := m{"prompt_values_supported": raw(listed), "scopes_supported": raw(listed)}
		meta, err := publishes(issuer, metaOf(issuer, changes)).Metadata(context.Background())
		if wantKind(t, err, 0); !slices.Equal(meta.PromptValues, want) || !slices.Equal(meta.ScopesSupported, want) || (meta.ScopesSupported == nil) != (want == nil) {
			t.Errorf("%s: got %q, %q; want %q", listed, meta.PromptValues, meta.ScopesSupported, want)
		}
	}
}

func endpoints(m *provider.Metadata) []string {
	return []string{m.AuthorizationEndpoint, m.TokenEndpoint, m.JWKSURI, m.UserInfoEndpoint, m.EndSessionEndpoint, m.RevocationEndpoint}
}

type metadataCase struct {
	name    string
	changes m
	good    bool // if the issuer is loopbackIssuer
}

func metadataCases(u string) []metadataCase {
	return []metadataCase{
		{"the issuer itself", nil, true},
		{"another issuer", m{"issuer": "https://evil.example"}, false},
		{"the issuer with a slash", m{"issuer": u + "/"}, false},
		{"the issuer in another case", m{"issuer": strings.Replace(u, "http", "HTTP", 1)}, false},
		{"the issuer with another port", m{"issuer": strings.Replace(u, "3001", "3002", 1)}, false},
		{"the issuer by another name", m{"issuer": strings.Replace(u, "127.0.0.1", "localhost", 1)}, false},
		{"no issuer", m{"issuer": nil}, false},
		{"no authorization endpoint", m{"authorization_endpoint": nil}, false},
		{"no token endpoint", m{"token_endpoint": nil}, false},
		{"no keys", m{"jwks_uri": nil}, false},
		{"only what is required", m{"userinfo_endpoint": nil, "end_session_endpoint": nil, "revocation_endpoint": nil, "scopes_supported": nil}, true},
		{"a relative endpoint", m{"token_endpoint": "/token"}, false},
		{"an endpoint that does not parse", m{"token_endpoint": "https://a b"}, false},
		{"an endpoint without host", m{"token_endpoint": "https:///token"}, false},
		{"an endpoint with a fragment", m{"authorization_endpoint": u + "/a#"}, false},
		{"an endpoint with a password", m{"token_endpoint": "https://u:p@id.example.com/"}, false},
		{"an endpoint with another scheme", m{"token_endpoint": "javascript:alert(1)"}, false},
		{"an https endpoint", m{"userinfo_endpoint": "https://id.example.com/me"}, true},
		{"an http endpoint elsewhere", m{"token_endpoint": "http://id.example.com/me"}, false},
		{"an http endpoint at another IPv4 address", m{"token_endpoint": "http://192.0.2.1/me"}, false},
		{"an http endpoint at another IPv6 address", m{"token_endpoint": "http://[2001:db8::1]/me"}, false},
		{"an http endpoint at localhost.test", m{"token_endpoint": "http://localhost.test/me"}, false},
		{"an http endpoint at 127.0.0.1.test", m{"token_endpoint": "http://127.0.0.1.test/me"}, false},
		{"an http endpoint below localhost", m{"token_endpoint": "http://op.localhost/me"}, false},
		{"an http endpoint at localhost", m{"userinfo_endpoint": "http://localhost/me"}, true},
		{"an http endpoint at 127.1.2.3", m{"userinfo_endpoint": "http://127.1.2.3/me"}, true},
		{"an http endpoint at ::1", m{"userinfo_endpoint": "http://[::1]:1/me"}, true},
		{"a required member of the wrong type", m{"token_endpoint": 5}, false},
		{"no supported client authentication", m{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}, false},
	}
}

// P-discovery-issuer-mismatch, 9.1, 9.3.
func TestMetadata_Validation(t *testing.T) {
	t.Parallel()
	const u = loopbackIssuer
	for _, c := range metadataCases(u) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			meta, err := publishes(u, metaOf(u, c.changes)).Metadata(context.Background())
			if c.good {
				wantKind(t, err, 0)
			} else if wantKind(t, err, provider.Misconfigured); meta != nil {
				t.Errorf("got metadata %v with error %v", meta, err)
			}
		})
	}
	// 9.3: the metadata of an https issuer must not lead to http.
	_, err := publishes(issuer, metaOf(issuer, m{"token_endpoint": "http://127.0.0.1/token"})).Metadata(context.Background())
	wantKind(t, err, provider.Misconfigured)
}

// metaOf is the metadata of a provider, after changes.
func metaOf(issuer string, changes m) string {
	return string(must(json.Marshal(changed(usualMeta(issuer), changes))))
}

// publishes returns a client of a provider that publishes the given metadata.
func publishes(issuer, metadata string) *provider.Client {
	f := newFake()
	f.issuer = issuer
	f.Says(wellKnown, 200, metadata)
	return f.Client()
}

// 9.1: after an answer that is not a document, there is no new request for a
// second.
func TestClient_BadDocuments(t *testing.T) {
	t.Parallel()
	for op, path := range map[string]string{"discovery": wellKnown, "keys": keysPath} {
		for _, c := range []struct {
			name   string
			status int
			body   string
			want   provider.Kind
		}{
			{"500", 500, "", provider.Unavailable},
			{"429", 429, "", provider.Unavailable},
			{"404", 404, "", provider.Misconfigured},
			{"a redirect", 302, "", provider.Misconfigured},
			{"HTML", 200, " <!doctype html>", provider.Unavailable},
			{"nothing", 200, "", provider.Unavailable},
			{"a member twice", 200, `{"issuer":"a","issuer":"b","keys":[],"keys":[]}`, provider.Unavailable},
			{"10,000 keys", 200, `{"keys":[` + strings.Repeat(`{"kty":"RSA","e":"AQAB","n":"AQAB"},`, 9_999) + `{}]}`, provider.Unavailable},
		} {
			if slices.Contains([]string{"10,000 keys", "HTML", "a member twice"}, c.name) && op == "discovery" {
				c.want = provider.Misconfigured // it is no glitch, and waiting does not help
			}
			t.Run(op+" gets "+c.name, func(t *testing.T) {
				t.Parallel()
				f := newFake()
				f.Says(path, c.status, c.body)
				client := f.Client()
				for range 10 {
					if e := wantKind(t, verify(client, f.idToken()), c.want); e.Op != op || e.RetryAfter != time.Second {
						t.Fatalf("got op %q, retry after %v; want %s, 1s", e.Op, e.RetryAfter, op)
					}
				}
				f.wantHits(t, path, 1)
			})
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (rt roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return rt(r) }

func TestMetadata_URL(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]string{
		"https://id.example.com/oidc": "https://id.example.com/oidc/.well-known/openid-configuration",
		"https://id.example.com/a/":   "https://id.example.com/a/.well-known/openid-configuration",
		"":                            "", "id.example.com": "", "http://id.example.com": "", "https://id.example.com?a": "",
		"https://id.example.com/#": "", "ftp://localhost": "", "https://a b": "",
	} {
		requested := ""
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			requested = r.URL.String()
			return nil, errors.New("no")
		})}
		_, err := provider.New(provider.Config{Issuer: issuer, HTTPClient: client}).Metadata(context.Background())
		kind := provider.Unavailable
		if want == "" {
			kind = provider.Misconfigured
		}
		if wantKind(t, err, kind); requested != want {
			t.Errorf("%q: got a request for %q; want %q", issuer, requested, want)
		}
	}
}

func TestMetadata_UnknownCertificate(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	_, err := provider.New(provider.Config{Issuer: srv.URL}).Metadata(context.Background())
	if e := wantKind(t, err, provider.Unavailable); !strings.Contains(e.Error(), "certificate") {
		t.Errorf("got %v; want an error about the certificate", e)
	}
}

// New metadata is used after an hour, unless it is bad or takes longer than
// half a second. The keys are fetched again only if their address changes.
func TestMetadata_Changes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c := f.Client()
		rs256, ps384 := func() string { return f.idToken() }, func() string { return sign("PS384", rsaKey(), "rsa", f.Claims(nil), nil) }
		_, err := c.Metadata(context.Background())
		wantKind(t, err, 0)
		for range 2 {
			f.Move(30 * time.Minute)
			wantKind(t, verify(c, rs256()), 0)
		}
		f.wantHits(t, wellKnown, 2)
		f.wantHits(t, keysPath, 1)

		f.Meta(m{"id_token_signing_alg_values_supported": []string{"PS384"}})
		f.Move(time.Hour)
		wantKind(t, verify(c, rs256()), provider.Rejected)
		wantKind(t, verify(c, ps384()), 0)

		f.Meta(m{"jwks_uri": issuer + "/x8/keys"})
		f.Says("/x8/keys", 200, string(must(json.Marshal(m{"keys": []any{public(otherRSAKey().Public(), "rsa")}}))))
		f.Move(time.Hour)
		wantKind(t, verify(c, ps384()), provider.Rejected)
		wantKind(t, verify(c, sign("PS384", otherRSAKey(), "rsa", f.Claims(nil), nil)), 0)

		before, err := c.Metadata(context.Background())
		wantKind(t, err, 0)
		f.Meta(m{"issuer": "https://evil.example"})
		f.Move(time.Hour)
		if after, err := c.Metadata(context.Background()); err != nil || after != before {
			t.Errorf("bad metadata: got %v, %v; want the old ones", after, err)
		}

		f.Answer(wellKnown, func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Second) })
		f.Move(time.Minute)
		began := time.Now()
		if after, err := c.Metadata(context.Background()); err != nil || after != before || time.Since(began) != 500*time.Millisecond {
			t.Errorf("slow metadata: got %v, %v after %v; want the old ones after 500ms", after, err, time.Since(began))
		}
		time.Sleep(time.Minute) // the fetch ends by itself
	})
}

func TestReach_MetadataInCache(t *testing.T) {
	t.Parallel()
	f := newFake()
	c, ctx := f.Client(), context.Background()
	_, err := c.Metadata(ctx)
	wantKind(t, err, 0)
	wantKind(t, c.Reach(ctx), 0)
	f.Says(wellKnown, 500, "{}")
	wantKind(t, c.Reach(ctx), provider.Unavailable)
	_, err = c.Metadata(ctx)
	wantKind(t, err, 0)
}
