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

// entryCost is what an entry costs besides its key and value: the map's slot,
// the struct, the slot in the heap.
const entryCost = 160

// Store is shared state for one process. It is safe for concurrent use.
type Store struct {
	now      func() time.Time
	classify func(key string) Class
	limits   Limits

	mu      sync.RWMutex
	entries map[string]*entry
	bytes   int
	cached  byExpiry // entries of class Cached
	others  byExpiry // all the rest
}

type entry struct {
	key     string
	value   []byte
	expires int64 // nanoseconds since 1970
	class   Class
	index   int // in its heap
}

func (e *entry) size() int { return len(e.key) + len(e.value) + entryCost }

// New returns an empty Store. classify says what a key's entry is worth.
func New(now func() time.Time, classify func(key string) Class, limits Limits) *Store {
	return &Store{now: now, classify: classify, limits: limits, entries: make(map[string]*entry)}
}

// Get returns the values of keys, in their order, nil where there is none. The
// values must not be changed.
func (s *Store) Get(_ context.Context, keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	now := s.now().UnixNano()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, key := range keys {
		if e := s.entries[key]; e != nil && e.expires > now {
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
	s.expire(now.UnixNano())
	e := &entry{key: key, value: append([]byte{}, value...), expires: now.Add(ttl).UnixNano(), class: s.classify(key)}
	if err := s.makeRoom(e, s.entries[key]); err != nil {
		return err
	}
	s.remove(s.entries[key])
	s.entries[key] = e
	s.bytes += e.size()
	heap.Push(s.heapOf(e), e)
	return nil
}

// expire drops what has expired. Each entry is dropped once, so the work is
// paid for by the writing of it.
func (s *Store) expire(now int64) {
	for _, h := range []*byExpiry{&s.cached, &s.others} {
		for len(*h) > 0 && (*h)[0].expires <= now {
			s.remove((*h)[0])
		}
	}
}

// makeRoom drops cached entries until e fits in place of old, or returns
// ErrFull and drops none.
func (s *Store) makeRoom(e, old *entry) error {
	entries, bytes := s.limits.Entries, s.limits.Bytes
	if e.class != Kept {
		entries, bytes = entries-entries/8, bytes-bytes/8
	}
	n, size := len(s.entries)+1, s.bytes+e.size()
	if old != nil {
		n, size = n-1, size-old.size()
	}
	fits := func() bool { return n <= entries && size <= bytes }
	drop := 0
	for order := s.cached; !fits() && drop < len(order); drop++ {
		if order[drop] != old {
			n, size = n-1, size-order[drop].size()
		}
	}
	if !fits() {
		return ErrFull
	}
	for _, c := range append(byExpiry(nil), s.cached[:drop]...) {
		if c != old {
			s.remove(c)
		}
	}
	return nil
}

func (s *Store) remove(e *entry) {
	if e == nil {
		return
	}
	delete(s.entries, e.key)
	s.bytes -= e.size()
	heap.Remove(s.heapOf(e), e.index)
}

func (s *Store) heapOf(e *entry) *byExpiry {
	if e.class == Cached {
		return &s.cached
	}
	return &s.others
}

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
