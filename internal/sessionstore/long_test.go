//go:build long && !race

package sessionstore_test

import (
	"testing"

	"github.com/gosignin/signin/internal/session"
)

// Under the race detector, sync.Pool drops items at random, which causes
// allocations.
func TestLoad_Allocations(t *testing.T) {
	v := newStore(t, nil)
	r, s := request(save(t, v, small(), true)...), new(session.Session)
	got := testing.AllocsPerRun(100, func() {
		if found, err := v.Load(r, s); !found || err != nil {
			t.Fatalf("got %v, %v; want a session", found, err)
		}
	})
	if got > 7 { // five of gorilla's, its claims, its strings
		t.Errorf("got %v allocations; want at most 7", got)
	}
}
