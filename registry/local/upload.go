package local

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
)

// newID makes the id of a row; an upload's is also its key in the blob store, so it is never used twice.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// session is what this process remembers of an upload: the row, and the hash of what has arrived, so that no byte is
// read twice. It is lost with the process; then the bytes are hashed again.
type session struct {
	mu        sync.Mutex // held while somebody appends; nobody waits for it
	id        string
	repo      string
	actor     string
	algorithm digest.Algorithm
	size      int64
	hash      hash.Hash // of the first size bytes; nil: not known
	fresh     bool      // nothing has been created in the store yet
	noted     time.Time // when the row was last told that somebody is at work
	gone      bool      // finished or cancelled
}

// writerLease is how long a process that appends may be silent before another one may go on with the upload.
const writerLease = 30 * time.Second

// StartUpload implements registry.Writer.
func (l *Registry) StartUpload(ctx context.Context, repo string, alg digest.Algorithm) (registry.Upload, error) {
	if alg == "" {
		alg = digest.SHA256
	}
	if !registry.ValidAlgorithm(alg) {
		return registry.Upload{}, registry.NewError(registry.CodeDigestInvalid, "digest algorithms are sha256 and sha512.")
	}
	s := &session{id: newID(), repo: repo, actor: core.PrincipalFrom(ctx).Actor(), algorithm: alg, hash: alg.Hash(), fresh: true, noted: l.db.Now()}
	err := l.db.Write(ctx, func(tx *db.Tx) error {
		r, err := l.repository(tx, repo)
		if err != nil {
			return err
		}
		n, err := tx.Exec(`INSERT INTO upload (id, repository_id, principal, algorithm, size, created_at, updated_at)
			SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), 0, CAST($5 AS BIGINT), CAST($5 AS BIGINT)
			WHERE (SELECT count(*) FROM upload WHERE principal = $3) < CAST($6 AS BIGINT)
			AND (SELECT count(*) FROM upload WHERE repository_id = $2) < CAST($7 AS BIGINT)`,
			s.id, r.id, s.actor, string(alg), tx.Now(), l.opt.UploadsPerPrincipal, l.opt.UploadsPerRepository)
		if err == nil && n == 0 {
			err = &registry.Error{Code: registry.CodeTooManyRequests, RetryAfter: time.Minute, Message: fmt.Sprintf(
				"there are as many unfinished uploads as may be: %d of yours, or %d in this repository. Finish or cancel some, or wait: they end by themselves after a day.",
				l.opt.UploadsPerPrincipal, l.opt.UploadsPerRepository)}
		}
		return err
	})
	if err != nil {
		return registry.Upload{}, err
	}
	l.uploads.Store(s.id, s)
	return registry.Upload{ID: s.id}, nil
}

func uploadUnknown(id string) error {
	return registry.NewError(registry.CodeBlobUploadUnknown, "there is no upload "+id+": begin a new one.")
}

// session finds an upload of this repository and this principal. For anybody else it does not exist.
func (l *Registry) session(ctx context.Context, repo, id string) (*session, error) {
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return nil, registry.NewError(registry.CodeBlobUploadUnknown, "that is no upload: begin a new one.")
	}
	var s *session
	if v, ok := l.uploads.Load(id); ok {
		s = v.(*session)
	} else {
		var err error
		if s, err = l.loadSession(ctx, id); err != nil {
			return nil, err
		}
	}
	if s.repo != repo || s.actor != core.PrincipalFrom(ctx).Actor() {
		return nil, uploadUnknown(id)
	}
	return s, nil
}

// loadSession makes a session from the row, for an upload that another process began or one before a restart.
func (l *Registry) loadSession(ctx context.Context, id string) (*session, error) {
	s := &session{id: id}
	err := l.db.QueryRow(ctx, `SELECT r.name, u.principal, u.algorithm, u.size FROM upload u JOIN repository r ON r.id = u.repository_id WHERE u.id = $1`, id).
		Scan(&s.repo, &s.actor, &s.algorithm, &s.size)
	if errors.Is(err, db.ErrNoRows) {
		return nil, uploadUnknown(id)
	}
	if err != nil {
		return nil, err
	}
	if l.store.Persistent() {
		w, err := l.store.Resume(ctx, id)
		switch {
		case errors.Is(err, blob.ErrNotFound):
			s.fresh = true
		case err != nil:
			return nil, err
		default:
			s.size = w.Size()
			if err := w.Close(); err != nil {
				return nil, err
			}
		}
	} else {
		s.fresh = s.size == 0
	}
	v, _ := l.uploads.LoadOrStore(id, s)
	return v.(*session), nil
}

// Upload implements registry.Writer.
func (l *Registry) Upload(ctx context.Context, repo, id string) (registry.Upload, error) {
	s, err := l.session(ctx, repo, id)
	if err != nil {
		return registry.Upload{}, err
	}
	if !s.lockSoon(ctx) {
		return registry.Upload{}, busy(id)
	}
	defer s.mu.Unlock()
	if err := l.claim(ctx, s, false); err != nil {
		return registry.Upload{}, err
	}
	return registry.Upload{ID: id, Size: s.size}, nil
}

// lockSoon takes the session, if need be after a moment: a client whose connection broke asks how far it has come
// before the hub has noticed that the bytes end.
func (s *session) lockSoon(ctx context.Context) bool {
	const wait, step = 2 * time.Second, 5 * time.Millisecond
	t := time.NewTicker(step)
	defer t.Stop()
	for range wait / step {
		if s.mu.TryLock() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
	}
	return false
}

func busy(id string) error {
	return &registry.Error{Code: registry.CodeRangeInvalid, Message: "somebody else is writing to upload " + id + ": ask for its state and go on from there."}
}

// AppendUpload implements registry.Writer.
func (l *Registry) AppendUpload(ctx context.Context, repo, id string, at int64, r io.Reader) (registry.Upload, error) {
	s, err := l.begin(ctx, repo, id, at)
	if err != nil {
		var e *registry.Error
		if errors.As(err, &e) && e.Upload != nil {
			return *e.Upload, err
		}
		return registry.Upload{}, err
	}
	defer s.mu.Unlock()
	w, err := l.writer(ctx, s)
	if err != nil {
		return registry.Upload{}, l.storeError(err)
	}
	err = l.receive(ctx, s, w, r)
	// What arrived stays, also when the client went away midway: it asks where to go on.
	if cerr := w.Close(); cerr != nil && err == nil {
		s.hash = nil
		err = cerr
	}
	if rerr := l.release(ctx, s); rerr != nil && err == nil {
		err = rerr
	}
	if err != nil {
		return registry.Upload{ID: id, Size: s.size}, l.storeError(err)
	}
	return registry.Upload{ID: id, Size: s.size}, nil
}

// begin takes an upload for this request and checks the offset. The caller unlocks the session.
func (l *Registry) begin(ctx context.Context, repo, id string, at int64) (*session, error) {
	s, err := l.session(ctx, repo, id)
	if err != nil {
		return nil, err
	}
	if !s.mu.TryLock() {
		return nil, busy(id)
	}
	if err := l.claim(ctx, s, true); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	if at >= 0 && at != s.size {
		err := &registry.Error{Code: registry.CodeRangeInvalid, Upload: &registry.Upload{ID: id, Size: s.size},
			Message: fmt.Sprintf("the upload has %d bytes, so the next chunk begins there and not at %d.", s.size, at)}
		if rerr := l.release(ctx, s); rerr != nil {
			s.mu.Unlock()
			return nil, rerr
		}
		s.mu.Unlock()
		return nil, err
	}
	return s, nil
}

// writer opens the upload in the store and makes sure that the hash of what is there is known.
func (l *Registry) writer(ctx context.Context, s *session) (blob.Writer, error) {
	// A client that goes away ends the reading, not the keeping of what has arrived.
	ctx = context.WithoutCancel(ctx)
	if s.fresh {
		w, err := l.store.Create(ctx, s.id)
		if err == nil {
			s.fresh = false
		}
		return w, err
	}
	w, err := l.store.Resume(ctx, s.id)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, l.lost(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	if s.hash != nil && w.Size() == s.size {
		return w, nil
	}
	err = rehash(ctx, s, w)
	if err == nil {
		return w, nil
	}
	err = errors.Join(err, w.Close())
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, l.lost(ctx, s)
	}
	return nil, err
}

// lost ends an upload that cannot go on: the store and this process no longer agree on what has arrived, and the store
// cannot read it back.
func (l *Registry) lost(ctx context.Context, s *session) error {
	return errors.Join(uploadUnknown(s.id), l.discard(ctx, s))
}

// rehash reads what the store has of an upload, after this process lost track of it.
func rehash(ctx context.Context, s *session, w blob.Writer) error {
	s.size, s.hash = w.Size(), s.algorithm.Hash()
	if s.size == 0 {
		return nil
	}
	r, err := w.Reader(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(s.hash, r)
	if err == nil && n != s.size {
		err = fmt.Errorf("upload %s has %d bytes, but %d could be read", s.id, s.size, n)
	}
	if err != nil {
		s.hash = nil
	}
	return err
}

// copyBuffer is what a push reads at once: large enough that system calls do not count, small enough that hundreds of
// pushes do not either.
const copyBuffer = 256 << 10

// receive copies r into the store and the hash, up to the largest blob there may be.
func (l *Registry) receive(ctx context.Context, s *session, w blob.Writer, r io.Reader) error {
	buf := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			if s.size+int64(n) > l.opt.MaxBlobSize {
				return &registry.Error{Code: registry.CodeTooLarge, Message: fmt.Sprintf("a blob may have %d bytes at most.", l.opt.MaxBlobSize)}
			}
			if _, werr := w.Write(buf[:n]); werr != nil {
				s.hash = nil // it and the store may differ now
				return werr
			}
			s.hash.Write(buf[:n])
			s.size += int64(n)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.note(ctx, s); err != nil {
			return err
		}
	}
}

// FinishUpload implements registry.Writer.
func (l *Registry) FinishUpload(ctx context.Context, repo, id string, at int64, r io.Reader, d digest.Digest) (int64, error) {
	if _, err := registry.ParseDigest(string(d)); err != nil {
		return 0, err
	}
	s, err := l.begin(ctx, repo, id, at)
	if err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	if s.size == 0 && s.algorithm != d.Algorithm() {
		s.algorithm, s.hash = d.Algorithm(), d.Algorithm().Hash() // nothing has been hashed yet
	}
	w, err := l.writer(ctx, s)
	if err != nil {
		return 0, l.storeError(err)
	}
	defer w.Close()
	if r != nil {
		if err := l.receive(ctx, s, w, r); err != nil {
			cerr := w.Close()
			return 0, l.storeError(errors.Join(err, cerr, l.release(ctx, s)))
		}
	}
	later := false
	if d.Algorithm() != s.algorithm {
		s.algorithm, s.hash = d.Algorithm(), nil
		err := rehash(ctx, s, w)
		if later = errors.Is(err, errors.ErrUnsupported); err != nil && !later {
			return 0, l.storeError(err)
		}
	}
	if !later && digest.NewDigest(s.algorithm, s.hash) != d {
		err := w.Close()
		return 0, errors.Join(wrongDigest(s.size, d), err, l.discard(ctx, s))
	}
	key, err := w.Commit(ctx, d)
	if err != nil {
		l.drop(s)
		return 0, l.storeError(err)
	}
	if later {
		if err := l.hashCommitted(ctx, s, key, d); err != nil {
			return 0, err
		}
	}
	return s.size, l.link(ctx, s, key, d)
}

func wrongDigest(size int64, d digest.Digest) error {
	return registry.NewError(registry.CodeDigestInvalid, fmt.Sprintf("the %d bytes that arrived do not have digest %s: begin a new upload.", size, d))
}

// hashCommitted checks the digest of an upload that was announced with another algorithm, on a store that cannot read
// an unfinished one. Nothing refers to the content yet.
func (l *Registry) hashCommitted(ctx context.Context, s *session, key string, d digest.Digest) error {
	f, err := l.store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer f.Close()
	v := d.Verifier()
	_, err = io.Copy(v, f)
	if err == nil && v.Verified() {
		return nil
	}
	if err == nil {
		err = wrongDigest(s.size, d)
	}
	gerr := l.db.Write(context.WithoutCancel(ctx), func(tx *db.Tx) error { return l.discardKey(tx, key) })
	return errors.Join(err, gerr, l.discard(ctx, s))
}

// storeError tells the client of a full store in words; everything else goes up as it is.
func (l *Registry) storeError(err error) error {
	if errors.Is(err, blob.ErrBusy) {
		return &registry.Error{Code: registry.CodeRangeInvalid, Message: "somebody else is writing to this upload: ask for its state and go on from there."}
	}
	if errors.Is(err, blob.ErrFull) {
		return registry.NewError(registry.CodeNoSpace, "the hub has no space left for uploads. What was stored before is safe; tell its operator.")
	}
	return err
}

// state returns what has to be remembered of a hash between requests in different processes.
func state(h hash.Hash) []byte {
	m, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return nil
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return nil
	}
	return b
}
