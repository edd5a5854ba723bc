package testuser_test

import (
	"context"
	"testing"

	"github.com/gosignin/signin/internal/testuser"
)

func TestFrom(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	if got := testuser.From(ctx); got != nil {
		t.Errorf("no user: got %v; want nil", got)
	}
	outer := &testuser.Value{User: "outer"}
	inner := &testuser.Value{User: "inner"}
	ctx = testuser.With(ctx, outer)
	if got := testuser.From(ctx); got != outer {
		t.Errorf("one user: got %v; want it", got)
	}
	if got := testuser.From(testuser.With(ctx, inner)); got != inner {
		t.Errorf("two users: got %v; want the inner one", got)
	}
}
