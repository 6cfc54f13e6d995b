package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

// What manifests of an existing registry refer to, as they were read through the hub. Such a note stays true, because a
// digest names the same bytes for ever; whether the manifest is still there is asked of the registry.

// The kinds of a Reference.
const (
	ReferenceBlob     = "blob"
	ReferenceManifest = "manifest"
)

// Reference is something that a manifest refers to.
type Reference struct{ Kind, Target string }

// referenceBlock is how many rows one statement writes.
const referenceBlock = 100

// NoteReferences notes what a manifest of a project in front of an existing registry refers to, or that it was seen again.
func (s *Store) NoteReferences(ctx context.Context, projectID, repository, manifest string, all []Reference) error {
	return s.write(ctx, func(tx *db.Tx) error {
		for len(all) > 0 {
			block := all[:min(referenceBlock, len(all))]
			all = all[len(block):]
			var st statement
			st.add(`INSERT INTO upstream_reference (project_id, repository, kind, target, manifest, seen_at) VALUES `)
			for i, r := range block {
				st.when(i > 0, `, `)
				st.add(`(?, ?, ?, ?, ?, ?)`, projectID, repository, r.Kind, r.Target, manifest, tx.Now())
			}
			st.add(` ON CONFLICT (repository, kind, target, manifest) DO UPDATE SET seen_at = excluded.seen_at, project_id = excluded.project_id`)
			if _, err := tx.Exec(st.text.String(), st.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReferencedBy lists manifests of a repository that refer to a digest, those seen last first, at most n.
func (s *Store) ReferencedBy(ctx context.Context, repository, kind, target string, n int) ([]string, error) {
	return rows(s.reads(ctx), `SELECT manifest FROM upstream_reference WHERE repository = $1 AND kind = $2 AND target = $3
		ORDER BY seen_at DESC, manifest LIMIT $4`, []any{repository, kind, target, n}, scanText)
}

// DropReferences removes, in a transaction, notes of what was not seen since a time, at most n, and says how many.
func DropReferences(tx *db.Tx, before time.Time, n int) (int64, error) {
	return tx.Exec(`DELETE FROM upstream_reference WHERE (repository, kind, target, manifest) IN
		(SELECT repository, kind, target, manifest FROM upstream_reference WHERE seen_at < $1 LIMIT $2)`, before.UnixMicro(), n)
}
