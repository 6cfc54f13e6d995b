package remote

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
)

// content is a blob that is read over HTTP, from wherever the reader stands.
type content struct {
	ctx    context.Context // of Blob: io.Reader has none
	r      *Registry
	repo   string
	digest digest.Digest
	size   int64

	at     int64         // where the caller reads
	body   io.ReadCloser // an answer that stands at bodyAt, or nil
	bodyAt int64

	verifier hash.Hash // of the bytes from 0 to hashed
	hashed   int64

	pending  error // of the last read, which gave bytes besides
	broken   int   // connections that broke without enough progress in between
	progress int64 // bytes read since one broke
	err      error // sticks: the blob is not what it should be, or closed
}

// enoughProgress is how many bytes make up for a broken connection: a server that breaks off after each byte shall not
// be asked a thousand million times.
const enoughProgress = 1 << 20

func (c *content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.at >= c.size {
			if err := c.checked(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		if c.pending != nil {
			if err := c.again(); err != nil {
				return 0, err
			}
		}
		var n int
		if n, c.pending = c.read(p); n > 0 {
			if c.at == c.size { // the last bytes are given only if all of them are right
				if err := c.checked(); err != nil {
					return 0, err
				}
			}
			return n, nil
		}
	}
}

// read reads once from the answer at hand, or opens one.
func (c *content) read(p []byte) (int, error) {
	if c.body == nil || c.bodyAt != c.at {
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.size-c.at)])
	if c.at == 0 {
		c.verifier.Reset()
		c.hashed = 0
	}
	if c.hashed == c.at {
		c.verifier.Write(p[:n])
		c.hashed += int64(n)
	}
	c.at += int64(n)
	c.bodyAt += int64(n)
	if c.progress += int64(n); c.progress >= enoughProgress {
		c.broken = 0
	}
	if err != nil && c.at < c.size {
		c.drop()
		return n, c.r.unreachable(c.ctx, c.r.Host(), errors.Join(io.ErrUnexpectedEOF, err))
	}
	return n, nil
}

// again decides whether to go on after the pending error, and waits before it.
func (c *content) again() error {
	err := c.pending
	c.pending = nil
	var t *transient
	if !errors.As(err, &t) {
		return err
	}
	policy := c.r.opt.Retry
	c.progress = 0
	if c.broken++; c.broken >= policy.Attempts {
		return t.error
	}
	pause := min(policy.Wait<<min(c.broken-1, 16), policy.MaxWait)
	return sleep(c.ctx, pause/2+rand.N(pause/2+1))
}

// open asks for the blob from c.at on.
func (c *content) open() error {
	c.drop()
	resp, err := c.r.getBlob(c.ctx, c.repo, c.digest, c.at)
	if err != nil {
		return err
	}
	rest := c.size - c.at
	switch {
	case c.at > 0 && resp.StatusCode == http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-", c.at); !strings.HasPrefix(resp.Header.Get("Content-Range"), want) {
			resp.Body.Close()
			return refusal(registry.CodeSizeInvalid, "%s answers with another part of blob %s than was asked for.", c.r.Host(), c.digest)
		}
	case resp.StatusCode == http.StatusOK: // no ranges there: what lies before is read past
		if _, err := io.CopyN(io.Discard, resp.Body, c.at); err != nil {
			resp.Body.Close()
			return c.r.unreachable(c.ctx, c.r.Host(), err)
		}
		if resp.ContentLength >= 0 {
			resp.ContentLength -= c.at
		}
	}
	if resp.ContentLength >= 0 && resp.ContentLength != rest {
		resp.Body.Close()
		return refusal(registry.CodeSizeInvalid, "%s now says that blob %s has another size than before.", c.r.Host(), c.digest)
	}
	c.body, c.bodyAt = resp.Body, c.at
	return nil
}

// checked says whether what was read from start to end is the blob. It knows nothing of what was read in parts.
func (c *content) checked() error {
	if c.hashed != c.size {
		return nil
	}
	if got := digest.NewDigest(c.digest.Algorithm(), c.verifier); got != c.digest {
		c.drop()
		c.err = refusal(registry.CodeDigestInvalid, "%s sent other bytes than those of blob %s: their digest is %s. Use "+
			"nothing of them.", c.r.Host(), c.digest, got)
	}
	return c.err
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	if c.err != nil {
		return 0, c.err
	}
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	case io.SeekStart:
	default:
		return 0, fmt.Errorf("remote: Seek with whence %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("remote: Seek before the start of the blob")
	}
	c.at = offset
	return offset, nil
}

func (c *content) drop() {
	if c.body != nil {
		c.body.Close()
		c.body = nil
	}
}

// Close may be called more than once.
func (c *content) Close() error {
	c.drop()
	c.err = errors.New("remote: the blob was closed")
	return nil
}
