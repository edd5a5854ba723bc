package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
)

// newClient returns a client for the Redis at addr, which is a path for a Unix
// socket.
func newClient(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                  addr,
		ContextTimeoutEnabled: true, // otherwise a Redis that hangs delays every request
		DialerRetries:         1,    // otherwise one that is down delays it for two seconds
	})
}

// A redisServer is the Redis that the replicas share. If this program has started
// it, it listens only at a Unix socket in a temporary directory, and writes nothing
// to disk.
type redisServer struct {
	addr string
	dir  string // the temporary directory; empty if this program has not started it
	kill func()
}

// openRedis returns the Redis at addr, or starts one if addr is empty.
func openRedis(ctx context.Context, addr string) (*redisServer, error) {
	s := &redisServer{addr: addr, kill: func() {}}
	if addr != "" {
		return s, findRedis(ctx, addr)
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, errors.New("redis-server is missing: install it (on Debian: apt-get install redis-server), " +
			"or give the address of a Redis with -redis")
	}
	dir, err := os.MkdirTemp("", "signin-")
	if err != nil {
		return nil, err
	}
	s.dir, s.addr = dir, filepath.Join(dir, "redis.sock")
	if err := s.start(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// findRedis returns an error if no Redis answers at addr.
func findRedis(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client := newClient(addr)
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("no Redis answers at %s: %w", addr, err)
	}
	return nil
}

// start starts the server at addr, also after kill.
func (s *redisServer) start(ctx context.Context) error {
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", s.addr,
		"--save", "", "--appendonly", "no", "--dir", s.dir)
	var output bytes.Buffer
	server.Stdout, server.Stderr = &output, &output
	bind(server)
	if err := server.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = server.Wait()
		close(ended)
	}()
	s.kill = func() {
		_ = server.Process.Kill()
		<-ended
	}
	tooLong := time.After(15 * time.Second)
	for {
		err := findRedis(ctx, s.addr)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		case <-ended:
			return fmt.Errorf("redis-server has ended:\n%s", &output)
		case <-tooLong:
			return err
		}
	}
}

// stop ends the server if this program has started it. There is nothing to save,
// so it is killed.
func (s *redisServer) stop() {
	s.kill()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
