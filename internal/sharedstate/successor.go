package sharedstate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// AddSuccessor keeps the successor of a session, sealed. It reports false if there is
// one already.
func (st *State) AddSuccessor(ctx context.Context, s, next *session.Session) (bool, error) {
	plain, err := next.Append(nil)
	if err != nil {
		return false, err
	}
	key := st.GenerationKey(Successor, s.ID, s.Generation)
	ok, err := st.store.Add(ctx, key, st.successors.Box(key).Seal(nil, plain), st.ttl)
	if err != nil {
		return false, fmt.Errorf("signin: writing a refreshed session to shared state: %w", err)
	}
	return ok, nil
}

// Successor opens the successor of a session. The error says that it does not
// open, or is not the next generation of this session.
func (st *State) Successor(s *session.Session, sealed []byte) (*session.Session, error) {
	plain, err := st.successors.Box(st.GenerationKey(Successor, s.ID, s.Generation)).Open(nil, sealed)
	if err != nil {
		return nil, err
	}
	next := new(session.Session)
	if err := next.Decode(plain); err != nil {
		return nil, err
	}
	if next.ID != s.ID || next.Generation != s.Generation+1 {
		return nil, errors.New("signin: the successor of another session")
	}
	return next, nil
}

// Supersede reduces the successor of a generation to a mark without tokens.
func (st *State) Supersede(ctx context.Context, id session.ID, generation uint64) error {
	if err := st.store.Set(ctx, st.GenerationKey(Successor, id, generation), superseded, st.ttl); err != nil {
		return fmt.Errorf("signin: marking a session superseded in shared state: %w", err)
	}
	return nil
}

// TakeLease takes the lease on one generation of a session, or reports that it
// is taken.
func (st *State) TakeLease(ctx context.Context, s *session.Session, lease time.Duration) (bool, error) {
	ok, err := st.store.Add(ctx, st.GenerationKey(Lease, s.ID, s.Generation), []byte{1}, lease)
	if err != nil {
		return false, fmt.Errorf("signin: taking a lease in shared state: %w", err)
	}
	return ok, nil
}

// ReleaseLease gives the lease back. Only its holder calls it, and only while
// well inside the lease: a late call would free another's.
func (st *State) ReleaseLease(ctx context.Context, s *session.Session) error {
	if err := st.store.Delete(ctx, st.GenerationKey(Lease, s.ID, s.Generation)); err != nil {
		return fmt.Errorf("signin: untaking a lease in shared state: %w", err)
	}
	return nil
}
