package sharedstate_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/session"
	"github.com/gosignin/signin/internal/sharedstate"
)

const (
	issuer = "https://op.test/oidc"
	client = "app"
	ttl    = time.Hour
	both   = `{"sub":"u1","sid":"s1"}`
)

var start = time.UnixMilli(1_700_000_000_500)

// shared is shared state that keeps what it was told. It can be made to fail,
// and to answer something else.
type shared struct {
	values map[string][]byte
	ttls   map[string]time.Duration
	fail   map[string]error // by operation
	answer func([][]byte) [][]byte
	asked  []string // the keys of the last Get
}

func newShared() *shared {
	return &shared{values: map[string][]byte{}, ttls: map[string]time.Duration{}, fail: map[string]error{}}
}

func (s *shared) Get(_ context.Context, keys ...string) ([][]byte, error) {
	if err := s.fail["Get"]; err != nil {
		return nil, err
	}
	s.asked = append([]string{}, keys...)
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
	if err := s.fail["Set"]; err != nil {
		return err
	}
	s.values[key], s.ttls[key] = bytes.Clone(value), ttl
	return nil
}

func (s *shared) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.fail["Add"]; err != nil || s.values[key] != nil {
		return false, err
	}
	s.values[key], s.ttls[key] = bytes.Clone(value), ttl
	return true, nil
}

func (s *shared) Delete(_ context.Context, key string) error {
	if err := s.fail["Delete"]; err != nil {
		return err
	}
	delete(s.values, key)
	return nil
}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func open(t testing.TB, s sharedstate.Store, issuer, client string, keys ...[]byte) *sharedstate.State {
	t.Helper()
	if keys == nil {
		keys = [][]byte{key(1)}
	}
	st, err := sharedstate.New(s, keys, issuer, client, ttl)
	noError(t, err)
	return st
}

// with returns a session that began at start, at generation 3, with these claims.
func with(t testing.TB, payload string) *session.Session {
	t.Helper()
	claims, err := session.ParseClaims(payload, "")
	noError(t, err)
	return &session.Session{
		ID: session.ID{15: 7}, Began: start, Created: start.Truncate(time.Second), LastSeen: start.Truncate(time.Second),
		Generation: 3, Claims: claims,
	}
}

// successorTo returns the next generation of s, with a refresh token.
func successorTo(s *session.Session, refreshToken string) *session.Session {
	next := *s
	next.Generation++
	next.RefreshToken = refreshToken
	return &next
}

// changed returns a copy of s with something else.
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

func end(t *testing.T, st *sharedstate.State, kind sharedstate.Kind, value string, reason sharedstate.Reason, at time.Time) {
	t.Helper()
	noError(t, st.End(t.Context(), kind, []byte(value), reason, at))
}

// noError ends the test with an error.
func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
}
