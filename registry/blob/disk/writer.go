package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

// writer is one session of an upload. Its file descriptor carries an exclusive flock, so that a second session, in
// whatever process, cannot write to a file that this one is about to commit.
type writer struct {
	ctx    context.Context
	store  *Store
	upload string
	file   *os.File // nil after Close and Commit
	size   int64
	hinted int64 // bytes the kernel was already told to write back
	failed error // first error of Write or Commit
}

// begin takes the lock and, for an upload that is resumed, finds the end of what is already there.
func (w *writer) begin(resume bool) error {
	switch err := syscall.Flock(int(w.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return blob.ErrBusy
	case err != nil:
		return fmt.Errorf("blob: lock upload: %w", err)
	}
	if !resume {
		return nil
	}
	// Whoever held the lock before us may have committed or removed the upload since we opened it: then this
	// descriptor leads to committed content, and writing to it would alter a blob.
	if err := w.current(); err != nil {
		return err
	}
	size, err := w.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("blob: resume upload: %w", err)
	}
	w.size, w.hinted = size, size
	return nil
}

// current checks that the upload's name still leads to our file.
func (w *writer) current() error {
	held, err := w.file.Stat()
	if err != nil {
		return explain("stat upload", err)
	}
	named, err := os.Stat(w.path())
	if err != nil {
		return explain("stat upload", err)
	}
	if !os.SameFile(held, named) {
		return fmt.Errorf("%w: upload %s was replaced", blob.ErrNotFound, w.upload)
	}
	return nil
}

func (w *writer) path() string { return w.store.path(uploads, w.upload) }

// Write implements blob.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	n, err := w.file.Write(p)
	w.size += int64(n)
	if err != nil {
		w.failed = explain("write", err)
		return n, w.failed
	}
	if w.store.writeback > 0 && w.size-w.hinted >= w.store.writeback {
		startWriteback(w.file, w.hinted, w.size-w.hinted)
		w.hinted = w.size
	}
	return n, nil
}

func (w *writer) usable() error {
	if w.file == nil {
		return fmt.Errorf("blob: upload %s: %w", w.upload, os.ErrClosed)
	}
	if w.failed != nil {
		return w.failed
	}
	return w.ctx.Err()
}

// Size implements blob.Writer.
func (w *writer) Size() int64 { return w.size }

// Reader implements blob.Writer.
func (w *writer) Reader(ctx context.Context) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.file == nil {
		return nil, fmt.Errorf("blob: upload %s: %w", w.upload, os.ErrClosed)
	}
	f, err := os.Open(w.path())
	if err != nil {
		return nil, explain("read upload", err)
	}
	return f, nil
}

// Commit implements blob.Writer. The order is the promise: the bytes, then the directories the name will stand in,
// then the name, then the directory that holds it.
func (w *writer) Commit(ctx context.Context, d digest.Digest) (string, error) {
	if err := w.usable(); err != nil {
		return "", err
	}
	if err := w.store.ready(ctx); err != nil {
		return "", err
	}
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("blob: commit: %w", err)
	}
	key, err := w.commit(d)
	if err != nil {
		w.failed = err
		return "", err
	}
	err = w.file.Close()
	w.file = nil
	if err != nil {
		return "", errors.Join(fmt.Errorf("blob: commit: %w", err), w.store.Delete(context.WithoutCancel(ctx), key))
	}
	return key, nil
}

func (w *writer) commit(d digest.Digest) (string, error) {
	s := w.store
	if err := s.sync(w.file); err != nil {
		return "", abandon(w.path(), explain("sync", err))
	}
	dir, err := s.dirs.ensure(d.Algorithm().String(), d.Encoded()[:2])
	if err != nil {
		return "", abandon(w.path(), explain("make directory", err))
	}
	key := s.Key(w.upload, d)
	if err := os.Rename(w.path(), s.path(key)); err != nil {
		return "", abandon(w.path(), explain("commit", err))
	}
	err = s.dirs.flush(dir)
	if err == nil {
		// If an fsync of another commit failed meanwhile, it may have taken our directory entry with it.
		err = s.Healthy()
	}
	if err != nil {
		return "", abandon(s.path(key), explain("sync directory", err))
	}
	return key, nil
}

// abandon removes a file that must not be trusted after err.
func abandon(path string, err error) error {
	if rm := syscall.Unlink(path); rm != nil && !gone(rm) {
		return errors.Join(err, rm)
	}
	return err
}

// Close implements blob.Writer. It does not sync: an unfinished upload survives the process, not a power loss.
func (w *writer) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return fmt.Errorf("blob: close upload: %w", err)
	}
	return nil
}
