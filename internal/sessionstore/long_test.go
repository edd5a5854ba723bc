//go:build long && !race

package sessionstore_test

import (
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/session"
)

// Under the race detector sync.Pool forgets at random, which costs allocations.
func TestLoad_Allocations(t *testing.T) {
	v := newStore(t, nil)
	for _, row := range []struct {
		name, header string
		found        bool
		most         float64
	}{
		{"a session: five of gorilla's, its claims, its strings", save(t, v, small(), true)[0], true, 7},
		{"a cookie of a megabyte", name + "=" + strings.Repeat("A", 1<<20), false, 4},
	} {
		r, s := request(row.header), new(session.Session)
		got := testing.AllocsPerRun(100, func() {
			if found, err := v.Load(r, s); found != row.found || err != nil {
				t.Fatalf("%s: got %v, %v; want %v", row.name, found, err, row.found)
			}
		})
		if got > row.most {
			t.Errorf("%s: got %v allocations; want at most %v", row.name, got, row.most)
		}
	}
}
