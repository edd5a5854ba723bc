package sharedstate

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// Deny notes that the provider has denied a refresh of a generation, in words that may
// not be its own, and returns when it did so first. All replicas agree on that: the
// first to add the entry decides. The entry alone ends nothing.
func (st *State) Deny(ctx context.Context, s *session.Session) (first time.Time, err error) {
	now := st.cfg.Now()
	names := st.namer.ofSession(Denied, s.ID, s.Generation)
	added, err := st.add(ctx, "writing to", names, binary.AppendVarint(nil, now.Unix()), st.cfg.TTL)
	if added || err != nil {
		return now, err
	}
	found, err := st.get(ctx, names)
	if err != nil || !found[0].there() { // it has just expired
		return now, err
	}
	plain, err := st.open(found[0])
	if err != nil {
		return now, err
	}
	seconds, n := binary.Varint(plain)
	if n <= 0 {
		return now, ErrBroken
	}
	return time.Unix(seconds, 0), nil
}
