package sharedstate_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

// The room that is kept for sign-outs is theirs, also while there is something to
// sweep: nine entries that go make no room where sign-outs hold it.
func TestChecksOfTheRoomForSignOuts(t *testing.T) {
	t.Parallel()
	s, c := newStore(sharedstate.Limits{Entries: 80, Bytes: 1 << 20})
	set := func(key string, ttl time.Duration) error { return s.Set(t.Context(), key, []byte("x"), ttl) }
	for i := range 80 {
		key, ttl := fmt.Sprintf("o%d", i), time.Second
		if i >= 9 {
			key, ttl = fmt.Sprintf("e%d", i), time.Hour
		}
		if err := set(key, ttl); err != nil {
			t.Fatalf("Set %s: got error %v; want none", key, err)
		}
	}
	c.Store(int64(2 * time.Second))
	if err := set("o", time.Hour); !errors.Is(err, sharedstate.ErrFull) {
		t.Errorf("got %v; want %v", err, sharedstate.ErrFull)
	}
	if err := set("e", time.Hour); err != nil {
		t.Errorf("got %v; want a sign-out to fit", err)
	}
}
