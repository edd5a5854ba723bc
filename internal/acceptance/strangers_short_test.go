//go:build !long

package acceptance_test

const strangers = 200
