package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// constant answers with the same things always, so that only the server is measured.
type constant struct {
	registry.Unsupported
	manifest *registry.Manifest
	page     registry.Page
}

func (c constant) Manifest(context.Context, string, registry.Reference, bool) (*registry.Manifest, error) {
	return c.manifest, nil
}
func (constant) StatBlob(context.Context, string, digest.Digest, bool) (int64, error) { return 7, nil }
func (c constant) Tags(context.Context, string, string, int) (registry.Page, error) {
	return c.page, nil
}
func (c constant) Repositories(context.Context, registry.RepositoryQuery) (registry.Page, error) {
	return c.page, nil
}

func newConstant() constant {
	payload := bytes.Repeat([]byte("x"), 1000)
	c := constant{
		manifest: &registry.Manifest{
			Digest: digest.FromBytes(payload), MediaType: ocispec.MediaTypeImageManifest, Payload: payload,
		},
		page: registry.Page{More: true},
	}
	for i := range 100 {
		c.page.Names = append(c.page.Names, fmt.Sprintf("tag-%03d", i))
	}
	return c
}

// null is a ResponseWriter that costs nothing.
type null struct{ header http.Header }

func (n null) Header() http.Header         { return n.header }
func (n null) Write(p []byte) (int, error) { return len(p), nil }
func (n null) WriteHeader(int)             {}

func (null) SetWriteDeadline(time.Time) error { return nil }
func (null) FlushError() error                { return nil }

// The numbers are pinned: when one grows somebody has to say why. What is left on the hottest path are the backing array
// of the header values and the one string that has to be made.
func TestAllocations(t *testing.T) {
	c := newConstant()
	path := "/v2/p/app/manifests/"
	for _, row := range []struct {
		name, method, path string
		header             http.Header
		want               float64
		pooled             bool // then the race detector adds some
	}{
		{"GET manifest by tag", "GET", path + "latest", nil, 2, false},
		{"GET manifest by digest", "GET", path + string(c.manifest.Digest), nil, 2, false},
		{"HEAD manifest", "HEAD", path + "latest", nil, 2, false},
		{"GET manifest, 304", "GET", path + "latest", http.Header{"If-None-Match": {`"` + string(c.manifest.Digest) + `"`}}, 2, false},
		{"HEAD blob", "HEAD", "/v2/p/app/blobs/" + string(c.manifest.Digest), nil, 3, false},
		{"tags/list", "GET", "/v2/p/app/tags/list", nil, 5, true},
		{"catalog", "GET", "/v2/_catalog", nil, 5, true},
	} {
		s := New(c, Options{})
		w := null{http.Header{}}
		r := httptest.NewRequest(row.method, row.path, nil)
		if row.header != nil {
			r.Header = row.header
		}
		if got := testing.AllocsPerRun(200, func() { s.ServeHTTP(w, r) }); got != row.want && (!row.pooled || got > row.want+2) {
			t.Errorf("%s: %v allocations, not %v", row.name, got, row.want)
		}
	}
}

func BenchmarkServer(b *testing.B) {
	c := newConstant()
	s := New(c, Options{})
	for name, path := range map[string]string{
		"manifest": "/v2/p/app/manifests/latest", "tags": "/v2/p/app/tags/list", "catalog": "/v2/_catalog",
	} {
		b.Run(name, func(b *testing.B) {
			w := null{http.Header{}}
			r := httptest.NewRequest("GET", path, nil)
			b.ReportAllocs()
			for b.Loop() {
				s.ServeHTTP(w, r)
			}
		})
	}
}
