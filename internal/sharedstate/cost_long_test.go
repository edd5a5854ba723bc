//go:build long

package sharedstate_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

// The tests of this file measure what the process allocates, so no test of the
// package is parallel.

// heap returns how many bytes of the heap are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // what the first has found dead may have held on to more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// The limits are such that the tables of the map are nearly full with one, and
// have just been split with another.
func TestMemory_HeapOfEntries(t *testing.T) {
	for _, length := range []int{1, 9, 45, 1200} {
		for _, mebibytes := range []int{4, 5, 6, 7, 8} {
			limit := mebibytes << 20
			m, _ := newMemory(sharedstate.Limits{Entries: 1 << 30, Bytes: limit + limit/7}) // an eighth is for ends
			value, before, n := make([]byte, length), heap(), 0
			for ; m.Set(t.Context(), keyOf("n", n), value, time.Hour) == nil; n++ {
			}
			share := float64(heap()-before) / float64(limit)
			runtime.KeepAlive(m)
			if share < 0.85 || share > 1.15 {
				t.Errorf("%d values of %d bytes: got %.2f of a limit of %d MiB; want 0.85 to 1.15", n, length, share, mebibytes)
			}
		}
	}
}

// However often entries come and go, they take no more of the heap.
func TestMemory_HeapOfFlood(t *testing.T) {
	const limit = 8 << 20
	m, c := newMemory(sharedstate.Limits{Entries: 1 << 30, Bytes: limit})
	random := rand.New(rand.NewPCG(1, 2))
	before, most := heap(), 0
	for i := range 480_000 {
		class, ttl := "entuu"[random.IntN(5):][:1], time.Duration(1+random.IntN(20))*time.Minute
		err := m.Set(t.Context(), keyOf(class, i), make([]byte, random.IntN(100)), ttl)
		if err != nil && !errors.Is(err, sharedstate.ErrFull) {
			t.Fatalf("Set: got error %v; want none, or ErrFull", err)
		}
		c.Add(int64(15 * time.Millisecond))
		if i%60_000 == 59_999 {
			most = max(most, heap()-before)
		}
	}
	if share := float64(most) / limit; share > 1.15 || m.Len() < limit/300 {
		t.Errorf("got %.2f of the limit, with %d entries; want 1.15 at most, and it full", share, m.Len())
	}
}

func TestLook_Allocations(t *testing.T) {
	m, _ := newMemory(sharedstate.Limits{Entries: 1 << 20, Bytes: 256 << 20})
	st, s := open(t, m), with(t, both)
	got := testing.AllocsPerRun(1000, func() {
		if standing, err := st.Look(context.Background(), s); err != nil || !standing.Plain() {
			t.Errorf("got %+v, %v; want nothing to say", standing, err)
		}
	})
	if got > 1 {
		t.Errorf("got %v allocations; want 1, of the names", got)
	}
}

// BenchmarkLook is what each request asks of shared state in memory, which has
// 100,000 entries of other sessions.
func BenchmarkLook(b *testing.B) {
	m, _ := newMemory(sharedstate.Limits{Entries: 1 << 20, Bytes: 256 << 20})
	for i := range 100_000 {
		noError(b, m.Set(b.Context(), keyOf("n", i), make([]byte, 29), ttl))
	}
	st, s := open(b, m), with(b, both)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.ID[i%8]++
		if standing, err := st.Look(context.Background(), s); err != nil || !standing.Plain() {
			b.Errorf("got %+v, %v; want nothing to say", standing, err)
		}
	}
}
