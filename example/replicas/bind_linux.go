package main

import (
	"os/exec"
	"syscall"
)

// bind makes a program that this one starts end when this one ends, even if
// this one is killed. It also keeps Ctrl-C in the terminal from reaching it,
// since requests under way still need Redis then.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
