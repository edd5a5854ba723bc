package redisstore_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// wire sees what a client's connections carry, and disturbs it.
type wire struct {
	mu  sync.Mutex
	log []string // "write" and "read", in their order

	// lose says whether the answer to what is being sent gets lost: the server
	// executes the commands and answers, and the connection breaks before the
	// answer has arrived.
	lose func(sent []byte) bool
	// see, if set, is called before anything is sent.
	see func(sent []byte)
	// Nothing is read until hold is closed, if it is set.
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
		case <-time.After(patience):
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

func TestOperations_RoundTrips(t *testing.T) {
	t.Parallel()
	n, w := startNode(t), &wire{}
	client := n.client(w.through)
	all := operations(client, patience)
	if err := all[0].do(t.Context()); err != nil { // connects
		t.Fatal(err)
	}
	for _, op := range all {
		got := w.trips(func() {
			if err := op.do(t.Context()); err != nil {
				t.Errorf("%s: got error %v; want none", op.name, err)
			}
		})
		if !slices.Equal(got, []string{"write", "read"}) {
			t.Errorf("%s: got %q; want one write and one read", op.name, got)
		}
	}
}

// addsKey says whether what is sent adds a key.
func addsKey(sent []byte) bool { return bytes.Contains(bytes.ToLower(sent), []byte("\r\nnx\r\n")) }

// first returns a wire that loses the first answer for which condition holds,
// and how often condition has held.
func first(condition func([]byte) bool) (*wire, *atomic.Int32) {
	var times atomic.Int32
	return &wire{lose: func(sent []byte) bool { return condition(sent) && times.Add(1) == 1 }}, &times
}

// The client sends a command again if its answer has not arrived. Add must then
// recognize the value that its first try has written.
func TestAdd_AnswerIsLost(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	t.Run("the key is new", func(t *testing.T) {
		w, times := first(addsKey)
		s := sharedOn(n.client(w.through))
		add(t, s, "key", "ours", true)
		if times.Load() != 2 {
			t.Errorf("got %d tries; want a second one", times.Load())
		}
		wantValues(t, s, []string{"key"}, "ours")
		add(t, s, "key", "ours", false)
	})
	t.Run("the key has the same value from another caller", func(t *testing.T) {
		add(t, sharedOn(n.client()), "held", "value", true)
		w, times := first(addsKey)
		add(t, sharedOn(n.client(w.through)), "held", "value", false)
		if times.Load() != 2 {
			t.Errorf("got %d tries; want a second one", times.Load())
		}
	})
	t.Run("twenty callers at once", func(t *testing.T) {
		var wins atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			w, _ := first(addsKey)
			s := sharedOn(n.client(w.through))
			wg.Go(func() {
				ok, err := s.Add(t.Context(), "contended", []byte("value"), time.Minute)
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
	t.Run("every answer is lost", func(t *testing.T) {
		w := &wire{lose: addsKey}
		if ok, err := sharedOn(n.client(w.through)).Add(t.Context(), "lost", nil, time.Minute); ok || err == nil {
			t.Errorf("Add: got %t, error %v; want an error", ok, err)
		}
	})
}
