package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

// reader is committed content. Nothing is requested before the first Read, and a Seek only lets go of a request that
// stands at another offset, so that http.ServeContent costs one GET, from the offset it wants.
type reader struct {
	ctx    context.Context
	store  *Store
	path   string
	size   int64
	offset int64
	body   io.ReadCloser // stands at offset; nil before the first Read and after a Seek
	closed bool
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, os.ErrClosed
	case r.offset >= r.size:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	if r.body == nil {
		body, err := r.store.kind.Reader(r.ctx, r.path, r.offset)
		if err != nil {
			return 0, r.store.explain(r.ctx, "read", err)
		}
		r.body = body
	}
	n, err := r.body.Read(p)
	r.offset += int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && r.offset >= r.size:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF // a connection that ended early must not look like the end of the blob
	}
	return n, r.store.explain(r.ctx, "read", err)
}

// ReadAt implements io.ReaderAt with a request of its own. Safe for concurrent use, as io.ReaderAt demands.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case r.closed:
		return 0, os.ErrClosed
	case off < 0:
		return 0, fmt.Errorf("blob: read at %d", off)
	case off >= r.size:
		return 0, io.EOF
	}
	body, err := r.store.kind.Reader(r.ctx, r.path, off)
	if err != nil {
		return 0, r.store.explain(r.ctx, "read", err)
	}
	defer body.Close()
	want := p[:min(int64(len(p)), r.size-off)]
	n, err := io.ReadFull(body, want)
	switch {
	case err != nil:
		return n, r.store.explain(r.ctx, "read", err)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// Seek implements io.Seeker. It asks nothing of the store.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.size
	}
	if r.closed {
		return 0, os.ErrClosed
	}
	if offset < 0 {
		return 0, fmt.Errorf("blob: seek to %d", offset)
	}
	if offset != r.offset {
		r.letGo()
		r.offset = offset
	}
	return offset, nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.closed = true
	r.letGo()
	return nil
}

func (r *reader) letGo() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}

// List implements blob.Store. It reads the head of every unfinished upload's record.
func (s *Store) List(ctx context.Context, f func(blob.Info) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	open := map[string]bool{} // the walk is in order of names: records come before contents
	var failed error
	err := s.kind.Walk(ctx, "/", func(info storagedriver.FileInfo) error {
		if failed = ctx.Err(); failed == nil && !info.IsDir() {
			failed = s.listed(ctx, info, open, f)
		}
		if failed != nil {
			return storagedriver.ErrFilledBuffer // the driver would hide an error of ours in one of its own
		}
		return nil
	})
	if failed != nil || err == nil {
		return failed
	}
	if err = s.explain(ctx, "list", err); errors.Is(err, blob.ErrNotFound) {
		return nil // nothing was ever written
	}
	return err
}

// listed tells f of one object.
func (s *Store) listed(ctx context.Context, info storagedriver.FileInfo, open map[string]bool, f func(blob.Info) error) error {
	if upload, ok := strings.CutPrefix(info.Path(), unfinished); ok {
		size, err := s.recordSize(ctx, info.Path(), info.Size())
		if err != nil || size < 0 {
			return err
		}
		open[upload] = true
		return f(blob.Info{Key: upload, Size: size, Modified: info.ModTime()})
	}
	if upload, ok := strings.CutPrefix(info.Path(), content); ok && s.kind.marked && open[upload] {
		return nil
	}
	return f(blob.Info{Key: info.Path()[1:], Size: info.Size(), Modified: info.ModTime(), Committed: true})
}
