package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// proven is a table whose every row has passed. Only prove makes one, and only it
// has a document.
type proven struct {
	sections []section
	cases    int
	missing  int // rows about what is not supported
}

// prove compares the table with results, both ways.
func prove(sections []section, r *results) (proven, error) {
	problems, p := r.failures(), proven{sections: sections}
	known := map[string]bool{}
	covered := map[name]bool{}
	for _, s := range sections {
		for _, row := range s.rows {
			known[row.id] = true
			problems = append(problems, faultsOf(row)...)
			if len(row.proofs) == 0 {
				p.missing++
				continue
			}
			p.cases++
			for _, proof := range row.proofs {
				problems = append(problems, proof.holds(row.id, r, covered)...)
			}
		}
	}
	problems = append(problems, strangers(r, known, covered)...)
	return p, errors.Join(problems...)
}

// faultsOf tells of a row that a reader could not use.
func faultsOf(row row) (all []error) {
	if !isID(row.id) || row.does == "" || row.here == "" {
		all = append(all, fmt.Errorf("row %q: an id and two sentences are needed", row.id))
	}
	for _, text := range []string{row.does, row.here} {
		if strings.ContainsAny(text, "|\n") {
			all = append(all, fmt.Errorf("row %s: %q would break the table", row.id, text))
		}
	}
	return all
}

// holds tells why a proof of the row with this id is none: it matches nothing, or not
// all that it matches has passed. A function of tests with ids must be named with
// the row's own.
func (p proof) holds(id string, r *results, covered map[name]bool) (all []error) {
	selected, any := p.matcher(), false
	for _, test := range r.tests[p.importPath()] {
		if !selected(test) {
			continue
		}
		any = true
		n := name{p.importPath(), test}
		covered[n] = true
		if v := r.of[n].verdict(); v != "passed" {
			all = append(all, fmt.Errorf("row %s: %s %s %s", id, n.pkg, test, v))
		}
		if has := idOf(test); has != "" && has != id {
			all = append(all, fmt.Errorf("row %s: %s has the id %s", id, test, has))
		}
	}
	if !any {
		all = append(all, fmt.Errorf("row %s: no such test: %s", id, p.command()))
	}
	return all
}

// strangers tells of tests that have an id and that no row names.
func strangers(r *results, known map[string]bool, covered map[name]bool) (all []error) {
	for n := range r.of {
		function, _, sub := strings.Cut(n.test, "/")
		if !sub || !withIDs.MatchString(function) {
			continue
		}
		switch id := idOf(n.test); {
		case id == "":
			all = append(all, fmt.Errorf("%s %s: no id", n.pkg, n.test))
		case !known[id]:
			all = append(all, fmt.Errorf("%s %s: the id %s is not in the table", n.pkg, n.test, id))
		case !covered[n]:
			all = append(all, fmt.Errorf("%s %s: no row names it", n.pkg, n.test))
		}
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return all
}

var (
	// withIDs are the functions whose subtests have ids.
	withIDs = regexp.MustCompile(`^Test(Cases|Conformance)`)
	// ids are those of modules of the conformance suite (P, P-invalid-iss) and of
	// sentences of the list of cases (3.2; 6 is a section without numbers).
	ids = regexp.MustCompile(`^(P(-[a-z0-9-]*[a-z0-9])?|[1-9](\.[0-9]+)?)$`)
)

func isID(s string) bool { return ids.MatchString(s) }

// idOf returns the id of a test, which begins the name of its first subtest; for a
// function whose subtests have none, nothing.
func idOf(test string) string {
	function, rest, _ := strings.Cut(test, "/")
	if !withIDs.MatchString(function) {
		return ""
	}
	sub, _, _ := strings.Cut(rest, "/")
	id, _, _ := strings.Cut(sub, "_")
	if !isID(id) {
		return ""
	}
	return id
}
