//go:build !long

package lifecycle_test

const (
	honestDays = 4
	copiedRuns = 4
)
