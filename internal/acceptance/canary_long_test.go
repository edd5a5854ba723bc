//go:build long

package acceptance_test

var canaryStores = map[string]bool{"sessions in cookies": false, "sessions in files": true}
