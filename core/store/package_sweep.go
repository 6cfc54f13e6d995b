package store

import (
	"context"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

const (
	// sweepGrace is how long packages stay listed that no manifest names any more: a re-push finds them.
	sweepGrace = time.Hour
	sweepBatch = 200
)

// SweepPackages removes the packages of documents that no manifest of their project brings any more, and then the documents
// themselves. It returns how many it removed. Names and versions stay: they are what the next document asks for.
func (s *Store) SweepPackages(ctx context.Context) (int, error) {
	type unused struct{ scope, document, touched int64 }
	removed := 0
	for {
		found, err := rows(s.reads(ctx), `SELECT l.scope, l.document_id, l.touched_at FROM package_listed l WHERE l.touched_at < $1
			AND NOT EXISTS (SELECT 1 FROM sbom s WHERE s.document_id = l.document_id AND s.scope = l.scope) LIMIT $2`,
			[]any{s.db.Micros() - sweepGrace.Microseconds(), sweepBatch},
			func(row func(...any) error) (u unused, err error) { return u, row(&u.scope, &u.document, &u.touched) })
		if err != nil {
			return removed, err
		}
		for _, u := range found {
			if err := s.unlist(ctx, u.scope, u.document, u.touched); err != nil {
				return removed, err
			}
			removed++
		}
		if len(found) < sweepBatch {
			break
		}
	}
	for {
		var n int64
		err := s.write(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM sbom_document WHERE id IN (SELECT d.id FROM sbom_document d WHERE d.created_at < $1
				AND NOT EXISTS (SELECT 1 FROM package_listed l WHERE l.document_id = d.id)
				AND NOT EXISTS (SELECT 1 FROM sbom s WHERE s.document_id = d.id) LIMIT $2)`, tx.Now()-sweepGrace.Microseconds(), sweepBatch)
			return err
		})
		removed += int(n)
		if err != nil || n < sweepBatch {
			return removed, err
		}
	}
}

// unlist takes the packages of a document out of a scope, unless somebody has touched them since.
func (s *Store) unlist(ctx context.Context, scope, document, touched int64) error {
	mine := false
	err := s.write(ctx, func(tx *db.Tx) error {
		// The row is locked first: who is about to name the document holds it, and the statement after this one sees that.
		n, err := tx.Exec(`UPDATE package_listed SET touched_at = $1 WHERE document_id = $2 AND scope = $3 AND touched_at = $4`, tx.Now(), document, scope, touched)
		if err != nil || n == 0 {
			return err
		}
		n, err = tx.Exec(`UPDATE package_listed SET complete = FALSE WHERE document_id = $1 AND scope = $2
			AND NOT EXISTS (SELECT 1 FROM sbom s WHERE s.document_id = $1 AND s.scope = $2)`, document, scope)
		mine = n > 0
		return err
	})
	if err != nil || !mine {
		return err
	}
	all, err := s.PackageEntries(ctx, document)
	if err != nil {
		return err
	}
	for block := range slices.Chunk(all, packageBlock) {
		err := s.write(ctx, func(tx *db.Tx) error {
			var st statement
			st.add(`DELETE FROM package_use WHERE (package_id, scope, version_id, document_id) IN (
				SELECT package_id, CAST(? AS INTEGER), id, CAST(? AS INTEGER) FROM package_version WHERE id IN `, scope, document)
			st.inIDs(versionsOf(block))
			st.add(`)`)
			_, err := tx.Exec(st.text.String(), st.args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM package_listed WHERE document_id = $1 AND scope = $2 AND NOT complete`, document, scope)
		return err
	})
}
