package returnto_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// browse is the oracle: what a browser makes of a Location header that comes
// from base, which is an http or https URL. It follows the states of
// https://url.spec.whatwg.org/#url-parsing as far as origins and paths are
// concerned, and shares no code with the package. Schemes other than http and
// https have the origin "null".
func browse(base, location string) (origin, path string) {
	baseScheme, rest, _ := strings.Cut(base, "://")
	host, basePath, _ := strings.Cut(rest, "/")

	s := strings.TrimFunc(location, func(c rune) bool { return c <= ' ' })
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s)
	scheme := baseScheme
	if name, after, ok := cutScheme(s); ok {
		switch {
		case name != "http" && name != "https":
			return "null", ""
		case name != baseScheme || strings.HasPrefix(after, "//"):
			return authority(name, after)
		}
		s = after // "https:x" is relative to an https base
	}
	s, _, _ = strings.Cut(s, "#")
	s, _, _ = strings.Cut(s, "?")
	s = strings.ReplaceAll(s, `\`, "/")
	switch {
	case strings.HasPrefix(s, "//"):
		return authority(scheme, s)
	case strings.HasPrefix(s, "/"):
		return scheme + "://" + host, resolve(s)
	case s == "":
		return scheme + "://" + host, "/" + basePath
	}
	return scheme + "://" + host, resolve("/" + basePath[:strings.LastIndex(basePath, "/")+1] + s)
}

func cutScheme(s string) (scheme, after string, ok bool) {
	name, after, ok := strings.Cut(s, ":")
	name = strings.ToLower(name)
	if !ok || name == "" || name[0] < 'a' || name[0] > 'z' {
		return "", s, false
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" {
		return "", s, false
	}
	return name, after, true
}

// authority is the "special authority ignore slashes state" and what follows it.
func authority(scheme, s string) (origin, path string) {
	s = strings.TrimLeft(strings.ReplaceAll(s, `\`, "/"), "/")
	end := strings.IndexAny(s, "/?#")
	if end < 0 {
		end = len(s)
	}
	host := strings.ToLower(s[strings.LastIndex(s[:end], "@")+1 : end])
	host = strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[scheme])
	path, _, _ = strings.Cut(s[end:], "#")
	path, _, _ = strings.Cut(path, "?")
	return scheme + "://" + host, resolve("/" + strings.TrimPrefix(path, "/"))
}

// resolve is the path state: empty segments count, encoded dots are dots.
func resolve(path string) string {
	var out []string
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case "..":
			out = out[:max(0, len(out)-1)]
		case ".":
		default:
			out, last = append(out, segment), false
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

// routed tells which of the routes a ServeMux would serve for a path, or "".
func routed(t *testing.T, routes []string, path string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", http.NotFound)
	for _, route := range routes {
		mux.HandleFunc(route, http.NotFound)
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Fatalf("net/http cannot read the request for %q: %v", path, err)
	}
	if _, pattern := mux.Handler(&http.Request{Method: "GET", URL: u, Host: u.Host}); pattern != "/" {
		return pattern
	}
	return ""
}

func TestOracle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, location, origin, path string }{
		{"a path", "/a/b?c#d", "https://app", "/a/b"},
		{"nothing", "", "https://app", "/base/page"},
		{"a relative path", "x/y", "https://app", "/base/x/y"},
		{"a relative path with the base's scheme", "https:x", "https://app", "/base/x"},
		{"two slashes", "//e.test/x", "https://e.test", "/x"},
		{"a slash and a backslash", `/\e.test`, "https://e.test", "/"},
		{"a tab between slashes", "/\t/e.test", "https://e.test", "/"},
		{"a space before slashes", " //e.test", "https://e.test", "/"},
		{"another scheme without slashes", "http:e.test", "http://e.test", "/"},
		{"a user name", "//app@e.test:443", "https://e.test", "/"},
		{"a backslash before the at sign", `https://e.test\@app`, "https://e.test", "/@app"},
		{"a script", "java\tscript:alert(1)", "null", ""},
		{"a colon in a path", "/javascript:x", "https://app", "/javascript:x"},
		{"a colon after what is no scheme", "1:x", "https://app", "/base/1:x"},
		{"a dot segment before two slashes", "/.//e.test", "https://app", "//e.test"},
		{"an empty segment and two dots", "/app//../sign-out", "https://app", "/app/sign-out"},
		{"encoded dots", "/a/.%2E/b/%2e", "https://app", "/b/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			origin, path := browse("https://app/base/page", tt.location)
			if origin != tt.origin || path != tt.path {
				t.Errorf("browse(%q): got %q, %q; want %q, %q", tt.location, origin, path, tt.origin, tt.path)
			}
		})
	}
}
