package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "blobs"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// upload begins an upload that holds text.
func upload(t *testing.T, s *Store, id, text string) blob.Writer {
	t.Helper()
	w, err := s.Create(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	return w
}

// exists lists which of names are there, relative to the store.
func exists(s *Store, names ...string) string {
	var out []string
	for _, name := range names {
		if _, err := os.Lstat(s.path(name)); err == nil {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// TestCommitOrder holds what each fsync of the first and the second commit finds on disk: the bytes are synced under
// the upload's name, then the directories, and the last fsync is of the directory in which the key already stands.
func TestCommitOrder(t *testing.T) {
	s := open(t)
	for i, id := range []string{"u1", "u2"} {
		text := "text"
		key, up := s.Key(id, digest.FromString(text)), uploads+"/"+id
		var got []string
		s.fsync = func(f *os.File) error {
			rel, _ := filepath.Rel(s.dir, f.Name())
			got = append(got, rel+" ("+exists(s, up, key)+")")
			return f.Sync()
		}
		if k, err := upload(t, s, id, text).Commit(t.Context(), digest.FromString(text)); err != nil || k != key {
			t.Fatalf("Commit: %s, %v", k, err)
		}
		want := []string{up + " (" + up + ")"}
		if i == 0 {
			want = append(want, ". ("+up+")", "sha256 ("+up+")")
		}
		want = append(want, filepath.Dir(key)+" ("+key+")")
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("commit %d synced\n%s\nwant\n%s", i, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestSyncsAfterRestart counts the fsyncs of commits into directories that an earlier process made: it may have died
// before it synced them, so the first commit does, for all of them at once.
func TestSyncsAfterRestart(t *testing.T) {
	before := open(t)
	texts := []string{"a", "b", "c"}
	for _, text := range texts {
		if _, err := upload(t, before, "u"+text, text).Commit(t.Context(), digest.FromString(text)); err != nil {
			t.Fatal(err)
		}
	}
	after, err := Open(before.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		syncs := 0
		after.fsync = func(f *os.File) error { syncs++; return f.Sync() }
		if _, err := upload(t, after, "v"+text, text).Commit(t.Context(), digest.FromString(text)); err != nil {
			t.Fatal(err)
		}
		if want := []int{4, 2, 2}[i]; syncs != want {
			t.Errorf("commit %d took %d fsyncs, want %d", i, syncs, want)
		}
	}
}

// TestFailedSync lets each fsync of a commit fail in turn. The commit fails, nothing is left under the key, and the
// store takes nothing new although the next fsync would succeed; what was there before stays readable.
func TestFailedSync(t *testing.T) {
	for nth, what := range map[int]string{1: "file", 2: "root", 3: "algorithm", 4: "directory"} {
		t.Run(what, func(t *testing.T) {
			s := open(t)
			kept := s.Key("old", digest.FromString("old"))
			if err := os.MkdirAll(filepath.Dir(s.path(kept)), dirMode); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.path(kept), []byte("old"), fileMode); err != nil {
				t.Fatal(err)
			}
			calls := 0
			s.fsync = func(f *os.File) error {
				if calls++; calls == nth {
					return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
				}
				return f.Sync()
			}
			d := digest.FromString("text")
			w, other := upload(t, s, "u1", "text"), upload(t, s, "u2", "text")
			if _, err := w.Commit(t.Context(), d); !errors.Is(err, syscall.EIO) {
				t.Fatalf("Commit: %v, want EIO", err)
			}
			if left := exists(s, uploads+"/u1", s.Key("u1", d)); left != "" {
				t.Errorf("left behind: %s", left)
			}
			if err := s.Healthy(); !errors.Is(err, syscall.EIO) {
				t.Errorf("Healthy: %v, want EIO", err)
			}
			if _, err := other.Commit(t.Context(), d); !errors.Is(err, syscall.EIO) {
				t.Errorf("the next Commit: %v, want the same error", err)
			}
			if _, err := s.Create(t.Context(), "u3"); !errors.Is(err, syscall.EIO) {
				t.Errorf("Create: %v, want the same error", err)
			}
			c, err := s.Open(t.Context(), kept)
			if err != nil {
				t.Fatalf("Open of older content: %v", err)
			}
			c.Close()
			if err := s.Delete(t.Context(), kept); err != nil {
				t.Errorf("Delete: %v", err)
			}
		})
	}
}

// TestFullDisk is a disk that is full, which says nothing about what is on it: the store goes on when there is room.
func TestFullDisk(t *testing.T) {
	d := digest.FromString("text")
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		s := open(t)
		s.fsync = func(*os.File) error { return errno }
		if _, err := upload(t, s, "u1", "text").Commit(t.Context(), d); !errors.Is(err, blob.ErrFull) {
			t.Errorf("Commit with %v: %v, want ErrFull", errno, err)
		}
		s.fsync = (*os.File).Sync
		if err := s.Healthy(); err != nil {
			t.Errorf("Healthy: %v", err)
		}
		if _, err := upload(t, s, "u2", "text").Commit(t.Context(), d); err != nil {
			t.Errorf("Commit when there is room again: %v", err)
		}
	}

	s := open(t)
	w := upload(t, s, "u1", "text").(*writer)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.file.Close()
	w.file = full
	if n, err := io.WriteString(w, "more"); n != 0 || !errors.Is(err, blob.ErrFull) {
		t.Fatalf("Write: %d, %v, want ErrFull", n, err)
	}
	if _, err := w.Commit(t.Context(), d); !errors.Is(err, blob.ErrFull) {
		t.Fatalf("Commit after a failed Write: %v, want the error of the Write", err)
	}
}

// TestSharedSync checks the one promise of flush, that the fsync behind it began after it was called, from many
// goroutines, and that all who share a failing fsync learn of it.
func TestSharedSync(t *testing.T) {
	const callers, rounds = 16, 200
	var renamed, synced [callers]atomic.Int64
	var fsyncs int64
	dirs := durableDirs{sync: func(string) error {
		fsyncs++ // flush runs one at a time
		var seen [callers]int64
		for i := range seen {
			seen[i] = renamed[i].Load()
		}
		runtime.Gosched() // let others come while this one runs
		for i := range seen {
			synced[i].Store(seen[i])
		}
		return nil
	}}
	dir := dirs.get("d")
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			for n := int64(1); n <= rounds; n++ {
				renamed[i].Store(n)
				if err := dirs.flush(dir); err != nil || synced[i].Load() < n {
					t.Errorf("caller %d: rename %d is not covered (%d), %v", i, n, synced[i].Load(), err)
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d flushes took %d fsyncs", callers*rounds, fsyncs)

	dirs.sync = func(string) error { return syscall.EIO }
	for range callers {
		group.Go(func() {
			if err := dirs.flush(dir); !errors.Is(err, syscall.EIO) {
				t.Errorf("flush: %v, want EIO", err)
			}
		})
	}
	group.Wait()
}
