package sharedstate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1_700_000_000, c.Load()) }

func newStore(l sharedstate.Limits) (*sharedstate.Memory, *clock) {
	c := &clock{}
	return sharedstate.NewMemory(c.now, l), c
}

func get(t *testing.T, s *sharedstate.Memory, keys ...string) []string {
	t.Helper()
	values, err := s.Get(context.Background(), keys...)
	if err != nil || len(values) != len(keys) {
		t.Fatalf("Get: got %d values, %v; want %d", len(values), err, len(keys))
	}
	var got []string
	for _, v := range values {
		if v == nil {
			got = append(got, "<nil>")
		} else {
			got = append(got, string(v))
		}
	}
	return got
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, c := newStore(sharedstate.Limits{Entries: 100, Bytes: 1 << 20})
	want(t, get(t, s, "a", "b"), "<nil>", "<nil>")

	value := []byte("1")
	if err := s.Set(ctx, "a", value, time.Minute); err != nil {
		t.Fatal(err)
	}
	value[0] = 'x' // the store has its own copy
	if ok, err := s.Add(ctx, "a", []byte("2"), time.Minute); ok || err != nil {
		t.Errorf("Add where there is one: got %v, %v; want false", ok, err)
	}
	if ok, err := s.Add(ctx, "b", nil, time.Hour); !ok || err != nil {
		t.Errorf("Add where there is none: got %v, %v; want true", ok, err)
	}
	want(t, get(t, s, "b", "a", "t"), "", "1", "<nil>")

	if err := s.Set(ctx, "a", []byte("3"), 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	c.Add(int64(2*time.Minute - 1))
	want(t, get(t, s, "a"), "3")
	c.Add(1)
	want(t, get(t, s, "a", "b"), "<nil>", "")
	if ok, err := s.Add(ctx, "a", []byte("4"), time.Minute); !ok || err != nil {
		t.Errorf("Add where one has expired: got %v, %v; want true", ok, err)
	}
	for range 2 { // the second finds nothing
		if err := s.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
	}
	want(t, get(t, s, "a"), "<nil>")
}

func TestAFloodOfOrdinaryEntriesLeavesRoomForSignOuts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, limits := range map[string]sharedstate.Limits{
		"by entries": {Entries: 80, Bytes: 1 << 30},
		"by bytes":   {Entries: 1 << 30, Bytes: 80 * 146},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := newStore(limits)
			if err := s.Set(ctx, "t0000", []byte("cached"), time.Hour); err != nil {
				t.Fatal(err)
			}
			var full int
			for i := range 1000 {
				ok, err := s.Add(ctx, fmt.Sprintf("o%04d", i), []byte("value"), time.Minute)
				if ok != (err == nil) || (err != nil && !errors.Is(err, sharedstate.ErrFull)) {
					t.Fatalf("got %v, %v; want true or ErrFull", ok, err)
				}
				if err != nil {
					full++
				}
			}
			if stored := 1000 - full; stored < 60 || stored > 70 {
				t.Errorf("ordinary entries: got %d stored; want seven eighths of 80", stored)
			}
			want(t, get(t, s, "t0000", "o0000"), "<nil>", "value") // the cached one went, no other
			for i := range 10 {
				if err := s.Set(ctx, fmt.Sprintf("e%04d", i), []byte("value"), time.Hour); err != nil {
					t.Fatalf("sign-out %d: got %v; want room for it", i, err)
				}
			}
			var last error
			for i := 10; i < 100 && last == nil; i++ {
				last = s.Set(ctx, fmt.Sprintf("e%04d", i), []byte("value"), time.Hour)
			}
			if !errors.Is(last, sharedstate.ErrFull) {
				t.Errorf("beyond the limit: got %v; want ErrFull", last)
			}
			want(t, get(t, s, "e0000"), "value")
			// What is there can be written again, and room comes with time.
			if err := s.Set(ctx, "e0000", []byte("other"), time.Hour); err != nil {
				t.Errorf("overwriting when full: got %v; want none", err)
			}
			c.Add(int64(time.Minute))
			if err := s.Set(ctx, "o", []byte("value"), time.Hour); err != nil {
				t.Errorf("after the flood has expired: got %v; want room", err)
			}
		})
	}
}

func TestCachedEntriesGiveWayToEachOther(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, _ := newStore(sharedstate.Limits{Entries: 8, Bytes: 1 << 20})
	for i := range 20 {
		if err := s.Set(ctx, fmt.Sprintf("t%02d", i), []byte("v"), time.Hour+time.Duration(i)); err != nil {
			t.Fatalf("entry %d: got %v; want an older one dropped", i, err)
		}
	}
	want(t, get(t, s, "t12", "t13", "t19"), "<nil>", "v", "v")
	// Writing one again when all is full must not count it twice.
	if err := s.Set(ctx, "t13", []byte(strings.Repeat("w", 9)), time.Minute); err != nil {
		t.Fatal(err)
	}
	want(t, get(t, s, "t13", "t14"), "wwwwwwwww", "v")
	big := make([]byte, 2<<20)
	if err := s.Set(ctx, "t13", big, time.Minute); !errors.Is(err, sharedstate.ErrFull) {
		t.Errorf("larger than the limit: got %v; want ErrFull", err)
	}
	want(t, get(t, s, "t13", "t19"), "wwwwwwwww", "v") // and nothing was dropped for it
}

func TestStoreIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, c := newStore(sharedstate.Limits{Entries: 64, Bytes: 1 << 20})
	var added atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				key := fmt.Sprintf("%c%d", "eto"[i%3], i%40)
				if ok, err := s.Add(ctx, "once", []byte("v"), time.Hour); err == nil && ok {
					added.Add(1)
				}
				_ = s.Set(ctx, key, []byte("v"), time.Duration(i)*time.Millisecond)
				if _, err := s.Get(ctx, key, "once"); err != nil {
					t.Error(err)
				}
				if i%7 == 0 {
					_ = s.Delete(ctx, key)
				}
				c.Add(int64(time.Millisecond))
			}
		})
	}
	wg.Wait()
	if n := added.Load(); n != 1 {
		t.Errorf("Add of one key: got %d successes; want 1", n)
	}
}

func BenchmarkGet(b *testing.B) {
	s, _ := newStore(sharedstate.Limits{Entries: 1 << 20, Bytes: 1 << 30})
	ctx := context.Background()
	for i := range 100_000 {
		if err := s.Set(ctx, fmt.Sprintf("e%025d", i), []byte("value"), time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	keys := []string{"e0000000000000000000000001", "e0000000000000000x00000001", "e0000000000000000000y00001", "e0000000000000000000000z01"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(ctx, keys...); err != nil {
			b.Fatal(err)
		}
	}
}
