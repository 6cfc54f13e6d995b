package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/request"
)

// startUpload answers POST (OCI distribution specification, "Pushing blobs").
func (c *call) startUpload(algorithm digest.Algorithm) error {
	up, err := c.s.reg.StartUpload(c.ctx, c.q.Repository, algorithm)
	if err != nil {
		return err
	}
	c.describeUpload(up)
	c.empty(http.StatusAccepted)
	return nil
}

// describeUpload sets the headers that say where an upload is and how far it has come. "0-0" for an empty one is what
// Docker's registry says; the specification has no notation for it.
func (c *call) describeUpload(up registry.Upload) {
	h := c.w.Header()
	h["Location"] = []string{"/v2/" + c.q.Repository + "/blobs/uploads/" + up.ID}
	h["Range"] = []string{"0-" + strconv.FormatInt(max(up.Size-1, 0), 10)}
	h["Docker-Upload-Uuid"] = []string{up.ID}
}

// mount links a blob from elsewhere, or starts an upload if it cannot be had, whatever the reason ("Mounting a blob from
// another repository").
func (c *call) mount() error {
	from := registry.MountSource{Repository: c.q.From}
	_, err := c.s.reg.MountBlob(c.ctx, c.q.Repository, c.q.Mount, from)
	switch registry.CodeOf(err) {
	case "":
		c.created("/blobs/", c.q.Mount)
		return nil
	case registry.CodeBlobUnknown, registry.CodeUnsupported:
		algorithm := c.q.Algorithm
		if algorithm == "" {
			algorithm = c.q.Mount.Algorithm() // it is what the client will push
		}
		return c.startUpload(algorithm)
	}
	return err
}

// uploadWhole takes a blob in one POST ("Single POST").
func (c *call) uploadWhole() error {
	body, err := c.blobBody(0)
	if err != nil {
		return err
	}
	up, err := c.s.reg.StartUpload(c.ctx, c.q.Repository, c.q.Digest.Algorithm())
	if err != nil {
		return err
	}
	if _, err := c.s.reg.FinishUpload(c.ctx, c.q.Repository, up.ID, 0, body, c.q.Digest); err != nil {
		c.forget(up.ID) // nobody knows its id
		return body.blame(err)
	}
	body.done()
	c.created("/blobs/", c.q.Digest)
	return nil
}

// forget cancels an upload that is of no use any more, also if the client has gone. If that fails it expires.
func (c *call) forget(id string) {
	_ = c.s.reg.CancelUpload(context.WithoutCancel(c.ctx), c.q.Repository, id)
}

// appendUpload answers PATCH ("Pushing a blob in chunks"). Without Content-Range the chunk goes where the upload ends.
func (c *call) appendUpload() error {
	at, body, err := c.chunk()
	if err != nil {
		return c.uploadError(registry.Upload{}, err)
	}
	up, err := c.s.reg.AppendUpload(c.ctx, c.q.Repository, c.q.UploadID, at, body)
	if err != nil {
		return c.uploadError(up, body.blame(err))
	}
	body.done()
	if up.Size > c.s.lim.Blob {
		return c.uploadError(up, c.errBlobSize())
	}
	c.describeUpload(up)
	c.empty(http.StatusAccepted)
	return nil
}

// finishUpload answers PUT, whose body may be the last chunk or all of the blob.
func (c *call) finishUpload() error {
	at, body, err := c.chunk()
	if err == nil && at < 0 && c.r.ContentLength != 0 {
		// What is there counts as well, and afterwards it would be too late to refuse the whole.
		var up registry.Upload
		if up, err = c.s.reg.Upload(c.ctx, c.q.Repository, c.q.UploadID); err != nil {
			return err
		}
		body, err = c.blobBody(up.Size)
	}
	if err != nil {
		return c.uploadError(registry.Upload{}, err)
	}
	if _, err := c.s.reg.FinishUpload(c.ctx, c.q.Repository, c.q.UploadID, at, body, c.q.Digest); err != nil {
		return c.uploadError(registry.Upload{}, body.blame(err))
	}
	body.done()
	c.created("/blobs/", c.q.Digest)
	return nil
}

// uploadError puts the upload's true state into an error about the range, which the response then shows, and ends an
// upload whose blob is too large: it can never be finished, and its bytes would lie there until it expires.
func (c *call) uploadError(up registry.Upload, err error) error {
	if registry.CodeOf(err) == registry.CodeTooLarge {
		c.forget(c.q.UploadID)
	}
	var e *registry.Error
	if !errors.As(err, &e) || e.Code != registry.CodeRangeInvalid || e.Upload != nil {
		return err
	}
	if up.ID == "" {
		var statErr error
		if up, statErr = c.s.reg.Upload(c.ctx, c.q.Repository, c.q.UploadID); statErr != nil {
			return err
		}
	}
	located := *e
	located.Upload = &up
	return &located
}

// chunk reads Content-Range and Content-Length, which must agree. The offset is negative if there is no Content-Range.
func (c *call) chunk() (at int64, body *body, err error) {
	lines := c.r.Header["Content-Range"]
	switch len(lines) {
	case 0:
		body, err := c.blobBody(0)
		return -1, body, err
	case 1:
	default:
		return 0, nil, registry.NewError(registry.CodeBlobUploadInvalid, "There is more than one Content-Range.")
	}
	at, length, rerr := request.ParseContentRange(lines[0])
	switch {
	case rerr != nil:
		return 0, nil, rerr
	case c.r.ContentLength >= 0 && c.r.ContentLength != length:
		return 0, nil, registry.NewError(registry.CodeSizeInvalid, fmt.Sprintf("Content-Range has %d bytes and "+
			"Content-Length %d. They must agree.", length, c.r.ContentLength))
	case at > c.s.lim.Blob-length:
		return 0, nil, c.errBlobSize()
	}
	return at, c.newBody(length, true, registry.NewError(registry.CodeSizeInvalid, "There are more bytes than "+
		"Content-Range says. They must agree.")), nil
}

// blobBody is the body of a request that adds to what is already there, up to the largest blob.
func (c *call) blobBody(already int64) (*body, error) {
	left := c.s.lim.Blob - already
	if c.r.ContentLength > left || left < 0 {
		return nil, c.errBlobSize()
	}
	return c.newBody(left, false, c.errBlobSize()), nil
}

func (c *call) errBlobSize() error {
	return registry.NewError(registry.CodeTooLarge, fmt.Sprintf("The blob is larger than %d bytes, the limit of this "+
		"registry. Split it into several layers and upload those anew.", c.s.lim.Blob))
}

func (c *call) uploadStatus() error {
	up, err := c.s.reg.Upload(c.ctx, c.q.Repository, c.q.UploadID)
	if err != nil {
		return err
	}
	c.describeUpload(up)
	c.empty(http.StatusNoContent)
	return nil
}

func (c *call) cancelUpload() error {
	if err := c.s.reg.CancelUpload(c.ctx, c.q.Repository, c.q.UploadID); err != nil {
		return err
	}
	c.empty(http.StatusNoContent)
	return nil
}
