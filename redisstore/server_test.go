package redisstore_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

func TestMain(m *testing.M) {
	logging.Disable() // what the client says of servers that are killed here on purpose
	m.Run()
}

// node is a redis-server of one test. It keeps nothing on disk unless its
// arguments say so, and ends with the test.
type node struct {
	t    testing.TB
	addr string
	dir  string
	args []string
	out  *lockedBuffer

	cmd   *exec.Cmd
	ended chan struct{}
	// operator is a client for what the package may not do by itself.
	operator *redis.Client
}

// startNode starts a redis-server on a free port of the loopback interface.
func startNode(t testing.TB, args ...string) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), args: args, out: &lockedBuffer{}}
	t.Cleanup(n.kill)
	var err error
	for range 5 { // somebody else may take the port first
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

// freeAddr returns an address on which nobody listens. The kernel gives ports
// of this range to nobody who asks for any, so a server that was killed finds
// its own free again.
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

// run starts the server and waits until it answers.
func (n *node) run() error {
	_, port, _ := net.SplitHostPort(n.addr)
	args := []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", n.dir}
	if len(n.args) > 0 && filepath.Ext(n.args[0]) == ".conf" { // must come first
		args = append(n.args[:1:1], append(args, n.args[1:]...)...)
	} else {
		args = append(args, n.args...)
	}
	cmd := exec.Command("redis-server", args...)
	cmd.Stdout, cmd.Stderr = n.out, n.out
	bind(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("these tests need a redis-server: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	n.cmd, n.ended = cmd, ended
	deadline := time.After(10 * time.Second)
	for {
		if n.answers() {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("redis-server has ended: %s", n.out)
		case <-deadline:
			return fmt.Errorf("redis-server does not answer: %s", n.out)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// answers reports whether this server, and no other, takes commands.
func (n *node) answers() bool {
	c, err := net.DialTimeout("tcp", n.addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, "INFO server\r\n")
	ours := fmt.Sprint("process_id:", n.cmd.Process.Pid)
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		if lines.Text() == ours {
			return true
		}
	}
	return false
}

// kill ends the server as a power failure does, if it runs.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	<-n.ended
	n.cmd = nil
}

// restart starts a server that was killed, at the same address.
func (n *node) restart() {
	n.t.Helper()
	if err := n.run(); err != nil {
		n.t.Fatal(err)
	}
}

// pause makes the server hang: its connections stay open, and nobody answers.
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

// client returns a client that is fit for the package, and was changed since.
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
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: got no sign that %s", within, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
