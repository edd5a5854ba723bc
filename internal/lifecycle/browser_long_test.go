//go:build long

package lifecycle_test

const (
	honestDays = 200
	copiedRuns = 40
)
