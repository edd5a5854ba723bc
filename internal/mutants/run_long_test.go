//go:build long

package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const below = "internal/guard/guard.go Check: never: "

func TestRun(t *testing.T) {
	t.Parallel()
	root := module(t, guard)
	list := filepath.Join(root, "accepted")
	write(t, list, below+`name == "panic"`+"\n\tboth ways are one\n")
	check := func(wantStatus int, want []string, args ...string) {
		t.Helper()
		status, stdout, stderr := program(t, root, args...)
		got := strings.ReplaceAll(strings.TrimSpace(stdout), "\n\t", "\n")
		if status != wantStatus || stderr != "" || got != strings.Join(want, "\n") {
			t.Errorf("got %d, %q:\n%s\nwant %d:\n%s", status, stderr, got, wantStatus, strings.Join(want, "\n"))
		}
	}
	figures := func(dir string, counts string) string {
		return dir + strings.Repeat(" ", 24-len(dir)) + " " + counts
	}

	// What its own tests do not kill is tried again without -own.
	check(1, []string{
		`internal/guard/guard.go:7: Check: never: name == "eve"`, "LIVED",
		"lives: " + below + `name == "eve" (line 7)`,
		figures("internal/guard", "   1 mutants,    0 killed,  0 by the time limit,  0 accepted,  1 live"),
		figures("all", "   1 mutants,    0 killed,  0 by the time limit,  0 accepted,  1 live"),
	}, "-own", "-run", `"eve"`, "internal/guard")

	// Without its break the loop has no end; no test expects mallory to be refused.
	args := []string{"-limit", "6s", "./internal/guard", "apart", "."}
	want := []string{
		`internal/guard/guard.go:4: Check: never: name == "" || len(name) > 9`, "killed TestCheck/called_",
		`internal/guard/guard.go:4: Check: never: name == ""`, "killed TestCheck/called_",
		`internal/guard/guard.go:4: Check: never: len(name) > 9`, "LIVED",
		`internal/guard/guard.go:7: Check: never: name == "eve"`, "killed TestServe",
		`internal/guard/guard.go:10: Check: never: name == "mallory"`, "LIVED",
		`internal/guard/guard.go:14: Check: never: n == len(name)`, "killed by the time limit 6s",
		`internal/guard/guard.go:18: Check: never: name == "panic"`, "LIVED accepted: both ways are one",
		`apart/apart.go:3: Odd: always: n%2 != 0`, "killed TestOdd",
		`apart/apart.go:3: Odd: always: n > 0`, "LIVED",
		`root.go:6: Serve: never: !guard.Check(name)`, "killed TestServe",
		"lives: " + below + `len(name) > 9 (line 4)`,
		"lives: " + below + `name == "mallory" (line 10)`,
		"lives: apart/apart.go Odd: always: n > 0 (line 3)",
		figures("internal/guard", "   7 mutants,    3 killed,  1 by the time limit,  1 accepted,  2 live"),
		figures("apart", "   2 mutants,    1 killed,  0 by the time limit,  0 accepted,  1 live"),
		figures(".", "   1 mutants,    1 killed,  0 by the time limit,  0 accepted,  0 live"),
		figures("all", "  10 mutants,    5 killed,  1 by the time limit,  1 accepted,  3 live"),
	}
	check(1, want, args...)
	// All is known now: only the report is printed.
	check(1, want[20:], args...)

	// What has lived meets a new test.
	write(t, filepath.Join(root, "apart", "more_test.go"),
		"package apart\n\nimport \"testing\"\n\nfunc TestZero(t *testing.T) {\n\tif Odd(-3) {\n\t\tt.Error(-3)\n\t}\n}\n")
	apart := figures("apart", "   2 mutants,    2 killed,  0 by the time limit,  0 accepted,  0 live")
	all := figures("all", "   2 mutants,    2 killed,  0 by the time limit,  0 accepted,  0 live")
	check(0, []string{`apart/apart.go:3: Odd: always: n > 0`, "killed TestZero", apart, all}, "apart")

	// A listed mutant that is killed is said to be; one that is not there fails.
	write(t, list, "apart/apart.go Odd: always: n > 0\n\tx\nelsewhere/a.go f: never: gone\n\tx\n")
	check(0, []string{"listed, but killed: apart/apart.go Odd: always: n > 0", apart, all}, "apart")
	write(t, list, "apart/apart.go Odd: always: gone\n\tx\n")
	check(1, []string{apart, all, "listed, but not there: apart/apart.go Odd: always: gone"}, "apart")
}

func TestRun_Trouble(t *testing.T) {
	t.Parallel()
	const head = "package fixture\n\nimport (\"fmt\"; \"os\"; \"strings\"; \"testing\")\n\nvar _, _, _ = fmt.Sprint, os.Exit, strings.Repeat\n\n"
	with := func(name, text string) map[string]string {
		m := maps.Clone(guard)
		delete(m, "internal/acceptance/acceptance_test.go")
		m["internal/acceptance/doc.go"], m[name] = "package acceptance\n", text
		return m
	}
	test := func(body string) map[string]string {
		return with("a_test.go", head+"func TestA(t *testing.T) { "+body+" }\n")
	}
	for _, c := range []struct {
		name   string
		module map[string]string
		args   string
		status int
		want   string
	}{
		{"help", guard, "-h", 0, "Usage of mutants"},
		{"an unknown flag", guard, "-x", 2, "flag provided but not defined: -x"},
		{"a bad pattern of mutants", guard, "-run (", 2, "missing closing )"},
		{"a bad pattern of tests", guard, "-skip ( .", 2, "missing closing )"},
		{"no workers", guard, "-j 0 .", 2, "-j must be 1 or more"},
		{"a package that is not there", guard, "nowhere", 2, "no Go files in nowhere"},
		{"a package of tests alone", guard, "internal/acceptance", 2, "no Go files in internal/acceptance"},
		{"a package with a bad name", guard, "[", 2, "syntax error in pattern"},
		{"a package that is no Go", with("odd/a.go", "package"), "odd", 2, "expected 'IDENT'"},
		{"a directory in place of a file", with("odd/a.go/b.txt", ""), "odd", 2, "is a directory"},
		{"a list without reasons", with("accepted", "a\n"), ".", 2, "without a reason: a"},
		{"results that cannot be read", with("results/a", ""), ".", 2, "is a directory"},
		{"results that cannot be written", guard, "-results /nowhere/results .", 2, "no such file"},
		{"code that cannot be built", with("root.go", "package fixture\n\nfunc f(a bool) int { if a { return 1 }; return g() }\n"), ".", 2, "undefined: g"},
		{"tests that fail without a mutant", test("t.Fail()"), ".", 2, "TestA: killed TestA"},
		{"tests that hang without a mutant", test("for {}"), "-limit 100ms .", 2, "TestA: killed by the time limit"},
		{"tests that exit without a mutant", test("os.Exit(3)"), ".", 2, "TestA: killed exit status 3"},
		{"tests that print too much", test("fmt.Println(strings.Repeat(`x`, 17<<20))"), ".", 2, "TestA: killed"},
		{"tests that cannot be listed", with("a_test.go", head+"func TestMain(*testing.M) { panic(1) }\n"), ".", 2, "cannot be listed"},
		{"tests that fail and are left out", test("t.Fail()"), "-skip A$ .", 1, ""},
		{"no tests", with("a.txt", ""), ".", 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, _, stderr := program(t, module(t, c.module), strings.Fields(c.args)...)
			if status != c.status || !strings.Contains(stderr, c.want) {
				t.Errorf("got %d, %q; want %d, %q", status, stderr, c.status, c.want)
			}
		})
	}
}

// An interrupt ends tests that hang.
func TestRun_Interrupt(t *testing.T) {
	t.Parallel()
	files := maps.Clone(guard)
	files["a_test.go"] = "package fixture\n\nimport (\"os\"; \"testing\")\n\n" +
		"func TestA(*testing.T) {\n\tos.WriteFile(\"hangs\", nil, 0o600)\n\tfor {\n\t}\n}\n"
	root := module(t, files)
	o, err := parseArgs([]string{"-root", root, "-results", filepath.Join(root, "results"), "."}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := o.mutate(ctx, io.Discard)
		done <- err
	}()
	for {
		select {
		case <-time.Tick(10 * time.Millisecond):
			if _, err := os.Stat(filepath.Join(root, "hangs")); err == nil {
				stop()
			}
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v; want %v", err, context.Canceled)
			}
			return
		}
	}
}
