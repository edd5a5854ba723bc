package acceptance_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// top is where the README is.
var top = filepath.FromSlash("../..")

// pages returns the texts that people read, by their paths from the top.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", ".github/*.md"} {
		files, err := filepath.Glob(filepath.Join(top, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(top, file)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.ToSlash(name)] = string(text)
		}
	}
	return all
}

var (
	link    = regexp.MustCompile(`\[[^\]\n]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
	block   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	code    = regexp.MustCompile("(?ms)^ *```.*?^ *```|``.*?``|`[^`\n]*`")
)

// TestDocs_Links checks that each link to a file, and each to a heading, leads there.
func TestDocs_Links(t *testing.T) {
	t.Parallel()
	all, checked := pages(t), 0
	for page, text := range all {
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(text, "code"), -1) {
			target, anchor, _ := strings.Cut(l[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			checked++
			to := page
			if target != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(page), filepath.FromSlash(target)))
			}
			if _, err := os.Stat(filepath.Join(top, filepath.FromSlash(to))); err != nil {
				t.Errorf("%s: %s leads to no file", page, l[0])
			} else if anchor != "" && !slices.Contains(anchors(all[to]), anchor) {
				t.Errorf("%s: %s leads to no heading of %s, which has %q", page, l[0], to, anchors(all[to]))
			}
		}
	}
	if len(all) < 9 || checked < 60 {
		t.Errorf("got %d links on %d pages; want at least 60 on 9", checked, len(all))
	}
}

// anchors returns what GitHub calls the headings of a page: letters in lower case,
// without punctuation, with hyphens for spaces, and numbered from the second of a name.
func anchors(page string) (all []string) {
	seen := map[string]int{}
	for _, h := range heading.FindAllStringSubmatch(block.ReplaceAllString(page, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(h[1]))
		if n := seen[name]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", name, n))
		} else {
			all = append(all, name)
		}
		seen[name]++
	}
	return all
}

// TestDocs_Names checks that what the pages call by its name in the code has that name:
// signin.HasRole, auth.Load, Config.Keys, signintest.Start.
func TestDocs_Names(t *testing.T) {
	t.Parallel()
	known, checked := map[string]bool{}, 0
	for _, dir := range []string{"", "signintest", "redisstore"} {
		maps.Copy(known, exported(t, filepath.Join(top, dir)))
	}
	mention := regexp.MustCompile(`(?:^|[^.\w])(signin|signintest|redisstore|auth|cfg|Auth|Config|ProviderConfig|Paths)\.([A-Z]\w*)`)
	owner := map[string]string{"auth": "Auth", "cfg": "Config"}
	for page, text := range pages(t) {
		for _, m := range mention.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[2], "Test") { // of a room; TestSecurity looks for it
				continue
			}
			checked++
			of := m[1]
			if name := owner[of]; name != "" {
				of = name
			}
			if !known[of+"."+m[2]] {
				t.Errorf("%s: the code has no %s.%s", page, of, m[2])
			}
		}
	}
	if checked < 200 {
		t.Errorf("got %d names; want at least 200", checked)
	}
}

// exported returns the exported names of a package: of its top level after the
// package's name, of fields and methods after their type's.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: got %d files, %v; want some", dir, len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			declared(d, file.Name.Name, names)
		}
	}
	return names
}

// declared adds the names of a declaration.
func declared(d ast.Decl, of string, names map[string]bool) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil {
			receiver := d.Recv.List[0].Type
			if star, is := receiver.(*ast.StarExpr); is {
				receiver = star.X
			}
			of = fmt.Sprint(receiver)
		}
		names[of+"."+d.Name.Name] = true
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					names[of+"."+n.Name] = true
				}
			case *ast.TypeSpec:
				names[of+"."+s.Name.Name] = true
				if fields, is := s.Type.(*ast.StructType); is {
					for _, f := range fields.Fields.List {
						for _, n := range f.Names {
							names[s.Name.Name+"."+n.Name] = true
						}
					}
				}
			}
		}
	}
}
