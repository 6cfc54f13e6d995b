package local

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
)

// DeleteManifest implements registry.Deleter.
func (l *Registry) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return l.db.Write(ctx, func(tx *db.Tx) error {
		id, project, err := l.repositoryID(tx, repo)
		if err != nil {
			return err
		}
		// The row is locked first: a push that is about to point a tag at it holds it, and the statement after this
		// one sees that tag.
		n, err := tx.Exec(`UPDATE manifest_link SET leased_until = leased_until WHERE repository_id = $1 AND digest = $2`, id, string(d))
		if err != nil {
			return err
		}
		if n == 0 {
			return manifestUnknown(repo, registry.Reference{Digest: d})
		}
		tags, err := l.untag(tx, repo, id, d)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM manifest_link WHERE repository_id = $1 AND digest = $2`, id, string(d)); err != nil {
			return err
		}
		if err := refund(tx, project, d); err != nil {
			return err
		}
		l.changed(tx, changeManifest, repo, string(d))
		return l.record(tx, Event{Kind: ManifestDeleted, ProjectID: project, Repository: repo, Digest: d, Tags: tags})
	})
}

// untag removes the tags of a manifest.
func (l *Registry) untag(tx *db.Tx, repo, id string, d digest.Digest) (tags []string, err error) {
	err = tx.Query(`DELETE FROM tag WHERE repository_id = $1 AND digest = $2 RETURNING name`, []any{id, string(d)},
		func(scan func(...any) error) error {
			var t string
			err := scan(&t)
			tags = append(tags, t)
			return err
		})
	for _, t := range tags {
		l.changed(tx, changeTag, repo, t)
	}
	return tags, err
}

// refund takes a digest off a project's account when none of its repositories has it any more.
func refund(tx *db.Tx, project string, d digest.Digest) error {
	// Locked first, too: see charge.
	if _, err := tx.Exec(`UPDATE project_blob SET size = size WHERE project_id = $1 AND digest = $2`, project, string(d)); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM project_blob WHERE project_id = $1 AND digest = $2
		AND NOT EXISTS (SELECT 1 FROM blob_link l JOIN repository r ON r.id = l.repository_id WHERE l.digest = $2 AND r.project_id = $1)
		AND NOT EXISTS (SELECT 1 FROM manifest_link l JOIN repository r ON r.id = l.repository_id WHERE l.digest = $2 AND r.project_id = $1)`,
		project, string(d))
	return err
}

// DeleteTag implements registry.Deleter.
func (l *Registry) DeleteTag(ctx context.Context, repo, tag string) error {
	return l.db.Write(ctx, func(tx *db.Tx) error {
		id, project, err := l.repositoryID(tx, repo)
		if err != nil {
			return err
		}
		var d digest.Digest
		err = tx.QueryRow(`DELETE FROM tag WHERE repository_id = $1 AND name = $2 RETURNING digest`, id, tag).Scan(&d)
		if errors.Is(err, db.ErrNoRows) {
			return manifestUnknown(repo, registry.Reference{Tag: tag})
		}
		if err != nil {
			return err
		}
		l.changed(tx, changeTag, repo, tag)
		return l.record(tx, Event{Kind: TagDeleted, ProjectID: project, Repository: repo, Digest: d, Tags: []string{tag}})
	})
}

// DeleteBlob implements registry.Deleter.
func (l *Registry) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return l.db.Write(ctx, func(tx *db.Tx) error {
		id, project, err := l.repositoryID(tx, repo)
		if err != nil {
			return err
		}
		// The row is locked first: a push that is about to refer to the blob holds it, and the statement after this
		// one sees what that push committed.
		n, err := tx.Exec(`UPDATE blob_link SET leased_until = leased_until WHERE repository_id = $1 AND digest = $2`, id, string(d))
		if err != nil {
			return err
		}
		if n == 0 {
			return blobUnknown(repo, d)
		}
		n, err = tx.Exec(`DELETE FROM blob_link WHERE repository_id = $1 AND digest = $2 AND NOT EXISTS (
			SELECT 1 FROM manifest_reference f JOIN manifest_link l ON l.digest = f.manifest AND l.repository_id = $1
			WHERE f.target = $2 AND f.kind = 'blob')`, id, string(d))
		if err != nil {
			return err
		}
		if n == 0 {
			return registry.NewError(registry.CodeDenied, "blob "+d.String()+" is part of an image in "+repo+": delete that image first.")
		}
		if err := refund(tx, project, d); err != nil {
			return err
		}
		l.changed(tx, changeBlob, repo, string(d))
		return l.record(tx, Event{Kind: BlobDeleted, ProjectID: project, Repository: repo, Digest: d})
	})
}

// DeleteRepository removes a repository with all it has, in the transaction of a caller who has recorded that.
func (l *Registry) DeleteRepository(tx *db.Tx, repo string) error {
	id, project, err := l.repositoryID(tx, repo)
	if err != nil {
		return err
	}
	for _, q := range []string{
		// A new name is what every foreign key waits for: whoever is pushing ends first, and who comes later meets a
		// repository that is no more.
		`UPDATE repository SET name = id WHERE id = $1`,
		`DELETE FROM tag WHERE repository_id = $1`,
		`DELETE FROM manifest_link WHERE repository_id = $1`,
		`DELETE FROM blob_link WHERE repository_id = $1`,
		`DELETE FROM pull WHERE repository_id = $1`,
	} {
		if _, err := tx.Exec(q, id); err != nil {
			return err
		}
	}
	if _, err := l.discardUploads(tx, `DELETE FROM upload WHERE repository_id = $1 RETURNING id`, id); err != nil {
		return err
	}
	const unlinked = ` WHERE project_id = $1
		AND NOT EXISTS (SELECT 1 FROM blob_link l JOIN repository r ON r.id = l.repository_id WHERE l.digest = project_blob.digest AND r.project_id = $1)
		AND NOT EXISTS (SELECT 1 FROM manifest_link l JOIN repository r ON r.id = l.repository_id WHERE l.digest = project_blob.digest AND r.project_id = $1)`
	// Locked first, too: see charge.
	for _, q := range []string{`UPDATE project_blob SET size = size` + unlinked, `DELETE FROM project_blob` + unlinked} {
		if _, err := tx.Exec(q, project); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`DELETE FROM repository WHERE id = $1`, id); err != nil {
		return err
	}
	tx.Changed(ChangeRepository, repo)
	return nil
}
