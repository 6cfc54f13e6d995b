//go:build !linux

package scripts

import (
	"fmt"
	"os"
)

// onDisk needs the mount namespaces of Linux.
func onDisk() {
	fmt.Fprintln(os.Stderr, "on-disk: needs Linux")
	os.Exit(noDisk)
}

func canMount() bool { return false }

func dieWithParent() {}
