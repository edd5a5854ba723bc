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

// start runs cmd, gives it input, and waits until it has written a line with
// marker in it. It returns what follows the marker. The output goes to log. The
// standard input stays open for as long as this program runs; programs that
// read it end when it closes, and the others are killed with their parent.
func start(cmd *exec.Cmd, log io.Writer, input []byte, marker string) (*process, string, error) {
	// In another process group, it does not get Ctrl-C. This program ends it after
	// the report.
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
		_, _ = io.Copy(log, stdout) // before Wait, which closes the pipe
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

// kill ends the process as a power cut does, and waits until it has ended. It
// may be called again.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// signal sends a signal, if the process still runs.
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
