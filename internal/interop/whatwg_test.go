package interop

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/gosignin/signin/internal/returnto"
)

// A whatwg is the URL parser of browsers, in a process that answers line by
// line. It is safe for concurrent use.
type whatwg struct {
	mu   sync.Mutex
	node *nodeProgram
}

func startWHATWG(tb testing.TB) *whatwg {
	tb.Helper()
	return &whatwg{node: startNode(tb, "whatwg.mjs")}
}

// A destination is where a browser goes, or an Error.
type destination struct{ Origin, Pathname, Href, Error string }

// resolve returns where a browser at base goes if it is redirected to location.
func (o *whatwg) resolve(tb testing.TB, base, location string) (to destination) {
	tb.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	// encoding/json replaces what is not UTF-8 by U+FFFD, as browsers do.
	line, err := json.Marshal([]string{base, location})
	if err == nil {
		_, err = o.node.in.Write(append(line, '\n'))
	}
	var said []byte
	if err == nil {
		said, err = o.node.lines.ReadBytes('\n')
	}
	if err == nil {
		err = json.Unmarshal(said, &to)
	}
	if err != nil {
		tb.Fatalf("node: %v", err)
	}
	return to
}

// site is what return_to depends on in an application.
type site struct {
	base   string
	routes []string
	rule   returnto.Rule
}

func newSite(tb testing.TB, base string) site {
	tb.Helper()
	u, err := url.Parse(base)
	if err != nil {
		tb.Fatal(err)
	}
	s := site{base: base}
	for _, route := range []string{"/sign-in", "/callback", "/sign-out", "/backchannel-logout"} {
		s.routes = append(s.routes, u.Path+route)
	}
	s.rule = returnto.New(u, s.routes)
	return s
}

// sites are at the root of a host, below it, and on another port.
func sites(tb testing.TB) []site {
	return []site{newSite(tb, "https://app.example.com"), newSite(tb, "https://app.example.com/app"), newSite(tb, "http://127.0.0.1:8080")}
}

// wantHome fails unless a browser that the callback redirects to location stays
// at the site, and away from its routes, however often a proxy decodes the
// path.
func (s site) wantHome(tb testing.TB, o *whatwg, value, location string) {
	tb.Helper()
	u, _ := url.Parse(s.base)
	to := o.resolve(tb, s.base+"/callback?code=x&state=y", location)
	if to.Error != "" || to.Origin != u.Scheme+"://"+u.Host {
		tb.Errorf("%q at %s: a browser goes to %+v by Location %q; want it to stay", value, s.base, to, location)
		return
	}
	for p := to.Pathname; ; {
		if strings.HasPrefix(p, "//") || strings.HasPrefix(p, `/\`) {
			tb.Errorf("%q at %s: a browser asks for %q; want a path that names no host", value, s.base, to.Pathname)
		}
		for _, route := range s.routes {
			if clean := strings.ToLower(path.Clean(strings.ReplaceAll(p, `\`, "/"))); clean == route || strings.HasPrefix(clean, route+"/") {
				tb.Errorf("%q at %s: a browser asks for %q; want none of the routes", value, s.base, to.Pathname)
			}
		}
		decoded, err := url.PathUnescape(p)
		if err != nil || decoded == p {
			return
		}
		p = decoded
	}
}

// judge gives a value to Path and to URL, checks where a browser goes with what
// they accept, and reports whether one of them accepted it.
func (s site) judge(tb testing.TB, o *whatwg, value string) bool {
	tb.Helper()
	taken := false
	for _, ask := range []func(string) (string, error){s.rule.Path, s.rule.URL} {
		target, err := ask(value)
		if err != nil {
			continue
		}
		taken = true
		w := httptest.NewRecorder()
		returnto.Location(w, target, http.StatusSeeOther)
		s.wantHome(tb, o, value, w.Header().Get("Location"))
	}
	return taken
}

// The values of section 6 of docs/conformance.md: those that are not followed, and
// those that are kept byte for byte.
var (
	section6 = []string{
		"//e.test", "///e.test", `/\e.test`, `\\e.test`, `\/e.test`, "/\t/e.test", "/\n/e.test", "/\t\\e.test", " //e.test", "\x00//e.test", "https://e.test",
		"HtTpS://e.test", `https:\\e.test`, "//app@e.test", "https://app.e.test", `https://e.test\@app`, "//[::1]", "//2130706433", "//ｅ.test", "javascript:alert(1)",
		"java\tscript:x", "data:text/html,x", "file:///x", `/./\e.test`, `/a/../\e.test`, "http://app/", "https://app:8443/",
		"/sign-in", "/callback?code=x", "/sign-out", "/sign%2Dout", "/./sign-out", "/ok\r\nSet-Cookie:x",
	}
	section6Kept = []string{"/", "/ok?x=%E2%82%AC&y=a+b#f"}
)

// openRedirects combines the parts of attacks on redirects: what precedes the
// slashes, characters that may count as slashes, and the host in different
// forms.
func openRedirects() (all []string) {
	seen := make(map[string]bool)
	add := func(parts ...string) {
		if value := strings.Join(parts, ""); !seen[value] {
			seen[value] = true
			all = append(all, value)
		}
	}
	fronts := []string{
		"", "/", " ", "\t", "\n", "\r", "\x00", "\x08", "\x7f", "\u00a0", "\ufeff", "/.", "/..", "/./", "/../", "/%2e", "/%2e%2e/", "/.%2e/", "/;/", "/;@", "/a/..",
		"/a/../", "/app/", "/%09", "/%0d", "/%0a", "/%00", "/%20", "/?", "/#", "https:", "http:", "HTTPS:", "https:/", "ht\ttps:", "//app.example.com", "https://app.example.com",
		"https://app.example.com:443", "https://app.example.com@", "//app.example.com@", `https://app.example.com\`, "https://app.example.com/app", "http://127.0.0.1:8080", "javascript:", "data:", "blob:", "view-source:",
	}
	slashes := []string{
		"/", "//", "///", "////", `\`, `\\`, `/\`, `\/`, `/\/`, "/\t/", "/\n/", "/\r/", "/\x00/", "/\t\\", "/%2f", "%2f%2f", "/%5c", "%5c%5c", "/%252f", "/%255c",
		"\uff0f\uff0f", "/\uff0f", "\u2044\u2044", "\u2215/", "\u29f8\u29f8", "\uff3c\uff3c", "/\u3002", "/./", "/../", "/ /", "/+/", "/%09/", "/%0a/", "/;/", "/:/", "/.\\", "/..\\",
	}
	hosts := []string{"e.test", "E.TEST", "ｅ.test", "e。test", "e%2etest", "e%E3%80%82test", "2130706433", "0x7f.1", "[::1]", "app.example.com@e.test", `e.test\@app.example.com`, "e.test%23@app.example.com", "e.test:443", "app.example.com.e.test"}
	for i, front := range fronts {
		for j, slash := range slashes {
			add(front, slash, hosts[(i+j)%len(hosts)])
		}
	}
	for _, slash := range slashes {
		for _, host := range hosts {
			add(slash, host)
			add("https:", slash, host)
		}
	}
	for _, route := range []string{
		"sign-in", "sign-out", "callback", "SIGN-OUT", "sign%2dout", "sign%252dout", "%73ign-out", "sign-out;x", "sign-out%3b", "sign-out/", "sign-out%2f..", "sign-out%00", "sign-out ", "sign-out\t", "sign\t-out",
		"sign-out%3fx", "sign-out%23", "x/../sign-out", "x/%2e%2e/sign-out", `x\..\sign-out`, "x//../sign-out", "ſign-out", "sign‐out", "sign-out?x", "sign-out#x", "backchannel-logout",
	} {
		for _, front := range []string{"/", "//", "/./", "/app/", "/app//", "/app/../", "/%61pp/", "/app%2f", "https://app.example.com/", "https://app.example.com/app/", "http://127.0.0.1:8080/", "/\t", "/%2f", `/\`, "/x?/"} {
			add(front, route)
		}
	}
	return append(append(all, section6...), section6Kept...)
}

// Section 6 of docs/conformance.md, judged by the URL parser of browsers.
func TestReturnToForTheParserOfBrowsers(t *testing.T) {
	t.Parallel()
	o := startWHATWG(t)
	values := openRedirects()
	taken, away := 0, 0
	for _, s := range sites(t) {
		u, _ := url.Parse(s.base)
		for _, value := range values {
			if s.judge(t, o, value) {
				taken++
			}
			// Most values must lead away if they are followed as they are, or this test
			// would prove nothing.
			if to := o.resolve(t, s.base+"/callback", value); to.Error == "" && to.Origin != u.Scheme+"://"+u.Host {
				away++
			}
		}
	}
	if len(values) < 834 || taken < 100 || away < 1000 {
		t.Errorf("got %d values, of which %d are taken and %d lead away at three sites; want at least 834, 100 and 1000", len(values), taken, away)
	}
}

// FuzzReturnToWHATWG asks the parser of browsers about each value that the rule
// accepts.
func FuzzReturnToWHATWG(f *testing.F) {
	o := startWHATWG(f)
	for i, value := range openRedirects() {
		if i%4 == 0 || i < 100 { // seeds run at every start, and the test above has the rest
			f.Add(value)
		}
	}
	all := sites(f)
	f.Fuzz(func(t *testing.T, value string) {
		for _, s := range all {
			s.judge(t, o, value)
		}
	})
}
