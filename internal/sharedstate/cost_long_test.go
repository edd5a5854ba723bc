//go:build long

package sharedstate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// The tests of this file measure what the process allocates, so they are not
// parallel: those that are begin when these are through.

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
			m, _ := newMemory(sharedstate.Limits{Entries: 1 << 30, Bytes: limit})
			value, before, n := make([]byte, length), heap(), 0
			for ; m.Set(t.Context(), keyOf("e", n), value, time.Hour) == nil; n++ {
			}
			share := float64(heap()-before) / float64(limit)
			runtime.KeepAlive(m)
			if share < 0.85 || share > 1.15 {
				t.Errorf("%d values of %d bytes: got %.2f of a limit of %d MiB; want 0.85 to 1.15", n, length, share, mebibytes)
			}
		}
	}
}

// Entries of all classes come, and expire; however often a flood comes again,
// it takes no more of the heap.
func TestMemory_HeapOfFloods(t *testing.T) {
	const limit = 8 << 20
	m, c := newMemory(sharedstate.Limits{Entries: 1 << 30, Bytes: limit})
	random := rand.New(rand.NewPCG(1, 2))
	before, most := heap(), 0
	for i := range 480_000 {
		class := "etooo"[random.IntN(5):][:1]
		ttl := time.Duration(1+random.IntN(20)) * time.Minute
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
	flooded, c := newMemory(sharedstate.Limits{Entries: 1 << 20, Bytes: 4 << 20})
	flood(t, flooded, c, 60_000)
}

// lived returns a State whose shared state has 100,000 entries, and sessions
// of which it says nothing, as of most.
func lived(t testing.TB, sessions int) (*sharedstate.State, []*session.Session) {
	t.Helper()
	m, _ := newMemory(sharedstate.Limits{Entries: 1 << 20, Bytes: 256 << 20})
	st := open(t, m, issuer, client)
	for i := range uint64(100_000) {
		kind := []sharedstate.Kind{sharedstate.EndedSession, sharedstate.EndedProviderSession, sharedstate.Successor, sharedstate.Used}[i%4]
		if err := m.Set(t.Context(), st.GenerationKey(kind, session.NewID(), i), make([]byte, 9), ttl); err != nil {
			t.Fatalf("Set: got error %v; want none", err)
		}
	}
	all := make([]*session.Session, sessions)
	for i := range all {
		all[i] = with(t, fmt.Sprintf(`{"sub":"subject %d","sid":"session %d"}`, i, i))
		all[i].ID = session.NewID()
	}
	return st, all
}

func TestLook_Allocations(t *testing.T) {
	st, all := lived(t, 1)
	got := testing.AllocsPerRun(1000, func() {
		if s, err := st.Look(context.Background(), all[0]); err != nil || !s.Plain() {
			t.Errorf("got %+v, %v; want nothing to say", s, err)
		}
	})
	if got > 3 {
		t.Errorf("got %v allocations; want 3 at most", got)
	}
}

// BenchmarkLook is what each request asks of shared state in memory.
func BenchmarkLook(b *testing.B) {
	for _, sessions := range []int{1, 10_000} {
		st, all := lived(b, sessions)
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if s, err := st.Look(context.Background(), all[i%len(all)]); err != nil || !s.Plain() {
					b.Errorf("got %+v, %v; want nothing to say", s, err)
				}
			}
		})
	}
}

// BenchmarkMemory_ManyHaveExpired reports the longest of the writes after a
// million entries have expired together.
func BenchmarkMemory_ManyHaveExpired(b *testing.B) {
	var longest time.Duration
	for b.Loop() {
		b.StopTimer()
		m, c := newMemory(sharedstate.Limits{Entries: 1 << 20, Bytes: 1 << 30})
		for i := range 1 << 20 {
			if err := m.Set(b.Context(), keyOf("e", i), []byte("123456789"), time.Minute); err != nil {
				b.Fatal(err)
			}
		}
		c.Add(int64(time.Minute))
		b.StartTimer()
		for i := range 100 {
			began := time.Now()
			if err := m.Set(b.Context(), keyOf("o", i), nil, time.Hour); err != nil {
				b.Fatal(err)
			}
			longest = max(longest, time.Since(began))
		}
	}
	b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
}
