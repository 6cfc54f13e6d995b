package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
)

// MayPush implements registry.Writer. Rights are decided on outside.
func (l *Registry) MayPush(context.Context, string) error { return nil }

// StartUpload implements registry.Writer.
func (l *Registry) StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (registry.Upload, error) {
	if alg == "" {
		alg = digest.SHA256
	}
	if !registry.ValidAlgorithm(alg) {
		return registry.Upload{}, registry.NewError(registry.CodeDigestInvalid, "digest algorithms are sha256 and sha512.")
	}
	s := &session{id: newID(), repo: repo, actor: core.PrincipalFrom(ctx).Actor(), algorithm: alg, hash: alg.Hash(),
		begun: true, fresh: true, measured: true, noted: l.db.Now()}
	if l.startUpload(ctx, s) {
		return registry.Upload{ID: s.id}, nil
	}
	err := l.write(ctx, repo, func(tx *db.Tx, _ repository) error {
		var id string
		err := tx.QueryRow(l.insertUpload, l.uploadRow(s, tx.Now())...).Scan(&id)
		if errors.Is(err, db.ErrNoRows) {
			err = l.tooManyUploads()
		}
		return err
	})
	if err != nil {
		return registry.Upload{}, err
	}
	l.uploads.Store(s.id, s)
	return registry.Upload{ID: s.id}, nil
}

// startUpload begins an upload in a repository that is there, in one statement. If anything stands against it, nothing
// happens: the way through a transaction makes the repository, or tells what is wrong.
func (l *Registry) startUpload(ctx context.Context, s *session) bool {
	if l.opt.Full() {
		return false
	}
	var id string
	err := l.db.WriteRow(ctx, l.insertUpload, l.uploadRow(s, l.db.Micros()), &id)
	if err == nil {
		l.uploads.Store(s.id, s)
	}
	return err == nil
}

// insertUpload writes the row of an upload in a repository that is there, unless there are too many. The limits stand in
// the text, and the counting ends at them: a count would read each row that a vacuum has not taken yet.
func insertUpload(o Options) string {
	return fmt.Sprintf(`INSERT INTO upload (id, repository_id, principal, algorithm, size, created_at, updated_at)
		SELECT CAST($1 AS TEXT), r.id, CAST($3 AS TEXT), CAST($4 AS TEXT), 0, CAST($5 AS BIGINT), CAST($5 AS BIGINT) FROM repository r
		WHERE r.name = $2 AND NOT EXISTS (SELECT 1 FROM upload WHERE principal = $3 LIMIT 1 OFFSET %d)
		AND NOT EXISTS (SELECT 1 FROM upload WHERE repository_id = r.id LIMIT 1 OFFSET %d) RETURNING id`,
		o.UploadsPerPrincipal-1, o.UploadsPerRepository-1)
}

// uploadRow are the arguments of insertUpload.
func (l *Registry) uploadRow(s *session, now int64) []any {
	return []any{s.id, s.repo, s.actor, string(s.algorithm), now}
}

func (l *Registry) tooManyUploads() error {
	return &registry.Error{Code: registry.CodeTooManyRequests, RetryAfter: time.Minute, Message: fmt.Sprintf(
		"there are as many unfinished uploads as may be: %d of yours, or %d in this repository. Finish or cancel some, or wait: they end by themselves after a day.",
		l.opt.UploadsPerPrincipal, l.opt.UploadsPerRepository)}
}

// Upload implements registry.Writer.
func (l *Registry) Upload(ctx context.Context, repo, id string) (registry.Upload, error) {
	s, err := l.take(ctx, repo, id, looking)
	if err != nil {
		return registry.Upload{}, err
	}
	defer s.letGo(looking)
	return registry.Upload{ID: id, Size: s.size}, nil
}

// AppendUpload implements registry.Writer.
func (l *Registry) AppendUpload(ctx context.Context, repo, id string, at int64, r io.Reader) (registry.Upload, error) {
	s, err := l.take(ctx, repo, id, appending)
	if err != nil {
		return registry.Upload{}, err
	}
	defer s.letGo(appending)
	w, err := l.writer(ctx, s, at)
	if err == nil {
		err = errors.Join(l.receive(ctx, s, w, r), l.close(ctx, s, w))
	}
	if rerr := l.release(ctx, s); err == nil {
		err = rerr
	}
	return registry.Upload{ID: id, Size: s.size}, l.storeError(err)
}

// FinishUpload implements registry.Writer.
func (l *Registry) FinishUpload(ctx context.Context, repo, id string, at int64, r io.Reader, d digest.Digest) (int64, error) {
	if _, err := registry.ParseDigest(string(d)); err != nil {
		return 0, err
	}
	s, err := l.take(ctx, repo, id, finishing)
	if err != nil {
		return 0, err
	}
	defer s.letGo(finishing)
	if s.size == 0 && s.algorithm != d.Algorithm() {
		s.algorithm, s.hash = d.Algorithm(), d.Algorithm().Hash() // nothing has been hashed yet
	}
	w, err := l.writer(ctx, s, at)
	if err == nil && r != nil {
		if err = l.receive(ctx, s, w, r); err != nil {
			err = errors.Join(err, l.close(ctx, s, w))
		}
	}
	if err == nil && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), l.close(ctx, s, w))
	}
	if err != nil {
		_ = l.release(ctx, s) // the first error is the one to tell; an unreleased claim ends by itself
		return 0, l.storeError(err)
	}
	if err := l.commit(ctx, s, w, d); err != nil {
		return 0, l.storeError(err)
	}
	return s.size, l.link(ctx, s, d)
}

// CancelUpload implements registry.Writer.
func (l *Registry) CancelUpload(ctx context.Context, repo, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := l.take(ctx, repo, id, appending)
	if err != nil {
		return err
	}
	defer s.letGo(appending)
	found, err := l.end(ctx, s)
	if err == nil && !found {
		err = uploadUnknown(id)
	}
	return err
}

// checkOffset compares where a client believes that an upload ends with where it does.
func (s *session) checkOffset(at int64) error {
	if at < 0 || at == s.size {
		return nil
	}
	return &registry.Error{Code: registry.CodeRangeInvalid, Upload: &registry.Upload{ID: s.id, Size: s.size},
		Message: fmt.Sprintf("the upload has %d bytes, so the next chunk begins there and not at %d.", s.size, at)}
}

// writer opens an upload in the store at the offset where the client goes on, with the hash of what is there known.
func (l *Registry) writer(ctx context.Context, s *session, at int64) (blob.Writer, error) {
	if err := s.checkOffset(at); err != nil {
		return nil, err
	}
	// A client that goes away ends the reading, not the keeping of what has arrived.
	ctx = context.WithoutCancel(ctx)
	w, err := l.openUpload(ctx, s)
	if err != nil {
		return nil, err
	}
	if s.hash == nil || w.Size() != s.size {
		if err = rehash(ctx, s, w); err == nil {
			err = s.checkOffset(at) // the store had more, or less, than the row
		}
	}
	if err == nil {
		return w, nil
	}
	err = errors.Join(err, w.Close())
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, l.lost(ctx, s)
	}
	return nil, err
}

func (l *Registry) openUpload(ctx context.Context, s *session) (blob.Writer, error) {
	if s.fresh {
		s.fresh = false // whatever comes of it
		return l.store.Create(ctx, s.id)
	}
	w, err := l.store.Resume(ctx, s.id)
	if !errors.Is(err, blob.ErrNotFound) {
		return w, err
	}
	if s.size > 0 {
		return nil, l.lost(ctx, s)
	}
	return l.store.Create(ctx, s.id) // nothing was kept so far, or an earlier Create failed
}

// rehash reads what the store has of an upload, after this process lost track of it.
func rehash(ctx context.Context, s *session, w blob.Writer) error {
	s.size, s.hash = w.Size(), nil
	h := s.algorithm.Hash()
	if s.size > 0 {
		r, err := w.Reader(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		n, err := io.Copy(h, r)
		if err == nil && n != s.size {
			err = fmt.Errorf("upload %s has %d bytes, but %d could be read", s.id, s.size, n)
		}
		if err != nil {
			return err
		}
	}
	s.hash = h
	return nil
}

// copyBuffer is what a push reads at once: large enough that system calls do not count, small enough that hundreds of
// pushes do not either.
const copyBuffer = 256 << 10

// buffers are shared by all pushes.
var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// receive copies r into the store and the hash, up to the largest blob there may be. Size and hash are those of what the
// store took, also after an error.
func (l *Registry) receive(ctx context.Context, s *session, w blob.Writer, r io.Reader) error {
	buf := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			// Before the store sees them: a client that was silent for long may have lost the upload to another process.
			if err := l.note(ctx, s); err != nil {
				return err
			}
			if s.size+int64(n) > l.opt.MaxBlobSize {
				return &registry.Error{Code: registry.CodeTooLarge, Message: fmt.Sprintf("a blob may have %d bytes at most.", l.opt.MaxBlobSize)}
			}
			took, werr := w.Write(buf[:n])
			s.hash.Write(buf[:took])
			s.size += int64(took)
			if werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// close keeps what has arrived, also when the client went away midway: it asks where to go on.
func (l *Registry) close(ctx context.Context, s *session, w blob.Writer) error {
	err := l.note(ctx, s)
	if err == nil || l.store.Persistent() || l.holds(s) {
		return w.Close()
	}
	// To close it would write once more to an upload that another process may have finished by now.
	return l.lost(ctx, s)
}

// storeError tells the client in words what it can do about an error of the store; everything else goes up as it is.
func (l *Registry) storeError(err error) error {
	switch {
	case registry.CodeOf(err) != registry.CodeUnknown:
		return err
	case errors.Is(err, blob.ErrBusy):
		return &registry.Error{Code: registry.CodeRangeInvalid, Message: "somebody else is writing to this upload: ask for its state and go on from there."}
	case errors.Is(err, blob.ErrFull):
		return noSpace()
	case errors.Is(err, blob.ErrNotFound):
		return registry.NewError(registry.CodeBlobUploadUnknown, "the upload was ended meanwhile: begin a new one.")
	}
	return err
}
