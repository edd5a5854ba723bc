package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// result is the outcome of a mutant: one line of the file of results.
type result struct {
	Mutant  string `json:"mutant"`
	Outcome string `json:"outcome"`
	By      string `json:"by,omitempty"`
	// Of is a digest of the files that the result depends on: for a mutant that
	// was killed its own file, for one that lived all tests as well.
	Of string `json:"of"`
}

// readResults reads the results of an earlier run. The last line is cut off if that
// run was stopped.
func readResults(file string) (map[string]result, error) {
	known := map[string]result{}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	for line := range strings.Lines(string(text)) {
		var r result
		if json.Unmarshal([]byte(line), &r) == nil {
			known[r.Mutant] = r
		}
	}
	return known, err
}

// writeResult appends a result on a new line, even if the line before was cut off.
func writeResult(w io.Writer, r result) error {
	line, err := json.Marshal(r)
	_, failed := fmt.Fprintf(w, "\n%s\n", line)
	return errors.Join(err, failed)
}

// digest returns a digest of the contents of files, and of the Go files in directories.
func digest(paths ...string) (string, error) {
	sum := sha256.New()
	for _, path := range paths {
		files := []string{path}
		if filepath.Ext(path) != ".go" {
			var err error
			if files, err = filepath.Glob(filepath.Join(path, "*.go")); err != nil {
				return "", err
			}
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(sum, "%d\n%s", len(text), text)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// readAccepted reads the list of the mutants that may live: each has a line, and
// below it the reason, indented. Lines that begin with # are comments.
func readAccepted(file string) (map[string]string, error) {
	accepted := map[string]string{}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return accepted, nil
	}
	key, n := "", 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		reason, indented := strings.CutPrefix(line, "\t")
		_, twice := accepted[line]
		switch {
		case line == "" || line[0] == '#':
		case indented && key == "":
			return nil, fmt.Errorf("%s:%d: a reason without a mutant", file, n)
		case indented:
			accepted[key] = strings.TrimSpace(accepted[key] + " " + reason)
		case twice:
			return nil, fmt.Errorf("%s:%d: listed twice: %s", file, n, line)
		default:
			key = line
			accepted[key] = ""
		}
	}
	for key, reason := range accepted {
		if reason == "" {
			return nil, fmt.Errorf("%s: without a reason: %s", file, key)
		}
	}
	return accepted, err
}
