// Package returnto decides which address a browser may be sent to once it has
// signed in, and sends it there.
//
// A return_to comes from a query that anyone can write and send by mail. Followed
// unchecked, it is an open redirect (CWE-601) on the page that people trust most. On
// an error the caller uses its default:
//
//	rule := returnto.New(base, []string{"/sign-in", "/callback", "/sign-out"})
//	target, err := rule.Path(r.FormValue("return_to"))
//	if err != nil {
//		target = "/"
//	}
//	returnto.Location(w, target, http.StatusSeeOther)
//
// A path is followed only below BaseURL's path, since the rest of the host may belong to
// another application. It is judged as browsers parse it, https://url.spec.whatwg.org/#url-parsing,
// and not as net/url does: a browser takes a backslash for a slash, and drops tabs,
// line feeds, and spaces at the ends. A path is followed only if no browser, proxy
// or router on the way can read another host or one of the sign-in routes in it. It
// is then kept to the byte. It is tempting to repair an odd path (to clean it, to
// cut off its host), but the next parser may disagree with the repair.
//
// The package does not check whether the page exists, or whether the application
// redirects away from it.
package returnto

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"
)

// maxLength limits what the cookie of a transaction must hold.
const maxLength = 2048

// maxURL is how long a URL may be: it leaves room for the longest host name.
const maxURL = 2 * maxLength

// Rule is the rule of one application. It is immutable and safe for concurrent use.
// The zero Rule has no route and no origin: its URL method refuses everything.
type Rule struct {
	origin string
	base   string   // the path of the application, without a slash at its end
	routes []string // as reading returns them, and cleaned
}

// New returns the Rule of the application at base. The routes are the paths, as the
// browser sees them, that take part in signing in and out. They and the paths below
// them are refused: "/sign-in/naver" is usually one more sign-in.
func New(base *url.URL, routes []string) Rule {
	r := Rule{origin: origin(base.Scheme, base.Host), base: base.Path}
	for _, route := range routes {
		r.routes = append(r.routes, path.Clean("/"+reading(route)))
	}
	return r
}

// Path returns s unchanged if it is a path of this application that may be followed,
// with or without query and fragment. Otherwise the error says why; it never
// contains s. Characters beyond ASCII are allowed ("/설정"); [Location]
// percent-encodes them.
func (r Rule) Path(s string) (string, error) {
	if _, err := r.OnHost(s); err != nil {
		return "", err
	}
	// Exactly, since "/App" and "/%61pp" may be another application. Dot segments, which
	// could lead out again, have been refused.
	if !r.below(s) {
		return "", errors.New("signin: return_to is not below the path of BaseURL")
	}
	return s, nil
}

// below reports whether s is below BaseURL's path, as that is configured or as browsers
// encode it.
func (r Rule) below(s string) bool {
	return isBelow(s, r.base, "/?#") || isBelow(s, (&url.URL{Path: r.base}).EscapedPath(), "/?#")
}

func isBelow(s, base, ends string) bool {
	rest, ok := strings.CutPrefix(s, base)
	return ok && (rest == "" || strings.IndexByte(ends, rest[0]) >= 0)
}

// OnHost is [Rule.Path] for a path that the application has configured: it may lead
// to another application on the host.
func (r Rule) OnHost(s string) (string, error) {
	p, err := plain(s)
	if err != nil {
		return "", err
	}
	if err := r.noRoute(p); err != nil {
		return "", err
	}
	return s, nil
}

// Requested returns s if it can be a path that was requested from this application,
// so that a link may lead back there. Unlike [Rule.Path], it accepts the sign-in routes.
func (r Rule) Requested(s string) (string, error) {
	if _, err := plain(s); err != nil || strings.Contains(s, "#") { // no request has a fragment
		return "", errors.New("signin: no link can lead to this path")
	}
	return s, nil
}

// Seen returns a path that this application was asked for as the browser has sent it.
// If a proxy has cut off the path of BaseURL, it is put back. A path below it in another
// spelling has not been cut, and neither has a route that is configured elsewhere. A path
// that is too long for [Rule.Path] and [Rule.Requested] is not read.
func (r Rule) Seen(s string) string {
	p, _, _ := strings.Cut(s, "?")
	if len(p) > maxLength { // net/http lets a megabyte through
		return s
	}
	p = path.Clean("/" + reading(p))
	if r.below(s) || isBelow(p, reading(r.base), "/") || r.noRoute(p) != nil {
		return s
	}
	return (&url.URL{Path: r.base}).EscapedPath() + s
}

// SeenIn is [Rule.Seen] for the path and query of a request, before http.StripPrefix has
// cut off a part.
func (r Rule) SeenIn(req *http.Request) string {
	if strings.HasPrefix(req.RequestURI, "/") {
		return r.Seen(req.RequestURI)
	}
	if s := req.URL.RequestURI(); strings.HasPrefix(s, "/") { // absolute form, or a request made by a test
		return r.Seen(s)
	}
	return ""
}

// maxStart limits what the cookie of a transaction must hold besides return_to.
const maxStart = 512

// Start returns the address to which the page of a failed sign-in links: that of the
// route or page that began it, without its fragment. If it is too long, its query is left
// out. If no link can lead there, it is otherwise, and never another route, which may
// demand less.
func (r Rule) Start(page, otherwise string) string {
	page, _, _ = strings.Cut(page, "#") // of HX-Current-URL
	if len(page) > maxStart {
		page, _, _ = strings.Cut(page, "?")
	}
	if _, err := r.Requested(page); err != nil || len(page) > maxStart {
		return otherwise
	}
	return page
}

// plain returns the path in s, as [reading] returns it, if all parsers on the way
// read a path of this host in it.
func plain(s string) (string, error) {
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
		// A slash for browsers: https://url.spec.whatwg.org/#relative-slash-state
		return "", errors.New("signin: return_to contains a backslash")
	case strings.HasSuffix(s, " "):
		// Browsers read "/sign-out " as "/sign-out":
		// https://url.spec.whatwg.org/#concept-basic-url-parser
		return "", errors.New("signin: return_to ends with a space")
	}
	p, _, _ := strings.Cut(s, "#")
	p, _, _ = strings.Cut(p, "?")
	if _, err := url.PathUnescape(p); err != nil {
		// net/http would answer 400 to it after the sign-in.
		return "", errors.New("signin: return_to has a malformed percent-encoding in its path")
	}
	p = reading(p)
	switch {
	case strings.HasPrefix(p, "//"):
		// https://url.spec.whatwg.org/#relative-slash-state
		return "", errors.New("signin: return_to begins with two slashes and so names a host")
	case strings.ContainsFunc(p, control):
		return "", errors.New("signin: return_to contains an encoded control character")
	case hasDots(p):
		// Browsers read "/app//../sign-out" as "/app/sign-out", but path.Clean (and
		// so ServeMux) reads it as "/sign-out"; and "/.//e.test" becomes a path that
		// begins with two slashes. Browsers resolve such segments before they send a
		// request, so no address that a person has visited contains one.
		return "", errors.New("signin: return_to has a dot segment")
	}
	return path.Clean(p), nil // removes repeated slashes, and those at the end
}

// hasDots reports whether a path has a dot segment. Some servers cut off the
// parameters of a segment first, and read "..;x" as "..".
func hasDots(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return true
		}
	}
	return false
}

// noRoute refuses the sign-in routes, in a path as [plain] returns it. A proxy and then
// the application may each cut off BaseURL's path, so the path is judged after each cut.
func (r Rule) noRoute(p string) error {
	base := reading(r.base)
	for {
		for _, route := range r.routes {
			// A router, or a proxy that decodes paths, may cut off the rest from one
			// of these characters on.
			if isBelow(p, route, "/;?#") {
				return errors.New("signin: return_to is one of the sign-in routes")
			}
		}
		if base == "" || !strings.HasPrefix(p, base+"/") {
			return nil
		}
		p = p[len(base):]
	}
}

// URL judges an absolute URL: the target_link_uri of a sign-in that the provider
// starts (https://openid.net/specs/openid-connect-core-1_0.html#ThirdPartyInitiatedLogin).
// If the URL is at the application's origin and has no user name, [Rule.Path] judges
// the rest. Any other URL is refused.
func (r Rule) URL(s string) (string, error) {
	return r.Path(r.Local(s)) // which refuses an empty path
}

// Local returns what follows the application's origin in a URL, and "" for any other
// URL. [Rule.Path] has to judge it.
func (r Rule) Local(s string) string {
	if len(s) > maxURL {
		return "" // and nothing of it is copied
	}
	scheme, rest, _ := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	// The authority is compared and not parsed: text that differs from the origin
	// ("app@e.test", `e.test\@app`) is not the origin.
	if origin(scheme, rest[:end]) != r.origin {
		return ""
	}
	target := rest[end:]
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	return target
}

// Location redirects to an address of this application or of the provider, which the
// caller has judged. It sends no body.
//
// It is tempting to call http.Redirect. But that cleans paths, and so turns
// `/./\e.test` into `/\e.test`, which browsers follow to e.test. Location only
// percent-encodes the bytes that a URI must not have (RFC 3986 section 2): spaces,
// control characters, and all bytes beyond ASCII.
func Location(w http.ResponseWriter, location string, status int) {
	var b strings.Builder
	for _, c := range []byte(location) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	w.Header().Set("Location", b.String())
	w.WriteHeader(status)
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

// reading returns a path as the most lenient reader on the way may understand it:
// decoded until no escape is left (ServeMux decodes once, a proxy before it perhaps
// once more), with slashes for backslashes, and in lower case. It is for comparing
// only.
func reading(p string) string {
	b, n := []byte(p), 0
	for i := range len(p) {
		b[n] = p[i]
		n++
		// A decoded character may complete an escape before it: %2%35 becomes %25,
		// which becomes %. Each turn shortens b, so the time is linear.
		for n >= 3 && b[n-3] == '%' {
			high, low := digit(b[n-2]), digit(b[n-1]) // url.PathUnescape takes twenty times as long
			if high < 0 || low < 0 {
				break
			}
			n -= 2
			b[n-1] = byte(high<<4 | low)
		}
	}
	b = b[:n]
	return strings.ToLower(strings.ReplaceAll(string(b), `\`, "/"))
}

// digit returns the value of a hexadecimal digit, or -1.
func digit(c byte) int {
	lower := c | 0x20
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= lower && lower <= 'f':
		return int(lower-'a') + 10
	}
	return -1
}

// control reports whether c is a C0 control character or DEL. Browsers remove tabs
// and line feeds: "/\t/e.test" is "//e.test". Control characters beyond ASCII are
// harmless, since Location percent-encodes them.
func control(c rune) bool { return c < 0x20 || c == 0x7f }
