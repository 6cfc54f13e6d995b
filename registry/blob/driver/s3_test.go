package driver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/tests/s3test"
)

const part = smallestPart

// proxy stands before the S3 server, counts requests and spoils some.
type proxy struct {
	mu    sync.Mutex
	calls map[string]int // by name, as named has it

	spoil func(name string, response *http.Response) // after the server did its work; nil: nothing
}

// start returns the address of a store behind the proxy.
func (p *proxy) start(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	target, err := url.Parse(query.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	p.calls = map[string]int{}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.calls[named(r.Request)]++
			if p.spoil != nil {
				p.spoil(named(r.Request), r)
			}
			return nil
		},
	})
	t.Cleanup(server.Close)
	query.Set("endpoint", server.URL)
	query.Set("chunksize", "5242880")
	u.RawQuery = query.Encode()
	return u.String()
}

// named is what S3 calls a request, as far as it matters here.
func named(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Has("uploads") && r.Method == http.MethodGet:
		return "ListMultipartUploads"
	case q.Has("uploads"):
		return "CreateMultipartUpload"
	case q.Has("uploadId"):
		return map[string]string{"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "Abort", "GET": "ListParts"}[r.Method]
	case q.Has("list-type"):
		return "ListObjects"
	}
	return r.Method
}

// count returns the requests since the last count.
func (p *proxy) count() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.calls = map[string]int{} }()
	return p.calls
}

func (p *proxy) want(t *testing.T, what string, want map[string]int) {
	t.Helper()
	got := p.count()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func connect(t *testing.T, address string) *Store {
	t.Helper()
	s, err := Open(t.Context(), address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fill(n int, c byte) []byte { return bytes.Repeat([]byte{c}, n) }

func put(t *testing.T, w blob.Writer, err error, data []byte) blob.Writer {
	t.Helper()
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func read(t *testing.T, s *Store, key string) []byte {
	t.Helper()
	c, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRequests pins what the common flows cost.
func TestRequests(t *testing.T) {
	var p proxy
	s, ctx := connect(t, p.start(t, s3test.Start(t))), t.Context()
	d := digest.FromString("not checked here")

	w, err := s.Create(ctx, "u1")
	if _, err := put(t, w, err, fill(10_000, 'a')).Commit(ctx, d); err != nil {
		t.Fatal(err)
	}
	p.want(t, "a small blob in one session", map[string]int{"PUT": 1, "HEAD": 1})

	w, err = s.Create(ctx, "u2")
	w = put(t, w, err, fill(100, 'a'))
	w.Close()
	p.want(t, "a first PATCH", map[string]int{"PUT": 1})
	w, err = s.Resume(ctx, "u2")
	put(t, w, err, fill(100, 'a')).Close()
	p.want(t, "a later PATCH", map[string]int{"GET": 1, "PUT": 1})

	w, err = s.Create(ctx, "u3")
	w = put(t, w, err, fill(2*part+1, 'a'))
	p.want(t, "two parts", map[string]int{"CreateMultipartUpload": 1, "UploadPart": 2})
	w.Close()
	p.want(t, "their Close", map[string]int{"PUT": 1})
	w, err = s.Resume(ctx, "u3")
	if err != nil {
		t.Fatal(err)
	}
	p.want(t, "Resume with parts", map[string]int{"GET": 1, "ListMultipartUploads": 1, "ListParts": 1})
	key, err := w.Commit(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	p.want(t, "Commit with parts", map[string]int{"UploadPart": 1, "CompleteMultipartUpload": 1, "HEAD": 1, "ListObjects": 1, "POST": 1})

	c, err := s.Open(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Range", "bytes=1000-1999")
	response := httptest.NewRecorder()
	response.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(response, request, "", time.Time{}, c)
	if response.Code != http.StatusPartialContent || response.Body.Len() != 1000 {
		t.Errorf("a range: %d, %d bytes", response.Code, response.Body.Len())
	}
	p.want(t, "a range request", map[string]int{"HEAD": 1, "GET": 1})
}

// TestCrash leaves sessions without Close, as a dead process does.
func TestCrash(t *testing.T) {
	address := s3test.Start(t) + "&chunksize=5242880"
	ctx := t.Context()
	d := digest.FromString("not checked here")

	t.Run("more parts than the record knows", func(t *testing.T) {
		w, err := connect(t, address).Create(ctx, "u1")
		put(t, w, err, fill(part+10, 'a')).Close()
		w, err = connect(t, address).Resume(ctx, "u1")
		put(t, w, err, fill(part, 'b'))
		s := connect(t, address)
		w, err = s.Resume(ctx, "u1")
		if err != nil || w.Size() != 2*part {
			t.Fatalf("Resume: %v, %v, want the two parts that arrived", w, err)
		}
		if _, err := w.Reader(ctx); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Reader: %v, want ErrUnsupported", err)
		}
		key, err := put(t, w, nil, fill(5, 'c')).Commit(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		want := append(append(fill(part+10, 'a'), fill(part-10, 'b')...), fill(5, 'c')...)
		if !bytes.Equal(read(t, s, key), want) {
			t.Error("the content is not what was received")
		}
	})
	t.Run("parts the record knows nothing of", func(t *testing.T) {
		w, err := connect(t, address).Create(ctx, "u2")
		put(t, w, err, fill(10, 'a')).Close()
		for range 2 { // each begins parts of its own
			w, err = connect(t, address).Resume(ctx, "u2")
			put(t, w, err, fill(2*part, 'x'))
		}
		s := connect(t, address)
		w, err = s.Resume(ctx, "u2")
		if err != nil || w.Size() != 10 {
			t.Fatalf("Resume: %v, want 10 bytes, %v", w, err)
		}
		put(t, w, nil, fill(part, 'b')).Close()
		w, err = s.Resume(ctx, "u2")
		key, err := put(t, w, err, nil).Commit(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, s, key), append(fill(10, 'a'), fill(part, 'b')...)) {
			t.Error("the content is not what was received")
		}
	})
	t.Run("Delete finds parts without a record", func(t *testing.T) {
		w, err := connect(t, address).Create(ctx, "u3")
		put(t, w, err, fill(part+1, 'a'))
		s := connect(t, address)
		if err := s.Delete(ctx, "u3"); err != nil {
			t.Fatal(err)
		}
		if w, err := s.kind.Writer(ctx, content+"u3", true); err == nil {
			w.Close()
			t.Error("the parts are still there")
		}
	})
	t.Run("parts that disappeared", func(t *testing.T) {
		s := connect(t, address)
		w, err := s.Create(ctx, "u4")
		put(t, w, err, fill(part+1, 'a')).Close()
		if err := s.abortParts(ctx, "u4"); err != nil { // as a lifecycle rule does
			t.Fatal(err)
		}
		if _, err := s.Resume(ctx, "u4"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Resume: %v, want ErrNotFound", err)
		}
	})
	t.Run("a record that outlived its commit", func(t *testing.T) {
		s := connect(t, address)
		w, err := s.Create(ctx, "u5")
		w = put(t, w, err, fill(part+1, 'a'))
		if err := w.(*writer).saveRecord(ctx); err != nil {
			t.Fatal(err)
		}
		w.(*writer).saved = false // so Commit does not remove it
		key, err := w.Commit(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Resume(ctx, "u5"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Resume: %v, want ErrNotFound", err)
		}
		if err := s.Delete(ctx, "u5"); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if len(read(t, s, key)) != part+1 {
			t.Error("Delete of the upload reached the content")
		}
	})
}

// TestCommitIsConfirmed spoils the answers of a server that did its work (F-19): Commit does not report success, and
// what the server has is removed.
func TestCommitIsConfirmed(t *testing.T) {
	address := s3test.Start(t)
	failed := func(r *http.Response) {
		r.Body.Close()
		r.StatusCode, r.Status = http.StatusInternalServerError, "500 Internal Server Error"
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("")), 0
		r.Header = http.Header{}
	}
	tests := []struct {
		name string
		size int
		on   string
		do   func(*http.Response)
	}{
		{"PUT applied, answer lost", 100, "PUT", failed},
		{"last part applied, answer lost", part + 1, "UploadPart", failed},
		{"complete applied, answer lost", part + 1, "CompleteMultipartUpload", failed},
		{"complete says 200 and means no", part + 1, "CompleteMultipartUpload", func(r *http.Response) {
			r.Body.Close()
			const body = `<?xml version="1.0"?><Error><Code>InternalError</Code><Message>no</Message></Error>`
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			r.Header.Set("Content-Length", "")
			r.Header.Del("Content-Length")
		}},
		{"the object is shorter", 100, "HEAD", func(r *http.Response) { r.Header.Set("Content-Length", "99") }},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p proxy
			s, direct := connect(t, p.start(t, address)), connect(t, address)
			id := "u" + string(rune('a'+i))
			w, err := s.Create(t.Context(), id)
			w = put(t, w, err, fill(test.size, 'a'))
			p.mu.Lock()
			p.spoil = func(name string, r *http.Response) {
				if name == test.on {
					test.do(r)
				}
			}
			p.mu.Unlock()
			if key, err := w.Commit(t.Context(), digest.FromString("x")); err == nil {
				t.Errorf("Commit returned %s", key)
			}
			if err := w.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if c, err := direct.Open(t.Context(), s.Key(id, "")); !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("the content is still there: %v, %v", c, err)
			}
			if err := direct.List(t.Context(), func(i blob.Info) error { t.Errorf("left behind: %+v", i); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRedirect(t *testing.T) {
	address := s3test.Start(t)
	s := connect(t, address+"&redirect=true")
	w, err := s.Create(t.Context(), "u1")
	key, err := put(t, w, err, []byte("hello")).Commit(t.Context(), digest.FromString("hello"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.URL(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed)
	if err != nil || u.Query().Get("X-Amz-Expires") != "60" {
		t.Fatalf("%s, %v: want 60 seconds", signed, err)
	}
	response, err := http.Get(signed)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); response.StatusCode != http.StatusOK || string(body) != "hello" {
		t.Errorf("%s: %q, %v", response.Status, body, err)
	}
	if off, err := connect(t, address).URL(t.Context(), key, time.Minute); off != "" || err != nil {
		t.Errorf("with redirects off: %q, %v", off, err)
	}
	public, err := connect(t, address+"&redirect=true&redirectendpoint=https://blobs.example.com").URL(t.Context(), key, time.Minute)
	if err != nil || !strings.HasPrefix(public, "https://blobs.example.com/hallmark/registry/uploads/u1?") {
		t.Errorf("with an endpoint for clients: %s, %v", public, err)
	}
}

func TestCheck(t *testing.T) {
	address := s3test.Start(t)
	if err := connect(t, address).Check(t.Context()); err != nil {
		t.Errorf("a good address: %v", err)
	}
	if err := connect(t, strings.Replace(address, "//hallmark/", "//nobucket/", 1)).Check(t.Context()); err == nil {
		t.Error("a bucket that does not exist passes")
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if err := connect(t, address).Check(t.Context()); err == nil {
		t.Error("a wrong secret passes")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := connect(t, address).Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}
