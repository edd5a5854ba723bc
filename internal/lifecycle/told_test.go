package lifecycle_test

import (
	"testing"

	"github.com/gosignin/signin/internal/lifecycle"
	"github.com/gosignin/signin/internal/session"
)

func TestFirstTold(t *testing.T) {
	t.Parallel()
	l, id := new(lifecycle.Sessions), session.NewID()
	if !l.FirstTold(id, lifecycle.Idle) || l.FirstTold(id, lifecycle.Idle) {
		t.Error("one end: want it told once")
	}
	if !l.FirstTold(id, lifecycle.Stale) || !l.FirstTold(session.NewID(), lifecycle.Idle) {
		t.Error("another reason, and another session: want them told too")
	}
	for range 5000 {
		l.FirstTold(session.NewID(), lifecycle.Idle)
	}
	if !l.FirstTold(id, lifecycle.Idle) {
		t.Error("after 5,000 others: want it forgotten, so that memory is bounded")
	}
}
