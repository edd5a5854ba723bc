package main

import (
	"bytes"
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
		{"an if that returns never does", `if a { return }`, []string{"never: a"}},
		{"nor one that goes on with the next turn", `for { if a { continue } }`, []string{"never: a"}},
		{"nor one that jumps", `x: if a { goto x }`, []string{"never: a"}},
		{"nor one that panics", `if a { panic(1) }`, []string{"never: a"}},
		{"nor one that sets an error", `if a { err = f(); f() }`, []string{"never: a"}},
		{"or an error's field", `if a { s.loadErr = f() }`, []string{"never: a"}},
		{"or a cause", `if a { cause = f() }`, []string{"never: a"}},
		{"or a false", `if a { ok = false }`, []string{"never: a"}},
		{"an if that does something is left alone", `if a { f() }`, nil},
		{"and one with an index", `if a { m[0] = 1 }`, nil},
		{"and one that does nothing", `if a { }`, nil},
		{"one whose else rejects is taken as true", `if a { f() } else { return }`, []string{"always: a"}},
		{"one in an else stands for itself", `if a { f() } else if b { return }`, []string{"never: b"}},
		{"an init stays", `if err := f(); err != nil { return }`, []string{"never: err != nil"}},
		{"each operand of an or is taken away", `if a || b || c { return }`, []string{"never: a || b || c", "never: a", "never: b", "never: c"}},
		{"below an and too", `if a && (b || c) { return }`, []string{"never: a && (b || c)", "never: b", "never: c"}},
		{"under a not, operands of an and are taken as true", `if !(a && b) { return }`, []string{"never: !(a && b)", "always: a", "always: b"}},
		{"another operator is none of ours", `if -x == 1 { return }`, []string{"never: -x == 1"}},
		{"operands of an and that allows are taken as true", `if a && b { f() }`, []string{"always: a", "always: b"}},
		{"and of one that returns nil", `if a && b { return nil }`, []string{"never: a && b", "always: a", "always: b"}},
		{"or true", `if a && b { return x, true }`, []string{"never: a && b", "always: a", "always: b"}},
		{"an or that allows is left alone", `if a || b { f() }`, nil},
		{"but not an and in it", `if a || b && c { f() }`, []string{"always: b", "always: c"}},
		{"what is returned loses each operand", `return a && (b || !c)`, []string{"always: a", "always: (b || !c)", "never: b", "never: !c"}},
		{"the same condition twice is counted", `if a { return }; if a { return }`, []string{"never: a", "never: a #2"}},
		{"a condition over two lines is on one", "if a ||\n\t\tb { return }", []string{"never: a || b", "never: a", "never: b"}},
		{"a function in a condition is read", `if any(func() bool { if a { return true }; return b }) { f() }`, []string{"never: a"}},
		{"a loop's condition is left alone", `for i < n && (a || b) { f() }`, nil},
		{"a case that rejects is taken away", `switch { case a: return; case b: f() }`, []string{"never: a"}},
		{"with its operands", `switch { case a || b: return }`, []string{"never: a || b", "never: a", "never: b"}},
		{"and in one that allows", `switch { case a && b: f(); case a && c: return nil }`, []string{"always: a", "always: b", "never: a && c", "always: a #2", "always: c"}},
		{"each value of a case that rejects", `switch f() { case 1, 2: return; case 3: f() }`, []string{"never: 1", "never: 2"}},
		{"with a variable", `switch x := f(); x { case 1: return }`, []string{"never: 1"}},
		{"a case that falls through rejects nothing", `switch { case a: fallthrough; default: f() }`, nil},
		{"a default that rejects", `switch { case a: f(); default: return }; f()`, []string{"never: default of a switch"}},
		{"but not where the function ends", `switch { case a: f(); default: return x }`, nil},
		{"unless it is a plain false", `switch { case a: f(); default: return false }`, []string{"always: false"}},
		{"a type that is rejected", `switch y := x.(type) { case int, string: return; case bool: f(y) }; f()`,
			[]string{"never: case int, string of y := x.(type)"}},
		{"in a list of any kind", `select { case <-c: switch x.(type) { default: return }; f() }`, []string{"never: default of x.(type)"}},
		{"and in a case", `switch { case a: switch x.(type) { default: return }; f() }`, []string{"never: default of x.(type)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "p.go")
			text := "package p\n\nfunc f() {\n\t" + c.code + "\n}\n"
			write(t, file, text)
			number := 7
			s, err := parse(file, "in/p.go", &number)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for i, m := range s.mutants {
				got = append(got, m.key)
				if m.number != 8+i || m.dir != "in" || m.file != "in/p.go" || m.line < 4 {
					t.Errorf("got %+v; want number %d of in/p.go, line 4 or more", m, 8+i)
				}
			}
			for _, w := range c.want {
				want = append(want, "in/p.go f: "+w)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			mutated := s.mutated()
			if _, err := parser.ParseFile(token.NewFileSet(), "p.go", mutated, 0); err != nil {
				t.Errorf("%v in\n%s", err, mutated)
			}
			if got, want := bytes.Count(mutated, []byte("\n")), strings.Count(text, "\n"); got != want {
				t.Errorf("got %d lines; want %d", got, want)
			}
		})
	}
}

func TestMutatedCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, code, want string }{
		{"what is weakened as a whole stands outside", `if a || b { return }`, `if mutantOff(1, mutantOff(2, a) || mutantOff(3, b)) { return }`},
		{"cases become conditions", `switch f(1) { case 2, 3: return; case 4: }`,
			`switch mutantTag := f(1); true { case mutantOff(1, mutantTag == (2)), mutantOff(2, mutantTag == (3)): return; case mutantTag == (4): }`},
		{"of the variable that is there", `switch x := f(); x { case 2: return }`, `switch x := f(); x == x { case mutantOff(1, x == (2)): return }`},
		{"a clause does nothing", `switch { default: f(); return }; f()`, `switch { default: if mutantOff(1, true) { f(); return } }; f()`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file, number := filepath.Join(t.TempDir(), "p.go"), 0
			write(t, file, "package p; func f() { "+c.code+" }")
			s, err := parse(file, "p.go", &number)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(s.mutated()), "package p; func f() { "+c.want+" }"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestMutantsAreNamedAfterWhereTheyAre(t *testing.T) {
	t.Parallel()
	file, number := filepath.Join(t.TempDir(), "p.go"), 0
	write(t, file, `package p

const c = 1 > 0 && 2 > 0

var v = a && b

func (t T) a()        { if x { return } }
func (t *T) b()       { if x { return } }
func (t G[K]) c()     { if x { return } }
func (t *H[K, V]) d() { if x { return } }
func (t []int) e()    { if x { return } }
`)
	s, err := parse(file, "p.go", &number)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.mutants {
		got = append(got, strings.TrimPrefix(m.key, "p.go "))
	}
	want := []string{"package: always: a", "package: always: b", "T.a: never: x", "T.b: never: x", "G.c: never: x", "H.d: never: x", "e: never: x"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPackagesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	root := module(t, map[string]string{"tests/a_test.go": "package tests", "broken/a.go": "package", "odd/a.go/b.txt": ""})
	for dir, want := range map[string]string{
		"nowhere": "no Go files in nowhere",
		"tests":   "no Go files in tests",
		"[":       "syntax error in pattern",
		"broken":  "expected 'IDENT'",
		"odd":     "is a directory",
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			number := 0
			if _, err := find(root, dir, &number); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v; want %q", err, want)
			}
		})
	}
}
