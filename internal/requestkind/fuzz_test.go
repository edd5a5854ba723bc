package requestkind_test

import (
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/requestkind"
)

// fuzzed are the headers that decide about the kind of a request.
var fuzzed = []string{
	"Accept", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-Site", "Sec-Purpose",
	"Purpose", "X-Moz", "X-Requested-With", "HX-Request", "Upgrade", "Connection",
}

// FuzzOf gives Of headers that no browser sends. It must know a navigation by no
// more than what one says, the stricter questions must imply the looser ones, and a
// header in several lines must mean what it means in one that joins them by commas
// (https://www.rfc-editor.org/rfc/rfc9110#section-5.3).
func FuzzOf(f *testing.F) {
	add := func(method string, lines []string) {
		r := request(method, lines...)
		joined := make([]string, len(fuzzed))
		for i, name := range fuzzed {
			joined[i] = strings.Join(r.Header.Values(name), ",")
		}
		f.Add(method, strings.Join(joined, "\n"))
	}
	for _, tt := range programs {
		add(tt.method, tt.lines)
	}
	for _, lines := range [][]string{
		navigation, link, fetch, image, frame, old, and(fetch, "HX-Request: true"), and(navigation, "X-Requested-With: com.example.app"),
		and(navigation, "Connection: upgrade"), {"Accept: TEXT/HTML;level=1;q=0.5"}, {`Accept: a/b;x="\",",text/html`}, {"Accept: ,text/html"},
	} {
		add("GET", lines)
		add("POST", lines)
	}
	f.Fuzz(func(t *testing.T, method, lines string) {
		one, several := http.Header{}, http.Header{}
		for i, line := range strings.SplitN(lines, "\n", len(fuzzed)) {
			name := http.CanonicalHeaderKey(fuzzed[i])
			if line == "" {
				continue
			}
			one[name] = []string{line}
			several[name] = strings.Split(line, ",")
		}
		r := &http.Request{Method: method, Header: one}
		kind, ours := requestkind.Of(r), requestkind.SameOriginNavigation(r)
		other := &http.Request{Method: method, Header: several}
		if got := requestkind.Of(other); got != kind {
			t.Errorf("%q: got kind %d in several lines, %d in one", several, got, kind)
		}
		if requestkind.MayStart(other) != requestkind.MayStart(r) || requestkind.SameOriginNavigation(other) != ours ||
			requestkind.CrossSite(other) != requestkind.CrossSite(r) || requestkind.CookieWritable(other) != requestkind.CookieWritable(r) {
			t.Errorf("%q: got other answers in several lines than in one", several)
		}
		wantToldSo(t, r, kind)
		if ours && (requestkind.CrossSite(r) || method != "GET" || kind != requestkind.Navigation && kind != requestkind.HTMX && !plainly(one)) {
			t.Errorf("%s %q: got a navigation of ours, and kind %d", method, one, kind)
		}
		if requestkind.MayStart(r) && kind != requestkind.Navigation && (method != "GET" || !slices.Contains([]string{"", "*/*"}, strings.Trim(one.Get("Accept"), ", \t\r\n\v\f"))) {
			t.Errorf("%s %q: got a sign-in started by a request of kind %d", method, one, kind)
		}
		// A browser that fetches ahead starts nothing, whatever else it says.
		one.Set("Sec-Purpose", "prefetch")
		if got := requestkind.Of(r); got == requestkind.Navigation || got == requestkind.Form || requestkind.MayStart(r) || requestkind.SameOriginNavigation(r) {
			t.Errorf("%s %q: got kind %d ahead of time; want a program's, and nothing started", method, one, got)
		}
	})
}

// plainly reports whether nothing makes a program of what says that it navigates.
func plainly(h http.Header) bool {
	return h.Get("Upgrade") != "" && h.Get("Connection") != "" || strings.Contains(strings.ToLower(h.Get("Accept")), "text/event-stream")
}

// wantToldSo fails if a kind is known by less than what its sender says.
func wantToldSo(t *testing.T, r *http.Request, kind requestkind.Kind) {
	t.Helper()
	fail := func() { t.Errorf("%s %q: got kind %d", r.Method, r.Header, kind) }
	if kind == requestkind.HTMX && strings.Trim(r.Header.Get("HX-Request"), ", \t\r\n\v\f\u0085\u00a0") != "true" {
		fail()
	}
	if kind != requestkind.Navigation && kind != requestkind.Form {
		return
	}
	if method := map[requestkind.Kind]string{requestkind.Navigation: "GET", requestkind.Form: "POST"}[kind]; r.Method != method {
		fail()
	}
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if strings.ContainsFunc(r.Header.Get(name), func(c rune) bool { return 'a' <= c && c <= 'z' }) {
			fail()
		}
	}
	told := strings.Contains(r.Header.Get("Sec-Fetch-Mode"), "navigate") && strings.Contains(r.Header.Get("Sec-Fetch-Dest"), "document")
	accept := r.Header.Get("Accept")
	if !told && (!namesHTML(accept) || strings.Contains(accept, `"`) || strings.ContainsFunc(r.Header.Get("X-Requested-With"), func(c rune) bool { return 'a' <= c && c <= 'z' })) {
		fail()
	}
}

// namesHTML reports whether an element of a list is text/html, as mime reads it.
func namesHTML(accept string) bool {
	for s := range strings.SplitSeq(accept, ",") {
		if media, _, err := mime.ParseMediaType(s); err == nil && media == "text/html" {
			return true
		}
	}
	return false
}
