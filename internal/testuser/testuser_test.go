package testuser_test

import (
	"testing"

	"github.com/gosignin/signin/internal/testuser"
)

func TestFrom(t *testing.T) {
	t.Parallel()
	none := t.Context()
	outer, inner := &testuser.Value{User: "outer"}, &testuser.Value{User: "inner"}
	one := testuser.With(none, outer)
	two := testuser.With(one, inner)
	if a, b, c := testuser.From(none), testuser.From(one), testuser.From(two); a != nil || b != outer || c != inner {
		t.Errorf("got %v, %v, %v; want nil, the outer, the inner value", a, b, c)
	}
}
