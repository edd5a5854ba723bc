package cookie_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/cookie"
)

const name = "__Host-signin"

var second = cookie.Second(name)

func TestSplit_FoundAgain(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, cookie.MaxValue, cookie.MaxValue + 1, cookie.Max} {
		value := strings.Repeat("abcdefg", n/7+1)[:n]
		first, rest, err := cookie.Split(value)
		if err != nil || max(len(first), len(rest)) > cookie.MaxValue || (rest == "") != (n <= cookie.MaxValue) {
			t.Errorf("%d bytes: got parts of %d and %d, %v; want one while it fits, else two", n, len(first), len(rest), err)
		}
		lines := []string{name + "=" + first}
		if rest != "" {
			lines = append(lines, second+"="+rest)
		}
		if f := cookie.Find(lines, name); !f.OK || f.First+f.Second != value {
			t.Errorf("%d bytes: Find got ok %v, %d bytes; want the value", n, f.OK, len(f.First+f.Second))
		}
	}
	if _, _, err := cookie.Split(strings.Repeat("x", cookie.Max+1)); !errors.Is(err, cookie.ErrTooLarge) {
		t.Errorf("%d bytes: got %v; want ErrTooLarge", cookie.Max+1, err)
	}
}

var (
	one     = cookie.Found{First: "v", Present: true, OK: true}
	both    = cookie.Found{First: "v", Second: "w", Present: true, OK: true}
	unclear = cookie.Found{Present: true}
)

// headers are lines of a Cookie header, and what Find finds in them.
var headers = []struct {
	name  string
	lines []string
	want  cookie.Found
}{
	{"5.5 no cookie", nil, cookie.Found{}},
	{"5.5 other cookies only", []string{name + "x=1; x" + name + "=2; " + strings.ToUpper(name) + "=3"}, cookie.Found{}},
	{"5.5 separators only", []string{";;; ; =; =x;"}, cookie.Found{}},
	{"5.5 one among others", []string{"a=b;" + name + "=v ; c=d"}, one},
	{"5.5 a space after the name", []string{name + " =v"}, one},
	{"5.5 on the second header line", []string{"a=b", name + "=v"}, one},
	{"5.5 both parts", []string{name + "=.v; " + second + "=w"}, both},
	{"5.5 both parts in the other order", []string{second + "=w; " + name + "=.v"}, both},
	{"5.5 a second part left behind by a longer value", []string{name + "=v; " + second + "=w"}, one},
	{"5.5 the second part missing", []string{name + "=.v"}, unclear},
	{"5.5 the first part missing", []string{second + "=w"}, unclear},
	{"5.5 a part number out of range", []string{name + "=.v; " + name + ".3=w; " + name + ".02=w"}, unclear},
	{"5.5 the name twice, the right one first", []string{name + "=v; " + name + "=attacker"}, unclear},
	{"5.5 the name twice, the right one last", []string{name + "=attacker; " + name + "=v"}, unclear},
	{"5.5 the name again without a value", []string{name + "=v; " + name}, unclear},
	{"5.5 the second part twice", []string{name + "=.v; " + second + "=w; " + second + "=w"}, unclear},
	{"5.5 a whole value and two second parts", []string{name + "=v; " + second + "=w; " + second + "=w"}, unclear},
	{"5.5 empty values", []string{name + "=; " + second + "="}, unclear},
	{"5.5 an empty first part", []string{name + "=.; " + second + "=w"}, unclear},
	{"5.5 an empty second part", []string{name + "=.v; " + second + "="}, unclear},
}

func TestCases(t *testing.T) {
	t.Parallel()
	for _, row := range headers {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := cookie.Find(row.lines, name); got != row.want {
				t.Errorf("got %+v; want %+v", got, row.want)
			}
		})
	}
}

// sized are Cookie headers of some size, each with our cookie at its end.
var sized = []struct {
	name  string
	lines []string
	want  bool // whether it is found
}{
	{"5.6 64 KB", []string{"a=" + strings.Repeat("b", 64<<10-len("a=; ; "+own)), "", own}, true},
	{"5.6 a byte more than 64 KB", []string{"a=" + strings.Repeat("b", 64<<10-len("a=; "+own)+1), own}, false},
	{"5.6 256 cookies", []string{strings.Repeat("a=b;", 255) + own}, true},
	{"5.6 257 cookies", []string{strings.Repeat("a=b;", 256) + own}, false},
	{"5.6 257 cookies, in a line each", append(slices.Repeat([]string{"a=b"}, 256), own), false},
	{"5.6 256 empty lines", append(make([]string, 256), own), false},
	{"5.6 257 empty ones", []string{strings.Repeat(";", 256) + own}, false},
	{"5.6 ours and 256 others behind it", []string{own + strings.Repeat(";a=b", 256)}, false},
	{"5.6 512 blanks", []string{strings.Repeat(" ", 250) + "a=b;\t" + name + strings.Repeat(" ", 250) + "=v" + strings.Repeat("\t", 11)}, true},
	{"5.6 a blank more, before pairs", []string{strings.Repeat(" ", 250) + ";" + strings.Repeat("\t", 263) + own}, false},
	{"5.6 a blank more, after our name", []string{name + strings.Repeat(" ", 513) + "=v"}, false},
	{"5.6 a blank more, after our value", []string{own + strings.Repeat(" ", 513)}, false},
	{"5.6 a megabyte", []string{strings.Repeat("a=b; ", 200_000), own}, false},
}

const own = name + "=v"

func TestCasesOfSize(t *testing.T) {
	t.Parallel()
	for _, row := range sized {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			want := cookie.Found{Present: true}
			if row.want {
				want = one
			}
			if got := cookie.Find(row.lines, name); got != want {
				t.Errorf("Find: got %+v; want %+v", got, want)
			}
			if value, ok := cookie.Only(row.lines, name); ok != row.want || ok && value != "v" {
				t.Errorf("Only: got %q, %t; want it found: %t", value, ok, row.want)
			}
		})
	}
}

func TestOnly(t *testing.T) {
	t.Parallel()
	for header, n := range map[string]int{
		own: 1, "a=b; " + name + " = v ; c=d": 1, name: 1, name + "x=v; " + own: 1,
		own + "; " + own: 2, second + "=v": 0, name + "x=v": 0, "x" + own: 0, "": 0,
	} {
		if value, ok := cookie.Only([]string{header}, name); ok != (n == 1) {
			t.Errorf("%q: got %q, %t; want it found: %t", header, value, ok, n == 1)
		}
		if got := cookie.Has([]string{header}, name); got != (n > 0) {
			t.Errorf("%q: got %t; want %t", header, got, n > 0)
		}
	}
	if !cookie.Has([]string{strings.Repeat("a", 1<<20)}, name) {
		t.Error("a megabyte: got false; want true, since it is not read")
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	lines := []string{"a.b=1; a=2; a.=3", " a.c = 4 ;xa.d=5; a.e"}
	for stop, want := range map[string]string{"": "a.=3 a.b=1 a.c= 4 a.e=", "a.b": "a.b=1", "a.c": "a.=3 a.b=1 a.c= 4"} {
		var got []string
		whole := cookie.Scan(lines, "a.", func(name, value string) bool {
			got = append(got, name+"="+value)
			return name != stop
		})
		slices.Sort(got)
		if strings.Join(got, " ") != want || !whole {
			t.Errorf("until %q: got %q, whole %t; want %s", stop, got, whole, want)
		}
	}
}

// TestFind_Allocations reads as much as is read of a header.
func TestFind_Allocations(t *testing.T) {
	for _, row := range sized {
		if n := testing.AllocsPerRun(3, func() { cookie.Find(row.lines, name); cookie.Only(row.lines, name) }); n != 0 {
			t.Errorf("%s: got %v allocations; want none", row.name, n)
		}
	}
}

// ours reports whether the tests drop a cookie.
func ours(n string) bool { return n == name || strings.HasPrefix(n, name+".") }

// withouts are lines of a Cookie header, and what is left without ours.
var withouts = []struct {
	name        string
	lines, want []string
}{
	{"no line", nil, nil},
	{"an empty line", []string{""}, nil},
	{"more than 256 cookies", []string{strings.Repeat("a=b;", 256) + "c=d"}, nil},
	{"all of ours", []string{name + "=.v; " + second + "=w", name + ".tx.state=x; " + name + ".quiet=y"}, nil},
	{"ours twice", []string{name + "=v; a=b; " + name + "=w"}, []string{"a=b"}},
	// https://www.rfc-editor.org/rfc/rfc6265#section-5.4
	{"several lines become one", []string{"a=b", name + "=v; c=d", "e=f"}, []string{"a=b; c=d; e=f"}},
	{"names that only begin in the same way", []string{name + "x=1; " + name + "-2=2; x" + name + "=4; __Host-=5"},
		[]string{name + "x=1; " + name + "-2=2; x" + name + "=4; __Host-=5"}},
	{"our name as a value", []string{"a=" + name + "; b=" + name + "=v"}, []string{"a=" + name + "; b=" + name + "=v"}},
	{"ours without a value, and with an empty one", []string{name + "; a=b; " + name + "="}, []string{"a=b"}},
	{"ours with blanks around it", []string{"a=b;\t" + name + " = v ;c=d"}, []string{"a=b; c=d"}},
	{"a no-break space is part of a name", []string{"\u00a0" + name + "=v"}, []string{"\u00a0" + name + "=v"}},
	{"pairs that are empty or have no name", []string{";; ; a=b;; =v; =; " + name + "=v; ;"}, []string{"a=b; =v; ="}},
	{"values with = and quotes in them", []string{`a=b=c==; ` + name + `=v=w; d="\"e\"`}, []string{`a=b=c==; d="\"e\"`}},
	// Current servers read it this way. If one does not, it must not get our
	// cookie in quotes.
	{"a semicolon ends a quoted value", []string{`a="b; ` + name + `=v; c"`}, []string{`a="b; c"`}},
}

func TestWithout(t *testing.T) {
	t.Parallel()
	for _, row := range withouts {
		given := slices.Clone(row.lines)
		if got := cookie.Without(row.lines, ours); !slices.Equal(got, row.want) || (got == nil) != (row.want == nil) {
			t.Errorf("%s: got %q; want %q", row.name, got, row.want)
		}
		if !slices.Equal(row.lines, given) {
			t.Errorf("%s: got the given lines changed to %q", row.name, row.lines)
		}
	}
}

func TestWriter(t *testing.T) {
	t.Parallel()
	secure := cookie.Writer{Secure: true}
	w := httptest.NewRecorder()
	theirs := []string{"theme=dark", "ax=1"}
	w.Header()["Set-Cookie"] = slices.Clone(theirs)
	for _, row := range []struct {
		name string
		do   func()
		want []string
	}{
		{"set", func() { secure.Set(w, "a", "1", time.Minute) },
			[]string{"a=1; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"}},
		{"set again without https", func() { cookie.Writer{}.Set(w, "a", "2", time.Hour) },
			[]string{"a=2; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"}},
		{"a part of a second counts as a second", func() { secure.Set(w, "a", "3", 1500*time.Millisecond) },
			[]string{"a=3; Path=/; Max-Age=2; HttpOnly; Secure; SameSite=Lax"}},
		{"no time is left", func() { secure.Set(w, "a", "4", 0) },
			[]string{"a=4; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"}},
		{"unset", func() { secure.Unset(w, "a") }, []string{"a=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"}},
		{"withdrawn", func() { cookie.Withdraw(w, "a") }, nil},
	} {
		row.do()
		if got := w.Header()["Set-Cookie"]; !slices.Equal(got, append(theirs[:2:2], row.want...)) {
			t.Errorf("%s: got %q; want %q behind the application's cookies", row.name, got, row.want)
		}
	}
	none := httptest.NewRecorder()
	secure.Set(none, "a", "1", time.Minute)
	cookie.Withdraw(none, "a")
	if len(none.Header()) != 0 {
		t.Errorf("the only one withdrawn: got %v; want no header", none.Header())
	}
}

// FuzzFind puts a value between two texts. If they do not contain the name, Find
// finds the value. Otherwise Find returns no value that net/http reads differently.
func FuzzFind(f *testing.F) {
	for _, row := range headers {
		f.Add(strings.Join(row.lines, "; "), "", "")
		f.Add(strings.Join(row.lines, "; "), "v", "a=b")
	}
	f.Add(name+"=0;\n"+name, "", "0")
	f.Add(name+`="v"; a=b`, "", "")
	f.Fuzz(func(t *testing.T, a, value, b string) {
		lines := []string{a, b}
		if value != "" && base64url(value) {
			lines = []string{a, name + "=" + value, b}
		}
		if tooLarge(a + value + b) {
			return
		}
		got := cookie.Find(lines, name)
		if len(lines) == 3 && !strings.Contains(a+b, name) && got != (cookie.Found{First: value, Present: true, OK: true}) {
			t.Fatalf("got %+v; want %q", got, value)
		}
		r := http.Request{Header: http.Header{"Cookie": lines}}
		firsts, seconds := r.CookiesNamed(name), r.CookiesNamed(second)
		if len(firsts)+len(seconds) > 0 && !got.Present {
			t.Fatalf("got %+v; want %v and %v noticed", got, firsts, seconds)
		}
		if got.OK != (got.First != "") || !got.OK && got.Second != "" {
			t.Fatalf("got %+v; want a value, or none if it is not OK", got)
		}
		if !got.OK {
			return
		}
		if len(firsts) > 1 || len(seconds) > 1 {
			t.Fatalf("got %+v; want no value where net/http sees %v and %v", got, firsts, seconds)
		}
		whole := got.First
		if got.Second != "" {
			whole = "." + whole
		}
		if base64url(got.First+got.Second) && (len(firsts) != 1 || firsts[0].Value != whole ||
			got.Second != "" && (len(seconds) != 1 || seconds[0].Value != got.Second)) {
			t.Fatalf("got %+v; net/http reads %v and %v", got, firsts, seconds)
		}
	})
}

// tooLarge reports whether a fuzzed header is near one of the package's bounds, which
// net/http does not have; see TestCasesOfSize.
func tooLarge(header string) bool {
	blanks := strings.Count(header, " ") + strings.Count(header, "\t") +
		strings.Count(header, "\r") + strings.Count(header, "\n")
	return strings.Count(header, ";") > 250 || blanks > 400 || len(header) > 60<<10
}

func base64url(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// FuzzWithout compares with net/http: ours are gone, and all others are there, in
// their order.
func FuzzWithout(f *testing.F) {
	for _, row := range withouts {
		f.Add(strings.Join(row.lines, "; "), "")
	}
	for _, row := range headers {
		f.Add(strings.Join(row.lines, "; "), "a=b")
	}
	read := func(lines ...string) []*http.Cookie {
		return (&http.Request{Header: http.Header{"Cookie": lines}}).Cookies()
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got := cookie.Without([]string{a, b}, ours)
		if tooLarge(a + b) {
			return
		}
		if found := cookie.Find(got, name); found.Present {
			t.Fatalf("got %q; want none of ours, and Find finds %+v", got, found)
		}
		want := slices.DeleteFunc(read(a, b), func(c *http.Cookie) bool { return ours(c.Name) })
		if got := read(got...); !reflect.DeepEqual(got, want) {
			t.Fatalf("net/http reads %v; want %v", got, want)
		}
	})
}
