package disk

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// durableDirs knows the directories of committed content: which of them will survive a power loss, and how to sync
// their entries with as few fsyncs as possible. What digests can name bounds it: two algorithms of 256 directories.
type durableDirs struct {
	root string
	sync func(path string) error // one fsync of a directory

	known sync.Map // path -> *directory
}

// directory is one directory whose entries have to be durable.
type directory struct {
	path    string
	durable atomic.Bool // its own entry, and those above it below root, will survive a power loss

	turn sync.Mutex // held during an fsync of this directory
	mu   sync.Mutex
	next *generation // those who wait for the next fsync to start
}

// generation is the committers that share one fsync: each joined before that fsync started, hence after its own rename.
type generation struct {
	done bool // guarded by directory.turn, as err
	err  error
}

func (d *durableDirs) get(path string) *directory {
	if v, ok := d.known.Load(path); ok {
		return v.(*directory)
	}
	v, _ := d.known.LoadOrStore(path, &directory{path: path})
	return v.(*directory)
}

// ensure returns root/algorithm/sub when it is durable. A directory that exists is no more trusted than one that was
// just made, since its maker may have died before it could sync; but the first fsync of the algorithm's directory in
// this process vouches for all that it finds there. Concurrent calls may do the same work twice and share the fsync.
func (d *durableDirs) ensure(algorithm, sub string) (*directory, error) {
	above := d.get(d.root + "/" + algorithm)
	dir := d.get(above.path + "/" + sub)
	if dir.durable.Load() {
		return dir, nil
	}
	entries := []string{sub}
	if !above.durable.Load() {
		if err := mkdir(above.path); err != nil {
			return nil, err
		}
		if err := d.flush(d.get(d.root)); err != nil {
			return nil, err
		}
		found, err := subdirectories(above.path)
		if err != nil {
			return nil, err
		}
		entries = append(entries, found...)
	}
	if err := mkdir(dir.path); err != nil {
		return nil, err
	}
	if err := d.flush(above); err != nil {
		return nil, err
	}
	for _, entry := range entries {
		d.get(above.path + "/" + entry).durable.Store(true)
	}
	above.durable.Store(true)
	return dir, nil
}

// subdirectories lists what is in an algorithm's directory and looks like a directory of ours.
func subdirectories(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && len(e.Name()) == 2 {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func mkdir(path string) error {
	if err := os.Mkdir(path, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// flush returns after an fsync of dir that started after flush was called. Callers that come while an fsync is running
// wait for it to end and then share the next one.
func (d *durableDirs) flush(dir *directory) error {
	dir.mu.Lock()
	if dir.next == nil {
		dir.next = new(generation)
	}
	mine := dir.next
	dir.mu.Unlock()

	dir.turn.Lock()
	defer dir.turn.Unlock()
	if mine.done {
		return mine.err
	}
	dir.mu.Lock()
	dir.next = nil // from here on a newcomer needs a later fsync than ours
	dir.mu.Unlock()
	mine.err = d.sync(dir.path)
	mine.done = true
	return mine.err
}

// syncDir is the one fsync of a directory.
func (s *Store) syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = s.sync(f)
	return errors.Join(err, f.Close())
}
