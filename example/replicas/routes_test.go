package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"testing"
)

// The one program is there to be read, and the other is the same application.
func TestRoutesAndScopesAreThoseOfTheExample(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"scopes", "routes"} {
		here, there := source(t, "main.go", function), source(t, "../main.go", function)
		if here != there {
			t.Errorf("%s: got\n%s\nwant, from the example\n%s", function, here, there)
		}
	}
}

// source returns what a function does, to the byte.
func source(t *testing.T, file, function string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == function {
			return string(text[files.Position(f.Body.Pos()).Offset:files.Position(f.Body.End()).Offset])
		}
	}
	t.Fatalf("%s has no function %s", file, function)
	return ""
}
