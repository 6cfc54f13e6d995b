//go:build crash && linux

package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	requestTime = 60 * time.Second
	maxAnswer   = 64 << 20
)

// client talks to a hub as an administrator, one request at a time. It does no more than the specification asks of clients: no retries, so that
// each answer can be judged.
type client struct {
	hub   *hub
	base  string
	http  *http.Client
	token *atomic.Pointer[string] // nil: the password
	epoch int64                   // of the last request
}

func newClient(h *hub) *client {
	return &client{hub: h, base: "http://" + h.addr, http: &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 10 * time.Second, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what came back of a request; status is 0 when nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// option changes a request.
type option func(*http.Request)

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func (c *client) do(ctx context.Context, method, path string, body []byte, opts ...option) answer {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	return c.send(ctx, method, path, r, opts...)
}

// send is do for a body that is not in memory.
func (c *client) send(ctx context.Context, method, path string, body io.Reader, opts ...option) answer {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	// Connections to a process that was killed are of no use, and what is sent on one looks like a hub that hangs up.
	if e := c.hub.epoch.Load(); e != c.epoch {
		c.http.CloseIdleConnections()
		c.epoch = e
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return answer{err: err}
	}
	if req.SetBasicAuth("admin", password); c.token != nil {
		req.Header.Set("Authorization", "Bearer "+*c.token.Load())
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	for _, o := range opts {
		o(req)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if method == http.MethodGet || a.status/100 != 2 {
		a.err = err // a write is acknowledged by its status alone
	}
	return a
}

// verdict is what an answer says about the change that was asked for.
type verdict string

const (
	acked   verdict = "ok"      // it has happened
	refused verdict = "fail"    // it has not
	unclear verdict = "unknown" // either
)

func (a answer) verdict() verdict {
	switch {
	case errors.Is(a.err, syscall.ECONNREFUSED):
		return refused
	case a.status == 0:
		return unclear
	case a.status/100 == 2:
		return acked
	case a.status/100 == 4, a.status == http.StatusInsufficientStorage:
		return refused
	}
	return unclear
}

// code is the error code of an answer of the registry.
func (a answer) code() string {
	var e struct {
		Errors []struct{ Code string }
	}
	if json.Unmarshal(a.body, &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	return e.Errors[0].Code
}

// String is for messages.
func (a answer) String() string {
	if a.status == 0 {
		return fmt.Sprint("no answer: ", a.err)
	}
	text := ""
	if a.status >= 400 {
		text = " " + string(a.body[:min(len(a.body), 300)])
	}
	if a.err != nil {
		text += " (cut short: " + a.err.Error() + ")"
	}
	return fmt.Sprint(a.status, text)
}

// is reports whether the whole body came and has a digest.
func (a answer) is(digest string) bool { return a.err == nil && digestOf(a.body) == digest }

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// startUpload returns the location of a new upload.
func (c *client) startUpload(ctx context.Context, repo string) (string, answer) {
	a := c.do(ctx, http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil)
	if a.status != http.StatusAccepted {
		return "", a
	}
	return a.header.Get("Location"), a
}

// finishUpload sends what is left of an upload, possibly nothing, and closes it.
func (c *client) finishUpload(ctx context.Context, location string, rest []byte, digest string) answer {
	sep := "?"
	if strings.Contains(location, "?") {
		sep = "&"
	}
	return c.do(ctx, http.MethodPut, location+sep+"digest="+digest, rest)
}

// putBlob pushes a blob the usual way: POST, then PUT.
func (c *client) putBlob(ctx context.Context, repo string, b blob) answer {
	location, a := c.startUpload(ctx, repo)
	if location == "" {
		return a
	}
	return c.finishUpload(ctx, location, b.bytes(), b.digest)
}

func (c *client) putManifest(ctx context.Context, repo, ref string, m manifest) answer {
	return c.do(ctx, http.MethodPut, "/v2/"+repo+"/manifests/"+ref, m.body, header("Content-Type", m.mediaType))
}

// putImage pushes an image under a tag and returns the first answer that is no success, or the last.
func (c *client) putImage(ctx context.Context, repo, tag string, m manifest) answer {
	for _, b := range m.blobs {
		if a := c.putBlob(ctx, repo, b); a.status != http.StatusCreated {
			return a
		}
	}
	return c.putManifest(ctx, repo, tag, m)
}

func (c *client) getManifest(ctx context.Context, repo, ref string) answer {
	return c.do(ctx, http.MethodGet, "/v2/"+repo+"/manifests/"+ref, nil, header("Accept", mediaManifest+", "+mediaIndex))
}

func (c *client) getBlob(ctx context.Context, repo, digest string) answer {
	return c.do(ctx, http.MethodGet, "/v2/"+repo+"/blobs/"+digest, nil)
}

// pull reads an image with everything it refers to and returns what is wrong with it, or nil.
func (c *client) pull(ctx context.Context, repo, ref string) error {
	a := c.getManifest(ctx, repo, ref)
	d := a.header.Get("Docker-Content-Digest")
	if a.status != http.StatusOK || !a.is(d) || (strings.HasPrefix(ref, "sha256:") && d != ref) {
		return fmt.Errorf("manifest %s/%s: %v, digest in the header %s, of the body %s", repo, ref, a, d, digestOf(a.body))
	}
	refs, err := references(a.body)
	if err != nil {
		return err
	}
	for _, r := range refs.blobs {
		if a := c.getBlob(ctx, repo, r.Digest); a.status != http.StatusOK || !a.is(r.Digest) || len(a.body) != r.Size {
			return fmt.Errorf("blob %s of %s/%s: %v, %d bytes of %d", r.Digest, repo, ref, a, len(a.body), r.Size)
		}
	}
	for _, r := range refs.children {
		if err := c.pull(ctx, repo, r.Digest); err != nil {
			return err
		}
	}
	return nil
}
