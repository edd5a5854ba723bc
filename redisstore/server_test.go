package redisstore_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

func TestMain(m *testing.M) {
	logging.Disable() // the client complains of servers that tests stop on purpose
	m.Run()
}

// node is a redis-server of one test. It keeps nothing on disk.
type node struct {
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
	// operator is a client that may run any command.
	operator *redis.Client
}

// startNode starts a redis-server on a free port of the loopback interface. It
// ends with the test.
func startNode(t testing.TB, args ...string) *node {
	t.Helper()
	n := &node{t: t, args: args}
	t.Cleanup(n.kill)
	var err error
	for range 5 { // another program may take the port first
		n.addr = freeAddr(t)
		if err = n.run(); err == nil {
			n.operator = redis.NewClient(&redis.Options{Addr: n.addr})
			t.Cleanup(func() { n.operator.Close() })
			return n
		}
	}
	t.Fatal(err)
	return nil
}

// freeAddr returns an address at which no program listens. The kernel does not
// assign ports of this range by itself, so a server that was killed finds its
// port free again.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// run starts the server, empty, and waits until it says that it is ready.
func (n *node) run() error {
	_, port, _ := net.SplitHostPort(n.addr)
	args := []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", n.t.TempDir()}
	if len(n.args) > 0 && filepath.Ext(n.args[0]) == ".conf" { // must come first
		args = append(n.args[:1:1], append(args, n.args[1:]...)...)
	} else {
		args = append(args, n.args...)
	}
	cmd := exec.Command("redis-server", args...)
	bind(cmd)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("these tests need a redis-server: %w", err)
	}
	n.cmd = cmd
	said, lines := "", bufio.NewScanner(stdout)
	for lines.Scan() {
		said += lines.Text() + "\n"
		if strings.Contains(said, "Ready to accept connections") || strings.Contains(said, "Sentinel ID is") {
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return nil
		}
	}
	n.kill()
	return fmt.Errorf("redis-server has ended: %s", said)
}

// kill ends the server as a power failure does, if it runs.
func (n *node) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
		n.cmd = nil
	}
}

// restart starts a server that was killed at the same address.
func (n *node) restart() {
	n.t.Helper()
	if err := n.run(); err != nil {
		n.t.Fatal(err)
	}
}

// pause makes the server hang: its connections stay open, and it does not
// answer.
func (n *node) pause() { n.signal(syscall.SIGSTOP) }

func (n *node) resume() { n.signal(syscall.SIGCONT) }

func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// do runs a command as the operator.
func (n *node) do(args ...any) any {
	n.t.Helper()
	answer, err := n.operator.Do(context.Background(), args...).Result()
	if err != nil {
		n.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

// keys lists all keys in the server.
func (n *node) keys() []string {
	n.t.Helper()
	keys, err := n.operator.Keys(context.Background(), "*").Result()
	if err != nil {
		n.t.Fatal(err)
	}
	return keys
}

// client returns a client that is fit for the package, with some options
// changed.
func (n *node) client(change ...func(*redis.Options)) *redis.Client {
	n.t.Helper()
	o := &redis.Options{Addr: n.addr, ContextTimeoutEnabled: true}
	for _, c := range change {
		c(o)
	}
	c := redis.NewClient(o)
	n.t.Cleanup(func() { c.Close() })
	return c
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute: no sign that %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}
