package main

import (
	"os/exec"
	"syscall"
)

// bind makes cmd end when this program ends, even if this program is killed. It
// also keeps Ctrl-C in the terminal from reaching cmd, since requests under way
// still need Redis then.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
