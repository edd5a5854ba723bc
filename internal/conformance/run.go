package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

const document = "CONFORMANCE.md"

// tester runs the tests of the module in dir whose names match pattern, and
// returns what "go test -json" prints. That tests fail is no error of its own.
type tester func(dir, pattern string) ([]byte, error)

// run is the program. It returns its exit status.
func run(args []string, root string, test tester, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	check := flags.Bool("check", false, "write nothing; fail if "+document+" is not what would be written")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := conform(table, root, flags.Args(), test, *check, stdout); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// conform proves sections with the results in files, or, if there are none, with
// tests that it has run, and then writes the document or compares it.
func conform(sections []section, root string, files []string, test tester, check bool, stdout io.Writer) error {
	outputs, err := outputsOf(sections, root, files, test)
	if err != nil {
		return err
	}
	r := newResults()
	for _, out := range outputs {
		if err := r.read(bytes.NewReader(out.text)); err != nil {
			return fmt.Errorf("%s: %w", out.from, err)
		}
	}
	proven, err := prove(sections, r)
	if err != nil {
		return err
	}
	text, path := proven.document(), filepath.Join(root, document)
	if check {
		if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, text) {
			return errors.Join(err, fmt.Errorf("%s is not what the table and the tests say; write it anew: go run ./internal/conformance", document))
		}
	} else if err := os.WriteFile(path, text, 0o666); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %s\n", document, proven.summary())
	return nil
}

// output is what "go test -json" has printed.
type output struct {
	from string
	text []byte
}

func outputsOf(sections []section, root string, files []string, test tester) (all []output, err error) {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, output{file, text})
	}
	if len(files) > 0 {
		return all, nil
	}
	for _, m := range modulesOf(sections) {
		text, err := test(filepath.Join(root, m.dir), m.pattern)
		if err != nil {
			return nil, fmt.Errorf("go test in %s: %w", m.dir, err)
		}
		all = append(all, output{m.dir, text})
	}
	return all, nil
}

// goTest is the tester that really runs them. Go's cache of test results serves it,
// too: it holds only what has passed, of this very code.
func goTest(dir, pattern string) ([]byte, error) {
	cmd := exec.Command("go", "test", "-json", "-run", pattern, "./...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if _, ended := errors.AsType[*exec.ExitError](err); ended && len(out) > 0 {
		err = nil // the results say what has failed
	}
	return out, err
}
