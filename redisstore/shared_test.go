package redisstore_test

import (
	"bytes"
	"context"
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

// system is a Redis of some kind: what the application has of it, and what its
// operator has.
type system struct {
	client, operator redis.UniversalClient
	keys             func() []string
}

func (n *node) system() system {
	return system{client: n.client(), operator: n.operator, keys: n.keys}
}

func TestSharedState(t *testing.T) {
	t.Parallel()
	sharedContract(t, startNode(t).system())
}

// sharedContract is what signin.SharedState asks for.
func sharedContract(t *testing.T, s system) {
	t.Run("Get, Set, Add, Delete", func(t *testing.T) { keepsValues(t, s) })
	t.Run("of a hundred at once one adds", func(t *testing.T) { addsOnce(t, s) })
	t.Run("times to live", func(t *testing.T) { timesToLive(t, s) })
	t.Run("whatever bytes a value has", func(t *testing.T) { keepsBytes(t, s) })
	t.Run("what somebody else has written", func(t *testing.T) { foreignValues(t, s) })
	t.Run("prefixes", func(t *testing.T) { prefixes(t, s) })
}

// sharedOn returns shared state that is patient, for what is not about time.
func sharedOn(client redis.UniversalClient, opts ...redisstore.Option) *redisstore.Shared {
	return redisstore.NewShared(client, append(opts, redisstore.Timeout(patience))...)
}

// sessionsOn is the same for a store.
func sessionsOn(client redis.UniversalClient, opts ...redisstore.Option) *redisstore.Sessions {
	return redisstore.NewSessions(client, append(opts, redisstore.Timeout(patience))...)
}

// fresh returns shared state in which nothing is yet, and its prefix.
func (s system) fresh() (*redisstore.Shared, string) {
	prefix := "signin:" + rand.Text() + ":"
	return sharedOn(s.client, redisstore.Prefix(prefix)), prefix
}

func set(t *testing.T, s *redisstore.Shared, key, value string) {
	t.Helper()
	if err := s.Set(context.Background(), key, []byte(value), time.Minute); err != nil {
		t.Fatalf("Set(%q): got error %v; want none", key, err)
	}
}

func add(t *testing.T, s *redisstore.Shared, key, value string, want bool) {
	t.Helper()
	got, err := s.Add(context.Background(), key, []byte(value), time.Minute)
	if got != want || err != nil {
		t.Errorf("Add(%q, %q): got %t, error %v; want %t", key, value, got, err, want)
	}
}

// absent stands for no value in wantValues.
const absent = "\x00absent"

func wantValues(t *testing.T, s *redisstore.Shared, keys []string, want ...string) {
	t.Helper()
	values, err := s.Get(context.Background(), keys...)
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
	ctx := context.Background()
	wantValues(t, s, nil)
	wantValues(t, s, []string{"a", "b"}, absent, absent)
	set(t, s, "a", "one")
	set(t, s, "b", "two")
	wantValues(t, s, []string{"b", "no", "a", "b", "none"}, "two", absent, "one", "two", absent)
	set(t, s, "a", "three")
	wantValues(t, s, []string{"a"}, "three")
	add(t, s, "a", "four", false)
	add(t, s, "a", "three", false) // what is there, and yet not from this call
	wantValues(t, s, []string{"a"}, "three")
	for range 2 {
		if err := s.Delete(ctx, "a"); err != nil {
			t.Errorf("Delete: got error %v; want none", err)
		}
		wantValues(t, s, []string{"a", "b"}, absent, "two")
	}
	add(t, s, "a", "five", true)
	add(t, s, "a", "six", false)
	wantValues(t, s, []string{"a"}, "five")
	set(t, s, "a", "seven")
	wantValues(t, s, []string{"a"}, "seven")
}

func addsOnce(t *testing.T, system system) {
	s, _ := system.fresh()
	var wins atomic.Int32
	var winner atomic.Value
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 100 {
		wg.Go(func() {
			<-start
			value := fmt.Sprint("from ", i)
			ok, err := s.Add(context.Background(), "key", []byte(value), time.Minute)
			if err != nil {
				t.Errorf("Add: got error %v; want none", err)
			}
			if ok {
				wins.Add(1)
				winner.Store(value)
			}
		})
	}
	close(start)
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("got %d that have added; want one", wins.Load())
	}
	wantValues(t, s, []string{"key"}, winner.Load().(string))
}

func timesToLive(t *testing.T, system system) {
	s, prefix := system.fresh()
	ctx := context.Background()
	write := map[string]func(key string, ttl time.Duration) error{
		"Set": func(key string, ttl time.Duration) error { return s.Set(ctx, key, []byte("v"), ttl) },
		"Add": func(key string, ttl time.Duration) error {
			ok, err := s.Add(ctx, key, []byte("v"), ttl)
			if ok != (err == nil) {
				t.Errorf("Add: got %t, %v; want one or the other", ok, err)
			}
			return err
		},
	}
	for name, write := range write {
		for _, ttl := range []time.Duration{14 * 24 * time.Hour, time.Hour, 90 * time.Second, 1500 * time.Millisecond, 1234567 * time.Microsecond, 300 * time.Millisecond} {
			key := name + ttl.String()
			before := time.Now()
			if err := write(key, ttl); err != nil {
				t.Fatalf("%s for %v: got error %v; want none", name, ttl, err)
			}
			left, err := system.operator.PTTL(ctx, prefix+key).Result()
			if least := ttl - time.Since(before) - 2*time.Millisecond; err != nil || left > ttl || left < least {
				t.Errorf("%s for %v: got %v left, error %v; want between %v and %v", name, ttl, left, err, least, ttl)
			}
		}
		for _, ttl := range []time.Duration{time.Millisecond, 40 * time.Millisecond} {
			key := name + ttl.String()
			if err := write(key, ttl); err != nil {
				t.Fatalf("%s for %v: got error %v; want none", name, ttl, err)
			}
			eventually(t, 500*time.Millisecond, key+" has expired", func() bool {
				values, err := s.Get(ctx, key)
				return err == nil && values[0] == nil
			})
			add(t, s, key, "again", true)
		}
		for _, ttl := range []time.Duration{0, -1, -time.Hour, time.Nanosecond, time.Millisecond - 1} {
			set(t, s, "kept", "value")
			for _, key := range []string{"kept", "new"} {
				if err := write(key, ttl); err == nil || !strings.Contains(err.Error(), "time to live") {
					t.Errorf("%s for %v: got error %v; want one about the time to live", name, ttl, err)
				}
			}
			wantValues(t, s, []string{"kept", "new"}, "value", absent)
		}
	}
	set(t, s, "key", "v") // for a minute
	if err := s.Set(ctx, "key", []byte("v"), time.Hour); err != nil {
		t.Fatalf("Set: got error %v; want none", err)
	}
	if left := system.operator.PTTL(ctx, prefix+"key").Val(); left < 59*time.Minute {
		t.Errorf("set again for an hour: got %v left; want an hour", left)
	}
	if ok, err := s.Add(ctx, "key", []byte("w"), 24*time.Hour); ok || err != nil {
		t.Errorf("Add: got %t, error %v; want false", ok, err)
	}
	if left := system.operator.PTTL(ctx, prefix+"key").Val(); left > time.Hour {
		t.Errorf("an Add in vain: got %v left; want what was left of an hour", left)
	}
}

func keepsBytes(t *testing.T, system system) {
	s, _ := system.fresh()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, value := range map[string]string{
		"empty":             "",
		"a zero byte":       "\x00",
		"lines of Redis":    "\r\n$-1\r\n*0\r\n_\r\n",
		"no UTF-8":          "\xff\xfe\xfd",
		"every byte":        string(all),
		"a hundred KB":      strings.Repeat(string(all), 400),
		"as long as a tag":  strings.Repeat("t", 16),
		"one that is a nil": "nil",
	} {
		given := []byte(value)
		if err := s.Set(context.Background(), "set "+name, given, time.Minute); err != nil {
			t.Errorf("Set(%s): got error %v; want none", name, err)
		}
		add(t, s, "add "+name, value, true)
		add(t, s, "add "+name, value, false)
		if !bytes.Equal(given, []byte(value)) {
			t.Errorf("%s: the caller's value was changed", name)
		}
		wantValues(t, s, []string{"set " + name, "no", "add " + name}, value, absent, value)
	}
	if err := s.Set(context.Background(), "nil", nil, time.Minute); err != nil {
		t.Errorf("Set(nil): got error %v; want none", err)
	}
	wantValues(t, s, []string{"nil", "no"}, "", absent)
}

// A value that another program has put there is none of ours, and must not be
// taken for "nobody has signed out".
func foreignValues(t *testing.T, system system) {
	s, prefix := system.fresh()
	ctx := context.Background()
	set(t, s, "good", "value")
	wantError := func(what string) {
		t.Helper()
		for _, keys := range [][]string{{"key"}, {"good", "key"}, {"key", "good"}, {"no", "key", "good"}} {
			if values, err := s.Get(ctx, keys...); err == nil || values != nil {
				t.Errorf("Get(%q), %s: got %q, error %v; want an error", keys, what, values, err)
			}
		}
	}
	for n := range 16 { // a tag is that long
		if err := system.operator.Set(ctx, prefix+"key", strings.Repeat("x", n), 0).Err(); err != nil {
			t.Fatal(err)
		}
		wantError(fmt.Sprintf("%d bytes", n))
		add(t, s, "key", "ours", false)
	}
	system.operator.Del(ctx, prefix+"key")
	if err := system.operator.LPush(ctx, prefix+"key", "x").Err(); err != nil {
		t.Fatal(err)
	}
	wantError("a list")
	if ok, err := s.Add(ctx, "key", []byte("ours"), time.Minute); ok || err == nil {
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
	wantValues(t, one, []string{"key"}, "of the first")
	if err := two.Delete(context.Background(), "key"); err != nil {
		t.Errorf("Delete: got error %v; want none", err)
	}
	wantValues(t, one, []string{"key"}, "of the first")
	wantValues(t, two, []string{"key"}, absent)
	keys := system.keys()
	if !slices.Contains(keys, "signin:key") {
		t.Errorf("keys: got %q; want signin:key among them", keys)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "signin:") {
			t.Errorf("key: got %q; want it to begin with signin:", key)
		}
	}
}
