package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// support is a file that is added to a mutated package. Its two functions are given
// the number of a mutant and its condition. If MUTANT_NOTES is set, they note there
// each mutant that would have changed its condition: others need not be run.
const support = `package %s

import (
	"os"
	"strconv"
	"sync"
)

var mutantNumber, _ = strconv.Atoi(os.Getenv("MUTANT"))

var mutantNotes = os.Getenv("MUTANT_NOTES")

var (
	mutantMutex sync.Mutex
	mutantNoted = map[int]bool{}
)

func mutantOff(n int, cond bool) bool {
	if cond && mutantNotes != "" {
		mutantNote(n)
	}
	return cond && n != mutantNumber
}

func mutantOn(n int, cond bool) bool {
	if !cond && mutantNotes != "" {
		mutantNote(n)
	}
	return cond || n == mutantNumber
}

func mutantNote(n int) {
	mutantMutex.Lock()
	defer mutantMutex.Unlock()
	if mutantNoted[n] {
		return
	}
	mutantNoted[n] = true
	f, err := os.OpenFile(mutantNotes, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteString(strconv.Itoa(n) + "\n"); err != nil {
		panic(err)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
}

var _, _ = mutantOff, mutantOn
`

// overlay writes the mutated files to a directory and returns the file that go
// test -overlay takes.
func overlay(dir string, sources []*source) (string, error) {
	replace := map[string]string{}
	var err error
	write := func(name string, text []byte) {
		file := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		replace[name] = file
		err = errors.Join(err, os.WriteFile(file, text, 0o600))
	}
	for _, s := range sources {
		if len(s.mutants) == 0 {
			continue
		}
		beside := filepath.Join(filepath.Dir(s.path), "mutants_support.go")
		if replace[beside] == "" {
			write(beside, fmt.Appendf(nil, support, s.pkg))
		}
		write(s.path, s.mutated())
	}
	text, failed := json.Marshal(map[string]any{"Replace": replace})
	file := filepath.Join(dir, "overlay.json")
	return file, errors.Join(err, failed, os.WriteFile(file, text, 0o600))
}

// compile builds the tests of the package in dir. A package without tests gives no
// file.
func compile(ctx context.Context, dir, overlay, binary string) error {
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the mutants of %s were not built: %w\n%s", dir, err, out)
	}
	return nil
}
