package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/request"
)

// getBlob hands the content to http.ServeContent, which answers ranges and conditions, through a writer that keeps
// sendfile possible and slow clients out.
func (c *call) getBlob() error {
	blob, err := c.s.reg.Blob(c.ctx, c.q.Repository, c.q.Digest)
	if err != nil {
		return err
	}
	if blob.URL != "" {
		c.redirect(blob)
		return nil
	}
	defer func() { _ = blob.Content.Close() }() // it was only read
	c.describeBlob(blob.Digest)
	out := c.paced()
	http.ServeContent(out, c.usableRange(), "", time.Time{}, blob.Content)
	return c.streamed(out)
}

// streamed turns the outcome of ServeContent into ours.
func (c *call) streamed(out *pacedWriter) error {
	h := c.w.Header()
	switch {
	case out.status == http.StatusRequestedRangeNotSatisfiable:
		delete(h, "Etag") // the response is not the blob
		return registry.NewError(registry.CodeRangeInvalid, "The blob has no such range; Content-Range says how long it is.")
	case out.status >= http.StatusInternalServerError:
		return errUnreadable{}
	}
	if out.readErr != nil { // too late to say it: the connection breaks, because the body is too short
		c.logBroken(out.readErr)
	}
	return nil
}

// errUnreadable is what ServeContent says of content that cannot be sought in.
type errUnreadable struct{}

func (errUnreadable) Error() string { return "the content of the blob cannot be read" }

// usableRange returns the request, without its Range header if that is to be ignored.
func (c *call) usableRange() *http.Request {
	lines := c.r.Header["Range"]
	if len(lines) == 0 || len(lines) == 1 && request.UsableRange(lines[0], c.s.lim.Ranges) {
		return c.r
	}
	r := *c.r
	r.Header = c.r.Header.Clone()
	delete(r.Header, "Range")
	return &r
}

// redirect sends the client to where the bytes are. 307 keeps the method.
func (c *call) redirect(blob *registry.Blob) {
	h := c.w.Header()
	h["Location"] = []string{blob.URL}
	h["Docker-Content-Digest"] = []string{string(blob.Digest)}
	c.empty(http.StatusTemporaryRedirect)
}

// headBlob answers from metadata. Pushers ask it before they leave a layer out, so the blob is kept.
func (c *call) headBlob() error {
	size, err := c.s.reg.StatBlob(c.ctx, c.q.Repository, c.q.Digest, true)
	if err != nil {
		return err
	}
	c.describeBlob(c.q.Digest)
	h := c.w.Header()
	if matches(c.r.Header["If-None-Match"], h["Etag"][0]) {
		delete(h, "Content-Type")
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	v := []string{"bytes", strconv.FormatInt(size, 10)}
	h["Accept-Ranges"] = v[0:1:1]
	h["Content-Length"] = v[1:2:2]
	return nil
}

// describeBlob sets the headers that all answers about a blob have. Its type is always the same: a blob that a browser
// took for a page would run on our origin.
func (c *call) describeBlob(d digest.Digest) {
	v := []string{"application/octet-stream", "nosniff", string(d), `"` + string(d) + `"`}
	h := c.w.Header()
	h["Content-Type"] = v[0:1:1]
	h["X-Content-Type-Options"] = v[1:2:2]
	h["Docker-Content-Digest"] = v[2:3:3]
	h["Etag"] = v[3:4:4]
}

func (c *call) deleteBlob() error {
	if err := c.s.reg.DeleteBlob(c.ctx, c.q.Repository, c.q.Digest); err != nil {
		return err
	}
	c.empty(http.StatusAccepted)
	return nil
}
