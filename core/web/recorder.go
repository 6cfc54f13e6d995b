package web

import (
	"bytes"
	"maps"
	"net/http"
)

// Recorder is a response that is held back whole. It is for answers of the API's size.
type Recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// NewRecorder makes an empty Recorder.
func NewRecorder() *Recorder { return &Recorder{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (r *Recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter: the first status counts.
func (r *Recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *Recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// Status is the status that was written; one that nobody wrote is 200, as it is to a server.
func (r *Recorder) Status() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// Body is what was written.
func (r *Recorder) Body() []byte { return r.body.Bytes() }

// Send writes the response to w.
func (r *Recorder) Send(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.Status())
	w.Write(r.Body())
}
