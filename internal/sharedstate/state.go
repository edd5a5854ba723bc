// Package sharedstate gives names and meaning to what all replicas of an
// application must know: which sessions have ended, what their successors are,
// which one-time values have been used. It also keeps that in memory, for
// applications of one process.
//
// Shared state has no compare-and-swap, so nothing that matters is overwritten
// because of an earlier read. A sign-out is one entry, a successor another: a
// refresh that does not know of a sign-out cannot undo it. A successor is added
// once and later becomes a mark that points to the next. The newest is found by
// following them; the entry that names it is only a hint.
//
// Names are hashes of a secret that only holders of Config.Keys know. Values are
// sealed under their name: one copied to another name does not open. A value that
// is under one of our names and does not open is an error, never "no entry".
package sharedstate

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gosignin/signin/internal/seal"
)

// Store is shared state as the root package defines it.
type Store interface {
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error)
	Delete(ctx context.Context, key string) error
}

// Clocks is how far the clocks of replicas, and of their shared state, may differ.
const Clocks = 10 * time.Minute

// Config is what a State works with.
type Config struct {
	Store          Store
	Keys           [][]byte
	Issuer, Client string
	// Base is the BaseURL of the application: see Kind.everywhere.
	Base string
	// TTL is how long an end, mark or successor of a session is kept: as long as any
	// cookie of that session can still be of use.
	TTL time.Duration
	// PersonTTL is how long an end of all sessions of a person is kept: as long as
	// any session lives.
	PersonTTL time.Duration
	// SinceTTL is how long the time of such an end is kept: as long as a sign-in may
	// take. A clock that is ahead makes sign-ins fail for at most that long.
	SinceTTL time.Duration
	Now      func() time.Time
}

// State is immutable and safe for concurrent use.
type State struct {
	cfg    Config
	store  Store
	namer  namer
	values *seal.Ring

	spaces sync.Pool // for the names of the entries that decide about a session
}

// New returns the State of one client at one issuer.
func New(cfg Config) (*State, error) {
	namer, err := newNamer(cfg.Keys, cfg.Issuer, cfg.Client, cfg.Base)
	values, err2 := seal.NewRing(cfg.Keys, "shared", cfg.Issuer, cfg.Client)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	st := &State{cfg: cfg, store: cfg.Store, namer: namer, values: values}
	st.spaces.New = func() any { s := make([]string, 0, deciding*len(cfg.Keys)); return &s }
	return st, nil
}

// entry is a value found under one of an entry's names, or zero if none was.
type entry struct {
	name  string
	value []byte // sealed
}

func (e entry) there() bool { return e.value != nil }

// ErrBroken means that a value under one of our names is not what we wrote there.
var ErrBroken = errors.New("signin: shared state holds a value that does not open")

// open opens an entry that is there.
func (st *State) open(e entry) ([]byte, error) {
	plain, err := st.values.Box(e.name).Open(nil, e.value)
	if err != nil {
		return nil, ErrBroken
	}
	return plain, nil
}

func (st *State) seal(name string, plain []byte) []byte {
	return st.values.Box(name).Seal(nil, plain)
}

// get reads entries, each given by its names.
func (st *State) get(ctx context.Context, all ...[]string) ([]entry, error) {
	var names []string
	for _, of := range all {
		names = append(names, of...)
	}
	values, err := st.read(ctx, names)
	if err != nil {
		return nil, err
	}
	found := make([]entry, len(all))
	for i, of := range all {
		for j, name := range of {
			if values[j] != nil && !found[i].there() {
				found[i] = entry{name, values[j]}
			}
		}
		values = values[len(of):]
	}
	return found, nil
}

// read reads the store. Unless there is one value for each name, it is unknown
// which value belongs to which.
func (st *State) read(ctx context.Context, names []string) ([][]byte, error) {
	values, err := st.store.Get(ctx, names...)
	if err == nil && len(values) != len(names) {
		return nil, fmt.Errorf("signin: shared state gave %d values for %d keys", len(values), len(names))
	}
	return values, failure("reading", err)
}

// set writes an entry under the first of its names, whatever is there.
func (st *State) set(ctx context.Context, doing string, names []string, plain []byte, ttl time.Duration) error {
	return failure(doing, st.store.Set(ctx, names[0], st.seal(names[0], plain), ttl))
}

// add writes an entry unless it exists, and reports whether it wrote it.
//
// While Config.Keys are rotated, replicas have different keys, or the same in a
// different order, and two of them may add the same entry at once. So it is added under all of its
// names, in an order that is the same everywhere: of two replicas that have a key
// in common, one fails at the first name that both have.
func (st *State) add(ctx context.Context, doing string, names []string, plain []byte, ttl time.Duration) (bool, error) {
	for i, at := range st.namer.fixed {
		name := names[at]
		ok, err := st.store.Add(ctx, name, st.seal(name, plain), ttl)
		if ok && err == nil {
			continue
		}
		for _, before := range st.namer.fixed[:i] { // even if ctx has ended
			err = errors.Join(err, st.store.Delete(context.WithoutCancel(ctx), names[before]))
		}
		return false, failure(doing, err)
	}
	return true, nil
}

func (st *State) remove(ctx context.Context, doing string, names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, st.store.Delete(ctx, name))
	}
	return failure(doing, errors.Join(errs...))
}

// failure says what could not be done. It is nil if err is nil.
func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("signin: %s shared state: %w", doing, err)
}

// Check writes an entry, reads it, and removes it.
func (st *State) Check(ctx context.Context) error {
	probe := []byte(rand.Text())
	names := st.namer.names(Probe, probe)
	if err := st.set(ctx, "writing to", names, probe, time.Minute); err != nil {
		return err
	}
	found, err := st.get(ctx, names)
	if err != nil {
		return err
	}
	if !found[0].there() {
		return errors.New("signin: shared state does not give back what was written to it")
	}
	if plain, err := st.open(found[0]); err != nil || !bytes.Equal(plain, probe) {
		return errors.New("signin: shared state gives back something other than what was written to it")
	}
	return st.remove(ctx, "deleting from", names)
}
