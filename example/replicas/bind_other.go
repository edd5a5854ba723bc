//go:build !linux

package main

import "os/exec"

// bind does nothing here; see bind_linux.go.
func bind(*exec.Cmd) {}
