package signin_test

import (
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadme holds the README's snippets to what is compiled: the whole program
// is built, and every other snippet stands, line by line, in an Example.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var compiled [][]string
	for _, name := range []string{"example_test.go", "signintest/example_test.go", "internal/interop/routers_test.go", "internal/interop/stores_test.go"} {
		source, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		compiled = append(compiled, lines(string(source)))
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 7 {
		t.Fatalf("got %d snippets; want those of the README", len(blocks))
	}
	for _, b := range blocks {
		if strings.HasPrefix(b[1], "package main") {
			builds(t, b[1])
			continue
		}
		want := lines(b[1])
		if !slices.ContainsFunc(compiled, func(source []string) bool { return containsRun(source, want) }) {
			t.Errorf("no Example has the README's snippet:\n%s", b[1])
		}
	}
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
		t.Errorf("the README's program is not as gofmt writes it (%v)", err)
	}
}
