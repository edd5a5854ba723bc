package sharedstate

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// mark is what a successor's entry becomes when it has a successor itself. It says
// only that there is a newer generation.
var mark = []byte{'m'}

// probes is how many generations are looked for in one round trip.
const probes = 32

// ErrLost means that shared state has lost the successor of a generation.
var ErrLost = errors.New("signin: shared state has lost the successor of a session")

// AddSuccessor keeps the successor of a session, sealed. It reports false if
// there is one already.
func (st *State) AddSuccessor(ctx context.Context, s, next *session.Session) (bool, error) {
	plain, err := next.Append(nil)
	if err != nil {
		return false, err
	}
	names := st.namer.ofSession(Successor, s.ID, s.Generation)
	added, err := st.add(ctx, writingSuccessor, names, plain, st.cfg.TTL)
	if !added && err == nil {
		added, err = st.completeSuccessor(ctx, names, plain)
	}
	if !added {
		return false, err
	}
	// Only a hint: without it the newest is still found.
	_ = st.set(ctx, "", st.namer.ofSession(Newest, s.ID, 0), binary.AppendUvarint(nil, next.Generation), st.cfg.TTL)
	if s.Generation > 0 {
		// If this fails, the entry keeps its tokens, and still leads to the next.
		for _, name := range st.namer.ofSession(Successor, s.ID, s.Generation-1) {
			_ = st.store.Set(ctx, name, st.seal(name, mark), st.cfg.TTL)
		}
	}
	return true, nil
}

const writingSuccessor = "writing a refreshed session to"

// completeSuccessor checks whether the successor that could not be added is there
// already: an attempt to write it may have failed half-way, or only its answer was
// lost. It then writes what is missing. A replica that knows only a name without it
// would take the generation before for the newest, and use its refresh token again.
func (st *State) completeSuccessor(ctx context.Context, names []string, plain []byte) (bool, error) {
	values, err := st.read(ctx, names)
	if err != nil {
		return false, err
	}
	for i, name := range names {
		if values[i] == nil {
			continue
		}
		// If any name has another successor, that one counts.
		if there, err := st.values.Box(name).Open(nil, values[i]); err != nil || !bytes.Equal(there, plain) {
			return false, nil
		}
	}
	for _, name := range names { // adding it where it exists does nothing
		if _, err := st.store.Add(ctx, name, st.seal(name, plain), st.cfg.TTL); err != nil {
			return false, failure(writingSuccessor, err)
		}
	}
	return true, nil
}

// Follow returns the newest generation of a session, and what shared state says
// about that, given what it says about this one. shown is what the session's
// browser has shown; it is read with the successors, and zero if there are none.
//
// However far ahead the newest is, it is not lost.
func (st *State) Follow(ctx context.Context, s *session.Session, standing Standing) (newest *session.Session, now Standing, shown Shown, err error) {
	for first := true; !standing.Newest(); first = false {
		others := [][]string{st.namer.ofSession(Newest, s.ID, 0), st.namer.ofSession(ShownByBrowser, s.ID, 0)}
		found, err := st.get(ctx, append(others, st.successors(s.ID, s.Generation+1)...)...)
		if err != nil {
			return nil, Standing{}, Shown{}, err
		}
		if first {
			if shown, err = st.shown(found[1]); err != nil {
				return nil, Standing{}, Shown{}, err
			}
		}
		next, err := st.last(ctx, s, standing.next, st.hint(found[0]), found[2:])
		if err != nil {
			return nil, Standing{}, Shown{}, err
		}
		s = next
		if standing, err = st.Look(ctx, s); err != nil {
			return nil, Standing{}, Shown{}, err
		}
	}
	return s, standing, shown, nil
}

// successors are the names of the successors of several generations.
func (st *State) successors(id session.ID, from uint64) (all [][]string) {
	for i := range uint64(probes) {
		all = append(all, st.namer.ofSession(Successor, id, from+i))
	}
	return all
}

// hint returns the generation that is said to be the newest, or 0.
func (st *State) hint(e entry) uint64 {
	plain, _ := st.open(e) // an error does not matter: the successors decide
	n, _ := binary.Uvarint(plain)
	return n
}

// last returns the generation at the end of an unbroken chain of successors. e is
// the entry of the successor of s, and ahead are those of the generations after s.
func (st *State) last(ctx context.Context, s *session.Session, e entry, hint uint64, ahead []entry) (*session.Session, error) {
	at := s.Generation // e is the entry of its successor
	for again := 0; again <= 3; {
		n := 0
		for n < len(ahead) && ahead[n].there() {
			n++
		}
		if n > 0 {
			at, e = at+uint64(n), ahead[n-1]
		}
		if n < len(ahead) {
			next, err := st.successor(s.ID, at, e)
			if next != nil || err != nil {
				return next, err
			}
			// A mark, so there is a successor. If entries are on several servers, that
			// may have been read too early.
			again++
		}
		from, jump := at+1, n == len(ahead) && hint > at+1
		if jump {
			from = hint - 1
		}
		found, err := st.get(ctx, st.successors(s.ID, from)...)
		switch {
		case err != nil:
			return nil, err
		case !jump:
			ahead = found
		case found[0].there(): // the entry decides, not the hint
			at, e, ahead = from, found[0], found[1:]
		default:
			ahead = nil
		}
		if jump {
			hint = 0
		}
	}
	return nil, ErrLost
}

// successor opens the entry of the successor of a generation; nil for a mark.
func (st *State) successor(id session.ID, generation uint64, e entry) (*session.Session, error) {
	plain, err := st.open(e)
	if err != nil || len(plain) == len(mark) {
		return nil, err
	}
	next := new(session.Session)
	if next.Decode(plain) != nil || next.ID != id || next.Generation != generation+1 {
		return nil, ErrBroken
	}
	return next, nil
}

// Shown is what the browser of a session has shown: two generations that it got,
// hours apart, and one that it has left behind for good.
type Shown struct{ Settled, Older, Newer uint64 }

// grace is how long the cookies of a generation may be under way: in answers that are
// slow, and in tabs that were asleep.
const grace = 2 * time.Hour

func (st *State) shown(e entry) (shown Shown, err error) {
	if !e.there() {
		return shown, nil
	}
	plain, err := st.open(e)
	if err != nil {
		return shown, err
	}
	for _, n := range []*uint64{&shown.Settled, &shown.Older, &shown.Newer} {
		size := 0
		if *n, size = binary.Uvarint(plain); size <= 0 {
			return Shown{}, ErrBroken
		}
		plain = plain[size:]
	}
	return shown, nil
}

// Show notes, at most once in the time of grace, that a request has brought the
// cookie of a generation and that its answer has the cookie of the newest. From
// then on a cookie below Settled is stale: its browser has shown two later ones,
// grace apart.
//
// A write that fails, comes late or goes backwards only delays detection.
func (st *State) Show(ctx context.Context, id session.ID, brought, newest uint64) error {
	first, err := st.add(ctx, "writing to", st.namer.ofSession(Grace, id, 0), nil, grace)
	if !first {
		return err
	}
	names := st.namer.ofSession(ShownByBrowser, id, 0)
	found, err := st.get(ctx, names)
	if err != nil {
		return err
	}
	was, err := st.shown(found[0])
	if err != nil {
		return err
	}
	plain := binary.AppendUvarint(nil, max(was.Settled, min(brought, was.Older)))
	plain = binary.AppendUvarint(plain, was.Newer)
	plain = binary.AppendUvarint(plain, newest)
	return st.set(ctx, "writing to", names, plain, st.cfg.TTL)
}

// Held is a lease that this process has taken.
type Held struct {
	names  []string
	value  []byte
	inside time.Time // until then no other process can have it, however long requests take
}

// TakeLease takes the lease on a generation of a session, or returns nil if another
// has it.
func (st *State) TakeLease(ctx context.Context, s *session.Session, lease time.Duration) (*Held, error) {
	return st.take(ctx, st.namer.ofSession(Lease, s.ID, s.Generation), random(), lease)
}

func (st *State) take(ctx context.Context, names []string, value []byte, lease time.Duration) (*Held, error) {
	h := &Held{names, value, time.Now().Add(lease / 2)} // not st.cfg.Now, which may be frozen
	ok, err := st.add(ctx, "taking a lease in", names, value, lease)
	if !ok {
		return nil, err
	}
	return h, nil
}

// ReleaseLease releases a lease. Only its holder calls it. In the second half it
// does nothing, and the lease lapses: a late call could free another's.
func (st *State) ReleaseLease(ctx context.Context, h *Held) error {
	if !time.Now().Before(h.inside) {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, h.inside)
	defer cancel()
	return st.remove(ctx, "releasing a lease in", h.names)
}

// LookUnderLease reads what Look reads, and whether the lease is still held: a
// process that was stopped for a while may have lost it.
func (st *State) LookUnderLease(ctx context.Context, s *session.Session, h *Held) (Standing, bool, error) {
	standing, e, err := st.look(ctx, s, h.names)
	if err != nil || !e.there() {
		return standing, false, err
	}
	value, err := st.open(e)
	return standing, bytes.Equal(value, h.value), err
}
