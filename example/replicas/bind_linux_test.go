package main

import (
	"os/exec"
	"syscall"
)

// bind has a program end with the tests, even if those are killed.
func bind(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM // which the example hands on
}
