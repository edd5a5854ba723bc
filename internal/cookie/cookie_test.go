package cookie_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/cookie"
)

const name = "__Host-signin"

func TestSplitAndFind(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, cookie.MaxValue - 1, cookie.MaxValue, cookie.MaxValue + 1, cookie.Max - 1, cookie.Max} {
		value := strings.Repeat("abcdefg", n/7+1)[:n]
		first, second, err := cookie.Split(value)
		if err != nil {
			t.Fatalf("%d bytes: got error %v; want none", n, err)
		}
		if len(first) > cookie.MaxValue || len(second) > cookie.MaxValue {
			t.Errorf("%d bytes: got parts of %d and %d; want at most %d each", n, len(first), len(second), cookie.MaxValue)
		}
		if (second == "") != (n <= cookie.MaxValue) {
			t.Errorf("%d bytes: second part has %d bytes; want one cookie exactly while it fits one", n, len(second))
		}
		header := name + "=" + first
		if second != "" {
			header += "; " + cookie.Second(name) + "=" + second
		}
		if f := cookie.Find([]string{header}, name); !f.OK || f.First+f.Second != value {
			t.Errorf("%d bytes: Find got ok %v, %d bytes; want the value", n, f.OK, len(f.First+f.Second))
		}
	}
	if _, _, err := cookie.Split(strings.Repeat("x", cookie.Max+1)); !errors.Is(err, cookie.ErrTooLarge) {
		t.Errorf("%d bytes: got %v; want ErrTooLarge", cookie.Max+1, err)
	}
}

var second = cookie.Second(name)

// headers are lines of a Cookie header, and what Find finds in them.
var headers = []struct {
	name  string
	lines []string
	want  cookie.Found
}{
	{"5.5 no cookie at all", nil, cookie.Found{}},
	{"5.5 other cookies only", []string{"a=b; " + name + "x=1; x" + name + "=2"}, cookie.Found{}},
	{"5.5 a blank behind the name is let be", []string{name + " =v"}, cookie.Found{First: "v", Present: true, OK: true}},
	{"5.5 a name without a value", []string{name}, cookie.Found{Present: true}},
	{"5.5 the name once more without a value", []string{name + "=v; " + name}, cookie.Found{Present: true}},
	{"5.5 one among others", []string{"a=b;" + name + "=v ; c=d"}, cookie.Found{First: "v", Present: true, OK: true}},
	{"5.5 on the second header line", []string{"a=b", name + "=v"}, cookie.Found{First: "v", Present: true, OK: true}},
	{"5.5 both parts", []string{name + "=.v; " + second + "=w"}, cookie.Found{First: "v", Second: "w", Present: true, OK: true}},
	{"5.5 both parts in the other order", []string{second + "=w; " + name + "=.v"}, cookie.Found{First: "v", Second: "w", Present: true, OK: true}},
	{"5.5 a stale second after the shrink from two to one", []string{name + "=v; " + second + "=w"}, cookie.Found{First: "v", Present: true, OK: true}},
	{"5.5 the second part missing", []string{name + "=.v"}, cookie.Found{Present: true}},
	{"5.5 the first part missing", []string{second + "=w"}, cookie.Found{Present: true}},
	{"5.5 a part number out of range", []string{name + "=.v; " + name + ".3=w; " + name + ".-1=w; " + name + ".02=w"}, cookie.Found{Present: true}},
	{"5.5 the name twice, the right one first", []string{name + "=v; " + name + "=attacker"}, cookie.Found{Present: true}},
	{"5.5 the name twice, the right one last", []string{name + "=attacker; " + name + "=v"}, cookie.Found{Present: true}},
	{"5.5 the name twice on two lines", []string{name + "=v", name + "=v"}, cookie.Found{Present: true}},
	{"5.5 the second part twice", []string{name + "=.v; " + second + "=w; " + second + "=w"}, cookie.Found{Present: true}},
	{"5.5 a whole value and the second name twice", []string{name + "=v; " + second + "=w; " + second + "=w"}, cookie.Found{Present: true}},
	{"5.5 empty values", []string{name + "=; " + second + "="}, cookie.Found{Present: true}},
	{"5.5 a marker and nothing", []string{name + "=.; " + second + "=w"}, cookie.Found{Present: true}},
	{"5.5 an empty second part", []string{name + "=.v; " + second + "="}, cookie.Found{Present: true}},
	{"5.5 a name in other letters is another name", []string{strings.ToUpper(name) + "=v"}, cookie.Found{}},
	{"5.5 separators only", []string{";;; ; =; =x;"}, cookie.Found{}},
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

// ours says which cookies the tests drop.
func ours(n string) bool { return n == name || strings.HasPrefix(n, name+".") }

// withouts are lines of a Cookie header, and what is left without ours.
var withouts = []struct {
	name        string
	lines, want []string
}{
	{"no line", nil, nil},
	{"an empty line", []string{""}, nil},
	{"ours alone", []string{name + "=v"}, nil},
	{"all of ours", []string{name + "=.v; " + second + "=w; " + name + ".tx.state=x; " + name + ".quiet=y"}, nil},
	{"ours on several lines", []string{name + "=v", second + "=w"}, nil},
	{"ours twice", []string{name + "=v; a=b; " + name + "=w"}, []string{"a=b"}},
	{"none of ours", []string{"a=b; c=d"}, []string{"a=b; c=d"}},
	{"ours first, between and last", []string{name + "=v; a=b; " + name + ".2=w; c=d; " + name + ".quiet=y"}, []string{"a=b; c=d"}},
	{"several lines become one (https://www.rfc-editor.org/rfc/rfc6265#section-5.4)", []string{"a=b", name + "=v; c=d", "e=f"}, []string{"a=b; c=d; e=f"}},
	{"others of one name stay in their order", []string{"a=1; a=2", "a=1"}, []string{"a=1; a=2; a=1"}},
	{"names that only begin alike", []string{name + "x=1; " + name + "-2=2; " + name + "_=3; x" + name + "=4; __Host-=5"},
		[]string{name + "x=1; " + name + "-2=2; " + name + "_=3; x" + name + "=4; __Host-=5"}},
	{"a name in other letters", []string{strings.ToUpper(name) + "=v"}, []string{strings.ToUpper(name) + "=v"}},
	{"our name as a value", []string{"a=" + name + "; b=" + name + "=v"}, []string{"a=" + name + "; b=" + name + "=v"}},
	{"ours without a value, and with an empty one", []string{name + "; a=b; " + name + "="}, []string{"a=b"}},
	{"ours with blanks around it", []string{"a=b;\t" + name + " = v ;c=d"}, []string{"a=b; c=d"}},
	{"a blank that is only for Unicode one is part of a name", []string{"\u00a0" + name + "=v; a=b\u00a0"}, []string{"\u00a0" + name + "=v; a=b\u00a0"}},
	{"empty pairs", []string{";; ; a=b;; " + name + "=v; ;c=d;"}, []string{"a=b; c=d"}},
	{"no name, and neither name nor value", []string{"=v; =; " + name + "=w"}, []string{"=v; ="}},
	{"values with = in them", []string{"a=b=c==; " + name + "=v=w; d==e"}, []string{"a=b=c==; d==e"}},
	{"quoted values", []string{`a="b c"; ` + name + `="v"; d="\"e\"`}, []string{`a="b c"; d="\"e\"`}},
	// No server of our days reads it otherwise; and where one does, ours must not get
	// there in quotes.
	{"a semicolon ends a quoted value", []string{`a="b; ` + name + `=v; c"`}, []string{`a="b; c"`}},
	{"what is no cookie", []string{"a b, \x00(c)=\xff{d}; " + name + "=v"}, []string{"a b, \x00(c)=\xff{d}"}},
}

func TestWithout(t *testing.T) {
	t.Parallel()
	for _, row := range withouts {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			given := slices.Clone(row.lines)
			if got := cookie.Without(row.lines, ours); !slices.Equal(got, row.want) || (got == nil) != (row.want == nil) {
				t.Errorf("got %q; want %q", got, row.want)
			}
			if !slices.Equal(row.lines, given) {
				t.Errorf("got the given lines changed to %q; want them left alone", row.lines)
			}
		})
	}
}

func TestCasesOfSize(t *testing.T) {
	t.Run("5.6 a header of 1 MB costs no allocation", func(t *testing.T) {
		lines := []string{strings.Repeat("a=b; ", 200_000), name + "=v"}
		var f cookie.Found
		if n := testing.AllocsPerRun(3, func() { f = cookie.Find(lines, name) }); n != 0 || f.First != "v" {
			t.Errorf("got %v allocations, %q; want none and the value", n, f.First)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	lines := []string{"theme=dark; lang=ko; " + name + "=" + strings.Repeat("x", 1131)}
	b.ReportAllocs()
	for b.Loop() {
		if !cookie.Find(lines, name).OK {
			b.Fatal("not found")
		}
	}
}
