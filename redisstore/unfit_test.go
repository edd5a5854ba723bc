package redisstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

// None of these dials anybody: there is nobody at the address.
const nobody = "127.0.0.1:1"

func TestUnfitClients(t *testing.T) {
	t.Parallel()
	fit := redis.NewClient(&redis.Options{Addr: nobody, ContextTimeoutEnabled: true})
	universal := func(change func(*redis.UniversalOptions)) redis.UniversalClient {
		o := &redis.UniversalOptions{Addrs: []string{nobody}, ContextTimeoutEnabled: true}
		change(o)
		return redis.NewUniversalClient(o)
	}
	for name, row := range map[string]struct {
		client  redis.UniversalClient
		options []redisstore.Option
		says    []string // all that the sentence must name
	}{
		"a client that heeds no time-outs":        {redis.NewClient(&redis.Options{Addr: nobody}), nil, []string{"ContextTimeoutEnabled: true", "hangs"}},
		"a Cluster's that heeds no time-outs":     {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nobody}}), nil, []string{"ContextTimeoutEnabled: true", "hangs"}},
		"Sentinel's that heeds no time-outs":      {universal(func(o *redis.UniversalOptions) { o.MasterName, o.ContextTimeoutEnabled = "primary", false }), nil, []string{"ContextTimeoutEnabled: true"}},
		"a Cluster's that reads from replicas":    {universal(func(o *redis.UniversalOptions) { o.IsClusterMode, o.ReadOnly = true, true }), nil, []string{"ReadOnly", "sign-outs"}},
		"a Cluster's that reads from the nearest": {universal(func(o *redis.UniversalOptions) { o.IsClusterMode, o.RouteByLatency = true, true }), nil, []string{"RouteByLatency", "sign-outs"}},
		"a Cluster's that reads from any":         {universal(func(o *redis.UniversalOptions) { o.IsClusterMode, o.RouteRandomly = true, true }), nil, []string{"RouteRandomly", "sign-outs"}},
		"Sentinel's that reads from the nearest":  {universal(func(o *redis.UniversalOptions) { o.MasterName, o.RouteByLatency = "primary", true }), nil, []string{"RouteByLatency", "sign-outs"}},
		"Sentinel's that reads from any":          {universal(func(o *redis.UniversalOptions) { o.MasterName, o.RouteRandomly = "primary", true }), nil, []string{"RouteRandomly", "sign-outs"}},
		"a client with a cache of its own":        {redis.NewClient(&redis.Options{Addr: nobody, ContextTimeoutEnabled: true, ClientSideCacheConfig: &redis.ClientSideCacheConfig{}}), nil, []string{"client-side cache", "sign-outs"}},
		"a client with a cache that is given":     {redis.NewClient(&redis.Options{Addr: nobody, ContextTimeoutEnabled: true, ClientSideCache: redis.NewLocalCache(redis.CacheConfig{})}), nil, []string{"client-side cache", "sign-outs"}},
		"a Ring":                                  {redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": nobody}, ContextTimeoutEnabled: true}), nil, []string{"Ring", "Cluster or Sentinel"}},
		"no client":                               {nil, nil, []string{"the client is nil"}},
		"no time for anything":                    {fit, []redisstore.Option{redisstore.Timeout(0)}, []string{"Timeout", "above zero"}},
		"less than no time":                       {fit, []redisstore.Option{redisstore.Timeout(-time.Second)}, []string{"Timeout", "above zero"}},
	} {
		for maker, make := range map[string]func(){
			"NewShared":   func() { redisstore.NewShared(row.client, row.options...) },
			"NewSessions": func() { redisstore.NewSessions(row.client, row.options...) },
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

func TestFitClients(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*redis.UniversalOptions{
		"one node":             {Addrs: []string{nobody}},
		"a Cluster of two":     {Addrs: []string{nobody, nobody}},
		"a Cluster by name":    {Addrs: []string{nobody}, IsClusterMode: true},
		"Sentinel":             {Addrs: []string{nobody}, MasterName: "primary"},
		"Sentinel's primaries": {Addrs: []string{nobody}, MasterName: "primary", IsClusterMode: true},
	} {
		o.ContextTimeoutEnabled = true
		client := redis.NewUniversalClient(o)
		if said := panics(func() {
			redisstore.NewShared(client, redisstore.Prefix("app:"), redisstore.Timeout(time.Millisecond))
			redisstore.NewSessions(client)
		}); said != "" {
			t.Errorf("%s: got panic %q; want none", name, said)
		}
		client.Close()
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
