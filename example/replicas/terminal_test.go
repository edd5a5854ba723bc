//go:build unix

package main

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildExample builds the program that people start, which builds this one.
func buildExample(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "example")
	build := exec.Command("go", "build", "-C", filepath.Join("..", ".."), "-buildvcs=false", "-o", path, "./example")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, said)
	}
	return path
}

// terminal is the example with -replicas, started as in a terminal in the root of
// a clone: its processes are a group.
type terminal struct {
	*exec.Cmd
	temporary      string // where both programs put their temporary files
	stdout, stderr *output
	ended          chan error
}

func startInTerminal(t *testing.T, example string, args []string, env ...string) *terminal {
	t.Helper()
	p := &terminal{Cmd: exec.Command(example, args...), temporary: t.TempDir(), stdout: newOutput(), stderr: newOutput(), ended: make(chan error, 1)}
	p.Dir = filepath.Join("..", "..")
	p.Env = append(os.Environ(), "LOGTO_ENDPOINT=", "LOGTO_APP_ID=", "LOGTO_APP_SECRET=", "BASE_URL=",
		"SIGNIN_KEY="+strings.Repeat("k", 64), "TMPDIR="+p.temporary)
	p.Env = append(p.Env, env...)
	p.Stdout, p.Stderr = p.stdout, p.stderr
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	bind(p.Cmd)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	tooLong := time.AfterFunc(2*time.Minute, p.kill)
	done := make(chan struct{})
	go func() {
		p.ended <- p.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		p.kill()
		<-done
		tooLong.Stop()
	})
	return p
}

// kill ends all of its processes.
func (p *terminal) kill() { _ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL) }

func TestTheExampleRunsTheReplicasAndEndsThem(t *testing.T) {
	t.Parallel()
	example, redis := buildExample(t), startRedis(t).addr
	for _, row := range []struct {
		name string
		ask  func(pid int) error
	}{
		{"Ctrl-C in a terminal, which reaches both programs", func(pid int) error { return syscall.Kill(-pid, syscall.SIGINT) }},
		{"an interrupt of the one that was started", func(pid int) error { return syscall.Kill(pid, syscall.SIGINT) }},
		{"SIGTERM to the one that was started", func(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := startInTerminal(t, example, replicasOf(3, redis))
			front := &running{t: t, url: p.stdout.opened(t, p.ended)}
			front.wantNobody(newClient(t))
			if err := row.ask(p.Process.Pid); err != nil {
				t.Fatal(err)
			}
			if err := <-p.ended; err != nil {
				t.Errorf("got %v; want a clean end", err)
			}
			if got := p.stdout.String(); !strings.HasPrefix(got, "Building the replicas…\n") {
				t.Errorf("stdout: got %q; want it to begin with what it waits for", got)
			}
			if got := p.stderr.String(); got != "" {
				t.Errorf("stderr: got %q; want nothing", got)
			}
			if left, err := os.ReadDir(p.temporary); err != nil || len(left) > 0 {
				t.Errorf("temporary files: got %v, %v; want none left", left, err)
			}
		})
	}
}

// What comes of a Redis that has gone is said once, and not by its client too.
func TestOneLineTellsOfARequestWithoutRedis(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	p := startInTerminal(t, buildExample(t), replicasOf(3, redis.addr))
	front := &running{t: t, url: p.stdout.opened(t, p.ended)}
	redis.kill()
	if got := front.send(newClient(t), "/callback?code=c&state=s", nil); got.status != http.StatusServiceUnavailable {
		t.Errorf("callback: got %d; want 503", got.status)
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("got %v; want a clean end", err)
	}
	if got := p.stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, " level=ERROR ") || !strings.Contains(got, " replica=1") {
		t.Errorf("stderr: got %q; want one line, about replica 1", got)
	}
}

// In a terminal, Ctrl-C arrives from there and from the program that has started
// this one, while somebody is signing in.
func TestASecondInterruptAtOnceIsNoSecondThought(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "replicas")
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	logto := newLogto(t)
	p := startInTerminal(t, path, replicasOf(3, startRedis(t).addr), environ(logto)...)
	front := &running{t: t, url: p.stdout.opened(t, p.ended)}
	front.register(logto)
	interrupt := func() {
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("interrupt: %v", err)
		}
	}
	logto.OnTokenRequest(func(url.Values) {
		interrupt()
		refused(front.url)
		interrupt()
	})
	if got := front.signIn(newClient(t)); got.status != http.StatusSeeOther || got.location != "/" {
		t.Errorf("callback: got %d to %q; want 303 to /", got.status, got.location)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("got %v; want a clean end\n%s", err, p.stderr)
	}
}

func TestTheExampleHandsOnWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := startInTerminal(t, buildExample(t), replicasOf(3, startRedis(t).addr), "SIGNIN_KEY=short")
	<-p.ended
	const want = "signin: Config.Keys[0] (SIGNIN_KEY) has 5 bytes; needs 32 or more: openssl rand -hex 32\n"
	if code, said := p.ProcessState.ExitCode(), p.stderr.String(); code != 2 || said != want {
		t.Errorf("got exit code %d and %q; want 2 and %q", code, said, want)
	}
}
