package local

import (
	"context"
	"encoding"
	"errors"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
)

// buffers are shared by all pushes.
var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// claim makes sure that an upload still exists and, with write, that no other process appends to it. On SQLite there is
// no other process, and what this one forgets it marks as gone: no SQL. Elsewhere the row is the truth.
func (l *Registry) claim(ctx context.Context, s *session, write bool) error {
	if s.gone {
		return uploadUnknown(s.id)
	}
	if l.db.Engine() == db.SQLite {
		return nil
	}
	var size int64
	var hash []byte
	var writer string
	var until int64
	err := l.db.QueryRow(ctx, `SELECT size, hash_state, writer, writer_until FROM upload WHERE id = $1`, s.id).Scan(&size, &hash, &writer, &until)
	if errors.Is(err, db.ErrNoRows) {
		l.drop(s)
		return uploadUnknown(s.id)
	}
	if err != nil {
		return err
	}
	if !write {
		if writer != "" && writer != l.process && until > l.db.Micros() {
			return busy(s.id)
		}
		s.catchUp(size, hash)
		return nil
	}
	if err := l.db.Write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		n, err := tx.Exec(`UPDATE upload SET writer = $2, writer_until = $3 WHERE id = $1 AND (writer = '' OR writer = $2 OR writer_until < $4)`,
			s.id, l.process, now+writerLease.Microseconds(), now)
		if err == nil && n == 0 {
			err = busy(s.id)
		}
		return err
	}); err != nil {
		return err
	}
	if writer != l.process {
		s.catchUp(size, hash)
	}
	s.noted = l.db.Now()
	return nil
}

// catchUp takes over what another process has received meanwhile.
func (s *session) catchUp(size int64, state []byte) {
	if size <= s.size {
		return
	}
	s.size, s.hash, s.fresh = size, nil, false
	h := s.algorithm.Hash()
	if m, ok := h.(encoding.BinaryUnmarshaler); ok && len(state) > 0 && m.UnmarshalBinary(state) == nil {
		s.hash = h
	}
}

// release notes how far an upload has come and lets others write to it. A client that goes away must not leave it
// claimed, so its context does not count.
func (l *Registry) release(ctx context.Context, s *session) error {
	if l.db.Engine() == db.SQLite && l.store.Persistent() {
		return l.note(ctx, s) // the length of the file says how far it is
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var hash []byte
	if s.hash != nil {
		hash = state(s.hash)
	}
	return l.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE upload SET size = $2, hash_state = $3, writer = '', writer_until = 0, updated_at = $4 WHERE id = $1`,
			s.id, s.size, hash, tx.Now())
		return err
	})
}

// note tells the row now and then that somebody is at work, so that nobody takes the upload over or sweeps it.
func (l *Registry) note(ctx context.Context, s *session) error {
	every := time.Hour // only the sweeper asks
	if l.db.Engine() == db.Postgres {
		every = writerLease / 3
	}
	now := l.db.Now()
	if now.Sub(s.noted) < every {
		return nil
	}
	s.noted = now
	if l.db.Engine() == db.Postgres {
		return l.claim(ctx, s, true)
	}
	return l.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE upload SET updated_at = $2 WHERE id = $1`, s.id, tx.Now())
		return err
	})
}

// drop forgets a session that is no more.
func (l *Registry) drop(s *session) {
	s.gone = true
	l.uploads.Delete(s.id)
}

// link makes committed bytes a blob of the repository and ends the upload, in one transaction.
func (l *Registry) link(ctx context.Context, s *session, key string, d digest.Digest) error {
	// The bytes are in place; a client that goes away now must not turn them into garbage.
	ctx = context.WithoutCancel(ctx)
	err := l.db.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`DELETE FROM upload WHERE id = $1`, s.id)
		if err != nil {
			return err
		}
		if n == 0 {
			return uploadUnknown(s.id)
		}
		id, project, err := l.repositoryID(tx, s.repo)
		if err != nil {
			return err
		}
		now := tx.Now()
		lease := now + l.opt.Lease.Microseconds()
		var kept string
		if err := tx.QueryRow(`INSERT INTO blob (digest, key, size, created_at, leased_until) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (digest) DO UPDATE SET leased_until = excluded.leased_until RETURNING key`,
			string(d), key, s.size, now, lease).Scan(&kept); err != nil {
			return err
		}
		if kept != key {
			if err := l.discardKey(tx, key); err != nil {
				return err
			}
		}
		return l.linkBlob(tx, id, project, d, s.size, lease)
	})
	l.drop(s)
	if err == nil {
		return nil
	}
	if errors.Is(err, db.ErrUnavailable) {
		// The commit may have happened, so the bytes may be in use: they stay, and fsck finds them if nobody refers to them.
		return err
	}
	return errors.Join(err, l.db.Write(ctx, func(tx *db.Tx) error { return l.discardKey(tx, key) }))
}

// linkBlob writes the row that makes a blob readable in a repository, and charges the project for it once.
func (l *Registry) linkBlob(tx *db.Tx, repositoryID, project string, d digest.Digest, size, lease int64) error {
	if _, err := tx.Exec(`INSERT INTO blob_link (repository_id, digest, leased_until, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (repository_id, digest) DO UPDATE SET leased_until = excluded.leased_until`,
		repositoryID, string(d), lease, tx.Now()); err != nil {
		return err
	}
	return charge(tx, project, d, size)
}

// charge counts bytes of a digest for a project, unless it has them already.
func charge(tx *db.Tx, project string, d digest.Digest, size int64) error {
	_, err := tx.Exec(`INSERT INTO project_blob (project_id, digest, size) VALUES ($1, $2, $3) ON CONFLICT (project_id, digest) DO NOTHING`,
		project, string(d), size)
	return err
}

// discardKey gives up bytes: they are removed later, when no redirect to them can still be in use.
func (l *Registry) discardKey(tx *db.Tx, key string) error {
	_, err := tx.Exec(`INSERT INTO garbage_key (key, delete_after) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`,
		key, tx.Now()+l.opt.GarbageDelay.Microseconds())
	return err
}

// CancelUpload implements registry.Writer.
func (l *Registry) CancelUpload(ctx context.Context, repo, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := l.begin(ctx, repo, id, -1)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	return l.discard(ctx, s)
}

// discard ends an upload and removes its bytes. Nobody else can be using them: they were never a blob.
func (l *Registry) discard(ctx context.Context, s *session) error {
	ctx = context.WithoutCancel(ctx)
	err := l.db.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`DELETE FROM upload WHERE id = $1`, s.id)
		if err == nil && n == 0 {
			err = uploadUnknown(s.id)
		}
		return err
	})
	if err != nil && registry.CodeOf(err) != registry.CodeBlobUploadUnknown {
		return err
	}
	l.drop(s)
	if s.fresh {
		return err
	}
	return errors.Join(err, l.store.Delete(ctx, s.id))
}
