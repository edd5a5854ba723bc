package main

import (
	"os/exec"
	"syscall"
)

// bind makes a program that this one starts end with it, even if this one is
// killed, and keeps Ctrl-C in the terminal from it: requests under way still need
// Redis then.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
