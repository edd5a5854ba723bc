package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// judging are the packages that decide something about outside input. The root
// takes longest, and is the last.
const judging = `
internal/document internal/jwt internal/provider internal/tokens internal/bearer internal/returnto internal/seal internal/cookie
internal/authflow internal/session internal/sessionstore internal/settings internal/sharedstate internal/refresh internal/lifecycle
internal/requestkind internal/page internal/testuser redisstore .`

type options struct {
	root, results, accepted, skip string
	list, own                     bool
	only                          *regexp.Regexp
	workers                       int
	limit                         time.Duration
	packages                      []string
}

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseArgs(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	fine, err := o.mutate(ctx, stdout)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "mutants:", err)
		return 2
	case !fine:
		return 1
	default:
		return 0
	}
}

func parseArgs(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.root, "root", ".", "the `directory` of the module")
	flags.StringVar(&o.results, "results", filepath.Join(os.TempDir(), "mutants.jsonl"), "the `file` to write results to and to go on from")
	flags.StringVar(&o.accepted, "accepted", "", "the `file` that lists mutants that may live (default internal/mutants/accepted.txt)")
	flags.StringVar(&o.skip, "skip", "Budget|Alloc|CostsNothing", "a `regexp` of tests to leave out")
	flags.BoolVar(&o.list, "list", false, "print the mutants and run nothing")
	flags.BoolVar(&o.own, "own", false, "let mutants meet the tests of their own package only")
	flags.IntVar(&o.workers, "j", 1, "how many mutants to run at a time")
	flags.DurationVar(&o.limit, "limit", 0, "the `time` that tests may take with a mutant (default 20s and four times what they take without)")
	flags.Func("run", "a `regexp` of the mutants to run", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.workers < 1 {
		err := errors.New("-j must be 1 or more")
		fmt.Fprintln(stderr, "mutants:", err)
		return o, err
	}
	o.packages = flags.Args()
	if len(o.packages) == 0 {
		o.packages = strings.Fields(judging)
	}
	for i, dir := range o.packages {
		o.packages[i] = path.Clean(filepath.ToSlash(dir))
	}
	var err error
	if o.root, err = filepath.Abs(o.root); err != nil {
		return o, err
	}
	if o.accepted == "" {
		o.accepted = filepath.Join(o.root, "internal", "mutants", "accepted.txt")
	}
	return o, nil
}

// mutate does what was asked for, and reports whether each mutant was killed or is
// accepted.
func (o options) mutate(ctx context.Context, stdout io.Writer) (bool, error) {
	var sources []*source
	number := 0
	for _, dir := range o.packages {
		found, err := find(o.root, dir, &number)
		if err != nil {
			return false, err
		}
		sources = append(sources, found...)
	}
	all, chosen := map[string]bool{}, []mutant{}
	for _, s := range sources {
		for _, m := range s.mutants {
			all[m.key] = true
			if o.only == nil || o.only.MatchString(m.key) {
				chosen = append(chosen, m)
			}
		}
	}
	if o.list {
		for _, m := range chosen {
			fmt.Fprintf(stdout, "%d: %s\n", m.line, m.key)
		}
		return true, nil
	}
	accepted, err := readAccepted(o.accepted)
	if err != nil {
		return false, err
	}
	results, err := o.outcomes(ctx, sources, chosen, accepted, stdout)
	if err != nil {
		return false, err
	}
	bad := report(stdout, o.packages, chosen, results, accepted)
	for _, key := range slices.Sorted(maps.Keys(accepted)) {
		file, _, _ := strings.Cut(key, " ")
		if slices.Contains(o.packages, path.Dir(file)) && !all[key] {
			fmt.Fprintln(stdout, "listed, but not there:", key)
			bad++
		}
	}
	return bad == 0, nil
}

// outcomes runs the chosen mutants whose results are not known yet.
func (o options) outcomes(ctx context.Context, sources []*source, chosen []mutant, accepted map[string]string, stdout io.Writer) (map[string]result, error) {
	known, err := readResults(o.results)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(o.results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	scratch, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	suites, err := o.suites(scratch, sources)
	if err != nil {
		return nil, err
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	results := map[string]result{}
	var mu sync.Mutex
	var workers sync.WaitGroup
	queue := make(chan mutant)
	for range o.workers {
		workers.Go(func() {
			for m := range queue {
				r, news, err := o.judge(ctx, suites, m, known, accepted[m.key] != "")
				if err != nil {
					stop(err)
					continue
				}
				mu.Lock()
				results[m.key] = r
				if news {
					say(stdout, m, r, accepted[m.key])
					err = writeResult(file, r)
				}
				mu.Unlock()
				if err != nil {
					stop(err)
				}
			}
		})
	}
	for _, m := range chosen {
		if ctx.Err() == nil {
			queue <- m
		}
	}
	close(queue)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return results, nil
}

// suites are the tests that each package's mutants meet, in order.
func (o options) suites(scratch string, sources []*source) (map[string][]*suite, error) {
	over, err := overlay(scratch, sources)
	if err != nil {
		return nil, err
	}
	one := func(dir string) *suite {
		return &suite{
			dir: filepath.Join(o.root, filepath.FromSlash(dir)), overlay: over,
			scratch: filepath.Join(scratch, "tests of "+strings.ReplaceAll(dir, "/", " ")), skip: o.skip, limit: o.limit,
		}
	}
	suites, outside := map[string][]*suite{}, one(acceptance)
	for _, dir := range o.packages {
		own := one(dir)
		suites[dir] = []*suite{own, outside}
		if dir == "." {
			continue
		}
		if _, err := os.Stat(filepath.Join(own.dir, "go.mod")); err == nil {
			suites[dir] = []*suite{own}
		}
	}
	return suites, nil
}

// judge returns the result of one mutant. news is false if it was known.
func (o options) judge(ctx context.Context, suites map[string][]*suite, m mutant, known map[string]result, listed bool) (r result, news bool, err error) {
	file := filepath.Join(o.root, filepath.FromSlash(m.file))
	own, err := digest(file)
	all, failed := digest(file, filepath.Dir(file), filepath.Join(o.root, acceptance))
	if err := errors.Join(err, failed); err != nil {
		return r, false, err
	}
	r, was := known[m.key]
	few := o.own || listed
	if was && (r.Of == own && r.Outcome != lived || r.Of == all || r.Of == all+ofOwn && few) {
		return r, false, nil
	}
	r = result{Mutant: m.key, Outcome: lived, Of: all}
	for _, s := range suites[m.dir] {
		r.Outcome, r.By, err = s.judge(ctx, m.number)
		if err != nil {
			return r, false, err
		}
		if r.Outcome != lived {
			r.Of = own
			return r, true, nil
		}
		if few {
			r.Of += ofOwn
			break
		}
	}
	return r, true, nil
}

// acceptance has the black-box tests of the whole.
const acceptance = "internal/acceptance"

// ofOwn marks a mutant that lived, and has not met those tests.
const ofOwn = ", its own tests only"

func say(w io.Writer, m mutant, r result, reason string) {
	_, what, _ := strings.Cut(m.key, " ")
	by := r.By
	if r.Outcome == lived && reason != "" {
		by = "accepted: " + reason
	}
	fmt.Fprintf(w, "%s: %s\n\t%s\n", m.position(), what, strings.TrimSpace(r.Outcome+" "+by))
}

// report prints figures and what lives, and returns how many mutants live that are
// not accepted.
func report(w io.Writer, packages []string, chosen []mutant, results map[string]result, accepted map[string]string) int {
	type figures struct{ mutants, killed, timedOut, accepted, lived int }
	var total figures
	each := map[string]*figures{}
	for _, dir := range packages {
		each[dir] = &figures{}
	}
	for _, m := range chosen {
		r, reason := results[m.key], accepted[m.key]
		for _, f := range []*figures{each[m.dir], &total} {
			f.mutants++
			switch {
			case r.Outcome == killed:
				f.killed++
			case r.Outcome == timedOut:
				f.timedOut++
			case reason != "":
				f.accepted++
			default:
				f.lived++
			}
		}
		if r.Outcome == lived && reason == "" {
			fmt.Fprintf(w, "lives: %s (line %d)\n", m.key, m.line)
		}
		if r.Outcome != lived && reason != "" {
			fmt.Fprintf(w, "listed, but %s: %s\n", r.Outcome, m.key)
		}
	}
	line := func(name string, f figures) {
		fmt.Fprintf(w, "%-24s %4d mutants, %4d killed, %2d by the time limit, %2d accepted, %2d live\n",
			name, f.mutants, f.killed, f.timedOut, f.accepted, f.lived)
	}
	for _, dir := range packages {
		line(dir, *each[dir])
	}
	line("all", total)
	return total.lived
}
