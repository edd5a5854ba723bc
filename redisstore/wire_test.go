package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// wire sees what goes over a client's connections, and disturbs it.
type wire struct {
	mu  sync.Mutex
	log []string // "write" and "read", in their order

	// lose says whether the answer to what is being sent gets lost: the server
	// carries it out and answers, and the connection breaks before the answer
	// has arrived.
	lose func(sent []byte) bool
	// see, if set, is told what is being sent, before it is.
	see func(sent []byte)
	// hold, if set, is waited for before anything is read.
	hold chan struct{}
	// alter changes what has been read, in place.
	alter func(read []byte)
}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &wireConn{Conn: c, wire: w}, err
}

// through makes a client's connections go over w.
func (w *wire) through(o *redis.Options) { o.Dialer = w.dial }

func (w *wire) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, what)
}

// trips returns what went over the wire while do ran.
func (w *wire) trips(do func()) []string {
	w.mu.Lock()
	w.log = nil
	w.mu.Unlock()
	do()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

type wireConn struct {
	net.Conn
	wire *wire
	lost atomic.Bool
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.wire.note("write")
	if c.wire.see != nil {
		c.wire.see(b)
	}
	if c.wire.lose != nil && c.wire.lose(b) {
		c.lost.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *wireConn) Read(b []byte) (int, error) {
	if c.wire.hold != nil {
		select {
		case <-c.wire.hold:
		case <-time.After(margin): // nobody will let go of it
		}
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.wire.note("read")
		if c.wire.alter != nil {
			c.wire.alter(b[:n])
		}
	}
	if c.lost.Load() {
		c.Close()
		return 0, io.EOF
	}
	return n, err
}

// every is one call of each operation on a Redis, and fails if one does.
func every(t *testing.T, client redis.UniversalClient) map[string]func() {
	t.Helper()
	ctx := context.Background()
	shared, store := sharedOn(client), sessionsOn(client)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Errorf("got error %v; want none", err)
		}
	}
	id := saved(t, store, "name", map[any]any{"key": "value"})
	return map[string]func(){
		"Get": func() { _, err := shared.Get(ctx, "a", "b", "held", "d"); must(err) },
		"Set": func() { must(shared.Set(ctx, "b", []byte("v"), time.Minute)) },
		"Add": func() { _, err := shared.Add(ctx, "new", []byte("v"), time.Minute); must(err) },
		"Add in vain": func() {
			_, err := shared.Add(ctx, "b", []byte("w"), time.Minute)
			must(err)
		},
		"Delete": func() { must(shared.Delete(ctx, "d")) },
		"New":    func() { _, err := store.New(requestWith("name", id), "name"); must(err) },
		"Save": func() {
			session, _ := store.New(httptest.NewRequest(http.MethodGet, "/", nil), "name")
			must(store.Save(httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder(), session))
		},
	}
}

func TestEachOperationIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	n, w := startNode(t), &wire{}
	client := n.client(w.through)
	for name, do := range every(t, client) { // every has warmed the client up
		if got := w.trips(do); !slices.Equal(got, []string{"write", "read"}) {
			t.Errorf("%s: got %q; want one write and one read", name, got)
		}
	}
	// A guard against a counter that counts nothing.
	client.Get(context.Background(), "a")
	got := w.trips(func() {
		for _, key := range []string{"a", "b", "c", "d"} {
			client.Get(context.Background(), key)
		}
	})
	if want := slices.Repeat([]string{"write", "read"}, 4); !slices.Equal(got, want) {
		t.Errorf("four commands of the client: got %q; want %q", got, want)
	}
}

// addsKey says whether what is sent adds a key.
func addsKey(sent []byte) bool { return bytes.Contains(bytes.ToLower(sent), []byte("\r\nnx\r\n")) }

// firstOnly returns a condition that holds once.
func firstOnly(condition func([]byte) bool) (func([]byte) bool, *atomic.Int32) {
	var times atomic.Int32
	return func(sent []byte) bool { return condition(sent) && times.Add(1) == 1 }, &times
}

// The client sends a command again if its answer has not arrived. Then what the
// first try has added stands there, and is ours.
func TestAddWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for i := range 3 {
		lose, times := firstOnly(addsKey)
		w := &wire{lose: lose}
		s := sharedOn(n.client(w.through))
		key := fmt.Sprint("key", i)
		add(t, s, key, "ours", true)
		if times.Load() != 2 {
			t.Errorf("tries: got %d; want a second one", times.Load())
		}
		wantValues(t, s, []string{key}, "ours")
		add(t, s, key, "ours", false)
	}
	t.Run("somebody else holds the key, with the same value", func(t *testing.T) {
		t.Parallel()
		add(t, sharedOn(n.client()), "held", "value", true)
		lose, times := firstOnly(addsKey)
		w := &wire{lose: lose}
		s := sharedOn(n.client(w.through))
		add(t, s, "held", "value", false)
		if times.Load() != 2 {
			t.Errorf("tries: got %d; want a second one", times.Load())
		}
	})
	t.Run("twenty at once, each of whose answers is lost", func(t *testing.T) {
		t.Parallel()
		var wins atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			lose, _ := firstOnly(addsKey)
			w := &wire{lose: lose}
			s := sharedOn(n.client(w.through))
			wg.Go(func() {
				ok, err := s.Add(context.Background(), "contended", []byte("value"), time.Minute)
				if err != nil {
					t.Errorf("Add: got error %v; want none", err)
				}
				if ok {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Errorf("got %d that have added; want one", wins.Load())
		}
	})
	t.Run("every answer is lost, which is an error", func(t *testing.T) {
		t.Parallel()
		w := &wire{lose: addsKey}
		s := sharedOn(n.client(w.through))
		if ok, err := s.Add(context.Background(), "lost", nil, time.Minute); ok || err == nil {
			t.Errorf("Add: got %t, error %v; want an error", ok, err)
		}
	})
}

// What else is sent again does no harm, either.
func TestOtherAnswersThatAreLost(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	w := &wire{}
	client := n.client(w.through)
	for name, do := range every(t, client) {
		lose, times := firstOnly(func([]byte) bool { return true })
		w.lose = lose
		do()
		if times.Load() < 2 {
			t.Errorf("%s: got %d tries; want a second one", name, times.Load())
		}
		w.lose = nil
	}
}

// The keys of a Get are on several nodes of a Cluster, and all are asked before
// any has answered.
func getIsOneRoundTripOnACluster(t *testing.T, c *cluster) {
	w := &wire{}
	client := c.client(func(o *redis.ClusterOptions) { o.Dialer = w.dial })
	s := sharedOn(client)
	keys := c.onEachNode("key")
	for _, key := range keys {
		set(t, s, key, "of "+key)
	}
	wantValues(t, s, keys, "of "+keys[0], "of "+keys[1], "of "+keys[2]) // connections are there now
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
