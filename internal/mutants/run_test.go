package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	below   = "internal/guard/guard.go Check: never: "
	livesAs = `name == "panic"`
)

func TestRun(t *testing.T) {
	t.Parallel()
	root := module(t, guard)
	// Without its break the loop has no end; no test expects mallory to be refused.
	want := []string{
		`internal/guard/guard.go:6: Check: never: name == "" || len(name) > 9`, "killed TestCheck/called_",
		`internal/guard/guard.go:6: Check: never: name == ""`, "killed TestCheck/called_",
		`internal/guard/guard.go:6: Check: never: len(name) > 9`, "LIVED",
		`internal/guard/guard.go:9: Check: never: name == "eve"`, "killed TestServe",
		`internal/guard/guard.go:12: Check: never: name == "mallory"`, "LIVED",
		`internal/guard/guard.go:16: Check: never: n == len(name)`, "killed by the time limit 6s",
		`internal/guard/guard.go:20: Check: never: name == "panic"`, "LIVED accepted: both ways are one",
		`apart/apart.go:3: Odd: always: n%2 != 0`, "killed panic: two is odd",
		`apart/apart.go:3: Odd: always: n > 0`, "LIVED",
		"lives: " + below + `len(name) > 9 (line 6)`,
		"lives: " + below + `name == "mallory" (line 12)`,
		"lives: apart/apart.go Odd: always: n > 0 (line 3)",
		"internal/guard              7 mutants,    3 killed,  1 by the time limit,  1 accepted,  2 live",
		"apart                       2 mutants,    1 killed,  0 by the time limit,  0 accepted,  1 live",
		"all                         9 mutants,    4 killed,  1 by the time limit,  1 accepted,  3 live",
	}
	list := filepath.Join(root, "accepted")
	write(t, list, below+livesAs+"\n\tboth ways are one\n")
	args := []string{"-limit", "6s", "./internal/guard", "apart"}
	check := func(wantStatus int, want []string) {
		t.Helper()
		status, stdout, stderr := program(t, root, args...)
		if got := lines(stdout); status != wantStatus || stderr != "" || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got %d, %q:\n%s\nwant %d:\n%s", status, stderr, strings.Join(got, "\n"), wantStatus, strings.Join(want, "\n"))
		}
	}
	check(1, want)

	// All of it is known now: nothing is run, and only the report is printed.
	report := want[18:]
	check(1, report)

	// A new test is met by what has lived, and nothing else.
	write(t, filepath.Join(root, "apart", "more_test.go"), "package apart\n\nimport \"testing\"\n\nfunc TestZero(t *testing.T) {\n\tif Odd(-3) {\n\t\tt.Error(-3)\n\t}\n}\n")
	check(1, []string{
		`apart/apart.go:3: Odd: always: n > 0`, "killed TestZero",
		report[0], report[1],
		report[3],
		"apart                       2 mutants,    2 killed,  0 by the time limit,  0 accepted,  0 live",
		"all                         9 mutants,    5 killed,  1 by the time limit,  1 accepted,  2 live",
	})

	// With the rest listed the status is 0; what is listed and killed is no more
	// than said.
	write(t, list, below+livesAs+"\n\tx\n"+below+"len(name) > 9\n\tx\n"+below+"name == \"mallory\"\n\tx\n"+
		below+"name == \"eve\"\n\tx\nelsewhere/a.go f: never: gone\n\tx\n")
	figures := []string{
		`listed, but killed: ` + below + `name == "eve"`,
		"internal/guard              7 mutants,    3 killed,  1 by the time limit,  3 accepted,  0 live",
		"apart                       2 mutants,    2 killed,  0 by the time limit,  0 accepted,  0 live",
		"all                         9 mutants,    5 killed,  1 by the time limit,  3 accepted,  0 live",
	}
	check(0, figures)

	// One that is not there any more is an error of the list, whatever -run says.
	write(t, list, "apart/apart.go Odd: always: gone\n\tx\n")
	args = []string{"-run", "n%2", "apart"}
	check(1, []string{
		"apart                       1 mutants,    1 killed,  0 by the time limit,  0 accepted,  0 live",
		"all                         1 mutants,    1 killed,  0 by the time limit,  0 accepted,  0 live",
		"listed, but not there: apart/apart.go Odd: always: gone",
	})
}

// lines are those of an output, without what is before them.
func lines(out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func TestList(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := program(t, module(t, guard), "-list", "-run", "mallory|always", "internal/guard", "apart", ".")
	want := `12: internal/guard/guard.go Check: never: name == "mallory"
3: apart/apart.go Odd: always: n%2 != 0
3: apart/apart.go Odd: always: n > 0
`
	if status != 0 || stdout != want || stderr != "" {
		t.Errorf("got %d, %q:\n%s\nwant 0:\n%s", status, stderr, stdout, want)
	}
}

func TestMutantsThatMeetTheirOwnTestsOnlyAreTriedAgain(t *testing.T) {
	t.Parallel()
	root := module(t, guard)
	const line = `internal/guard/guard.go:9: Check: never: name == "eve"` + "\n\t"
	if _, stdout, _ := program(t, root, "-own", "-run", `"eve"`, "internal/guard"); !strings.HasPrefix(stdout, line+"LIVED\n") {
		t.Errorf("got %q; want one that lives", stdout)
	}
	if _, stdout, _ := program(t, root, "-run", `"eve"`, "internal/guard"); !strings.HasPrefix(stdout, line+"killed TestServe\n") {
		t.Errorf("got %q; want one that is killed", stdout)
	}
}

func TestTheRootsMutantsMeetItsTests(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := program(t, module(t, guard), "-j", "2", ".")
	want := "root.go:6: Serve: never: err != nil\n\tkilled TestServe\n"
	if status != 0 || !strings.HasPrefix(stdout, want) || stderr != "" {
		t.Errorf("got %d, %q:\n%s\nwant 0:\n%s", status, stderr, stdout, want)
	}
}

func TestWhatIsJudged(t *testing.T) {
	t.Parallel()
	o, err := parseArgs([]string{"-root", "../.."}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range o.packages {
		number := 0
		if _, err := find(o.root, dir, &number); err != nil {
			t.Errorf("got %v; want a package", err)
		}
	}
	if got, want := o.accepted, filepath.Join(o.root, "internal", "mutants", "accepted.txt"); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestAcceptedMutantsAreThere(t *testing.T) {
	t.Parallel()
	o, err := parseArgs([]string{"-root", "../.."}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := readAccepted(o.accepted)
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	for _, dir := range o.packages {
		sources, err := find(o.root, dir, &number)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sources {
			for _, m := range s.mutants {
				delete(accepted, m.key)
			}
		}
	}
	for key := range accepted {
		t.Errorf("got nothing; want a mutant: %s", key)
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	const broken, test = "package fixture\n\nfunc f(a bool) int { if a { return 1 }; return g() }\n", "package fixture\n\nimport \"testing\"\n\n"
	with := func(name, text string) map[string]string {
		return map[string]string{"go.mod": guard["go.mod"], "root.go": guard["root.go"], "internal/guard/guard.go": guard["internal/guard/guard.go"],
			"internal/acceptance/doc.go": "package acceptance\n", name: text}
	}
	for _, c := range []struct {
		name   string
		module map[string]string
		args   []string
		status int
		want   string
	}{
		{"help", guard, []string{"-h"}, 0, "Usage of mutants"},
		{"a flag that is none", guard, []string{"-x"}, 2, "flag provided but not defined: -x"},
		{"a pattern that is none", guard, []string{"-run", "("}, 2, "missing closing )"},
		{"tests to leave out that are no pattern", guard, []string{"-skip", "(", "."}, 2, "missing closing )"},
		{"a package that is not there", guard, []string{"nowhere"}, 2, "no Go files in nowhere"},
		{"a list without reasons", with("accepted", "a\n"), []string{"."}, 2, "without a reason: a"},
		{"results that cannot be read", with("results/a", ""), []string{"."}, 2, "is a directory"},
		{"results that cannot be written", guard, []string{"-results", "/nowhere/results", "."}, 2, "no such file"},
		{"code that cannot be built", with("root.go", broken), []string{"."}, 2, "undefined: g"},
		{"tests that fail by themselves", with("a_test.go", test+"func TestA(t *testing.T) { t.Fail() }\n"), []string{"."}, 2, "TestA: killed TestA"},
		{"tests that hang by themselves", with("a_test.go", test+"func TestA(*testing.T) { for {} }\n"), []string{"-limit", "100ms", "."}, 2, "TestA: killed by the time limit"},
		{"tests that leave by themselves", with("a_test.go", "package fixture\n\nimport (\"os\"; \"testing\")\n\nfunc TestA(t *testing.T) { os.Exit(3) }\n"), []string{"."}, 2, "TestA: killed exit status 3"},
		{"tests that say too much", with("a_test.go", "package fixture\n\nimport (\"fmt\"; \"strings\"; \"testing\")\n\nfunc TestA(t *testing.T) { fmt.Println(strings.Repeat(\"x\", 17<<20)) }\n"), []string{"."}, 2, "TestA: killed"},
		{"tests that cannot be listed", with("a_test.go", test+"func TestMain(*testing.M) { panic(1) }\n"), []string{"."}, 2, "cannot be listed"},
		{"tests that fail by themselves and are left out", with("a_test.go", test+"func TestA(t *testing.T) { t.Fail() }\n\nfunc TestB(*testing.T) {}\n"), []string{"-skip", "A$", "."}, 1, ""},
		{"nobody to do the work", with("a.txt", ""), []string{"-j", "0", "."}, 2, "-j must be 1 or more"},
		{"no tests at all", with("a.txt", ""), []string{"."}, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, _, stderr := program(t, module(t, c.module), c.args...)
			if status != c.status || !strings.Contains(stderr, c.want) {
				t.Errorf("got %d, %q; want %d, %q", status, stderr, c.status, c.want)
			}
		})
	}
}

func TestAnInterruptEndsARun(t *testing.T) {
	t.Parallel()
	o, err := parseArgs([]string{"-root", module(t, guard), "-results", filepath.Join(t.TempDir(), "results"), "."}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if fine, err := o.mutate(ctx, io.Discard); fine || !errors.Is(err, context.Canceled) {
		t.Errorf("got %t, %v; want false, %v", fine, err, context.Canceled)
	}
}

// The tests hang, and the interrupt comes once they do.
func TestAnInterruptEndsTheTests(t *testing.T) {
	t.Parallel()
	root := module(t, map[string]string{
		"go.mod": guard["go.mod"], "root.go": guard["root.go"], "internal/guard/guard.go": guard["internal/guard/guard.go"],
		"a_test.go": "package fixture\n\nimport (\"os\"; \"testing\")\n\nfunc TestA(*testing.T) {\n\tos.WriteFile(\"hangs\", nil, 0o600)\n\tfor {\n\t}\n}\n",
	})
	o, err := parseArgs([]string{"-root", root, "-results", filepath.Join(root, "results"), "."}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	done := make(chan error, 1)
	go func() {
		_, err := o.mutate(ctx, io.Discard)
		done <- err
	}()
	for {
		select {
		case <-tick.C:
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

// What the program prints for people must not be mistaken for a mutant's name.
func TestKeysAreOneLine(t *testing.T) {
	t.Parallel()
	_, stdout, _ := program(t, "../..", "-list", "-accepted", "none")
	if stdout == "" {
		t.Fatal("got no mutants; want those of the whole project")
	}
	line := regexp.MustCompile(`^\d+: [\w/]+\.go [\w.]+: (never|always): \S.*$`)
	for l := range strings.Lines(stdout) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("got %q; want %v", l, line)
		}
	}
}
