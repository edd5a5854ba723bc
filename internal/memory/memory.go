// Package memory keeps shared state in this process, bounded.
//
// An attacker may fill it: each sign-in that is started and each logout token
// leaves an entry. So it has a limit, and a rule for what gives way: what can
// be fetched again is dropped first; new entries of the ordinary kind are
// refused before the limit is reached; and what must not be lost, a sign-out
// above all, may use the room kept free for it and is never dropped before it
// expires. When even that is full, writing fails: the caller knows, and says so.
package memory

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// Class says what an entry is worth when room gets scarce.
type Class int

const (
	// Ordinary entries are refused when seven eighths of the room are used.
	Ordinary Class = iota
	// Kept entries are accepted up to the limit, and never dropped.
	Kept
	// Cached entries are dropped first.
	Cached
)

// Limits bounds a Store. Bytes counts keys, values and an estimate of what
// each entry costs besides.
type Limits struct {
	Entries int
	Bytes   int
}

// ErrFull means that there is no room for an entry of its class.
var ErrFull = errors.New("signin: shared state in memory is full")

// entryCost is what an entry costs besides its key and value: the struct, the
// map's slot, the slot in the heap, and what the allocator rounds up. It is
// measured: 120 to 152 bytes, depending on how full the map's tables are.
const entryCost = 136

// Store is shared state for one process. It is safe for concurrent use.
type Store struct {
	now      func() time.Time
	classify func(key string) Class
	limits   Limits
	ordinary Limits // seven eighths of them

	mu      sync.RWMutex
	entries map[string]*entry
	cached  queue // entries of class Cached
	others  queue // all the rest
}

type entry struct {
	key     string
	value   []byte
	expires int64 // nanoseconds since 1970
	class   Class
	index   int // in its queue
}

func (e *entry) size() int { return len(e.key) + len(e.value) + entryCost }

// New returns an empty Store. classify says what a key's entry is worth.
func New(now func() time.Time, classify func(key string) Class, limits Limits) *Store {
	return &Store{
		now: now, classify: classify, limits: limits, entries: make(map[string]*entry),
		ordinary: Limits{Entries: limits.Entries - limits.Entries/8, Bytes: limits.Bytes - limits.Bytes/8},
	}
}

// Get returns the values of keys, in their order, nil where there is none. The
// values must not be changed.
func (s *Store) Get(_ context.Context, keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	var now int64 // most requests find nothing, and need no clock
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, key := range keys {
		e := s.entries[key]
		if e == nil {
			continue
		}
		if now == 0 {
			now = s.now().UnixNano()
		}
		if e.expires > now {
			values[i] = e.value
		}
	}
	return values, nil
}

// Set stores a copy of value under key for ttl.
func (s *Store) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(key, value, ttl)
}

// Add stores a copy of value under key for ttl, unless key has a value; it
// reports whether it has.
func (s *Store) Add(_ context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil && e.expires > s.now().UnixNano() {
		return false, nil
	}
	if err := s.put(key, value, ttl); err != nil {
		return false, err
	}
	return true, nil
}

// Delete removes key.
func (s *Store) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.entries[key])
	return nil
}

func (s *Store) put(key string, value []byte, ttl time.Duration) error {
	now := s.now()
	e := &entry{key: key, value: append([]byte{}, value...), expires: now.Add(ttl).UnixNano(), class: s.classify(key)}
	if err := s.makeRoom(e, now.UnixNano()); err != nil {
		return err
	}
	s.remove(s.entries[key])
	s.entries[key] = e
	s.queueOf(e).push(e)
	return nil
}

// How many expired entries one write drops. It is tempting to drop all of them,
// since each was paid for by a write of its own; but a million that expire
// together hold up every request for a fifth of a second.
const (
	swept       = 8    // always: more than it adds, so that all go in time
	sweptIfFull = 1024 // if there is no room otherwise
)

// sweep drops up to n entries that have expired, and reports whether it did not
// come to an end with that.
func (s *Store) sweep(now int64, n int) (more bool) {
	for _, q := range []*queue{&s.cached, &s.others} {
		for q.expired(now) {
			if n == 0 {
				return true
			}
			n--
			s.remove(q.entries[0])
		}
	}
	return false
}

// makeRoom drops what gives way for e, or returns ErrFull; then it has dropped
// nothing that has not expired.
func (s *Store) makeRoom(e *entry, now int64) error {
	limits := s.ordinary
	if e.class == Kept {
		limits = s.limits
	}
	if s.sweep(now, swept) && !s.fits(e, limits) && s.sweep(now, sweptIfFull) {
		// A thousand entries have made room for one, and more are to follow:
		// the room that is kept free is not what it takes.
		limits = s.limits
	}
	if !s.fits(e, limits) {
		return ErrFull
	}
	// For any class, or one entry would have to drop all that were left.
	for len(s.cached.entries) > 0 && !s.with(e).within(s.ordinary) {
		s.remove(s.cached.entries[0])
	}
	return nil
}

// fits reports whether there is room for e once every cached entry has given way.
func (s *Store) fits(e *entry, limits Limits) bool {
	use := s.with(e)
	use.Entries -= len(s.cached.entries)
	use.Bytes -= s.cached.bytes
	if old := s.entries[e.key]; old != nil && old.class == Cached { // counted twice
		use.Entries++
		use.Bytes += old.size()
	}
	return use.within(limits)
}

// with is what the store would hold with e, in place of the entry of its key.
func (s *Store) with(e *entry) Limits {
	use := Limits{Entries: len(s.entries) + 1, Bytes: s.cached.bytes + s.others.bytes + e.size()}
	if old := s.entries[e.key]; old != nil {
		use.Entries--
		use.Bytes -= old.size()
	}
	return use
}

func (use Limits) within(l Limits) bool { return use.Entries <= l.Entries && use.Bytes <= l.Bytes }

func (s *Store) remove(e *entry) {
	if e == nil {
		return
	}
	delete(s.entries, e.key)
	s.queueOf(e).remove(e)
}

func (s *Store) queueOf(e *entry) *queue {
	if e.class == Cached {
		return &s.cached
	}
	return &s.others
}

// queue holds entries in the order in which they expire.
type queue struct {
	entries byExpiry
	bytes   int
}

func (q *queue) push(e *entry) {
	q.bytes += e.size()
	heap.Push(&q.entries, e)
}

func (q *queue) remove(e *entry) {
	q.bytes -= e.size()
	heap.Remove(&q.entries, e.index)
}

// expired reports whether the first entry has expired.
func (q *queue) expired(now int64) bool { return len(q.entries) > 0 && q.entries[0].expires <= now }

// byExpiry is a heap: what expires first is at its top.
type byExpiry []*entry

func (h byExpiry) Len() int           { return len(h) }
func (h byExpiry) Less(i, j int) bool { return h[i].expires < h[j].expires }
func (h byExpiry) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push adds an entry; it is called by container/heap.
func (h *byExpiry) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop removes the last entry; it is called by container/heap.
func (h *byExpiry) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
