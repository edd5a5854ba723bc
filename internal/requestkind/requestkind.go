// Package requestkind distinguishes requests of people from those of programs,
// so that a refusal has a form that its sender understands.
//
//	switch requestkind.Of(r) {
//	case requestkind.Navigation: // redirect to sign-in, with return_to
//	case requestkind.Form: // 401 with a page
//	case requestkind.HTMX: // 401 with HX-Redirect
//	case requestkind.Inertia: // 409 with X-Inertia-Location
//	default: // 401 with application/problem+json
//	}
//
// This package never decides whether a request is allowed. It reads only headers,
// which a program may set to any value. If they are false, the program gets a
// refusal in the wrong form. [SameOriginNavigation] relies on headers that
// pages in a browser cannot set, since they begin with Sec-
// (https://fetch.spec.whatwg.org/#forbidden-request-header). It protects people
// from other sites, not an application from its clients.
//
// In doubt, a request counts as a program's. A program that gets 401 reports
// it, but one that is redirected to a sign-in page takes HTML for its data. And
// each prefetched link would begin a sign-in.
//
// net/http lets a header of a megabyte through, and HTTP/2 sends one in three
// hundred bytes. So no header is read beyond 4 KB or 64 elements, over all of its
// lines, and a request with a larger one is a program's. Reading allocates nothing.
package requestkind

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Kind is a kind of request. The zero Kind is Program, the safe one.
type Kind int

const (
	// Program is every other request: fetch and XMLHttpRequest, command-line
	// clients, images and scripts, event streams, WebSocket upgrades, prefetching,
	// HEAD. Also frames, since the pages of a provider, and those of this
	// module, refuse to be framed.
	Program Kind = iota
	// Navigation is a person who opens a page. Only this kind may begin a sign-in.
	Navigation
	// Form is a person who sends a form. The form cannot be sent again after a
	// sign-in, so a page has to say that.
	Form
	// HTMX is a request of htmx, boosted links included. htmx follows HX-Redirect
	// with the whole page (https://htmx.org/headers/hx-redirect/). It follows
	// Location with a fetch, which the provider's CORS rules stop.
	HTMX
	// Inertia is a request of Inertia (https://inertiajs.com/the-protocol). It follows
	// Location with a fetch, as htmx does, and X-Inertia-Location of a 409 with the whole
	// page.
	Inertia
)

// Of returns the kind of r.
func Of(r *http.Request) Kind {
	if excessive(r.Header) {
		return Program
	}
	html, stream := accepts(r.Header)
	switch {
	case single(r.Header, "Hx-Request") == "true":
		return HTMX
	case single(r.Header, "X-Inertia") == "true" && !ahead(r.Header): // Inertia fetches pages ahead, too
		return Inertia
	case upgrade(r.Header), stream, !page(r.Header, html):
		return Program
	case r.Method == http.MethodGet:
		return Navigation
	case r.Method == http.MethodPost: // forms have no other method: https://html.spec.whatwg.org/#attr-fs-method
		return Form
	}
	return Program
}

// MayStart reports whether a request to the sign-in route itself may begin a
// sign-in. kind is the request's. It is a Navigation, or comes from a client that
// does not say what it is (no fetch metadata, no Accept or "*/*" alone, as simple
// clients and link checkers send). At any other route such a client is a Program.
func MayStart(r *http.Request, kind Kind) bool {
	h := r.Header
	return kind == Navigation || r.Method == http.MethodGet && !excessive(h) && !ahead(h) && !upgrade(h) &&
		(!has(h, "Accept") || single(h, "Accept") == "*/*") &&
		!has(h, "Sec-Fetch-Mode") && !has(h, "Sec-Fetch-Dest") && !script(h) && !has(h, "Hx-Request") && !has(h, "X-Inertia")
}

// SameOriginNavigation reports whether the browser says that a page of this origin
// has just sent a person here by GET: by a link, a form or a script. It is false for
// another site, a mail or a bookmark ("none"), a sibling domain ("same-site"), an
// image, a frame or a prefetch. It is also false if the browser says nothing, as
// browsers before 2023 do, and all browsers on plain http.
func SameOriginNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet &&
		single(r.Header, "Sec-Fetch-Site") == "same-origin" &&
		single(r.Header, "Sec-Fetch-Mode") == "navigate" &&
		single(r.Header, "Sec-Fetch-Dest") == "document" &&
		!ahead(r.Header)
}

// CrossSite reports whether the browser says that another site caused this request,
// or another origin of this site: a sibling domain may have another owner. The
// browser judges the whole chain of redirects
// (https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header). CrossSite
// is false if the browser says nothing. That is safe, since it only decides
// which unfinished sign-ins are dropped first, and such a browser says nothing
// about any of them. It is true if the header is too large to be read: what is not
// known to be the person's own sign-in is dropped first.
func CrossSite(r *http.Request) bool {
	return contains(r.Header, "Sec-Fetch-Site", func(from string) bool { return from == "cross-site" || from == "same-site" })
}

// CookieWritable reports whether a changed session cookie may be set on the answer
// to r. It may not on subresources that caches share: a cache that keeps an image
// together with its Set-Cookie hands one person's session to all others
// (https://www.rfc-editor.org/rfc/rfc9111#section-7.3).
//
// It is false if the header is too large to be read. Nothing is lost then: a
// refreshed session is in shared state, and the next request gets its cookie. If it
// were true, a session could go to others.
func CookieWritable(r *http.Request) bool {
	return !contains(r.Header, "Sec-Fetch-Dest", func(dest string) bool {
		for _, shared := range [...]string{"image", "style", "script", "font", "audio", "video", "track", "manifest"} {
			if strings.EqualFold(dest, shared) {
				return true
			}
		}
		return false
	})
}

// AcceptLanguage returns what a request says about its reader's languages, all lines as
// one, or "" if that is too large to be read.
func AcceptLanguage(r *http.Request) string {
	if lines := r.Header["Accept-Language"]; !tooLarge(lines) {
		return strings.Join(lines, ",")
	}
	return ""
}

// page reports whether a person waits for a page to appear in the window. html says
// that the sender accepts HTML.
func page(h http.Header, html bool) bool {
	if ahead(h) {
		return false
	}
	// https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-mode-header
	navigates := single(h, "Sec-Fetch-Mode") == "navigate"
	document := single(h, "Sec-Fetch-Dest") == "document"
	switch {
	case navigates && document:
		// It is tempting to refuse X-Requested-With here too. But Android's WebView
		// sends the name of its app in it with each navigation.
		return true
	case !navigates && has(h, "Sec-Fetch-Mode"), !document && has(h, "Sec-Fetch-Dest"):
		return false
	}
	return html && !script(h)
}

// script reports whether a script says that it sent a request. Any other value of the
// header is the name of an app: Android's WebView sends it with each navigation.
func script(h http.Header) bool {
	return contains(h, "X-Requested-With", func(s string) bool { return strings.EqualFold(s, "XMLHttpRequest") })
}

// ahead reports whether the browser fetches a page before the person asks for it.
// Every value of the header means that:
// https://fetch.spec.whatwg.org/#sec-purpose-header. Purpose and X-Moz are its older
// forms.
func ahead(h http.Header) bool { return has(h, "Sec-Purpose") || has(h, "Purpose") || has(h, "X-Moz") }

// upgrade reports whether a request starts another protocol
// (https://www.rfc-editor.org/rfc/rfc9110#section-7.8). Both headers must be there,
// since some proxies add Connection: upgrade to every request.
func upgrade(h http.Header) bool {
	return has(h, "Upgrade") && contains(h, "Connection", func(s string) bool { return strings.EqualFold(s, "upgrade") })
}

// accepts reports whether the sender accepts HTML and event streams by their names
// (https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1). Wildcards do not count,
// since every program sends "*/*". Of two elements for one type, the first decides.
func accepts(h http.Header) (html, stream bool) {
	quotes := false
	var htmlSeen, streamSeen bool
	for e := read(h, "Accept"); e.next(); {
		// Text that looks like a media type may be part of a quoted string. No browser
		// sends quotes here, so the sender is a program.
		quotes = quotes || strings.IndexByte(e.value, '"') >= 0
		switch {
		case !htmlSeen && names(e.value, "text/html"):
			html, htmlSeen = wanted(e.value), true
		case !streamSeen && names(e.value, "text/event-stream"):
			stream, streamSeen = wanted(e.value), true
		}
	}
	return html && !quotes, stream
}

// names reports whether an element of Accept names a media type.
func names(element, mediaType string) bool {
	n := len(mediaType)
	return len(element) >= n && strings.EqualFold(element[:n], mediaType) &&
		(len(element) == n || strings.IndexByte("; \t", element[n]) >= 0)
}

// maxElement is the longest element of Accept that is parsed. Browsers send one of
// nine bytes.
const maxElement = 128

// wanted reports whether an element of Accept is well formed, and its weight is not
// zero.
func wanted(element string) bool {
	switch {
	case !strings.ContainsAny(element, "; \t"): // without the allocations of mime
		return true
	case len(element) > maxElement:
		return false
	}
	_, params, err := mime.ParseMediaType(element)
	if err != nil {
		return false
	}
	weight, ok := params["q"]
	q, err := strconv.ParseFloat(weight, 64)
	return !ok || err == nil && q > 0
}

// All lines of a header together have at most this size, as if they were one
// (https://www.rfc-editor.org/rfc/rfc9110#section-5.3). The elements include empty
// ones.
const (
	maxBytes    = 4 << 10
	maxElements = 64
)

// excessive reports whether a header that decides the kind, or the language of an
// answer, is too large.
func excessive(h http.Header) bool {
	for _, name := range [...]string{
		"Accept", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Sec-Purpose", "Purpose",
		"X-Moz", "X-Requested-With", "Hx-Request", "X-Inertia", "Upgrade", "Connection", "Accept-Language",
	} {
		if tooLarge(h[name]) {
			return true
		}
	}
	return false
}

// tooLarge reports whether the lines of a header are too many or too long to be
// read. It looks at the bytes only if there are few.
func tooLarge(lines []string) bool {
	if len(lines) > maxElements {
		return true
	}
	size := len(lines) - 1 // the commas between them
	for _, line := range lines {
		size += len(line)
	}
	if size > maxBytes {
		return true
	}
	count := len(lines)
	for _, line := range lines {
		count += strings.Count(line, ",")
	}
	return count > maxElements
}

// elements iterates over a header: its lines are split at their commas
// (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1), and empty elements are left
// out. Quoted strings are split as well; no browser sends any in the headers that
// are read here.
type elements struct {
	value string // of the current element
	line  string // what is left of the current line
	lines []string
	large bool // the header is too large, and so has no elements
}

// read returns the elements of a header by its canonical name.
func read(h http.Header, name string) elements {
	if lines := h[name]; !tooLarge(lines) {
		return elements{lines: lines}
	}
	return elements{large: true}
}

// next moves on to the next element, and reports whether there is one.
func (e *elements) next() bool {
	for e.line != "" || len(e.lines) > 0 {
		if e.line == "" {
			e.line, e.lines = e.lines[0], e.lines[1:]
		}
		e.value, e.line, _ = strings.Cut(e.line, ",")
		if e.value = strings.TrimSpace(e.value); e.value != "" {
			return true
		}
	}
	return false
}

// has reports whether a header has a value. It is true for one that is too large.
func has(h http.Header, name string) bool {
	e := read(h, name)
	return e.next() || e.large
}

// single returns the value of a header that has exactly one, or "". No browser sends
// one of these headers twice.
func single(h http.Header, name string) string {
	e := read(h, name)
	e.next()
	if value := e.value; !e.next() {
		return value
	}
	return ""
}

// contains reports whether a header has an element of some kind. It is true for a
// header that is too large.
func contains(h http.Header, name string, kind func(element string) bool) bool {
	e := read(h, name)
	for e.next() {
		if kind(e.value) {
			return true
		}
	}
	return e.large
}
