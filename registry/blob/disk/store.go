package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

const (
	uploads  = "uploads" // relative directory of unfinished uploads; no key lies in it
	fileMode = 0o600
	dirMode  = 0o700
)

// Options tune a Store. The zero value is right for a local disk.
type Options struct {
	// WritebackBytes is how many bytes of an upload may be dirty in the page cache before the kernel is told to
	// begin writing them, so that the fsync of Commit finds little left to do. 0 means 8 MiB, negative never.
	WritebackBytes int64
}

// Store keeps blobs as files below one directory. Only one process may write to it; the lock that enforces this is
// taken by whoever owns the data directory. Safe for concurrent use.
type Store struct {
	dir       string // absolute
	writeback int64
	dirs      durableDirs
	broken    atomic.Pointer[error]
	fsync     func(*os.File) error // (*os.File).Sync, except in tests of a failing disk
}

// Open prepares dir, creating it if it is missing (its parent must exist), and returns the store on it. It fails if
// the file system cannot sync a directory, because then no Commit could keep its promise.
func Open(dir string, opt Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("blob store: %w", err)
	}
	s := &Store{dir: dir, writeback: opt.WritebackBytes, fsync: (*os.File).Sync}
	if s.writeback == 0 {
		s.writeback = defaultWriteback
	}
	s.dirs.root, s.dirs.sync = dir, s.syncDir
	made := false
	if err := os.Mkdir(dir, dirMode); err == nil {
		made = true
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("blob store: %w", err)
	}
	// What a predecessor made and did not live to sync is synced here, too. A parent that may not be opened for
	// reading was not made by us, so it is not ours to sync.
	if err := s.syncDir(filepath.Dir(dir)); err != nil && (made || !errors.Is(err, fs.ErrPermission)) {
		return nil, fmt.Errorf("blob store: cannot sync the parent directory of %s: %w", dir, err)
	}
	if err := mkdir(s.path(uploads)); err != nil {
		return nil, fmt.Errorf("blob store: %w", err)
	}
	if err := s.syncDir(dir); err != nil {
		return nil, fmt.Errorf("blob store: cannot sync directory %s: %w", dir, err)
	}
	return s, nil
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context, upload string) (blob.Writer, error) {
	return s.openUpload(ctx, upload, os.O_CREATE|os.O_EXCL)
}

// Resume implements blob.Store.
func (s *Store) Resume(ctx context.Context, upload string) (blob.Writer, error) {
	return s.openUpload(ctx, upload, 0)
}

func (s *Store) openUpload(ctx context.Context, upload string, flag int) (blob.Writer, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if err := blob.CheckUpload(upload); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path(uploads, upload), os.O_WRONLY|flag, fileMode)
	if err != nil {
		return nil, explain("open upload", err)
	}
	w := &writer{ctx: ctx, store: s, file: f, upload: upload}
	if err := w.begin(flag&os.O_CREATE == 0); err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

// Open implements blob.Store. The Content is the *os.File itself.
func (s *Store) Open(ctx context.Context, key string) (blob.Content, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := s.content(key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, explain("open", err)
	}
	// Not f.Stat, which allocates on the hottest path.
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		f.Close()
		return nil, fmt.Errorf("%w: %s", blob.ErrNotFound, key)
	}
	return f, nil
}

// URL implements blob.Store: a disk has no address of its own.
func (s *Store) URL(context.Context, string, time.Duration) (string, error) { return "", nil }

// Delete implements blob.Store. It does not sync the directory: a blob that a power loss brings back is only garbage.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := s.path(uploads, name)
	err := blob.CheckUpload(name)
	if !blob.IsUpload(name) {
		path, err = s.content(name)
	}
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// Not os.Remove, which would also remove an empty directory.
	if err := syscall.Unlink(path); err != nil && !gone(err) {
		return fmt.Errorf("blob: delete %s: %w", name, err)
	}
	return nil
}

// List implements blob.Store. It reads the whole tree, adopted parts included.
func (s *Store) List(ctx context.Context, f func(blob.Info) error) error {
	return filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !d.Type().IsRegular() {
			if gone(err) {
				return nil // removed since its directory was read
			}
			return err
		}
		info, err := d.Info()
		if gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		key, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		key = filepath.ToSlash(key)
		upload, unfinished := strings.CutPrefix(key, uploads+"/")
		if unfinished {
			key = upload
		}
		return f(blob.Info{Key: key, Size: info.Size(), Modified: info.ModTime(), Committed: !unfinished})
	})
}

// Persistent implements blob.Store: what was written is in the file, and its length is the offset.
func (s *Store) Persistent() bool { return true }

// Key is the key that Commit will return for an upload with this digest, which must be valid. A caller that has to
// survive a crash between Commit and its own record of the key writes it down before.
func (s *Store) Key(upload string, d digest.Digest) string {
	hex := d.Encoded()
	return d.Algorithm().String() + "/" + hex[:2] + "/" + hex + "." + upload
}

// Free returns how many bytes an unprivileged process may still write to the file system of the store.
func (s *Store) Free() (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err != nil {
		return 0, fmt.Errorf("blob: free space of %s: %w", s.dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Healthy returns nil, or the fsync error after which the store takes nothing new. The kernel may have dropped what it
// could not write, and a second fsync would then succeed without it, so the error stays until the process restarts.
// Reading and deleting go on.
func (s *Store) Healthy() error {
	if p := s.broken.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Healthy()
}

// sync is every fsync there is. If one fails, the store stops taking content, unless the disk is merely full: then what
// could not be written is lost with the file it belongs to, which Commit removes, and nothing else is in doubt.
func (s *Store) sync(f *os.File) error {
	err := s.fsync(f)
	if err != nil && !full(err) {
		sick := fmt.Errorf("blob store on %s failed to sync and takes no more content until it is restarted; check the disk: %w", s.dir, err)
		s.broken.CompareAndSwap(nil, &sick)
	}
	return err
}

// content is the path of committed content. Uploads are not content: nothing is readable before Commit.
func (s *Store) content(key string) (string, error) {
	if err := blob.CheckKey(key); err != nil {
		return "", err
	}
	if strings.HasPrefix(key, uploads+"/") {
		return "", fmt.Errorf("%w: %s", blob.ErrNotFound, key)
	}
	return s.path(key), nil
}

func (s *Store) path(parts ...string) string {
	return s.dir + "/" + strings.Join(parts, "/")
}

// gone says that there is nothing under a path; ENOTDIR is what a key below a file gives.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// explain turns what the system said into the errors of the contract.
func explain(what string, err error) error {
	switch {
	case gone(err):
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	case full(err):
		return fmt.Errorf("%w: %s: %w", blob.ErrFull, what, err)
	}
	return fmt.Errorf("blob: %s: %w", what, err)
}
