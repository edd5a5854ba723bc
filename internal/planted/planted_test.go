package planted_test

import (
	"context"
	"testing"

	"github.com/gosignin/signin/internal/planted"
)

func TestWhatIsPlantedIsFound(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	if got := planted.From(ctx); got != nil {
		t.Errorf("nothing planted: got %v; want nil", got)
	}
	outer := &planted.Value{User: "outer"}
	inner := &planted.Value{User: "inner"}
	ctx = planted.With(ctx, outer)
	if got := planted.From(ctx); got != outer {
		t.Errorf("one planted: got %v; want it", got)
	}
	if got := planted.From(planted.With(ctx, inner)); got != inner {
		t.Errorf("two planted: got %v; want the inner one", got)
	}
}
