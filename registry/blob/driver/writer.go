package driver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// writer is one session of an upload. It hands whole parts to the driver and keeps the rest.
type writer struct {
	ctx    context.Context // of the request; the driver's writer keeps it, too
	store  *Store
	upload string
	path   string // of the content
	record string // path of the record

	parts   storagedriver.FileWriter // nil until the first part
	sent    int64                    // bytes in parts
	tail    []byte                   // received after them, less than a part
	resumed bool
	saved   bool  // the record is in the store, perhaps an older state of it
	dirty   bool  // and differs from it
	closed  bool  // by Close or a Commit that got as far as the store
	failed  error // first error of Write or Commit
}

func (w *writer) usable() error {
	switch {
	case w.closed:
		return fmt.Errorf("blob: upload %s: %w", w.upload, os.ErrClosed)
	case w.failed != nil:
		return w.failed
	}
	return w.ctx.Err()
}

// Write implements blob.Writer. What it returns an error for was not taken.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		rest := p[done:]
		if len(w.tail) == 0 && len(rest) >= w.store.part {
			if err := w.send(rest[:w.store.part]); err != nil {
				return done, err
			}
			done += w.store.part
			continue
		}
		before := len(w.tail)
		take := min(len(rest), w.store.part-before)
		w.keep(rest[:take])
		if len(w.tail) == w.store.part {
			if err := w.send(w.tail); err != nil {
				w.tail = w.tail[:before]
				return done, err
			}
			w.tail = w.tail[:0]
		}
		done += take
	}
	return done, nil
}

// keep appends to the tail. It grows by doubling, and never beyond a part, which append would.
func (w *writer) keep(p []byte) {
	w.dirty = true
	if need := len(w.tail) + len(p); need > cap(w.tail) {
		grown := make([]byte, len(w.tail), min(max(need, 2*cap(w.tail)), w.store.part))
		copy(grown, w.tail)
		w.tail = grown
	}
	w.tail = append(w.tail, p...)
}

// send hands one whole part to the driver, which sends it before it returns.
func (w *writer) send(part []byte) error {
	if w.parts == nil {
		// A session that died may have begun parts that its record does not know. The driver would later append
		// to whichever it finds first.
		if w.resumed && !w.store.kind.marked {
			if err := w.store.abortParts(w.ctx, w.upload); err != nil {
				w.failed = err
				return err
			}
		}
		parts, err := w.store.kind.Writer(w.ctx, w.path, false)
		if err != nil {
			w.failed = w.store.explain(w.ctx, "begin upload", err)
			return w.failed
		}
		w.parts = parts
	}
	if _, err := w.parts.Write(part); err != nil {
		w.failed = w.store.explain(w.ctx, "write", err)
		return w.failed
	}
	w.sent += int64(len(part))
	w.dirty = true
	return nil
}

// Size implements blob.Writer.
func (w *writer) Size() int64 { return w.sent + int64(len(w.tail)) }

// Reader implements blob.Writer. Parts of an unfinished upload cannot be read.
func (w *writer) Reader(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case w.closed:
		return nil, fmt.Errorf("blob: upload %s: %w", w.upload, os.ErrClosed)
	case w.sent > 0:
		return nil, fmt.Errorf("blob: upload %s cannot be read back: %w", w.upload, errors.ErrUnsupported)
	}
	return io.NopCloser(bytes.NewReader(bytes.Clone(w.tail))), nil
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context, d digest.Digest) (string, error) {
	if err := w.usable(); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("blob: commit: %w", err)
	}
	err := w.publish(ctx)
	if err == nil {
		err = w.confirm(ctx)
	}
	if err == nil && w.saved {
		// The record of a store that does not need it is only garbage, which List shows and Delete removes.
		if rm := w.store.remove(ctx, w.record); w.store.kind.marked {
			err = rm
		}
	}
	w.closed = true
	w.closeParts()
	if err != nil {
		w.failed = err
		w.discard()
	}
	w.release()
	if err != nil {
		return "", err
	}
	return w.path[1:], nil
}

// publish makes the driver complete the object: in one request if there are no parts.
func (w *writer) publish(ctx context.Context) error {
	if w.parts == nil {
		if err := w.store.kind.PutContent(ctx, w.path, w.tail); err != nil {
			return w.store.explain(ctx, "commit", err)
		}
		return nil
	}
	if len(w.tail) > 0 {
		if _, err := w.parts.Write(w.tail); err != nil {
			return w.store.explain(ctx, "commit", err)
		}
	}
	if err := w.parts.Commit(ctx); err != nil {
		return w.store.explain(ctx, "commit", err)
	}
	return nil
}

// confirm asks for the object. Only what the store says it has, in full length, counts as committed: an error may hide
// in a status of 200, and parts may have been aborted behind our back.
func (w *writer) confirm(ctx context.Context) error {
	info, err := w.store.kind.Stat(ctx, w.path)
	if err != nil {
		return w.store.explain(ctx, "confirm commit", err)
	}
	if info.IsDir() || info.Size() != w.Size() {
		return fmt.Errorf("blob: commit of upload %s: the store has %d bytes of %d", w.upload, info.Size(), w.Size())
	}
	return nil
}

// discard removes, as far as it can, what a failed Commit leaves: the object may exist although its answer was lost.
func (w *writer) discard() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), cleanUp)
	defer cancel()
	if there, err := w.store.exists(ctx, w.path); err != nil || there && w.store.remove(ctx, w.path) != nil {
		return // the record stays, if there is one, so that List and Delete still find the upload
	}
	_ = w.store.abort(ctx, w.upload)
}

// Close implements blob.Writer. It works after the context has ended, within 30 s.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	defer w.release()
	if w.parts != nil {
		// S3 has nothing left to send here; the others write what they buffered. If that fails, the record must
		// not claim it.
		if err := w.parts.Close(); err != nil {
			return w.store.explain(w.ctx, "close upload", err)
		}
	}
	if w.saved && !w.dirty {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), cleanUp)
	defer cancel()
	return w.saveRecord(ctx)
}

func (w *writer) closeParts() {
	if w.parts != nil {
		_ = w.parts.Close() // after Commit it only gives memory back
	}
}

func (w *writer) release() { w.store.held.Delete(w.upload) }
