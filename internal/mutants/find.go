package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one way to weaken one check.
type mutant struct {
	number int
	// key is its name: the file, the function, what is done, and the condition's
	// text. It has no line, so changes elsewhere in the file do not change it.
	key  string
	file string // below the root, with slashes
	dir  string
	line int
}

func (m mutant) position() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

// What is done to a condition, or to an operand of one.
const (
	never  = "never"  // it is taken as false
	always = "always" // it is taken as true
)

// source is one file, its mutants, and the edits that put them into it.
type source struct {
	path  string // on disk
	text  []byte
	edits []edit

	name    string // below the root, with slashes
	pkg     string
	fset    *token.FileSet
	within  string // the function that is being read
	seen    map[string]int
	next    *int // the number of the next mutant, of all files
	mutants []mutant
	taken   map[ast.Expr]bool // operations whose mutants have been made
	middle  map[ast.Stmt]bool // statements that are not the last of their list
}

// edit is text to insert. Edits at one place stay in their order.
type edit struct {
	at   int
	text string
}

// find reads the files of a package, without its tests.
func find(root, dir string, next *int) ([]*source, error) {
	names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		return nil, err
	}
	var sources []*source
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		s, err := parse(name, path.Join(dir, filepath.Base(name)), next)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("no Go files in %s", dir)
	}
	return sources, nil
}

func parse(file, name string, next *int) (*source, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &source{
		path: file, text: text, name: name, next: next,
		fset: token.NewFileSet(), seen: map[string]int{}, taken: map[ast.Expr]bool{}, middle: map[ast.Stmt]bool{},
	}
	tree, err := parser.ParseFile(s.fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	s.pkg = tree.Name.Name
	for _, decl := range tree.Decls {
		s.within = "package"
		switch d := decl.(type) {
		case *ast.FuncDecl:
			s.within = nameOf(d)
		case *ast.GenDecl:
			if d.Tok == token.CONST { // a constant calls no function
				continue
			}
		}
		ast.Inspect(decl, s.visit)
	}
	slices.SortStableFunc(s.edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	return s, nil
}

// mutated returns the file with all of its mutants in it. Lines keep their numbers.
func (s *source) mutated() []byte {
	var b bytes.Buffer
	at := 0
	for _, e := range s.edits {
		b.Write(s.text[at:e.at])
		b.WriteString(e.text)
		at = e.at
	}
	b.Write(s.text[at:])
	return b.Bytes()
}

func (s *source) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BlockStmt:
		s.list(n.List)
	case *ast.CaseClause:
		s.list(n.Body)
	case *ast.CommClause:
		s.list(n.Body)
	case *ast.IfStmt:
		s.ifStmt(n)
	case *ast.SwitchStmt:
		s.switchStmt(n)
	case *ast.TypeSwitchStmt:
		for _, c := range n.Body.List {
			if c := c.(*ast.CaseClause); rejects(c.Body) && s.middle[n] {
				s.body(c, s.words(n.Assign.Pos(), n.Assign.End()))
			}
		}
	case *ast.ForStmt:
		s.skip(n.Cond) // a loop that does not end shows nothing about tests
	case *ast.BinaryExpr:
		s.terms(n, loosening{off: true, on: true})
	}
	return true
}

func (s *source) list(list []ast.Stmt) {
	for i := range len(list) - 1 {
		s.middle[list[i]] = true
	}
}

func (s *source) ifStmt(n *ast.IfStmt) {
	if rejects(n.Body.List) {
		s.wrap(never, n.Cond, func() { s.terms(n.Cond, loosening{off: true, on: allows(n.Body.List)}) })
		return
	}
	terms := func() { s.terms(n.Cond, loosening{on: true}) }
	if other, ok := n.Else.(*ast.BlockStmt); ok && rejects(other.List) {
		s.wrap(always, n.Cond, terms)
		return
	}
	terms()
}

func (s *source) switchStmt(n *ast.SwitchStmt) {
	tag := s.tag(n)
	for _, c := range n.Body.List {
		c := c.(*ast.CaseClause)
		if c.List == nil && rejects(c.Body) {
			s.otherwise(n, c)
		}
		for _, e := range c.List {
			inner := func() { s.terms(e, loosening{off: rejects(c.Body), on: !rejects(c.Body) || allows(c.Body)}) }
			if tag != "" {
				inner = func() {
					s.insert(e.Pos(), tag+" == (")
					s.insert(e.End(), ")")
				}
			}
			if rejects(c.Body) {
				s.wrap(never, e, inner)
			} else {
				inner()
			}
		}
	}
}

// tag makes a switch over a value one over conditions, and returns the name of
// the value: a constant in a case cannot be weakened, and a condition can.
func (s *source) tag(n *ast.SwitchStmt) string {
	switch {
	case n.Tag == nil:
		return ""
	case n.Init == nil:
		s.insert(n.Tag.Pos(), "mutantTag := ")
		s.insert(n.Tag.End(), "; true")
		return "mutantTag"
	default: // the statement before the tag declares a variable
		tag := s.words(n.Tag.Pos(), n.Tag.End())
		s.insert(n.Tag.End(), " == "+tag)
		return tag
	}
}

// otherwise weakens the default of a switch. At the end of a function this must stay
// a return, so there only a plain "return false" is weakened.
func (s *source) otherwise(n *ast.SwitchStmt, c *ast.CaseClause) {
	if r, ok := c.Body[0].(*ast.ReturnStmt); ok && len(r.Results) == 1 && isIdent(r.Results[0], "false") {
		s.wrap(always, r.Results[0], func() {})
		return
	}
	if s.middle[n] {
		s.body(c, "a switch")
	}
}

// body makes a clause do nothing.
func (s *source) body(c *ast.CaseClause, of string) {
	what := s.words(c.Case, c.Colon) + " of " + of
	s.insert(c.Colon+1, fmt.Sprintf(" if mutantOff(%d, true) {", s.add(never, what, c.Case)))
	s.insert(c.Body[len(c.Body)-1].End(), " }")
}

// loosening says which operands are weakened: those of an "or" are taken as false
// (off), those of an "and" as true (on).
type loosening struct{ off, on bool }

// terms weakens a condition operand by operand.
func (s *source) terms(e ast.Expr, l loosening) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		s.terms(e.X, l)
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			s.terms(e.X, loosening{off: l.on, on: l.off})
		}
	case *ast.BinaryExpr:
		if s.taken[e] || e.Op != token.LOR && e.Op != token.LAND {
			return
		}
		for _, operand := range s.operands(e, e.Op) {
			inner := func() { s.terms(operand, l) }
			switch {
			case e.Op == token.LOR && l.off:
				s.wrap(never, operand, inner)
			case e.Op == token.LAND && l.on:
				s.wrap(always, operand, inner)
			default:
				inner()
			}
		}
	}
}

// operands returns a, b and c of a && b && c.
func (s *source) operands(e ast.Expr, op token.Token) []ast.Expr {
	b, ok := e.(*ast.BinaryExpr)
	if !ok || b.Op != op {
		return []ast.Expr{e}
	}
	s.taken[b] = true
	return append(s.operands(b.X, op), s.operands(b.Y, op)...)
}

// skip leaves the operations of a condition alone.
func (s *source) skip(cond ast.Expr) {
	switch e := cond.(type) {
	case *ast.ParenExpr:
		s.skip(e.X)
	case *ast.UnaryExpr:
		s.skip(e.X)
	case *ast.BinaryExpr:
		s.taken[e] = true
		s.skip(e.X)
		s.skip(e.Y)
	}
}

func (s *source) wrap(verb string, e ast.Expr, inner func()) {
	call := map[string]string{never: "mutantOff", always: "mutantOn"}[verb]
	s.insert(e.Pos(), fmt.Sprintf("%s(%d, ", call, s.add(verb, s.words(e.Pos(), e.End()), e.Pos())))
	inner()
	s.insert(e.End(), ")")
}

func (s *source) insert(at token.Pos, text string) {
	s.edits = append(s.edits, edit{s.fset.Position(at).Offset, text})
}

// words is the text between two places, on one line.
func (s *source) words(from, to token.Pos) string {
	text := s.text[s.fset.Position(from).Offset:s.fset.Position(to).Offset]
	return strings.Join(strings.Fields(string(text)), " ")
}

func (s *source) add(verb, what string, at token.Pos) int {
	key := fmt.Sprintf("%s %s: %s: %s", s.name, s.within, verb, what)
	s.seen[key]++
	if n := s.seen[key]; n > 1 {
		key = fmt.Sprintf("%s #%d", key, n)
	}
	*s.next++
	s.mutants = append(s.mutants, mutant{
		number: *s.next, key: key, file: s.name, dir: path.Dir(s.name), line: s.fset.Position(at).Line,
	})
	return *s.next
}

// rejects reports whether statements reject something: they end in a jump, a return
// or a panic, or set an error or a false.
func rejects(body []ast.Stmt) bool {
	if len(body) == 0 {
		return false
	}
	switch last := body[len(body)-1].(type) {
	case *ast.ReturnStmt:
		return true
	case *ast.BranchStmt:
		return last.Tok != token.FALLTHROUGH
	case *ast.ExprStmt:
		if call, ok := last.X.(*ast.CallExpr); ok && isIdent(call.Fun, "panic") {
			return true
		}
	}
	return slices.ContainsFunc(body, func(stmt ast.Stmt) bool {
		a, ok := stmt.(*ast.AssignStmt)
		return ok && (slices.ContainsFunc(a.Lhs, isError) ||
			slices.ContainsFunc(a.Rhs, func(e ast.Expr) bool { return isIdent(e, "false") }))
	})
}

// allows reports whether statements that reject end in a return of nil or true: then
// each operand that leads there is a check as well.
func allows(body []ast.Stmt) bool {
	r, ok := body[len(body)-1].(*ast.ReturnStmt)
	if !ok || len(r.Results) == 0 {
		return false
	}
	last := r.Results[len(r.Results)-1]
	return isIdent(last, "nil") || isIdent(last, "true")
}

func isError(e ast.Expr) bool {
	if field, ok := e.(*ast.SelectorExpr); ok {
		e = field.Sel
	}
	id, ok := e.(*ast.Ident)
	return ok && (id.Name == "cause" || strings.HasSuffix(strings.ToLower(id.Name), "err"))
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// nameOf returns a function's name, after its receiver's.
func nameOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	for {
		switch t := receiver.(type) {
		case *ast.StarExpr:
			receiver = t.X
		case *ast.IndexExpr:
			receiver = t.X
		case *ast.IndexListExpr:
			receiver = t.X
		case *ast.Ident:
			return t.Name + "." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}
