//go:build !long

package acceptance_test

// canaryStores are the kinds of session store of a canary; true means files.
var canaryStores = map[string]bool{"sessions in cookies": false}
