package sharedstate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

func TestAddSuccessor(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s)
	next := successorTo(v, "the first")
	add(t, st, v, next)
	if ok, err := st.AddSuccessor(t.Context(), v, successorTo(v, "another")); ok || err != nil {
		t.Errorf("the second: got %v, %v; want false", ok, err)
	}
	if got, err := st.Look(t.Context(), v); err != nil || got.Plain() || got.Newest() || got.Ended != 0 {
		t.Errorf("Look: got %+v, %v; want a successor", got, err)
	}
	if got, _, err := follows(t, st, v); err != nil || got.RefreshToken != "the first" || got.Generation != 4 {
		t.Errorf("got %+v, %v; want the first that was added", got, err)
	}
	if ok, err := st.AddSuccessor(t.Context(), next, successorTo(next, strings.Repeat("x", 70_000))); ok || !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("a session that is too large: got %v, %v; want ErrTooLarge", ok, err)
	}
	for k := range s.values {
		if s.ttls[k] != ttl {
			t.Errorf("got %q kept for %v; want %v", k, s.ttls[k], ttl)
		}
	}
}

// In a chain of successors only the last holds tokens. The others are marks, which
// cost little, since a stream may leave hundreds of them.
func TestAddSuccessor_LeavesMarks(t *testing.T) {
	for _, keys := range [][][]byte{{key(1)}, {key(1), key(2)}} {
		s, v := newShared(), with(t, both)
		v.Generation = 0
		chain(t, open(t, s, keys...), v, 100)
		marks, most := 0, 0
		for _, k := range s.keys("n") {
			if n := len(s.values[k]); n < 64 {
				marks++
				most = max(most, n)
			}
		}
		if got := len(s.keys("n")); got != 100*len(keys) || marks != 99*len(keys) || most != 29 {
			t.Errorf("%d keys: got %d entries, %d marks of %d bytes at most; want all but the last to be marks, of 29", len(keys), got, marks, most)
		}
	}
}

// However far ahead the newest generation is, it is found: the hint only saves round
// trips. Each row of a table would say the same, so all are tried.
func TestFollow(t *testing.T) {
	const hinted = 4 // round trips: Look, the first probe, the jump, Look
	for _, n := range []int{1, 2, 3, 30, 31, 32, 33, 34, 35, 63, 64, 65, 66, 67, 97, 130, 400} {
		whole := newShared()
		v := with(t, both)
		newest := chain(t, open(t, whole), v, n)
		hints := map[string][]byte{"right": whole.values[whole.keys("h")[0]], "missing": nil, "broken": []byte("broken")}
		for what, generations := range map[string]int{"of the first successor": 1, "a little too low": n - 3, "one too low": n - 1, "one too high": n + 1, "far too high": n + 500} {
			if generations > 0 {
				s := newShared()
				chain(t, open(t, s), v, generations)
				hints[what] = s.values[s.keys("h")[0]]
			}
		}
		another := newShared()
		chain(t, open(t, another), changed(v, func(v *session.Session) { v.ID[0]++ }), n)
		hints["of another session"] = another.values[another.keys("h")[0]]
		for what, hint := range hints {
			s := newShared()
			for k, value := range whole.values {
				if k[0] != 'h' {
					s.values[k] = value
				}
			}
			if hint != nil {
				s.values[whole.keys("h")[0]] = hint
			}
			for _, back := range []int{n, n - 1, n / 2, 1, 0} { // generations before the newest, from which it is followed
				from := changed(v, func(s *session.Session) { s.Generation = newest.Generation - uint64(back) })
				s.rounds = 0
				got, _, err := follows(t, open(t, s), from)
				if err != nil || got.Generation != newest.Generation || back > 0 && got.RefreshToken != newest.RefreshToken {
					t.Errorf("%d generations, hint %s, from %d back: got %+v, %v; want the newest", n, what, back, got, err)
				}
				most := hinted + (back+31)/32
				if what == "right" {
					most = hinted
				}
				if s.rounds > most {
					t.Errorf("%d generations, hint %s, from %d back: got %d round trips; want at most %d", n, what, back, s.rounds, most)
				}
			}
		}
	}
}

// If a successor is gone, the session has not ended, but its newest generation is lost.
// So it counts neither as signed out nor as the newest generation.
func TestFollow_Lost(t *testing.T) {
	for name, row := range map[string]struct {
		n    int
		gone []uint64 // generations whose successor is missing
	}{
		"the last successor of two":              {2, []uint64{4}},
		"the last successor of a hundred":        {100, []uint64{102}},
		"one in the middle":                      {10, []uint64{7}},
		"one behind the first probe":             {100, []uint64{36}},
		"all but the first":                      {10, []uint64{4, 5, 6, 7, 8, 9, 10, 11, 12}},
		"the last, in front of the second probe": {34, []uint64{36}},
	} {
		for _, hint := range []bool{true, false} {
			s, v := newShared(), with(t, both)
			chain(t, open(t, s), v, row.n)
			for _, generation := range row.gone {
				delete(s.values, nameOfSuccessor(t, v, generation))
			}
			if !hint {
				s.forget("h")
			}
			if got, _, err := follows(t, open(t, s), v); !errors.Is(err, sharedstate.ErrLost) {
				if name == "one behind the first probe" && hint && err == nil && got.Generation == 103 {
					continue // the hint leads over the gap
				}
				t.Errorf("%s, a hint %t: got %+v, %v; want ErrLost", name, hint, got, err)
			}
		}
	}
}

// nameOfSuccessor returns the name of the entry of a generation's successor.
func nameOfSuccessor(t *testing.T, v *session.Session, generation uint64) string {
	s := newShared()
	of := changed(v, func(v *session.Session) { v.Generation = generation })
	if _, err := open(t, s).Look(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	return s.asked[0]
}

// A value that opens, but is not the next generation of this session, is broken.
func TestFollow_AnotherSession(t *testing.T) {
	for name, change := range map[string]func(*session.Session){
		"another session":           func(s *session.Session) { s.ID[0]++ },
		"the same generation":       func(s *session.Session) { s.Generation-- },
		"the generation after next": func(s *session.Session) { s.Generation++ },
	} {
		s, v := newShared(), with(t, both)
		st := open(t, s)
		add(t, st, v, changed(successorTo(v, "r"), change))
		if got, _, err := follows(t, st, v); !errors.Is(err, sharedstate.ErrBroken) {
			t.Errorf("%s: got %+v, %v; want ErrBroken", name, got, err)
		}
	}
}

func TestFollow_CutSession(t *testing.T) {
	s, v := newShared(), with(t, both)
	add(t, open(t, s), v, successorTo(v, "r"))
	plain, err := successorTo(v, "r").Append(nil)
	noError(t, err)
	name := s.keys("n")[0]
	for _, k := range s.keys("n") {
		if len(s.values[k]) > len(s.values[name]) {
			name = k // and not the mark
		}
	}
	for _, cut := range []int{1, 2, len(plain) / 2} {
		s.values[name] = sealed(t, name, plain[:len(plain)-cut])
		if got, _, err := follows(t, open(t, s), v); !errors.Is(err, sharedstate.ErrBroken) {
			t.Errorf("cut by %d bytes: got %+v, %v; want ErrBroken", cut, got, err)
		}
	}
}

// The end of a session is read together with its newest generation.
func TestFollow_Ended(t *testing.T) {
	st, v := open(t, newShared()), with(t, both)
	chain(t, st, v, 2)
	standing, err := st.Look(t.Context(), v)
	noError(t, err)
	noError(t, st.EndSession(t.Context(), v.ID, sharedstate.SignedOut))
	newest, now, _, err := st.Follow(t.Context(), v, standing)
	if err != nil || newest.Generation != 5 || now.Ended != sharedstate.SignedOut || !now.Newest() || now.Plain() {
		t.Errorf("got %+v, %+v, %v; want generation 5, signed out", newest, now, err)
	}
	st = open(t, newShared())
	if got, now, shown, err := st.Follow(t.Context(), v, sharedstate.Standing{}); got != v || err != nil || !now.Plain() || shown != (sharedstate.Shown{}) {
		t.Errorf("without a successor: got %+v, %+v, %+v, %v; want the same generation", got, now, shown, err)
	}
}

// cluster is shared state on several servers: the keys of one Get are read in any
// order, and between two of them others write.
type cluster struct {
	*shared
	random  *rand.Rand
	between func()
}

func (c *cluster) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for _, i := range c.random.Perm(len(keys)) {
		c.between()
		one, err := c.shared.Get(ctx, keys[i])
		if err != nil {
			return nil, err
		}
		values[i] = one[0]
	}
	return values, nil
}

// TestFollow_SeveralServers: a session is refreshed while a reader follows it. The
// reader gets a generation that is not older than when it began, and nothing is lost.
func TestFollow_SeveralServers(t *testing.T) {
	for seed := range uint64(servers) {
		random := rand.New(rand.NewPCG(seed, 0))
		s, v := newShared(), with(t, both)
		v.Generation = 0
		writer := open(t, s)
		newest := chain(t, writer, v, 1+random.IntN(70))
		began := newest.Generation
		if random.IntN(2) == 0 {
			s.forget("h")
		}
		left, rare := random.IntN(4), 1+random.IntN(60)
		reader := open(t, &cluster{s, random, func() {
			if left > 0 && random.IntN(rare) == 0 {
				left--
				newest = chain(t, writer, newest, 1)
			}
		}})
		from := changed(v, func(v *session.Session) { v.Generation = random.Uint64N(began + 1) })
		standing, err := reader.Look(t.Context(), from)
		noError(t, err)
		got, _, _, err := reader.Follow(t.Context(), from, standing)
		if err != nil || got.Generation < began && !standing.Newest() || got.Generation > newest.Generation {
			t.Fatalf("seed %d: got %+v, %v; want a generation from %d to %d", seed, got, err, began, newest.Generation)
		}
	}
}

// TestShow checks what is kept against the rule: settled = max(settled, min(p, older)),
// older = newer, newer = the newest, once in two hours.
func TestShow(t *testing.T) {
	type shown = sharedstate.Shown
	synctest.Test(t, func(t *testing.T) {
		m := sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
		st, v := open(t, m), with(t, both)
		chain(t, st, v, 1)
		for i, row := range []struct {
			wait            time.Duration
			brought, newest uint64
			want            shown
		}{
			{0, 3, 5, shown{0, 0, 5}},
			{0, 5, 7, shown{0, 0, 5}},
			{2*time.Hour - time.Second, 5, 8, shown{0, 0, 5}},
			{time.Second, 5, 8, shown{0, 5, 8}},
			{3 * time.Hour, 6, 12, shown{5, 8, 12}},
			{time.Hour, 12, 13, shown{5, 8, 12}},
			{2 * time.Hour, 4, 13, shown{5, 12, 13}},      // a late copy moves nothing back
			{2 * time.Hour, 300, 301, shown{12, 13, 301}}, // a tab settles no more than was shown
			{2 * time.Hour, 13, 400, shown{13, 301, 400}},
		} {
			time.Sleep(row.wait)
			noError(t, st.Show(t.Context(), v.ID, row.brought, row.newest))
			if _, got, err := follows(t, st, v); err != nil || got != row.want {
				t.Errorf("step %d: got %+v, %v; want %+v", i, got, err, row.want)
			}
		}
		if _, got, err := follows(t, st, changed(v, func(v *session.Session) { v.ID[0]++ })); err != nil || got != (shown{}) {
			t.Errorf("another session: got %+v, %v; want nothing", got, err)
		}
		newest := successorTo(v, "")
		if _, got, err := follows(t, st, newest); err != nil || got != (shown{}) {
			t.Errorf("the newest generation: got %+v, %v; want nothing read", got, err)
		}
	})
}

// Two of a session's tabs at once: one of them notes what was shown.
func TestShow_AtOnce(t *testing.T) {
	orders(func(next func([]int) int) {
		s, v := newShared(), with(t, both)
		chain(t, open(t, s), v, 1)
		run(next, func(i int, step func()) {
			if err := open(t, stepping{s, step}).Show(t.Context(), v.ID, 3, uint64(10+i)); err != nil {
				t.Errorf("got error %v; want none", err)
			}
		})
		_, got, err := follows(t, open(t, s), v)
		if err != nil || got.Older != 0 || got.Settled != 0 || got.Newer != 10 && got.Newer != 11 {
			t.Errorf("got %+v, %v; want one of the two noted", got, err)
		}
	})
}

func TestShow_Broken(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s)
	noError(t, st.Show(t.Context(), v.ID, 3, 4))
	name := s.keys("s")[0]
	for what, value := range map[string][]byte{"does not open": []byte("broken"), "of too few numbers": sealed(t, name, []byte{1, 2})} {
		s.values[name] = value
		s.forget("g")
		if err := st.Show(t.Context(), v.ID, 4, 5); !errors.Is(err, sharedstate.ErrBroken) || string(s.values[name]) != string(value) {
			t.Errorf("%s: got %v; want ErrBroken, and nothing written", what, err)
		}
	}
}

func TestLease(t *testing.T) {
	const lease = 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		m := sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
		st, v := open(t, m), with(t, both)
		take := func(what string, s *session.Session, want bool) *sharedstate.Held {
			t.Helper()
			held, err := open(t, m).TakeLease(t.Context(), s, lease)
			if (held != nil) != want || err != nil {
				t.Fatalf("%s: got %v, %v; want a lease: %t", what, held, err, want)
			}
			return held
		}
		holds := func(what string, held *sharedstate.Held, want bool) {
			t.Helper()
			standing, holds, err := st.LookUnderLease(t.Context(), v, held)
			if holds != want || err != nil || !standing.Plain() {
				t.Errorf("%s: got held %t (%+v), %v; want %t", what, holds, standing, err, want)
			}
		}
		first := take("the first", v, true)
		holds("at once", first, true)
		take("while it is held", v, false)
		take("another generation", successorTo(v, ""), true)
		take("another session", changed(v, func(v *session.Session) { v.ID[0]++ }), true)
		time.Sleep(lease - time.Second)
		take("a second before it lapses", v, false)
		holds("a second before it lapses", first, true)
		time.Sleep(time.Second)
		holds("after it has lapsed", first, false)
		second := take("after it has lapsed", v, true)
		holds("after another has taken it", first, false)
		holds("the other", second, true)
		noError(t, st.ReleaseLease(t.Context(), second))
		holds("after it was released", second, false)
		third := take("after it was released", v, true)
		time.Sleep(lease / 2)
		noError(t, st.ReleaseLease(t.Context(), third))
		holds("after it was released so late that it might be another's", third, true)
	})
}

func TestLookUnderLease_Standing(t *testing.T) {
	s, v := newShared(), with(t, both)
	st := open(t, s)
	held, err := st.TakeLease(t.Context(), v, time.Minute)
	noError(t, err)
	add(t, st, v, successorTo(v, "r"))
	noError(t, st.EndSession(t.Context(), v.ID, sharedstate.Refused))
	s.rounds = 0
	standing, holds, err := st.LookUnderLease(t.Context(), v, held)
	if !holds || err != nil || standing.Newest() || standing.Ended != sharedstate.Refused || s.rounds != 1 {
		t.Errorf("got %+v, held %t, %v in %d round trips; want the lease, the end and the successor in one", standing, holds, err, s.rounds)
	}
}

// Each request asks for what decides about its session, in one round trip.
func TestLook_OneRoundTrip(t *testing.T) {
	for _, keys := range [][][]byte{{key(1)}, {key(1), key(2)}} {
		for _, payload := range []string{both, withoutID, `{}`} {
			s := newShared()
			st, v := open(t, s, keys...), with(t, payload)
			for i := range 3 { // a slice of names is used again
				s.rounds, s.asked = 0, nil
				noErrorOf(t, func() (any, error) { return st.Look(t.Context(), v) })
				seen := map[string]bool{}
				for _, k := range s.asked {
					seen[k] = true
				}
				if want := 5 * len(keys); s.rounds != 1 || len(s.asked) != want || len(seen) != want {
					t.Errorf("%d keys, %s, time %d: got %q in %d round trips; want %d names in one", len(keys), payload, i, s.asked, s.rounds, want)
				}
				_, _, err := st.LookForToken(t.Context(), v, session.Audience{})
				if want := 6 * len(keys); err != nil || s.rounds != 2 || len(s.asked) != 5*len(keys)+want {
					t.Errorf("%d keys, %s and a token: got %q, %v; want %d names in one round trip", len(keys), payload, s.asked, err, want)
				}
			}
		}
	}
}

func noErrorOf(t *testing.T, f func() (any, error)) {
	t.Helper()
	_, err := f()
	noError(t, err)
}

// Requests of many sessions share the room for names.
func TestLook_AtOnce(t *testing.T) {
	m := sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
	st := open(t, m)
	failed := make(chan string, 8)
	for i := range 8 {
		go func() {
			v := changed(with(t, fmt.Sprintf(`{"sub":"u%d","sid":"s%d"}`, i, i)), func(v *session.Session) { v.ID[0] = byte(i) })
			if i%2 == 0 {
				_ = st.EndSession(context.Background(), v.ID, sharedstate.SignedOut)
			}
			for range 500 {
				got, err := st.Look(context.Background(), v)
				if err != nil || (got.Ended != 0) != (i%2 == 0) {
					failed <- fmt.Sprintf("session %d: got %+v, %v", i, got, err)
					return
				}
			}
			failed <- ""
		}()
	}
	for range 8 {
		if text := <-failed; text != "" {
			t.Error(text)
		}
	}
}
