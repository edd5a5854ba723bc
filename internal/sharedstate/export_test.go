package sharedstate

// Len returns how many entries are held, including those that have expired and are
// still to be dropped.
func (m *Memory) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.slots)
}

// SweptIfFull is how many expired entries one write drops at most if there is no
// room.
const SweptIfFull = sweptIfFull + swept
