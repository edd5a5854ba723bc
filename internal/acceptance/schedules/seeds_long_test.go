//go:build long

package schedules_test

// seeds is how many schedules there are of each kind.
const seeds = 150
