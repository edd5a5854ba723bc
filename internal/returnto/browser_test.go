package returnto_test

import (
	"strings"
	"testing"
)

// browse is the oracle: what a browser makes of a Location header in an answer from
// base, which is an http or https URL. It follows
// https://url.spec.whatwg.org/#url-parsing for origins and paths, and shares no code
// with the package. The origin of schemes other than http and https is "null".
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

// resolve is the "path state": empty segments count, encoded dots are dots.
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

func TestOracle(t *testing.T) {
	t.Parallel()
	for location, want := range map[string][2]string{
		"/a/b?c#d":            {"https://app", "/a/b"},
		"":                    {"https://app", "/base/page"},
		"https:x":             {"https://app", "/base/x"},
		" //e.test/x":         {"https://e.test", "/x"},
		"/\t\\e.test":         {"https://e.test", "/"},
		"//app@e.test:443":    {"https://e.test", "/"},
		`https://e.test\@app`: {"https://e.test", "/@app"},
		"java\tscript:x":      {"null", ""},
		"/.//e.test":          {"https://app", "//e.test"},
		"/app//../sign-out":   {"https://app", "/app/sign-out"},
		"/a/.%2E/b/%2e":       {"https://app", "/b/"},
	} {
		if origin, path := browse("https://app/base/page", location); origin != want[0] || path != want[1] {
			t.Errorf("browse(%q): got %q, %q; want %q", location, origin, path, want)
		}
	}
}
