package sessionstore

import "github.com/gosignin/signin/internal/session"

// Opened opens a session from its text, and returns the buffer that held it.
func (st *Store) Opened(text string, s *session.Session) []byte {
	b := new(buffers)
	b.open(st.noID, text, s)
	return b.plain
}
