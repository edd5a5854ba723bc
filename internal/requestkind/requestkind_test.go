package requestkind_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/requestkind"
)

// request returns one with the given header lines ("Name: value").
func request(method string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, "https://app/x", nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r
}

func and(lines []string, more ...string) []string { return slices.Concat(lines, more) }

func sec(mode, dest string) []string {
	return []string{"Sec-Fetch-Mode: " + mode, "Sec-Fetch-Dest: " + dest}
}

// from returns what a browser sends when it navigates from a site.
func from(site string) []string {
	return append(sec("navigate", "document"), acceptPage, "Sec-Fetch-Site: "+site)
}

const (
	acceptPage = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	acceptAll  = "Accept: */*"
	upgrading  = "Connection: keep-alive, Upgrade"

	page    = requestkind.Navigation
	form    = requestkind.Form
	htmx    = requestkind.HTMX
	inertia = requestkind.Inertia
	program = requestkind.Program
)

var (
	// What browsers send.
	typed = from("none")
	link  = from("same-origin")
	fetch = append(sec("cors", "empty"), acceptAll, "Sec-Fetch-Site: same-origin")
	image = append(sec("no-cors", "image"), "Accept: image/avif,*/*", "Sec-Fetch-Site: same-origin")
	frame = append(sec("navigate", "iframe"), acceptPage, "Sec-Fetch-Site: same-origin")
	// What browsers without fetch metadata send.
	old = []string{acceptPage}
)

// Further answers about a request. unclear: MayStart is true, although the client does
// not say what it is. ours: SameOriginNavigation is true.
const (
	unclear = 1 << iota
	ours
)

// requests are requests, each with the answers that this package must give.
var requests = []struct {
	name, method string
	lines        []string
	kind         requestkind.Kind
	also         int
}{
	{"an address typed", "GET", typed, page, 0},
	{"a link", "GET", link, page, ours},
	{"a link on another site", "GET", from("cross-site"), page, 0},
	{"a link on a sibling domain", "GET", from("same-site"), page, 0},
	{"two sites", "GET", and(link, "Sec-Fetch-Site: cross-site"), page, 0},
	{"an Android WebView, which sends its app's name", "GET", and(typed, "X-Requested-With: com.example.app"), page, 0},
	{"a proxy that adds Connection: upgrade", "GET", and(typed, "Connection: upgrade"), page, 0},
	{"an Upgrade that Connection does not name", "GET", and(typed, "Connection: keep-alive", "Upgrade: h2c"), page, 0},
	{"a navigation that accepts anything", "GET", append(sec("navigate", "document"), acceptAll), page, 0},
	{"an old browser", "GET", old, page, 0},
	{"Chrome before it sent a destination", "GET", []string{acceptPage, "Sec-Fetch-Mode: navigate"}, page, 0},
	{"Accept with parameters", "GET", []string{"Accept: TEXT/HTML;level=1;q=0.5"}, page, 0},
	{"Accept in several lines", "GET", []string{"Accept: application/json", "Accept: ,text/html"}, page, 0},
	{"Accept with a backslash, which is a plain character", "GET", []string{`Accept: x\,text/html`}, page, 0},
	{"HX-Request that is not true", "GET", and(typed, "HX-Request: false"), page, 0},

	{"a form", "POST", link, form, 0},
	{"a form of an old browser", "POST", old, form, 0},

	{"htmx by GET", "GET", and(fetch, "HX-Request: true"), htmx, 0},
	{"htmx of an old browser", "GET", and(old, "HX-Request: true"), htmx, 0},
	{"htmx that takes anything", "GET", []string{acceptAll, "HX-Request: true"}, htmx, 0},

	{"curl", "GET", []string{acceptAll}, program, unclear},
	{"a client that says nothing", "GET", nil, program, unclear},
	{"Inertia", "GET", and(fetch, "X-Inertia: true", "X-Requested-With: XMLHttpRequest"), inertia, 0},
	{"Inertia of an old browser", "PUT", []string{"Accept: text/html, application/xhtml+xml", "X-Inertia: true"}, inertia, 0},
	{"Inertia that fetches a page ahead", "GET", and(fetch, "X-Inertia: true", "Purpose: prefetch"), program, 0},
	{"X-Inertia that is not true", "GET", and(fetch, "X-Inertia: 1"), program, 0},
	{"an old Android WebView", "GET", and(old, "X-Requested-With: com.example.app"), page, 0},
	{"a form of an old Android WebView", "POST", and(old, "X-Requested-With: com.example.app"), form, 0},
	{"an app's name that asks for JSON", "GET", []string{"Accept: application/json", "X-Requested-With: com.example.app"}, program, 0},
	{"an app's name and a script's", "GET", and(old, "X-Requested-With: com.example.app, xmlhttprequest"), program, 0},

	{"HEAD without headers", "HEAD", nil, program, 0},
	{"a program that takes anything, but last", "GET", []string{"Accept: */*, application/json"}, program, 0},
	{"a program that takes anything, twice", "GET", []string{"Accept: */*, */*"}, program, 0},
	{"a program that takes anything, in quotes", "GET", []string{`Accept: "*/*"`}, program, 0},
	{"JSON", "GET", []string{"Accept: application/json, text/plain, */*"}, program, 0},
	{"fetch", "GET", fetch, program, 0},
	{"fetch that asks for HTML", "GET", append(sec("cors", "empty"), "Accept: text/html"), program, 0},
	{"XMLHttpRequest of an old browser", "GET", and(old, "X-Requested-With: XMLHttpRequest"), program, 0},
	{"XMLHttpRequest that takes anything", "GET", []string{acceptAll, "X-Requested-With: XMLHttpRequest"}, program, 0},
	{"an event stream", "GET", []string{"Accept: text/event-stream"}, program, 0},
	{"an event stream that claims to be a page", "GET", and(typed, "Accept: text/event-stream"), program, 0},
	{"an event stream inside quotes", "GET", and(typed, `Accept: a/b;x="y, text/event-stream, z"`), program, 0},
	{"a WebSocket", "GET", []string{upgrading, "Upgrade: websocket"}, program, 0},
	{"a WebSocket that claims to be a page", "GET", and(typed, upgrading, "Upgrade: websocket"), program, 0},
	{"a mode alone, and no HTML asked for", "GET", []string{acceptAll, "Sec-Fetch-Mode: navigate"}, program, 0},
	{"a destination alone, and no HTML asked for", "GET", []string{acceptAll, "Sec-Fetch-Dest: document"}, program, 0},
	{"a mode that is not navigate", "GET", append(sec("cors", "document"), "Sec-Fetch-Site: same-origin"), program, 0},
	{"an image", "GET", image, program, 0},
	{"a frame", "GET", frame, program, 0},
	{"a prefetch", "GET", and(link, "Sec-Purpose: prefetch"), program, 0},
	{"a prefetch without fetch metadata", "GET", []string{"Sec-Purpose: prefetch"}, program, 0},
	{"a prerender", "GET", and(link, "Sec-Purpose: prefetch;prerender"), program, 0},
	{"a prefetch of an old Chrome", "GET", and(link, "Purpose: prefetch"), program, 0},
	{"a prefetch of an old Firefox", "GET", and(old, "X-Moz: prefetch"), program, 0},
	{"HEAD", "HEAD", link, program, 0},
	{"PUT", "PUT", typed, program, 0},
	{"a lower-case get", "get", link, program, 0},
	{"two modes", "GET", and(link, "Sec-Fetch-Mode: cors"), program, 0},
	{"two destinations", "GET", and(link, "Sec-Fetch-Dest: document"), program, 0},
	{"a mode in quotes", "GET", append(sec(`"a,navigate,b"`, "document"), acceptPage), program, 0},
	{"HTML refused", "GET", []string{"Accept: text/html;q=0, */*"}, program, 0},
	{"HTML with a malformed weight", "GET", []string{"Accept: text/html;q=x"}, program, 0},
	{"HTML with a weight out of range", "GET", []string{"Accept: text/html;q=1e999"}, program, 0},
	{"HTML with broken parameters", "GET", []string{"Accept: text/html;="}, program, 0},
	{"HTML inside quotes that begin on another line", "GET", []string{`Accept: a/b;x="y`, "Accept: text/html"}, program, 0},
	{"HTML with a parameter in quotes", "GET", []string{`Accept: text/html;level="1"`}, program, 0},
	{"HX-Request twice", "GET", and(fetch, "HX-Request: true", "HX-Request: true"), program, 0},
	{"HTML refused, and then accepted: the first decides", "GET", []string{"Accept: text/html;q=0, text/html"}, program, 0},
	{"an event stream refused, and then accepted", "GET", and(typed, "Accept: text/event-stream;q=0, text/event-stream"), page, 0},
	{"types as long as text/html", "GET", []string{"Accept: image/png, image/gif;q=0.5"}, program, 0},
	{"a type that begins like text/html", "GET", []string{"Accept: text/htmlx"}, program, 0},
	{"HTML with parameters of 128 bytes", "GET", []string{"Accept: text/html;a=" + strings.Repeat("b", 116)}, page, 0},
	{"HTML with a byte more", "GET", []string{"Accept: text/html;a=" + strings.Repeat("b", 117)}, program, 0},
	{"4 KB of Accept", "GET", []string{"Accept: text/html", "Accept: " + strings.Repeat("a", 4086)}, page, 0},
	{"64 elements of Accept", "GET", []string{"Accept: text/html" + strings.Repeat(",a", 62), "Accept: a"}, page, 0},
}

// large are headers beyond what is read of one.
var large = map[string][]string{
	"a byte more than 4 KB":           {strings.Repeat("a", 4097)},
	"4 KB in two lines, and a comma":  {strings.Repeat("a", 2048), strings.Repeat("a", 2048)},
	"65 elements":                     {strings.Repeat("a,", 64)},
	"65 elements in two lines":        {strings.Repeat(",", 63), "a"},
	"65 lines":                        make([]string, 65),
	"a megabyte, as net/http lets it": {strings.Repeat("text/html;q=0,", 1<<20/14)},
}

// readNames are the headers that are read.
var readNames = []string{
	"Accept", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Sec-Purpose", "Purpose", "X-Moz",
	"X-Requested-With", "Hx-Request", "X-Inertia", "Upgrade", "Connection", "Accept-Language",
}

func TestAcceptLanguage(t *testing.T) {
	t.Parallel()
	r := request("GET", link...)
	for _, lines := range [][]string{nil, {"ko-KR,ko;q=0.9"}, {"th", "en;q=0.5"}, {strings.Repeat("a", 4096)}, {strings.Repeat("a,", 63)}} {
		r.Header["Accept-Language"] = lines
		if got, want := requestkind.AcceptLanguage(r), strings.Join(lines, ","); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
	for what, lines := range large {
		r.Header["Accept-Language"] = lines
		if got := requestkind.AcceptLanguage(r); got != "" {
			t.Errorf("%s: got %d bytes; want none", what, len(got))
		}
	}
}

// TestLargeHeaders makes one header too large, in requests of a person, an old browser,
// htmx, and a client that says nothing.
func TestLargeHeaders(t *testing.T) {
	t.Parallel()
	for _, lines := range [][]string{link, old, and(fetch, "HX-Request: true"), nil} {
		for _, name := range readNames {
			for what, values := range large {
				r := request("GET", lines...)
				r.Header[name] = values
				got := answers(r)
				want := answer{kind: program, crossSite: name == "Sec-Fetch-Site", writable: name != "Sec-Fetch-Dest"}
				// What SameOriginNavigation does not read says nothing about where a
				// request comes from.
				want.ours = got.ours && !strings.HasPrefix(name, "Sec-") && name != "Purpose" && name != "X-Moz"
				if got != want {
					t.Errorf("%q: %s of %s: got %+v; want %+v", lines, name, what, got, want)
				}
			}
		}
	}
}

func TestOf_Allocations(t *testing.T) {
	for _, lines := range [][]string{link, image, {acceptAll}, and(old, upgrading, "HX-Request: true")} {
		r := request("GET", lines...)
		if n := testing.AllocsPerRun(10, func() { answers(r) }); n > 0 {
			t.Errorf("%q: got %v allocations; want none", lines, n)
		}
	}
}

func TestCases(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]requestkind.Kind{
		"7.1 a page navigation may begin a sign-in":  page,
		"7.1 a form that comes too late gets a page": form,
		"7.1 HTMX gets a header":                     htmx,
		"7.1 Inertia gets another":                   inertia,
		"7.1 everything else is a program":           program,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, row := range requests {
				r := request(row.method, row.lines...)
				if got := requestkind.Of(r); (got == kind) != (row.kind == kind) {
					t.Errorf("%s: got kind %d; want %d", row.name, got, row.kind)
				}
			}
		})
	}
	t.Run("8.1 only a same-origin navigation may sign out by GET", func(t *testing.T) {
		t.Parallel()
		for _, row := range requests {
			if got := requestkind.SameOriginNavigation(request(row.method, row.lines...)); got != (row.also&ours != 0) {
				t.Errorf("%s: got %t", row.name, got)
			}
		}
	})
	t.Run("2.6 a sign-in that another site begins is recognized", func(t *testing.T) {
		t.Parallel()
		for site, want := range map[string]bool{
			"cross-site": true, "same-site": true, "same-origin, cross-site": true, "same-origin": false, "none": false, "": false,
		} {
			if got := requestkind.CrossSite(request("GET", "Sec-Fetch-Site: "+site)); got != want {
				t.Errorf("%q: got %t; want %t", site, got, want)
			}
		}
	})
	t.Run("4.9 a session cookie is not set on what caches share", func(t *testing.T) {
		t.Parallel()
		for dests, want := range map[string]bool{
			"image style script font audio video track manifest Image document,image": false,
			"document empty iframe worker":                                            true,
		} {
			for dest := range strings.FieldsSeq(dests) {
				if got := requestkind.CookieWritable(request("GET", "Sec-Fetch-Dest: "+dest)); got != want {
					t.Errorf("Sec-Fetch-Dest %q: got writable %t; want %t", dest, got, want)
				}
			}
		}
		if !requestkind.CookieWritable(request("GET")) {
			t.Error("no Sec-Fetch-Dest: got not writable; want writable")
		}
	})
}

func TestMayStart(t *testing.T) {
	t.Parallel()
	for _, row := range requests {
		want := row.kind == page || row.also&unclear != 0
		if got := answers(request(row.method, row.lines...)).start; got != want {
			t.Errorf("%s: got %t; want %t", row.name, got, want)
		}
	}
}

// FuzzOf tries headers that no browser sends. A header in several lines must mean the
// same as one line that joins them by commas
// (https://www.rfc-editor.org/rfc/rfc9110#section-5.3), a request must count as a
// person's only if it says so, and a prefetch must start nothing.
func FuzzOf(f *testing.F) {
	for _, row := range requests {
		r := request(row.method, row.lines...)
		joined := make([]string, len(readNames))
		for i, name := range readNames {
			joined[i] = strings.Join(r.Header.Values(name), ",")
		}
		f.Add(row.method, strings.Join(joined, "\n"))
	}
	f.Fuzz(func(t *testing.T, method, lines string) {
		r := &http.Request{Method: method, Header: http.Header{}}
		other := &http.Request{Method: method, Header: http.Header{}}
		for i, line := range strings.SplitN(lines, "\n", len(readNames)) {
			if line != "" {
				r.Header.Set(readNames[i], line)
				other.Header[http.CanonicalHeaderKey(readNames[i])] = strings.Split(line, ",")
			}
		}
		got := answers(r)
		if several := answers(other); several != got {
			t.Errorf("%q: got %v in several lines, %v in one", lines, several, got)
		}
		told := strings.Contains(r.Header.Get("Sec-Fetch-Mode"), "navigate") &&
			strings.Contains(r.Header.Get("Sec-Fetch-Dest"), "document")
		html := strings.Contains(strings.ToLower(r.Header.Get("Accept")), "text/html")
		if (got.kind == page && method != "GET") || (got.kind == form && method != "POST") ||
			(got.kind == page || got.kind == form) && !told && !html ||
			got.kind == inertia && !strings.Contains(r.Header.Get("X-Inertia"), "true") ||
			got.kind == htmx && !strings.Contains(r.Header.Get("HX-Request"), "true") ||
			got.ours && (!told || got.crossSite || method != "GET") || got.start && method != "GET" {
			t.Errorf("%s %q: got %+v, which its sender does not say", method, lines, got)
		}
		r.Header.Set("Sec-Purpose", "prefetch")
		if ahead := answers(r); ahead.start || ahead.ours || ahead.kind == page || ahead.kind == form {
			t.Errorf("%s %q: got %+v of a prefetch", method, lines, ahead)
		}
	})
}

type answer struct {
	kind                             requestkind.Kind
	start, ours, crossSite, writable bool
}

func answers(r *http.Request) answer {
	return answer{
		requestkind.Of(r), requestkind.MayStart(r, requestkind.Of(r)), requestkind.SameOriginNavigation(r),
		requestkind.CrossSite(r), requestkind.CookieWritable(r),
	}
}
