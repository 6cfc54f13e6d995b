package disk

import (
	"os"
	"syscall"
)

const defaultWriteback = 8 << 20

// startWriteback asks the kernel to begin writing n bytes at off, without waiting. It promises nothing, so its error
// means nothing: the fsync of Commit tells.
func startWriteback(f *os.File, off, n int64) {
	const write = 2 // SYNC_FILE_RANGE_WRITE
	_ = syscall.SyncFileRange(int(f.Fd()), off, n, write)
}
