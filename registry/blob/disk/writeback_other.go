//go:build !linux

package disk

import "os"

const defaultWriteback = -1

// startWriteback does nothing where there is no call for it.
func startWriteback(*os.File, int64, int64) {}
