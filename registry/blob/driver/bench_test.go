package driver

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/tests/s3test"
)

// BenchmarkS3 reports the CPU of this process alone, in microseconds per blob; the server's is not in it.
func BenchmarkS3(b *testing.B) {
	s, err := Open(b.Context(), s3test.Start(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{10 << 10, 64 << 20} {
		b.Run(fmt.Sprintf("Commit%dK", size>>10), func(b *testing.B) {
			piece := make([]byte, min(size, 256<<10))
			b.SetBytes(int64(size))
			before := cpu(b)
			for i := range b.N {
				w, err := s.Create(b.Context(), fmt.Sprintf("u%d-%d-%d", size, b.N, i))
				for n := 0; n < size && err == nil; n += len(piece) {
					_, err = w.Write(piece)
				}
				if err == nil {
					_, err = w.Commit(b.Context(), digest.FromString("x"))
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpu(b)-before)/float64(b.N), "cpu-us/op")
		})
	}
}

func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
}
