package remote_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/remote"
)

const repo = "p1/app"

// server is a registry that a test plays, and what was asked of it.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

// serve plays a registry with TLS or without.
func serve(t *testing.T, tls bool, h http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	remember := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		h(w, r)
	})
	if tls {
		s.Server = httptest.NewTLSServer(remember)
	} else {
		s.Server = httptest.NewServer(remember)
	}
	t.Cleanup(s.Close)
	return s
}

// seen returns "METHOD /path" of all requests.
func (s *server) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.requests {
		all = append(all, r.Method+" "+r.URL.Path)
	}
	return all
}

// authorized returns the Authorization headers of all requests.
func (s *server) authorized() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.requests {
		all = append(all, r.Header.Values("Authorization")...)
	}
	return all
}

func (s *server) host() string {
	return strings.TrimPrefix(strings.TrimPrefix(s.URL, "https://"), "http://")
}

func userAndPassword(context.Context, string) (remote.Credentials, error) {
	return remote.Credentials{Username: "robot", Password: "secret"}, nil
}

// client opens a played registry, with credentials.
func client(t *testing.T, s *server, change ...func(*remote.Options)) *remote.Registry {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	opt := remote.Options{PlainHTTP: u.Scheme == "http", Credentials: userAndPassword, Transport: s.Client().Transport,
		Retry: remote.Retry{Wait: time.Millisecond}}
	for _, c := range change {
		c(&opt)
	}
	r, err := remote.New(u, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// transport plays a registry without a network, so that a test's time can be its own.
type transport func(w http.ResponseWriter, r *http.Request)

func (h transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	arrived := req.Clone(req.Context()) // as a server sees it: with a body, and with the host in its place
	if arrived.Body == nil {
		arrived.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	h(rec, arrived)
	if rec.Code == statusBroken {
		return nil, io.ErrUnexpectedEOF
	}
	resp := rec.Result()
	resp.Request = req
	return resp, nil
}

// statusBroken stands for a connection that breaks.
const statusBroken = 999

func played(t *testing.T, h transport, change ...func(*remote.Options)) *remote.Registry {
	t.Helper()
	opt := remote.Options{Transport: h, Credentials: userAndPassword}
	for _, c := range change {
		c(&opt)
	}
	r, err := remote.New(&url.URL{Scheme: "https", Host: "registry.example.com"}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantCode ends the test unless err has the code and tells the client something with all the words.
func wantCode(t *testing.T, err error, code registry.Code, words ...string) {
	t.Helper()
	if registry.CodeOf(err) != code {
		t.Fatalf("the error is %v, want %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("the error %q does not say %q", err, word)
		}
	}
}

func wantRequests(t *testing.T, s *server, want ...string) {
	t.Helper()
	if got := s.seen(); !slices.Equal(got, want) {
		t.Fatalf("the requests were %q, want %q", got, want)
	}
}

// image is a manifest of nothing but an empty config.
func image(note string) ([]byte, digest.Digest) {
	payload := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},`+
		`"layers":[],"annotations":{"note":%q}}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeEmptyJSON, digest.FromString("{}"), note)
	return payload, digest.FromBytes(payload)
}

// writeManifest answers with a manifest and the digest it is said to have.
func writeManifest(w http.ResponseWriter, payload []byte, d digest.Digest) {
	w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
	w.Header().Set("Docker-Content-Digest", d.String())
	_, _ = w.Write(payload)
}

func byDigest(d digest.Digest) registry.Reference { return registry.Reference{Digest: d} }
func byTag(tag string) registry.Reference         { return registry.Reference{Tag: tag} }

// endless writes until nobody listens any more.
func endless(w http.ResponseWriter, piece string) {
	for {
		if _, err := io.WriteString(w, piece); err != nil {
			return
		}
	}
}
