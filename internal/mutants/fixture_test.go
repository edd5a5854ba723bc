package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// guard is a package below a root that uses it, and a module of its own beside it.
var guard = map[string]string{
	"go.mod": "module fixture\n\ngo 1.26.0\n",
	"root.go": `package fixture

import "fixture/internal/guard"

func Serve(name string) string {
	if err := guard.Check(name); err != nil {
		return "refused"
	}
	return "hello " + name
}
`,
	"internal/acceptance/acceptance_test.go": `package acceptance_test

import (
	"testing"

	. "fixture"
)

func TestServe(t *testing.T) {
	if got := Serve("eve"); got != "refused" {
		t.Errorf("got %q; want refused", got)
	}
	if got := Serve("ann"); got != "hello ann" {
		t.Errorf("got %q; want hello ann", got)
	}
}
`,
	"internal/guard/guard.go": `package guard

import "errors"

func Check(name string) error {
	if name == "" || len(name) > 9 {
		return errors.New("no name")
	}
	if name == "eve" {
		return errors.New("not you")
	}
	if name == "mallory" {
		return errors.New("nor you")
	}
	for n := 0; ; n++ {
		if n == len(name) {
			break
		}
	}
	if name == "panic" {
		return nil
	}
	return nil
}
`,
	"internal/guard/guard_test.go": `package guard

import "testing"

func TestCheck(t *testing.T) {
	for name, wrong := range map[string]bool{"": true, "ann": false, "mallory": false, "panic": false} {
		t.Run("called "+name, func(t *testing.T) {
			if err := Check(name); name != "mallory" && err != nil != wrong {
				t.Errorf("got %v", err)
			}
		})
	}
}
`,
	"apart/go.mod": "module apart\n\ngo 1.26.0\n",
	"apart/apart.go": `package apart

func Odd(n int) bool { return n%2 != 0 && n > 0 }
`,
	"apart/apart_test.go": `package apart

import "testing"

func TestOdd(t *testing.T) {
	done := make(chan bool)
	go func() {
		defer close(done)
		if Odd(2) {
			panic("two is odd")
		}
	}()
	<-done
	if !Odd(3) {
		t.Error("got another answer")
	}
}
`,
}

// module writes files to a directory of their own.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(root, filepath.FromSlash(name)), text)
	}
	return root
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// program runs the program on a module, with its results and its list there.
func program(t *testing.T, root string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"-root", root, "-results", filepath.Join(root, "results"), "-accepted", filepath.Join(root, "accepted")}, args...)
	status = run(args, &out, &errs)
	return status, out.String(), errs.String()
}
