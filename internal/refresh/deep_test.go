//go:build !long

package refresh_test

// deep is 1 where the model has much time.
const deep = 0
