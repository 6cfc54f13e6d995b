package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

// Content lies under uploads/<upload> from its first part on and for ever: an object store cannot rename, and a copy
// would cost the blob's size again. What was received but does not fill a part, at most one part, is kept beside it in
// the record of the upload, unfinished/<upload>, together with the number of bytes in parts. So the driver only ever
// sees whole parts until Commit. Left to itself, with a part below 5 MiB it would publish the incomplete object, start
// over and copy, at every PATCH.
const (
	content    = "/uploads/"
	unfinished = "/unfinished/"
)

const (
	smallestPart = 5 << 20 // S3's minimum
	defaultPart  = 10 << 20
	largestPart  = 128 << 20
	partUnit     = 256 << 10 // GCS takes multiples of this
)

// cleanUp bounds what is still done for a request whose context has ended.
const cleanUp = 30 * time.Second

// Options are what does not belong into the URL. The zero value is fine.
type Options struct {
	UserAgent string // sent to the object store, for its access log
}

// Store keeps blobs with one of distribution's storage drivers. Safe for concurrent use, also by several processes
// over the same bucket, except that only the caller can see to it that one upload has one Writer: ErrBusy knows this
// process alone.
//
// Memory: a Writer holds up to one part (chunksize, 10 MiB by default), and the driver as much again while it sends.
// Requests to S3: a blob below one part in one session costs a PUT and the HEAD that confirms it. Close and Resume
// cost a PUT and a GET of the record, and Resume of an upload that has parts also ListMultipartUploads and ListParts,
// since the driver keeps no upload id. An upload whose process dies after more parts than its record knows comes back
// longer than its caller believes and cannot be read back: the caller then starts it again.
type Store struct {
	kind kind
	part int
	held sync.Map // upload ids that have a Writer here
}

// Open opens the driver that the scheme of address names: s3, gs, azure or distfs; see the open function of each for
// its form. Nothing is sent before the first call; Check does.
func Open(ctx context.Context, address string, opt Options) (*Store, error) {
	k, part, err := openKind(ctx, address, opt)
	if err != nil {
		return nil, err
	}
	return &Store{kind: k, part: part}, nil
}

// Check asks the back end for something that is not there, to find out at start whether address and credentials are
// right.
func (s *Store) Check(ctx context.Context) error {
	_, err := s.exists(ctx, unfinished+"probe")
	if err != nil {
		return fmt.Errorf("the object store does not answer; check its address, bucket and credentials: %w", err)
	}
	return nil
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context, upload string) (blob.Writer, error) {
	w, err := s.hold(ctx, upload)
	if err != nil {
		return nil, err
	}
	if s.kind.marked {
		if err := w.saveRecord(ctx); err != nil {
			w.release()
			return nil, err
		}
	}
	return w, nil
}

// Resume implements blob.Store.
func (s *Store) Resume(ctx context.Context, upload string) (blob.Writer, error) {
	w, err := s.hold(ctx, upload)
	if err != nil {
		return nil, err
	}
	if err := w.resume(ctx); err != nil {
		w.release()
		return nil, err
	}
	return w, nil
}

func (s *Store) hold(ctx context.Context, upload string) (*writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := blob.CheckUpload(upload); err != nil {
		return nil, err
	}
	if _, taken := s.held.LoadOrStore(upload, true); taken {
		return nil, blob.ErrBusy
	}
	return &writer{ctx: ctx, store: s, upload: upload, path: content + upload, record: unfinished + upload}, nil
}

// Open implements blob.Store. It asks for the size; the bytes are asked for when they are read.
func (s *Store) Open(ctx context.Context, key string) (blob.Content, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := s.stat(ctx, key)
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, store: s, path: info.Path(), size: info.Size()}, nil
}

// stat finds committed content.
func (s *Store) stat(ctx context.Context, key string) (storagedriver.FileInfo, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	path := "/" + key
	missing := fmt.Errorf("%w: %s", blob.ErrNotFound, key)
	if strings.HasPrefix(path, unfinished) {
		return nil, missing
	}
	if upload, ours := strings.CutPrefix(path, content); ours && s.kind.marked {
		switch open, err := s.exists(ctx, unfinished+upload); {
		case err != nil:
			return nil, err
		case open:
			return nil, missing
		}
	}
	info, err := s.kind.Stat(ctx, path)
	if err != nil {
		return nil, s.explain(ctx, "stat", err)
	}
	if info.IsDir() {
		return nil, missing
	}
	return info, nil
}

func (s *Store) exists(ctx context.Context, path string) (bool, error) {
	info, err := s.kind.Stat(ctx, path)
	if err == nil {
		return !info.IsDir(), nil
	}
	if err = s.explain(ctx, "stat", err); errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	return false, err
}

// URL implements blob.Store: a signed address, if the store was opened with redirect=true.
func (s *Store) URL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	if err := errors.Join(ctx.Err(), blob.CheckKey(key)); err != nil {
		return "", err
	}
	if s.kind.sign == nil || strings.HasPrefix("/"+key, unfinished) {
		return "", nil
	}
	address, err := s.kind.sign("/"+key, ttl)
	if err != nil {
		return "", s.explain(ctx, "sign", err)
	}
	return address, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if blob.IsUpload(name) {
		if err := blob.CheckUpload(name); err != nil {
			return err
		}
		return s.abort(ctx, name)
	}
	// Looked up first, because the driver would remove all that lies below a path.
	info, err := s.stat(ctx, name)
	if err == nil {
		err = s.remove(ctx, info.Path())
	}
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	return err
}

// remove deletes the object at path, if it is there.
func (s *Store) remove(ctx context.Context, path string) error {
	err := s.kind.Delete(ctx, path)
	if err == nil {
		return nil
	}
	if err = s.explain(ctx, "delete", err); errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	return err
}

// abort removes an unfinished upload, its parts first, so that a failure leaves the record to try again by.
func (s *Store) abort(ctx context.Context, upload string) error {
	recorded, err := s.exists(ctx, unfinished+upload)
	if err != nil {
		return err
	}
	switch {
	case !s.kind.marked:
		err = s.abortParts(ctx, upload)
	case recorded:
		err = s.remove(ctx, content+upload)
	}
	if err != nil || !recorded {
		return err
	}
	return s.remove(ctx, unfinished+upload)
}

// abortParts drops what was sent in parts to a store that keeps parts and content apart.
func (s *Store) abortParts(ctx context.Context, upload string) error {
	path := content + upload
	// On a committed object S3's driver would begin new parts, or fail in words only.
	if committed, err := s.exists(ctx, path); err != nil || committed {
		return err
	}
	for range 10 { // crashes may have left several of the same upload
		w, err := s.kind.Writer(ctx, path, true)
		if err != nil {
			if err = s.explain(ctx, "abort upload", err); errors.Is(err, blob.ErrNotFound) {
				return nil
			}
			return err
		}
		err = w.Cancel(ctx)
		_ = w.Close() // nothing is buffered; it gives memory back
		if err != nil {
			return s.explain(ctx, "abort upload", err)
		}
	}
	return fmt.Errorf("blob: upload %s has more unfinished parts than can be", upload)
}

// Persistent implements blob.Store: the caller keeps the offset.
func (s *Store) Persistent() bool { return false }

// Key is the key that Commit will return for this upload; the digest does not matter.
func (s *Store) Key(upload string, _ digest.Digest) string { return content[1:] + upload }

// explain turns what a driver said into the errors of the contract.
func (s *Store) explain(ctx context.Context, what string, err error) error {
	var missing storagedriver.PathNotFoundError
	var wrapped storagedriver.Error
	switch {
	case ctx.Err() != nil: // the SDKs have errors of their own for this
		return fmt.Errorf("blob: %s: %w (%w)", what, ctx.Err(), err)
	case errors.As(err, &missing), s.kind.missing != nil && s.kind.missing(err):
		return fmt.Errorf("%w: %s: %w", blob.ErrNotFound, what, err)
	case errors.As(err, &wrapped) && (errors.Is(wrapped.Detail, syscall.ENOSPC) || errors.Is(wrapped.Detail, syscall.EDQUOT)),
		errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %s: %w", blob.ErrFull, what, err)
	case errors.As(err, &wrapped) && errors.Is(wrapped.Detail, syscall.ENOTDIR): // a key below a file
		return fmt.Errorf("%w: %s: %w", blob.ErrNotFound, what, err)
	}
	return fmt.Errorf("blob: %s: %w", what, err)
}
