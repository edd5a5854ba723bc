package redisstore_test

import (
	"os/exec"
	"syscall"
)

// bind has a server end with the tests, even if those are killed.
func bind(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
