package server

import (
	"io"
	"net/http"
	"time"
)

// observe answers the request and tells OnResponse about it.
func (s *server) observe(c *call) {
	seen := &recorder{ResponseWriter: c.w}
	c.w = seen
	start := time.Now()
	err := c.answer()
	if seen.status == 0 {
		seen.status = http.StatusOK
	}
	s.opt.OnResponse(Response{
		Request: c.r, Context: c.ctx, Kind: c.q.Kind, Status: seen.status, Bytes: seen.bytes,
		Duration: time.Since(start), Err: err, RequestID: c.id,
	})
}

// recorder remembers status and size. It passes ReadFrom through, so that a log does not cost sendfile.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

func (w *recorder) ReadFrom(src io.Reader) (n int64, err error) {
	if from, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		n, err = from.ReadFrom(src)
	} else {
		n, err = io.Copy(writerOnly{w.ResponseWriter}, src)
	}
	w.bytes += n
	return n, err
}
