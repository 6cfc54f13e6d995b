//go:build !linux

package main

import "os"

// lockFile opens the file path: the sandbox refuses to work on this system in any case.
func lockFile(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }
