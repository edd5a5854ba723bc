package sharedstate

import (
	"context"
	"fmt"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// Revoked notes that a session's refresh token has been given back, and reports
// whether that was not noted before.
func (st *State) Revoked(ctx context.Context, s *session.Session) (first bool, err error) {
	return st.use(ctx, st.GenerationKey(Revoked, s.ID, s.Generation), nil, st.ttl)
}

// Use marks a one-time value as used and keeps a note with it, sealed. It
// reports false if it has been used before.
func (st *State) Use(ctx context.Context, kind Kind, value, note []byte, ttl time.Duration) (bool, error) {
	return st.use(ctx, st.Key(kind, value), note, ttl)
}

func (st *State) use(ctx context.Context, key string, note []byte, ttl time.Duration) (bool, error) {
	ok, err := st.store.Add(ctx, key, st.notes.Box(key).Seal(nil, note), ttl)
	if err != nil {
		return false, fmt.Errorf("signin: writing a one-time value to shared state: %w", err)
	}
	return ok, nil
}

// UsedNote returns the note of a one-time value that has been used, and
// whether it has.
func (st *State) UsedNote(ctx context.Context, kind Kind, value []byte) (note []byte, used bool, err error) {
	key := st.Key(kind, value)
	sealed, err := st.getOne(ctx, key)
	if err != nil || sealed == nil {
		return nil, false, err
	}
	note, _ = st.notes.Box(key).Open(nil, sealed) // one that does not open is used all the same
	return note, true, nil
}
