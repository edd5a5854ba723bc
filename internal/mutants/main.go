// Mutants shows which checks the tests would miss. It weakens the package's own
// code, one condition at a time, and runs the tests against each: a mutant that
// lives is a check that could be lost without anybody noticing.
//
//	go run ./internal/mutants                          # everything that judges outside input
//	go run ./internal/mutants internal/seal .          # two packages, . is the root
//	go run ./internal/mutants -list -run 'idtoken.go'  # what there is, and nothing is run
//
// # What is weakened
//
//   - An if whose body rejects, so that it never does. A body rejects if it ends
//     in return, continue, break, goto or panic, or sets an error or a false. If
//     it is the else that rejects, the condition is taken as true.
//   - In such a condition, each operand of an "or" is taken away by itself.
//   - Where a condition allows, which is where the body does not reject or ends in
//     a return of nil or true, each operand of an "and" is taken as true. Under a
//     "not" the two change places.
//   - Each case of a switch whose body rejects, and its default.
//   - Each operand of an "and" or "or" that is returned, passed or assigned.
//
// Loops' own conditions are left alone, and a default that is a function's last
// word, unless it is a plain return of false. So is what is no condition at all:
// a bound that is one too high, or a call left out, is for other eyes.
//
// # How
//
// All mutants of a package are built into one binary, through go test -overlay:
// the working tree is not touched, and nothing is copied. Each condition becomes a
// call that knows its number, and the environment says which is at work. It is
// tempting to build each mutant by itself: that takes a second or two each, and a
// condition replaced by false leaves variables unused.
//
// A mutant meets the tests of its own package first and, if it lives and no list
// says that it may, those of internal/acceptance; those of another module
// (redisstore) meet their own only. Before that, each test runs by itself without a mutant, and it is
// noted which conditions had a value that a mutant would change: only these tests
// can tell the difference, and no others are run, the quickest first. Tests that
// count allocations are left out, since the calls cost some; so should tests be
// that a busy machine can fail (-skip), or it kills mutants.
//
// It needs a Unix shell (each run may take 6 GiB of address space and no more).
//
// # What it says
//
// One line for each: where, what was done, and the first test that failed, or that
// it lived. The status is 1 if one lives that accepted.txt does not list, or if
// that lists one that is not there any more. Each result is also written to a file
// at once, and a later run with the same file goes on from there: what was killed
// is not run again until its file changes, what lived until any test does.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
