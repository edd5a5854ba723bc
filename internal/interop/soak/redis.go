//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// A redisServer is the Redis that the replicas share. It writes each command to
// disk before it answers, so that data is lost only when the soak deletes
// it. Only one goroutine may use it at a time.
type redisServer struct {
	addr    string
	data    string // its directory
	log     io.Writer
	process *process
}

// startRedis starts redis-server on a free port, with its data below dir.
func startRedis(dir string, log io.Writer) (s *redisServer, err error) {
	// Another program may take the port before Redis does.
	for range 5 {
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		s = &redisServer{addr: l.Addr().String(), data: filepath.Join(dir, "redis"), log: log}
		_ = l.Close()
		if err = s.start(); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// start starts the server with its data.
func (s *redisServer) start() error {
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return err
	}
	cmd := exec.Command("redis-server", "--bind", host, "--port", port, "--dir", s.data, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--daemonize", "no")
	s.process, _, err = start(cmd, s.log, nil, "Ready to accept connections")
	return err
}

// kill ends the server as a power cut does. Its data stays.
func (s *redisServer) kill() {
	if s.process != nil {
		s.process.kill()
	}
}

// forget deletes the data of a server that is not running.
func (s *redisServer) forget() error {
	if s.process.running() {
		return fmt.Errorf("redis-server is running, so its data cannot be deleted")
	}
	return os.RemoveAll(s.data)
}

// pause stops the server without ending it: connections stay open, and nothing
// is answered.
func (s *redisServer) pause() error  { return s.process.signal(syscall.SIGSTOP) }
func (s *redisServer) resume() error { return s.process.signal(syscall.SIGCONT) }
