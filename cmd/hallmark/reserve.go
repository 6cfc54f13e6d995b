package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

// reserveSize is what is kept back for the database on a disk that is full, in bytes: enough for thousands of deletes.
const reserveSize = 16 << 20

// reserve is a file that is given up when a delete finds the disk full, so that deleting, which needs a little room itself,
// can make more. Until there is room for it again nothing is pushed.
type reserve struct {
	path string
	log  *slog.Logger
	mu   sync.Mutex
	gone atomic.Bool
}

// openReserve takes the room. A disk that is full already leaves it for later.
func openReserve(dir string, log *slog.Logger) *reserve {
	r := &reserve{path: filepath.Join(dir, "reserve"), log: log}
	r.gone.Store(r.take() != nil)
	return r
}

// take makes the file with all its blocks.
func (r *reserve) take() error {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = syscall.Fallocate(int(f.Fd()), 0, 0, reserveSize)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, reserveSize))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(r.path))
	}
	return nil
}

// release gives the room up and reports whether that was any: then what failed is worth another try.
func (r *reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone.Load() {
		return false
	}
	r.gone.Store(true) // first, so that no push takes what becomes free
	err := os.Remove(r.path)
	r.log.Error("the disk is full: pushes are refused until there is room again; pulls and deletes go on", "error", err)
	return err == nil || errors.Is(err, fs.ErrNotExist)
}

// full reports whether the room is given up. It is asked by every push, and takes the room again when there is some.
func (r *reserve) full() bool {
	if !r.gone.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var st syscall.Statfs_t
	if !r.gone.Load() {
		return false
	}
	if syscall.Statfs(filepath.Dir(r.path), &st) != nil || st.Bavail*uint64(st.Bsize) < 2*reserveSize || r.take() != nil {
		return true
	}
	r.gone.Store(false)
	r.log.Info("there is room on the disk again: pushes are taken")
	return false
}
