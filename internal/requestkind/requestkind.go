// Package requestkind distinguishes requests of people from those of programs,
// so that a refusal has a form that its sender understands.
//
//	switch requestkind.Of(r) {
//	case requestkind.Navigation: // redirect to sign-in, with return_to
//	case requestkind.Form: // 401 with a page
//	case requestkind.HTMX: // 401 with HX-Redirect
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
package requestkind

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
	// Program is every other request: fetch and XMLHttpRequest, command-line
	// clients, images and scripts, event streams, WebSocket upgrades, prefetching,
	// HEAD. Also frames, since the pages of a provider, and those of this
	// module, refuse to be framed.
	Program Kind = iota
	// Navigation is a person who opens a page. Only this kind may begin a sign-in.
	Navigation
	// Form is a person who sends a form. The form cannot be sent again after a
	// sign-in, so a page has to explain.
	Form
	// HTMX is a request of htmx, boosted links included. htmx follows HX-Redirect
	// with the whole page (https://htmx.org/headers/hx-redirect/). It follows
	// Location with a fetch, which the provider's CORS rules stop.
	HTMX
)

// Of returns the kind of r.
func Of(r *http.Request) Kind {
	switch {
	case single(r.Header, "HX-Request") == "true":
		return HTMX
	case upgrade(r), accepts(r, "text/event-stream"), !page(r):
		return Program
	case r.Method == http.MethodGet:
		return Navigation
	case r.Method == http.MethodPost: // forms have no other method: https://html.spec.whatwg.org/#attr-fs-method
		return Form
	}
	return Program
}

// MayStart reports whether a request to the sign-in route itself may begin a
// sign-in: a Navigation, or a client that does not say what it is (no fetch
// metadata, no Accept or "*/*" alone, as simple clients and link checkers send).
// At any other route such a client is a Program.
func MayStart(r *http.Request) bool {
	return Of(r) == Navigation || r.Method == http.MethodGet && !ahead(r) && !upgrade(r) &&
		(!has(r.Header, "Accept") || single(r.Header, "Accept") == "*/*") &&
		!has(r.Header, "Sec-Fetch-Mode", "Sec-Fetch-Dest", "X-Requested-With", "HX-Request")
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
		!ahead(r)
}

// CrossSite reports whether the browser says that another site caused this request,
// or another origin of this site: a sibling domain may have another owner. The
// browser judges the whole chain of redirects
// (https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header). CrossSite
// is false if the browser says nothing. That is safe, since it only decides
// which unfinished sign-ins are dropped first, and such a browser says nothing
// about any of them.
func CrossSite(r *http.Request) bool {
	return slices.ContainsFunc(values(r.Header, "Sec-Fetch-Site"), func(from string) bool { return from == "cross-site" || from == "same-site" })
}

// CookieWritable reports whether a changed session cookie may be set on the answer
// to r. It may not on subresources that caches share: a cache that keeps an image
// together with its Set-Cookie hands one person's session to all others
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

// page reports whether a person waits for a page to appear in the window.
func page(r *http.Request) bool {
	if ahead(r) {
		return false
	}
	// https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-mode-header
	navigates := single(r.Header, "Sec-Fetch-Mode") == "navigate"
	document := single(r.Header, "Sec-Fetch-Dest") == "document"
	switch {
	case navigates && document:
		// It is tempting to refuse X-Requested-With here too. But Android's WebView
		// sends the name of its app in it with each navigation.
		return true
	case !navigates && has(r.Header, "Sec-Fetch-Mode"), !document && has(r.Header, "Sec-Fetch-Dest"):
		return false
	}
	// Text that looks like a media type may be part of a quoted string. No browser
	// sends quotes here, so the sender is a program.
	quotes := strings.Contains(strings.Join(r.Header.Values("Accept"), ""), `"`)
	return !quotes && accepts(r, "text/html") && !has(r.Header, "X-Requested-With")
}

// ahead reports whether the browser fetches a page before the person asks for it.
// Every value of the header means that:
// https://fetch.spec.whatwg.org/#sec-purpose-header. Purpose and X-Moz are its older
// forms.
func ahead(r *http.Request) bool { return has(r.Header, "Sec-Purpose", "Purpose", "X-Moz") }

// upgrade reports whether a request starts another protocol
// (https://www.rfc-editor.org/rfc/rfc9110#section-7.8). Both headers must be there,
// since some proxies add Connection: upgrade to every request.
func upgrade(r *http.Request) bool {
	return has(r.Header, "Upgrade") &&
		slices.ContainsFunc(values(r.Header, "Connection"), func(s string) bool { return strings.EqualFold(s, "upgrade") })
}

// accepts reports whether the sender accepts a media type by its name
// (https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1). Wildcards do not count,
// since every program sends "*/*".
func accepts(r *http.Request, mediaType string) bool {
	for _, s := range values(r.Header, "Accept") {
		name, params, err := mime.ParseMediaType(s)
		if err != nil || name != mediaType {
			continue
		}
		weight, ok := params["q"]
		if q, err := strconv.ParseFloat(weight, 64); !ok || err == nil && q > 0 {
			return true
		}
	}
	return false
}

// has reports whether one of these headers has a value.
func has(h http.Header, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return len(values(h, name)) > 0 })
}

// single returns the value of a header that has exactly one, or "". No browser sends
// one of these headers twice.
func single(h http.Header, name string) string {
	if v := values(h, name); len(v) == 1 {
		return v[0]
	}
	return ""
}

// values splits all lines of a header at their commas
// (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1), and leaves out empty
// elements. It splits quoted strings as well; no browser sends any in the headers
// that are read here.
func values(h http.Header, name string) []string {
	var out []string
	for _, line := range h.Values(name) {
		for s := range strings.SplitSeq(line, ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}
