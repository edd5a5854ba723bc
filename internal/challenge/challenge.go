// Package challenge tells what kind of request stands at the door, so that a
// refusal has the shape its sender can use: a redirect for a person who navigates,
// a page for a person whose form came too late, a header for HTMX, a problem
// document for every program.
//
//	switch challenge.Of(r) {
//	case challenge.Navigation: // redirect to sign-in, with return_to
//	case challenge.Person: // 401 with a page
//	case challenge.HTMX: // 401 with HX-Redirect
//	default: // 401 with application/problem+json
//	}
//
// Whether somebody is let in never depends on this package. All that it reads are
// headers, which any program may set as it likes: a wrong one gets its sender the
// wrong shape of "no". [SameOriginNavigation] relies on more, namely on what pages
// in a browser cannot do: set the headers that begin with Sec-
// (https://fetch.spec.whatwg.org/#forbidden-request-header). It protects people
// from other sites, not an application from its clients.
//
// In doubt the answer is the harmless one: a program that is told 401 reports it,
// while one that is redirected to a sign-in page takes HTML for its data, and each
// prefetched link would begin a sign-in that nobody asked for.
package challenge

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Kind is a kind of request. The zero Kind is Program, the safe one.
type Kind int

const (
	// Program is everything that is none of the others: fetch and XMLHttpRequest,
	// command-line clients, images and scripts, event streams, WebSocket upgrades,
	// prefetching, HEAD. Frames as well: a provider's page refuses to be framed, and
	// so do the pages of this package.
	Program Kind = iota
	// Navigation is a person who goes to a page: the only kind that may begin a
	// sign-in.
	Navigation
	// Person is a person who sends a form. It cannot be sent again after a sign-in,
	// so a page has to explain.
	Person
	// HTMX is a request of htmx, boosted links included. It follows HX-Redirect with
	// the whole page (https://htmx.org/headers/hx-redirect/), and a Location with a
	// fetch, which ends at the provider's CORS rules.
	HTMX
)

// Of tells the kind of r.
func Of(r *http.Request) Kind {
	switch {
	case single(r.Header, "HX-Request") == "true":
		return HTMX
	case upgrade(r), accepts(r, "text/event-stream"), !page(r):
		return Program
	case r.Method == http.MethodGet:
		return Navigation
	case r.Method == http.MethodPost:
		// Forms know no other methods:
		// https://html.spec.whatwg.org/#attr-fs-method
		return Person
	}
	return Program
}

// MayStart reports whether a request to the sign-in route itself may begin a
// sign-in. That route is for nothing else, so a client that says nothing of itself
// (no fetch metadata, no Accept or "*/*" alone, as simple clients and link checkers
// send) is taken at its word; at any other door it would be a Program.
func MayStart(r *http.Request) bool {
	if Of(r) == Navigation {
		return true
	}
	for _, name := range []string{"Sec-Fetch-Mode", "Sec-Fetch-Dest", "X-Requested-With", "HX-Request"} {
		if len(values(r.Header, name)) > 0 {
			return false
		}
	}
	accept := values(r.Header, "Accept")
	return r.Method == http.MethodGet && !ahead(r) && !upgrade(r) &&
		(len(accept) == 0 || len(accept) == 1 && accept[0] == "*/*")
}

// SameOriginNavigation reports whether the browser itself says that a page of this
// very origin sent a person here by GET, now: by a link, a form or a script. Not
// another site, not a mail or a bookmark ("none"), not a sibling domain
// ("same-site"), not an image, a frame or a prefetch. Browsers that say nothing, as
// those before 2023 and all on plain http, count as no.
func SameOriginNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet &&
		single(r.Header, "Sec-Fetch-Site") == "same-origin" &&
		single(r.Header, "Sec-Fetch-Mode") == "navigate" &&
		single(r.Header, "Sec-Fetch-Dest") == "document" &&
		!ahead(r)
}

// CrossSite reports whether the browser says that another site caused this
// request, or another origin of this one: a sibling domain may be anybody's. It says so of a whole chain of redirects
// (https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header). No such
// header means unknown, and unknown is false: the answer only orders which
// unfinished sign-ins are dropped first, and among browsers that say nothing they
// are all alike.
func CrossSite(r *http.Request) bool {
	return slices.ContainsFunc(values(r.Header, "Sec-Fetch-Site"), func(from string) bool { return from == "cross-site" || from == "same-site" })
}

// CookieWritable reports whether a changed session cookie may be set on the answer
// to r. Not on subresources that caches share: a cache that keeps an image together
// with its Set-Cookie hands one person's session to everybody else
// (https://www.rfc-editor.org/rfc/rfc9111#section-7.3).
func CookieWritable(r *http.Request) bool {
	for _, dest := range values(r.Header, "Sec-Fetch-Dest") {
		switch strings.ToLower(dest) {
		case "image", "style", "script", "font", "audio", "video", "track", "manifest":
			return false
		}
	}
	return true
}

// page reports whether a person is waiting for a page to appear in the window.
func page(r *http.Request) bool {
	if ahead(r) {
		return false
	}
	mode, dest := values(r.Header, "Sec-Fetch-Mode"), values(r.Header, "Sec-Fetch-Dest")
	// https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-mode-header
	if len(mode) > 0 && single(r.Header, "Sec-Fetch-Mode") != "navigate" ||
		len(dest) > 0 && single(r.Header, "Sec-Fetch-Dest") != "document" {
		return false
	}
	if len(mode) > 0 && len(dest) > 0 {
		// It is tempting to ask for no X-Requested-With here too. Android's WebView
		// sends the name of its app in it with each navigation.
		return true
	}
	return accepts(r, "text/html") && len(values(r.Header, "X-Requested-With")) == 0
}

// ahead reports whether the browser fetches a page that nobody has asked to see
// yet. "The Sec-Purpose HTTP request header specifies that the request serves one
// or more purposes other than requesting the resource for immediate use by the
// user" (https://fetch.spec.whatwg.org/#sec-purpose-header), so any value says it.
// Purpose and X-Moz are its older forms.
func ahead(r *http.Request) bool {
	return len(values(r.Header, "Sec-Purpose")) > 0 ||
		len(values(r.Header, "Purpose")) > 0 ||
		len(values(r.Header, "X-Moz")) > 0
}

// upgrade reports a handshake to another protocol
// (https://www.rfc-editor.org/rfc/rfc9110#section-7.8). Both headers are asked for,
// since some proxies add Connection: upgrade to every request.
func upgrade(r *http.Request) bool {
	return len(values(r.Header, "Upgrade")) > 0 &&
		slices.ContainsFunc(values(r.Header, "Connection"), func(s string) bool { return strings.EqualFold(s, "upgrade") })
}

// accepts reports whether the sender names a media type as one it takes
// (https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1). Wildcards do not name it:
// every program sends "*/*".
func accepts(r *http.Request, mediaType string) bool {
	for _, s := range values(r.Header, "Accept") {
		name, _, _ := strings.Cut(s, ";")
		if !strings.EqualFold(strings.TrimSpace(name), mediaType) {
			continue
		}
		_, params, err := mime.ParseMediaType(s)
		if err != nil {
			continue
		}
		weight, ok := params["q"]
		if q, err := strconv.ParseFloat(weight, 64); !ok || err == nil && q > 0 {
			return true
		}
	}
	return false
}

// single returns the value of a header that has exactly one, or "". A header that
// occurs twice was not written by a browser alone.
func single(h http.Header, name string) string {
	if v := values(h, name); len(v) == 1 {
		return v[0]
	}
	return ""
}

// values splits all lines of a header at the commas outside of quoted strings
// (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1), and leaves out empty ones.
func values(h http.Header, name string) []string {
	var out []string
	for _, line := range h.Values(name) {
		for len(line) > 0 {
			end := element(line)
			if s := strings.TrimSpace(line[:end]); s != "" {
				out = append(out, s)
			}
			line = line[min(end+1, len(line)):]
		}
	}
	return out
}

// element returns the length of the first element of a list.
func element(list string) int {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++ // a quoted-pair
		case c == ',' && !quoted:
			return i
		}
	}
	return len(list)
}
