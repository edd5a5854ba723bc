//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// startPatience is how long another program may take to say that it is ready.
const startPatience = 30 * time.Second

// A process is another program that this one has started.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}
}

// start runs cmd, gives it input, and returns when it has written a line with
// marker in it, together with what follows the marker. Everything it says goes
// to log. Its standard input stays open for as long as this program lives: the
// programs that read it end by themselves when it closes. Those that do not are
// killed with their parent, however that ends.
func start(cmd *exec.Cmd, log io.Writer, input []byte, marker string) (*process, string, error) {
	// A group of its own, so that Ctrl-C reaches this program alone, which ends
	// the others when it has counted.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	ready := make(chan string, 1)
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(io.TeeReader(stdout, log))
		for lines.Scan() {
			if _, rest, found := strings.Cut(lines.Text(), marker); found {
				ready <- strings.TrimSpace(rest)
				break
			}
		}
		_, _ = io.Copy(log, stdout) // Wait closes the pipe, so first all that is in it
		_ = cmd.Wait()
	}()
	if _, err := stdin.Write(input); err != nil {
		p.kill()
		return nil, "", fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	select {
	case said := <-ready:
		return p, said, nil
	case <-p.ended:
		return nil, "", fmt.Errorf("start %s: it ended at once: %v", cmd.Path, cmd.ProcessState)
	case <-time.After(startPatience):
		p.kill()
		return nil, "", fmt.Errorf("start %s: it was not ready after %v", cmd.Path, startPatience)
	}
}

// kill ends the process as a power cut does, and waits until it is gone. It may
// be called again.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// signal sends a signal, if the process is still there.
func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// running reports whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}
