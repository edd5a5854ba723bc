//go:build long

package redisstore_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

func asClusterUser(o *redis.ClusterOptions) { o.Username, o.Password = "signin", "password" }

// All tests of a Cluster share one, since it takes two seconds to form.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	users := documentedUsers(t)
	c.do(users[0]...)
	c.do(users[1]...)
	user := c.client(asClusterUser)
	s := system{client: user, operator: c.client(), keys: c.keys}
	sharedContract(t, s)
	sessionsContract(t, s)
	t.Run("the keys of one Get are on several nodes", func(t *testing.T) {
		shared := sharedOn(user)
		keys := c.onEachNode("spread")
		for i, key := range keys {
			set(t, shared, key, "of "+key)
			if there := c.nodes[i].keys(); !slices.Contains(there, "signin:"+key) {
				t.Errorf("node %d: got keys %q; want %q among them", i, there, key)
			}
		}
		wantValues(t, shared, []string{keys[2], "no", keys[0], keys[1]}, "of "+keys[2], absent, "of "+keys[0], "of "+keys[1])
	})
	t.Run("Get is one round trip to each node", func(t *testing.T) { getIsOneRoundTrip(t, c) })
	t.Run("a slot moves", func(t *testing.T) { slotMoves(t, c) })
	t.Run("the user needs cluster|slots", func(t *testing.T) {
		defer c.do(append(users[1], "+cluster|slots")...)
		c.do("ACL", "SETUSER", "signin", "-cluster|slots")
		wantAll(t, t.Context(), operations(c.client(asClusterUser), time.Second), failsWith("cluster|slots"))
	})
	t.Run("one node hangs", func(t *testing.T) { oneNodeHangs(t, c) })
	t.Run("all nodes hang, when the client has only sent Get", func(t *testing.T) {
		client := c.client(asClusterUser)
		if _, err := sharedOn(client).Get(t.Context(), c.onEachNode("warm")...); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.nodes {
			n.pause()
		}
		for range 2 {
			wantAll(t, t.Context(), operations(client, impatience), fails)
		}
		for _, n := range c.nodes {
			n.resume()
		}
		wantAll(t, t.Context(), operations(client, patience), works)
	})
}

// While a slot moves to another node, the first node redirects clients, and the
// second serves clients that send ASKING.
func slotMoves(t *testing.T, c *cluster) {
	keys := c.onEachNode("moving")
	from, to := c.nodes[0], c.nodes[1]
	slot := c.slot("signin:" + keys[0])
	id := func(n *node) string { return n.do("CLUSTER", "MYID").(string) }
	_, port, _ := net.SplitHostPort(to.addr)

	s := sharedOn(c.client(asClusterUser))
	for _, key := range keys {
		set(t, s, key, "of "+key)
	}
	to.do("CLUSTER", "SETSLOT", slot, "IMPORTING", id(from))
	from.do("CLUSTER", "SETSLOT", slot, "MIGRATING", id(to))
	wantValues(t, s, keys, "of "+keys[0], "of "+keys[1], "of "+keys[2])
	from.do("MIGRATE", "127.0.0.1", port, "signin:"+keys[0], 0, 1000)
	wantValues(t, s, keys, "of "+keys[0], "of "+keys[1], "of "+keys[2])
	add(t, s, keys[0], "other", false)
	if err := s.Delete(t.Context(), keys[0]); err != nil {
		t.Errorf("Delete: got error %v; want none", err)
	}
	wantValues(t, s, keys, absent, "of "+keys[1], "of "+keys[2])
	add(t, s, keys[0], "new", true)
	add(t, s, keys[0], "newer", false)
	wantValues(t, s, keys, "new", "of "+keys[1], "of "+keys[2])

	// A user who may not send ASKING gets an error.
	c.do("ACL", "SETUSER", "signin", "-asking")
	if values, err := s.Get(t.Context(), keys...); err == nil {
		t.Errorf("Get without ASKING: got %q; want an error", values)
	}
	if ok, err := s.Add(t.Context(), keys[0], nil, time.Minute); err == nil {
		t.Errorf("Add without ASKING: got %t; want an error", ok)
	}
	c.do(documentedUsers(t)[1]...)

	for _, n := range []*node{to, from, c.nodes[2]} {
		n.do("CLUSTER", "SETSLOT", slot, "NODE", id(to))
	}
	wantValues(t, s, keys, "new", "of "+keys[1], "of "+keys[2])
	set(t, s, keys[0], "newest")
	if there := to.keys(); !slices.Contains(there, "signin:"+keys[0]) {
		t.Errorf("got keys %q; want %q among them", there, keys[0])
	}
	// The slot moves back for the tests that follow.
	to.do("DEL", "signin:"+keys[0])
	for _, n := range []*node{from, to, c.nodes[2]} {
		n.do("CLUSTER", "SETSLOT", slot, "NODE", id(from))
	}
}

// A Get with a key on a node that hangs fails as a whole: to report the key as
// absent could hide a sign-out.
func oneNodeHangs(t *testing.T, c *cluster) {
	keys := c.onEachNode("hanging")
	client := c.client(asClusterUser)
	s := redisstore.NewShared(client, redisstore.Timeout(impatience))
	for _, key := range keys {
		set(t, sharedOn(client), key, "of "+key)
	}
	c.nodes[1].pause()
	if values, err := s.Get(t.Context(), keys...); err == nil || values != nil {
		t.Errorf("Get: got %q, error %v; want an error", values, err)
	}
	if ok, err := s.Add(t.Context(), keys[1], nil, time.Minute); ok || err == nil {
		t.Errorf("Add: got %t, error %v; want an error", ok, err)
	}
	wantValues(t, sharedOn(client), []string{keys[2], keys[0]}, "of "+keys[2], "of "+keys[0])
	c.nodes[1].resume()
	eventually(t, "the node takes part again", func() bool {
		values, err := s.Get(t.Context(), keys...)
		return err == nil && string(values[1]) == "of "+keys[1]
	})
}

// The keys of a Get are on several nodes, and the client asks all of them
// before it reads an answer.
func getIsOneRoundTrip(t *testing.T, c *cluster) {
	w := &wire{}
	s := sharedOn(c.client(func(o *redis.ClusterOptions) { o.Dialer = w.dial }))
	keys := c.onEachNode("key")
	for _, key := range keys {
		set(t, s, key, "of "+key)
	}
	wantValues(t, s, keys, "of "+keys[0], "of "+keys[1], "of "+keys[2]) // connects to all nodes
	w.hold = make(chan struct{})
	var asked atomic.Int32
	w.see = func([]byte) {
		if asked.Add(1) == 3 {
			close(w.hold)
		}
	}
	got := w.trips(func() {
		wantValues(t, s, append(keys, "no"), "of "+keys[0], "of "+keys[1], "of "+keys[2], absent)
	})
	if want := []string{"write", "write", "write", "read", "read", "read"}; !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

// cluster is a Redis Cluster of three masters.
type cluster struct {
	t     *testing.T
	nodes [3]*node
}

// startCluster starts a cluster, and waits until each node knows which keys the
// others have.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for i := range c.nodes {
		_, bus, _ := net.SplitHostPort(freeAddr(t))
		n := startNode(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "30000", "--cluster-port", bus)
		_, port, _ := net.SplitHostPort(n.addr)
		n.do("CLUSTER", "ADDSLOTSRANGE", firstSlot(i), firstSlot(i+1)-1)
		n.do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if c.nodes[i] = n; i > 0 {
			c.nodes[0].do("CLUSTER", "MEET", "127.0.0.1", port, bus)
		}
	}
	eventually(t, "the cluster has formed", func() bool {
		for _, n := range c.nodes {
			shards, err := n.operator.ClusterShards(t.Context()).Result()
			info, _ := n.operator.ClusterInfo(t.Context()).Result()
			if err != nil || len(shards) != len(c.nodes) || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
		}
		return true
	})
	return c
}

// client returns a client with the options that the package needs, after
// changes.
func (c *cluster) client(change ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	c.t.Helper()
	o := &redis.ClusterOptions{Addrs: []string{c.nodes[0].addr, c.nodes[1].addr, c.nodes[2].addr}, ContextTimeoutEnabled: true}
	for _, change := range change {
		change(o)
	}
	client := redis.NewClusterClient(o)
	c.t.Cleanup(func() { client.Close() })
	return client
}

// do runs a command as the operator on each node.
func (c *cluster) do(args ...any) {
	c.t.Helper()
	for _, n := range c.nodes {
		n.do(args...)
	}
}

func (c *cluster) keys() (keys []string) {
	c.t.Helper()
	for _, n := range c.nodes {
		keys = append(keys, n.keys()...)
	}
	return keys
}

// onEachNode returns three keys that have this beginning and, under the default
// prefix, are on three nodes.
func (c *cluster) onEachNode(begin string) []string {
	c.t.Helper()
	keys := make([]string, len(c.nodes))
	for i := range 50 {
		key := fmt.Sprint(begin, i)
		owner, slot := 0, c.slot("signin:"+key)
		for i := range c.nodes {
			if slot >= firstSlot(i) {
				owner = i
			}
		}
		keys[owner] = key
	}
	return keys
}

func (c *cluster) slot(key string) int {
	c.t.Helper()
	return int(c.nodes[0].do("CLUSTER", "KEYSLOT", key).(int64))
}

// firstSlot returns the first slot of one of the three nodes.
func firstSlot(node int) int { return node * 16384 / 3 }
