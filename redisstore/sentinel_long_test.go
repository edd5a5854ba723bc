//go:build long

package redisstore_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A primary dies, and the client finds the replica that has taken its place.
func TestSentinel(t *testing.T) {
	t.Parallel()
	primary := startNode(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(primary.addr)
	replica := startNode(t, "--replicaof", host+" "+port)
	eventually(t, "the replica has all that the primary has", func() bool {
		return strings.Contains(replica.operator.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	for _, n := range []*node{primary, replica} {
		n.do(aclUser(t)...)
	}
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{startSentinel(t, primary).addr}, MasterName: "primary", Username: "signin", Password: "password",
		ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { client.Close() })

	s, store := sharedOn(client), sessionsOn(client)
	set(t, s, "ended", "signed out")
	id := saved(t, store, "name", map[any]any{"key": "value"})
	sharedContract(t, system{client: client, operator: primary.operator, keys: primary.keys})
	eventually(t, "the replica has what was written", func() bool {
		return len(system{keys: replica.keys}.keysUnder("signin:session:")) > 0 && slices.Contains(replica.keys(), "signin:ended")
	})

	primary.kill()
	wantAll(t, t.Context(), operations(client, impatience), fails)
	eventually(t, "the replica has taken over", func() bool {
		values, err := s.Get(t.Context(), "ended")
		if err == nil && values[0] == nil {
			t.Fatal("Get: got no value and no error; want what was written, or an error")
		}
		return s.Set(t.Context(), "after", []byte("the failover"), time.Minute) == nil
	})
	wantValues(t, s, []string{"after", "ended"}, "the failover", "signed out")
	wantSession(t, store, "name", id, map[any]any{"key": "value"})
}

// startSentinel starts a sentinel that watches a primary, and waits until it
// knows the primary's replica.
func startSentinel(t *testing.T, primary *node) *node {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary.addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf") // it writes to this file
	text := fmt.Sprintf("sentinel monitor primary %s %s 1\nsentinel down-after-milliseconds primary 1500\n"+
		"sentinel failover-timeout primary 5000\n", host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, conf, "--sentinel")
	eventually(t, "the sentinel knows the replica", func() bool {
		c := redis.NewSentinelClient(&redis.Options{Addr: n.addr})
		defer c.Close()
		replicas, err := c.Replicas(t.Context(), "primary").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return n
}
