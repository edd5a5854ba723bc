package sharedstate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/sharedstate"
)

type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time { return start.Add(time.Duration(c.Load())) }

func newMemory(l sharedstate.Limits) (*sharedstate.Memory, *clock) {
	c := new(clock)
	return sharedstate.NewMemory(c.now, l), c
}

// keyOf returns a key as long as those of a session.
func keyOf(class string, i int) string {
	return fmt.Sprintf("%s%0*d", class, sharedstate.KeyLen-len(class), i)
}

func get(t *testing.T, m *sharedstate.Memory, keys ...string) []string {
	t.Helper()
	values, err := m.Get(context.Background(), keys...)
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

func TestMemory(t *testing.T) {
	ctx := context.Background()
	m, c := newMemory(sharedstate.Limits{Entries: 100, Bytes: 1 << 20})
	set := func(key string, value []byte, ttl time.Duration) {
		t.Helper()
		noError(t, m.Set(ctx, key, value, ttl))
	}
	adds := func(what, key string, value []byte, want bool) {
		t.Helper()
		if ok, err := m.Add(ctx, key, value, time.Hour); ok != want || err != nil {
			t.Errorf("Add %s: got %v, %v; want %v", what, ok, err, want)
		}
	}
	want(t, get(t, m, "a", "b"), "<nil>", "<nil>")
	want(t, get(t, m, strings.Split("abcdefghi", "")...), "<nil>", "<nil>", "<nil>", "<nil>", "<nil>", "<nil>", "<nil>", "<nil>", "<nil>")
	value := []byte("1")
	set("a", value, time.Minute)
	value[0] = 'x' // it keeps a copy
	adds("where there is one", "a", []byte("2"), false)
	adds("where there is nothing", "b", nil, true)
	want(t, get(t, m, "b", "a", "t"), "", "1", "<nil>")
	set("a", []byte("3"), 2*time.Minute)
	c.Add(int64(2*time.Minute - 1))
	want(t, get(t, m, "a"), "3")
	c.Add(1)
	want(t, get(t, m, "a", "b"), "<nil>", "")
	adds("where one has expired", "a", []byte("4"), true)
	for range 2 { // the second finds nothing
		noError(t, m.Delete(ctx, "a"))
	}
	want(t, get(t, m, "a"), "<nil>")
}

// An attacker can write ordinary entries, here of class "o". A sign-out is of
// class "e", and must not be lost; "t" can be fetched again.
func TestMemory_Room(t *testing.T) {
	type writes struct {
		class string
		n     int
		ttl   time.Duration // of the first; each lives for a nanosecond longer
		size  int
		want  int // how many are accepted
	}
	const m, h = time.Minute, time.Hour
	for _, row := range []struct {
		name           string
		entries, bytes int
		before         []writes
		wait           time.Duration
		after          []writes
		held           int // in the end
		there, gone    []string
	}{
		{
			name: "a flood of ordinary entries leaves an eighth to sign-outs", entries: 80, bytes: 1 << 30,
			before: []writes{{"t", 1, h, 5, 1}, {"o", 1000, m, 5, 70}, {"e", 100, h, 5, 10}, {"e", 1, h, 9, 1}}, held: 80,
			there: []string{keyOf("o", 0), keyOf("e", 0)}, gone: []string{keyOf("t", 0)},
		},
		{
			name: "and of bytes", entries: 1 << 30, bytes: 80 * (sharedstate.KeyLen + 5 + 136),
			before: []writes{{"t", 1, h, 5, 1}, {"o", 1000, m, 5, 70}, {"e", 100, h, 5, 10}, {"e", 1, h, 5, 1}}, held: 80,
			there: []string{keyOf("o", 0), keyOf("e", 0)}, gone: []string{keyOf("t", 0)},
		},
		{
			name: "there is room again when the flood has expired", entries: 80, bytes: 1 << 30,
			before: []writes{{"o", 1000, m, 5, 70}, {"e", 100, h, 5, 10}}, wait: m + time.Second,
			after: []writes{{"o new", 100, h, 5, 60}}, held: 70,
			there: []string{keyOf("e", 0)}, gone: []string{keyOf("o", 0)},
		},
		{
			name: "not where sign-outs hold the room, though something expires", entries: 80, bytes: 1 << 30,
			before: []writes{{"o", 9, time.Second, 1, 9}, {"e", 71, h, 1, 71}}, wait: 2 * time.Second,
			after: []writes{{"o new", 1, h, 1, 0}, {"e new", 1, h, 1, 1}}, held: 72,
		},
		{
			name: "cached entries give way to each other, the oldest first", entries: 8, bytes: 1 << 20,
			before: []writes{{"t", 20, h, 5, 20}, {"t", 1, h, 2 << 20, 0}, {"t new", 1, h, 2 << 20, 0}}, held: 7,
			there: []string{keyOf("t", 13), keyOf("t", 19)}, gone: []string{keyOf("t", 12)},
		},
		{
			name: "and before the room of sign-outs is used", entries: 80, bytes: 1 << 30,
			before: []writes{{"t", 70, h, 5, 70}, {"e", 10, h, 5, 10}}, held: 70,
			there: []string{keyOf("t", 10), keyOf("e", 0)}, gone: []string{keyOf("t", 9)},
		},
		{
			name: "sign-outs may fill it all", entries: 80, bytes: 1 << 30,
			before: []writes{{"t", 70, h, 5, 70}, {"e", 100, h, 5, 80}, {"t", 1, h, 5, 0}}, held: 80,
		},
		{
			name: "a cached entry that grows is counted once", entries: 1 << 30, bytes: 8000, // 7000 of them for all
			before: []writes{{"e", 1, h, 6000, 1}, {"t", 1, h, 500, 1}, {"t", 1, h, 900, 0}, {"t", 1, h, 650, 1}}, held: 2,
		},
		{
			// A write that has dropped a thousand takes nothing of the room that is kept
			// free; they are dropped by the first few.
			name: "many expire together: their room is that of sign-outs", entries: 64_000, bytes: 1 << 30,
			before: []writes{{"e", 60_000, h, 0, 60_000}, {"e old", 4000, m, 0, 4000}}, wait: m + time.Second,
			after: []writes{{"o", 64_000, h, 0, 3}, {"e new", 64_000, h, 0, 3997}}, held: 64_000,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			store, c := newMemory(sharedstate.Limits{Entries: row.entries, Bytes: row.bytes})
			write := func(all []writes) {
				for _, w := range all {
					accepted := 0
					for i := range w.n {
						switch err := store.Set(context.Background(), keyOf(w.class, i), make([]byte, w.size), w.ttl+time.Duration(i)); {
						case err == nil:
							accepted++
						case !errors.Is(err, sharedstate.ErrFull):
							t.Fatalf("Set: got error %v; want none, or ErrFull", err)
						}
					}
					if accepted != w.want {
						t.Errorf("%+v: got %d accepted", w, accepted)
					}
				}
			}
			write(row.before)
			c.Store(int64(row.wait))
			write(row.after)
			if got := store.Len(); got != row.held {
				t.Errorf("got %d entries in the end; want %d", got, row.held)
			}
			for _, key := range append(row.there, row.gone...) {
				got := get(t, store, key)[0] != "<nil>"
				if want := strings.Contains(strings.Join(row.there, ""), key); got != want {
					t.Errorf("%s: got it there %v; want %v", key, got, want)
				}
			}
		})
	}
}

// What has expired and is still held is as good as gone. A write drops more than
// it adds, but does not pay for dropping all of it.
func TestMemory_ManyExpireTogether(t *testing.T) {
	const n = 20_000
	for name, row := range map[string]struct {
		class string
		held  int
		write string // the class of the first write afterwards
		most  int    // entries that it may drop
	}{
		"there is room":                    {"o", n / 2, "o", 10},
		"full of sign-ins, and another":    {"o", n - n/8, "o", 10},
		"full of sign-outs, and another":   {"e", n, "e", 10},
		"full of sign-outs, and a sign-in": {"e", n, "o", sharedstate.SweptIfFull},
	} {
		m, c := newMemory(sharedstate.Limits{Entries: n, Bytes: 1 << 30})
		set := func(key string, ttl time.Duration) {
			t.Helper()
			if err := m.Set(t.Context(), key, []byte("v"), ttl); err != nil {
				t.Fatalf("%s: Set: got error %v; want room", name, err)
			}
		}
		for i := range row.held {
			set(keyOf(row.class, i), time.Minute)
		}
		c.Add(int64(time.Minute))
		old := keyOf(row.class, 7)
		set(row.write+" new", time.Hour)
		if dropped := row.held + 1 - m.Len(); dropped < 2 || dropped > row.most {
			t.Errorf("%s: the first write dropped %d; want several, and at most %d", name, dropped, row.most)
		}
		want(t, get(t, m, old, row.write+" new"), "<nil>", "v")
		if ok, err := m.Add(t.Context(), old, nil, time.Hour); !ok || err != nil {
			t.Errorf("%s: Add where one has expired and is still held: got %v, %v; want true", name, ok, err)
		}
		for i := range n / 6 {
			set(keyOf("e new", i), time.Hour)
		}
		if got := m.Len(); got != n/6+2 {
			t.Errorf("%s: after %d writes: got %d entries; want those alone", name, n/6, got)
		}
	}
}

// In half an hour 20,000 entries come, for a few hundred of which there is room.
// Those that must not be lost are there until they expire, if they were accepted.
func TestMemory_Flood(t *testing.T) {
	const n = 20_000
	m, c := newMemory(sharedstate.Limits{Entries: 1 << 20, Bytes: 256 << 10})
	random := rand.New(rand.NewPCG(1, 2))
	kept, refused := map[string]time.Duration{}, map[string]int{} // until when; by class
	for i := range n {
		class, ttl := "etooo"[random.IntN(5):][:1], time.Duration(1+random.IntN(20))*time.Minute
		switch err := m.Set(t.Context(), keyOf(class, i), make([]byte, random.IntN(100)), ttl); {
		case err != nil && !errors.Is(err, sharedstate.ErrFull):
			t.Fatalf("Set: got error %v; want none, or ErrFull", err)
		case err != nil:
			refused[class]++
		case class == "e":
			kept[keyOf(class, i)] = time.Duration(c.Load()) + ttl
		}
		c.Add(int64(30*time.Minute) / n)
		if i%(n/8) != n/8-1 {
			continue
		}
		for key, until := range kept {
			if got := get(t, m, key)[0] != "<nil>"; got != (until > time.Duration(c.Load())) {
				t.Fatalf("after %d writes: %s: got it there %v; want it until it expires", i, key, got)
			}
		}
	}
	if refused["o"] == 0 || refused["e"] >= refused["o"]/6 {
		t.Errorf("got refused %v; want sign-ins to give way to sign-outs", refused)
	}
}

func TestMemory_ConcurrentUse(t *testing.T) {
	m, c := newMemory(sharedstate.Limits{Entries: 64, Bytes: 1 << 20})
	var added atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				key := fmt.Sprintf("%c%d", "eto"[i%3], i%40)
				if ok, _ := m.Add(t.Context(), "once", []byte("v"), time.Hour); ok {
					added.Add(1)
				}
				_ = m.Set(t.Context(), key, []byte("v"), time.Duration(i)*time.Millisecond)
				_, _ = m.Get(t.Context(), key, "once")
				_ = m.Delete(t.Context(), fmt.Sprint("t", i%7))
				c.Add(int64(time.Millisecond))
			}
		})
	}
	wg.Wait()
	if n := added.Load(); n != 1 {
		t.Errorf("Add of one key: got %d successes; want 1", n)
	}
}
