package seal

import (
	"errors"
	"testing"
)

func TestMust_Error(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("got no panic; want one")
		}
	}()
	must("", errors.New("a key of a wrong length"))
}
