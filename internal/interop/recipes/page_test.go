package recipes

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPage checks that each snippet of docs/recipes.md is a run of lines of the file
// that the mark above it names.
func TestPage(t *testing.T) {
	t.Parallel()
	root := filepath.FromSlash("../../..")
	page := read(t, filepath.Join(root, "docs", "recipes.md"))
	snippets := regexp.MustCompile("(?s)(?:<!-- ([^\n]*) -->\n)?```(go|js|html|sql)\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(snippets) < 15 {
		t.Errorf("got %d snippets; want at least 15", len(snippets))
	}
	for _, s := range snippets {
		file, snippet := s[1], lines(s[3])
		if file == "" {
			t.Errorf("no mark names the file of this snippet:\n%s", s[3])
			continue
		}
		all := lines(read(t, filepath.Join(root, filepath.FromSlash(file))))
		found := slices.ContainsFunc(slices.Collect(windows(all, len(snippet))), func(run []string) bool {
			return slices.Equal(run, snippet)
		})
		if !found {
			t.Errorf("%s does not have this snippet:\n%s", file, s[3])
		}
	}
}

// windows yields each run of n lines.
func windows(all []string, n int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for i := range len(all) - n + 1 {
			if !yield(all[i : i+n]) {
				return
			}
		}
	}
}

// lines returns the lines of a text without indentation, and without empty ones.
func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
