package redisstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Shared is a signin.SharedState. It is made by [NewShared], and safe for
// concurrent use. An operation costs one round trip; Get asks the nodes of a
// Cluster at the same time.
type Shared struct{ server }

// NewShared returns shared state on client. It does not connect.
//
// It panics if the client ignores time-outs of contexts
// (ContextTimeoutEnabled), reads from replicas or from a cache in the client,
// or is a Ring: such mistakes would show only when something else fails.
func NewShared(client redis.UniversalClient, opts ...Option) *Shared {
	return &Shared{newServer(client, opts)}
}

// tagLen is the length of the random tag before each value. The client sends a
// command again if its answer was lost on the way; the tag tells whether the
// value that is there already is what the first try has written.
const tagLen = 16

func tagged(value []byte) []byte {
	b := make([]byte, tagLen, tagLen+len(value))
	rand.Read(b)
	return append(b, value...)
}

// Get returns the values of keys, in their order, and nil for keys that are
// absent.
func (s *Shared) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	answers := make([]*redis.StringCmd, len(keys))
	// It is tempting to use MGET. But a Cluster refuses it for keys of several
	// slots, and a pipeline sends all commands together as well.
	err := s.run(ctx, "reading", func(p redis.Pipeliner) {
		for i, key := range keys {
			answers[i] = p.Get(ctx, s.prefix+key)
		}
	})
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, a := range answers {
		value, err := a.Bytes()
		switch {
		case isNone(a):
			continue
		case err != nil:
			return nil, fmt.Errorf("redisstore: reading: %w", err)
		case len(value) < tagLen:
			return nil, errors.New("redisstore: reading: a value that this package has not written")
		}
		values[i] = value[tagLen:]
	}
	return values, nil
}

// Set stores value under key for ttl, whether or not key has a value.
func (s *Shared) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := positive(ttl); err != nil {
		return err
	}
	return s.run(ctx, "writing", func(p redis.Pipeliner) { p.Set(ctx, s.prefix+key, tagged(value), ttl) })
}

// Add stores value under key for ttl, unless key has a value, and reports
// whether it has stored it.
func (s *Shared) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := positive(ttl); err != nil {
		return false, err
	}
	ours := tagged(value)
	var added *redis.StatusCmd
	var there *redis.StringCmd
	err := s.run(ctx, "writing", func(p redis.Pipeliner) {
		added = p.SetArgs(ctx, s.prefix+key, ours, redis.SetArgs{Mode: "NX", TTL: ttl})
		there = p.Get(ctx, s.prefix+key)
	})
	switch {
	case err != nil:
		return false, err
	case !isNone(added):
		return true, nil
	case isNone(there): // the value that was there has just expired
		return false, nil
	}
	value, err = there.Bytes()
	if err != nil {
		return false, fmt.Errorf("redisstore: reading: %w", err)
	}
	return bytes.Equal(value, ours), nil
}

// positive refuses a time to live that Redis would take for no limit, or
// refuse.
func positive(ttl time.Duration) error {
	if ttl < time.Millisecond {
		return fmt.Errorf("redisstore: writing: the time to live is %v; want a millisecond or more", ttl)
	}
	return nil
}

// Delete removes key, if it is there.
func (s *Shared) Delete(ctx context.Context, key string) error {
	return s.run(ctx, "deleting", func(p redis.Pipeliner) { p.Del(ctx, s.prefix+key) })
}
