package local

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
)

// DeleteManifest implements registry.Deleter.
func (l *Registry) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return l.free(ctx, func(tx *db.Tx) error {
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
		return l.unlinkManifest(tx, repo, id, Event{Kind: ManifestDeleted, ProjectID: project, Repository: repo, Digest: d})
	})
}

// unlinkManifest takes a manifest out of a repository, with its tags.
func (l *Registry) unlinkManifest(tx *db.Tx, repo, id string, e Event) (err error) {
	if e.Tags, err = l.untag(tx, repo, id, e.Digest); err != nil {
		return err
	}
	if err := l.record(tx, e); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM manifest_link WHERE repository_id = $1 AND digest = $2`, id, string(e.Digest)); err != nil {
		return err
	}
	if err := refund(tx, e.ProjectID, string(e.Digest)); err != nil {
		return err
	}
	l.changed(tx, changeManifest, repo, string(e.Digest))
	return nil
}

// untag removes the tags of a manifest.
func (l *Registry) untag(tx *db.Tx, repo, id string, d digest.Digest) ([]string, error) {
	tags, err := texts(tx, `DELETE FROM tag WHERE repository_id = $1 AND digest = $2 RETURNING name`, id, string(d))
	for _, t := range tags {
		l.changed(tx, changeTag, repo, t)
	}
	return tags, err
}

// refund takes digests off a project's account that none of its repositories has any more. Our links to them are gone by
// now; the rows are locked before the rest is looked at, so that of two who unlink the same digest the second sees that
// the first did, and of a push and a deletion the second sees the other (see charge).
func refund(tx *db.Tx, project string, digests ...string) error {
	slices.Sort(digests)
	for chunk := range slices.Chunk(slices.Compact(digests), 512) {
		some, args := list([]any{project}, chunk)
		rows := ` project_id = $1 AND digest IN (` + some + `)`
		if _, err := tx.Exec(`UPDATE project_blob SET size = size WHERE`+rows, args...); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM project_blob WHERE`+rows+`
			AND NOT EXISTS (SELECT 1 FROM blob_link l JOIN repository r ON r.id = l.repository_id WHERE l.digest = project_blob.digest AND r.project_id = $1)
			AND NOT EXISTS (SELECT 1 FROM manifest_link l JOIN repository r ON r.id = l.repository_id WHERE l.digest = project_blob.digest AND r.project_id = $1)`,
			args...); err != nil {
			return err
		}
	}
	return nil
}

// DeleteTag implements registry.Deleter.
func (l *Registry) DeleteTag(ctx context.Context, repo, tag string) error {
	return l.free(ctx, func(tx *db.Tx) error {
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
	return l.free(ctx, func(tx *db.Tx) error {
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
		n, err = unlinkBlob(tx, id, d)
		if err != nil {
			return err
		}
		if n == 0 {
			return registry.NewError(registry.CodeDenied, "blob "+d.String()+" is part of an image in "+repo+": delete that image first.")
		}
		if err := refund(tx, project, string(d)); err != nil {
			return err
		}
		l.changed(tx, changeBlob, repo, string(d))
		return l.record(tx, Event{Kind: BlobDeleted, ProjectID: project, Repository: repo, Digest: d})
	})
}

// unlinkBlob takes a blob out of a repository if no manifest there refers to it.
func unlinkBlob(tx *db.Tx, id string, d digest.Digest) (int64, error) {
	return tx.Exec(`DELETE FROM blob_link WHERE repository_id = $1 AND digest = $2 AND NOT EXISTS (
		SELECT 1 FROM manifest_reference f JOIN manifest_link l ON l.digest = f.manifest AND l.repository_id = $1
		WHERE f.target = $2 AND f.kind = 'blob')`, id, string(d))
}

// DeleteRepository removes a repository with all it has, in the transaction of a caller who has recorded that.
func (l *Registry) DeleteRepository(tx *db.Tx, repo string) error {
	// A new name is what every foreign key waits for, and whoever reads it to lock something there: who is at work in
	// the repository ends first, and who comes later meets one that is no more.
	var id, project string
	err := tx.QueryRow(`UPDATE repository SET name = id WHERE name = $1 RETURNING id, project_id`, repo).Scan(&id, &project)
	if errors.Is(err, db.ErrNoRows) {
		return nameUnknown(repo)
	}
	if err != nil {
		return err
	}
	for _, table := range []string{"tag", "pull"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE repository_id = $1`, id); err != nil {
			return err
		}
	}
	var linked []string
	for _, table := range []string{"manifest_link", "blob_link"} {
		digests, err := texts(tx, `DELETE FROM `+table+` WHERE repository_id = $1 RETURNING digest`, id)
		if err != nil {
			return err
		}
		linked = append(linked, digests...)
	}
	if _, err := l.discardUploads(tx, `DELETE FROM upload WHERE repository_id = $1 RETURNING id`, id); err != nil {
		return err
	}
	if err := refund(tx, project, linked...); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM repository WHERE id = $1`, id); err != nil {
		return err
	}
	tx.Changed(ChangeRepository, repo)
	return nil
}

// texts runs a query whose rows are one text each.
func texts(tx *db.Tx, query string, args ...any) (out []string, err error) {
	err = tx.Query(query, args, func(scan func(...any) error) error {
		var s string
		err := scan(&s)
		out = append(out, s)
		return err
	})
	return out, err
}
