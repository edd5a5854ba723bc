package redisstore_test

import (
	"context"
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
	eventually(t, 10*time.Second, "the replica has all that the primary has", func() bool {
		return strings.Contains(replica.operator.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	for _, n := range []*node{primary, replica} {
		n.do(aclUser(t)...)
	}
	sentinel := startSentinel(t, primary)
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{sentinel.addr}, MasterName: "primary", Username: "signin", Password: "password",
		ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { client.Close() })

	s, store := sharedOn(client), sessionsOn(client)
	set(t, s, "ended", "signed out")
	id := saved(t, store, "name", map[any]any{"key": "value"})
	sharedContract(t, system{client: client, operator: primary.operator, keys: primary.keys})
	eventually(t, 10*time.Second, "the replica has what was written", func() bool {
		return len(system{keys: replica.keys}.keysUnder("signin:session:")) > 0 && slices.Contains(replica.keys(), "signin:ended")
	})

	primary.kill()
	impatient := operations(client, aCookie, 300*time.Millisecond)
	wantAll(t, t.Context(), impatient, 300*time.Millisecond+margin, fails)
	eventually(t, 20*time.Second, "the replica has taken over", func() bool {
		values, err := s.Get(t.Context(), "ended")
		if err == nil && values[0] == nil {
			t.Fatal("Get: got nothing; want what was written, or an error")
		}
		return s.Set(t.Context(), "after", []byte("the failover"), time.Minute) == nil
	})
	wantValues(t, s, []string{"after", "ended"}, "the failover", "signed out")
	wantSession(t, store, "name", id, map[any]any{"key": "value"})
	after := system{client: client, operator: replica.operator, keys: replica.keys}
	sharedContract(t, after)
	sessionsContract(t, after)
}

// A sentinel that does not know the primary's name answers with a null, which to
// the client looks like the answer to a question for a key that is not there.
func TestASentinelThatDoesNotKnow(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{startNode(t, conf, "--sentinel").addr}, MasterName: "primary", ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { client.Close() })
	// The client gives up before that.
	wantAll(t, t.Context(), operations(client, aCookie, patience), patience, failsWith("sentinels"))
}

// However an error of the connection comes to look like the answer that there is
// nothing, it is not one.
func TestAnErrorThatLooksLikeAnAnswer(t *testing.T) {
	t.Parallel()
	t.Run("from a dialer", func(t *testing.T) {
		t.Parallel()
		client := redis.NewClient(&redis.Options{
			ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: -1,
			Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, redis.Nil },
		})
		defer client.Close()
		wantAll(t, t.Context(), operations(client, aCookie, patience), patience, fails)
	})
	t.Run("from who knows the nodes, as time runs out", func(t *testing.T) {
		t.Parallel()
		client := redis.NewClusterClient(&redis.ClusterOptions{
			ContextTimeoutEnabled: true,
			ClusterSlots: func(ctx context.Context) ([]redis.ClusterSlot, error) {
				<-ctx.Done()
				return nil, redis.Nil
			},
		})
		defer client.Close()
		wantAll(t, t.Context(), operations(client, aCookie, 100*time.Millisecond), 100*time.Millisecond+margin, fails)
	})
}

// startSentinel starts a sentinel that watches a primary, and waits until it
// knows of its replica.
func startSentinel(t *testing.T, primary *node) *node {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary.addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf") // it writes to this file
	text := fmt.Sprintf("sentinel monitor primary %s %s 1\nsentinel down-after-milliseconds primary 1500\nsentinel failover-timeout primary 5000\n", host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, conf, "--sentinel")
	eventually(t, 10*time.Second, "the sentinel knows the replica", func() bool {
		c := redis.NewSentinelClient(&redis.Options{Addr: n.addr})
		defer c.Close()
		replicas, err := c.Replicas(context.Background(), "primary").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return n
}
