package sharedstate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

// inMemory is a ledger on shared state in memory, and its clock in seconds.
func inMemory(t testing.TB, limits sharedstate.Limits) (*sharedstate.State, *sharedstate.Memory, *atomic.Int64) {
	t.Helper()
	seconds := new(atomic.Int64)
	now := func() time.Time { return start.Add(time.Duration(seconds.Load()) * time.Second) }
	s := sharedstate.NewMemory(now, limits)
	l, err := sharedstate.New(s, [][]byte{key(1)}, issuer, client, ttl)
	if err != nil {
		t.Fatalf("New: got error %v; want none", err)
	}
	return l, s, seconds
}

// lived returns a ledger whose shared state holds 100,000 entries, and
// sessions of which nothing has been written: what nearly every request asks.
func lived(t testing.TB, sessions int) (*sharedstate.State, []*session.Session) {
	t.Helper()
	l, s, _ := inMemory(t, sharedstate.Limits{Entries: 1 << 20, Bytes: 256 << 20})
	for i := range uint64(100_000) {
		id := session.NewID()
		kind := []sharedstate.Kind{sharedstate.EndedSession, sharedstate.EndedProviderSession, sharedstate.Successor, sharedstate.Used}[i%4]
		if err := s.Set(t.Context(), l.GenerationKey(kind, id, i), make([]byte, 9), ttl); err != nil {
			t.Fatalf("Set: got error %v; want none", err)
		}
	}
	all := make([]*session.Session, sessions)
	for i := range all {
		all[i] = with(t, fmt.Sprintf(`{"sub":"subject %d","sid":"session %d"}`, i, i))
		all[i].ID = session.NewID()
	}
	return l, all
}

// BenchmarkLook is what each request asks of shared state in memory: one Get of
// four keys, and what it says.
func BenchmarkLook(b *testing.B) {
	for _, row := range []struct {
		name     string
		sessions int
	}{{"one session", 1}, {"10000 sessions by turns", 10_000}} {
		l, all := lived(b, row.sessions)
		look := func(i int) {
			if s, err := l.Look(context.Background(), all[i%len(all)]); err != nil || !s.Plain() {
				b.Errorf("got %+v, %v; want nothing to say", s, err)
			}
		}
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				look(i)
			}
		})
		b.Run(row.name+", in parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.IntN(len(all)); pb.Next(); i++ {
					look(i)
				}
			})
		})
	}
}

// Not parallel: it counts what the process allocates.
func TestLook_FewAllocations(t *testing.T) {
	l, all := lived(t, 1)
	ctx := context.Background()
	got := testing.AllocsPerRun(1000, func() {
		if s, err := l.Look(ctx, all[0]); err != nil || !s.Plain() {
			t.Errorf("got %+v, %v; want nothing to say", s, err)
		}
	})
	if got > 3 {
		t.Errorf("got %v allocations; want 3 at the most", got)
	}
}

// A flood of all that may be written, into shared state that is much too small.
// Whatever was reported as written is known until it expires; whatever was not
// is an error. And the heap stays within the limit.
func TestAFloodDropsNoSignOutAndNoSuccessor(t *testing.T) {
	const limit = 4 << 20
	ctx := context.Background()
	type entry struct {
		id    session.ID
		ended bool
	}
	known := make([]entry, 0, 20_000) // of which something was written
	refused := map[string]int{}
	random := rand.New(rand.NewPCG(3, 4))
	before := heap()
	l, s, seconds := inMemory(t, sharedstate.Limits{Entries: 1 << 20, Bytes: limit})
	refuse := func(what string, err error) bool {
		if err != nil && !errors.Is(err, sharedstate.ErrFull) {
			t.Fatalf("%s: got error %v; want none, or that it is full", what, err)
		}
		if err != nil {
			refused[what]++
		}
		return err != nil
	}
	for i := range 60_000 {
		v := &session.Session{ID: session.NewID(), Began: start, Created: start, LastSeen: start}
		value := v.ID[:]
		ok := true
		var err error
		switch what := random.IntN(12); {
		case what == 0:
			err = l.End(ctx, sharedstate.EndedSession, value, sharedstate.SignedOut, start)
			if ok = !refuse("a sign-out", err); ok {
				known = append(known, entry{v.ID, true})
			}
		case what == 1:
			ok, err = l.AddSuccessor(ctx, v, successorTo(v, "r"))
			if !refuse("a successor", err) {
				known = append(known, entry{v.ID, false})
			}
		case what == 2 && i%50 == 0: // only who has a session, and only the provider
			ok, err = l.TakeLease(ctx, v, time.Minute)
			refuse("a lease", err)
		case what == 3 && i%50 == 0:
			ok, err = l.Use(ctx, sharedstate.LogoutToken, value, nil, 5*time.Minute)
			refuse("a logout token", err)
		case what == 4:
			err = s.Set(ctx, l.Key(sharedstate.Token, value), make([]byte, 900), time.Hour)
			ok = !refuse("an access token", err)
		default:
			ok, err = l.Use(ctx, sharedstate.Used, value, []byte("/where/they/were/going"), 10*time.Minute)
			refuse("a sign-in", err)
		}
		if ok == (err != nil) {
			t.Fatalf("entry %d: got %v beside error %v; want one of them", i, ok, err)
		}
	}
	if share := float64(heap()-before) / limit; share > 1.15 {
		t.Errorf("got %.2f of the limit in the heap; want 1.15 at the most", share)
	}
	check := func(when string, still bool) {
		for _, k := range known {
			got, err := l.Look(ctx, &session.Session{ID: k.id, Began: start})
			if err != nil || got.Ended != (still && k.ended) || (got.Successor != nil) != (still && !k.ended) {
				t.Fatalf("%s: %x: got %+v, %v; want what was written, until it expires", when, k.id, got, err)
			}
		}
	}
	check("after the flood", true)
	if refused["a sign-in"] == 0 || refused["a sign-out"] == 0 || refused["a sign-out"] >= refused["a sign-in"]/6 {
		t.Errorf("got refused %v; want sign-ins first, and sign-outs when all is full", refused)
	}
	seconds.Store(int64(ttl/time.Second) - 1)
	check("at the last second", true)
	if err := l.End(ctx, sharedstate.EndedSubject, []byte("u2"), sharedstate.SignedOut, start); err != nil {
		t.Errorf("a sign-out once the sign-ins have expired: got %v; want room", err)
	}
	seconds.Store(int64(ttl / time.Second))
	check("when it has expired", false)
	if ok, err := l.Use(ctx, sharedstate.Used, []byte("state"), nil, time.Minute); !ok || err != nil {
		t.Errorf("a sign-in then: got %v, %v; want room", ok, err)
	}
	runtime.KeepAlive(s)
}
