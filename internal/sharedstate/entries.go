package sharedstate

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/gosignin/signin/internal/session"
)

// Reason is why a session has ended.
type Reason byte

const (
	SignedOut  Reason = 's' // by the person, here or at the provider
	ByProvider Reason = 'p' // the provider refused to refresh it
	Replaced   Reason = 'r' // a new sign-in in the same browser
	Unknown    Reason = '?' // an entry that cannot be read
)

// readEnd reads an end: why, and up to which beginnings, in milliseconds. One
// that cannot be read ends every session that it speaks of, since it was
// written to end them.
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
// provider session or subject whose sign-in began at or before at. An end that
// is known already is never moved back, or a replica whose clock is slow would
// revive what another has ended.
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
	return failure("writing a sign-out to", st.store.Set(ctx, st.Key(kind, value), entry, st.ttl))
}

// AddSuccessor keeps the successor of a session, sealed. It reports false if
// there is one already.
func (st *State) AddSuccessor(ctx context.Context, s, next *session.Session) (bool, error) {
	plain, err := next.Append(nil)
	if err != nil {
		return false, err
	}
	key := st.GenerationKey(Successor, s.ID, s.Generation)
	ok, err := st.store.Add(ctx, key, st.successors.Box(key).Seal(nil, plain), st.ttl)
	return ok, failure("writing a refreshed session to", err)
}

// Successor opens the successor of a session. It is an error if it does not open,
// or is not the next generation of this session.
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
	err := st.store.Set(ctx, st.GenerationKey(Successor, id, generation), superseded, st.ttl)
	return failure("marking a session superseded in", err)
}

// TakeLease takes the lease on a generation of a session, unless it is taken.
func (st *State) TakeLease(ctx context.Context, s *session.Session, lease time.Duration) (bool, error) {
	ok, err := st.store.Add(ctx, st.GenerationKey(Lease, s.ID, s.Generation), []byte{1}, lease)
	return ok, failure("taking a lease in", err)
}

// ReleaseLease gives the lease back. Only its holder calls it, and only while
// well inside the lease: a late call would free another's.
func (st *State) ReleaseLease(ctx context.Context, s *session.Session) error {
	return failure("releasing a lease in", st.store.Delete(ctx, st.GenerationKey(Lease, s.ID, s.Generation)))
}

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
	return ok, failure("writing a one-time value to", err)
}

// UsedNote returns the note of a one-time value, and whether it has been used.
func (st *State) UsedNote(ctx context.Context, kind Kind, value []byte) (note []byte, used bool, err error) {
	key := st.Key(kind, value)
	sealed, err := st.getOne(ctx, key)
	if err != nil || sealed == nil {
		return nil, false, err
	}
	note, _ = st.notes.Box(key).Open(nil, sealed) // one that does not open is used all the same
	return note, true, nil
}

// LookForToken reads what Look reads, and the access token that is kept for an
// audience, in one round trip. The token is nil if there is no readable one.
func (st *State) LookForToken(ctx context.Context, s *session.Session, audience session.Audience) (Standing, *session.Token, error) {
	key := st.tokenKey(s.ID, audience)
	values, err := st.get(ctx, append(st.keys(nil, s), key)...)
	if err != nil {
		return Standing{}, nil, err
	}
	last := len(values) - 1
	var token *session.Token
	if plain, err := st.tokens.Box(key).Open(nil, values[last]); err == nil {
		token, _ = session.ParseToken(plain)
	}
	return read(values[:last], s.Began), token, nil
}

// KeepToken keeps an access token for a time, sealed.
func (st *State) KeepToken(ctx context.Context, id session.ID, audience session.Audience, token *session.Token, ttl time.Duration) error {
	key := st.tokenKey(id, audience)
	err := st.store.Set(ctx, key, st.tokens.Box(key).Seal(nil, token.Append(nil)), ttl)
	return failure("writing an access token to", err)
}

// tokenKey is where a session's access token for an audience is kept. The
// length tells the two names apart.
func (st *State) tokenKey(id session.ID, audience session.Audience) string {
	value := binary.AppendUvarint(bytes.Clone(id[:]), uint64(len(audience.Resource)))
	value = append(value, audience.Resource...)
	return st.Key(Token, append(value, audience.Organization...))
}
