package seal

import (
	"errors"
	"testing"
)

// A ring without a key that works must not be returned.
func TestMust(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("got no panic; want one")
		}
	}()
	must("", errors.New("a key of a wrong length"))
}
