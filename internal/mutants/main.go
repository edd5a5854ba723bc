// Mutants shows which checks the tests would miss. It weakens the code of a package,
// one condition at a time, and runs the tests against each mutant: one that lives is
// a check that could be lost without a failing test.
//
//	go run ./internal/mutants                          # all packages that judge outside input
//	go run ./internal/mutants internal/seal .          # two packages; . is the root
//	go run ./internal/mutants -list -run 'idtoken.go'  # list mutants without running them
//
// # What is weakened
//
//   - An if whose body rejects is taken as false. A body rejects if it ends in
//     return, continue, break, goto or panic, or sets an error or a false. If its
//     else rejects, the condition is taken as true.
//   - In such a condition, each operand of an "or" is taken as false.
//   - Where a condition allows, because the body does not reject or ends in a
//     return of nil or true, each operand of an "and" is taken as true. Below a
//     "not" the two change places.
//   - Each case of a switch whose body rejects is taken away, and so is a default
//     that rejects.
//   - Each operand of an "and" or "or" that is returned, passed or assigned.
//
// Conditions of loops are left alone, and so is a default that ends its function,
// unless it is a plain return of false. Other mistakes, such as a bound that is one
// too high or a missing call, are outside what this program does.
//
// # How
//
// All mutants of a package are built into one binary, through go test -overlay:
// the working tree is not touched, and nothing is copied. Each condition becomes a
// call with the mutant's number, and an environment variable says which mutant is at
// work. It is tempting to build each mutant by itself: that takes a second or two
// each, and a condition replaced by false leaves variables unused.
//
// A mutant meets the tests of its package first and, if it lives and is not listed
// as accepted, those of internal/acceptance; those of another module (redisstore)
// meet their own tests only. Before that, each test runs by itself without a
// mutant, and the program notes which conditions had a value that a mutant would
// change: only these tests are run with that mutant, the quickest first. Tests that
// count allocations are left out, since the calls allocate; so should be tests that
// fail on a busy machine (-skip), since they would kill mutants by accident.
//
// It needs a Unix shell: each run is limited to 6 GiB of address space.
//
// # What it prints
//
// For each mutant: where it is, what it changes, and the first test that failed, or
// that it lived. The status is 1 if a mutant lives that accepted.txt does not list,
// or if accepted.txt lists one that does not exist any more. Each result is also
// written to a file at once, and a later run with the same file goes on from there:
// a killed mutant is run again when its file changes, one that lived when any test
// does.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
