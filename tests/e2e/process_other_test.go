//go:build e2e && !linux

package e2e

import "os/exec"

// Elsewhere the servers outlive a killed test binary; nothing else depends on it.
func dieWithParent(*exec.Cmd) {}

// runAs is only needed as root, which the tests are only on Linux.
func runAs(*exec.Cmd, uint32, uint32) {}
