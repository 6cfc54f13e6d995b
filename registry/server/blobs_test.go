package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// files serves every blob from one file, as a local disk does.
type files struct {
	*memory
	path string
	size int64 // what the registry believes
}

func (f files) Blob(_ context.Context, _ string, d digest.Digest) (*registry.Blob, error) {
	file, err := os.Open(f.path)
	return &registry.Blob{Digest: d, Size: f.size, Content: file}, err
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	return data
}

func newFiles(t testing.TB, data []byte) (files, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return files{newMemory(), path, int64(len(data))}, "/v2/p/app/blobs/" + string(digest.FromBytes(data))
}

func TestBlobs(t *testing.T) {
	h := newHub(t, Options{})
	d := h.pushBlob("p/app", []byte("hello"))
	path := "/v2/p/app/blobs/" + string(d)
	lines := []string{
		"Content-Type: application/octet-stream", "Docker-Content-Digest: " + string(d), "Etag: \"" + string(d) + `"`,
		"Accept-Ranges: bytes", "Content-Length: 5", "Last-Modified:",
	}
	if a := h.header(h.want(h.get(path), 200, ""), lines...); a.body != "hello" {
		t.Errorf("%q", a.body)
	}
	h.header(h.want(h.call("HEAD", path, nil), 200, ""), lines...)
	h.header(h.want(h.call("HEAD", path, nil, "Range: bytes=0-1"), 200, ""), lines...)
	for _, method := range []string{"GET", "HEAD"} {
		a := h.want(h.call(method, path, nil, "If-None-Match: \""+string(d)+`"`), 304, "")
		h.header(a, "Content-Type:", "Etag: \""+string(d)+`"`)
	}
	h.want(h.get(path, `If-Match: "other"`), 412, "")

	other := "/v2/p/app/blobs/" + string(digest.FromString("other"))
	h.want(h.get(other), 404, registry.CodeBlobUnknown)
	h.want(h.call("HEAD", other, nil), 404, registry.CodeBlobUnknown)
	h.want(h.get("/v2/p/none/blobs/"+string(d)), 404, registry.CodeNameUnknown)
	h.want(h.get("/v2/p/app/blobs/sha256:short"), 400, registry.CodeDigestInvalid)

	h.mem.redirect = "https://bucket.example/key?sig=1"
	a := h.want(h.get(path), 307, "")
	h.header(a, "Location: https://bucket.example/key?sig=1", "Docker-Content-Digest: "+string(d), "Content-Length: 0")
	h.want(h.call("HEAD", path, nil), 200, "")
	h.mem.redirect = ""

	h.want(h.call("DELETE", path, nil), 202, "")
	h.want(h.call("DELETE", path, nil), 404, registry.CodeBlobUnknown)
	h.want(h.get(path), 404, registry.CodeBlobUnknown)
	h.pushImage("p/app", "latest", "")
	h.want(h.call("DELETE", "/v2/p/app/blobs/"+string(digest.FromString("{}")), nil), 403, registry.CodeDenied)
}

func TestEmptyBlob(t *testing.T) {
	h := newHub(t, Options{})
	d := h.pushBlob("p/app", nil)
	h.header(h.want(h.get("/v2/p/app/blobs/"+string(d)), 200, ""), "Content-Length: 0")
	h.header(h.want(h.call("HEAD", "/v2/p/app/blobs/"+string(d), nil), 200, ""), "Content-Length: 0")
}

// The table of the conformance suite and more, on a file that needs several pieces.
func TestRanges(t *testing.T) {
	data := randomBytes(1<<20 + 17)
	reg, path := newFiles(t, data)
	srv := httptest.NewServer(New(reg, Options{}))
	t.Cleanup(srv.Close)
	h := &hub{t, reg.memory, srv}
	n := len(data)
	for _, c := range []struct {
		header   string
		from, to int // to is exclusive
	}{
		{"bytes=500-1499", 500, 1500},
		{"bytes=500-", 500, n},
		{"bytes=-500", n - 500, n},
		{"bytes=0-0", 0, 1},
		{fmt.Sprintf("bytes=%d-%d", n-48, n+5000), n - 48, n},
		{"bytes=0-600000", 0, 600001},
		{fmt.Sprintf("bytes=-%d", n+1), 0, n},
	} {
		a := h.want(h.get(path, "Range: "+c.header), 206, "")
		h.header(a, fmt.Sprintf("Content-Range: bytes %d-%d/%d", c.from, c.to-1, n), fmt.Sprint("Content-Length: ", c.to-c.from))
		if a.body != string(data[c.from:c.to]) {
			t.Errorf("%s: other bytes", c.header)
		}
	}
	for _, header := range []string{"bytes=500-0", fmt.Sprintf("bytes=%d-", n), "bytes=x-y", "bytes=9223372036854775808-"} {
		a := h.want(h.get(path, "Range: "+header), 416, registry.CodeRangeInvalid)
		h.header(a, "Etag:")
	}
	h.header(h.get(path, fmt.Sprintf("Range: bytes=%d-", n)), fmt.Sprintf("Content-Range: bytes */%d", n))

	sixteen := "Range: bytes=0-0" + strings.Repeat(",2-2", 15)
	if a := h.want(h.get(path, sixteen), 206, ""); !strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/byteranges") {
		t.Errorf("%s", a.Header.Get("Content-Type"))
	}
	for _, headers := range [][]string{
		{sixteen + ",4-4"}, {"Range: items=0-1"}, {"Range: bytes=0-1", "Range: bytes=2-3"}, {"Range: bytes=0-1", `If-Range: "other"`}, nil,
	} {
		if a := h.want(h.get(path, headers...), 200, ""); a.body != string(data) {
			t.Errorf("%v: other bytes", headers)
		}
	}
}

// sink is a ResponseWriter that knows about sendfile and deadlines, and writes down what is done with it.
type sink struct {
	header http.Header
	status int
	got    bytes.Buffer
	pieces []int64
	files  int
	armed  int // deadlines set
	off    bool
	err    error
}

func (s *sink) Header() http.Header    { return s.header }
func (s *sink) WriteHeader(status int) { s.status = status }
func (s *sink) Flush()                 {}

func (s *sink) Write(p []byte) (int, error) {
	s.got.Write(p)
	return len(p), s.err
}

func (s *sink) ReadFrom(src io.Reader) (int64, error) {
	if limited, ok := src.(*io.LimitedReader); ok {
		s.pieces = append(s.pieces, limited.N)
		if _, ok := limited.R.(*os.File); ok {
			s.files++
		}
	}
	n, err := s.got.ReadFrom(src)
	return n, errors.Join(err, s.err)
}

func (s *sink) SetWriteDeadline(t time.Time) error {
	s.off = t.IsZero()
	if !s.off {
		s.armed++
	}
	return nil
}

// The bare *os.File gets to the connection, in pieces that have a deadline each, as the end has; the last is taken off.
func TestBlobsAreSentByTheKernel(t *testing.T) {
	data := randomBytes(2*sendSize + 17)
	reg, path := newFiles(t, data)
	for name, opt := range map[string]Options{
		"plain": {}, "with log": {OnResponse: func(Response) {}},
	} {
		t.Run(name, func(t *testing.T) {
			out := &sink{header: http.Header{}}
			New(reg, opt).ServeHTTP(out, httptest.NewRequest("GET", path, nil))
			if out.status != 200 || !bytes.Equal(out.got.Bytes(), data) {
				t.Errorf("%d, %d bytes", out.status, out.got.Len())
			}
			if !slices.Equal(out.pieces, []int64{sendSize, sendSize, 17}) || out.files != 3 || out.armed != 4 || !out.off {
				t.Errorf("pieces %v, %d of the file, %d deadlines, off %v", out.pieces, out.files, out.armed, out.off)
			}
		})
	}
}

// Where sendfile cannot be had (TLS, HTTP/2) the deadlines are the same: one for what the slowest client takes in a window.
// HTTP/2 has them for each stream, so that none has to be taken off.
func TestBlobsWithoutSendfile(t *testing.T) {
	data := randomBytes(1 << 20)
	reg, path := newFiles(t, data)
	out := &sink{header: http.Header{}}
	r := httptest.NewRequest("GET", path, nil)
	r.ProtoMajor = 2
	New(reg, Options{}).ServeHTTP(out, r)
	if !bytes.Equal(out.got.Bytes(), data) || out.files != 0 || out.armed != 6 || out.off { // 240 KiB each
		t.Errorf("%d bytes, %d deadlines, off %v", out.got.Len(), out.armed, out.off)
	}
}

// What goes wrong with the content is logged, what goes wrong with the client is not.
func TestBrokenBlobs(t *testing.T) {
	data := randomBytes(1 << 20)
	for name, c := range map[string]struct {
		size   int // of the file in the end
		err    error
		logged bool
	}{
		"whole":          {1 << 20, nil, false},
		"client gone":    {1 << 20, os.ErrDeadlineExceeded, false},
		"disk error":     {1 << 20, &os.PathError{Op: "read", Err: errors.New("input/output error")}, true},
		"file truncated": {1<<20 - 1, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			reg, path := newFiles(t, data)
			var log bytes.Buffer
			out := &sink{header: http.Header{}, err: c.err}
			w := &shrinking{sink: out, path: reg.path, size: int64(c.size)}
			New(reg, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if got := log.Len() > 0; got != c.logged {
				t.Errorf("%s", &log)
			}
		})
	}
}

// shrinking cuts the file when the response has begun.
type shrinking struct {
	*sink
	path string
	size int64
}

func (w *shrinking) WriteHeader(status int) {
	w.sink.WriteHeader(status)
	_ = os.Truncate(w.path, w.size)
}

// deaf is content that cannot be sought in.
type deaf struct{ *memory }

func (deaf) Blob(_ context.Context, _ string, d digest.Digest) (*registry.Blob, error) {
	file, err := os.Open(os.DevNull)
	if err == nil {
		err = file.Close()
	}
	return &registry.Blob{Digest: d, Size: 1, Content: file}, err
}

func TestUnreadableBlob(t *testing.T) {
	out := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/v2/p/app/blobs/"+string(digest.FromString("x")), nil)
	New(deaf{newMemory()}, Options{}).ServeHTTP(out, r)
	if out.Code != 500 || !strings.Contains(out.Body.String(), `"UNKNOWN"`) || strings.Contains(out.Body.String(), "seek") {
		t.Errorf("%d %s", out.Code, out.Body)
	}
}
