// Package sharedstate gives names and meaning to what all replicas of an
// application must know: which sessions have ended, what their successors are,
// which one-time values have been used. It also keeps that in memory, for
// applications of one process.
//
// Shared state knows no compare-and-swap, so a refresh must not overwrite what
// it has not seen: a sign-out is one key, a successor is another, and a refresh
// that does not know of a sign-out cannot undo it.
//
// Keys are hashes of kind, issuer, client and value, so shared state shows
// neither who is signed in nor a session ID that would be of use. Values that
// hold something are sealed under their full key: one copied to another key
// does not open.
package sharedstate

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gosignin/signin/internal/seal"
	"github.com/gosignin/signin/internal/session"
)

// Store is shared state as the root package defines it.
type Store interface {
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)
	Delete(ctx context.Context, key string) error
}

// State is immutable and safe for concurrent use.
type State struct {
	store Store
	scope [16]byte
	ttl   time.Duration

	successors, notes, tokens *seal.Ring

	spaces sync.Pool // for the keys of a session
}

// New returns the State of one client at one issuer. ttl is how long an entry
// that ends or moves on a session is kept: as long as any cookie that it speaks
// of can still be of use.
func New(store Store, keys [][]byte, issuer, client string, ttl time.Duration) (*State, error) {
	st := &State{store: store, ttl: ttl, spaces: sync.Pool{New: func() any { return new([most]string) }}}
	in := binary.BigEndian.AppendUint32(nil, uint32(len(issuer)))
	sum := sha256.Sum256(append(append(in, issuer...), client...))
	copy(st.scope[:], sum[:])
	var err, err2, err3 error
	st.successors, err = seal.NewRing(keys, "shared next", issuer, client)
	st.notes, err2 = seal.NewRing(keys, "shared used", issuer, client)
	st.tokens, err3 = seal.NewRing(keys, "shared token", issuer, client)
	return st, errors.Join(err, err2, err3)
}

// Standing is what shared state says of a session.
type Standing struct {
	Ended      bool
	Reason     Reason // why it has ended
	Superseded bool   // the browser has shown a later generation
	Successor  []byte // sealed; nil if this is the newest generation
}

// Plain reports that shared state says nothing of the session.
func (s Standing) Plain() bool { return !s.Ended && !s.Superseded && s.Successor == nil }

// superseded is what a successor is reduced to. What is sealed is longer.
var superseded = []byte{'s'}

// Look reads what shared state says of a session.
func (st *State) Look(ctx context.Context, s *session.Session) (Standing, error) {
	// A Store has the slice only until it returns, so the next request can use it.
	space := st.spaces.Get().(*[most]string)
	defer func() {
		clear(space[:]) // the keys keep alive what they are part of
		st.spaces.Put(space)
	}()
	values, err := st.get(ctx, st.keys(space[:0], s)...)
	if err != nil {
		return Standing{}, err
	}
	return read(values, s.Began), nil
}

// read makes a Standing of the values of a session's keys.
func read(values [][]byte, began time.Time) Standing {
	var s Standing
	for i, v := range values[1:] {
		reason, at := readEnd(v)
		// A session ID belongs to one sign-in, so its end needs no time. With one, a
		// clock that was set back would undo a sign-out.
		if reason == 0 || i > 0 && began.UnixMilli() > at {
			continue
		}
		// A sign-out outweighs any other reason: its token is revoked.
		if !s.Ended || reason == SignedOut {
			s.Ended, s.Reason = true, reason
		}
	}
	if len(values[0]) == len(superseded) {
		s.Superseded = true
	} else {
		s.Successor = values[0]
	}
	return s
}

func (st *State) getOne(ctx context.Context, key string) ([]byte, error) {
	values, err := st.get(ctx, key)
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// get reads shared state. Values that are not one for each key say nothing
// about any of them.
func (st *State) get(ctx context.Context, keys ...string) ([][]byte, error) {
	values, err := st.store.Get(ctx, keys...)
	if err == nil && len(values) != len(keys) {
		return nil, fmt.Errorf("signin: shared state gave %d values for %d keys", len(values), len(keys))
	}
	return values, failure("reading", err)
}

// failure says what could not be done; nil if err is.
func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("signin: %s shared state: %w", doing, err)
}

// Check writes an entry, reads it, and removes it.
func (st *State) Check(ctx context.Context) error {
	probe := []byte(rand.Text())
	key := st.Key(Probe, probe)
	if err := st.store.Set(ctx, key, probe, time.Minute); err != nil {
		return failure("writing to", err)
	}
	value, err := st.getOne(ctx, key)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(value, probe):
		return errors.New("signin: shared state does not give back what was written to it")
	}
	return failure("deleting from", st.store.Delete(ctx, key))
}
