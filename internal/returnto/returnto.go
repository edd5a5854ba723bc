// Package returnto decides which address a browser may be sent to once it has
// signed in, and sends it there.
//
// A return_to comes from a query that anybody can write and mail around. Sent on
// unchecked it is an open redirect (CWE-601) on the page that people trust most.
// The caller asks, and falls back to its own default when the answer is an error:
//
//	rule := returnto.New(base, []string{"/sign-in", "/callback", "/sign-out"})
//	target, err := rule.Path(r.FormValue("return_to"))
//	if err != nil {
//		target = "/"
//	}
//	returnto.Location(w, target, http.StatusSeeOther)
//
// The oracle is the parser of browsers, https://url.spec.whatwg.org/#url-parsing,
// and not net/url: for a browser a backslash is a slash, tabs and line feeds are
// not there, and spaces at the ends are cut off. A path is followed only if it can
// be read in one way: no browser, proxy or router in between may see another host
// in it, nor one of the sign-in routes. Everything that is followed is kept to the
// byte.
//
// It is tempting to repair an odd path (to clean it, to cut off its host): each
// repair is a parser of its own, and the next parser may disagree with it.
//
// The package does not check that a page exists, nor that the application itself
// does not redirect away from it.
package returnto

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"
)

// maxLength bounds what a transaction's cookie has to carry.
const maxLength = 2048

// Rule knows the application's origin and its sign-in routes. It is immutable
// and may be used by many goroutines. The zero Rule knows no route and no origin:
// its URL refuses everything.
type Rule struct {
	origin string
	routes []string // as reading gives them, and cleaned
}

// New returns the Rule of the application at base. The routes are the paths, as
// the browser sees them, that take part in signing in and out; neither they nor
// what lies below them is ever returned to ("/sign-in/naver" is usually one more
// sign-in). New keeps neither argument.
func New(base *url.URL, routes []string) Rule {
	r := Rule{
		origin: origin(base.Scheme, base.Host),
		routes: make([]string, 0, len(routes)),
	}
	for _, route := range routes {
		r.routes = append(r.routes, path.Clean("/"+reading(route)))
	}
	return r
}

// Path returns s, to the byte, if it is a path of this application (with query
// and fragment, if it has them) that may be followed; otherwise an error that
// says why. The error never contains s.
//
// Characters beyond ASCII are allowed: a link may well say "/설정". [Location]
// percent-encodes them.
func (r Rule) Path(s string) (string, error) {
	switch {
	case len(s) > maxLength:
		return "", errors.New("signin: return_to is longer than 2048 bytes")
	case !strings.HasPrefix(s, "/"):
		return "", errors.New("signin: return_to does not begin with a slash")
	case !utf8.ValidString(s):
		return "", errors.New("signin: return_to is not valid UTF-8")
	case strings.ContainsFunc(s, control):
		return "", errors.New("signin: return_to contains a control character")
	case strings.Contains(s, `\`):
		// "If … url is special and c is U+005C (\)": a slash.
		// https://url.spec.whatwg.org/#relative-slash-state
		return "", errors.New("signin: return_to contains a backslash")
	case strings.HasSuffix(s, " "):
		// "Remove any leading and trailing C0 control or space": "/sign-out " is
		// "/sign-out". https://url.spec.whatwg.org/#concept-basic-url-parser
		return "", errors.New("signin: return_to ends with a space")
	}

	p := s
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		p = s[:i]
	}
	if _, err := url.PathUnescape(p); err != nil {
		// net/http answers 400 to it: a dead end after signing in.
		return "", errors.New("signin: return_to has a malformed percent-encoding in its path")
	}
	if err := r.read(reading(p)); err != nil {
		return "", err
	}
	return s, nil
}

// read judges a path as [reading] gives it.
func (r Rule) read(p string) error {
	switch {
	case strings.HasPrefix(p, "//"):
		// https://url.spec.whatwg.org/#relative-slash-state
		return errors.New("signin: return_to begins with two slashes and so names a host")
	case strings.ContainsFunc(p, control):
		return errors.New("signin: return_to contains an encoded control character")
	case dotSegment(p):
		// Browsers take "/app//../sign-out" for "/app/sign-out", path.Clean (and with
		// it ServeMux) for "/sign-out", and "/.//e.test" leaves a path that begins
		// with two slashes. Browsers resolve such segments before they ask, so no
		// address that a person has visited contains one.
		return errors.New("signin: return_to has a dot segment")
	}
	p = path.Clean(p) // only slashes are left to clean, those at the end too
	for _, route := range r.routes {
		// After a route, each of these begins something that a router, or a proxy
		// that decodes what it passes on, may leave out.
		rest, ok := strings.CutPrefix(p, route)
		if ok && (rest == "" || strings.IndexByte("/;?#", rest[0]) >= 0) {
			return errors.New("signin: return_to is one of the sign-in routes")
		}
	}
	return nil
}

// URL judges an absolute URL: the target_link_uri of a sign-in that the provider
// starts (https://openid.net/specs/openid-connect-core-1_0.html#ThirdPartyInitiatedLogin),
// or the HX-Current-URL of an HTMX request. At the application's origin, its path,
// query and fragment go through [Rule.Path] and are returned; anywhere else, and
// with a user name in it, it is refused.
func (r Rule) URL(s string) (string, error) {
	scheme, rest, _ := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	// The authority is compared, not parsed: whatever is not written like the
	// origin ("app@e.test", `e.test\@app`) is not the origin.
	if origin(scheme, rest[:end]) != r.origin {
		return "", errors.New("signin: the URL to return to is not at this application's origin")
	}
	target := rest[end:]
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	return r.Path(target)
}

// Location redirects to location with the given status, and sends no body. It is
// used for the provider's URLs as well, which are the caller's business.
//
// It is tempting to call http.Redirect: that one cleans paths, and makes `/./\e.test`
// into `/\e.test`, which browsers follow to e.test. Here nothing is changed, but
// that what may not stand in a header or in a URI (RFC 3986 section 2) is
// percent-encoded: spaces, control characters, and all bytes beyond ASCII.
func Location(w http.ResponseWriter, location string, status int) {
	w.Header().Set("Location", escape(location))
	w.WriteHeader(status)
}

func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// origin writes a scheme and an authority in one form
// (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin).
func origin(scheme, host string) string {
	scheme, host = strings.ToLower(scheme), strings.ToLower(host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host
}

// reading is the most that anybody on the way could make of a path: decoded as
// deep as it goes (ServeMux decodes once, a proxy before it perhaps once more),
// backslashes taken for slashes, and without regard to case. It is for comparing
// only; nobody is sent to it.
func reading(p string) string {
	b := make([]byte, 0, len(p))
	for i := range len(p) {
		b = append(b, p[i])
		// What was just decoded may complete an escape that stands before it:
		// %2%35 is %25 is %. Each turn shortens b, so all of this is linear.
		for n := len(b); n >= 3 && b[n-3] == '%'; n = len(b) {
			s, err := url.PathUnescape(string(b[n-3:]))
			if err != nil {
				break
			}
			b = append(b[:n-3], s...)
		}
	}
	return strings.ToLower(strings.ReplaceAll(string(b), `\`, "/"))
}

func dotSegment(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// control reports C0 control characters and DEL. Tab and line feed are the ones
// that browsers remove: "/\t/e.test" is "//e.test". Those beyond ASCII need no
// rule: they are sent percent-encoded.
func control(c rune) bool { return c < 0x20 || c == 0x7f }
