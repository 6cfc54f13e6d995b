package remote

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
)

// body is a reader on its way into a request. An error of the reader ends the request as if that were all: the other
// side keeps what has arrived, while a request that is torn down may cost all of it. wait tells of the error.
type body struct {
	length int64 // -1: unknown
	closed chan struct{}

	mu   sync.Mutex // net/http may close a body while it reads it
	r    io.Reader
	sent int64
	err  error
	done bool

	sentOff bool // net/http has it, and will close it
}

// newBody returns nil if there is nothing to send.
func newBody(r io.Reader) (*body, error) {
	b := &body{r: r, length: length(r), closed: make(chan struct{})}
	if b.length == 0 {
		return nil, nil
	}
	if b.length < 0 {
		// net/http would look for a first byte as well, but then the request has begun.
		first := make([]byte, 4<<10)
		for {
			n, err := r.Read(first)
			switch {
			case n > 0:
				b.r = io.MultiReader(bytes.NewReader(first[:n]), after{r, err})
				return b, nil
			case errors.Is(err, io.EOF):
				return nil, nil
			case err != nil:
				return nil, err
			}
		}
	}
	return b, nil
}

// after goes on with a reader that may have ended with its first bytes.
type after struct {
	r   io.Reader
	err error
}

func (a after) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	return a.r.Read(p)
}

// length is the number of bytes of a reader that cannot fail, else -1.
func length(r io.Reader) int64 {
	switch r := r.(type) {
	case *bytes.Reader:
		return int64(r.Len())
	case *bytes.Buffer:
		return int64(r.Len())
	case *strings.Reader:
		return int64(r.Len())
	}
	return -1
}

// once is call.body.
func (b *body) once() (io.ReadCloser, int64) {
	b.sentOff = true
	return b, b.length
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return 0, io.ErrClosedPipe
	}
	n, err := b.r.Read(p)
	b.sent += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
		err = io.EOF
	}
	return n, err
}

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.done = true
		close(b.closed)
	}
	return nil
}

// wait returns when the reader is no longer read: how much of it was, and its error.
func (b *body) wait() (int64, error) {
	if b.sentOff {
		<-b.closed
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent, b.err
}
