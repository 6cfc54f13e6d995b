package disk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// cpu returns the user and system time of this process in microseconds.
func cpu(b *testing.B) (user, system float64) {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()) / 1e3, float64(u.Stime.Nano()) / 1e3
}

// measure runs f and reports the CPU it took, in microseconds per operation.
func measure(b *testing.B, f func()) {
	b.Helper()
	b.ResetTimer()
	u0, s0 := cpu(b)
	f()
	u1, s1 := cpu(b)
	b.ReportMetric((u1-u0)/float64(b.N), "user-us/op")
	b.ReportMetric((s1-s0)/float64(b.N), "sys-us/op")
	b.ReportMetric((u1-u0+s1-s0)/float64(b.N), "cpu-us/op")
}

// BenchmarkCommit10K is one small blob from Create to a durable Commit; digests differ, so they spread over the
// directories as they do in life. The floor is the bare system calls into directories that exist and stay open. Disks
// and their neighbours vary: compare within one run.
func BenchmarkCommit10K(b *testing.B) {
	data := make([]byte, 10<<10)
	for _, parallel := range []int{1, 8} {
		b.Run(fmt.Sprintf("parallel%d", parallel), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			var syncs atomic.Int64
			s.fsync = func(f *os.File) error { syncs.Add(1); return f.Sync() }
			measure(b, func() {
				together(b, parallel, func(n int64) error {
					w, err := s.Create(b.Context(), fmt.Sprintf("u%d", n))
					if err == nil {
						_, err = w.Write(data)
					}
					if err == nil {
						_, err = w.Commit(b.Context(), digest.FromString(fmt.Sprint(n)))
					}
					return err
				})
			})
			b.ReportMetric(float64(syncs.Load())/float64(b.N), "fsyncs/op")
		})
		b.Run(fmt.Sprintf("floor%d", parallel), func(b *testing.B) {
			dir := b.TempDir()
			var dirs [256]*os.File
			for i := range dirs {
				name := fmt.Sprintf("%s/%d", dir, i)
				err := os.Mkdir(name, dirMode)
				if err == nil {
					dirs[i], err = os.Open(name)
				}
				if err != nil {
					b.Fatal(err)
				}
				defer dirs[i].Close()
			}
			measure(b, func() {
				together(b, parallel, func(n int64) error { return bare(dir, dirs[n%256], fmt.Sprintf("u%d", n), data) })
			})
		})
	}
}

// bare is the least a durable commit has to do.
func bare(dir string, into *os.File, id string, data []byte) error {
	f, err := os.OpenFile(dir+"/"+id, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(dir+"/"+id, into.Name()+"/"+id); err != nil {
		return err
	}
	return into.Sync()
}

// together calls f b.N times from n goroutines, with numbers that never repeat.
func together(b *testing.B, n int, f func(int64) error) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// BenchmarkOpen1K opens, stats and closes; the other cases are the floor and what os.Root would cost instead.
func BenchmarkOpen1K(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	w, err := s.Create(b.Context(), "u")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<10)); err != nil {
		b.Fatal(err)
	}
	key, err := w.Commit(b.Context(), digest.FromString("x"))
	if err != nil {
		b.Fatal(err)
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	for name, open := range map[string]func() (io.Closer, error){
		"Store":   func() (io.Closer, error) { return s.Open(b.Context(), key) },
		"os.Open": func() (io.Closer, error) { return os.Open(filepath.Join(s.dir, key)) },
		"os.Root": func() (io.Closer, error) { return root.Open(key) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			measure(b, func() {
				for range b.N {
					f, err := open()
					if err != nil {
						b.Fatal(err)
					}
					f.Close()
				}
			})
		})
	}
}

// BenchmarkLarge is 256 MiB in pieces of 256 KiB, with and without telling the kernel to begin early. commit-ms is how
// long the client waits after its last byte.
func BenchmarkLarge(b *testing.B) {
	for name, writeback := range map[string]int64{"early": 0, "late": -1} {
		b.Run(name, func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{WritebackBytes: writeback})
			if err != nil {
				b.Fatal(err)
			}
			piece := make([]byte, 256<<10)
			const pieces = 1 << 10
			b.SetBytes(pieces * int64(len(piece)))
			var wait float64
			measure(b, func() {
				for i := range b.N {
					wait += large(b, s, fmt.Sprintf("u%d", i), piece, pieces)
				}
			})
			b.ReportMetric(wait/float64(b.N), "commit-ms")
		})
	}
}

// large stores one blob, removes it again and returns the milliseconds that Commit took.
func large(b *testing.B, s *Store, id string, piece []byte, pieces int) float64 {
	w, err := s.Create(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	for range pieces {
		if _, err := w.Write(piece); err != nil {
			b.Fatal(err)
		}
	}
	start := time.Now()
	key, err := w.Commit(b.Context(), digest.FromString(id))
	if err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	if err := s.Delete(b.Context(), key); err != nil {
		b.Fatal(err)
	}
	return float64(took.Microseconds()) / 1e3
}
