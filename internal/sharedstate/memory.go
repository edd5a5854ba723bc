package sharedstate

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// Limits bounds a Memory. Bytes counts keys, values and an estimate of what
// else each entry costs.
type Limits struct {
	Entries int
	Bytes   int
}

// ErrFull means that there is no room for an entry of its class.
var ErrFull = errors.New("signin: shared state in memory is full")

// entryCost is what an entry costs beyond its key and value: the struct, the
// map's slot, the slot in the heap, and what the allocator rounds up. It is
// measured: 120 to 152 bytes, depending on how full the map's tables are.
const entryCost = 136

// class says what an entry is worth when room gets scarce.
type class int

const (
	ordinary class = iota // refused when seven eighths of its room are used
	kept                  // accepted up to the limit, and never dropped
	end                   // the same, in room that nothing else may use
	cached                // dropped first
)

// classOf returns the class of an entry, by the kind in its key.
func classOf(key string) class {
	switch key[0] {
	case 'e', 'x':
		return end
	case 'n', 'h', 's', 'g', 'l', 'j', 'd': // of existing sessions; of logout tokens, which only the provider makes
		return kept
	case 't':
		return cached
	}
	return ordinary
}

// Memory is a Store for one process, bounded. It is safe for concurrent use.
//
// Its room is limited. An eighth is for ends alone, whatever fills the rest: a
// sign-out must not fail because many people have signed in. Of the rest, what can
// be fetched again is dropped first, and new sign-ins are refused before the limit
// is reached, so that existing sessions go on. Nothing else is dropped before it
// expires. At the limit, writing fails.
//
// Entries expire by the clock's monotonic reading: setting the clock forward for a
// moment must not lose a sign-out.
type Memory struct {
	now   func() time.Time
	start time.Time
	ends  Limits // of ends
	most  Limits // of all else
	early Limits // at which ordinary entries are refused

	mu     sync.RWMutex
	slots  map[string]*slot
	queues [3]queue // of ends, cached and others
}

// The indexes of the queues.
const (
	forEnds = iota
	forCached
	forOthers
)

type slot struct {
	key     string
	value   []byte
	expires time.Duration // after the start
	index   int           // in its queue
}

func (e *slot) size() int { return len(e.key) + len(e.value) + entryCost }

// NewMemory returns an empty Memory.
func NewMemory(now func() time.Time, limits Limits) *Memory {
	ends := Limits{limits.Entries / 8, limits.Bytes / 8}
	most := Limits{limits.Entries - ends.Entries, limits.Bytes - ends.Bytes}
	return &Memory{
		now: now, start: now(), slots: make(map[string]*slot),
		ends: ends, most: most, early: Limits{most.Entries - most.Entries/8, most.Bytes - most.Bytes/8},
	}
}

func (m *Memory) passed() time.Duration { return m.now().Sub(m.start) }

// none is what Get returns if no key has a value. That is so for most requests, and
// each would allocate 96 bytes otherwise.
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
	return m.put(key, value, ttl, false)
}

// Add stores a copy of value under key for ttl, unless key has a value, and reports
// whether it did.
func (m *Memory) Add(_ context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live(key) != nil {
		return false, nil
	}
	err := m.put(key, value, ttl, true)
	return err == nil, err
}

// live returns the entry of a key; nil if there is none, or it has expired.
func (m *Memory) live(key string) *slot {
	e := m.slots[key]
	if e == nil || e.expires <= m.passed() {
		return nil
	}
	return e
}

// Delete removes key.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(m.slots[key])
	return nil
}

func (m *Memory) put(key string, value []byte, ttl time.Duration, added bool) error {
	now := m.passed()
	e := &slot{key: key, value: append([]byte{}, value...), expires: now + ttl}
	old := m.slots[key]
	m.remove(old)
	err := m.makeRoom(e, now, added)
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
func (m *Memory) sweep(now time.Duration, n int) (more bool) {
	for i := range m.queues {
		q := &m.queues[i]
		for len(q.slots) > 0 && q.slots[0].expires <= now {
			if n == 0 {
				return true
			}
			n--
			m.remove(q.slots[0])
		}
	}
	return false
}

// makeRoom makes room for e. Before ErrFull it drops only what has expired.
func (m *Memory) makeRoom(e *slot, now time.Duration, added bool) error {
	q, limits := m.queueOf(e), m.early
	if classOf(e.key) == kept {
		limits = m.most
	}
	if q == &m.queues[forEnds] {
		// One account can end many of its sessions, mostly by signing in again. That
		// must leave room for sign-outs, and the ends of single sessions must leave
		// room for those of all sessions of a person.
		eighths := 8
		if e.key[0] == 'e' { // of one session
			eighths = 7
			if added { // of a session that was replaced, or that the provider refused
				eighths = 6
			}
		}
		limits = Limits{m.ends.Entries * eighths / 8, m.ends.Bytes / 8 * eighths}
	}
	if q == &m.queues[forCached] { // other cached entries give way to it
		q = &m.queues[forOthers]
	}
	fits := func() bool { return limits.fit(len(q.slots)+1, q.bytes+e.size()) }
	if m.sweep(now, swept) && !fits() && m.sweep(now, sweptIfFull) && classOf(e.key) != end {
		// A thousand entries have made room for one, and more will follow.
		limits = m.most
	}
	if !fits() {
		return ErrFull
	}
	// Each class but ends makes cached entries give way early, or one entry could have
	// to drop all of them later.
	cached, others := &m.queues[forCached], &m.queues[forOthers]
	for classOf(e.key) != end && len(cached.slots) > 0 &&
		!m.early.fit(len(cached.slots)+len(others.slots)+1, cached.bytes+others.bytes+e.size()) {
		m.remove(cached.slots[0])
	}
	return nil
}

func (l Limits) fit(entries, bytes int) bool { return entries <= l.Entries && bytes <= l.Bytes }

// insert and remove do nothing with nil.

func (m *Memory) insert(e *slot) {
	if e != nil {
		m.slots[e.key] = e
		heap.Push(m.queueOf(e), e)
	}
}

func (m *Memory) remove(e *slot) {
	if e != nil {
		delete(m.slots, e.key)
		heap.Remove(m.queueOf(e), e.index)
	}
}

func (m *Memory) queueOf(e *slot) *queue {
	switch classOf(e.key) {
	case end:
		return &m.queues[forEnds]
	case cached:
		return &m.queues[forCached]
	}
	return &m.queues[forOthers]
}

// queue is a heap of entries: the one that expires first is at its top.
type queue struct {
	slots []*slot
	bytes int
}

func (q *queue) Len() int           { return len(q.slots) }
func (q *queue) Less(i, j int) bool { return q.slots[i].expires < q.slots[j].expires }
func (q *queue) Swap(i, j int) {
	h := q.slots
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push and Pop are for container/heap.

func (q *queue) Push(x any) {
	e := x.(*slot)
	e.index = len(q.slots)
	q.slots = append(q.slots, e)
	q.bytes += e.size()
}

func (q *queue) Pop() any {
	last := len(q.slots) - 1
	e := q.slots[last]
	q.slots[last] = nil
	q.slots = q.slots[:last]
	q.bytes -= e.size()
	return e
}
