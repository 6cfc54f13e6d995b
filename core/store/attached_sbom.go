package store

import (
	"context"

	"github.com/hallmarkhub/hallmark/core/db"
)

// AttachedSBOM is a bill of materials that the hub has attached to an image itself.
type AttachedSBOM struct {
	Format  string
	Carrier string // digest of the manifest that carries it
	Basis   string // of what it lists, and of who signed it
	// Content is the digest of the blob that it lies in, Document its own. "" as long as it is not indexed.
	Content, Document string
}

// AttachedSBOMs lists what is attached to an image of a repository, by format.
func (s *Store) AttachedSBOMs(ctx context.Context, repository, subject string) (map[string]AttachedSBOM, error) {
	out := map[string]AttachedSBOM{}
	_, err := rows(s.reads(ctx), `SELECT a.format, a.carrier, a.basis, COALESCE(b.content, ''), COALESCE(d.digest, '')
		FROM repository r JOIN attached_sbom a ON a.repository_id = r.id AND a.subject = $2
		LEFT JOIN sbom b ON b.repository_id = a.repository_id AND b.carrier = a.carrier AND b.item = 0
		LEFT JOIN sbom_document d ON d.id = b.document_id
		WHERE r.name = $1`, []any{repository, subject}, func(row func(...any) error) (struct{}, error) {
		var a AttachedSBOM
		err := row(&a.Format, &a.Carrier, &a.Basis, &a.Content, &a.Document)
		out[a.Format] = a
		return struct{}{}, err
	})
	return out, err
}

// SetAttachedSBOM writes down, in the transaction that attached it, what is attached to an image in place of the carrier replaces, ""
// for none. ErrOvertaken if somebody else has attached another one, or if the image is gone.
func SetAttachedSBOM(tx *db.Tx, repository, subject, replaces string, a AttachedSBOM) error {
	// The row of the image is locked, as by whoever deletes it: of both the second sees what the first has done.
	n, err := tx.Exec(`UPDATE manifest_link SET leased_until = leased_until
		WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2`, repository, subject)
	if err == nil && n > 0 {
		n, err = tx.Exec(`INSERT INTO attached_sbom (repository_id, subject, format, carrier, basis)
			SELECT id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT) FROM repository WHERE name = $1
			ON CONFLICT (repository_id, subject, format) DO UPDATE SET carrier = excluded.carrier, basis = excluded.basis, gone = FALSE
			WHERE attached_sbom.carrier = $6`, repository, subject, a.Format, a.Carrier, a.Basis, replaces)
	}
	if err == nil && n == 0 {
		err = ErrOvertaken
	}
	return err
}

// OrphanSBOMs notes in the transaction that deletes an image, before it does, that what is attached to it is to go.
func OrphanSBOMs(tx *db.Tx, repository, subject string) error {
	_, err := tx.Exec(`UPDATE attached_sbom SET gone = TRUE WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND subject = $2`,
		repository, subject)
	return err
}

// OrphanSBOM is a bill of materials that the hub has attached to an image that was deleted since.
type OrphanSBOM struct{ Repository, Subject, Carrier string }

// OrphanedSBOMs lists up to n. An image that is there again keeps what it had.
func (s *Store) OrphanedSBOMs(ctx context.Context, n int) ([]OrphanSBOM, error) {
	all, err := rows(s.reads(ctx), `SELECT r.name, a.subject, a.carrier,
			EXISTS (SELECT 1 FROM manifest_link l WHERE l.repository_id = a.repository_id AND l.digest = a.subject)
		FROM attached_sbom a JOIN repository r ON r.id = a.repository_id WHERE a.gone LIMIT $1`, []any{n},
		func(row func(...any) error) (o orphan, err error) {
			return o, row(&o.Repository, &o.Subject, &o.Carrier, &o.back)
		})
	if err != nil {
		return nil, err
	}
	var out []OrphanSBOM
	for _, o := range all {
		if !o.back {
			out = append(out, o.OrphanSBOM)
			continue
		}
		err := s.write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE attached_sbom SET gone = FALSE WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND subject = $2
				AND EXISTS (SELECT 1 FROM manifest_link l WHERE l.repository_id = attached_sbom.repository_id AND l.digest = $2)`, o.Repository, o.Subject)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

type orphan struct {
	OrphanSBOM
	back bool
}

// StillOrphaned fails with ErrOvertaken, in the transaction that detaches what was attached to an image, if the image is there again.
func StillOrphaned(tx *db.Tx, o OrphanSBOM) error {
	_, back, err := row(tx.Query, `SELECT l.digest FROM repository r JOIN manifest_link l ON l.repository_id = r.id WHERE r.name = $1 AND l.digest = $2`,
		[]any{o.Repository, o.Subject}, scanText)
	if err == nil && back {
		err = ErrOvertaken
	}
	return err
}

// Attached reports whether a manifest of a repository lies there by the hub's own doing: a verdict or a bill of materials.
func (s *Store) Attached(ctx context.Context, repository, carrier string) (bool, error) {
	_, found, err := row(s.reads(ctx), `SELECT v.subject FROM repository r JOIN attached_verdict v ON v.repository_id = r.id
			WHERE r.name = $1 AND v.carrier = $2 AND v.carrier <> ''
		UNION ALL SELECT a.subject FROM repository r JOIN attached_sbom a ON a.repository_id = r.id
			WHERE r.name = $1 AND a.carrier = $2 LIMIT 1`, []any{repository, carrier}, scanText)
	return found, err
}
