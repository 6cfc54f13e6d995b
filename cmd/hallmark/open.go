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
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redis"
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
	redis  *redis.Server // nil where the job queue is in memory
	// keyring is the master key, which is the one the database was made with.
	keyring *seal.Keyring
	// reserve is nil where no data directory was opened.
	reserve *reserve
	// address is where clients are listened to; "" where nobody listens.
	address string
	// scanner is where the scanner that the hub runs reaches it; "" without one.
	scanner string
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
	return o.openStores(ctx)
}

// openStores opens what needs the data directory. The schema is changed last: a start that is refused leaves the database to
// the version of the hub that worked on it before.
func (o *opened) openStores(ctx context.Context) error {
	if err := o.openDatabase(ctx, o.cfg.database()); err != nil {
		return err
	}
	if err := migrations.Check(ctx, o.db); err != nil {
		return err
	}
	if err := o.openBlobs(ctx); err != nil {
		return err
	}
	if err := o.openKeyring(ctx); err != nil {
		return err
	}
	if err := o.openQueue(ctx); err != nil {
		return err
	}
	return migrations.Up(ctx, o.db)
}

// openQueue connects to the Redis of the job queue.
func (o *opened) openQueue(ctx context.Context) error {
	if o.cfg.memoryQueue() {
		return nil
	}
	redis.LogTo(o.log)
	s, err := redis.Open(ctx, o.cfg.String("queue"))
	if err != nil {
		return fmt.Errorf("the job queue %s cannot be used: %w. HALLMARK_QUEUE says where it is", db.Redact(o.cfg.String("queue")), err)
	}
	o.redis = s
	o.closes = append(o.closes, s.Close)
	return nil
}

// minFree is how much room the data directory must have at the start, so that the first push does not end the hub.
const minFree = 64 << 20

// openData makes the data directory and locks it: one process at a time.
func (o *opened) openData() error {
	// Whatever this process makes is for its user alone: the database writes its own files.
	syscall.Umask(0o077)
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

// openDatabase opens a database and leaves its schema alone.
func (o *opened) openDatabase(ctx context.Context, address string) error {
	d, err := db.Open(ctx, address, db.Options{Log: o.log})
	if err != nil {
		return fmt.Errorf("%w. HALLMARK_DB says where it is", err)
	}
	o.db = d
	o.closes = append(o.closes, d.Close)
	return nil
}

// openKeyring reads the master key. It is made only for a database that knows none yet: beside one that does, a new key
// would look like the right one.
func (o *opened) openKeyring(ctx context.Context) error {
	known, err := knowsMasterKey(ctx, o.db)
	if err != nil {
		return err
	}
	path := filepath.Join(o.cfg.dataDir(), "master.key")
	if _, err := os.Lstat(path); known && errors.Is(err, fs.ErrNotExist) && o.cfg.String("master_key") == "" {
		return fmt.Errorf("the master key file %s is gone, and nothing else opens the keys in the database: restore the file, or set HALLMARK_MASTER_KEY to what it held", path)
	}
	if o.keyring, err = seal.LoadMasterKey(o.cfg.String("master_key"), path, !known); err != nil {
		return usageError{err}
	}
	if !known {
		return nil // wireAuth makes it known, when there is a schema
	}
	return store.New(o.db).CheckMasterKey(ctx, o.keyring)
}

// knowsMasterKey reports whether the database was worked on with a master key before. There need be no schema.
func knowsMasterKey(ctx context.Context, d *db.DB) (bool, error) {
	if there, err := migrations.HasSchema(ctx, d); err != nil || !there {
		return false, err
	}
	var n int64
	err := d.QueryRow(ctx, `SELECT count(*) FROM meta WHERE key = 'master_key'`).Scan(&n)
	return n > 0, err
}

// blobsPatience is how long an object store may take to answer at the start.
const blobsPatience = 10 * time.Second

// openBlobs opens the blob store.
func (o *opened) openBlobs(ctx context.Context) error {
	address := o.cfg.blobStore()
	if !strings.HasPrefix(address, "file:") {
		s, err := driver.Open(ctx, address, driver.Options{})
		if err == nil {
			// Now, and not with the first push, it shows whether bucket and credentials are right.
			ask, cancel := context.WithTimeout(ctx, blobsPatience)
			defer cancel()
			err = s.Check(ask)
		}
		if err != nil {
			return fmt.Errorf("the blob store %s cannot be opened: %w. HALLMARK_BLOBS says where it is", db.Redact(address), err)
		}
		o.blobs = s
		return nil
	}
	u, err := url.Parse(address)
	must("blobs", err)
	s, err := disk.Open(filepath.FromSlash(u.Path), disk.Options{})
	if err != nil {
		return fmt.Errorf("the blob store %s cannot be opened: %w. HALLMARK_BLOBS says where it is", u.Path, err)
	}
	o.blobs = s
	return nil
}
