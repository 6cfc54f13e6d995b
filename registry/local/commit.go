package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob"
)

// commit makes the bytes of an upload durable, if they have digest d. After an error the upload is gone: a store that
// failed to commit may have kept the bytes all the same, so neither they nor the id are used again.
func (l *Registry) commit(ctx context.Context, s *session, w blob.Writer, d digest.Digest) error {
	// From here on a client that goes away changes nothing: when it comes back, the blob is there.
	ctx = context.WithoutCancel(ctx)
	later, err := checkDigest(ctx, s, w, d)
	if err == nil {
		err = l.note(ctx, s)
	}
	if err == nil {
		s.key = l.keyOf(s.id, d)
		var key string
		if key, err = w.Commit(ctx, d); err == nil {
			s.key = key
		}
	}
	if err == nil && later {
		err = l.checkCommitted(ctx, s, d)
	}
	if err == nil {
		return nil
	}
	if cerr := w.Close(); cerr != nil {
		err = errors.Join(err, cerr)
	}
	if _, eerr := l.end(ctx, s); eerr != nil {
		err = errors.Join(err, eerr)
	}
	return err
}

// checkDigest compares the digest of what has arrived. later says that it can only be read after the commit: it was
// announced with another algorithm, and the store cannot read back an unfinished upload.
func checkDigest(ctx context.Context, s *session, w blob.Writer, d digest.Digest) (later bool, err error) {
	if d.Algorithm() != s.algorithm {
		s.algorithm = d.Algorithm()
		if err := rehash(ctx, s, w); err != nil {
			later = errors.Is(err, errors.ErrUnsupported)
			if later {
				err = nil
			}
			return later, err
		}
	}
	if digest.NewDigest(s.algorithm, s.hash) != d {
		return false, wrongDigest(s.size, d)
	}
	return false, nil
}

// checkCommitted reads committed content once more for its digest. Nothing refers to it yet.
func (l *Registry) checkCommitted(ctx context.Context, s *session, d digest.Digest) error {
	f, err := l.store.Open(ctx, s.key)
	if err != nil {
		return err
	}
	defer f.Close()
	v := d.Verifier()
	if _, err := io.Copy(v, f); err != nil {
		return err
	}
	if !v.Verified() {
		return wrongDigest(s.size, d)
	}
	return nil
}

func wrongDigest(size int64, d digest.Digest) error {
	return registry.NewError(registry.CodeDigestInvalid, fmt.Sprintf("the %d bytes that arrived do not have digest %s: begin a new upload.", size, d))
}

// link makes committed bytes a blob of the repository and ends the upload, all or nothing. The row of the upload is the
// right to do so: who finds it gone, or taken over, gives the bytes up.
//
// A process that dies between commit and link leaves bytes that no row names; the sweeper of that upload gives them up.
func (l *Registry) link(ctx context.Context, s *session, d digest.Digest) error {
	// The bytes are in place; a client that goes away now must not turn them into garbage.
	ctx = context.WithoutCancel(ctx)
	now := l.db.Micros()
	lease := now + l.opt.Lease.Microseconds()
	err, lost := l.tryLink(ctx, s, d, now, lease)
	if err == nil {
		l.uploads.Delete(s.id)
		return nil
	}
	found, eerr := l.end(ctx, s)
	if eerr == nil && lost {
		// The commit may have happened although its answer was lost. It is decided by now.
		if b, lerr := l.loadBlob(ctx, l.key(s.repo, string(d))); lerr == nil && b.lease.Load() >= lease {
			return nil
		}
	}
	if eerr == nil && !found {
		return uploadUnknown(s.id) // somebody ended it, or deleted the whole repository
	}
	return err
}

// linkPatience is how long a database that is away is waited for before a finished upload is given up.
const linkPatience = 10 * time.Second

// tryLink links, again while the database is away: it may only be starting anew, and the client would have to send
// everything once more. lost says that an answer was lost, so that what was not done may have been done.
func (l *Registry) tryLink(ctx context.Context, s *session, d digest.Digest, now, lease int64) (err error, lost bool) {
	until := time.Now().Add(linkPatience)
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		if l.db.Engine() == db.Postgres {
			err = l.linkAtOnce(ctx, s, d, now, lease)
		} else {
			err = l.db.Write(ctx, func(tx *db.Tx) error { return l.linkStepwise(tx, s, d, now, lease) })
		}
		if !errors.Is(err, db.ErrUnavailable) {
			return err, lost
		}
		lost = true
		if time.Now().Add(wait).After(until) {
			return err, lost
		}
		<-time.After(wait)
	}
}

// linkStepwise is link in a transaction, for an engine that answers within the process.
func (l *Registry) linkStepwise(tx *db.Tx, s *session, d digest.Digest, now, lease int64) error {
	id, project, err := l.repositoryID(tx, s.repo)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`DELETE FROM upload WHERE id = $1 AND writer = $2 AND repository_id = $3`, s.id, s.writer, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return uploadUnknown(s.id)
	}
	var kept string
	if err := tx.QueryRow(`INSERT INTO blob (digest, key, size, created_at, leased_until) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (digest) DO UPDATE SET leased_until = excluded.leased_until RETURNING key`,
		string(d), s.key, s.size, now, lease).Scan(&kept); err != nil {
		return err
	}
	if kept != s.key {
		if err := l.discardKey(tx, s.key); err != nil {
			return err
		}
	}
	return linkBlob(tx, id, project, d, s.size, lease)
}

// linkAtOnce is link in one statement, for an engine where each is a round trip. Its parts all see the database as it
// was before, so each takes what it needs from the rows that another one returns; that is also the order in which they
// lock: the repository, for which the foreign keys would wait in the end, then the upload, without which nothing is left
// to do, then as linkStepwise does. Who has to wait for a row goes on with what its last owner left of it.
func (l *Registry) linkAtOnce(ctx context.Context, s *session, d digest.Digest, now, lease int64) error {
	var id string
	err := l.db.WriteRow(ctx, `WITH home AS (
			SELECT id, project_id FROM repository WHERE name = $1 FOR KEY SHARE
		), ended AS (
			DELETE FROM upload USING home WHERE upload.id = $2 AND upload.writer = $3 AND upload.repository_id = home.id
			RETURNING home.id, home.project_id
		), kept AS (
			INSERT INTO blob (digest, key, size, created_at, leased_until)
			SELECT CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS BIGINT), CAST($7 AS BIGINT), CAST($8 AS BIGINT) FROM ended
			ON CONFLICT (digest) DO UPDATE SET leased_until = excluded.leased_until RETURNING key
		), discarded AS (
			INSERT INTO garbage_key (key, delete_after) SELECT CAST($5 AS TEXT), CAST($9 AS BIGINT) FROM kept
			WHERE kept.key <> $5 AND NOT EXISTS (SELECT 1 FROM blob WHERE key = $5) ON CONFLICT (key) DO NOTHING
		), linked AS (
			INSERT INTO blob_link (repository_id, digest, leased_until, created_at)
			SELECT ended.id, CAST($4 AS TEXT), CAST($8 AS BIGINT), CAST($7 AS BIGINT) FROM ended, kept
			ON CONFLICT (repository_id, digest) DO UPDATE SET leased_until = excluded.leased_until RETURNING repository_id
		), charged AS (
			INSERT INTO project_blob (project_id, digest, size)
			SELECT ended.project_id, CAST($4 AS TEXT), CAST($6 AS BIGINT) FROM ended, linked WHERE CAST($10 AS BOOLEAN)
			ON CONFLICT (project_id, digest) DO UPDATE SET size = excluded.size WHERE project_blob.size <> excluded.size
		) SELECT id FROM ended`,
		[]any{s.repo, s.id, s.writer, string(d), s.key, s.size, now, lease, now + l.opt.GarbageDelay.Microseconds(), charged(ctx)}, &id)
	if errors.Is(err, db.ErrNoRows) {
		err = uploadUnknown(s.id) // or it went with its repository
	}
	return err
}

// linkBlob writes the row that makes a blob readable in a repository, and charges the project for it once.
func linkBlob(tx *db.Tx, repositoryID, project string, d digest.Digest, size, lease int64) error {
	if _, err := tx.Exec(`INSERT INTO blob_link (repository_id, digest, leased_until, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (repository_id, digest) DO UPDATE SET leased_until = excluded.leased_until`,
		repositoryID, string(d), lease, tx.Now()); err != nil {
		return err
	}
	return charge(tx, project, d, size)
}

// charge counts bytes of a digest for a project, unless it has them already. Then the row is locked all the same, so
// that nobody refunds them who does not see our link yet.
func charge(tx *db.Tx, project string, d digest.Digest, size int64) error {
	if !charged(tx.Context()) {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO project_blob (project_id, digest, size) VALUES ($1, $2, $3)
		ON CONFLICT (project_id, digest) DO UPDATE SET size = excluded.size WHERE project_blob.size <> excluded.size`,
		project, string(d), size)
	return err
}

// remains are what an upload leaves when it ends without a blob.
type remains struct {
	id    string
	fresh bool   // the store never heard of it
	key   string // of bytes that were, or may have been, committed
}

// end ends an upload for good and gives up its bytes. If the database does not take that now, the upload is gone for
// this process all the same, and the sweeper writes it down later. found tells whether there was a row.
func (l *Registry) end(ctx context.Context, s *session) (found bool, err error) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	r := remains{id: s.id, fresh: s.fresh, key: s.key}
	l.unsettled.Store(s.id, r)
	l.uploads.Delete(s.id)
	if found, err = l.settle(ctx, r); err != nil || s.fresh {
		return found, err
	}
	// Room is made at once if the store can. If not, the key stands in its table.
	if l.store.Delete(ctx, s.id) == nil && s.begun && s.key == "" && !l.db.Shared() {
		// Nobody has ever asked the store to commit it, so there is nothing left that the sweeper had to look for.
		_ = l.db.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`DELETE FROM garbage_key WHERE key = $1`, s.id)
			return err
		})
	}
	return found, nil
}

// settle writes down that an upload has ended. Its row comes first: a link that was lost on the way to its commit holds
// it, and whether that one made a blob of the bytes is decided when we have it.
func (l *Registry) settle(ctx context.Context, r remains) (found bool, err error) {
	err = l.db.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`DELETE FROM upload WHERE id = $1`, r.id)
		found = n > 0
		if err != nil || r.fresh {
			return err
		}
		return l.discardUpload(tx, r.id, r.key)
	})
	if err == nil {
		l.unsettled.Delete(r.id)
	}
	return found, err
}

// discardUpload gives up what lies under an upload's id, and under the key it was or may have been committed to.
func (l *Registry) discardUpload(tx *db.Tx, id, key string) error {
	if key == "" {
		key = l.idKey(id)
	}
	if key != "" {
		if err := l.discardKey(tx, key); err != nil {
			return err
		}
	}
	return l.discardKey(tx, id)
}

// discardKey gives up bytes, unless a blob has them: they are removed later, when no redirect to them can still be in use.
func (l *Registry) discardKey(tx *db.Tx, key string) error {
	_, err := tx.Exec(`INSERT INTO garbage_key (key, delete_after) SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT)
		WHERE NOT EXISTS (SELECT 1 FROM blob WHERE key = $1) ON CONFLICT (key) DO NOTHING`,
		key, tx.Now()+l.opt.GarbageDelay.Microseconds())
	return err
}

// keyOf is the key that a commit would give to an upload, or "" if the store cannot tell.
func (l *Registry) keyOf(id string, d digest.Digest) string {
	if s, ok := l.store.(interface {
		Key(upload string, d digest.Digest) string
	}); ok {
		return s.Key(id, d)
	}
	return ""
}

// idKey is keyOf where the digest does not matter, and "" where it does.
func (l *Registry) idKey(id string) string {
	key := l.keyOf(id, digest.FromString("one"))
	if key != l.keyOf(id, digest.FromString("another")) {
		return ""
	}
	return key
}
