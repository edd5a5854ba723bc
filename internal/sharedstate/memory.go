package sharedstate

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
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

// class says what an entry is worth when room gets scarce.
type class int

const (
	ordinary class = iota // refused when seven eighths of the room are used
	kept                  // accepted up to the limit, and never dropped
	cached                // dropped first
)

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
// be fetched again is dropped first; new ordinary entries are refused before
// the limit is reached; what must not be lost, a sign-out above all, may use
// the room kept free for it and is never dropped before it expires. When even
// that is full, writing fails.
type Memory struct {
	now    func() time.Time
	limits Limits
	most   Limits // seven eighths of them, for entries that are not kept

	mu      sync.RWMutex
	entries map[string]*entry
	cached  queue
	others  queue // all that is not cached
}

type entry struct {
	key     string
	value   []byte
	expires int64 // nanoseconds since 1970
	index   int   // in its queue
}

func (e *entry) size() int { return len(e.key) + len(e.value) + entryCost }

// NewMemory returns an empty Memory.
func NewMemory(now func() time.Time, limits Limits) *Memory {
	return &Memory{
		now: now, limits: limits, entries: make(map[string]*entry),
		most: Limits{Entries: limits.Entries - limits.Entries/8, Bytes: limits.Bytes - limits.Bytes/8},
	}
}

// none is what Get returns if no key has a value, as for most requests: each
// would allocate 96 bytes otherwise.
var none [8][]byte

// Get returns the values of keys in their order, nil for a key without one.
// What it returns must not be changed.
func (m *Memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	var values [][]byte
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i, key := range keys {
		e := m.live(key)
		if e == nil {
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
	if m.live(key) != nil {
		return false, nil
	}
	err := m.put(key, value, ttl)
	return err == nil, err
}

// live returns the entry of a key; nil if there is none, or it has expired.
func (m *Memory) live(key string) *entry {
	e := m.entries[key]
	if e == nil || e.expires <= m.now().UnixNano() {
		return nil
	}
	return e
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
	e := &entry{key: key, value: append([]byte{}, value...), expires: now.Add(ttl).UnixNano()}
	old := m.entries[key]
	m.remove(old)
	err := m.makeRoom(e, now.UnixNano())
	if err != nil {
		e = old
	}
	m.insert(e)
	return err
}

// How many expired entries one write drops. It is tempting to drop all of them,
// since a write has paid for each; but a million that expire together would
// hold up every request for a fifth of a second.
const (
	swept       = 8    // always: more than a write adds, so that all go in time
	sweptIfFull = 1024 // if there is no room otherwise
)

// sweep drops up to n entries that have expired, and reports whether more have.
func (m *Memory) sweep(now int64, n int) (more bool) {
	for _, q := range []*queue{&m.cached, &m.others} {
		for len(q.entries) > 0 && q.entries[0].expires <= now {
			if n == 0 {
				return true
			}
			n--
			m.remove(q.entries[0])
		}
	}
	return false
}

// makeRoom drops what gives way for e; before ErrFull, only what has expired.
func (m *Memory) makeRoom(e *entry, now int64) error {
	limits := m.most
	if classOf(e.key) == kept {
		limits = m.limits
	}
	// Whether there is room once every cached entry has given way.
	fits := func() bool { return limits.fit(len(m.others.entries)+1, m.others.bytes+e.size()) }
	if m.sweep(now, swept) && !fits() && m.sweep(now, sweptIfFull) {
		// A thousand entries have made room for one, and more will follow: this takes
		// nothing of the room that is kept free.
		limits = m.limits
	}
	if !fits() {
		return ErrFull
	}
	// Whatever the class of e: otherwise a later entry would have to drop all cached
	// ones at once.
	for len(m.cached.entries) > 0 && !m.most.fit(len(m.entries)+1, m.cached.bytes+m.others.bytes+e.size()) {
		m.remove(m.cached.entries[0])
	}
	return nil
}

func (l Limits) fit(entries, bytes int) bool { return entries <= l.Entries && bytes <= l.Bytes }

// insert and remove do nothing with nil.

func (m *Memory) insert(e *entry) {
	if e != nil {
		m.entries[e.key] = e
		heap.Push(m.queueOf(e), e)
	}
}

func (m *Memory) remove(e *entry) {
	if e != nil {
		delete(m.entries, e.key)
		heap.Remove(m.queueOf(e), e.index)
	}
}

func (m *Memory) queueOf(e *entry) *queue {
	if classOf(e.key) == cached {
		return &m.cached
	}
	return &m.others
}

// queue is a heap of entries: the one that expires first is at its top.
type queue struct {
	entries []*entry
	bytes   int
}

func (q *queue) Len() int           { return len(q.entries) }
func (q *queue) Less(i, j int) bool { return q.entries[i].expires < q.entries[j].expires }
func (q *queue) Swap(i, j int) {
	h := q.entries
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push and Pop are for container/heap.

func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(q.entries)
	q.entries = append(q.entries, e)
	q.bytes += e.size()
}

func (q *queue) Pop() any {
	last := len(q.entries) - 1
	e := q.entries[last]
	q.entries[last] = nil
	q.entries = q.entries[:last]
	q.bytes -= e.size()
	return e
}
