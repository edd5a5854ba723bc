package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

func asClusterUser(o *redis.ClusterOptions) { o.Username, o.Password = "signin", "password" }

// All of a Cluster's tests share one, since it takes two seconds to form.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.do(aclUser(t)...)
	c.do(aclUserOfCluster(t)...)
	user := c.client(asClusterUser)
	s := system{client: user, operator: c.client(), keys: c.keys}
	sharedContract(t, s)
	sessionsContract(t, s)
	t.Run("keys of one Get are on several nodes", func(t *testing.T) {
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
	t.Run("Get is one round trip to each node", func(t *testing.T) { getIsOneRoundTripOnACluster(t, c) })
	t.Run("a slot that moves", func(t *testing.T) { aSlotMoves(t, c) })
	t.Run("no command of the user is in vain", func(t *testing.T) {
		defer c.do(append(aclUserOfCluster(t), "+cluster|slots")...)
		c.do("ACL", "SETUSER", "signin", "-cluster|slots")
		wantAll(t, t.Context(), operations(c.client(asClusterUser), aCookie, time.Second), time.Second+margin, failsWith("cluster|slots"))
	})
	t.Run("one node hangs", func(t *testing.T) { oneNodeHangs(t, c) })
	t.Run("all nodes hang, before any command but Get", func(t *testing.T) {
		const timeout = 300 * time.Millisecond
		client := c.client(asClusterUser)
		if _, err := sharedOn(client).Get(t.Context(), c.onEachNode("warm")...); err != nil {
			t.Fatal(err)
		}
		all := operations(client, aCookie, timeout)
		for _, n := range c.nodes {
			n.pause()
		}
		for range 2 {
			wantAll(t, t.Context(), all, timeout+margin, fails)
		}
		for _, n := range c.nodes {
			n.resume()
		}
		wantAll(t, t.Context(), operations(client, aCookie, patience), patience, works)
	})
}

// While a slot is on its way to another node, the first sends clients on to it,
// and the second serves those who say ASKING.
func aSlotMoves(t *testing.T, c *cluster) {
	ctx := context.Background()
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
	if err := s.Delete(ctx, keys[0]); err != nil {
		t.Errorf("Delete: got error %v; want none", err)
	}
	wantValues(t, s, keys, absent, "of "+keys[1], "of "+keys[2])
	add(t, s, keys[0], "new", true)
	add(t, s, keys[0], "newer", false)
	wantValues(t, s, keys, "new", "of "+keys[1], "of "+keys[2])

	// A user who may not say ASKING cannot be served. That is an error, too.
	c.do("ACL", "SETUSER", "signin", "-asking")
	if values, err := s.Get(ctx, keys...); err == nil {
		t.Errorf("Get without ASKING: got %q; want an error", values)
	}
	if ok, err := s.Add(ctx, keys[0], nil, time.Minute); err == nil {
		t.Errorf("Add without ASKING: got %t; want an error", ok)
	}
	c.do(aclUserOfCluster(t)...)

	for _, n := range []*node{to, from, c.nodes[2]} {
		n.do("CLUSTER", "SETSLOT", slot, "NODE", id(to))
	}
	wantValues(t, s, keys, "new", "of "+keys[1], "of "+keys[2])
	add(t, s, keys[0], "newest", false)
	set(t, s, keys[0], "newest")
	if there := to.keys(); !slices.Contains(there, "signin:"+keys[0]) {
		t.Errorf("got keys %q; want %q among them", there, keys[0])
	}
	// Back again, for the tests that follow.
	to.do("DEL", "signin:"+keys[0])
	for _, n := range []*node{from, to, c.nodes[2]} {
		n.do("CLUSTER", "SETSLOT", slot, "NODE", id(from))
	}
}

// A Get with a key on a node that hangs fails as a whole: "nobody has signed
// out" would be a guess.
func oneNodeHangs(t *testing.T, c *cluster) {
	const timeout = 300 * time.Millisecond
	keys := c.onEachNode("hanging")
	client := c.client(asClusterUser)
	s := redisstore.NewShared(client, redisstore.Timeout(timeout))
	for _, key := range keys {
		set(t, sharedOn(client), key, "of "+key)
	}
	c.nodes[1].pause()
	start := time.Now()
	if values, err := s.Get(t.Context(), keys...); err == nil || values != nil {
		t.Errorf("Get: got %q, error %v; want an error", values, err)
	}
	if ok, err := s.Add(t.Context(), keys[1], nil, time.Minute); ok || err == nil {
		t.Errorf("Add: got %t, error %v; want an error", ok, err)
	}
	if took := time.Since(start); took > 2*timeout+margin {
		t.Errorf("got answers after %v; want each within %v", took, timeout)
	}
	start = time.Now()
	wantValues(t, sharedOn(client), []string{keys[2], keys[0]}, "of "+keys[2], "of "+keys[0])
	if took := time.Since(start); took > margin {
		t.Errorf("keys of other nodes: got answers after %v; want them at once", took)
	}
	c.nodes[1].resume()
	eventually(t, 5*time.Second, "the node takes part again", func() bool {
		values, err := s.Get(t.Context(), keys...)
		return err == nil && string(values[1]) == "of "+keys[1]
	})
}

// cluster is a Redis Cluster of three masters.
type cluster struct {
	t     *testing.T
	nodes [3]*node
}

// startCluster starts a cluster, and waits until each node knows who keeps what.
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
	eventually(t, 30*time.Second, "the cluster has formed", func() bool {
		for _, n := range c.nodes {
			shards, err := n.operator.ClusterShards(context.Background()).Result()
			info, _ := n.operator.ClusterInfo(context.Background()).Result()
			if err != nil || len(shards) != len(c.nodes) || !strings.Contains(info, "cluster_state:ok") {
				return false
			}
		}
		return true
	})
	return c
}

// client returns a client that is fit for the package, and was changed since.
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

// onEachNode returns three keys that begin so and, under the default prefix,
// are on three nodes.
func (c *cluster) onEachNode(begin string) []string {
	c.t.Helper()
	keys := make([]string, len(c.nodes))
	for i := range 50 {
		key := fmt.Sprint(begin, i)
		keys[c.owner("signin:"+key)] = key
	}
	return keys
}

func (c *cluster) slot(key string) int {
	c.t.Helper()
	return int(c.nodes[0].do("CLUSTER", "KEYSLOT", key).(int64))
}

// owner returns which node keeps a key.
func (c *cluster) owner(key string) int {
	c.t.Helper()
	owner, slot := 0, c.slot(key)
	for i := range c.nodes {
		if slot >= firstSlot(i) {
			owner = i
		}
	}
	return owner
}

// firstSlot is the first of the slots that a node of three keeps.
func firstSlot(node int) int { return node * 16384 / 3 }
