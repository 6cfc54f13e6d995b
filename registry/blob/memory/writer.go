package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

type writer struct {
	ctx    context.Context
	store  *Store
	id     string
	upload *upload
	boot   int
	open   bool
	failed error
	buffer []byte // what a buffered store has not seen yet
}

// usable says whether the Writer may still be written to. The place must be locked.
func (w *writer) usable() error {
	switch {
	case !w.open:
		return fmt.Errorf("blob: upload %s: %w", w.id, os.ErrClosed)
	case w.failed != nil:
		return w.failed
	case w.boot != w.store.place.boot:
		return errors.New("blob: the store lost its power")
	}
	return w.ctx.Err()
}

// Write implements blob.Writer.
func (w *writer) Write(p []byte) (int, error) {
	fate, err := w.store.faults.strike(w.ctx, Write)
	place := w.store.place
	place.mu.Lock()
	defer place.mu.Unlock()
	if dead := w.usable(); dead != nil {
		return 0, dead
	}
	if err != nil {
		w.failed = err
		return 0, err
	}
	if fate.short >= 0 && fate.short < len(p) {
		p = p[:fate.short]
	}
	if place.options.Buffered {
		w.buffer = append(w.buffer, p...)
	} else {
		w.upload.data = append(w.upload.data, p...)
		w.upload.modified = time.Now()
	}
	w.failed = fate.after
	return len(p), fate.after
}

// Size implements blob.Writer.
func (w *writer) Size() int64 {
	w.store.place.mu.Lock()
	defer w.store.place.mu.Unlock()
	return int64(len(w.upload.data) + len(w.buffer))
}

// Reader implements blob.Writer.
func (w *writer) Reader(ctx context.Context) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.store.place.mu.Lock()
	defer w.store.place.mu.Unlock()
	switch {
	case !w.open:
		return nil, fmt.Errorf("blob: upload %s: %w", w.id, os.ErrClosed)
	case w.store.place.options.Buffered && len(w.upload.data) > 0:
		return nil, fmt.Errorf("blob: upload %s cannot be read back: %w", w.id, errors.ErrUnsupported)
	}
	// A copy of the slice header is enough: bytes that were received never change.
	return io.NopCloser(io.MultiReader(bytes.NewReader(w.upload.data), bytes.NewReader(w.buffer))), nil
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context, d digest.Digest) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("blob: commit: %w", err)
	}
	fate, err := w.store.faults.strike(ctx, Commit)
	place := w.store.place
	place.mu.Lock()
	defer place.mu.Unlock()
	if dead := w.usable(); dead != nil {
		return "", dead
	}
	if err == nil && place.uploads[w.id] != w.upload {
		err = fmt.Errorf("%w: upload %s was deleted", blob.ErrNotFound, w.id)
	}
	if err != nil {
		w.failed = err
		w.forget()
		return "", err
	}
	key := w.store.Key(w.id, d)
	place.contents[key] = content{data: append(w.upload.data, w.buffer...), modified: time.Now()}
	w.forget()
	w.open = false
	if fate.after != nil {
		return "", fate.after
	}
	return key, nil
}

// forget removes the upload, if it is still ours. The place must be locked.
func (w *writer) forget() {
	if w.store.place.uploads[w.id] == w.upload {
		delete(w.store.place.uploads, w.id)
	}
}

// Close implements blob.Writer.
func (w *writer) Close() error {
	w.store.place.mu.Lock()
	defer w.store.place.mu.Unlock()
	if !w.open {
		return nil
	}
	w.open = false
	w.upload.held = false
	if len(w.buffer) > 0 {
		w.upload.data = append(w.upload.data, w.buffer...)
		w.upload.modified = time.Now()
	}
	return nil
}
