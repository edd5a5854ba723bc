package settings_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/settings"
)

// bad is what a row wants if the value must be refused.
const bad = "<refused>"

// str turns a rule that returns a URL into one that returns text.
func str(rule func(string) (*url.URL, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		u, err := rule(s)
		if err != nil {
			return "", err
		}
		return u.String(), nil
	}
}

// The rules that all kinds of URL share are tested with Origin.
func TestRules(t *testing.T) {
	t.Parallel()
	const longest = "x234567890123456789012345678901234567890123456789012345678901234"
	https := func(s string) (string, error) { return settings.CookieName(s, true) }
	issuer := func(s string) (string, error) { return settings.Issuer(s, settings.Loopback) }
	logto := func(s string) (string, error) { return settings.LogtoIssuer(s, settings.Loopback) }
	base := func(plain settings.Plain) func(string) (string, error) {
		return str(func(s string) (*url.URL, error) { return settings.Base(s, plain) })
	}
	of := func(issuer string, dangerously bool) func(string) (string, error) {
		return func(s string) (string, error) {
			return settings.Endpoint(s, settings.PlainEndpoints(issuer, dangerously))
		}
	}
	http := func(s string) (string, error) { return settings.CookieName(s, false) }
	for _, row := range []struct {
		name   string
		rule   func(string) (string, error)
		values map[string]string
	}{
		{"Origin", str(settings.Origin), map[string]string{
			"https://api.example":             "https://api.example",
			"https://api.example:8443":        "https://api.example:8443",
			"HTTPS://API.example":             "https://API.example",
			"http://localhost:3000":           "http://localhost:3000",
			"http://127.0.0.9":                "http://127.0.0.9",
			"http://[::1]:3000":               "http://[::1]:3000",
			"":                                bad,
			"api.example":                     bad,
			"//api.example":                   bad,
			"https:api.example":               bad,
			"https://":                        bad,
			"https://:443":                    bad,
			"ftp://api.example":               bad,
			"https://api.example/":            bad,
			"https://api.example?x=y":         bad,
			"https://api.example?":            bad,
			"https://api.example#x":           bad,
			"https://u@api.example":           bad,
			"http://api.example":              bad,
			"http://10.0.0.1":                 bad,
			"http://localhost.evil.test":      bad,
			"http://127.0.0.1.evil.test":      bad,
			"http://api.localhost":            bad, // would go through HTTP_PROXY
			"https://*.example":               bad,
			"https://<tenant>.logto.app":      bad,
			"https://api.example\\@evil.test": bad,
			"https://api.example\n":           bad,
			"https://api.example\u00a0":       bad,
		}},
		{"Issuer", issuer, map[string]string{
			"https://op.example/":    "https://op.example/",
			"https://op.example/a/b": "https://op.example/a/b",
			"http://op.localhost":    bad, // would go through HTTP_PROXY
		}},
		{"LogtoIssuer", logto, map[string]string{
			"https://t.logto.app":      "https://t.logto.app/oidc",
			"https://t.logto.app/":     "https://t.logto.app/oidc",
			"http://localhost:3001":    "http://localhost:3001/oidc",
			"https://t.logto.app/oidc": bad,
			"http://t.localhost":       bad, // would go through HTTP_PROXY
		}},
		{"Base", base(settings.LoopbackInBrowsers), map[string]string{
			"https://app.example":       "https://app.example",
			"https://app.example/":      "https://app.example",
			"https://app.example/a/b/":  "https://app.example/a/b",
			"http://localhost:3000":     "http://localhost:3000",
			"http://app.localhost":      "http://app.localhost",
			"https://[fe80::1%25eth0]":  bad,
			"https://app.example/a/../": bad,
			"https://app.example//a":    bad,
			"https://app.example/a;b":   bad,
			"http://app.example":        bad,
		}},
		{"Base in a network without https", base(settings.Anywhere), map[string]string{
			"http://app.example": "http://app.example", "http://[fe80::1%25eth0]": bad, "ftp://app.example": bad,
		}},
		{"endpoint of an https issuer", of("https://op.example", false), map[string]string{
			"https://op.example/token":          "https://op.example/token",
			"https://other.example/t?p=B2C_1_a": "https://other.example/t?p=B2C_1_a",
			"":                                  bad,
			"/token":                            bad,
			"https://u:p@op.example/token":      bad,
			"https://op.example/token#":         bad,
			"javascript:alert(1)":               bad,
			"http://op.example/token":           bad,
			"http://127.0.0.1/token":            bad, // the provider's word must not lead to this machine
		}},
		{"endpoint of an issuer on loopback", of("http://localhost:3001", false), map[string]string{
			"http://127.0.0.1/token": "http://127.0.0.1/token", "https://op.example/token": "https://op.example/token",
			"http://op.example/token": bad, "http://op.localhost/token": bad,
		}},
		{"endpoint in a network without https", of("https://op.example", true), map[string]string{
			"http://keycloak:8080/token": "http://keycloak:8080/token", "ftp://keycloak/token": bad, "http://u@keycloak/": bad,
		}},
		{"ClientAuth", settings.ClientAuth, map[string]string{
			"": "", "client_secret_basic": "client_secret_basic", "client_secret_post": "client_secret_post",
			"post": bad, "private_key_jwt": bad, "none": bad,
		}},
		{"CookieName with https", https, map[string]string{
			"signin": "__Host-signin", "__Host-signin": "__Host-signin", "a-b_9": "__Host-a-b_9", longest: "__Host-" + longest,
			"": bad, "__Host-": bad, "a b": bad, "a=b": bad, "a;b": bad, "ä": bad, "a.b": bad, longest + "5": bad,
		}},
		{"CookieName without https", http, map[string]string{"__Host-signin": "signin"}},
		{"Route", settings.Route, map[string]string{
			"/sign-in": "/sign-in", "/app/sign-in": "/app/sign-in",
			"": bad, "/": bad, "sign-in": bad, "/sign-in/": bad, "//sign-in": bad, "/a/../b": bad,
			"/a?b": bad, "/a#b": bad, "/a%2Fb": bad, `/a\b`: bad, "/{x}": bad, "/a b": bad,
		}},
		{"RolesClaim", settings.RolesClaim, map[string]string{
			"": "", "roles": "", "groups": "groups", "cognito:groups": "cognito:groups", "https://app.example/roles": "https://app.example/roles",
			"/realm_access/roles": "/realm_access/roles", "/a~1b/~0": "/a~1b/~0", "a~b": "a~b",
			"/": bad, "//roles": bad, "/a/": bad, "/a//b": bad, "/a~": bad, "/a~2b": bad, "/~~0": bad,
			"a\nb": bad, "a\x00": bad, "\xff": bad, strings.Repeat("x", 257): bad,
		}},
	} {
		for in, want := range row.values {
			got, err := row.rule(in)
			if err != nil && got == "" {
				got = bad
			}
			if got != want || (err != nil) != (want == bad) {
				t.Errorf("%s(%q): got %q, %v; want %q", row.name, in, got, err, want)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		given map[string]string
		want  string // in the error; "" is none
	}{
		{"none", nil, ""},
		{"another token endpoint", map[string]string{"token_endpoint": "https://inner.example/token"}, ""},
		{"an endpoint that is not to be used", map[string]string{"revocation_endpoint": ""}, ""},
		{"an unknown name", map[string]string{"tokenEndpoint": "https://a.example"}, `has "tokenEndpoint"; needs one of authorization_endpoint`},
		{"no keys", map[string]string{"jwks_uri": ""}, "has jwks_uri, which is missing"},
		{"a relative address", map[string]string{"userinfo_endpoint": "/me"}, `has userinfo_endpoint, which is "/me"; needs an absolute URL`},
		{"http beside an https issuer", map[string]string{"token_endpoint": "http://inner.example"}, "needs https"},
		{"a password", map[string]string{"token_endpoint": "https://u:hunter2@inner.example"}, "must not hold a user name or password"},
	} {
		got, err := settings.Endpoints(row.given, settings.Nowhere)
		switch {
		case row.want == "":
			if err != nil || !maps.Equal(got, row.given) {
				t.Errorf("%s: got %q, %v; want it as it is", row.name, got, err)
			}
		case err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: got error %v; want %q in it", row.name, err, row.want)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	scopes := func(s ...string) ([]string, error) { return settings.Scopes(s, false, false) }
	alone := func(s ...string) ([]string, error) { return settings.Scopes(s, true, false) }
	logto := func(s ...string) ([]string, error) { return settings.Scopes(s, true, true) }
	algorithms := func(s ...string) ([]string, error) { return settings.Algorithms(s) }
	resources := func(s ...string) ([]string, error) { return settings.Resources(s) }
	for _, row := range []struct {
		name     string
		rule     func(...string) ([]string, error)
		in, want []string // want nil: refused
	}{
		{"the default scopes", scopes, nil, []string{"openid", "profile", "offline_access"}},
		{"more scopes, each kept once", scopes, []string{"email", "profile", "email"},
			[]string{"openid", "profile", "offline_access", "email"}},
		{"no default scopes except openid", alone, []string{"email"}, []string{"openid", "email"}},
		// https://www.rfc-editor.org/rfc/rfc6749#section-3.3
		{"two scopes in one", scopes, []string{"a b"}, nil},
		{"an empty scope", scopes, []string{""}, nil},
		{"a quote in a scope", scopes, []string{`a"`}, nil},
		{"a backslash in a scope", scopes, []string{`a\`}, nil},
		{"a DEL in a scope", scopes, []string{"a\x7f"}, nil},
		{"a scope beyond ASCII", scopes, []string{"é"}, nil},
		{"Logto's scopes for its claims", logto, []string{"identities", "urn:logto:scope:organizations"}, []string{"openid", "identities", "urn:logto:scope:organizations"}},
		{"a claim taken for a scope of Logto", logto, []string{"identities", "sso_identities"}, nil},
		{"another", logto, []string{"urn:logto:scope:organization_data"}, nil},
		{"a scope of another provider with such a name", alone, []string{"sso_identities"}, []string{"openid", "sso_identities"}},
		{"algorithms", algorithms, []string{"ES384", "EdDSA", "Ed25519"}, []string{"ES384", "EdDSA", "Ed25519"}},
		{"the algorithm none", algorithms, []string{"none"}, nil},
		{"a symmetric algorithm", algorithms, []string{"ES384", "HS256"}, nil},
		{"resources", resources, []string{"https://api.example", "urn:x:y"}, []string{"https://api.example", "urn:x:y"}},
		{"a relative resource", resources, []string{"/api"}, nil},
		{"a resource with a fragment", resources, []string{"https://api.example#"}, nil},
		{"a resource that is not a URI", resources, []string{"https://a b"}, nil},
	} {
		got, err := row.rule(row.in...)
		if (err != nil) != (row.want == nil) || !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q, %v; want %q", row.name, got, err, row.want)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{time.Second, 0, -1} {
		if got, err := settings.Duration(d); got != max(d, 0) || (err == nil) != (d > 0) {
			t.Errorf("Duration(%v): got %v, %v", d, got, err)
		}
	}
}
