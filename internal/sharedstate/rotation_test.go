package sharedstate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// A rotation of Config.Keys goes through these steps, each of which replicas take
// one after another: two that are one step apart run at the same time.
//
// The order in which entries are added is that of hashes, so keys are rotated in
// both directions.
func rotations() (all [][][][]byte) {
	for _, k := range [][2][]byte{{key(1), key(2)}, {key(2), key(1)}} {
		was, next := k[0], k[1]
		all = append(all, [][][]byte{{was}, {was, next}, {next, was}, {next}})
	}
	return all
}

// pairs calls f with the keys of each two replicas that may run at the same time.
func pairs(f func(name string, a, b [][]byte)) {
	for i, steps := range rotations() {
		for at := range steps {
			for _, to := range []int{at - 1, at, at + 1} {
				if to >= 0 && to < len(steps) {
					f(fmt.Sprintf("rotation %d, step %d, with another replica at step %d", i, at, to), steps[at], steps[to])
				}
			}
		}
	}
}

// Each replica reads what the other writes, whichever of the two has been restarted.
func TestRotation_Read(t *testing.T) {
	pairs(func(name string, a, b [][]byte) {
		for _, e := range everything() {
			s, v := newShared(), with(t, e.v)
			noError(t, e.write(t, open(t, s, a...), v))
			if e.name == "a lease" {
				if held, err := open(t, s, b...).TakeLease(t.Context(), v, time.Minute); held != nil || err != nil {
					t.Errorf("%s: %s: got %v, %v; want it taken", name, e.name, held, err)
				}
				continue
			}
			if there, err := e.read(t, open(t, s, b...), v); !there || err != nil {
				t.Errorf("%s: %s: got there %t, %v; want it", name, e.name, there, err)
			}
			// The other writes it once more, and both read it.
			if err := e.write(t, open(t, s, b...), v); err != nil {
				t.Errorf("%s: %s: got error %v; want none", name, e.name, err)
			}
			for _, keys := range [][][]byte{a, b} {
				if there, err := e.read(t, open(t, s, keys...), v); !there || err != nil {
					t.Errorf("%s: %s, written twice: got there %t, %v; want it", name, e.name, there, err)
				}
			}
		}
	})
}

// A session goes on through a whole rotation: at each step, where a cookie of the
// step before leads to is known.
func TestRotation_Whole(t *testing.T) {
	for _, steps := range rotations() {
		s, cookie := newShared(), with(t, both)
		newest := cookie
		for i, keys := range steps {
			st := open(t, s, keys...)
			got, shown, err := follows(t, st, cookie)
			if err != nil || got.RefreshToken != newest.RefreshToken || got.Generation != newest.Generation {
				t.Fatalf("step %d: got %+v, %v; want generation %d", i, got, err, newest.Generation)
			}
			newest, cookie = chain(t, st, got, 40), got
			s.forget("g") // two hours later
			noError(t, st.Show(t.Context(), cookie.ID, cookie.Generation, newest.Generation))
			_, now, err := follows(t, st, cookie)
			if err != nil || now.Newer != newest.Generation || i == 1 && now.Older != shown.Newer {
				t.Errorf("step %d: got %+v after %+v, %v; want generation %d shown", i, now, shown, err, newest.Generation)
			}
		}
	}
}

// The number of a person lives as long as any session that has noted it, also if two
// replicas have written one under different names.
func TestRotation_NumberLasts(t *testing.T) {
	pairs(func(name string, a, b [][]byte) {
		synctest.Test(t, func(t *testing.T) {
			m := sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
			states := []*sharedstate.State{open(t, m, a...), open(t, m, b...)}
			noError(t, states[0].EndPerson(t.Context(), "u1"))
			time.Sleep(personTTL / 2)
			noError(t, states[1].EndPerson(t.Context(), "u1"))
			p, err := states[0].Person(t.Context(), "u1")
			noError(t, err)
			v := changed(with(t, both), func(v *session.Session) { v.Number = p.Number })
			for _, wait := range []time.Duration{0, personTTL/2 - time.Second, time.Second, personTTL/2 - 2*time.Second, time.Second, time.Hour} {
				time.Sleep(wait)
				wantEnded(t, name+", replica a", states[0], v, 0)
				wantEnded(t, name+", replica b", states[1], v, 0)
			}
		})
	})
}

// Of a token that both have kept, each replica finds the one under its own first key.
func TestRotation_TokenOfOwnKey(t *testing.T) {
	pairs(func(name string, a, b [][]byte) {
		s, v := newShared(), with(t, both)
		for i, keys := range [][][]byte{a, b} {
			token := apiToken()
			token.Access = fmt.Sprint("by ", i)
			noError(t, open(t, s, keys...).KeepToken(t.Context(), v.ID, session.Audience{}, token, ttl))
		}
		for i, keys := range [][][]byte{a, b} {
			want := "by 1"
			if i == 0 && !bytes.Equal(a[0], b[0]) {
				want = "by 0"
			}
			if _, token, err := open(t, s, keys...).LookForToken(t.Context(), v, session.Audience{}); err != nil || token == nil || token.Access != want {
				t.Errorf("%s: replica %d: got %+v, %v; want %q", name, i, token, err, want)
			}
		}
	})
}

// A sign-out outweighs another end, under whichever name the other is.
func TestRotation_SignOutOutweighs(t *testing.T) {
	pairs(func(name string, a, b [][]byte) {
		for _, reasons := range [][2]sharedstate.Reason{
			{sharedstate.Replaced, sharedstate.SignedOut}, {sharedstate.SignedOut, sharedstate.Replaced},
			{sharedstate.Refused, sharedstate.SignedOut}, {sharedstate.SignedOut, sharedstate.Refused},
		} {
			s, v := newShared(), with(t, both)
			noError(t, open(t, s, a...).EndSession(t.Context(), v.ID, reasons[0]))
			noError(t, open(t, s, b...).EndSession(t.Context(), v.ID, reasons[1]))
			wantEnded(t, name, open(t, s, a...), v, sharedstate.SignedOut)
			wantEnded(t, name, open(t, s, b...), v, sharedstate.SignedOut)
		}
	})
}

// schedule lets operations of several goroutines on one store happen in a given
// order: each begins when it is its goroutine's turn.
type schedule struct {
	turns []chan struct{} // of each goroutine
	did   chan int        // a goroutine that has come to its next operation, or to its end
}

// run runs f for 0 and 1 with operations in the order that next says: it returns
// whose turn it is, of those that have not ended. f's store calls step first.
func run(next func(alive []int) int, f func(i int, step func())) {
	sch := schedule{turns: []chan struct{}{make(chan struct{}), make(chan struct{})}, did: make(chan int)}
	ended := [2]bool{}
	for i := range 2 {
		go func() {
			f(i, func() { sch.did <- i; <-sch.turns[i] })
			sch.did <- 2 + i
		}()
	}
	wait := 2
	for {
		for ; wait > 0; wait-- {
			if i := <-sch.did; i >= 2 {
				ended[i-2] = true
			}
		}
		var alive []int
		for i, e := range ended {
			if !e {
				alive = append(alive, i)
			}
		}
		if len(alive) == 0 {
			return
		}
		sch.turns[next(alive)] <- struct{}{}
		wait = 1
	}
}

// orders calls f with each order of the operations of two goroutines.
func orders(f func(next func(alive []int) int)) {
	var prefix []int // choices so far, where there was one
	for {
		at := 0
		f(func(alive []int) int {
			if len(alive) == 1 {
				return alive[0]
			}
			if at == len(prefix) {
				prefix = append(prefix, 0)
			}
			at++
			return alive[prefix[at-1]]
		})
		for len(prefix) > 0 && prefix[len(prefix)-1] == 1 {
			prefix = prefix[:len(prefix)-1]
		}
		if len(prefix) == 0 {
			return
		}
		prefix[len(prefix)-1] = 1
	}
}

// Of two replicas that add one entry at once, in whatever order their writes happen,
// exactly one has added it. The other leaves nothing behind.
func TestRotation_ExactlyOneAdds(t *testing.T) {
	type adds = func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error)
	for what, add := range map[string]adds{
		"a lease": func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error) {
			held, err := st.TakeLease(t.Context(), v, time.Minute)
			if held == nil || err != nil {
				return false, err
			}
			_, holds, err := st.LookUnderLease(t.Context(), v, held)
			if !holds {
				t.Error("got a lease that is not held; want it held")
			}
			return true, err
		},
		"the lease of a callback": func(t *testing.T, st *sharedstate.State, _ *session.Session) (bool, error) {
			held, err := st.TakeCallback(t.Context(), "state", time.Minute)
			return held != nil, err
		},
		"a successor": func(t *testing.T, st *sharedstate.State, v *session.Session) (bool, error) {
			return st.AddSuccessor(t.Context(), v, successorTo(v, fmt.Sprintf("%p", st)))
		},
	} {
		pairs(func(name string, a, b [][]byte) {
			orders(func(next func([]int) int) {
				s, v := newShared(), with(t, both)
				v.Generation = 0
				var won [2]bool
				var states [2]*sharedstate.State
				run(next, func(i int, step func()) {
					states[i] = open(t, stepping{s, step}, [][][]byte{a, b}[i]...)
					ok, err := add(t, states[i], v)
					if err != nil {
						t.Errorf("%s: %s: got error %v; want none", name, what, err)
					}
					won[i] = ok
				})
				if won[0] == won[1] {
					t.Fatalf("%s: %s: got added %v; want one of the two to have added it", name, what, won)
				}
				winner := 0
				if won[1] {
					winner = 1
				}
				if n, want := len(s.values), len([][][]byte{a, b}[winner]); what != "a successor" && n != want {
					t.Errorf("%s: %s: got %d entries; want the winner's %d", name, what, n, want)
				}
				if what == "a successor" {
					for i := range 2 {
						got, _, err := follows(t, open(t, s, [][][]byte{a, b}[i]...), v)
						if err != nil || got.RefreshToken != fmt.Sprintf("%p", states[winner]) {
							t.Errorf("%s: %s: replica %d: got %+v, %v; want the winner's", name, what, i, got, err)
						}
					}
				}
			})
		})
	}
}

// stepping is shared state whose operations wait for their turn.
type stepping struct {
	*shared
	step func()
}

// Two replicas end all sessions of a person at once, in whatever order their reads
// and writes happen. A session from before has ended everywhere, and one from
// afterwards has not.
func TestRotation_TwoEndPerson(t *testing.T) {
	notes := func(st *sharedstate.State) *session.Session {
		p, err := st.Person(t.Context(), "u1")
		noError(t, err)
		v := with(t, both)
		v.Number = p.Number
		return v
	}
	pairs(func(name string, a, b [][]byte) {
		if !strings.HasPrefix(name, "rotation 0") {
			return // which differ in the order of what is added
		}
		for before := range mostEnded + 1 { // times that they were ended before: by none, by a, by b after a
			orders(func(next func([]int) int) {
				s := newShared()
				plain := []*sharedstate.State{open(t, s, a...), open(t, s, b...)}
				earlier := []*session.Session{notes(plain[0])}
				for i := range before {
					noError(t, plain[i].EndPerson(t.Context(), "u1"))
					earlier = append(earlier, notes(plain[0]), notes(plain[1]))
				}
				run(next, func(i int, step func()) {
					if err := open(t, stepping{s, step}, [][][]byte{a, b}[i]...).EndPerson(t.Context(), "u1"); err != nil {
						t.Errorf("%s: got error %v; want none", name, err)
					}
				})
				for i, st := range plain {
					for _, v := range earlier {
						wantEnded(t, fmt.Sprintf("%s, ended %d times before: replica %d, a session from before", name, before, i), st, v, sharedstate.ByApplication)
					}
					for j, by := range plain {
						wantEnded(t, fmt.Sprintf("%s, ended %d times before: replica %d, a session from after, at replica %d", name, before, i, j), st, notes(by), 0)
					}
				}
			})
		}
	})
}

func (s stepping) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	s.step()
	return s.shared.Get(ctx, keys...)
}

func (s stepping) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.step()
	return s.shared.Set(ctx, key, value, ttl)
}

func (s stepping) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	s.step()
	return s.shared.Add(ctx, key, value, ttl)
}

func (s stepping) Delete(ctx context.Context, key string) error {
	s.step()
	return s.shared.Delete(ctx, key)
}

// halfway is shared state whose nth Add is done, and whose answer is lost. What
// would take it back fails too.
type halfway struct {
	*shared
	nth int
}

func (h *halfway) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	ok, err := h.shared.Add(ctx, key, value, ttl)
	if h.nth--; h.nth == 0 {
		return false, errors.New("the answer is lost")
	}
	return ok, err
}

func (h *halfway) Delete(ctx context.Context, key string) error {
	if h.nth <= 0 {
		return errors.New("the answer is lost")
	}
	return h.shared.Delete(ctx, key)
}

// A successor that was written under one of its names alone is written under all
// when that is tried again: a replica that knows the other name alone would use the
// refresh token of the generation before a second time.
func TestRotation_SuccessorWrittenHalfWay(t *testing.T) {
	for i, steps := range rotations() {
		for at, keys := range steps {
			for nth := 1; nth <= len(keys); nth++ {
				s := newShared()
				v := with(t, both)
				next := successorTo(v, "next")
				if added, err := open(t, &halfway{s, nth}, keys...).AddSuccessor(t.Context(), v, next); added || err == nil {
					t.Fatalf("the answer is lost: got added %t, %v; want an error", added, err)
				}
				s.fail["Get"] = io.ErrUnexpectedEOF
				if added, err := open(t, s, keys...).AddSuccessor(t.Context(), v, next); added || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("what there is cannot be read: got added %t, %v; want an error", added, err)
				}
				s.fail["Get"] = nil
				if added, err := open(t, &halfway{s, 2}, keys...).AddSuccessor(t.Context(), v, next); nth < len(keys) && (added || err == nil) {
					t.Errorf("the answer is lost again: got added %t, %v; want an error", added, err)
				}
				if added, err := open(t, s, keys...).AddSuccessor(t.Context(), v, next); !added || err != nil {
					t.Errorf("rotation %d, step %d, again: got added %t, %v; want it added", i, at, added, err)
				}
				for _, beside := range steps[max(0, at-1):min(len(steps), at+2)] {
					got, _, err := follows(t, open(t, s, beside...), v)
					if err != nil || got.RefreshToken != "next" {
						t.Errorf("rotation %d, step %d, write %d lost: got %+v, %v from another replica; want the successor", i, at, nth, got, err)
					}
				}
				if added, err := open(t, s, keys...).AddSuccessor(t.Context(), v, successorTo(v, "another")); added || err != nil {
					t.Errorf("another successor: got added %t, %v; want it not to be", added, err)
				}
				// If another's is there under one name, all that know it follow that.
				s = newShared()
				_, _ = open(t, &halfway{s, nth}, keys...).AddSuccessor(t.Context(), v, next)
				for _, key := range keys {
					_, err := open(t, s, key).AddSuccessor(t.Context(), v, successorTo(v, "another"))
					noError(t, err)
				}
				if added, err := open(t, s, keys...).AddSuccessor(t.Context(), v, next); added && nth < len(keys) || err != nil {
					t.Errorf("rotation %d, step %d, after another's: got added %t, %v; want it not to be", i, at, added, err)
				}
			}
		}
	}
}
