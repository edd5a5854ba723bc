package signin_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// compiledExamples are where the snippets of the README and of docs come from.
var compiledExamples = []string{
	"example_test.go", "example_signin_test.go", "example_tokens_test.go", "example_logto_test.go",
	"example_providers_test.go", "example_operating_test.go", "example_onsignin_test.go", "example_streams_test.go",
	"signintest/example_test.go", "internal/interop/routers_test.go", "internal/interop/stores_test.go",
}

// TestReadme checks that the snippets of the README and of docs compile. The whole
// program is built. The lines of every other snippet must be in an Example, which a mark
// above the snippet may name.
func TestReadme(t *testing.T) {
	t.Parallel()
	everything, functions := compiled(t)
	block := regexp.MustCompile("(?s)(?:<!-- ([^\n]*) -->\n)?```go\n(.*?)```")
	for page, least := range map[string]int{
		"README.md": 5, "docs/permissions.md": 7, "docs/stores.md": 4, "docs/pages.md": 1,
		"docs/providers.md": 9, "docs/logto.md": 4, "docs/operating.md": 4, "docs/migrating.md": 1,
	} {
		blocks := block.FindAllStringSubmatch(read(t, page), -1)
		if len(blocks) < least {
			t.Errorf("%s: got %d snippets; want %d or more", page, len(blocks), least)
		}
		for _, b := range blocks {
			mark, snippet := b[1], b[2]
			if strings.HasPrefix(snippet, "package main") {
				builds(t, snippet)
				continue
			}
			where := everything
			if strings.HasPrefix(mark, "Example") {
				where = functions[mark]
			}
			if !containsRun(where, lines(snippet)) {
				t.Errorf("%s: no Example has this snippet (%s):\n%s", page, mark, snippet)
			}
		}
	}
}

// TestReadme_Events checks that docs/operating.md says what each kind of event means.
func TestReadme_Events(t *testing.T) {
	kinds := regexp.MustCompile(`EventKind += "(.+)"`).FindAllStringSubmatch(read(t, "store.go"), -1)
	if len(kinds) < 9 {
		t.Errorf("got %d kinds of events in store.go; want at least 9", len(kinds))
	}
	text := read(t, "docs/operating.md")
	for _, kind := range kinds {
		if !strings.Contains(text, "`"+kind[1]+"`") {
			t.Errorf("docs/operating.md does not mention the event %s; want every kind", kind[1])
		}
	}
}

// TestOperating checks that docs/operating.md says what to do about each line of the log
// and each code, and that the code has them all.
func TestOperating(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/operating.md")
	var codes []string
	for _, code := range regexp.MustCompile(`(?m)^\tErr\w+ Code = "(.+)"`).FindAllStringSubmatch(read(t, "handlers.go"), -1) {
		codes = append(codes, code[1])
	}
	for heading, want := range map[string][]string{"Lines of the log": logLines(t), "Codes": codes} {
		var got []string
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(sectionOf(page, heading), -1) {
			got = append(got, row[1])
		}
		slices.Sort(got)
		slices.Sort(want)
		if len(want) < 12 || !slices.Equal(got, want) {
			t.Errorf("docs/operating.md, %s: there are no rows for %q; the code does not have %q (of %d)", heading, without(want, got), without(got, want), len(want))
		}
	}
}

// sectionOf returns what is below a heading of a page, up to the next.
func sectionOf(page, heading string) string {
	_, section, _ := strings.Cut(page, "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// logLines returns the messages of all calls that log, each once, without the "signin: "
// that they begin with. Of a message in several literals it is the first; one that is no
// literal shows as another text.
func logLines(t *testing.T) (messages []string) {
	t.Helper()
	call := regexp.MustCompile(`\b[lL]og(?:ger)?\.(?:Log|LogAttrs|(?:Debug|Info|Warn|Error)(?:Context)?)\([^"]*"(?:signin: )?([^"]*)"`)
	for _, source := range allSources(t) {
		for _, c := range call.FindAllStringSubmatch(source, -1) {
			if message := strings.TrimRight(c[1], "; "); !slices.Contains(messages, message) {
				messages = append(messages, message)
			}
		}
	}
	return messages
}

// TestReadmeTable checks that the code in the last column of the table for users of
// Logto's packages is in an Example.
func TestReadmeTable(t *testing.T) {
	t.Parallel()
	_, section, found := strings.Cut(read(t, "docs/migrating.md"), "\n## From Logto's Python or Go package to this one\n")
	if !found {
		t.Fatal("got no section for users of Logto's packages")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	_, functions := compiled(t)
	var examples strings.Builder
	for _, body := range functions {
		examples.WriteString(strings.Join(body, "\n"))
	}
	code, found := regexp.MustCompile("`[^`]+`"), false
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) == 1 {
			continue
		}
		if len(cells) != 5 {
			t.Errorf("got a row with %d columns; want 3: %s", len(cells)-2, line)
			continue
		}
		for _, span := range code.FindAllString(cells[3], -1) {
			found = true
			if !strings.Contains(examples.String(), strings.Trim(span, "`")) {
				t.Errorf("no Example has the code in the table: %s", span)
			}
		}
	}
	if !found {
		t.Error("got no code in the table")
	}
}

// results is for .ci/run, which puts the output of "go test -json" there.
var results = flag.String("results", "", "a `directory` with results of go test -json, in which the tests of docs/conformance.md must have passed")

// proof is a test in docs/conformance.md: jwt.TestX/row, or TestX/row for one of
// internal/acceptance. A dot in a row's name is any character.
var proof = regexp.MustCompile("`(?:([a-z]+)\\.)?(Test\\w+)(/[^`]*)?`")

// TestConformance checks that the tests in docs/conformance.md exist and, with
// -results, that they have passed.
func TestConformance(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(read(t, "docs/conformance.md"), "\n## ")
	proofs := proof.FindAllStringSubmatch(table, -1)
	if rows := strings.Count(table, "\n| ") - strings.Count(table, "\n| id |"); len(proofs) < rows {
		t.Errorf("got %d tests for %d rows; want at least one for each", len(proofs), rows)
	}
	tests, passed := allTests(t), passedTests(t)
	for _, p := range proofs {
		room := cmp.Or(p[1], "acceptance")
		if !strings.Contains(tests[room], "\nfunc "+p[2]+"(") {
			t.Errorf("%s: got no such test in %s; want one", p[0], room)
		}
		name := regexp.MustCompile("^" + room + `\.` + p[2] + p[3])
		if *results != "" && !slices.ContainsFunc(passed, name.MatchString) {
			t.Errorf("%s: no such test of %s has passed; want one", p[0], room)
		}
	}
}

// passedTests returns the names of the tests that have passed, each prefixed by the
// last element of its package's path.
func passedTests(t *testing.T) (passed []string) {
	t.Helper()
	if *results == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(*results, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: got %d files of results, %v; want some", *results, len(files), err)
	}
	for _, name := range files {
		for line := range strings.Lines(read(t, name)) {
			var e struct{ Action, Package, Test string }
			if err := json.Unmarshal([]byte(line), &e); err == nil && e.Action == "pass" && e.Test != "" {
				passed = append(passed, path.Base(e.Package)+"."+e.Test)
			}
		}
	}
	return passed
}

// allTests returns the sources of each package's tests, by the last element of its path.
func allTests(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"internal/*/*_test.go", "internal/*/*/*_test.go", "redisstore/*_test.go"} {
		files, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			all[filepath.Base(filepath.Dir(name))] += "\n" + read(t, name)
		}
	}
	return all
}

// TestSecurity checks that the rows of docs/conformance.md, the tests, and the names in
// the code that docs/security.md and docs/asvs.md cite all exist.
func TestSecurity(t *testing.T) {
	t.Parallel()
	tests, sources, rows := allTests(t), allSources(t), read(t, "docs/conformance.md")
	for page, least := range map[string]int{"docs/security.md": 30, "docs/asvs.md": 40} {
		text := read(t, page)
		for _, p := range proof.FindAllStringSubmatch(text, -1) {
			if room := cmp.Or(p[1], "acceptance"); !strings.Contains(tests[room], "\nfunc "+p[2]+"(") {
				t.Errorf("%s: %s: there is no such test in %s", page, p[0], room)
			}
		}
		ids := regexp.MustCompile("`(P-[a-z0-9-]+|[0-9]+(?:\\.[0-9]+)?)`").FindAllStringSubmatch(text, -1)
		for _, id := range ids {
			if !strings.Contains(rows, "\n| "+id[1]+" |") {
				t.Errorf("%s: %s is not a row of docs/conformance.md", page, id[0])
			}
		}
		if len(ids) < least {
			t.Errorf("%s: got %d rows named; want %d or more", page, len(ids), least)
		}
		for _, p := range regexp.MustCompile("`(?:([a-z]+)\\.)?(?:([A-Z]\\w+)\\.)?(\\w+)`").FindAllStringSubmatch(text, -1) {
			room, owner, name := p[1], p[2], p[3]
			if room+owner == "" || room == "http" || strings.HasPrefix(name, "Test") {
				continue
			}
			declared := "\nfunc " + name + "\\("
			if owner != "" {
				declared = "\nfunc \\((\\w+ )?\\*?" + owner + "\\) " + name + "\\(|\ntype " + owner + " struct \\{\n(\t.*\n|\n)*?\t(\\w+, )*" + name + "\\b"
			}
			if !regexp.MustCompile(declared + "|\ntype " + name + "\\b").MatchString(sources[room]) {
				t.Errorf("%s: %s is not in the code", page, p[0])
			}
		}
	}
}

// TestASVS checks that docs/asvs.md answers each requirement of the two chapters of
// ASVS 5.0.0 once, and that what it calls met has a proof.
func TestASVS(t *testing.T) {
	t.Parallel()
	var want, got []string
	for chapter, sections := range map[int][]int{7: {3, 4, 2, 5, 3, 2}, 10: {2, 3, 5, 16, 5, 2, 3}} {
		for i, requirements := range sections {
			for n := range requirements {
				want = append(want, fmt.Sprintf("%d.%d.%d", chapter, i+1, n+1))
			}
		}
	}
	row := regexp.MustCompile(`(?m)^\| ((?:7|10)\.\d+\.\d+) \| [123] \| [^|]+ \| (met|setting|application|provider|partly|not met) \| [^|]+ \| ([^|]+) \|$`)
	for _, r := range row.FindAllStringSubmatch(read(t, "docs/asvs.md"), -1) {
		got = append(got, r[1])
		if (r[2] == "met" || r[2] == "setting") && !strings.Contains(r[3], "`") {
			t.Errorf("%s is called met without a proof; want one", r[1])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/asvs.md: rows for %q are missing or malformed; rows for %q are not in ASVS, or a row is there twice", without(want, got), without(got, want))
	}
}

// allSources returns the sources of each package, by the last element of its path; the
// root's by "".
func allSources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.go", "internal/*/*.go", "redisstore/*.go"} {
		files, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if room := filepath.Base(filepath.Dir(name)); !strings.HasSuffix(name, "_test.go") {
				all[strings.TrimPrefix(room, ".")] += "\n" + read(t, name)
			}
		}
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// compiled returns the lines of all files with Examples, and those of each Example.
func compiled(t *testing.T) (everything []string, functions map[string][]string) {
	t.Helper()
	functions = map[string][]string{}
	example := regexp.MustCompile(`(?ms)^func (Example\w*)\(\) \{\n(.*?)^\}`)
	for _, name := range compiledExamples {
		source := read(t, name)
		everything = append(everything, lines(source)...)
		for _, f := range example.FindAllStringSubmatch(source, -1) {
			functions[f[1]] = append(functions[f[1]], lines(f[2])...)
		}
	}
	return everything, functions
}

// lines returns the lines of a source without indentation.
func lines(source string) []string {
	var out []string
	for line := range strings.Lines(source) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func containsRun(all, run []string) bool {
	for i := range len(all) - len(run) + 1 {
		if slices.Equal(all[i:i+len(run)], run) {
			return true
		}
	}
	return false
}

// builds compiles a program against this module.
func builds(t *testing.T, source string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
		t.Errorf("the README's program does not compile: %v\n%s", err, out)
	}
	if formatted, err := format.Source([]byte(source)); err != nil || string(formatted) != source {
		t.Errorf("the README's program is not formatted by gofmt (%v)", err)
	}
}

// TestDesignArrows checks that docs/design.md lists the imports among the packages of
// this module and redisstore, and no others.
func TestDesignArrows(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, arrow := range regexp.MustCompile(`(?m)^(\S+) → (.+)$`).FindAllStringSubmatch(read(t, "docs/design.md"), -1) {
		for to := range strings.SplitSeq(arrow[2], ", ") {
			listed = append(listed, arrow[1]+" → "+to)
		}
	}
	const module = "github.com/gosignin/signin"
	room := func(path string) string {
		return cmp.Or(strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(path, module), "/"), "internal/"), "signin")
	}
	var imported []string
	for _, dir := range []string{".", "redisstore"} {
		list := exec.CommandContext(t.Context(), "go", "list", "-C", dir, "-f", `{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}`, "./...")
		out, err := list.Output()
		if err != nil {
			t.Fatalf("go list in %s: %v", dir, err)
		}
		for line := range strings.Lines(string(out)) {
			from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
			if strings.HasPrefix(to, module) {
				imported = append(imported, room(from)+" → "+room(to))
			}
		}
	}
	slices.Sort(listed)
	slices.Sort(imported)
	if !slices.Equal(listed, imported) {
		t.Errorf("docs/design.md lists %q, which the code does not import; it lacks %q, which the code imports",
			without(listed, imported), without(imported, listed))
	}
}

// without returns the elements of all that are not in others.
func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}
