package driver

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

// The record of an upload is a line of fixed length with the number of bytes in parts, and the tail.
const (
	recordFormat = "hallmark upload 1 %020d\n"
	recordHead   = len("hallmark upload 1 \n") + 20
)

// saveRecord replaces the record with the present state.
func (w *writer) saveRecord(ctx context.Context) error {
	record := append(fmt.Appendf(make([]byte, 0, recordHead+len(w.tail)), recordFormat, w.sent), w.tail...)
	if err := w.store.kind.PutContent(ctx, w.record, record); err != nil {
		return w.store.explain(ctx, "keep upload", err)
	}
	w.saved, w.dirty = true, false
	return nil
}

// parseRecord returns the number of bytes in parts. It needs only the head.
func parseRecord(record []byte) (sent int64, err error) {
	if len(record) < recordHead {
		return 0, fmt.Errorf("blob: the record of an upload has %d bytes", len(record))
	}
	if _, err := fmt.Sscanf(string(record[:recordHead]), recordFormat, &sent); err != nil || sent < 0 {
		return 0, fmt.Errorf("blob: the record of an upload begins with %q", record[:recordHead])
	}
	return sent, nil
}

// readRecord reads at most limit bytes of a record.
func (s *Store) readRecord(ctx context.Context, path string, limit int64) ([]byte, error) {
	r, err := s.kind.Reader(ctx, path, 0)
	if err != nil {
		return nil, s.explain(ctx, "resume upload", err)
	}
	defer r.Close()
	record, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return nil, s.explain(ctx, "resume upload", err)
	}
	return record, nil
}

// resume takes up the state that the record describes.
func (w *writer) resume(ctx context.Context) error {
	record, err := w.store.readRecord(ctx, w.record, int64(recordHead+w.store.part))
	if err != nil {
		return err
	}
	sent, err := parseRecord(record)
	if err != nil {
		return err
	}
	w.resumed, w.saved = true, true
	w.tail = record[recordHead:]
	if sent == 0 {
		return nil
	}
	parts, err := w.store.kind.Writer(ctx, w.path, true)
	if err != nil {
		return w.lost(ctx, w.store.explain(ctx, "resume upload", err))
	}
	// After a crash there may be more parts than the record knows. They continue the stream: tail first.
	more := parts.Size() - sent
	if more < 0 {
		_ = parts.Close()
		return fmt.Errorf("%w: %d bytes of upload %s have disappeared from the store", blob.ErrNotFound, -more, w.upload)
	}
	w.tail = w.tail[min(more, int64(len(w.tail))):]
	w.parts, w.sent, w.dirty = parts, parts.Size(), more > 0
	return nil
}

// lost makes err an ErrNotFound if the upload has been committed and only its record was left behind.
func (w *writer) lost(ctx context.Context, err error) error {
	if w.store.kind.marked || errors.Is(err, blob.ErrNotFound) {
		return err
	}
	if committed, failed := w.store.exists(ctx, w.path); failed != nil || !committed {
		return err
	}
	return fmt.Errorf("%w: upload %s is committed (%w)", blob.ErrNotFound, w.upload, err)
}

// recordSize is the size of one unfinished upload as of its last Close, or -1 if it has ended.
func (s *Store) recordSize(ctx context.Context, path string, length int64) (int64, error) {
	head, err := s.readRecord(ctx, path, int64(recordHead))
	if errors.Is(err, blob.ErrNotFound) {
		return -1, nil // ended meanwhile
	}
	if err != nil {
		return 0, err
	}
	sent, err := parseRecord(head)
	return sent + length - int64(recordHead), err
}
