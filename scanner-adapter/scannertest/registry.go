package scannertest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// Registry serves what is put into it, to whoever presents its credential.
type Registry struct {
	*httptest.Server
	User, Password string

	mu        sync.Mutex
	manifests map[string]manifest // by digest and tag
	blobs     map[digest.Digest][]byte
	redirect  string
	requests  int
}

type manifest struct {
	mediaType string
	payload   []byte
}

// NewRegistry starts a registry that lives as long as the test.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{User: "robot", Password: "canary-7f3a91c2", manifests: map[string]manifest{}, blobs: map[digest.Digest][]byte{}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

// Host is the registry's address without a scheme.
func (r *Registry) Host() string { return strings.TrimPrefix(r.URL, "http://") }

// PutBlob stores a blob.
func (r *Registry) PutBlob(b []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digest.FromBytes(b)
	r.blobs[d] = b
	return d
}

// Lie makes the registry give other content for a blob.
func (r *Registry) Lie(d digest.Digest, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[d] = b
}

// PutManifest stores a manifest under its digest and tags.
func (r *Registry) PutManifest(mediaType string, payload []byte, tags ...string) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digest.FromBytes(payload)
	for _, name := range append(tags, d.String()) {
		r.manifests[name] = manifest{mediaType, payload}
	}
	return d
}

// Redirect sends readers of blobs elsewhere.
func (r *Registry) Redirect(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.redirect = to
}

// Requests is how many requests there were.
func (r *Registry) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if user, password, _ := req.BasicAuth(); user != r.User || password != r.Password {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	name := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
	if strings.Contains(req.URL.Path, "/manifests/") {
		m, ok := r.manifests[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", m.mediaType)
		_, _ = w.Write(m.payload)
		return
	}
	b, ok := r.blobs[digest.Digest(name)]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.redirect != "":
		http.Redirect(w, req, r.redirect+req.URL.Path, http.StatusTemporaryRedirect)
	default:
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b))
	}
}
