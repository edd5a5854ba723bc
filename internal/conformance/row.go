package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// modulePath is the root module's; that of each other is its folder below it.
const modulePath = "github.com/gosignin/signin"

// section is a part of the table.
type section struct {
	title string
	rows  []row
}

// row is a case. One id may have several.
type row struct {
	id   string
	does string // what the provider, or an attacker, does
	here string // what happens here
	// proofs are the tests without which the row is not true. A row that has not one
	// is about something that is not supported, and says so.
	proofs []proof
}

// proof names tests: one, or all whose names begin like it.
type proof struct {
	module string // its folder, "." for the root
	pkg    string // its folder within the module, "." for the module's own
	// test is as in the code: "TestCases/3.6 userinfo". Each part but the first may
	// be the beginning of a name.
	test string
}

// in names tests of the root module's own package, by the name of their function and
// what their names begin with.
func in(function string, names ...string) (all []proof) {
	return within(".", ".", function, names...)
}

// within names tests of any package; without names, the whole function.
func within(module, pkg, function string, names ...string) (all []proof) {
	if len(names) == 0 {
		return []proof{{module, pkg, function}}
	}
	for _, n := range names {
		all = append(all, proof{module, pkg, function + "/" + n})
	}
	return all
}

func (p proof) importPath() string { return path.Join(modulePath, p.module, p.pkg) }

// pattern is what selects the tests, for the flag -run: a regular expression for each
// part of a name. What is neither letter nor digit and could mean something to
// either a shell, Markdown or a regular expression is a dot.
func (p proof) pattern() string {
	parts := strings.Split(p.test, "/")
	for i, part := range parts {
		end := ""
		switch { // an id by itself is neither P-invalid-iss nor 2.10 cut short
		case isID(part) && part[0] == 'P' || i == 0:
			end = "$"
		case isID(part):
			end = "_"
		}
		parts[i] = "^" + strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '_' // as package testing does
			case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("_-,:=;@", r):
				return r
			}
			return '.'
		}, part) + end
	}
	return strings.Join(parts, "/")
}

// command is what a reader pastes to see for themselves.
func (p proof) command() string {
	dir := ""
	if p.module != "." {
		dir = "-C " + p.module + " "
	}
	pkg := "."
	if p.pkg != "." {
		pkg = "./" + p.pkg
	}
	return "go test " + dir + pkg + " -run '" + p.pattern() + "'"
}

// matcher reports, as the flag -run does, whether a test is one of those selected.
// A subtest of one that is selected is one, too.
func (p proof) matcher() func(test string) bool {
	var parts []*regexp.Regexp
	for part := range strings.SplitSeq(p.pattern(), "/") {
		parts = append(parts, regexp.MustCompile(part))
	}
	return func(test string) bool {
		names := strings.Split(test, "/")
		if len(names) < len(parts) {
			return false // runs because something below it is selected
		}
		for i, part := range parts {
			if !part.MatchString(names[i]) {
				return false
			}
		}
		return true
	}
}

// testedModule is one whose tests the rows need, with the pattern that selects them.
type testedModule struct{ dir, pattern string }

// modulesOf returns the modules of the proofs. Of each, everything that has an id
// runs, so that one which is not in the table is found.
func modulesOf(sections []section) (all []testedModule) {
	functions := map[string][]string{}
	for _, s := range sections {
		for _, row := range s.rows {
			for _, p := range row.proofs {
				function, _, _ := strings.Cut(p.test, "/")
				functions[p.module] = append(functions[p.module], function)
			}
		}
	}
	for dir, names := range functions {
		slices.Sort(names)
		all = append(all, testedModule{dir, "^(Test(Cases|Conformance).*|" + strings.Join(slices.Compact(names), "|") + ")$"})
	}
	slices.SortFunc(all, func(a, b testedModule) int { return strings.Compare(a.dir, b.dir) })
	return all
}
