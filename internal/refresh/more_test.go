//go:build !long

package refresh_test

// more is how many preemptions of two refreshes are tried besides.
const more = 0
