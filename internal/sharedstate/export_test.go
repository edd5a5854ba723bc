package sharedstate

// Len is how many entries are held, those that have expired and are still to be
// dropped included.
func (m *Memory) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.slots)
}

// SweptIfFull is the most expired entries that one write drops for want of room;
// a few are dropped besides.
const SweptIfFull = sweptIfFull + swept
