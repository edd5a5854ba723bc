package sharedstate

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// class says what an entry is worth when room gets scarce.
type class int

const (
	// ordinary entries are refused when seven eighths of the room are used.
	ordinary class = iota
	// kept entries are accepted up to the limit, and never dropped.
	kept
	// cached entries are dropped first.
	cached
)

// Limits bounds a Memory. Bytes counts keys, values and an estimate of what
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

// classOf tells by the kind of an entry what it is worth.
func classOf(key string) class {
	switch key[0] {
	case 'e', 'n', 'l', 'j': // only the provider can make logout tokens
		return kept
	case 't':
		return cached
	}
	return ordinary
}

// Memory is a Store for one process, bounded. It is safe for concurrent use.
//
// An attacker may fill it: each sign-in that is started and each logout token
// leaves an entry. So it has a limit, and a rule for what gives way: what can
// be fetched again is dropped first; new entries of the ordinary kind are
// refused before the limit is reached; and what must not be lost, a sign-out
// above all, may use the room kept free for it and is never dropped before it
// expires. When even that is full, writing fails: the caller knows, and says so.
type Memory struct {
	now    func() time.Time
	limits Limits
	most   Limits // seven eighths of them, for entries that are not kept

	mu      sync.RWMutex
	entries map[string]*entry
	cached  queue // entries of class cached
	others  queue // all the rest
}

type entry struct {
	key     string
	value   []byte
	expires int64 // nanoseconds since 1970
	class   class
	index   int // in its queue
}

func (e *entry) size() int { return len(e.key) + len(e.value) + entryCost }

// NewMemory returns an empty Memory.
func NewMemory(now func() time.Time, limits Limits) *Memory {
	return &Memory{
		now: now, limits: limits, entries: make(map[string]*entry),
		most: Limits{Entries: limits.Entries - limits.Entries/8, Bytes: limits.Bytes - limits.Bytes/8},
	}
}

// none is what Get returns if no key has a value, which is so for most requests:
// each would allocate 96 bytes otherwise.
var none [8][]byte

// Get returns the values of keys, in their order, nil where there is none. What
// it returns must not be changed.
func (m *Memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	var values [][]byte
	var now int64 // and no clock is needed then
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i, key := range keys {
		e := m.entries[key]
		if e == nil {
			continue
		}
		if now == 0 {
			now = m.now().UnixNano()
		}
		if e.expires <= now {
			continue
		}
		if values == nil {
			values = make([][]byte, len(keys))
		}
		values[i] = e.value
	}
	switch {
	case values != nil:
		return values, nil
	case len(keys) <= len(none):
		return none[:len(keys):len(keys)], nil
	}
	return make([][]byte, len(keys)), nil
}

// Set stores a copy of value under key for ttl.
func (m *Memory) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.put(key, value, ttl)
}

// Add stores a copy of value under key for ttl, unless key has a value; it
// reports whether it has.
func (m *Memory) Add(_ context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.entries[key]; e != nil && e.expires > m.now().UnixNano() {
		return false, nil
	}
	if err := m.put(key, value, ttl); err != nil {
		return false, err
	}
	return true, nil
}

// Delete removes key.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(m.entries[key])
	return nil
}

func (m *Memory) put(key string, value []byte, ttl time.Duration) error {
	now := m.now()
	e := &entry{key: key, value: append([]byte{}, value...), expires: now.Add(ttl).UnixNano(), class: classOf(key)}
	if err := m.makeRoom(e, now.UnixNano()); err != nil {
		return err
	}
	m.remove(m.entries[key])
	m.entries[key] = e
	m.queueOf(e).push(e)
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
func (m *Memory) sweep(now int64, n int) (more bool) {
	for _, q := range []*queue{&m.cached, &m.others} {
		for q.expired(now) {
			if n == 0 {
				return true
			}
			n--
			m.remove(q.entries[0])
		}
	}
	return false
}

// makeRoom drops what gives way for e, or returns ErrFull; then it has dropped
// nothing that has not expired.
func (m *Memory) makeRoom(e *entry, now int64) error {
	limits := m.most
	if e.class == kept {
		limits = m.limits
	}
	if m.sweep(now, swept) && !m.fits(e, limits) && m.sweep(now, sweptIfFull) {
		// A thousand entries have made room for one, and more are to follow:
		// the room that is kept free is not what it takes.
		limits = m.limits
	}
	if !m.fits(e, limits) {
		return ErrFull
	}
	// For any class, or one entry would have to drop all that were left.
	for len(m.cached.entries) > 0 && !m.with(e).within(m.most) {
		m.remove(m.cached.entries[0])
	}
	return nil
}

// fits reports whether there is room for e once every cached entry has given way.
func (m *Memory) fits(e *entry, limits Limits) bool {
	use := m.with(e)
	use.Entries -= len(m.cached.entries)
	use.Bytes -= m.cached.bytes
	if old := m.entries[e.key]; old != nil && old.class == cached { // counted twice
		use.Entries++
		use.Bytes += old.size()
	}
	return use.within(limits)
}

// with is what the store would hold with e, in place of the entry of its key.
func (m *Memory) with(e *entry) Limits {
	use := Limits{Entries: len(m.entries) + 1, Bytes: m.cached.bytes + m.others.bytes + e.size()}
	if old := m.entries[e.key]; old != nil {
		use.Entries--
		use.Bytes -= old.size()
	}
	return use
}

func (use Limits) within(l Limits) bool { return use.Entries <= l.Entries && use.Bytes <= l.Bytes }

func (m *Memory) remove(e *entry) {
	if e == nil {
		return
	}
	delete(m.entries, e.key)
	m.queueOf(e).remove(e)
}

func (m *Memory) queueOf(e *entry) *queue {
	if e.class == cached {
		return &m.cached
	}
	return &m.others
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
