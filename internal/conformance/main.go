// Command conformance writes CONFORMANCE.md, the table of the cases that this
// project is tested on, and proves it: a row says that it passed only if each
// test it names has just run and passed.
//
// Run in the root of the repository it runs the tests of the rows itself, those of
// other modules too, and writes the document:
//
//	go run ./internal/conformance
//
// Given what "go test -json" has printed, of one module or of several, it runs
// none; with -check it writes nothing, and fails if the document in the tree is not
// what it would write:
//
//	go test -json ./... >root.json
//	go run ./internal/conformance -check root.json redisstore.json
//
// A test that a row names and that does not exist, was skipped, has failed or has
// not finished, and a name that matches nothing, fail the program; so does a subtest
// of TestCases… or TestConformance… whose id is not in the table. So do failures of
// other tests in the files it is given, whose output it prints: there it is all that
// a person gets to see of the run.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], ".", goTest, os.Stdout, os.Stderr))
}
