package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"syscall"
)

// pushSmall pushes distinct images, several at a time.
func (b *bench) pushSmall() error {
	for run := 1; run <= *runs; run++ {
		repo := fmt.Sprintf("%spush%d", *prefix, run)
		b.c.forget()
		m := b.pids.begin()
		n, err := parallel(*images, *conc, 0, func(i int) error {
			return b.c.pushImage(b.ctx, repo, fmt.Sprintf("t%d", i), *seedRun+int64(run*1000000+i*10))
		})
		if err != nil {
			return err
		}
		emit(record{Test: "push-small", Run: run, M: m.end(float64(n), 0)})
	}
	return nil
}

// pushBig pushes one big blob at a time.
func (b *bench) pushBig(test string, mode uploadMode) error {
	for run := 1; run <= *runs; run++ {
		blob := newBigBlob(*seedRun + int64(run)*17 + int64(len(test)))
		d, err := blob.digest(*size)
		if err != nil {
			return err
		}
		b.c.forget()
		// What earlier runs wrote must not be written to the disk during this one.
		syscall.Sync()
		m := b.pids.begin().watchAnon()
		err = b.c.upload(b.ctx, *prefix+"big", d, blob.reader, *size, mode, *chunk)
		r := m.end(1, float64(*size))
		if err != nil {
			return err
		}
		emit(record{Test: test, Run: run, M: r})
	}
	return nil
}

// hashFloor measures sha256 of the bytes of a big push, taken in the pieces in which they would come from a connection.
func hashFloor() error {
	blob := newBigBlob(1)
	for run := 1; run <= *runs; run++ {
		h := sha256.New()
		buf := make([]byte, 64<<10)
		runtime.GC()
		var before, after syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
			return err
		}
		if _, err := io.CopyBuffer(h, blob.reader(0, *size), buf); err != nil {
			return err
		}
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
			return err
		}
		user := float64(after.Utime.Nano()-before.Utime.Nano()) / 1e9
		emit(record{Test: "sha256", Run: run, M: map[string]float64{"user_s_gb": user / (float64(*size) / 1e9)}})
	}
	return nil
}
