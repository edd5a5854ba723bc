package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// redisServer is a Redis of one test, which writes nothing to disk.
type redisServer struct {
	t    *testing.T
	addr string
	kill func() // ends it at once, as a crash does
}

// startRedis starts one on a free port. A machine without redis-server fails the
// test: skipped, it would prove nothing and say so to nobody.
func startRedis(t *testing.T) *redisServer {
	t.Helper()
	r := &redisServer{t: t, kill: func() {}}
	t.Cleanup(func() { r.kill() })
	var err error
	for range 5 { // somebody else may have the port
		// The kernel gives ports of this range to nobody who asks for any, so a
		// server that was killed finds its own free again.
		r.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		if err = r.start(); err == nil {
			return r
		}
	}
	t.Fatal(err)
	return nil
}

// start starts it, again if it has been killed, at its address.
func (r *redisServer) start() error {
	_, port, _ := net.SplitHostPort(r.addr)
	server := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", r.t.TempDir())
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	bind(server)
	if err := server.Start(); err != nil {
		return fmt.Errorf("these tests need a redis-server: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = server.Wait()
		close(ended)
	}()
	r.kill = func() {
		_ = server.Process.Kill()
		<-ended
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(15 * time.Second)
	for {
		select {
		case <-tick.C:
			if r.answers() {
				return nil
			}
		case <-ended:
			return fmt.Errorf("redis-server at %s has ended:\n%s", r.addr, &said)
		case <-tooLong:
			return fmt.Errorf("redis-server at %s does not answer", r.addr)
		}
	}
}

// answers asks for a PONG.
// https://redis.io/docs/latest/develop/reference/protocol-spec/#inline-commands
func (r *redisServer) answers() bool {
	c, err := net.DialTimeout("tcp", r.addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, "PING\r\n")
	answer := make([]byte, len("+PONG"))
	_, _ = io.ReadFull(c, answer)
	return string(answer) == "+PONG"
}
