package attack

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the hub when the test does, however that ends.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
