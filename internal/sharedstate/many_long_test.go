//go:build long

package sharedstate_test

const (
	servers   = 100_000 // seeds of readers on several servers
	mostEnded = 2       // times that a person's sessions were ended before
)
