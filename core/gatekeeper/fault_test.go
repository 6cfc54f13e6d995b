package gatekeeper_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/trust/signertest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/server"
)

// fault is what reading a blob comes to.
type fault func(ctx context.Context, b *registry.Blob) (*registry.Blob, error)

// failing is the registry behind the gate, whose disk fails when it is told to.
type failing struct {
	registry.Registry
	fault atomic.Pointer[fault]
}

func (f *failing) Blob(ctx context.Context, repo string, d digest.Digest) (*registry.Blob, error) {
	b, err := f.Registry.Blob(ctx, repo, d)
	if broken := f.fault.Load(); broken != nil && err == nil {
		return (*broken)(ctx, b)
	}
	return b, err
}

// content is that of a blob, read in another way.
type content struct {
	io.ReadSeekCloser
	read func(p []byte) (int, error)
}

func (c content) Read(p []byte) (int, error) { return c.read(p) }

func reading(read func(ctx context.Context, c io.Reader, p []byte) (int, error)) fault {
	return func(ctx context.Context, b *registry.Blob) (*registry.Blob, error) {
		out := *b
		out.Content = content{b.Content, func(p []byte) (int, error) { return read(ctx, b.Content, p) }}
		return &out, nil
	}
}

// endless is more than there is. It is taken for a lie of the manifest, which is not read again before it is pushed again.
const endless = "never ends"

// faults are the ways in which what vouches for an image cannot be read.
var faults = map[string]fault{
	"cut off": func(context.Context, *registry.Blob) (*registry.Blob, error) {
		return nil, errors.New("no route to host")
	},
	"panics": func(context.Context, *registry.Blob) (*registry.Blob, error) { panic("boom") },
	"panics while it is read": reading(func(context.Context, io.Reader, []byte) (int, error) {
		var none []byte
		return int(none[len(none)]), nil
	}),
	"breaks off": reading(func(_ context.Context, c io.Reader, p []byte) (int, error) {
		n, err := c.Read(p[:min(len(p), 1)])
		return n, errors.Join(err, io.ErrUnexpectedEOF)
	}),
	"ends early": reading(func(context.Context, io.Reader, []byte) (int, error) { return 0, io.EOF }),
	"garbage": reading(func(_ context.Context, c io.Reader, p []byte) (int, error) {
		n, err := c.Read(p)
		copy(p[:n], bytes.Repeat([]byte{'x'}, n))
		return n, err
	}),
	endless: reading(func(_ context.Context, _ io.Reader, p []byte) (int, error) { return len(p), nil }),
}

// hangs waits until nobody does any more.
var hangs = reading(func(ctx context.Context, _ io.Reader, _ []byte) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
})

// pulls asks for an image over HTTP, from many at once, and returns what all of them were answered.
func (h *hub) pulls(i image, tag string) int {
	h.Helper()
	guest := core.PrincipalFrom(h.guest)
	s := httptest.NewServer(server.New(h.reg, server.Options{Authenticate: func(_ http.ResponseWriter, r *http.Request) (context.Context, error) {
		return core.WithPrincipal(r.Context(), guest), nil
	}}))
	defer s.Close()
	var all sync.WaitGroup
	statuses := make(chan int, 64)
	for range 4 {
		for _, path := range []string{"/manifests/" + tag, "/manifests/" + i.digest.String()} {
			for _, method := range []string{"GET", "HEAD"} {
				all.Go(func() {
					req, err := http.NewRequest(method, s.URL+"/v2/"+i.repo+path, nil)
					if err != nil {
						h.Error(err)
						return
					}
					res, err := s.Client().Do(req)
					if err != nil {
						h.Errorf("%s %s is not answered: %v", method, path, err)
						return
					}
					body, err := io.ReadAll(res.Body)
					if err != nil || res.StatusCode != http.StatusOK && strings.Contains(string(body), i.layer.String()) {
						h.Errorf("%s %s: %s %v", method, path, body, err)
					}
					_ = res.Body.Close()
					statuses <- res.StatusCode
				})
			}
		}
	}
	all.Wait()
	close(statuses)
	status := 0
	for s := range statuses {
		if status != 0 && s != status {
			h.Errorf("answered with %d and with %d", status, s)
		}
		status = s
	}
	return status
}

// broken reads the evidence of an image while the registry behind fails: when it is pushed, and anew because a key was
// registered. Nothing is let through meanwhile, all is well afterwards, and the process lives.
func (h *hub) broken(name string, f fault, pushed bool) {
	h.Helper()
	pushes, later := signertest.New(), signertest.New()
	tag := digest.FromString(name).Encoded()[:8]
	h.register("pushes-"+tag, gatekeeper.Authority{PublicKey: pushes.PEM}, 0)
	i, j := h.image(repo, tag, name), h.image(repo, tag+"2", name+"2")
	second := later.Bundle(j.digest, predicateSign, map[string]any{})
	h.attach(repo, j.digest, second)
	if got := h.pulls(j, tag+"2"); got != http.StatusForbidden {
		h.Errorf("%s: by nobody who is registered: %d", name, got)
	}

	if pushed {
		bundle := pushes.Bundle(i.digest, predicateSign, map[string]any{})
		h.blob(repo, bundle)
		h.below.fault.Store(&f)
		h.attach(repo, i.digest, bundle)
		if got := h.pulls(i, tag); got != http.StatusForbidden {
			h.Errorf("%s: the signature could not be read: %d", name, got)
		}
		h.below.fault.Store(nil)
		if name == endless {
			h.attach(repo, i.digest, bundle)
		}
		if _, err := h.keeper.Owed(h.system); err != nil {
			h.Errorf("%s: read later: %v", name, err)
		}
		if got := h.pulls(i, tag); got != http.StatusOK {
			h.Errorf("%s: after it was read: %d", name, got)
		}
	}

	h.below.fault.Store(&f)
	h.register("later-"+tag, gatekeeper.Authority{PublicKey: later.PEM}, 0)
	if got := h.pulls(j, tag+"2"); got != http.StatusForbidden {
		h.Errorf("%s: the signature could not be read anew: %d", name, got)
	}
	h.below.fault.Store(nil)
	if name == endless {
		h.attach(repo, j.digest, second)
	}
	if got := h.pulls(j, tag+"2"); got != http.StatusOK {
		h.Errorf("%s: after it was read anew: %d", name, got)
	}
}

// F-22, V-36: whatever happens to reading what vouches for an image, it is refused until that is read.
func TestEvidenceCannotBeRead(t *testing.T) {
	eachHub(t, func(h *hub) {
		for name, f := range faults {
			h.broken(name, f, true)
		}
	})
}

// F-22, V-36: nor is it waited for without end.
func TestEvidenceTakesTooLong(t *testing.T) {
	h := newHub(t, dbtest.SQLite(t)(t))
	h.broken("hangs", hangs, false)
}
