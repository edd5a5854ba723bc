package requestkind_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/requestkind"
)

// request writes one with the given header lines ("Name: value").
func request(method string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, "https://app/x", nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r
}

func and(lines []string, more ...string) []string {
	return append(append([]string(nil), lines...), more...)
}

const (
	acceptPage = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	acceptAll  = "Accept: */*"
	upgrading  = "Connection: keep-alive, Upgrade"
)

var (
	// What browsers send.
	navigation = []string{acceptPage, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"}
	link       = []string{acceptPage, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	fetch      = []string{acceptAll, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}
	image      = []string{"Accept: image/avif,*/*", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}
	frame      = []string{acceptPage, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}
	// What those of them send that know nothing of fetch metadata.
	old = []string{acceptPage}
)

func TestCases(t *testing.T) {
	t.Parallel()
	t.Run("7.1 a page navigation may begin a sign-in", func(t *testing.T) {
		t.Parallel()
		kinds(t, requestkind.Navigation, []row{
			{"an address typed", "GET", navigation},
			{"a link", "GET", link},
			{"a link on another site", "GET", []string{acceptPage, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}},
			{"an Android WebView, which sends its app's name", "GET", and(navigation, "X-Requested-With: com.example.app")},
			{"a proxy that adds Connection: upgrade", "GET", and(navigation, "Connection: upgrade")},
			{"an Upgrade header without Connection", "GET", and(navigation, "Upgrade: h2c")},
			{"an Upgrade header that Connection does not name", "GET", and(navigation, "Connection: keep-alive", "Upgrade: h2c")},
			{"a navigation whatever it accepts", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", acceptAll}},
			{"an old browser", "GET", old},
			{"Chrome before it sent a destination", "GET", []string{acceptPage, "Sec-Fetch-Mode: navigate"}},
			{"Accept with parameters", "GET", []string{"Accept: TEXT/HTML;level=1;q=0.5"}},
			{"Accept in several lines", "GET", []string{"Accept: application/json", "Accept: ,text/html"}},
			{"Accept after a backslash, which is a character like others", "GET", []string{`Accept: x\,text/html`}},
			{"HX-Request that is not true", "GET", and(navigation, "HX-Request: false")},
			{"an empty purpose", "GET", and(navigation, "Purpose: ")},
		})
	})
	t.Run("7.1 a form that comes too late gets a page", func(t *testing.T) {
		t.Parallel()
		kinds(t, requestkind.Form, []row{
			{"a form", "POST", link},
			{"a form of an old browser", "POST", old},
		})
	})
	t.Run("7.1 HTMX gets a header", func(t *testing.T) {
		t.Parallel()
		kinds(t, requestkind.HTMX, []row{
			{"GET", "GET", and(fetch, "HX-Request: true")},
			{"POST", "POST", and(fetch, "HX-Request: true")},
			{"DELETE", "DELETE", and(fetch, "HX-Request: true")},
			{"a boosted link", "GET", and(fetch, "HX-Request: true", "HX-Boosted: true")},
			{"an old browser", "GET", and(old, "HX-Request: true")},
		})
	})
	t.Run("7.1 everything else is a program", func(t *testing.T) {
		t.Parallel()
		kinds(t, requestkind.Program, programs)
	})
	t.Run("8.1 only a same-origin navigation may sign out by GET", testSameOriginNavigation)
	t.Run("2.6 another site's sign-in is known as such", testCrossSite)
	t.Run("4.9 a session cookie is not set on what caches share", testCookieWritable)
}

type row struct {
	name, method string
	lines        []string
}

var programs = []row{
	{"curl", "GET", []string{acceptAll}},
	{"nothing at all", "GET", nil},
	{"fetch", "GET", fetch},
	{"fetch that asks for HTML", "GET", []string{"Accept: text/html", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}},
	{"fetch by POST", "POST", fetch},
	{"JSON by POST", "POST", []string{"Accept: application/json"}},
	{"XMLHttpRequest of an old browser", "GET", and(old, "X-Requested-With: XMLHttpRequest")},
	{"JSON", "GET", []string{"Accept: application/json, text/plain, */*"}},
	{"an event stream", "GET", []string{"Accept: text/event-stream"}},
	{"an event stream that claims to be a page", "GET", and(navigation, "Accept: text/event-stream")},
	{"a WebSocket", "GET", []string{upgrading, "Upgrade: websocket"}},
	{"a WebSocket that claims to be a page", "GET", and(navigation, upgrading, "Upgrade: websocket")},
	{"a mode alone, and no HTML asked for", "GET", []string{acceptAll, "Sec-Fetch-Mode: navigate"}},
	{"a destination alone, and no HTML asked for", "GET", []string{acceptAll, "Sec-Fetch-Dest: document"}},
	{"an image", "GET", image},
	{"a frame", "GET", frame},
	{"a form sent in a frame", "POST", frame},
	{"an embedded object", "GET", []string{acceptPage, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object"}},
	{"a frame that an old Chrome does not name", "GET", []string{acceptPage, "Sec-Fetch-Mode: nested-navigate"}},
	{"a prefetch", "GET", and(navigation, "Sec-Purpose: prefetch")},
	{"a prerender", "GET", and(navigation, "Sec-Purpose: prefetch;prerender")},
	{"a purpose not known yet", "GET", and(navigation, "Sec-Purpose: preview")},
	{"a prefetch of an old Chrome", "GET", and(navigation, "Purpose: prefetch")},
	{"a prefetch of an old Firefox", "GET", and(old, "X-Moz: prefetch")},
	{"HEAD", "HEAD", navigation},
	{"HEAD of an old browser", "HEAD", old},
	{"PUT", "PUT", navigation},
	{"OPTIONS", "OPTIONS", old},
	{"a lower-case get", "get", navigation},
	{"two modes", "GET", and(navigation, "Sec-Fetch-Mode: cors")},
	{"two modes in one line", "GET", []string{acceptPage, "Sec-Fetch-Mode: navigate, navigate", "Sec-Fetch-Dest: document"}},
	{"two destinations", "GET", and(navigation, "Sec-Fetch-Dest: document")},
	{"HTML refused", "GET", []string{"Accept: text/html;q=0, */*"}},
	{"HTML with a weight that is none", "GET", []string{"Accept: text/html;q=x"}},
	{"HTML with broken parameters", "GET", []string{"Accept: text/html;="}},
	{"any text", "GET", []string{"Accept: text/*"}},
	{"HTML with a weight beyond all numbers", "GET", []string{"Accept: text/html;q=1e999"}},
	{"HTML inside quotes", "GET", []string{`Accept: a/b;x="y, text/html, z"`}},
	{"HTML inside quotes that begin on another line", "GET", []string{`Accept: a/b;x="y`, "Accept: text/html"}},
	{"HTML after a comma in quotes", "GET", []string{`Accept: a/b;x="\",",text/html`}},
	{"HTML with a parameter in quotes", "GET", []string{`Accept: text/html;level="1"`}},
	{"an event stream inside quotes", "GET", and(navigation, `Accept: a/b;x="y, text/event-stream, z"`)},
	{"a mode in quotes", "GET", []string{acceptPage, `Sec-Fetch-Mode: "navigate"`, "Sec-Fetch-Dest: document"}},
	{"a mode inside quotes", "GET", []string{acceptPage, `Sec-Fetch-Mode: "a,navigate,b"`, "Sec-Fetch-Dest: document"}},
	{"HX-Request twice", "GET", and(fetch, "HX-Request: true", "HX-Request: true")},
}

func kinds(t *testing.T, want requestkind.Kind, rows []row) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := requestkind.Of(request(tt.method, tt.lines...)); got != want {
				t.Errorf("%s %q: got kind %d; want %d", tt.method, tt.lines, got, want)
			}
		})
	}
}

func testSameOriginNavigation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method string
		lines        []string
		want         bool
	}{
		{"a link on a page of ours", "GET", link, true},
		{"a link in a mail, or an address typed", "GET", navigation, false},
		{"a link on another site", "GET", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, false},
		{"a link on a sibling domain", "GET", []string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, false},
		{"an image of ours", "GET", image, false},
		{"a frame of ours", "GET", frame, false},
		{"fetch", "GET", fetch, false},
		{"a document that nobody navigates to", "GET", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: document"}, false},
		{"a prefetch", "GET", and(link, "Sec-Purpose: prefetch"), false},
		{"a prerender", "GET", and(link, "Sec-Purpose: prefetch;prerender"), false},
		{"a prefetch of an old browser", "GET", and(link, "Purpose: prefetch"), false},
		{"an old browser", "GET", old, false},
		{"a browser that does not tell the site", "GET", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, false},
		{"two sites", "GET", and(link, "Sec-Fetch-Site: cross-site"), false},
		{"HEAD", "HEAD", link, false},
		{"POST, which is protected in another way", "POST", link, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := requestkind.SameOriginNavigation(request(tt.method, tt.lines...)); got != tt.want {
				t.Errorf("%s %q: got %v; want %v", tt.method, tt.lines, got, tt.want)
			}
		})
	}
}

func testCrossSite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"another site", []string{"Sec-Fetch-Site: cross-site"}, true},
		{"another site among others", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}, true},
		{"a sibling domain", []string{"Sec-Fetch-Site: same-site"}, true},
		{"this site", []string{"Sec-Fetch-Site: same-origin"}, false},
		{"an address typed", []string{"Sec-Fetch-Site: none"}, false},
		{"a browser that does not tell", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := requestkind.CrossSite(request("GET", tt.lines...)); got != tt.want {
				t.Errorf("%q: got %v; want %v", tt.lines, got, tt.want)
			}
		})
	}
}

func testCookieWritable(t *testing.T) {
	t.Parallel()
	for _, dest := range []string{"image", "style", "script", "font", "audio", "video", "track", "manifest", "Image"} {
		if requestkind.CookieWritable(request("GET", "Sec-Fetch-Dest: "+dest)) {
			t.Errorf("Sec-Fetch-Dest %q: got writable; want not", dest)
		}
	}
	if requestkind.CookieWritable(request("GET", "Sec-Fetch-Dest: document", "Sec-Fetch-Dest: image")) {
		t.Error("Sec-Fetch-Dest document and image: got writable; want not")
	}
	for _, dest := range []string{"document", "empty", "iframe", "worker", ""} {
		if !requestkind.CookieWritable(request("GET", "Sec-Fetch-Dest: "+dest)) {
			t.Errorf("Sec-Fetch-Dest %q: got not writable; want writable", dest)
		}
	}
	if !requestkind.CookieWritable(request("GET")) {
		t.Error("no Sec-Fetch-Dest: got not writable; want writable")
	}
}

func Example() {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		switch requestkind.Of(r) {
		case requestkind.Navigation:
			w.Header().Set("Location", "/sign-in?return_to=%2Faccount")
			w.WriteHeader(http.StatusSeeOther)
		case requestkind.Form:
			http.Error(w, "Please sign in, then try again.", http.StatusUnauthorized)
		case requestkind.HTMX:
			w.Header().Set("HX-Redirect", "/sign-in?return_to=%2Faccount")
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	for _, accept := range []string{"text/html,*/*;q=0.8", "application/json"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/account", nil)
		r.Header.Set("Accept", accept)
		refuse(w, r)
		fmt.Println(w.Code, w.Header().Get("Location"))
	}
	// Output:
	// 303 /sign-in?return_to=%2Faccount
	// 401
}

func TestMayStart(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		method string
		header http.Header
		want   bool
	}{
		{"a person who navigates", "GET", http.Header{"Accept": {"text/html"}}, true},
		{"a browser that says so", "GET", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, true},
		{"a client that says nothing", "GET", http.Header{}, true},
		{"a client that takes anything", "GET", http.Header{"Accept": {"*/*"}}, true},
		{"a program", "GET", http.Header{"Accept": {"application/json, */*"}}, false},
		{"a program that takes anything, but last", "GET", http.Header{"Accept": {"*/*, application/json"}}, false},
		{"a program that takes one thing", "GET", http.Header{"Accept": {"application/json"}}, false},
		{"a program that takes anything, twice", "GET", http.Header{"Accept": {"*/*, */*"}}, false},
		{"a program that takes anything, in quotes", "GET", http.Header{"Accept": {`"*/*"`}}, false},
		{"fetch", "GET", http.Header{"Accept": {"*/*"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}}, false},
		{"an image", "GET", http.Header{"Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}}, false},
		{"an old XMLHttpRequest", "GET", http.Header{"Accept": {"*/*"}, "X-Requested-With": {"XMLHttpRequest"}}, false},
		{"htmx", "GET", http.Header{"Accept": {"*/*"}, "Hx-Request": {"true"}}, false},
		{"a prefetch", "GET", http.Header{"Sec-Purpose": {"prefetch"}}, false},
		{"a WebSocket", "GET", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, false},
		{"HEAD", "HEAD", http.Header{}, false},
		{"POST", "POST", http.Header{"Accept": {"text/html"}}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := requestkind.MayStart(&http.Request{Method: row.method, Header: row.header}); got != row.want {
				t.Errorf("got %v; want %v", got, row.want)
			}
		})
	}
}
