// Package recipes has the code of docs/recipes.md, and its tests run it. What
// concerns a router is in routers_test.go of package interop, which runs it with
// providers of other projects.
//
// A snippet of the page is a run of lines of the file that the mark above it names.
// TestPage compares them.
package recipes
