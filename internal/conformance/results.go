package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is a line of "go test -json". https://pkg.go.dev/cmd/test2json
type event struct {
	Action     string
	Package    string
	ImportPath string // of what does not build
	Test       string
	Output     string
}

// name is a test of a package, or with an empty test the package itself.
type name struct{ pkg, test string }

// result is what has come of a test. One test may have run several times; then the
// worst counts.
type result struct {
	passed, failed, skipped int
	running                 int // begun, and not ended yet
	output                  strings.Builder
}

func (r *result) verdict() string {
	switch {
	case r.failed > 0:
		return "failed"
	case r.running > 0:
		return "did not finish"
	case r.skipped > 0:
		return "was skipped"
	}
	return "passed"
}

// results are those of every test in the outputs that were read.
type results struct {
	of    map[name]*result
	tests map[string][]string // of a package, in the order in which they began
}

func newResults() *results {
	return &results{of: make(map[name]*result), tests: make(map[string][]string)}
}

func (r *results) at(n name) *result {
	if r.of[n] == nil {
		r.of[n] = new(result)
		if n.test != "" {
			r.tests[n.pkg] = append(r.tests[n.pkg], n.test)
		}
	}
	return r.of[n]
}

// read adds what one run of "go test -json" has printed. Lines that are none of its
// own are refused: results that somebody has printed by hand are none.
func (r *results) read(in io.Reader) error {
	lines := json.NewDecoder(in)
	for n := 0; ; n++ {
		var e event
		err := lines.Decode(&e)
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return errors.New("no results")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d lines of go test -json: %w", n, err)
		}
		r.add(e)
	}
}

func (r *results) add(e event) {
	if e.Package == "" {
		e.Package = e.ImportPath
	}
	at := r.at(name{e.Package, e.Test})
	switch e.Action {
	case "start", "run":
		at.running++
	case "pass":
		at.passed++
		at.running--
	case "fail":
		at.failed++
		at.running--
	case "skip":
		at.skipped++
		at.running--
	case "build-fail":
		at.failed++
	case "output", "build-output":
		at.output.WriteString(e.Output)
	}
}

// failures tells of every test and package that has failed or not finished, with
// what it has printed.
func (r *results) failures() (all []error) {
	for n, res := range r.of {
		if v := res.verdict(); v == "failed" || v == "did not finish" {
			all = append(all, fmt.Errorf("%s %s %s\n%s", n.pkg, n.test, v, &res.output))
		}
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return all
}
