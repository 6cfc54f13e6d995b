//go:build !linux

package adapter

import (
	"os/exec"
	"syscall"
)

// own makes a child that a terminal's Ctrl-C does not reach: the hub ends it.
func own(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
