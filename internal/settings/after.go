package settings

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// AfterSignOut returns an absolute URL to which people go after a sign-out: a site of the
// application's owner. It needs https, since the way there must not be changed by others.
// onRoute returns an error if a URL is one of the routes, which would be a loop.
func AfterSignOut(raw string, onRoute func(string) error) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "https", u.Hostname() == "", u.User != nil, u.Opaque != "",
		strings.ContainsAny(raw, "#\\\"<> "), strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return "", fmt.Errorf("is %q; needs a path of this host, or an https URL without user name and fragment", raw)
	}
	if err := onRoute(raw); err != nil {
		return "", errors.Join(fmt.Errorf("is %q; needs another page than the routes", raw), err)
	}
	return raw, nil
}
