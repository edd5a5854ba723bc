package sharedstate

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Reason is why a session has ended.
type Reason byte

const (
	SignedOut  Reason = 's' // by the person, here or at the provider
	ByProvider Reason = 'p' // the provider refused to refresh it
	Replaced   Reason = 'r' // a new sign-in in the same browser
	Unknown    Reason = '?' // an entry that cannot be read
)

// readEnd reads one way in which a session may have ended: why, and up to which
// beginnings, in milliseconds. An entry that cannot be read ends every session
// that it speaks of: it was written to end them.
func readEnd(value []byte) (Reason, int64) {
	switch {
	case value == nil:
		return 0, 0
	case len(value) != 9:
		return Unknown, math.MaxInt64
	}
	at := int64(binary.BigEndian.Uint64(value[1:]))
	switch reason := Reason(value[0]); reason {
	case SignedOut, ByProvider, Replaced:
		return reason, at
	}
	return Unknown, at
}

// End ends what value names: the session with that ID, or every session of that
// provider session or subject whose sign-in began at or before at. An end that is
// known already is never moved back: a replica whose clock is slow would revive
// what another has ended.
func (st *State) End(ctx context.Context, kind Kind, value []byte, reason Reason, at time.Time) error {
	if kind != EndedSession { // whose end needs no time
		known, err := st.getOne(ctx, st.Key(kind, value))
		if err != nil {
			return err
		}
		if _, before := readEnd(known); before != math.MaxInt64 && before > at.UnixMilli() {
			at = time.UnixMilli(before)
		}
	}
	entry := binary.BigEndian.AppendUint64([]byte{byte(reason)}, uint64(at.UnixMilli()))
	if err := st.store.Set(ctx, st.Key(kind, value), entry, st.ttl); err != nil {
		return fmt.Errorf("signin: writing a sign-out to shared state: %w", err)
	}
	return nil
}
