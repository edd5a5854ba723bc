package settings_test

import (
	"slices"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/settings"
)

// bad is what a row wants when the value must be refused.
const bad = "<refused>"

func check(t *testing.T, what, in, want string, rule func(string) (string, error)) {
	t.Helper()
	got, err := rule(in)
	if err != nil {
		if got != "" {
			t.Errorf("%s(%q): got %q beside error %v; want no value", what, in, got, err)
		}
		got = bad
	}
	if got != want {
		t.Errorf("%s(%q): got %q, %v; want %q", what, in, got, err, want)
	}
}

func TestIssuer(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://op.example":         "https://op.example",
		"https://op.example/":        "https://op.example/",
		"https://op.example/a/b":     "https://op.example/a/b",
		"http://localhost:3001/oidc": "http://localhost:3001/oidc",
		"http://127.0.0.9":           "http://127.0.0.9",
		"http://[::1]:80":            "http://[::1]:80",
		"":                           bad,
		"op.example":                 bad,
		"//op.example":               bad,
		"https:op.example":           bad,
		"https://":                   bad,
		"https://:443":               bad,
		"ftp://op.example":           bad,
		"https://u:p@op.example":     bad,
		"https://op.example?x=y":     bad,
		"https://op.example?":        bad,
		"https://op.example#x":       bad,
		"http://op.example":          bad,
		"http://localhost.evil.test": bad,
		"http://op.localhost":        bad, // would go through HTTP_PROXY
		"http://127.0.0.1.evil.test": bad,
		"http://10.0.0.1":            bad,
		"https://op example":         bad,
		"https://<tenant>.logto.app": bad,
		"https://op.example\u00a0":   bad,
	} {
		check(t, "Issuer", in, want, settings.Issuer)
	}
}

func TestLogtoIssuer(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://t.logto.app":      "https://t.logto.app/oidc",
		"https://t.logto.app/":     "https://t.logto.app/oidc",
		"http://localhost:3001":    "http://localhost:3001/oidc",
		"https://t.logto.app/oidc": bad,
		"t.logto.app":              bad,
	} {
		check(t, "LogtoIssuer", in, want, settings.LogtoIssuer)
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
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
		"":                          bad,
	} {
		check(t, "Base", in, want, func(s string) (string, error) {
			u, err := settings.Base(s)
			if err != nil {
				return "", err
			}
			return u.String(), nil
		})
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://api.example":             "https://api.example",
		"https://api.example:8443":        "https://api.example:8443",
		"HTTPS://API.example":             "https://API.example",
		"http://localhost:3000":           "http://localhost:3000",
		"http://127.0.0.1:3000":           "http://127.0.0.1:3000",
		"http://[::1]:3000":               "http://[::1]:3000",
		"":                                bad,
		"api.example":                     bad,
		"//api.example":                   bad,
		"https://api.example/":            bad,
		"https://api.example/v1":          bad,
		"https://api.example?x=y":         bad,
		"https://api.example?":            bad,
		"https://api.example#x":           bad,
		"https://u:p@api.example":         bad,
		"https://u@api.example":           bad,
		"http://api.example":              bad,
		"http://localhost.evil.test":      bad,
		"http://api.localhost":            bad, // would go through HTTP_PROXY
		"ftp://api.example":               bad,
		"urn:api":                         bad,
		"https://*.example":               bad,
		"https://api.example, b.test":     bad,
		"https://api.example\\@evil.test": bad,
		"https://api.example\n":           bad,
		"https://:443":                    bad,
		"null":                            bad,
	} {
		check(t, "Origin", in, want, func(s string) (string, error) {
			u, err := settings.Origin(s)
			if err != nil {
				return "", err
			}
			return u.String(), nil
		})
	}
}

func TestCookieName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"signin": "__Host-signin", "__Host-signin": "__Host-signin", "a-b_9": "__Host-a-b_9",
		"": bad, "__Host-": bad, "a b": bad, "a=b": bad, "a;b": bad, "ä": bad, "a.b": bad,
		"x2345678901234567890123456789012345678901234567890123456789012345": bad,
	} {
		check(t, "CookieName", in, want, func(s string) (string, error) { return settings.CookieName(s, true) })
	}
	check(t, "CookieName", "__Host-signin", "signin", func(s string) (string, error) { return settings.CookieName(s, false) })
}

func TestRoute(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/sign-in": "/sign-in", "/app/sign-in": "/app/sign-in",
		"": bad, "/": bad, "sign-in": bad, "/sign-in/": bad, "//sign-in": bad, "/a/../b": bad,
		"/a?b": bad, "/a#b": bad, "/a%2Fb": bad, `/a\b`: bad, "/{x}": bad, "/a b": bad,
	} {
		check(t, "Route", in, want, settings.Route)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		got  func() ([]string, error)
		want []string // nil: refused
	}{
		{"the default scopes", func() ([]string, error) { return settings.Scopes(nil, false) }, []string{"openid", "profile", "offline_access"}},
		{"more scopes, none twice", func() ([]string, error) { return settings.Scopes([]string{"email", "profile", "email"}, false) }, []string{"openid", "profile", "offline_access", "email"}},
		{"openid stays", func() ([]string, error) { return settings.Scopes([]string{"email"}, true) }, []string{"openid", "email"}},
		{"two scopes in one", func() ([]string, error) { return settings.Scopes([]string{"a b"}, false) }, nil},
		{"an empty scope", func() ([]string, error) { return settings.Scopes([]string{""}, false) }, nil},
		{"a quote in a scope", func() ([]string, error) { return settings.Scopes([]string{`a"`}, false) }, nil},
		{"algorithms", func() ([]string, error) { return settings.Algorithms([]string{"ES384", "EdDSA", "Ed25519"}) }, []string{"ES384", "EdDSA", "Ed25519"}},
		{"no algorithm at all", func() ([]string, error) { return settings.Algorithms([]string{"none"}) }, nil},
		{"a symmetric algorithm", func() ([]string, error) { return settings.Algorithms([]string{"ES384", "HS256"}) }, nil},
		{"resources", func() ([]string, error) { return settings.Resources([]string{"https://api.example", "urn:x:y"}) }, []string{"https://api.example", "urn:x:y"}},
		{"a relative resource", func() ([]string, error) { return settings.Resources([]string{"/api"}) }, nil},
		{"a resource with a fragment", func() ([]string, error) { return settings.Resources([]string{"https://api.example#"}) }, nil},
		{"a resource that is no URI", func() ([]string, error) { return settings.Resources([]string{"https://a b"}) }, nil},
	} {
		got, err := row.got()
		if (err != nil) != (row.want == nil) || !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q, %v; want %q", row.name, got, err, row.want)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	if got, err := settings.Duration(time.Second); got != time.Second || err != nil {
		t.Errorf("Duration(1s): got %v, %v; want it", got, err)
	}
	for _, d := range []time.Duration{0, -1} {
		if got, err := settings.Duration(d); err == nil || got != 0 {
			t.Errorf("Duration(%v): got %v, %v; want it refused", d, got, err)
		}
	}
}
