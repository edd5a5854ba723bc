package interop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boj/redistore"
	redigo "github.com/gomodule/redigo/redis"
	"github.com/gorilla/sessions"
	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin/redisstore"
)

// A redisServer is a redis-server on a free port of 127.0.0.1. When it ends,
// its data is lost.
type redisServer struct {
	t       testing.TB
	addr    string
	process *exec.Cmd
}

func startRedis(t testing.TB) *redisServer {
	t.Helper()
	s := &redisServer{t: t}
	var err error
	for range 10 {
		// The port is below those that the kernel assigns, so that no connection takes
		// it while the server is down. Another server may already have it.
		s.addr = fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		if err = s.start(); err == nil {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatalf("redis-server, from the package of that name: %v", err)
	return nil
}

// start starts the server without data, and waits until it answers.
func (s *redisServer) start() error {
	host, port, _ := net.SplitHostPort(s.addr)
	s.process = exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", s.t.TempDir())
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	said, lines := "", bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return nil
		}
		said += lines.Text() + "\n"
	}
	return fmt.Errorf("it ended: %v\n%s", s.process.Wait(), said)
}

func (s *redisServer) kill() {
	if s.process.ProcessState == nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
	}
}

// client returns a client with which tests look at the server's data.
func (s *redisServer) client() *redis.Client {
	return newClient(s.t, at("tcp", s.addr, new(atomic.Int64)), patient)
}

// everything returns all keys of the server, and their values.
func (s *redisServer) everything() map[string]string {
	s.t.Helper()
	c, all := s.client(), make(map[string]string)
	keys, err := c.Keys(s.t.Context(), "*").Result()
	for _, key := range keys {
		if err == nil {
			all[key], err = c.Get(s.t.Context(), key).Result()
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// A dialer connects to one server, whatever the address.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// at is a dialer that counts round trips: how often a connection is read from
// after it has been written to.
func at(network, addr string, trips *atomic.Int64) dialer {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &counted{Conn: c, trips: trips}, nil
	}
}

type counted struct {
	net.Conn
	trips *atomic.Int64
	wrote atomic.Bool
}

func (c *counted) Write(p []byte) (int, error) {
	c.wrote.Store(true)
	return c.Conn.Write(p)
}

func (c *counted) Read(p []byte) (int, error) {
	if c.wrote.Swap(false) {
		c.trips.Add(1)
	}
	return c.Conn.Read(p)
}

// patient is how long a store waits for a Redis that works, and impatient how long
// it waits for one that hangs.
const patient, impatient = time.Minute, 200 * time.Millisecond

var storeKey = []byte(strings.Repeat("s", 32))

// newClient returns a client that does not retry, so that tests see the first
// error, and the first round trip.
func newClient(t testing.TB, d dialer, wait time.Duration) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Dialer: d, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, ReadTimeout: wait, WriteTimeout: wait,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// newRediStore returns a boj/redistore with a limit; a negative one leaves the
// default. It ignores the error of the constructor, which returns a store even if
// the server is down.
func newRediStore(t testing.TB, d dialer, wait time.Duration, limit int) *redistore.RediStore {
	p := &redigo.Pool{MaxIdle: 16, IdleTimeout: time.Minute, Dial: func() (redigo.Conn, error) {
		return redigo.Dial("tcp", "", redigo.DialContextFunc(d), redigo.DialReadTimeout(wait), redigo.DialWriteTimeout(wait))
	}}
	t.Cleanup(func() { _ = p.Close() })
	store, _ := redistore.NewRediStoreWithPool(p, storeKey)
	store.SetMaxLength(limit)
	return store
}

type redisStore struct {
	name string
	open func(t testing.TB, d dialer, wait time.Duration) sessions.Store
}

// open returns a store on the server.
func (s *redisServer) open(store redisStore, wait time.Duration) sessions.Store {
	return store.open(s.t, at("tcp", s.addr, new(atomic.Int64)), wait)
}

// redisStores are the stores on Redis, with the limits that docs/stores.md sets.
var redisStores = []redisStore{
	{"boj/redistore", func(t testing.TB, d dialer, wait time.Duration) sessions.Store {
		return newRediStore(t, d, wait, 64<<10)
	}},
	{"redisstore", func(t testing.TB, d dialer, wait time.Duration) sessions.Store {
		return redisstore.NewSessions(newClient(t, d, wait), redisstore.Timeout(wait))
	}},
}
