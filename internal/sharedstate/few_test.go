//go:build !long

package sharedstate_test

const (
	servers   = 300 // seeds of readers on several servers
	mostEnded = 1   // times that a person's sessions were ended before
)
