package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/migrations"
	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/blob/disk"
	"github.com/hallmarkhub/hallmark/registry/blob/driver"
)

// opened is what has to be open before anything can be served. close closes what was opened, in reverse.
type opened struct {
	cfg    *Config
	log    *slog.Logger
	access *slog.Logger
	db     *db.DB
	blobs  blob.Store
	// reserve is nil where no data directory was opened.
	reserve *reserve
	closes  []func() error
}

func (o *opened) close() {
	for i := len(o.closes) - 1; i >= 0; i-- {
		if err := o.closes[i](); err != nil {
			o.log.Error("while ending", "error", err)
		}
	}
	o.closes = nil
}

// open opens everything in the order in which it can fail.
func (o *opened) open(ctx context.Context) error {
	if err := o.openData(); err != nil {
		return err
	}
	if err := o.openDatabase(ctx); err != nil {
		return err
	}
	if err := migrations.Up(ctx, o.db); err != nil {
		return err
	}
	return o.openBlobs(ctx)
}

// minFree is how much room the data directory must have at the start, so that the first push does not end the hub.
const minFree = 64 << 20

// openData makes the data directory and locks it: one process at a time.
func (o *opened) openData() error {
	dir := o.cfg.dataDir()
	if err := makeDir(dir); err != nil {
		return fmt.Errorf("the data directory %s cannot be made: %w. Set HALLMARK_DATA to a directory that this user may write to", dir, errors.Unwrap(err))
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("the data directory %s cannot be written to: %w. Set HALLMARK_DATA to one that this user may write to", dir, errors.Unwrap(err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("another hallmark works on %s: end it, or set HALLMARK_DATA to another directory", dir)
	}
	o.closes = append(o.closes, f.Close)
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err == nil && st.Bavail*uint64(st.Bsize) < minFree {
		return fmt.Errorf("the disk of %s is full: %d MiB are free, and at least %d are needed to start. Make room or set HALLMARK_DATA", dir, st.Bavail*uint64(st.Bsize)>>20, minFree>>20)
	}
	o.reserve = openReserve(dir, o.log)
	return nil
}

// makeDir makes a directory and those above it, and syncs the parent of each it made: what is acknowledged below must
// not go with the name of a directory after a power loss.
func makeDir(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// openDatabase opens the database and brings its schema up to date.
func (o *opened) openDatabase(ctx context.Context) error {
	address := o.cfg.database()
	if strings.HasPrefix(address, "postgres") && o.cfg.String("master_key") == "" {
		return usagef("with postgres HALLMARK_MASTER_KEY has to be set, the same for every process: make one with: head -c 32 /dev/urandom | base64")
	}
	d, err := db.Open(ctx, address, db.Options{Log: o.log})
	if err != nil {
		return fmt.Errorf("%w. HALLMARK_DB says where it is", err)
	}
	o.db = d
	o.closes = append(o.closes, d.Close)
	return nil
}

// openBlobs opens the blob store.
func (o *opened) openBlobs(ctx context.Context) error {
	address := o.cfg.blobStore()
	if !strings.HasPrefix(address, "file:") {
		s, err := driver.Open(ctx, address, driver.Options{})
		if err != nil {
			return fmt.Errorf("the blob store %s cannot be opened: %w. HALLMARK_BLOBS says where it is", db.Redact(address), err)
		}
		o.blobs = s
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Path == "" {
		return usagef("HALLMARK_BLOBS is not of the form file:///path")
	}
	s, err := disk.Open(filepath.FromSlash(u.Path), disk.Options{})
	if err != nil {
		return fmt.Errorf("the blob store %s cannot be opened: %w", u.Path, err)
	}
	o.blobs = s
	return nil
}
