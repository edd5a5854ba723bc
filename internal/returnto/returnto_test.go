package returnto_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/returnto"
)

const base = "https://app"

// routes are those of an application at the root, and of one below /app.
var routes = []string{
	"/sign-in", "/callback", "/sign-out", "/backchannel-logout",
	"/app/sign-in", "/app/callback", "/app/sign-out", "/app/backchannel-logout",
}

func rule(t testing.TB, base string, routes ...string) returnto.Rule {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return returnto.New(u, routes)
}

type row struct {
	name, value string
	reason      string // the end of the error
}

const (
	noSlash   = "does not begin with a slash"
	host      = "begins with two slashes and so names a host"
	backslash = "contains a backslash"
	control   = "contains a control character"
	encoded   = "contains an encoded control character"
	dots      = "has a dot segment"
	malformed = "has a malformed percent-encoding in its path"
	route     = "is one of the sign-in routes"
)

// offSite would lead to another site.
var offSite = []row{
	{"two slashes", "//e.test", host},
	{"the application as a user name", "//app@e.test", host},
	{"a slash and a backslash", `/\e.test`, backslash},
	{"a tab between two slashes", "/\t/e.test", control},
	{"a line feed between two slashes", "/\n/e.test", control},
	{"a DEL", "/\x7f/e.test", control},
	{"a NUL before two slashes", "\x00//e.test", noSlash},
	{"https", "https://e.test", noSlash},
	{"the application after a backslash", `https://e.test\@app`, noSlash},
	{"a script, with a tab", "java\tscript:x", noSlash},
	{"an empty value", "", noSlash},
	{"a relative path", "ok", noSlash},
	{"a dot segment before a backslash", `/./\e.test`, backslash},
	{"a dot segment before two slashes", "/.//e.test", dots},
	{"two dots before two slashes", "/..//e.test", dots},
	{"an encoded slash", "/%2Fe.test", host},
	{"a slash encoded twice", "/%252Fe.test", host},
	{"an encoded backslash", "/%5Ce.test", host},
	{"an encoded tab", "/%09/e.test", encoded},
}

// looping leads back to the sign-in routes, at the root or below /app.
var looping = []row{
	{"the callback with a query", "/callback?code=x", route},
	{"back-channel logout", "/backchannel-logout", route},
	{"two slashes at the end", "/sign-in//", route},
	{"a route below the sign-in", "/sign-in/naver", route},
	{"an encoded slash after the route", "/sign-in%2Fnaver", route},
	{"a fragment", "/sign-out#x", route},
	{"a path parameter", "/sign-out;x=y", route},
	{"an encoded question mark", "/sign-out%3Fx", route},
	{"an encoded hyphen", "/sign%2Dout", route},
	{"a hyphen encoded twice", "/sign%252Dout", route},
	{"a hyphen whose escape is encoded digit by digit", "/sign%25%32%44out", route},
	{"a hyphen whose escape is encoded in part", "/sign%2%44out", malformed},
	{"upper case", "/Sign-Out", route},
	{"a space at the end, which browsers cut off", "/sign-out ", "ends with a space"},
	{"a dot segment", "/./sign-out", dots},
	{"another directory, left again after decoding", "/x/%2e%2e/sign-out", dots},
	{"below /app after two slashes", "/app//sign-out", route},
	// For browsers this is /app/sign-out, for path.Clean /sign-out.
	{"below /app after an empty segment and two dots", "/app//../sign-out", dots},
}

// broken is not followed for other reasons.
var broken = []row{
	{"CR LF and a header", "/ok\r\nSet-Cookie:x", control},
	{"CR LF and a header, encoded", "/ok%0d%0aSet-Cookie:x", encoded},
	{"CR LF in the query", "/ok?x=\r\n", control},
	{"a backslash in the query", `/ok?x=\`, backslash},
	{"bytes that are not UTF-8", "/\xff", "is not valid UTF-8"},
	{"a percent sign alone", "/100%", malformed},
	{"2,049 bytes", "/" + strings.Repeat("x", 2048), "is longer than 2048 bytes"},
}

var kept = []string{
	"/", "/?", "/#", "/;/x", "/ok/", "/a//b", "/a/..b/.well-known/...",
	"/ok?x=%E2%82%AC&y=a+b#f",
	"/ok?next=/../%2e%2e/sign-out",
	"/?return_to=//e.test",
	"/files/a%2Fb%20c",
	"/web/https://e.test/",
	"/sign-in-help",
	"/signing?/sign-in",
	"/설정?q=한국어",
	"/ok?q=a b",
	"/100%25",
	"/ok?x=100%",
	"/" + strings.Repeat("x", 2047),
}

func TestCases(t *testing.T) {
	t.Parallel()
	r := rule(t, base, routes...)
	for name, rows := range map[string][]row{
		"6 off-site values go to the default":                   offSite,
		"6 routes of the sign-in are not looped through":        looping,
		"6 headers are not split and broken paths not followed": broken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range rows {
				got, err := r.Path(tt.value)
				if got != "" || err == nil || err.Error() != "signin: return_to "+tt.reason {
					t.Errorf("%s: Path(%q): got %q, %v; want an error that says it %s", tt.name, tt.value, got, err, tt.reason)
				}
			}
		})
	}
	t.Run("6 everything else is kept to the byte", func(t *testing.T) {
		t.Parallel()
		for _, value := range kept {
			if got, err := r.Path(value); got != value || err != nil {
				t.Errorf("Path(%q): got %q, %v; want it kept", value, got, err)
			}
			checkFollowed(t, value)
		}
	})
	t.Run("6 another application on the host is not led to", testBase)
	t.Run("6 another origin's URL is not followed", testURL)
	t.Run("6 the Location header is what was checked", testLocation)
}

// checkFollowed asks net/url and a ServeMux what becomes of a value that Path let
// through. Module interop asks the parser of browsers.
func checkFollowed(t *testing.T, value string) {
	t.Helper()
	w := httptest.NewRecorder()
	returnto.Location(w, value, http.StatusSeeOther)
	location, here := w.Header().Get("Location"), httptest.NewRequest("GET", base+"/callback?code=x", nil).URL
	withoutFragment, _, _ := strings.Cut(location, "#")
	to, err := here.Parse(withoutFragment)
	if err != nil || to.Scheme != here.Scheme || to.Host != here.Host || to.User != nil || strings.HasPrefix(to.Path, "//") {
		t.Fatalf("Location %q: leads to %v, %v; want a path at %q", location, to, err, base)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", http.NotFound)
	for _, route := range routes {
		mux.HandleFunc(route, http.NotFound)
	}
	// The path as the browser asks for it, and as a proxy that decodes passes it on.
	passedOn, _, _ := strings.Cut(to.Path, "?")
	for _, p := range []string{to.EscapedPath(), (&url.URL{Path: passedOn}).EscapedPath()} {
		r := httptest.NewRequest("GET", base, nil)
		if r.URL, err = url.ParseRequestURI(p); err != nil {
			t.Fatalf("net/http cannot read the request for %q: %v", p, err)
		}
		if _, pattern := mux.Handler(r); pattern != "/" {
			t.Errorf("Location %q: ServeMux serves %q; want none of the sign-in routes", location, pattern)
		}
	}
}

// testBase is about an application at /app: the rest of the host may be another's.
func testBase(t *testing.T) {
	t.Parallel()
	r := rule(t, base+"/app", "/app/sign-in", "/app/sign-out", "/login")
	long := "/" + strings.Repeat("x", 2048)
	for _, tt := range []struct {
		value  string
		path   bool // may be followed
		onHost bool // may be configured
		seen   string
	}{
		{"/app", true, true, "/app"},
		{"/app?x", true, true, "/app?x"},
		{"/app#x", true, true, "/app#x"},
		{"/app//ok%2Fx", true, true, "/app//ok%2Fx"},
		{"/app/app", true, true, "/app/app"},
		{"/", false, true, "/app/"},
		{"/other", false, true, "/app/other"},
		{"/apple", false, true, "/app/apple"},
		{"/app;x/ok", false, true, "/app/app;x/ok"},
		{"/App/ok", false, true, "/App/ok"},
		{"/%61pp/ok", false, true, "/%61pp/ok"},
		{"/login?x", false, false, "/login?x"}, // a route elsewhere
		{"//app/ok", false, false, "//app/ok"},
		{"/app%2Fok", false, true, "/app%2Fok"},
		{"/app/..;/other", false, false, "/app/..;/other"},
		{"/app/%2e%2e;x=y/other", false, false, "/app/%2e%2e;x=y/other"},
		{"/app/../other", false, false, "/app/../other"},
		{"/app/%2e%2e/other", false, false, "/app/%2e%2e/other"},
		{`/app/..\other`, false, false, `/app/..\other`},
		{"/app/sign-out", false, false, "/app/sign-out"},
		{"/app/app/sign-out", false, false, "/app/app/sign-out"},
		{"/app/App//app/sign-out", false, false, "/app/App//app/sign-out"},
		{long, false, false, long}, // and is not read
	} {
		path, errPath := r.Path(tt.value)
		onHost, errHost := r.OnHost(tt.value)
		if (errPath == nil) != tt.path || (path == tt.value) != tt.path || (errHost == nil) != tt.onHost || (onHost == tt.value) != tt.onHost {
			t.Errorf("%q: got %q, %v and %q, %v; want it followed: %t, configured: %t", tt.value, path, errPath, onHost, errHost, tt.path, tt.onHost)
		}
		if got := r.Seen(tt.value); got != tt.seen {
			t.Errorf("Seen(%q): got %q; want %q", tt.value, got, tt.seen)
		}
	}
	korean := rule(t, base+"/설정")
	for value, want := range map[string]bool{"/설정/x": true, "/%EC%84%A4%EC%A0%95/x": true, "/%ec%84%a4%ec%a0%95/x": false, "/설": false} {
		if _, err := korean.Path(value); (err == nil) != want {
			t.Errorf("%q below /설정: got %v; want it followed: %t", value, err, want)
		}
	}
	for value, want := range map[string]bool{"/app/sign-in": true, "/ok?x": true, "//e.test/sign-in": false, "/../sign-in": false, "/ok#x": false, "": false} {
		if _, err := r.Requested(value); (err == nil) != want {
			t.Errorf("Requested(%q): got %v; want it accepted: %t", value, err, want)
		}
	}
}

func testURL(t *testing.T) {
	t.Parallel()
	const at = "https://App.example.com"
	for _, tt := range []struct{ base, value, want string }{
		{at, "https://app.example.com/x?y=%20#z", "/x?y=%20#z"},
		{at, "https://app.example.com", "/"},
		{at, "https://app.example.com?x", "/?x"},
		{at, "https://app.example.com#x", "/#x"},
		{at, "HTTPS://APP.EXAMPLE.COM:443/X", "/X"},
		{"https://app:443", "https://app/x", "/x"},
		{"http://[::1]:8080", "http://[::1]:8080/x", "/x"},
		{"http://localhost", "http://localhost:80/x", "/x"},
		{at, "https://e.test/x", ""},
		{at, "http://app.example.com/x", ""},
		{at, "https://app.example.com:8443/x", ""},
		{at, "https://app.example.com:80/x", ""},
		{at, "https://u@app.example.com/x", ""},
		{at, "https://app.example.com@e.test/x", ""},
		{at, "https://app.example.com.e.test/x", ""},
		{at, `https://app.example.com\@e.test/x`, ""},
		{at, `https://e.test\@app.example.com/x`, ""},
		{at, "https:///app.example.com/x", ""},
		{at, "https:/app.example.com/x", ""},
		{at, "//app.example.com/x", ""},
		{at, " https://app.example.com/x", ""},
		{at, "https://app%2eexample.com/x", ""},
		{at, "https://app.example.com//e.test", ""},
		{at, "https://app.example.com/sign-in?x", ""},
		{at + "/base", "https://app.example.com/base/x", "/base/x"},
		{at + "/base", "https://app.example.com/x", ""},
		{at + "/base", "https://app.example.com", ""},
		{at, "/x", ""},
		{at, "", ""},
	} {
		got, err := rule(t, tt.base, routes...).URL(tt.value)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("URL(%q) at %s: got %q, %v; want %q", tt.value, tt.base, got, err, tt.want)
		}
	}
	const long = "https://app.example.com/"
	for size, want := range map[int]int{4096: 4096 - len(long) + 1, 4097: 0} {
		if got := rule(t, at, routes...).Local(long + strings.Repeat("x", size-len(long))); len(got) != want {
			t.Errorf("an address of %d bytes: got a path of %d; want %d", size, len(got), want)
		}
	}
	for _, value := range []string{"", "/x", "://", ":///x", "https://app/x"} {
		if got, err := new(returnto.Rule).URL(value); err == nil {
			t.Errorf("URL(%q) of the zero Rule: got %q; want an error", value, got)
		}
	}
}

func testLocation(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`/./\e.test//x/../`:                `/./\e.test//x/../`,
		"https://p.test/auth?a=b+c&d=%2F#": "https://p.test/auth?a=b+c&d=%2F#",
		"/설정?q=a b":                        "/%EC%84%A4%EC%A0%95?q=a%20b",
		"/ok\r\nSet-Cookie:x\x7f":          "/ok%0D%0ASet-Cookie:x%7F",
	} {
		w := httptest.NewRecorder()
		returnto.Location(w, value, http.StatusSeeOther)
		if got := w.Header().Get("Location"); got != want || w.Code != http.StatusSeeOther {
			t.Errorf("%q: got %d, %q; want 303, %q", value, w.Code, got, want)
		}
		if len(w.Header()) != 1 || w.Body.Len() != 0 {
			t.Errorf("%q: got headers %v and body %q; want Location alone", value, w.Header(), w.Body)
		}
	}
}

func TestNew_RouteSpellings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		route, value string
		refused      bool
	}{
		{"/sign-in/", "/sign-in", true},
		{"/Sign-In", "/sign-in", true},
		{"/%EB%A1%9C%EA%B7%B8%EC%9D%B8", "/로그인", true},
		{"/로그인", "/%EB%A1%9C%EA%B7%B8%EC%9D%B8", true},
		{"/", "/?x", true},
		{"/", "/ok", false},
	} {
		mine := []string{tt.route}
		r := rule(t, base, mine...)
		mine[0] = "/changed" // the Rule has a copy
		if got, err := r.Path(tt.value); (err != nil) != tt.refused {
			t.Errorf("with route %q, Path(%q): got %q, %v; want it refused: %t", tt.route, tt.value, got, err, tt.refused)
		}
	}
}

// FuzzPath asks checkFollowed about each value that Path or URL lets through, and
// whether a Location can end its header.
func FuzzPath(f *testing.F) {
	for _, tt := range slices.Concat(offSite, looping, broken) {
		f.Add(tt.value)
	}
	for _, value := range kept {
		f.Add(value)
		f.Add(base + value)
	}
	for _, value := range []string{"HTTPS://APP:443/x?y#z", "https://app?x", `https://app\@e.test/`, "https://app%2e/"} {
		f.Add(value)
	}
	r := rule(f, base, routes...)
	f.Fuzz(func(t *testing.T, value string) {
		got, err := r.Path(value)
		if viaURL, _ := r.URL(base + value); viaURL != got && strings.HasPrefix(value, "/") {
			t.Errorf("URL(%q): got %q; want %q, as from Path", base+value, viaURL, got)
		}
		switch {
		case err == nil && got != value:
			t.Errorf("Path(%q): got %q; want it kept to the byte", value, got)
		case err == nil:
			checkFollowed(t, value)
		case got != "" || len(value) > 20 && strings.Contains(err.Error(), value):
			t.Errorf("Path(%q): got %q, %v; want nothing of it", value, got, err)
		}
		if got, err := r.URL(value); err == nil {
			checkFollowed(t, got)
		}
		w := httptest.NewRecorder()
		returnto.Location(w, value, http.StatusSeeOther)
		if location := w.Header().Get("Location"); strings.ContainsFunc(location, unfit) ||
			!strings.ContainsFunc(value, unfit) && location != value {
			t.Errorf("Location of %q: got %q", value, location)
		}
	})
}

// unfit reports characters that a URI must not have.
func unfit(c rune) bool { return c <= ' ' || c >= 0x7f }
