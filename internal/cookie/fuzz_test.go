package cookie_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/cookie"
)

// FuzzFind compares with net/http, which is slower and passes over what is no
// cookie. What it reads in one way only, Find reads in that way; and of what Find
// reads it sees no second one.
func FuzzFind(f *testing.F) {
	for _, row := range headers {
		f.Add(strings.Join(row.lines, "; "), "")
		if len(row.lines) == 2 {
			f.Add(row.lines[0], row.lines[1])
		}
	}
	f.Add(name+"=0;\n"+name, "0")
	f.Add(name+`="v"; a=b`, "")
	f.Fuzz(func(t *testing.T, a, b string) {
		lines := []string{a, b}
		got := cookie.Find(lines, name)
		if strings.Count(a+b, ";") > 2000 {
			return // of so many net/http reads none
		}
		r := http.Request{Header: http.Header{"Cookie": lines}}
		firsts, seconds := r.CookiesNamed(name), r.CookiesNamed(second)
		if n := len(firsts) + len(seconds); n > 0 && !got.Present {
			t.Fatalf("got %+v; want it seen that there are %d", got, n)
		}
		if want, ok := plainly(a+";"+b, firsts, seconds); ok && got != want {
			t.Fatalf("got %+v; want %+v, as net/http has it", got, want)
		}
		switch {
		case !got.OK:
			if got.First != "" || got.Second != "" {
				t.Fatalf("got %+v; want no value when it is not OK", got)
			}
			return
		case len(firsts) > 1 || len(seconds) > 1:
			t.Fatalf("net/http sees %d and %d; want doubles refused", len(firsts), len(seconds))
		case got.First == "":
			t.Fatalf("got %+v; want a value, of one part or of two", got)
		}
		whole := got.First
		if got.Second != "" {
			whole = "." + whole
		}
		if base64url(got.First) && (len(firsts) != 1 || firsts[0].Value != whole) {
			t.Fatalf("got %+v; net/http reads %v", got, firsts)
		}
		if got.Second != "" && base64url(got.Second) && (len(seconds) != 1 || seconds[0].Value != got.Second) {
			t.Fatalf("got %+v; net/http reads %v", got, seconds)
		}
	})
}

// plainly is what Find must find in a header that can be read in one way only:
// each name occurs no more often in the text than net/http sees it.
func plainly(text string, firsts, seconds []*http.Cookie) (found cookie.Found, ok bool) {
	if len(firsts) != 1 || len(seconds) > 1 || strings.Count(text, name) != len(firsts)+len(seconds) ||
		!base64url(strings.TrimPrefix(firsts[0].Value, ".")) || firsts[0].Quoted {
		return cookie.Found{}, false
	}
	found.Present = true
	value, half := strings.CutPrefix(firsts[0].Value, ".")
	switch {
	case value == "":
	case !half:
		found.First, found.OK = value, true
	case len(seconds) == 1:
		if seconds[0].Quoted {
			return cookie.Found{}, false
		}
		if seconds[0].Value != "" {
			found.First, found.Second, found.OK = value, seconds[0].Value, true
		}
	}
	return found, true
}

func base64url(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// FuzzWithout compares with net/http: of what it reads, ours are gone and all others
// are there, in their order. What is left stood there, byte for byte, and none of
// ours can be found in it.
func FuzzWithout(f *testing.F) {
	for _, row := range withouts {
		f.Add(strings.Join(row.lines, "; "), "")
		if len(row.lines) == 2 {
			f.Add(row.lines[0], row.lines[1])
		}
	}
	for _, row := range headers {
		f.Add(strings.Join(row.lines, "; "), "a=b")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		lines := []string{a, b}
		got := cookie.Without(lines, ours)
		if found := cookie.Find(got, name); found.Present {
			t.Fatalf("got %q; want none of ours, and Find finds %+v", got, found)
		}
		if again := cookie.Without(got, ours); !slices.Equal(again, got) {
			t.Fatalf("got %q, and of that %q; want nothing more taken away", got, again)
		}
		rest := a + ";" + b
		for _, line := range got {
			for pair := range strings.SplitSeq(line, "; ") {
				_, behind, found := strings.Cut(rest, pair)
				if pair == "" || !found {
					t.Fatalf("got %q, where %q is not of what was there", got, pair)
				}
				rest = behind
			}
		}
		if strings.Count(a+b, ";") > 2000 {
			return // of so many net/http reads none
		}
		if got, want := read(got), slices.DeleteFunc(read(lines), func(c http.Cookie) bool { return ours(c.Name) }); !slices.EqualFunc(got, want, same) {
			t.Fatalf("net/http reads %+v; want %+v", got, want)
		}
	})
}

// read is what net/http reads in a Cookie header.
func read(lines []string) (all []http.Cookie) {
	r := http.Request{Header: http.Header{"Cookie": lines}}
	for _, c := range r.Cookies() {
		all = append(all, *c)
	}
	return all
}

func same(a, b http.Cookie) bool {
	return a.Name == b.Name && a.Value == b.Value && a.Quoted == b.Quoted
}
