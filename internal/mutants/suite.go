package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The outcomes of a mutant.
const (
	killed   = "killed"
	timedOut = "killed by the time limit"
	lived    = "LIVED"
)

// memory is what a mutated test may take, in KiB of address space: a loop that does
// not end can fill a machine's memory before the time limit.
const memory = 6 << 20

// suite is the tests of one package, with all mutants in them.
type suite struct {
	dir     string // where the package is
	overlay string
	scratch string
	skip    string
	limit   time.Duration // 0: four times what the tests take, and 20 seconds

	once   sync.Once
	err    error
	binary string
	tests  []test // the quickest first
}

// test is one test, and the numbers of the mutants that can change its outcome.
type test struct {
	name  string
	takes time.Duration
	notes map[string]bool
}

// prepare builds the tests and runs each by itself, without a mutant.
func (s *suite) prepare(ctx context.Context) error {
	s.once.Do(func() { s.err = s.build(ctx) })
	return s.err
}

func (s *suite) build(ctx context.Context) error {
	if err := os.Mkdir(s.scratch, 0o700); err != nil {
		return err
	}
	s.binary = filepath.Join(s.scratch, "tests")
	if err := compile(ctx, s.dir, s.overlay, s.binary); err != nil {
		return err
	}
	if _, err := os.Stat(s.binary); errors.Is(err, fs.ErrNotExist) {
		return nil // no tests
	}
	skip, err := regexp.Compile(s.skip)
	if err != nil {
		return err
	}
	list := exec.CommandContext(ctx, s.binary, "-test.list=^(Test|Fuzz|Example)")
	list.Dir = s.dir
	names, err := list.Output()
	if err != nil {
		return fmt.Errorf("the tests of %s cannot be listed: %w", s.dir, err)
	}
	for name := range strings.FieldsSeq(string(names)) {
		if s.skip != "" && skip.MatchString(name) {
			continue
		}
		t := test{name: name}
		if err := s.try(ctx, &t); err != nil {
			return err
		}
		s.tests = append(s.tests, t)
	}
	slices.SortStableFunc(s.tests, func(a, b test) int { return cmp.Compare(a.takes, b.takes) })
	return nil
}

// try runs a test without a mutant, and notes which mutants could change its outcome.
func (s *suite) try(ctx context.Context, t *test) error {
	notes := filepath.Join(s.scratch, "notes of "+t.name)
	began := time.Now()
	outcome, by, err := s.run(ctx, []test{*t}, "MUTANT_NOTES="+notes)
	if err != nil {
		return err
	}
	if outcome != lived {
		return fmt.Errorf("a test of %s fails without a mutant: %s: %s %s", s.dir, t.name, outcome, by)
	}
	t.takes = time.Since(began)
	text, err := os.ReadFile(notes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	t.notes = map[string]bool{}
	for number := range strings.FieldsSeq(string(text)) {
		t.notes[number] = true
	}
	return err
}

// judge runs the tests whose outcome a mutant can change: the quickest one first,
// then twice as many each time.
func (s *suite) judge(ctx context.Context, number int) (outcome, by string, err error) {
	if err := s.prepare(ctx); err != nil {
		return "", "", err
	}
	n := strconv.Itoa(number)
	var tests []test
	for _, t := range s.tests {
		if t.notes[n] {
			tests = append(tests, t)
		}
	}
	for size := 1; len(tests) > 0; size *= 2 {
		size = min(size, len(tests))
		if outcome, by, err = s.run(ctx, tests[:size], "MUTANT="+n); err != nil || outcome != lived {
			return outcome, by, err
		}
		tests = tests[size:]
	}
	return lived, "", nil
}

// run runs tests until the first of them fails.
func (s *suite) run(ctx context.Context, tests []test, env string) (outcome, by string, err error) {
	var names []string
	limit := 20 * time.Second
	for _, t := range tests {
		names = append(names, t.name)
		if limit += 4 * t.takes; t.takes == 0 {
			limit = 10 * time.Minute // it has not been run yet
		}
	}
	if s.limit != 0 {
		limit = s.limit
	}
	inside, stop := context.WithTimeout(ctx, limit)
	defer stop()
	temp, err := os.MkdirTemp(s.scratch, "temp")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(temp) // tests that were stopped leave files behind
	run := exec.CommandContext(inside, "sh", "-c", fmt.Sprintf(`ulimit -v %d; exec "$0" "$@"`, memory),
		s.binary, "-test.failfast", "-test.v", "-test.paniconexit0", "-test.timeout=0",
		"-test.run=^("+strings.Join(names, "|")+")$")
	run.Dir = s.dir
	run.Env = append(os.Environ(), env, "TMPDIR="+temp)
	run.WaitDelay = time.Second
	out, err := run.StdoutPipe()
	run.Stderr = run.Stdout
	if err := errors.Join(err, run.Start()); err != nil {
		return "", "", err
	}
	// A process that the tests have started may keep the pipe open.
	context.AfterFunc(inside, func() { out.Close() })
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		switch what := failure(lines.Text()); {
		case by == "" && what != "":
			by = what
			// The rows of a table are named below their test, and follow at once.
			time.AfterFunc(50*time.Millisecond, stop)
		case strings.HasPrefix(what, by+"/"):
			by = what
		}
	}
	if lines.Err() != nil {
		stop()
	}
	err = run.Wait()
	switch {
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case by != "":
		return killed, by, nil
	case errors.Is(inside.Err(), context.DeadlineExceeded):
		return timedOut, limit.Round(time.Second).String(), nil
	case err != nil:
		return killed, err.Error(), nil
	default:
		return lived, "", nil
	}
}

// failure returns what a line of a test's output says has failed, or "".
func failure(line string) string {
	line = strings.TrimSpace(line)
	if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
		name, _, _ = strings.Cut(name, " (")
		return name
	}
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		return line
	}
	return ""
}
