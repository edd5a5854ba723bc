package returnto_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/returnto"
)

const base = "https://app"

var (
	routes = []string{"/sign-in", "/callback", "/sign-out", "/backchannel-logout"}
	// below are the same routes of an application that does not stand at the root.
	below = []string{"/app/sign-in", "/app/callback", "/app/sign-out", "/app/backchannel-logout"}
)

func rule(t *testing.T, base string, routes ...string) returnto.Rule {
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
	route     = "is one of the sign-in routes"
)

// offSite holds every off-site value of CASES 6, and more of their kind.
var offSite = []row{
	{"two slashes", "//e.test", host},
	{"three slashes", "///e.test", host},
	{"a slash and a backslash", `/\e.test`, backslash},
	{"two backslashes", `\\e.test`, noSlash},
	{"a backslash and a slash", `\/e.test`, noSlash},
	{"a tab between two slashes", "/\t/e.test", control},
	{"a line feed between two slashes", "/\n/e.test", control},
	{"a carriage return between two slashes", "/\r/e.test", control},
	{"a tab before a backslash", "/\t\\e.test", control},
	{"a space before two slashes", " //e.test", noSlash},
	{"a NUL before two slashes", "\x00//e.test", noSlash},
	{"a DEL", "/\x7f/e.test", control},
	{"https", "https://e.test", noSlash},
	{"https in mixed case", "HtTpS://e.test", noSlash},
	{"https with backslashes", `https:\\e.test`, noSlash},
	{"the application as a user name", "//app@e.test", host},
	{"the application as a subdomain", "https://app.e.test", noSlash},
	{"the application after a backslash", `https://e.test\@app`, noSlash},
	{"an IPv6 address", "//[::1]", host},
	{"an IPv4 address as one number", "//2130706433", host},
	{"full-width letters in the host", "//ｅ.test", host},
	{"javascript", "javascript:alert(1)", noSlash},
	{"javascript with a tab", "java\tscript:x", noSlash},
	{"data", "data:text/html,x", noSlash},
	{"file", "file:///x", noSlash},
	{"a dot segment before a backslash", `/./\e.test`, backslash},
	{"two dots before a backslash", `/a/../\e.test`, backslash},
	{"the application's host on http", "http://app/", noSlash},
	{"the application's host on another port", "https://app:8443/", noSlash},
	{"nothing", "", noSlash},
	{"a relative path", "ok", noSlash},
	{"a query alone", "?x", noSlash},
	{"a dot segment before two slashes", "/.//e.test", dots},
	{"two dots before two slashes", "/..//e.test", dots},
	{"an encoded dot before two slashes", "/%2e//e.test", dots},
	{"an encoded dot in mixed case", "/.%2E//e.test", dots},
	{"an encoded slash", "/%2Fe.test", host},
	{"a slash encoded twice", "/%252Fe.test", host},
	{"an encoded backslash", "/%5Ce.test", host},
	{"an encoded tab", "/%09/e.test", encoded},
	{"two slashes and a query", "//?x", host},
}

// looping leads back to the sign-in routes, at the root or below /app.
var looping = []row{
	{"sign-in", "/sign-in", route},
	{"the callback with a query", "/callback?code=x", route},
	{"sign-out", "/sign-out", route},
	{"an encoded hyphen", "/sign%2Dout", route},
	{"a dot segment", "/./sign-out", dots},
	{"a slash at the end", "/sign-in/", route},
	{"two slashes at the end", "/sign-in//", route},
	{"a route below the sign-in", "/sign-in/naver", route},
	{"an encoded slash after the route", "/sign-in%2Fnaver", route},
	{"a fragment", "/sign-out#x", route},
	{"a path parameter", "/sign-out;x=y", route},
	{"an encoded question mark", "/sign-out%3Fx", route},
	{"a hyphen encoded twice", "/sign%252Dout", route},
	{"a hyphen whose escape is encoded in part", "/sign%2%44out", "has a malformed percent-encoding in its path"},
	{"a hyphen whose escape is encoded digit by digit", "/sign%25%32%44out", route},
	{"upper case", "/Sign-Out", route},
	{"back-channel logout", "/backchannel-logout", route},
	{"a space at the end, which browsers cut off", "/sign-out ", "ends with a space"},
	{"another directory, left again", "/x/../sign-out", dots},
	{"another directory, left again after decoding", "/x/%2e%2e/sign-out", dots},
	{"below /app", "/app/sign-out", route},
	{"below /app after two slashes", "/app//sign-out", route},
	// For browsers this is /app/sign-out, for path.Clean /sign-out.
	{"below /app after an empty segment and two dots", "/app//../sign-out", dots},
}

// broken are not followed for other reasons.
var broken = []row{
	{"CR LF and a header", "/ok\r\nSet-Cookie:x", control},
	{"CR LF and a header, encoded", "/ok%0d%0aSet-Cookie:x", encoded},
	{"CR LF in the query", "/ok?x=\r\n", control},
	{"a backslash in the query", `/ok?x=\`, backslash},
	{"bytes that are not UTF-8", "/\xff", "is not valid UTF-8"},
	{"a percent sign alone", "/100%", "has a malformed percent-encoding in its path"},
	{"2,049 bytes", "/" + strings.Repeat("x", 2048), "is longer than 2048 bytes"},
}

var kept = []string{
	"/",
	"/ok?x=%E2%82%AC&y=a+b#f",
	"/ok/",
	"/?",
	"/#",
	"/;/x",
	"/?return_to=//e.test",
	"/ok?next=/../%2e%2e/sign-out",
	"/a//b",
	"/a/..b/.well-known/...",
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
	r := rule(t, base, slices.Concat(routes, below)...)
	refused := func(name string, rows []row) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range rows {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					got, err := r.Path(tt.value)
					if got != "" || err == nil || err.Error() != "signin: return_to "+tt.reason {
						t.Errorf("Path(%q): got %q, %v; want an error that says it %s", tt.value, got, err, tt.reason)
					}
				})
			}
		})
	}
	refused("6 off-site values go to the default", offSite)
	refused("6 routes of the sign-in are not looped through", looping)
	refused("6 headers are not split and broken paths not followed", broken)

	t.Run("6 everything else is kept to the byte", func(t *testing.T) {
		t.Parallel()
		for _, value := range kept {
			got, err := r.Path(value)
			if got != value || err != nil {
				t.Errorf("Path(%q): got %q, %v; want it kept", value, got, err)
			}
			checkFollowed(t, value)
		}
	})
	t.Run("6 another origin's URL is not followed", testURL)
	t.Run("6 the Location header is what was checked", testLocation)
}

// checkFollowed asks the oracles what becomes of a value that Path let through.
func checkFollowed(t *testing.T, value string) {
	t.Helper()
	w := httptest.NewRecorder()
	returnto.Location(w, value, http.StatusSeeOther)
	location := w.Header().Get("Location")
	if i := strings.IndexFunc(location, func(c rune) bool { return c <= ' ' || c >= 0x7f }); i >= 0 {
		t.Errorf("Location of %q: got %q, with a byte at %d that may not stand in a URI", value, location, i)
	}
	origin, path := browse(base+"/callback?code=x", location)
	if origin != base || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		t.Fatalf("Location %q: the browser goes to %q, %q; want a path at %q", location, origin, path, base)
	}
	// The path as the browser asks for it, and as a proxy that decodes passes it on.
	decoded, err := url.PathUnescape(path)
	if err != nil {
		t.Fatalf("Location %q: got a path that net/http refuses: %v", location, err)
	}
	all := slices.Concat(routes, below)
	passedOn, _, _ := strings.Cut(decoded, "?")
	for _, p := range []string{path, (&url.URL{Path: passedOn}).EscapedPath()} {
		if got := routed(t, all, p); got != "" {
			t.Errorf("Location %q: ServeMux serves %q; want none of the sign-in routes", location, got)
		}
	}
}

func testURL(t *testing.T) {
	t.Parallel()
	const at = "https://App.example.com/base"
	for _, tt := range []struct{ name, base, value, want string }{
		{"a page", at, "https://app.example.com/x?y=%20#z", "/x?y=%20#z"},
		{"the origin alone", at, "https://app.example.com", "/"},
		{"a query after the origin", at, "https://app.example.com?x", "/?x"},
		{"a fragment after the origin", at, "https://app.example.com#x", "/#x"},
		{"the default port", at, "https://app.example.com:443/x", "/x"},
		{"the default port in the base", "https://app:443", "https://app/x", "/x"},
		{"upper case", at, "HTTPS://APP.EXAMPLE.COM/X", "/X"},
		{"loopback with a port", "http://[::1]:8080", "http://[::1]:8080/x", "/x"},
		{"the default port of http", "http://localhost", "http://localhost:80/x", "/x"},
		{"another host", at, "https://e.test/x", ""},
		{"another scheme", at, "http://app.example.com/x", ""},
		{"another port", at, "https://app.example.com:8443/x", ""},
		{"the port of another scheme", at, "https://app.example.com:80/x", ""},
		{"a user name", at, "https://u@app.example.com/x", ""},
		{"the application as a user name", at, "https://app.example.com@e.test/x", ""},
		{"the application as a subdomain", at, "https://app.example.com.e.test/x", ""},
		{"a backslash after the host", at, `https://app.example.com\@e.test/x`, ""},
		{"the application after a backslash", at, `https://e.test\@app.example.com/x`, ""},
		{"no host", at, "https:///app.example.com/x", ""},
		{"one slash", at, "https:/app.example.com/x", ""},
		{"a path", at, "/x", ""},
		{"two slashes", at, "//app.example.com/x", ""},
		{"a space before it", at, " https://app.example.com/x", ""},
		{"an encoded host", at, "https://app%2eexample.com/x", ""},
		{"two slashes after the origin", at, "https://app.example.com//e.test", ""},
		{"a route", at, "https://app.example.com/sign-in?x", ""},
		{"nothing", at, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := rule(t, tt.base, routes...).URL(tt.value)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("URL(%q) at %s: got %q, %v; want %q", tt.value, tt.base, got, err, tt.want)
			}
		})
	}
	t.Run("the zero Rule refuses everything", func(t *testing.T) {
		t.Parallel()
		for _, value := range []string{"", "/x", "://", ":///x", "https://app/x"} {
			if got, err := new(returnto.Rule).URL(value); err == nil {
				t.Errorf("URL(%q): got %q; want an error", value, got)
			}
		}
	})
}

func testLocation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, value, want string }{
		{"a path is not cleaned", `/./\e.test//x/../`, `/./\e.test//x/../`},
		{"escapes are not touched", "/ok?x=%E2%82%AC&y=a+b#f", "/ok?x=%E2%82%AC&y=a+b#f"},
		{"a provider's URL is not touched", "https://p.test/auth?a=b&c=%2F", "https://p.test/auth?a=b&c=%2F"},
		{"spaces and letters beyond ASCII are encoded", "/설정?q=a b", "/%EC%84%A4%EC%A0%95?q=a%20b"},
		{"a line break cannot begin a header", "/ok\r\nSet-Cookie:x\x7f", "/ok%0D%0ASet-Cookie:x%7F"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			returnto.Location(w, tt.value, http.StatusSeeOther)
			if got := w.Header().Get("Location"); got != tt.want || w.Code != http.StatusSeeOther {
				t.Errorf("got %d, %q; want 303, %q", w.Code, got, tt.want)
			}
			if len(w.Header()) != 1 || w.Body.Len() != 0 {
				t.Errorf("got headers %v and body %q; want Location alone", w.Header(), w.Body)
			}
		})
	}
}

func TestRoutesAreReadAsPathsAre(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, route, value string }{
		{"a slash at the end", "/sign-in/", "/sign-in"},
		{"upper case", "/Sign-In", "/sign-in"},
		{"an encoded route", "/%EB%A1%9C%EA%B7%B8%EC%9D%B8", "/로그인"},
		{"a route written in letters", "/로그인", "/%EB%A1%9C%EA%B7%B8%EC%9D%B8"},
		{"the root", "/", "/?x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, err := rule(t, base, tt.route).Path(tt.value); err == nil {
				t.Errorf("with route %q, Path(%q): got %q; want an error", tt.route, tt.value, got)
			}
		})
	}
	t.Run("the root as a route does not take everything with it", func(t *testing.T) {
		t.Parallel()
		if got, err := rule(t, base, "/").Path("/ok"); got != "/ok" || err != nil {
			t.Errorf("got %q, %v; want /ok", got, err)
		}
	})
	t.Run("the caller's slice is not kept", func(t *testing.T) {
		t.Parallel()
		mine := []string{"/sign-in"}
		r := rule(t, base, mine...)
		mine[0] = "/x"
		if got, err := r.Path("/sign-in"); err == nil {
			t.Errorf("got %q; want an error", got)
		}
	})
}

func Example() {
	base, err := url.Parse("https://app.example.com")
	if err != nil {
		panic(err)
	}
	rule := returnto.New(base, []string{"/sign-in", "/callback", "/sign-out"})
	for _, s := range []string{"/account?tab=2", `/\evil.example`, "/sign-out"} {
		target, err := rule.Path(s)
		if err != nil {
			target = "/"
		}
		fmt.Println(target, err)
	}
	// Output:
	// /account?tab=2 <nil>
	// / signin: return_to contains a backslash
	// / signin: return_to is one of the sign-in routes
}
