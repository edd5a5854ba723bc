// Package settings decides which values a configuration may have. Each function
// is one rule, and returns the value to use or what is wrong with the one given.
package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var (
	host       = regexp.MustCompile(`^[A-Za-z0-9._:%-]*$`) // a name, or an address with or without a zone
	cookieName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// https://www.rfc-editor.org/rfc/rfc6749#section-3.3, "scope-token"
	scope = regexp.MustCompile(`^[!#-\[\]-~]+$`)
)

// Loopback reports whether programs reach this machine under a host (without port),
// so that nothing sent to it leaves the machine. That is not so for names below
// localhost: net/http sends requests for them through HTTP_PROXY, unencrypted, and
// some resolvers ask the network.
func Loopback(host string) bool {
	ip, _ := netip.ParseAddr(host) // the zero Addr is not a loopback address
	return host == "localhost" || ip.IsLoopback()
}

// LoopbackInBrowsers reports whether browsers reach this machine under a host. They
// do so under names below localhost too
// (https://www.rfc-editor.org/rfc/rfc6761#section-6.3).
func LoopbackInBrowsers(host string) bool {
	return Loopback(host) || strings.HasSuffix(host, ".localhost")
}

// origin parses an absolute URL that may have a path, but no query or fragment.
// Plain http is accepted on loopback only.
func origin(raw string, loopback func(host string) bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return nil, errors.New("is missing; needs an absolute URL such as https://host")
	case err != nil:
		// url.Error would repeat the URL, which may hold a password.
		return nil, errors.New("is not a URL; needs an absolute one such as https://host")
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return nil, fmt.Errorf("is %q; needs an absolute URL such as https://host", raw)
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password")
	case !host.MatchString(u.Hostname()):
		return nil, fmt.Errorf("is %q; its host is malformed", raw)
	case u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return nil, fmt.Errorf("is %q; must not have a query or a fragment", raw)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("is %q; needs https, since http is accepted on loopback only", raw)
	}
	return u, nil
}

// Origin returns a URL of scheme, host and port alone.
func Origin(raw string) (*url.URL, error) {
	u, err := origin(raw, Loopback)
	if err != nil {
		return nil, err
	}
	if u.Path != "" {
		return nil, fmt.Errorf("is %q; must not have a path", raw)
	}
	return u, nil
}

// Issuer returns the provider's issuer identifier unchanged, since the provider must
// repeat it to the byte.
func Issuer(raw string) (string, error) {
	if _, err := origin(raw, Loopback); err != nil {
		return "", err
	}
	return raw, nil
}

// LogtoIssuer returns the issuer of a Logto endpoint: /oidc below it.
func LogtoIssuer(endpoint string) (string, error) {
	u, err := origin(endpoint, Loopback)
	if err != nil {
		return "", err
	}
	if strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("is %q; needs the endpoint alone, such as https://tenant.logto.app", endpoint)
	}
	return strings.TrimRight(endpoint, "/") + "/oidc", nil
}

// Base returns the application's own address, without a slash at its end.
func Base(raw string) (*url.URL, error) {
	u, err := origin(raw, LoopbackInBrowsers)
	if err != nil {
		return nil, err
	}
	if strings.Contains(u.Host, "%") { // a zone, which has no meaning outside this machine
		return nil, fmt.Errorf("is %q; its host is malformed", raw)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	if u.Path != "" && path.Clean(u.Path) != u.Path || strings.ContainsAny(u.Path, `\;,"`) {
		return nil, fmt.Errorf("is %q; needs a plain path", raw)
	}
	return u, nil
}

// CookieName returns the name of the session cookie. With https it has the prefix
// __Host-. Browsers accept such a cookie only from the host itself and only over
// https, so no sibling domain and no page over http can set one.
// https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis-20#section-4.1.3.2
func CookieName(name string, https bool) (string, error) {
	const prefix = "__Host-"
	name = strings.TrimPrefix(name, prefix)
	if !cookieName.MatchString(name) {
		return "", fmt.Errorf("is %q; needs 1 to 64 letters, digits, _ and -", name)
	}
	if https {
		name = prefix + name
	}
	return name, nil
}

// Route returns a path of the application, as the browser sees it.
func Route(p string) (string, error) {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || p == "/" || strings.ContainsAny(p, `\?#%;{}*"' `) {
		return "", fmt.Errorf("is %q; needs a plain path such as /sign-in", p)
	}
	return p, nil
}

// Asymmetric returns the algorithms that may sign tokens. It lists what is allowed,
// since a list of what is not could miss an algorithm like "none". Symmetric
// algorithms would use the client secret as their key, which may be too weak for
// that. EdDSA has two names: https://www.rfc-editor.org/rfc/rfc9864#section-2.2
func Asymmetric() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
}

// Algorithms returns the algorithms that an operator has pinned.
func Algorithms(algs []string) ([]string, error) {
	known := Asymmetric()
	for _, a := range algs {
		if !slices.Contains(known, a) {
			return nil, fmt.Errorf("has %q; needs one of %s", a, strings.Join(known, " "))
		}
	}
	return slices.Clone(algs), nil
}

// claimsAtLogto are claims of Logto that are often taken for scopes, with the scopes
// that bring them. Logto ignores a scope that it does not have, so the claims would be
// missing, and nothing would say why.
var claimsAtLogto = map[string]string{
	"sso_identities":                    "identities",
	"organization_data":                 "urn:logto:scope:organizations",
	"urn:logto:scope:organization_data": "urn:logto:scope:organizations",
	"urn:logto:scope:sso_identities":    "identities",
	"urn:logto:scope:identities":        "identities",
	"urn:logto:scope:custom_data":       "custom_data",
	"urn:logto:scope:roles":             "roles",
}

// Scopes returns the default scopes and the given ones, each once.
func Scopes(scopes []string, omitDefaults, logto bool) ([]string, error) {
	all := []string{"openid"} // without it, the request is not OpenID Connect
	if !omitDefaults {
		all = append(all, "profile", "offline_access")
	}
	for _, s := range scopes {
		if !scope.MatchString(s) {
			return nil, fmt.Errorf("has %q; needs one scope in each element, without quotes or backslashes", s)
		}
		if right := claimsAtLogto[s]; logto && right != "" {
			return nil, fmt.Errorf("has %q, which is no scope of Logto; needs %q", s, right)
		}
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all, nil
}

// RolesClaim returns where roles are: the name of a claim or, if it begins with a slash,
// a JSON pointer (RFC 6901); "" for the claim "roles".
func RolesClaim(claim string) (string, error) {
	names, pointer := claim, strings.HasPrefix(claim, "/")
	if pointer {
		names = strings.ReplaceAll(strings.ReplaceAll(claim, "~0", ""), "~1", "")
	}
	switch {
	case claim == "roles":
		return "", nil
	case len(claim) > maxClaim, strings.ContainsFunc(claim, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }):
		return "", fmt.Errorf("is %.40q…; needs printable characters, %d bytes at most", claim, maxClaim)
	case pointer && slices.Contains(strings.Split(claim[1:], "/"), ""):
		return "", fmt.Errorf("is %q; a JSON pointer needs a name after each slash, such as /realm_access/roles", claim)
	case pointer && strings.Contains(names, "~"):
		return "", fmt.Errorf("is %q; in a JSON pointer, ~ is written ~0, and a slash in a name ~1", claim)
	}
	return claim, nil
}

// maxClaim is longer than the name of any claim: some are URLs.
const maxClaim = 256

// Resources returns resource indicators: absolute URIs without a fragment.
// https://www.rfc-editor.org/rfc/rfc8707#section-2
func Resources(resources []string) ([]string, error) {
	for _, r := range resources {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || strings.Contains(r, "#") {
			return nil, fmt.Errorf("has %q; needs absolute URIs without a fragment", r)
		}
	}
	return slices.Clone(resources), nil
}

// Duration returns a duration that is above zero.
func Duration(d time.Duration) (time.Duration, error) {
	if d <= 0 {
		return 0, fmt.Errorf("is %v; needs more than zero, or zero for the default", d)
	}
	return d, nil
}
