package main

import (
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       map[string]string
		err        string
	}{
		{"an empty list", "", map[string]string{}, ""},
		{"mutants and reasons", "# why\n\na.go f: never: x\n\tone\n\ttwo\n\nb.go f: never: y\n\tthree\n", map[string]string{"a.go f: never: x": "one two", "b.go f: never: y": "three"}, ""},
		{"a mutant without a reason", "a\nb\n\tone\n", nil, "without a reason: a"},
		{"a reason without a mutant", "\tone\n", nil, ":1: a reason without a mutant"},
		{"a mutant twice", "a\n\tone\na\n\ttwo\n", nil, ":3: listed twice: a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "accepted")
			write(t, file, c.text)
			got, err := readAccepted(file)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v; want %q", err, c.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, c.want) {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
	if got, err := readAccepted(filepath.Join(t.TempDir(), "none")); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v; want nothing of a list that is not there", got, err)
	}
	if _, err := readAccepted("\x00"); err == nil {
		t.Error("got no error; want one of a file that cannot be opened")
	}
}

func TestResultsAreKept(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	want := map[string]result{
		"a": {Mutant: "a", Outcome: killed, By: "TestA", Of: "1"},
		"b": {Mutant: "b", Outcome: lived, Of: "2"},
	}
	for _, r := range []result{{Mutant: "a", Outcome: lived}, want["a"], want["b"]} {
		if err := writeResult(&b, r); err != nil {
			t.Fatal(err)
		}
	}
	// Somebody has pulled the plug.
	b.WriteString(`{"mutant":"a","outcome":"LI`)
	file := filepath.Join(t.TempDir(), "results")
	write(t, file, b.String())
	if got, err := readResults(file); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if err := writeResult(full{}, want["a"]); !errors.Is(err, errFull) {
		t.Errorf("got %v; want %v", err, errFull)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestDigest(t *testing.T) {
	t.Parallel()
	root := module(t, map[string]string{"a.go": "x", "b.go": "y", "c.txt": "z"})
	a, b := filepath.Join(root, "a.go"), filepath.Join(root, "b.go")
	sum := func(paths ...string) string {
		t.Helper()
		sum, err := digest(paths...)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	if sum(a) == sum(b) || sum(root) != sum(a, b) {
		t.Error("got a digest that is not of the Go files; want one that is")
	}
	before := sum(root)
	write(t, filepath.Join(root, "c.txt"), "more")
	if sum(root) != before {
		t.Error("got another digest; want the same after a change to a file that is not Go")
	}
	for _, path := range []string{filepath.Join(root, "none.go"), "["} {
		if _, err := digest(path); err == nil {
			t.Errorf("got no error; want one for %s", path)
		}
	}
}
