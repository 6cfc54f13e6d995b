package web

import (
	"io"
	"sync"
	"time"
)

const (
	bufferSize  = 32 << 10
	bufferDelay = 250 * time.Millisecond
)

// Buffer gathers the lines of an access log and writes them in blocks: a system call for each request would cost more
// than the request's other work. What is in it is written after a quarter of a second, or by Close.
type Buffer struct {
	mu    sync.Mutex
	out   io.Writer
	lines []byte
	timer *time.Timer
}

// NewBuffer makes a Buffer that writes to out.
func NewBuffer(out io.Writer) *Buffer { return &Buffer{out: out, lines: make([]byte, 0, bufferSize)} }

// Write takes lines.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines)+len(p) > bufferSize {
		if err := b.flush(); err != nil {
			return 0, err
		}
	}
	if len(b.lines) == 0 && b.timer == nil {
		b.timer = time.AfterFunc(bufferDelay, b.late)
	}
	b.lines = append(b.lines, p...)
	return len(p), nil
}

// late writes what has waited long enough. A log that cannot be written is told of by the next Write or Close.
func (b *Buffer) late() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = nil
	_ = b.flush()
}

func (b *Buffer) flush() error {
	if len(b.lines) == 0 {
		return nil
	}
	_, err := b.out.Write(b.lines)
	b.lines = b.lines[:0]
	return err
}

// Close writes what is left.
func (b *Buffer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flush()
}
