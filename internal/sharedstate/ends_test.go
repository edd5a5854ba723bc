package sharedstate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

func TestEndSession_Reasons(t *testing.T) {
	const out, refused, replaced = sharedstate.SignedOut, sharedstate.Refused, sharedstate.Replaced
	for name, row := range map[string]struct {
		reasons []sharedstate.Reason
		want    sharedstate.Reason
	}{
		"none":                           {nil, 0},
		"signed out":                     {[]sharedstate.Reason{out}, out},
		"replaced":                       {[]sharedstate.Reason{replaced}, replaced},
		"replaced, then signed out":      {[]sharedstate.Reason{replaced, out}, out},
		"signed out, then replaced":      {[]sharedstate.Reason{out, replaced}, out},
		"replaced, then refused":         {[]sharedstate.Reason{replaced, refused}, replaced},
		"refused, then signed out twice": {[]sharedstate.Reason{refused, out, out}, out},
	} {
		s, v := newShared(), with(t, both)
		st := open(t, s)
		for _, reason := range row.reasons {
			noError(t, st.EndSession(t.Context(), v.ID, reason))
		}
		wantEnded(t, name, st, v, row.want)
		wantEnded(t, name+", a later generation", st, successorTo(v, "r"), row.want)
		wantEnded(t, name+", another session", st, changed(v, func(v *session.Session) { v.ID[0]++ }), 0)
		for k := range s.values {
			if s.ttls[k] != ttl {
				t.Errorf("%s: got it kept for %v; want %v", name, s.ttls[k], ttl)
			}
		}
	}
}

// If several things have ended a session, the most specific one is reported.
func TestLook_SeveralEnds(t *testing.T) {
	for name, row := range map[string]struct {
		ends []func(st *sharedstate.State, v *session.Session) error
		want sharedstate.Reason
	}{
		"by the application and the provider": {[]func(st *sharedstate.State, v *session.Session) error{endsPerson, endsAtProvider}, sharedstate.ByApplication},
		"signed out, and by both":             {[]func(st *sharedstate.State, v *session.Session) error{endsPerson, endsAtProvider, endsAs(sharedstate.SignedOut)}, sharedstate.SignedOut},
		"replaced, and by both":               {[]func(st *sharedstate.State, v *session.Session) error{endsPerson, endsAtProvider, endsAs(sharedstate.Replaced)}, sharedstate.Replaced},
	} {
		st, v := open(t, newShared()), with(t, both)
		for _, end := range row.ends {
			noError(t, end(st, v))
		}
		wantEnded(t, name, st, v, row.want)
	}
}

func endsPerson(st *sharedstate.State, _ *session.Session) error {
	return st.EndPerson(context.Background(), "u1")
}

func endsAtProvider(st *sharedstate.State, _ *session.Session) error {
	return st.EndByProvider(context.Background(), sharedstate.Ended{Subject: "u1"}, start)
}

func endsAs(reason sharedstate.Reason) func(st *sharedstate.State, v *session.Session) error {
	return func(st *sharedstate.State, v *session.Session) error {
		return st.EndSession(context.Background(), v.ID, reason)
	}
}

// No clocks are compared: a session is ended by any number but the one that it has
// noted.
func TestEndPerson_Number(t *testing.T) {
	s := newShared()
	st := open(t, s)
	noting := func() *session.Session {
		p, err := st.Person(t.Context(), "u1")
		noError(t, err)
		return changed(with(t, both), func(v *session.Session) { v.Number = p.Number })
	}
	never := noting()
	if never.Number != (session.Number{}) {
		t.Errorf("got number %x of a person whose sessions were never ended; want none", never.Number)
	}
	wantEnded(t, "never ended", st, never, 0)
	noError(t, st.EndPerson(t.Context(), "u1"))
	first := noting()
	wantEnded(t, "noted before", st, never, sharedstate.ByApplication)
	wantEnded(t, "noted after", st, first, 0)
	noError(t, st.EndPerson(t.Context(), "u1"))
	second := noting()
	wantEnded(t, "noted before both", st, never, sharedstate.ByApplication)
	wantEnded(t, "noted between", st, first, sharedstate.ByApplication)
	wantEnded(t, "noted after both", st, second, 0)
	wantEnded(t, "another person", st, with(t, `{"sub":"u2","sid":"s1"}`), 0)
	wantEnded(t, "a person named as the session is", st, with(t, `{"sub":"s1","sid":"u1"}`), 0)
	// The hook of a sign-in ends those that have begun, and the sign-in goes on.
	p, err := st.Person(t.Context(), "u1")
	noError(t, err)
	number, err := st.EndBegun(t.Context(), "u1")
	noError(t, err)
	begun, spared := second, changed(second, func(v *session.Session) { v.Number = number })
	wantEnded(t, "begun before EndBegun", st, begun, sharedstate.ByApplication)
	wantEnded(t, "noting the number of EndBegun", st, spared, 0)
	if same, err := st.Same(t.Context(), "u1", p); !same || err != nil {
		t.Errorf("a sign-in under way: got %t, %v; want that it goes on", same, err)
	}
	noError(t, st.EndPerson(t.Context(), "u1"))
	wantEnded(t, "noting the number of EndBegun, and then EndPerson", st, spared, sharedstate.ByApplication)
	second = noting()
	if got := slices.Sorted(maps.Values(s.ttls)); !slices.Equal(got, []time.Duration{sinceTTL, personTTL}) {
		t.Errorf("got entries kept for %v; want the time for %v, the number for %v", got, sinceTTL, personTTL)
	}
	s.forget("x") // as old as any session can be
	wantEnded(t, "no entry any more", st, second, 0)
	wantEnded(t, "no entry any more, and no number noted", st, never, 0)
}

// In whatever order the reads of a callback and the writes of EndPerson happen, the
// sign-in is refused or its session has ended.
func TestEndPerson_AnyOrder(t *testing.T) {
	began := time.Now().Add(-time.Minute)
	for before := range 2 { // times that they were ended before
		orders(func(next func([]int) int) {
			s := newShared()
			var refused bool
			var v *session.Session
			synctest.Test(t, func(t *testing.T) { // long ago
				for range before {
					noError(t, open(t, s).EndPerson(t.Context(), "u1"))
				}
			})
			run(next, func(i int, step func()) {
				st := open(t, stepping{s, step})
				if i == 0 {
					if err := st.EndPerson(t.Context(), "u1"); err != nil {
						t.Errorf("EndPerson: got error %v; want none", err)
					}
					return
				}
				p, err := st.Person(t.Context(), "u1")
				same, err2 := st.Same(t.Context(), "u1", p)
				if err := errors.Join(err, err2); err != nil {
					t.Errorf("got error %v; want none", err)
				}
				refused = !same || p.Since.After(began)
				v = changed(with(t, both), func(v *session.Session) { v.Number = p.Number })
			})
			if !refused {
				wantEnded(t, "a session that was let in", open(t, s), v, sharedstate.ByApplication)
			}
		})
	}
}

// If a step of EndPerson fails, the error is returned, and nothing is written out of
// order.
func TestEndPerson_AnyOperationFails(t *testing.T) {
	down := errors.New("connection refused")
	for failing := range 4 {
		s, n := newShared(), 0
		s.before = func(operation string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			clear(s.fail)
			if n == failing {
				s.fail[operation] = down
			}
			n++
		}
		err := open(t, s).EndPerson(t.Context(), "u1")
		if !errors.Is(err, down) || n != failing+1 || len(s.values) != failing/2 {
			t.Errorf("operation %d: got %v, %d operations, %d entries; want the failure, and to go no further", failing, err, n, len(s.values))
		}
	}
}

func TestSame_Broken(t *testing.T) {
	s := newShared()
	st := open(t, s)
	noError(t, st.EndPerson(t.Context(), "u1"))
	p, err := st.Person(t.Context(), "u1")
	noError(t, err)
	for _, k := range s.keys("x") {
		value := s.values[k]
		s.values[k] = []byte("broken")
		if same, err := st.Same(t.Context(), "u1", p); same || !errors.Is(err, sharedstate.ErrBroken) {
			t.Errorf("%q: got %t, %v; want ErrBroken", k, same, err)
		}
		s.values[k] = value
	}
}

// An end that expires while a sign-in is under way must not refuse it.
func TestSame_Expired(t *testing.T) {
	s := newShared()
	st := open(t, s)
	noError(t, st.EndPerson(t.Context(), "u1"))
	p, err := st.Person(t.Context(), "u1")
	noError(t, err)
	maps.DeleteFunc(s.values, func(k string, _ []byte) bool { return s.ttls[k] == sinceTTL })
	if same, err := st.Same(t.Context(), "u1", p); !same || err != nil || len(s.values) != 1 {
		t.Errorf("got %t, %v with %d entries; want it the same, with the number alone", same, err, len(s.values))
	}
}

func TestPerson_Since(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShared()
		st := open(t, s)
		for range 2 {
			time.Sleep(time.Hour)
			before, err := st.Person(t.Context(), "u1")
			noError(t, err)
			if same, err := st.Same(t.Context(), "u1", before); !same || err != nil {
				t.Errorf("nothing has happened: got same %t, %v; want it", same, err)
			}
			noError(t, st.EndPerson(t.Context(), "u1"))
			p, err := st.Person(t.Context(), "u1")
			if err != nil || !p.Since.Equal(time.Now()) {
				t.Errorf("got %v, %v; want now, %v", p.Since, err, time.Now())
			}
			if same, err := st.Same(t.Context(), "u1", before); same || err != nil {
				t.Errorf("ended meanwhile: got same %t, %v; want it changed", same, err)
			}
		}
		// Two at the same moment are told apart.
		p, err := st.Person(t.Context(), "u1")
		noError(t, err)
		noError(t, st.EndPerson(t.Context(), "u1"))
		if same, err := st.Same(t.Context(), "u1", p); same || err != nil {
			t.Errorf("ended twice in a moment: got same %t, %v; want it changed", same, err)
		}
		if other, err := st.Person(t.Context(), "u2"); err != nil || !other.Since.IsZero() || other.Number != (session.Number{}) {
			t.Errorf("another person: got %+v, %v; want nothing", other, err)
		}
	})
}

// The provider's clock decides: replicas differ by half a minute. A session was issued at
// start.
func TestEndByProvider(t *testing.T) {
	const none, sec = sharedstate.Reason(0), time.Second
	const by = sharedstate.ByProvider
	type who = sharedstate.Ended
	sub, sid, two := who{Subject: "u1"}, who{SessionID: "s1"}, who{"u1", "s1"}
	authenticated := func(at time.Duration) string {
		return fmt.Sprintf(`{"sub":"u1","sid":"s1","auth_time":%d}`, start.Add(at).Unix())
	}
	for _, row := range []struct {
		name   string
		claims string
		who    who
		at     time.Duration // the logout token, after start
		want   sharedstate.Reason
	}{
		{"sub, of a session with sid", both, sub, sec, by},
		{"sub, of a session without sid", withoutID, sub, sec, by},
		{"sid, of its session", both, sid, sec, by},
		{"sid, of a session without sid", withoutID, sid, sec, none},
		{"both, of its session", both, two, sec, by},
		{"both, of that subject's session without sid", withoutID, two, sec, by},
		{"both, of another session of the subject", `{"sub":"u1","sid":"s2"}`, two, sec, none},
		{"both, of another subject's session without sid", `{"sub":"u2"}`, two, sec, none},
		{"another subject", both, who{Subject: "u2"}, sec, none},
		{"another provider session", both, who{SessionID: "s2"}, sec, none},
		{"a subject named as the provider session is", both, who{Subject: "s1"}, sec, none},
		{"a provider session named as the subject is", both, who{SessionID: "u1"}, sec, none},

		{"at the second of the ID token", both, sub, 0, by},
		{"long after it", both, sub, 13 * 24 * time.Hour, by},
		// A code was under way: the ID token was issued for it a little later.
		{"a second before the ID token, which does not say when the person authenticated", both, sub, -sec, by},
		{"ten seconds before it", both, sub, -10 * sec, by},
		{"eleven seconds before it", both, sub, -11 * sec, none},
		{"ten seconds before it, and the person authenticated before", authenticated(-time.Hour), sub, -10 * sec, by},
		{"ten seconds before it, and the person authenticated at that second", authenticated(-10 * sec), sub, -10 * sec, by},
		{"ten seconds before it, and the person authenticated after", authenticated(-9 * sec), sub, -10 * sec, none},
		{"eleven seconds before it, and the person authenticated before", authenticated(-time.Hour), sub, -11 * sec, none},
		{"after it, and the person authenticated after that", authenticated(time.Hour), sub, sec, by},
		{"both, ten seconds before, and the person authenticated after", authenticated(-9 * sec), two, -10 * sec, none},
	} {
		s := newShared()
		st := open(t, s)
		noError(t, st.EndByProvider(t.Context(), row.who, start.Add(row.at)))
		wantEnded(t, row.name, st, with(t, row.claims), row.want)
		for k, kept := range s.ttls {
			if _, there := s.values[k]; there && kept != ttl {
				t.Errorf("%s: got %q kept for %v; want %v, and no lease", row.name, k, kept, ttl)
			}
		}
	}
}

// Of several ends each one counts, whichever is later.
func TestEndByProvider_Several(t *testing.T) {
	sub, sid := sharedstate.Ended{Subject: "u1"}, sharedstate.Ended{SessionID: "s1"}
	for name, at := range map[string][2]time.Duration{
		"sub, and sid long before": {time.Second, -time.Hour}, "sid, and sub long before": {-time.Hour, time.Second},
	} {
		st := open(t, newShared())
		noError(t, st.EndByProvider(t.Context(), sub, start.Add(at[0])))
		noError(t, st.EndByProvider(t.Context(), sid, start.Add(at[1])))
		wantEnded(t, name, st, with(t, both), sharedstate.ByProvider)
	}
}

func TestEndByProvider_NotMovedBack(t *testing.T) {
	for name, row := range map[string]struct{ first, second, want time.Duration }{
		"a later one moves it on": {0, time.Minute, time.Minute}, "an earlier one leaves it": {time.Minute, 0, time.Minute}, "the same twice": {0, 0, 0},
	} {
		st := open(t, newShared())
		for _, at := range []time.Duration{row.first, row.second} {
			noError(t, st.EndByProvider(t.Context(), sharedstate.Ended{Subject: "u1"}, start.Add(at)))
		}
		wantEndAt(t, name, st, start.Add(row.want))
	}
}

// wantEndAt checks when the logout token was issued that ended the sessions of u1.
func wantEndAt(t *testing.T, what string, st *sharedstate.State, at time.Time) {
	t.Helper()
	issued := func(at time.Time) *session.Session {
		return changed(with(t, fmt.Sprintf(`{"sub":"u1","auth_time":%d}`, at.Unix())), func(v *session.Session) { v.IssuedAt = at.Unix() })
	}
	wantEnded(t, what+": issued at that second", st, issued(at), sharedstate.ByProvider)
	wantEnded(t, what+": issued a second later", st, issued(at.Add(time.Second)), 0)
}

// slow is shared state in memory, some of whose operations take long. It looks at its
// context only during a write that takes long.
type slow struct {
	*sharedstate.Memory
	takes map[string]time.Duration // by operation, before it happens
	after map[string]time.Duration // and after it
}

func (s *slow) wait(operation string, do func()) {
	time.Sleep(s.takes[operation])
	do()
	time.Sleep(s.after[operation])
}

func (s *slow) Get(ctx context.Context, keys ...string) (values [][]byte, err error) {
	s.wait("Get", func() { values, err = s.Memory.Get(ctx, keys...) })
	return values, err
}

func (s *slow) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error) {
	s.wait("Add", func() { added, err = s.Memory.Add(ctx, key, value, ttl) })
	return added, err
}

func (s *slow) Set(ctx context.Context, key string, value []byte, ttl time.Duration) (err error) {
	s.wait("Set", func() {
		if s.takes["Set"] > 0 {
			err = ctx.Err()
		}
		if err == nil {
			err = s.Memory.Set(ctx, key, value, ttl)
		}
	})
	return err
}

func (s *slow) Delete(ctx context.Context, key string) (err error) {
	s.wait("Delete", func() {
		if s.takes["Delete"] > 0 {
			err = ctx.Err()
		}
		if err == nil {
			err = s.Memory.Delete(ctx, key)
		}
	})
	return err
}

// A writer stalls, at any operation and for any time, and others write later ends
// meanwhile. The first must not move them back, nor free the lease of
// another.
func TestEndByProvider_WriterStalls(t *testing.T) {
	type times = map[string]time.Duration
	var writers []*slow
	for _, stall := range []time.Duration{time.Second, 9 * time.Second, 11 * time.Second, 21 * time.Second, 25 * time.Second} {
		for _, operation := range []string{"Add", "Get", "Set", "Delete"} {
			writers = append(writers, &slow{takes: times{operation: stall}}, &slow{after: times{operation: stall}})
		}
	}
	writers = append(writers, &slow{after: times{"Add": 15 * time.Second}, takes: times{"Get": 7 * time.Second}})
	for _, first := range writers {
		for _, takes := range []time.Duration{time.Second, 6 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				writerStalls(t, fmt.Sprintf("it takes %v, and %v after that; the second %v", first.takes, first.after, takes), first, takes)
			})
		}
	}
}

func writerStalls(t *testing.T, name string, first *slow, takes time.Duration) {
	who, early, late := sharedstate.Ended{Subject: "u1"}, start, start.Add(time.Minute)
	m := sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
	writes := func(took time.Duration) *sharedstate.State {
		return open(t, &slow{Memory: m, takes: map[string]time.Duration{"Set": took}})
	}
	first.Memory = m
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = open(t, first).EndByProvider(t.Context(), who, early) })
	// The others come when the lease has lapsed. The second holds a lease when the first
	// goes on, and the third takes one as soon as it can.
	time.Sleep(20*time.Second + time.Millisecond)
	wg.Go(func() {
		err := sharedstate.ErrBusy
		for errors.Is(err, sharedstate.ErrBusy) { // as a provider does
			err = writes(takes).EndByProvider(t.Context(), who, late)
		}
		if err != nil {
			t.Errorf("%s: the second: got error %v; want none", name, err)
		}
	})
	time.Sleep(5 * time.Second)
	third := writes(3*time.Second).EndByProvider(t.Context(), who, early.Add(time.Second))
	wg.Wait()
	wantEndAt(t, name, open(t, m), late)
	if third != nil && !errors.Is(third, sharedstate.ErrBusy) {
		t.Errorf("%s: the third: got error %v; want none, or ErrBusy", name, third)
	}
	stalled := max(first.takes["Add"], first.takes["Get"], first.takes["Set"], first.after["Add"], first.after["Get"])
	tooLate := stalled > 9*time.Second && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sharedstate.ErrBusy))
	if err != nil && !tooLate {
		t.Errorf("%s: got error %v; want one only from a writer that is too late", name, err)
	}
}

// A writer that gets no lease in two seconds says so, and the provider tries again.
func TestEndByProvider_Busy(t *testing.T) {
	for name, row := range map[string]struct {
		holds time.Duration // how long another writer holds the lease
		who   sharedstate.Ended
		leave time.Duration // when the client leaves; 0 if it stays
		want  error
		took  time.Duration // at most
	}{
		"for a moment":                      {time.Second, sharedstate.Ended{Subject: "u1"}, 0, nil, 1100 * time.Millisecond},
		"for long":                          {8 * time.Second, sharedstate.Ended{Subject: "u1"}, 0, sharedstate.ErrBusy, 2100 * time.Millisecond},
		"for long, and the client leaves":   {8 * time.Second, sharedstate.Ended{Subject: "u1"}, time.Second, context.Canceled, time.Second},
		"for long, of another person":       {8 * time.Second, sharedstate.Ended{Subject: "u2"}, 0, nil, 0},
		"for long, of the person's session": {8 * time.Second, sharedstate.Ended{SessionID: "u1"}, 0, nil, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := sharedstate.NewMemory(time.Now, sharedstate.Limits{Entries: 1000, Bytes: 1 << 20})
			var wg sync.WaitGroup
			wg.Go(func() {
				st := open(t, &slow{Memory: m, takes: map[string]time.Duration{"Set": row.holds}})
				noError(t, st.EndByProvider(t.Context(), sharedstate.Ended{Subject: "u1"}, start))
			})
			synctest.Wait()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			if row.leave > 0 {
				time.AfterFunc(row.leave, leave)
			}
			began := time.Now()
			err := open(t, m).EndByProvider(ctx, row.who, start.Add(time.Minute))
			if took := time.Since(began); !errors.Is(err, row.want) || took > row.took {
				t.Errorf("%s: got %v after %v; want %v within %v", name, err, took, row.want, row.took)
			}
			wg.Wait()
			if row.want == nil && row.who.Subject == "u1" {
				wantEndAt(t, name, open(t, m), start.Add(time.Minute))
			}
		})
	}
}

// If one of two ends cannot be written, the other is.
func TestEndByProvider_OneOfTwoFails(t *testing.T) {
	s := newShared()
	st := open(t, s)
	noError(t, st.EndByProvider(t.Context(), sharedstate.Ended{SessionID: "s1"}, start))
	s.values[s.keys("e")[0]] = []byte("broken")
	err := st.EndByProvider(t.Context(), sharedstate.Ended{Subject: "u1", SessionID: "s1"}, start)
	if !errors.Is(err, sharedstate.ErrBroken) {
		t.Errorf("got %v; want ErrBroken", err)
	}
	wantEnded(t, "the session without sid", st, with(t, withoutID), sharedstate.ByProvider)
	if got := len(s.keys("e")) + len(s.keys("x")); got != 2 {
		t.Errorf("got %d entries; want two ends, and the lease released", got)
	}
}
