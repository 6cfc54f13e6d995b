package local

import (
	"bytes"
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry"
)

type unchargedKey struct{}

// charged reports whether a project is charged for what is written: for all but what the hub puts there by itself.
func charged(ctx context.Context) bool { return ctx.Value(unchargedKey{}) == nil }

// Attach puts a manifest of the hub's own about another one, with its blobs, in place of the manifest replaces unless that is
// "". No project is charged for it. also is called in the same transaction: without it nothing is changed.
func (l *Registry) Attach(ctx context.Context, repo string, put registry.ManifestPut, blobs [][]byte, replaces digest.Digest, also func(*db.Tx) error) error {
	ctx = context.WithValue(ctx, unchargedKey{}, true)
	row, err := l.parse(put)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if err := l.pushOwn(ctx, repo, b); err != nil {
			return err
		}
	}
	return l.write(ctx, repo, func(tx *db.Tx, r repository) error {
		by := core.PrincipalFrom(tx.Context()).Actor()
		if err := l.linkManifest(tx, repo, r, row, tx.Now(), by); err != nil {
			return err
		}
		if replaces != "" && replaces != row.Digest {
			if err := l.detach(tx, repo, r.id, r.project, replaces); err != nil {
				return err
			}
		}
		if err := also(tx); err != nil {
			return err
		}
		return l.record(tx, Event{Kind: ManifestAttached, ProjectID: r.project, Repository: repo, Digest: row.Digest,
			MediaType: row.MediaType, Subject: row.Subject})
	})
}

// pushOwn makes bytes a blob of a repository, unless they are one.
func (l *Registry) pushOwn(ctx context.Context, repo string, b []byte) error {
	d := digest.FromBytes(b)
	_, err := l.StatBlob(ctx, repo, d, true)
	if code := registry.CodeOf(err); code != registry.CodeBlobUnknown {
		return err // a repository that is not there is not made for this
	}
	u, err := l.StartUpload(ctx, repo, d.Algorithm())
	if err != nil {
		return err
	}
	_, err = l.FinishUpload(ctx, repo, u.ID, 0, bytes.NewReader(b), d)
	return err
}

// Detach removes a manifest that Attach put, with its blobs and whatever tags somebody gave it. also is as in Attach. That it
// is gone already is no error.
func (l *Registry) Detach(ctx context.Context, repo string, d digest.Digest, also func(*db.Tx) error) error {
	return l.free(ctx, func(tx *db.Tx) error {
		id, project, err := l.repositoryID(tx, repo)
		if err != nil {
			return err
		}
		if err := l.detach(tx, repo, id, project, d); err != nil {
			return err
		}
		return also(tx)
	})
}

func (l *Registry) detach(tx *db.Tx, repo, id, project string, d digest.Digest) error {
	// The row is locked first, as in DeleteManifest.
	n, err := tx.Exec(`UPDATE manifest_link SET leased_until = leased_until WHERE repository_id = $1 AND digest = $2`, id, string(d))
	if err != nil || n == 0 {
		return err
	}
	// Not the empty config, which others share: somebody may have asked for it a moment ago and be about to refer to it.
	blobs, err := texts(tx, `SELECT f.target FROM manifest_reference f JOIN manifest m ON m.digest = f.manifest
		WHERE f.manifest = $1 AND f.kind = 'blob' AND f.target <> m.config_digest ORDER BY f.target`, string(d))
	if err != nil {
		return err
	}
	if err := l.unlinkManifest(tx, repo, id, Event{Kind: ManifestDetached, ProjectID: project, Repository: repo, Digest: d}); err != nil {
		return err
	}
	for _, b := range blobs {
		if _, err := unlinkBlob(tx, id, digest.Digest(b)); err != nil {
			return err
		}
		l.changed(tx, changeBlob, repo, b)
	}
	return refund(tx, project, blobs...)
}
