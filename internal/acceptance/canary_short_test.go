//go:build !long

package acceptance_test

// canaryStores are the places for the sessions of a canary; true is for files.
var canaryStores = map[string]bool{"sessions in cookies": false}
