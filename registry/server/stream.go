package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hallmarkhub/hallmark/registry"
)

// sendSize is how much the kernel is told to send at a time, in bytes. Smaller pieces cost twice the CPU (1 MiB in pieces
// of 240 KiB: 330 us, in one: 140 us), larger ones gain nothing.
const sendSize = 1 << 20

// copySize is how much is copied at a time where sendfile cannot be had, and up to which it would cost more than it
// saves, in bytes.
const copySize = 32 << 10

// paced is a writer that cuts a client off which takes less than the minimum rate: in each window of time it has to take
// what fits the rate, however long the whole takes.
func (c *call) paced() *pacedWriter {
	out := &pacedWriter{
		ResponseWriter: c.w, control: http.NewResponseController(c.w), copies: &c.s.copies,
		piece: c.s.piece(), window: c.s.lim.RateWindow,
	}
	if c.r.TLS == nil && c.r.ProtoMajor == 1 {
		out.kernel, _ = c.w.(io.ReaderFrom)
	}
	return out
}

// piece is how many bytes the slowest client that is borne moves in one window.
func (s *server) piece() int64 {
	return max(1, int64(float64(s.lim.MinRate)*s.lim.RateWindow.Seconds()))
}

// write sends a body that is in memory.
func (c *call) write(p []byte) {
	if int64(len(p)) > c.s.piece() {
		_, _ = c.paced().Write(p)
		return
	}
	c.extend()
	_, _ = c.w.Write(p) // an error means that the client has gone
}

// extend gives the client one window to take what is written.
func (c *call) extend() {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.s.lim.RateWindow))
}

// bodyGrace is how long what was not read of a body is waited for: the http.Server reads on before it answers.
const bodyGrace = time.Second

// send sends what of the response is still in buffers. However small it is, a client that asks again and again and takes
// nothing must not hold the connection for ever. No deadline is left: the next request may be somebody else's to answer.
func (c *call) send() {
	out := http.NewResponseController(c.w)
	c.extend()
	if c.r.ProtoMajor != 1 {
		return // the deadline is that of the stream, which ends with the request
	}
	if c.r.ContentLength != 0 {
		_ = out.SetReadDeadline(time.Now().Add(bodyGrace))
	}
	_ = out.Flush()
	_ = out.SetWriteDeadline(time.Time{})
}

// pacedWriter is what http.ServeContent writes to.
type pacedWriter struct {
	http.ResponseWriter
	kernel  io.ReaderFrom // the ResponseWriter, if it can use sendfile
	control *http.ResponseController
	copies  *sync.Pool
	piece   int64
	window  time.Duration
	room    int64 // what Write may still write in the present window

	status  int
	held    bool  // the response is an error, which fail will write
	readErr error // of the content
}

// WriteHeader holds back the errors of ServeContent, which are not in the form of the specification.
func (w *pacedWriter) WriteHeader(status int) {
	w.status = status
	w.held = status == http.StatusRequestedRangeNotSatisfiable || status >= http.StatusInternalServerError
	if !w.held {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *pacedWriter) Write(p []byte) (n int, err error) {
	if w.held {
		return len(p), nil
	}
	for n < len(p) && err == nil {
		if w.room == 0 {
			w.extend()
			w.room = w.piece
		}
		var k int
		k, err = w.ResponseWriter.Write(p[n:min(int64(len(p)), int64(n)+w.room)])
		n += k
		w.room -= int64(k)
	}
	return n, err
}

// ReadFrom is called by ServeContent with an io.LimitedReader of the content. It hands on LimitedReaders of the same
// content, never a wrapper of it, because net/http uses sendfile only if it finds the *os.File right there.
func (w *pacedWriter) ReadFrom(src io.Reader) (n int64, err error) {
	if w.held {
		return io.Copy(io.Discard, src)
	}
	whole, ok := src.(*io.LimitedReader)
	if !ok {
		return w.copy(src)
	}
	// Only of a file is it known how much the kernel sent of it when a deadline breaks in: what was read from anything
	// else and not sent is lost.
	if _, file := whole.R.(*os.File); !file || whole.N <= copySize || w.kernel == nil {
		n, err = w.copy(whole)
		if err == nil && whole.N > 0 {
			w.note(io.ErrUnexpectedEOF)
		}
		return n, err
	}
	for whole.N > 0 && err == nil {
		var k int64
		k, err = w.send(whole.R, min(whole.N, sendSize))
		n += k
		whole.N -= k
	}
	if err != nil {
		w.note(err)
	}
	return n, err
}

// send lets the kernel send size bytes of a file. When the window is over before that, it goes on if enough has been sent: net/http
// and the file still agree on where they are, because a broken sendfile has moved the file by just what it sent.
func (w *pacedWriter) send(src io.Reader, size int64) (n int64, err error) {
	piece := io.LimitedReader{R: src, N: size}
	for n < size {
		w.extend()
		k, err := w.kernel.ReadFrom(&piece)
		n += k
		if err == nil && n < size {
			return n, io.ErrUnexpectedEOF
		}
		if err == nil || k < w.piece || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
	return n, nil
}

// copy goes through memory: for small blobs, HTTP/2, and content that is no file.
func (w *pacedWriter) copy(src io.Reader) (int64, error) {
	buf := w.copies.Get().(*[copySize]byte)
	defer w.copies.Put(buf)
	n, err := io.CopyBuffer(writerOnly{w}, src, buf[:])
	if err != nil {
		w.note(err)
	}
	return n, err
}

// writerOnly hides ReadFrom, which would call itself.
type writerOnly struct{ io.Writer }

// extend gives the client another window. Connections without deadlines (in tests) have no slow clients.
func (w *pacedWriter) extend() { _ = w.control.SetWriteDeadline(time.Now().Add(w.window)) }

// note keeps an error that is the content's and not the client's.
func (w *pacedWriter) note(err error) {
	gone := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, context.Canceled)
	if !gone && w.readErr == nil {
		w.readErr = err
	}
}

// logBroken logs that a response which had begun could not be finished.
func (c *call) logBroken(err error) {
	if c.r.Context().Err() != nil {
		return // the client has gone, whatever the error says
	}
	c.s.opt.Logger.LogAttrs(c.ctx, slog.LevelError, "registry response broken off", slog.String("method", c.r.Method),
		slog.String("path", c.r.URL.Path), slog.Any("error", err))
}

// body is the body of a push: bounded, and cut off if the client sends less than the minimum rate. Time that the
// registry spends between two reads is not the client's.
type body struct {
	src     io.Reader
	control *http.ResponseController
	left    int64 // bytes that may still come
	exact   bool  // and all of them must
	over    error // if more come
	err     error // what Read ended with, io.EOF included

	quota   int64 // bytes that have to come in a window
	window  time.Duration
	got     int64         // bytes in this window
	waited  time.Duration // time spent waiting for the client in it
	armed   time.Time     // when the deadline was last set
	touched bool          // there was a deadline
}

// newBody takes at most limit bytes, or exactly as many; over is the error if there are more.
func (c *call) newBody(limit int64, exact bool, over error) *body {
	return &body{
		src: c.r.Body, control: http.NewResponseController(c.w), left: limit, exact: exact, over: over,
		quota: c.s.piece(), window: c.s.lim.RateWindow,
	}
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.left == 0 {
		var one [1]byte
		n, err := b.timed(one[:])
		if n > 0 {
			err = b.over
		}
		b.err = err
		return 0, err
	}
	n, err := b.timed(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, io.EOF) && b.exact && b.left > 0 {
		err = registry.NewError(registry.CodeSizeInvalid, "There are fewer bytes than Content-Range says. Ask where the "+
			"upload stands, and go on from there.")
	}
	b.err = err
	return n, err
}

// timed reads with a deadline that leaves the client what is left of its window. Setting it costs about as much as a
// small read, so that it is done once for each quota, and when the registry has used up a noticeable part of it.
func (b *body) timed(p []byte) (int, error) {
	if b.src == http.NoBody {
		return 0, io.EOF
	}
	start := time.Now()
	if !b.touched || start.Sub(b.armed) > b.window/64 || b.got == 0 {
		_ = b.control.SetReadDeadline(start.Add(b.window - b.waited))
		b.armed, b.touched = start, true
	}
	n, err := b.src.Read(p)
	b.waited += time.Since(start)
	if b.got += int64(n); b.got >= b.quota {
		b.got, b.waited = 0, 0
	}
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{}) // or the server would take the client for gone while we store
	}
	return n, err
}

// done takes the deadline off, so that there is time to store what came.
func (b *body) done() {
	if b.touched {
		_ = b.control.SetReadDeadline(time.Time{})
	}
}

// blame returns what to tell the client of err, which the registry returned: if the body failed first, that is the
// cause. The deadline of reading stays, so that the server does not wait for the rest of the body.
func (b *body) blame(err error) error {
	var e *registry.Error
	switch {
	case b.err == nil || errors.Is(b.err, io.EOF):
		return err
	case errors.As(b.err, &e):
		return e
	case errors.Is(b.err, os.ErrDeadlineExceeded):
		return &statusError{http.StatusRequestTimeout, registry.NewError(registry.CodeBlobUploadInvalid, "The transfer was "+
			"too slow. Ask where the upload stands, and go on from there.")}
	}
	return registry.NewError(registry.CodeBlobUploadInvalid, "The body ended early. Ask where the upload stands, and go on "+
		"from there.")
}
