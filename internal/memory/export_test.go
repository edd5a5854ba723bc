package memory

// Len is how many entries are held, those that have expired and are still to be
// dropped included.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}

// SweptIfFull is the most expired entries that one write drops for want of room;
// a few are dropped besides.
const SweptIfFull = sweptIfFull + swept
