package sharedstate_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

const (
	issuer    = "https://op.test/oidc"
	client    = "app"
	ttl       = 25 * time.Hour
	personTTL = 15 * 24 * time.Hour
	sinceTTL  = 70 * time.Minute
	both      = `{"sub":"u1","sid":"s1"}`
	withoutID = `{"sub":"u1"}`
)

// start is when the provider has issued the ID token of a session.
var start = time.Unix(1_700_000_000, 0)

// shared is shared state that keeps what it was told, for ever. It can be made to
// fail, and to answer something else.
type shared struct {
	before func(operation string) // each operation, if it is set

	mu     sync.Mutex
	values map[string][]byte
	ttls   map[string]time.Duration
	fail   map[string]error // by operation
	answer func([][]byte) [][]byte
	asked  []string // the keys of all Gets
	rounds int      // Gets
}

func newShared() *shared {
	return &shared{values: map[string][]byte{}, ttls: map[string]time.Duration{}, fail: map[string]error{}}
}

// begin begins an operation, and returns the error that it is to have.
func (s *shared) begin(operation string) error {
	if s.before != nil {
		s.before(operation)
	}
	s.mu.Lock()
	return s.fail[operation]
}

func (s *shared) Get(_ context.Context, keys ...string) ([][]byte, error) {
	err := s.begin("Get")
	defer s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.rounds++
	s.asked = append(s.asked, keys...)
	var values [][]byte
	for _, k := range keys {
		values = append(values, s.values[k])
	}
	if s.answer != nil {
		values = s.answer(values)
	}
	return values, nil
}

func (s *shared) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	err := s.begin("Set")
	defer s.mu.Unlock()
	if err == nil {
		s.values[key], s.ttls[key] = bytes.Clone(value), ttl
	}
	return err
}

func (s *shared) Add(_ context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	err := s.begin("Add")
	defer s.mu.Unlock()
	if err != nil || s.values[key] != nil {
		return false, err
	}
	s.values[key], s.ttls[key] = bytes.Clone(value), ttl
	return true, nil
}

func (s *shared) Delete(ctx context.Context, key string) error {
	err := s.begin("Delete")
	defer s.mu.Unlock()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		delete(s.values, key)
	}
	return err
}

// keys returns the keys of a kind, given by its letter, in order.
func (s *shared) keys(letter string) (all []string) {
	for k := range s.values {
		if k[:1] == letter {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}

// forget deletes all entries of a kind.
func (s *shared) forget(letter string) {
	for _, k := range s.keys(letter) {
		delete(s.values, k)
	}
}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// open returns the State of the usual client, with one key if none are given.
func open(t testing.TB, s sharedstate.Store, keys ...[]byte) *sharedstate.State {
	t.Helper()
	return openAs(t, s, issuer, client, keys...)
}

func openAs(t testing.TB, s sharedstate.Store, issuer, client string, keys ...[]byte) *sharedstate.State {
	t.Helper()
	if keys == nil {
		keys = [][]byte{key(1)}
	}
	st, err := sharedstate.New(sharedstate.Config{
		Store: s, Keys: keys, Issuer: issuer, Client: client, TTL: ttl, PersonTTL: personTTL, SinceTTL: sinceTTL, Now: time.Now,
	})
	noError(t, err)
	return st
}

// with returns a session of these claims, at generation 3.
func with(t testing.TB, payload string) *session.Session {
	t.Helper()
	claims, err := session.ParseClaims(payload, "")
	noError(t, err)
	return &session.Session{
		ID: session.ID{15: 7}, IssuedAt: start.Unix(), Created: start, LastSeen: start, Generation: 3, Claims: claims,
	}
}

// successorTo returns the next generation of s, with a refresh token.
func successorTo(s *session.Session, refreshToken string) *session.Session {
	next := *s
	next.Generation++
	next.RefreshToken = refreshToken
	return &next
}

// changed returns a changed copy of s.
func changed(s *session.Session, change func(*session.Session)) *session.Session {
	other := *s
	change(&other)
	return &other
}

func add(t *testing.T, st *sharedstate.State, s, next *session.Session) {
	t.Helper()
	if ok, err := st.AddSuccessor(t.Context(), s, next); !ok || err != nil {
		t.Fatalf("AddSuccessor: got %v, %v; want true", ok, err)
	}
}

// chain adds n successors to s, one after another, and returns the newest.
func chain(t *testing.T, st *sharedstate.State, s *session.Session, n int) *session.Session {
	t.Helper()
	for range n {
		next := successorTo(s, fmt.Sprint("token ", s.Generation+1))
		add(t, st, s, next)
		s = next
	}
	return s
}

// wantEnded checks why a session has ended, 0 if it has not.
func wantEnded(t *testing.T, what string, st *sharedstate.State, s *session.Session, want sharedstate.Reason) {
	t.Helper()
	got, err := st.Look(t.Context(), s)
	if err != nil || got.Ended != want || got.Plain() != (want == 0 && got.Newest()) {
		t.Errorf("%s: got %q (plain %t), %v; want %q", what, got.Ended, got.Plain(), err, want)
	}
}

// noError ends the test if err is not nil.
func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
}
