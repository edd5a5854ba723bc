package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want map[string]string
		err  string
	}{
		{"", map[string]string{}, ""},
		{"# why\n\na f: never: x\n\tone\n\ttwo\n\nb\n\tthree\n", map[string]string{"a f: never: x": "one two", "b": "three"}, ""},
		{"a\nb\n\tone\n", nil, "without a reason: a"},
		{"\tone\n", nil, ":1: a reason without a mutant"},
		{"a\n\tone\na\n\ttwo\n", nil, ":3: listed twice: a"},
	} {
		file := filepath.Join(t.TempDir(), "accepted")
		write(t, file, c.text)
		got, err := readAccepted(file)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || !maps.Equal(got, c.want) {
			t.Errorf("%q: got %v, %v; want %v, %q", c.text, got, err, c.want, c.err)
		}
	}
	if got, err := readAccepted(filepath.Join(t.TempDir(), "none")); err != nil || len(got) != 0 {
		t.Errorf("no list: got %v, %v; want nothing", got, err)
	}
	if _, err := readAccepted("\x00"); err == nil {
		t.Error("a file that cannot be opened: got no error; want one")
	}
}

func TestResults(t *testing.T) {
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
	b.WriteString(`{"mutant":"a","outcome":"LI`) // the run was stopped here
	file := filepath.Join(t.TempDir(), "results")
	write(t, file, b.String())
	if got, err := readResults(file); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	f, err := os.Open(file) // to read alone
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeResult(f, want["a"]); err == nil {
		t.Error("a file that cannot be written: got no error; want one")
	}
}
