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
	"unsafe"

	"github.com/gosignin/signin/internal/session"
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
	return fmt.Sprintf("%s%0*d", class, sharedstate.NameLen-len(class), i)
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

// An attacker can write ordinary entries, here of class "u". Entries of class "n" are
// of sessions that there are, and are kept; a sign-out is of class "x", and has room
// that nothing else may use; "t" can be fetched again. Of 64 entries eight are for
// sign-outs, and of the other 56 ordinary ones may use 49.
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
			name: "a flood of ordinary entries leaves room to sessions and sign-outs", entries: 64, bytes: 1 << 30,
			before: []writes{{"t", 1, h, 5, 1}, {"u", 1000, m, 5, 49}, {"n", 100, h, 5, 7}, {"x", 100, h, 5, 8}, {"x", 1, h, 9, 1}}, held: 64,
			there: []string{keyOf("u", 0), keyOf("n", 0), keyOf("x", 0)}, gone: []string{keyOf("t", 0)},
		},
		{
			name: "and of bytes", entries: 1 << 30, bytes: 64 * (sharedstate.NameLen + 5 + 136),
			before: []writes{{"t", 1, h, 5, 1}, {"u", 1000, m, 5, 49}, {"n", 100, h, 5, 7}, {"x", 100, h, 5, 8}, {"x", 1, h, 5, 1}, {"x", 1, h, 6, 0}}, held: 64,
			there: []string{keyOf("u", 0), keyOf("n", 0), keyOf("x", 0)}, gone: []string{keyOf("t", 0)},
		},
		{
			name: "a flood of sessions leaves room to sign-outs", entries: 64, bytes: 1 << 30,
			before: []writes{{"n", 100, h, 5, 56}, {"x", 8, h, 5, 8}}, held: 64,
		},
		{
			name: "a flood of sign-outs takes no room of sessions", entries: 64, bytes: 1 << 30,
			before: []writes{{"x", 100, h, 5, 8}, {"u", 100, h, 5, 49}, {"n", 7, h, 5, 7}}, held: 64,
		},
		{
			name: "there is room again when the flood has expired", entries: 64, bytes: 1 << 30,
			before: []writes{{"u", 1000, m, 5, 49}, {"n", 100, h, 5, 7}, {"x", 100, m, 5, 8}}, wait: m + time.Second,
			after: []writes{{"u new", 100, h, 5, 42}, {"x new", 100, h, 5, 8}}, held: 57,
			there: []string{keyOf("n", 0)}, gone: []string{keyOf("u", 0), keyOf("x", 0)},
		},
		{
			name: "not where sessions hold the room, though something expires", entries: 64, bytes: 1 << 30,
			before: []writes{{"u", 5, time.Second, 1, 5}, {"n", 51, h, 1, 51}}, wait: 2 * time.Second,
			after: []writes{{"u new", 1, h, 1, 0}, {"n new", 1, h, 1, 1}}, held: 52,
		},
		{
			name: "cached entries give way to each other, the oldest first", entries: 8, bytes: 1 << 20,
			before: []writes{{"t", 20, h, 5, 20}, {"t", 1, h, 2 << 20, 0}, {"t new", 1, h, 2 << 20, 0}}, held: 7,
			there: []string{keyOf("t", 13), keyOf("t", 19)}, gone: []string{keyOf("t", 12)},
		},
		{
			name: "and before others are refused, but not for sign-outs", entries: 64, bytes: 1 << 30,
			before: []writes{{"t", 49, h, 5, 49}, {"n", 7, h, 5, 7}, {"x", 8, h, 5, 8}}, held: 57,
			there: []string{keyOf("t", 7), keyOf("x", 0)}, gone: []string{keyOf("t", 6)},
		},
		{
			name: "sessions may fill what is not for sign-outs", entries: 64, bytes: 1 << 30,
			before: []writes{{"t", 49, h, 5, 49}, {"n", 100, h, 5, 56}, {"t", 1, h, 5, 0}}, held: 56,
		},
		{
			name: "access tokens that left their session are never dropped, and leave room for sign-outs", entries: 64, bytes: 1 << 30,
			before: []writes{{"a", 100, h, 5, 56}, {"u", 1, h, 5, 0}, {"x", 1, h, 5, 1}}, held: 57,
			there: []string{keyOf("a", 0), keyOf("a", 55), keyOf("x", 0)},
		},
		{
			name: "a cached entry that grows is counted once", entries: 1 << 30, bytes: 8000, // 6125 of them for those
			before: []writes{{"n", 1, h, 5000, 1}, {"t", 1, h, 500, 1}, {"t", 1, h, 900, 0}, {"t", 1, h, 650, 1}}, held: 2,
		},
		{
			// A write that has dropped a thousand takes nothing of the room that is kept
			// free; they are dropped by the first few.
			name: "many expire together: their room is that of sessions", entries: 64_000, bytes: 1 << 30,
			before: []writes{{"n", 52_000, h, 0, 52_000}, {"n old", 4000, m, 0, 4000}}, wait: m + time.Second,
			after: []writes{{"u", 64_000, h, 0, 3}, {"n new", 64_000, h, 0, 3997}}, held: 56_000,
		},
		{
			name: "many sign-outs expire together: their room is that of later ones", entries: 64_000, bytes: 1 << 30,
			before: []writes{{"x", 8000, m, 0, 8000}}, wait: m + time.Second,
			after: []writes{{"x new", 9000, h, 0, 8000}}, held: 8000,
		},
		{
			name: "but not that of others, for a large one", entries: 1 << 30, bytes: 64_000 * (sharedstate.NameLen + 136),
			before: []writes{{"x old", 8000, m, 0, 8000}}, wait: m + time.Second,
			after: []writes{{"x", 1, h, 1_000_000, 0}}, held: 8000 - sharedstate.SweptIfFull,
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

// An entry that has expired counts as gone, even while it is still held. A write drops
// more entries than it adds, but does not have to drop all of them.
func TestMemory_ManyExpireTogether(t *testing.T) {
	const n = 20_000
	const most, early = n - n/8, n - n/8 - (n-n/8)/8
	for name, row := range map[string]struct {
		class string
		held  int
		write string // the class of the first write afterwards
		most  int    // entries that it may drop
	}{
		"there is room":                   {"u", n / 2, "u", 10},
		"full of sign-ins, and another":   {"u", early, "u", 10},
		"full of sessions, and another":   {"n", most, "n", 10},
		"full of sessions, and a sign-in": {"n", most, "u", sharedstate.SweptIfFull},
		"full of sign-outs, and another":  {"x", n / 8, "x", 10},
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
			set(keyOf("n new", i), time.Hour)
		}
		if got := m.Len(); got != n/6+2 {
			t.Errorf("%s: after %d writes: got %d entries; want those alone", name, n/6, got)
		}
	}
}

// Time is what has passed: a clock that is set forward by a day, for a
// moment, must not forget a sign-out; nor may one that is set back keep it for long.
func TestMemory_ClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		set := time.Duration(0)
		now := func() time.Time { return wallMoved(time.Now(), set) }
		before := now()
		m := sharedstate.NewMemory(now, sharedstate.Limits{Entries: 800, Bytes: 1 << 20})
		noError(t, m.Set(t.Context(), "e1", []byte("ended"), time.Hour))
		noError(t, m.Set(t.Context(), "e2", []byte("over"), -time.Nanosecond))
		set = by
		if got := now(); got.Round(0).Sub(before.Round(0)).Round(time.Minute) != by || got.Sub(before) > time.Minute || got.Sub(before) < 0 {
			t.Fatalf("got %v after %v; want the wall clock alone set, by %v", got, before, by)
		}
		for i := range 20 { // which drop what has expired
			noError(t, m.Set(t.Context(), keyOf("x", i), nil, time.Hour))
		}
		want(t, get(t, m, "e1", "e2"), "ended", "<nil>")
		if n := m.Len(); n != 21 {
			t.Errorf("got %d entries; want all but the one that has expired", n)
		}
	}
}

// wallMoved returns a time whose wall clock is set, and whose monotonic reading is
// not, as after a step of the system's clock. There is no other way to make one.
func wallMoved(at time.Time, by time.Duration) time.Time {
	type layout struct {
		wall uint64 // a flag, 33 bits of seconds since 1885, 30 bits of nanoseconds
		ext  int64
		loc  *time.Location
	}
	(*layout)(unsafe.Pointer(&at)).wall += uint64(by/time.Second) << 30
	return at
}

// A logout token is obeyed though sign-ins and sessions have filled all their room:
// what it takes besides its end has room among ends.
func TestMemory_FullAndLogoutToken(t *testing.T) {
	m, _ := newMemory(sharedstate.Limits{Entries: 64, Bytes: 1 << 20})
	for i := range 56 {
		noError(t, m.Set(t.Context(), keyOf("n", i), nil, time.Hour))
	}
	st, v := open(t, m), with(t, both)
	noError(t, st.EndByProvider(t.Context(), sharedstate.Ended{Subject: "u1", SessionID: "s1"}, start))
	wantEnded(t, "by a logout token", st, v, sharedstate.ByProvider)
	noError(t, st.EndPerson(t.Context(), "u1"))
	noError(t, st.EndSession(t.Context(), v.ID, sharedstate.SignedOut))
	wantEnded(t, "signed out", st, v, sharedstate.SignedOut)
	if _, err := st.AddSuccessor(t.Context(), v, successorTo(v, "r")); !errors.Is(err, sharedstate.ErrFull) {
		t.Errorf("a successor: got %v; want ErrFull", err)
	}
}

// One account can sign in, and out, any number of times. When its sign-ins have filled
// their room sign-outs still fit, and when these have filled theirs, the ends of others.
func TestMemory_FullOfEndedSessions(t *testing.T) {
	m, _ := newMemory(sharedstate.Limits{Entries: 512, Bytes: 1 << 20})
	st := open(t, m)
	for i := range 100 {
		err := st.EndSession(t.Context(), session.ID{byte(i)}, sharedstate.Replaced)
		if full := errors.Is(err, sharedstate.ErrFull); full != (i >= 48) {
			t.Fatalf("replaced session %d: got %v; want room for 48", i, err)
		}
	}
	for i := range 100 {
		err := st.EndSession(t.Context(), session.ID{byte(i), 1}, sharedstate.SignedOut)
		if full := errors.Is(err, sharedstate.ErrFull); full != (i >= 8) {
			t.Fatalf("sign-out %d: got %v; want room for 8", i, err)
		}
	}
	noError(t, st.EndPerson(t.Context(), "u2"))
	noError(t, st.EndByProvider(t.Context(), sharedstate.Ended{Subject: "u3"}, start))
}

// When sign-ins have filled their room, what sessions and sign-outs need is written,
// and the beginning of another sign-in is not.
func TestMemory_FullOfSignIns(t *testing.T) {
	for _, e := range everything() {
		s := newShared()
		noError(t, e.write(t, open(t, s), with(t, e.v)))
		for k := range s.values {
			m, _ := newMemory(sharedstate.Limits{Entries: 64, Bytes: 1 << 20})
			for i := range 49 {
				noError(t, m.Set(t.Context(), keyOf("u", i), nil, time.Hour))
			}
			err := m.Set(t.Context(), k, nil, time.Hour)
			if refused, want := errors.Is(err, sharedstate.ErrFull), strings.Contains("cut", k[:1]); refused != want {
				t.Errorf("%s, %q: got %v; want it refused: %t", e.name, k, err, want)
			}
		}
	}
}

func TestMemory_ConcurrentUse(t *testing.T) {
	m, c := newMemory(sharedstate.Limits{Entries: 64, Bytes: 1 << 20})
	var added atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				key := fmt.Sprintf("%c%d", "etnu"[i%4], i%40)
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
