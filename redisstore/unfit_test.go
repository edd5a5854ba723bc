package redisstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

// nowhere is an address at which no server listens. No client here connects.
const nowhere = "127.0.0.1:1"

func TestNew_UnfitClient(t *testing.T) {
	t.Parallel()
	const heedless, late = "ContextTimeoutEnabled: true, or a server that hangs", "sign-outs"
	universal := func(change func(*redis.UniversalOptions)) redis.UniversalClient {
		o := &redis.UniversalOptions{Addrs: []string{nowhere}, ContextTimeoutEnabled: true}
		change(o)
		return redis.NewUniversalClient(o)
	}
	caching := func(change func(*redis.Options)) redis.UniversalClient {
		o := &redis.Options{Addr: nowhere, ContextTimeoutEnabled: true}
		change(o)
		return redis.NewClient(o)
	}
	fit := universal(func(*redis.UniversalOptions) {})
	for name, row := range map[string]struct {
		client  redis.UniversalClient
		timeout time.Duration
		says    []string // all that the sentence must name
	}{
		"a client without time-outs":    {redis.NewClient(&redis.Options{Addr: nowhere}), 1, []string{heedless}},
		"a Cluster's without time-outs": {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nowhere}}), 1, []string{heedless}},
		"Sentinel's without time-outs": {universal(func(o *redis.UniversalOptions) {
			o.MasterName, o.ContextTimeoutEnabled = "primary", false
		}), 1, []string{heedless}},
		"a Cluster's that reads from replicas": {universal(func(o *redis.UniversalOptions) { o.IsClusterMode, o.ReadOnly = true, true }), 1,
			[]string{"ReadOnly", late}},
		"a Cluster's that reads from the nearest": {universal(func(o *redis.UniversalOptions) { o.IsClusterMode, o.RouteByLatency = true, true }), 1,
			[]string{"RouteByLatency", late}},
		"Sentinel's that reads from any": {universal(func(o *redis.UniversalOptions) { o.MasterName, o.RouteRandomly = "primary", true }), 1,
			[]string{"RouteRandomly", late}},
		"a client that makes a cache": {caching(func(o *redis.Options) { o.ClientSideCacheConfig = &redis.ClientSideCacheConfig{} }), 1,
			[]string{"client-side cache", late}},
		"a client with a cache": {caching(func(o *redis.Options) { o.ClientSideCache = redis.NewLocalCache(redis.CacheConfig{}) }), 1,
			[]string{"client-side cache", late}},
		"a Ring": {redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": nowhere}, ContextTimeoutEnabled: true}), 1,
			[]string{"Ring", "Cluster or Sentinel"}},
		"no client":        {nil, 1, []string{"the client is nil"}},
		"a time-out of 0":  {fit, 0, []string{"Timeout", "above zero"}},
		"a time-out of -1": {fit, -1, []string{"Timeout", "above zero"}},
	} {
		for maker, make := range map[string]func(){
			"NewShared":   func() { redisstore.NewShared(row.client, redisstore.Timeout(row.timeout)) },
			"NewSessions": func() { redisstore.NewSessions(row.client, redisstore.Timeout(row.timeout)) },
		} {
			said := panics(make)
			for _, want := range append(row.says, "redisstore: ") {
				if !strings.Contains(said, want) {
					t.Errorf("%s of %s: got panic %q; want one that says %q", maker, name, said, want)
				}
			}
		}
		if row.client != nil {
			row.client.Close()
		}
	}
}

// panics returns what f panics with, or "".
func panics(f func()) (said string) {
	defer func() {
		if p := recover(); p != nil {
			said = fmt.Sprint(p)
		}
	}()
	f()
	return ""
}
