package redisstore_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
)

var _ signin.SharedState = (*redisstore.Shared)(nil)

// system is a Redis of some kind: the client of the application, and what its
// operator may do.
type system struct {
	client, operator redis.UniversalClient
	keys             func() []string
}

func (n *node) system() system {
	return system{client: n.client(), operator: n.operator, keys: n.keys}
}

func TestShared(t *testing.T) {
	t.Parallel()
	sharedContract(t, startNode(t).system())
}

// sharedContract tests what signin.SharedState asks for.
func sharedContract(t *testing.T, s system) {
	t.Run("Get, Set, Add, Delete", func(t *testing.T) { keepsValues(t, s) })
	t.Run("one of fifty at once adds", func(t *testing.T) { addsOnce(t, s) })
	t.Run("times to live", func(t *testing.T) { timesToLive(t, s) })
	t.Run("any bytes in a value", func(t *testing.T) { keepsBytes(t, s) })
	t.Run("values of other programs", func(t *testing.T) { foreignValues(t, s) })
	t.Run("prefixes", func(t *testing.T) { prefixes(t, s) })
}

// sharedOn returns shared state for operations that are to succeed.
func sharedOn(client redis.UniversalClient, opts ...redisstore.Option) *redisstore.Shared {
	return redisstore.NewShared(client, append(opts, redisstore.Timeout(patience))...)
}

// sessionsOn is the same for a store.
func sessionsOn(client redis.UniversalClient, opts ...redisstore.Option) *redisstore.Sessions {
	return redisstore.NewSessions(client, append(opts, redisstore.Timeout(patience))...)
}

// fresh returns shared state that is empty, and its prefix.
func (s system) fresh() (*redisstore.Shared, string) {
	prefix := "signin:" + rand.Text() + ":"
	return sharedOn(s.client, redisstore.Prefix(prefix)), prefix
}

func set(t *testing.T, s *redisstore.Shared, key, value string) {
	t.Helper()
	if err := s.Set(t.Context(), key, []byte(value), time.Minute); err != nil {
		t.Fatalf("Set(%q): got error %v; want none", key, err)
	}
}

func add(t *testing.T, s *redisstore.Shared, key, value string, want bool) {
	t.Helper()
	got, err := s.Add(t.Context(), key, []byte(value), time.Minute)
	if got != want || err != nil {
		t.Errorf("Add(%q, %q): got %t, error %v; want %t", key, value, got, err, want)
	}
}

// absent tells wantValues that a key has no value.
const absent = "\x00absent"

func wantValues(t *testing.T, s *redisstore.Shared, keys []string, want ...string) {
	t.Helper()
	values, err := s.Get(t.Context(), keys...)
	if err != nil {
		t.Errorf("Get(%q): got error %v; want none", keys, err)
		return
	}
	got := make([]string, len(values))
	for i, v := range values {
		if got[i] = string(v); v == nil {
			got[i] = absent
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Get(%q): got %q; want %q", keys, got, want)
	}
}

func keepsValues(t *testing.T, system system) {
	s, _ := system.fresh()
	wantValues(t, s, nil)
	wantValues(t, s, []string{"a", "b"}, absent, absent)
	set(t, s, "a", "one")
	set(t, s, "b", "two")
	wantValues(t, s, []string{"b", "no", "a", "b", "none"}, "two", absent, "one", "two", absent)
	set(t, s, "a", "three")
	add(t, s, "a", "four", false)
	add(t, s, "a", "three", false) // the value is there, but this call has not added it
	wantValues(t, s, []string{"a"}, "three")
	for range 2 {
		if err := s.Delete(t.Context(), "a"); err != nil {
			t.Errorf("Delete: got error %v; want none", err)
		}
		wantValues(t, s, []string{"a", "b"}, absent, "two")
	}
	add(t, s, "a", "five", true)
	add(t, s, "a", "six", false)
	wantValues(t, s, []string{"a"}, "five")
}

func addsOnce(t *testing.T, system system) {
	s, _ := system.fresh()
	var wins atomic.Int32
	var winner atomic.Value
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			value := fmt.Sprint("from ", i)
			ok, err := s.Add(t.Context(), "key", []byte(value), time.Minute)
			if err != nil {
				t.Errorf("Add: got error %v; want none", err)
			}
			if ok {
				wins.Add(1)
				winner.Store(value)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("got %d that have added; want one", wins.Load())
	}
	wantValues(t, s, []string{"key"}, winner.Load().(string))
}

// wantLeft checks the remaining life of a key that was written with ttl, not earlier
// than before.
func (s system) wantLeft(t *testing.T, what, key string, ttl time.Duration, before time.Time) {
	t.Helper()
	left, err := s.operator.PTTL(t.Context(), key).Result()
	if least := ttl - time.Since(before) - 2*time.Millisecond; err != nil || left > ttl || left < least {
		t.Errorf("%s: got %v left, error %v; want between %v and %v", what, left, err, least, ttl)
	}
}

func timesToLive(t *testing.T, system system) {
	s, prefix := system.fresh()
	for name, write := range map[string]func(key string, ttl time.Duration) error{
		"Set": func(key string, ttl time.Duration) error { return s.Set(t.Context(), key, []byte("v"), ttl) },
		"Add": func(key string, ttl time.Duration) error {
			ok, err := s.Add(t.Context(), key, []byte("v"), ttl)
			if ok != (err == nil) {
				t.Errorf("Add: got %t, %v; want one or the other", ok, err)
			}
			return err
		},
	} {
		for _, ttl := range []time.Duration{14 * 24 * time.Hour, 90 * time.Second, 1500 * time.Millisecond, 1234567 * time.Microsecond, time.Millisecond} {
			before := time.Now()
			if err := write(name+ttl.String(), ttl); err != nil {
				t.Fatalf("%s for %v: got error %v; want none", name, ttl, err)
			}
			system.wantLeft(t, name, prefix+name+ttl.String(), ttl, before)
		}
		set(t, s, "kept", "value")
		for _, ttl := range []time.Duration{0, -1, -time.Hour, time.Nanosecond, time.Millisecond - 1} {
			for _, key := range []string{"kept", "new"} {
				if err := write(key, ttl); err == nil || !strings.Contains(err.Error(), "time to live") {
					t.Errorf("%s for %v: got error %v; want one about the time to live", name, ttl, err)
				}
			}
			wantValues(t, s, []string{"kept", "new"}, "value", absent)
		}
	}
	set(t, s, "key", "v") // for a minute
	before := time.Now()
	if err := s.Set(t.Context(), "key", []byte("v"), time.Hour); err != nil {
		t.Fatalf("Set: got error %v; want none", err)
	}
	if ok, err := s.Add(t.Context(), "key", []byte("w"), 24*time.Hour); ok || err != nil {
		t.Errorf("Add: got %t, error %v; want false", ok, err)
	}
	system.wantLeft(t, "set again for an hour, and added in vain", prefix+"key", time.Hour, before)
}

func keepsBytes(t *testing.T, system system) {
	s, _ := system.fresh()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, value := range map[string]string{
		"empty":            "",
		"a zero byte":      "\x00",
		"lines of Redis":   "\r\n$-1\r\n*0\r\n_\r\n",
		"a hundred KB":     strings.Repeat(string(all), 400),
		"as long as a tag": strings.Repeat("t", 16),
	} {
		given := []byte(value)
		if err := s.Set(t.Context(), "set "+name, given, time.Minute); err != nil {
			t.Errorf("Set(%s): got error %v; want none", name, err)
		}
		add(t, s, "add "+name, value, true)
		add(t, s, "add "+name, value, false)
		if !bytes.Equal(given, []byte(value)) {
			t.Errorf("%s: the caller's value was changed", name)
		}
		wantValues(t, s, []string{"set " + name, "no", "add " + name}, value, absent, value)
	}
	if err := s.Set(t.Context(), "nil", nil, time.Minute); err != nil {
		t.Errorf("Set(nil): got error %v; want none", err)
	}
	wantValues(t, s, []string{"nil", "no"}, "", absent)
}

// A value that another program has written is an error. To say that the key is
// absent would be a guess that no one has signed out.
func foreignValues(t *testing.T, system system) {
	s, prefix := system.fresh()
	set(t, s, "good", "value")
	wantError := func(what string) {
		t.Helper()
		for _, keys := range [][]string{{"key"}, {"good", "key"}, {"no", "key", "good"}} {
			if values, err := s.Get(t.Context(), keys...); err == nil || values != nil {
				t.Errorf("Get(%q), %s: got %q, error %v; want an error", keys, what, values, err)
			}
		}
	}
	for _, n := range []int{0, 1, 15} { // a tag has 16
		if err := system.operator.Set(t.Context(), prefix+"key", strings.Repeat("x", n), 0).Err(); err != nil {
			t.Fatal(err)
		}
		wantError(fmt.Sprintf("%d bytes", n))
		add(t, s, "key", "ours", false)
	}
	system.operator.Del(t.Context(), prefix+"key")
	if err := system.operator.LPush(t.Context(), prefix+"key", "x").Err(); err != nil {
		t.Fatal(err)
	}
	wantError("a list")
	if ok, err := s.Add(t.Context(), "key", []byte("ours"), time.Minute); ok || err == nil {
		t.Errorf("Add over a list: got %t, error %v; want an error", ok, err)
	}
	set(t, s, "key", "ours")
	wantValues(t, s, []string{"key", "good"}, "ours", "value")
}

func prefixes(t *testing.T, system system) {
	one := sharedOn(system.client)
	two := sharedOn(system.client, redisstore.Prefix("signin:other:"))
	set(t, one, "key", "of the first")
	wantValues(t, two, []string{"key"}, absent)
	add(t, two, "key", "of the second", true)
	if err := two.Delete(t.Context(), "key"); err != nil {
		t.Errorf("Delete: got error %v; want none", err)
	}
	wantValues(t, one, []string{"key"}, "of the first")
	wantValues(t, two, []string{"key"}, absent)
	keys := system.keys()
	if !slices.Contains(keys, "signin:key") || slices.ContainsFunc(keys, func(key string) bool { return !strings.HasPrefix(key, "signin:") }) {
		t.Errorf("keys: got %q; want signin:key among them, and all to begin with signin:", keys)
	}
}
