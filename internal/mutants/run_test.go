package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// guard is a module: a root, a package that it uses, its acceptance tests, and another
// module.
var guard = map[string]string{
	"go.mod": "module fixture\n\ngo 1.26.0\n",
	"root.go": `package fixture

import "fixture/internal/guard"

func Serve(name string) string {
	if !guard.Check(name) {
		return "refused"
	}
	return "hello"
}
`,
	"internal/acceptance/acceptance_test.go": `package acceptance_test

import (
	"testing"

	. "fixture"
)

func TestServe(t *testing.T) {
	if Serve("eve") != "refused" || Serve("ann") != "hello" {
		t.Fail()
	}
}
`,
	"internal/guard/guard.go": `package guard

func Check(name string) bool {
	if name == "" || len(name) > 9 {
		return false
	}
	if name == "eve" {
		return false
	}
	if name == "mallory" {
		return false
	}
	for n := 0; ; n++ {
		if n == len(name) {
			break
		}
	}
	if name == "panic" {
		return true
	}
	return true
}
`,
	"internal/guard/guard_test.go": `package guard

import "testing"

func TestCheck(t *testing.T) {
	for name, want := range map[string]bool{"": false, "ann": true, "panic": true} {
		t.Run("called "+name, func(t *testing.T) {
			if Check(name) != want {
				t.Fail()
			}
		})
	}
}
`,
	"apart/go.mod":   "module apart\n\ngo 1.26.0\n",
	"apart/apart.go": "package apart\n\nfunc Odd(n int) bool { return n%2 != 0 && n > 0 }\n",
	"apart/apart_test.go": `package apart

import "testing"

func TestOdd(t *testing.T) {
	if Odd(2) || !Odd(3) {
		t.Fail()
	}
}
`,
}

// module writes files to a new directory.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(root, filepath.FromSlash(name)), text)
	}
	return root
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// program runs the program on a module, with its results and its list there.
func program(t *testing.T, root string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	files := []string{"-root", root, "-results", filepath.Join(root, "results"), "-accepted", filepath.Join(root, "accepted")}
	status = run(append(files, args...), &out, &errs)
	return status, out.String(), errs.String()
}

func TestList(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := program(t, module(t, guard), "-list", "-run", "mallory|always", "internal/guard", "apart", ".")
	want := `10: internal/guard/guard.go Check: never: name == "mallory"
3: apart/apart.go Odd: always: n%2 != 0
3: apart/apart.go Odd: always: n > 0
`
	if status != 0 || stdout != want || stderr != "" {
		t.Errorf("got %d, %q:\n%s\nwant 0:\n%s", status, stderr, stdout, want)
	}
}

// The packages that are judged by default are there, names of mutants fit on a line,
// and every accepted mutant is one.
func TestAccepted(t *testing.T) {
	t.Parallel()
	o, err := parseArgs([]string{"-root", "../.."}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(o.root, "internal", "mutants", "accepted.txt"); o.accepted != want {
		t.Errorf("got %s; want %s", o.accepted, want)
	}
	accepted, err := readAccepted(o.accepted)
	if err != nil {
		t.Fatal(err)
	}
	key, number := regexp.MustCompile(`^[\w/]+\.go [\w.]+: (never|always): \S.*$`), 0
	for _, dir := range o.packages {
		sources, err := find(o.root, dir, &number)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sources {
			for _, m := range s.mutants {
				delete(accepted, m.key)
				if !key.MatchString(m.key) {
					t.Errorf("got %q; want %v", m.key, key)
				}
			}
		}
	}
	for key := range accepted {
		t.Errorf("got no mutant for what accepted.txt lists: %s", key)
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"--- FAIL: TestA (0.00s)":       "TestA",
		"    --- FAIL: TestA/b (1.20s)": "TestA/b",
		"panic: no":                     "panic: no",
		"fatal error: all goroutines are asleep - deadlock!": "fatal error: all goroutines are asleep - deadlock!",
		"--- PASS: TestA (0.00s)":                            "",
		"FAIL":                                               "",
		"2026/01/01 http: panic serving 127.0.0.1: no":       "",
	} {
		if got := failure(line); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}
