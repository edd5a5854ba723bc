package sharedstate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

// A flood measures the heap, so the tests of it do not run in parallel: those
// that do wait until these are through.

// keyOf returns a key as long as those of a session.
func keyOf(class string, i int) string { return fmt.Sprintf("%s%025d", class, i) }

// heap is how many bytes of the heap are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // what the first has found dead may have held on to more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// fill writes entries of a class until there is no more room, and returns how
// many fitted.
func fill(t *testing.T, s *sharedstate.Memory, class string, value []byte, ttl time.Duration) int {
	t.Helper()
	for i := range 500_000 {
		switch err := s.Set(context.Background(), keyOf(class, i), value, ttl); {
		case errors.Is(err, sharedstate.ErrFull):
			return i
		case err != nil:
			t.Fatalf("Set: got error %v; want ErrFull in the end", err)
		}
	}
	t.Fatal("Set: got half a million entries in; want ErrFull in the end")
	return 0
}

// Row: the length of the values. The limits are such that the map's tables are
// nearly full with one, and have just been split with another.
func TestTheEstimateOfAnEntryIsHonest(t *testing.T) {
	for _, length := range []int{1, 9, 45, 1200} {
		for _, mebibytes := range []int{4, 5, 6, 7, 8} {
			limit := mebibytes << 20
			s, _ := newStore(sharedstate.Limits{Entries: 1 << 30, Bytes: limit})
			value := make([]byte, length)
			before := heap()
			n := fill(t, s, "e", value, time.Hour)
			grown := heap() - before
			runtime.KeepAlive(s)
			if share := float64(grown) / float64(limit); share < 0.85 || share > 1.15 {
				t.Errorf("%d values of %d bytes: got %.2f of a limit of %d MiB; want what the limit says, give or take 0.15",
					n, length, share, mebibytes)
			}
		}
	}
}

// Entries come and go in every class, and expire; what a flood has cost it costs
// once, however often it comes again.
func TestFloodsDoNotOutgrowTheLimit(t *testing.T) {
	ctx := context.Background()
	const limit = 8 << 20
	s, c := newStore(sharedstate.Limits{Entries: 1 << 30, Bytes: limit})
	random := rand.New(rand.NewPCG(1, 2))
	before, most, serial := heap(), 0, 0
	for range 8 {
		for range 60_000 {
			serial++
			class := "etooo"[random.IntN(5):][:1]
			ttl := time.Duration(1+random.IntN(20)) * time.Minute
			err := s.Set(ctx, keyOf(class, serial), make([]byte, random.IntN(100)), ttl)
			if err != nil && !errors.Is(err, sharedstate.ErrFull) {
				t.Fatalf("Set: got error %v; want ErrFull at the worst", err)
			}
			c.Add(int64(15 * time.Millisecond))
		}
		most = max(most, heap()-before)
	}
	runtime.KeepAlive(s)
	if share := float64(most) / limit; share > 1.15 {
		t.Errorf("got %.2f of the limit; want 1.15 at the most: what the map keeps of entries that are gone included", share)
	}
	if s.Len() < limit/300 {
		t.Errorf("got %d entries in the end; want a store that is full", s.Len())
	}
}

func TestKeptEntriesOutliveAnyFlood(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, c := newStore(sharedstate.Limits{Entries: 1000, Bytes: 1 << 30})
	kept := map[string]string{}
	check := func(when string) {
		t.Helper()
		for k, v := range kept {
			if got := get(t, s, k)[0]; got != v {
				t.Fatalf("%s: %s: got %q; want %q", when, k, got, v)
			}
		}
	}
	for i := range 5000 {
		for _, class := range []string{"t", "o", "o", "e"} {
			k, v := keyOf(class, i), fmt.Sprint("value ", i)
			err := s.Set(ctx, k, []byte(v), time.Minute+time.Duration(i))
			if err != nil && !errors.Is(err, sharedstate.ErrFull) {
				t.Fatalf("Set: got error %v; want ErrFull at the worst", err)
			}
			if class == "e" && err == nil {
				kept[k] = v
			}
		}
		if i%500 == 0 {
			check("in the flood")
		}
	}
	check("after the flood")
	if len(kept) < 125 || s.Len() > 1000 {
		t.Errorf("got %d kept of %d; want the eighth that is theirs, and no more than 1000", len(kept), s.Len())
	}
	c.Add(int64(time.Hour))
	for i := range 875 {
		if err := s.Set(ctx, keyOf("o", i), nil, time.Minute); err != nil {
			t.Fatalf("entry %d after all has expired: got %v; want room for 875", i, err)
		}
	}
}

// What is left to be dropped later is as good as gone, and no write pays for all
// of it. One that pays for a thousand takes a fraction of a millisecond.
func TestAWriteDropsAFewOfManyThatExpireTogether(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const n = 100_000
	for name, row := range map[string]struct {
		fill, write string // classes
		most        int    // entries that the first write may drop
	}{
		"there is room":                             {"", "o", 10},
		"full of sign-ins, for another":             {"o", "o", 10},
		"full of sign-outs, for another":            {"e", "e", 10},
		"full of what can be had again":             {"t", "o", 10},
		"full of sign-outs to the brim, a sign-in":  {"e", "o", sharedstate.SweptIfFull},
		"full of sign-outs to the brim, for a copy": {"e", "t", sharedstate.SweptIfFull},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := sharedstate.Limits{Entries: n, Bytes: 1 << 30}
			s, c := newStore(limits)
			if row.fill == "" {
				for i := range n / 2 {
					if err := s.Set(ctx, keyOf("o", i), nil, time.Minute); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				for i := 0; row.fill == "t" && i < n-n/8 || row.fill != "t" && s.Len() == i; i++ {
					_ = s.Set(ctx, keyOf(row.fill, i), nil, time.Minute)
				}
			}
			c.Add(int64(time.Minute))
			old := keyOf(row.fill, 7)
			if row.fill == "" {
				old = keyOf("o", 7)
			}
			want(t, get(t, s, old), "<nil>")
			before := s.Len()
			began := time.Now()
			if err := s.Set(ctx, row.write+" new", []byte("new"), time.Hour); err != nil {
				t.Fatalf("the first write: got %v; want room", err)
			}
			if dropped := before + 1 - s.Len(); dropped < 2 || dropped > row.most {
				t.Errorf("the first write dropped %d in %v; want several, and at most %d", dropped, time.Since(began), row.most)
			}
			want(t, get(t, s, old, row.write+" new"), "<nil>", "new")
			if ok, err := s.Add(ctx, old, []byte("again"), time.Hour); !ok || err != nil {
				t.Errorf("Add where one has expired and is still held: got %v, %v; want true", ok, err)
			}
			// Each write drops more than it adds.
			writes := 0
			for ; s.Len() > writes+10 && writes < n; writes++ {
				if err := s.Set(ctx, keyOf("e", n+writes), nil, time.Hour); err != nil {
					t.Fatalf("write %d: got %v; want room", writes, err)
				}
			}
			if writes > n/6 {
				t.Errorf("all had gone after %d writes; want %d at the most", writes, n/6)
			}
			want(t, get(t, s, old), "again")
			if row.write != "t" { // which gives way while there is so much to be dropped
				want(t, get(t, s, row.write+" new"), "new")
			}
		})
	}
}

// The room for sign-outs is theirs again as soon as what has expired is gone.
func TestWhatExpiresTogetherLeavesSignOutsTheirRoom(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const n = 64_000
	s, c := newStore(sharedstate.Limits{Entries: n, Bytes: 1 << 30})
	for i := range n { // to the brim: fifteen sixteenths stay, the rest expires
		ttl := time.Hour
		if i%16 == 0 {
			ttl = time.Minute
		}
		if err := s.Set(ctx, keyOf("e", i), nil, ttl); err != nil {
			t.Fatal(err)
		}
	}
	c.Add(int64(time.Minute))
	accepted := 0
	for i := range n {
		if s.Set(ctx, keyOf("o", i), nil, time.Hour) == nil {
			accepted++
		}
	}
	if accepted > n/16/1000 {
		t.Errorf("got %d sign-ins where sign-outs hold more than seven eighths; want one for each thousand that went, at the most", accepted)
	}
	if got := fill(t, s, "e new", nil, time.Hour); got != n/16-accepted {
		t.Errorf("got room for %d sign-outs; want %d", got, n/16-accepted)
	}
}

func TestCachedEntriesGiveWayBeforeTheRoomForSignOutsIsUsed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, _ := newStore(sharedstate.Limits{Entries: 1000, Bytes: 1 << 30})
	for i := range 875 {
		if err := s.Set(ctx, keyOf("t", i), nil, time.Hour+time.Duration(i)); err != nil {
			t.Fatalf("entry %d: got %v; want room", i, err)
		}
	}
	for i := range 1000 {
		if err := s.Set(ctx, keyOf("e", i), nil, time.Hour); err != nil {
			t.Fatalf("sign-out %d: got %v; want room", i, err)
		}
		if got := s.Len(); got != max(875, i+1) {
			t.Fatalf("after sign-out %d: got %d entries; want seven eighths, until nothing is left to give way", i, got)
		}
	}
	if err := s.Set(ctx, keyOf("t", 0), nil, time.Hour); !errors.Is(err, sharedstate.ErrFull) {
		t.Errorf("one to be had again, where sign-outs fill all: got %v; want ErrFull", err)
	}
}

func TestACachedEntryThatGrowsIsCountedOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, _ := newStore(sharedstate.Limits{Entries: 1 << 30, Bytes: 8000}) // 7000 of them for all
	if err := errors.Join(s.Set(ctx, "e", make([]byte, 6000), time.Hour), s.Set(ctx, "t", make([]byte, 500), time.Hour)); err != nil {
		t.Fatalf("got %v; want room", err)
	}
	if err := s.Set(ctx, "t", make([]byte, 900), time.Hour); !errors.Is(err, sharedstate.ErrFull) {
		t.Errorf("a larger one than there is room for: got %v; want ErrFull", err)
	}
	if got := len(get(t, s, "t")[0]); got != 500 {
		t.Errorf("the one that was there: got %d bytes; want 500", got)
	}
	if err := s.Set(ctx, "t", make([]byte, 700), time.Hour); err != nil {
		t.Errorf("one that fits in place of it: got %v; want room", err)
	}
}

// BenchmarkWriteAfterAMillionHaveExpired reports the longest of the writes that
// follow.
func BenchmarkWriteAfterAMillionHaveExpired(b *testing.B) {
	ctx := context.Background()
	var longest time.Duration
	for b.Loop() {
		b.StopTimer()
		s, c := newStore(sharedstate.Limits{Entries: 1 << 20, Bytes: 1 << 30})
		for i := range 1 << 20 {
			if err := s.Set(ctx, keyOf("e", i), []byte("123456789"), time.Minute); err != nil {
				b.Fatal(err)
			}
		}
		c.Add(int64(time.Minute))
		b.StartTimer()
		for i := range 100 {
			began := time.Now()
			if err := s.Set(ctx, keyOf("o", i), nil, time.Hour); err != nil {
				b.Fatal(err)
			}
			longest = max(longest, time.Since(began))
		}
	}
	b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
}
