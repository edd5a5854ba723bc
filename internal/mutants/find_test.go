package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		code string // of a function
		want []string
	}{
		{"an if that returns", `if a { return }`, []string{"never: a"}},
		{"an if that goes on with the next turn", `for { if a { continue } }`, []string{"never: a"}},
		{"an if that panics", `if a { panic(1) }`, []string{"never: a"}},
		{"an if that sets an error", `if a { err = f(); f() }`, []string{"never: a"}},
		{"an if that sets an error's field", `if a { s.loadErr = f() }`, []string{"never: a"}},
		{"an if that sets a cause", `if a { cause = f() }`, []string{"never: a"}},
		{"an if that sets a false", `if a { ok = false }`, []string{"never: a"}},
		{"an if that rejects nothing", `if a { f() }; if b { m[0] = 1 }; if c { }`, nil},
		{"an else that rejects", `if a { f() } else { return }`, []string{"always: a"}},
		{"an else with another if", `if a { f() } else if b { return }`, []string{"never: b"}},
		{"operands of an or", `if a || b || c { return }`, []string{"never: a || b || c", "never: a", "never: b", "never: c"}},
		{"an or below an and", `if a && (b || c) { return }`, []string{"never: a && (b || c)", "never: b", "never: c"}},
		{"an and below a not", `if !(a && b) { return }`, []string{"never: !(a && b)", "always: a", "always: b"}},
		{"an and that allows", `if a && b { f() }`, []string{"always: a", "always: b"}},
		{"an and that returns nil", `if a && b { return nil }`, []string{"never: a && b", "always: a", "always: b"}},
		{"an and that returns true", `if a && b { return x, true }`, []string{"never: a && b", "always: a", "always: b"}},
		{"an or that allows", `if a || b { f() }; if a || b && c { f() }`, []string{"always: b", "always: c"}},
		{"operands of what is returned", `return a && (b || !c)`, []string{"always: a", "always: (b || !c)", "never: b", "never: !c"}},
		{"the same condition twice", `if a { return }; if a { return }`, []string{"never: a", "never: a #2"}},
		{"a condition over two lines", "if a ||\n\t\tb { return }", []string{"never: a || b", "never: a", "never: b"}},
		{"a function in a condition", `if any(func() bool { if a { return true }; return b }) { f() }`, []string{"never: a"}},
		{"a loop's condition", `for i < -n && (a || b) { f() }`, nil},
		{"cases", `switch { case a || b: return; case c && d: f(); case e: fallthrough; default: f() }`,
			[]string{"never: a || b", "never: a", "never: b", "always: c", "always: d"}},
		{"values of cases", `switch x := f(); x { case 1, 2: return; case 3: f() }`, []string{"never: 1", "never: 2"}},
		{"a default that rejects", `switch { case a: f(); default: return }; f()`, []string{"never: default of a switch"}},
		{"a default that ends the function", `switch { case a: f(); default: return x }`, nil},
		{"a default that returns false", `switch { case a: f(); default: return false }`, []string{"always: false"}},
		{"a type that is rejected", `switch y := x.(type) { case int, string: return; case bool: f(y) }; f()`,
			[]string{"never: case int, string of y := x.(type)"}},
		{"a switch in a select", `select { case <-c: switch x.(type) { default: return }; f() }`, []string{"never: default of x.(type)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := "package p\n\nfunc f() {\n\t" + c.code + "\n}\n"
			s, got := parsed(t, text)
			for i, m := range s.mutants {
				if m.number != 1+i || m.dir != "in" || m.file != "in/p.go" || m.line < 4 {
					t.Errorf("got %+v; want number %d of in/p.go, line 4 or more", m, 1+i)
				}
			}
			want := slices.Clone(c.want)
			for i := range want {
				want[i] = "f: " + want[i]
			}
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			mutated := string(s.mutated())
			if _, err := parser.ParseFile(token.NewFileSet(), "p.go", mutated, 0); err != nil {
				t.Errorf("%v in\n%s", err, mutated)
			}
			if got, want := strings.Count(mutated, "\n"), strings.Count(text, "\n"); got != want {
				t.Errorf("got %d lines; want %d", got, want)
			}
		})
	}
}

// parsed reads a file, and returns its mutants' names without the file's.
func parsed(t *testing.T, text string) (s *source, keys []string) {
	t.Helper()
	file, number := filepath.Join(t.TempDir(), "p.go"), 0
	write(t, file, text)
	s, err := parse(file, "in/p.go", &number)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.mutants {
		keys = append(keys, strings.TrimPrefix(m.key, "in/p.go "))
	}
	return s, keys
}

func TestMutated(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		`if a || b { return }`: `if mutantOff(1, mutantOff(2, a) || mutantOff(3, b)) { return }`,
		`switch f(1) { case 2, 3: return; case 4: }`: `switch mutantTag := f(1); true ` +
			`{ case mutantOff(1, mutantTag == (2)), mutantOff(2, mutantTag == (3)): return; case mutantTag == (4): }`,
		`switch x := f(); x { case 2: return }`: `switch x := f(); x == x { case mutantOff(1, x == (2)): return }`,
		`switch { default: f(); return }; f()`:  `switch { default: if mutantOff(1, true) { f(); return } }; f()`,
	} {
		s, _ := parsed(t, "package p; func f() { "+code+" }")
		if got, want := string(s.mutated()), "package p; func f() { "+want+" }"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestFind_Names(t *testing.T) {
	t.Parallel()
	_, got := parsed(t, `package p

const c = 1 > 0 && 2 > 0

var v = a && b

func (t T) a()        { if x { return } }
func (t *T) b()       { if x { return } }
func (t G[K]) c()     { if x { return } }
func (t *H[K, V]) d() { if x { return } }
func (t []int) e()    { if x { return } }
`)
	want := []string{"package: always: a", "package: always: b", "T.a: never: x", "T.b: never: x", "G.c: never: x", "H.d: never: x", "e: never: x"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
