package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Evidence as rows of a repository. Bounds of what one decision looks at, newest first (V-37): evidence by somebody known
// is looked at apart, so that nobody can bury it under what nobody vouches for.
const (
	maxSigned   = 500
	maxUnsigned = 50
	// maxNesting is how many indexes above a manifest can vouch for it.
	maxNesting = 3
)

// StoredEvidence is evidence as it was verified at some time.
type StoredEvidence struct {
	core.Evidence
	Trust int64 // TrustMaterial.Revision it was verified with
}

// SaveEvidence writes what a manifest of a repository was found to say, in place of what was written of it before. It
// writes nothing if the manifest is gone.
func (s *Store) SaveEvidence(ctx context.Context, repository, carrier string, all []core.Evidence, trust int64) error {
	return s.write(ctx, func(tx *db.Tx) error {
		type link struct {
			id string
			at int64
		}
		at, found, err := row(tx.Query, `SELECT r.id, l.pushed_at FROM repository r JOIN manifest_link l ON l.repository_id = r.id
			WHERE r.name = $1 AND l.digest = $2`, []any{repository, carrier}, func(row func(...any) error) (l link, err error) { return l, row(&l.id, &l.at) })
		if err != nil || !found {
			return err
		}
		id := at.id
		if _, err := tx.Exec(`DELETE FROM evidence WHERE repository_id = $1 AND carrier = $2`, id, carrier); err != nil {
			return err
		}
		for i, e := range all {
			facts, err := json.Marshal(e)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO evidence (repository_id, carrier, item, subject, signer, facts, trust, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, id, carrier, i, e.Subject, signerOf(&e), string(facts), trust, at.at); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`DELETE FROM evidence_owed WHERE repository_id = $1 AND carrier = $2`, id, carrier); err != nil {
			return err
		}
		tx.Changed(ChangeEvidence, repository)
		return nil
	})
}

// ChangeEvidence is published when evidence came or went, or what an index covers. The key is the repository's name.
const ChangeEvidence = "evidence"

func signerOf(e *core.Evidence) string {
	switch {
	case e.Signer == nil:
		return ""
	case e.Signer.Key != "":
		return e.Signer.Key
	}
	return e.Signer.TrustRoot + " " + e.Signer.Issuer + " " + e.Signer.Subject
}

// OweEvidence notes in the transaction of a push that a manifest may carry evidence which is to be read.
func OweEvidence(tx *db.Tx, repository, carrier string) error {
	_, err := tx.Exec(`INSERT INTO evidence_owed (repository_id, carrier, due_at)
		SELECT id, CAST($2 AS TEXT), CAST($3 AS BIGINT) FROM repository WHERE name = $1 ON CONFLICT (repository_id, carrier) DO NOTHING`,
		repository, carrier, tx.Now())
	return err
}

// Owed is a manifest whose evidence is to be read.
type Owed struct{ Repository, Carrier string }

// EvidenceOwed takes up to n manifests that are due, and puts each off until later: whoever dies while reading one has
// another one read it then, each time after longer.
func (s *Store) EvidenceOwed(ctx context.Context, n int) (all []Owed, err error) {
	const wait = 10 * time.Second
	err = s.write(ctx, func(tx *db.Tx) error {
		all, err = rows(tx.Query, `UPDATE evidence_owed SET attempts = attempts + 1, due_at = $1 + $2 * (attempts + 1) * (attempts + 1)
			WHERE (repository_id, carrier) IN (SELECT repository_id, carrier FROM evidence_owed WHERE due_at <= $1 ORDER BY due_at LIMIT $3)
			RETURNING (SELECT name FROM repository WHERE id = repository_id), carrier`,
			[]any{tx.Now(), wait.Microseconds(), n}, func(row func(...any) error) (o Owed, err error) { return o, row(&o.Repository, &o.Carrier) })
		return err
	})
	return all, err
}

// Found is the evidence of a digest of a repository.
type Found struct {
	Own []StoredEvidence
	// Covering is evidence about indexes of the same repository that list the digest, by the index's digest.
	Covering map[string][]StoredEvidence
	// Pending says that a manifest about one of these digests has not been read yet.
	Pending bool
}

// Evidence returns what is known about a digest in a repository, in one statement.
func (s *Store) Evidence(ctx context.Context, repository, digest string) (*Found, error) {
	type found struct {
		StoredEvidence
		about   string
		facts   string
		arrived int64
	}
	all, err := rows(s.reads(ctx), `WITH RECURSIVE repo AS (SELECT id FROM repository WHERE name = $1),
		about (digest, depth) AS (
			SELECT CAST($2 AS TEXT), 0
			UNION SELECT m.manifest, a.depth + 1 FROM about a JOIN manifest_reference m ON m.target = a.digest AND m.kind = 'manifest'
				JOIN manifest_link l ON l.digest = m.manifest AND l.repository_id = (SELECT id FROM repo) WHERE a.depth < $3
		),
		signed AS (SELECT e.subject, e.facts, e.trust, e.created_at, e.carrier, e.item FROM evidence e
			WHERE e.repository_id = (SELECT id FROM repo) AND e.subject IN (SELECT digest FROM about) AND e.signer > ''
			ORDER BY e.created_at DESC LIMIT $4),
		unsigned AS (SELECT e.subject, e.facts, e.trust, e.created_at, e.carrier, e.item FROM evidence e
			WHERE e.repository_id = (SELECT id FROM repo) AND e.subject IN (SELECT digest FROM about) AND e.signer = ''
			ORDER BY e.created_at DESC LIMIT $5),
		owed AS (SELECT l.subject FROM evidence_owed o JOIN manifest_link l ON l.repository_id = o.repository_id AND l.digest = o.carrier
			WHERE o.repository_id = (SELECT id FROM repo) AND l.subject IN (SELECT digest FROM about) LIMIT 1)
		SELECT subject, facts, trust, created_at FROM signed UNION ALL SELECT subject, facts, trust, created_at FROM unsigned
		UNION ALL SELECT subject, '', 0, 0 FROM owed`,
		[]any{repository, digest, maxNesting, maxSigned, maxUnsigned}, func(row func(...any) error) (f found, err error) {
			return f, row(&f.about, &f.facts, &f.Trust, &f.arrived)
		})
	if err != nil {
		return nil, err
	}
	out := &Found{Covering: map[string][]StoredEvidence{}}
	for _, f := range all {
		if f.facts == "" {
			out.Pending = true
			continue
		}
		if err := json.Unmarshal([]byte(f.facts), &f.Evidence); err != nil {
			return nil, err
		}
		f.Arrived = db.Time(f.arrived)
		if f.about == digest {
			out.Own = append(out.Own, f.StoredEvidence)
		} else {
			out.Covering[f.about] = append(out.Covering[f.about], f.StoredEvidence)
		}
	}
	return out, nil
}

// Users lists manifests of a repository that refer to a blob, at most n: first those that somebody known vouches for, then
// the newest.
func (s *Store) Users(ctx context.Context, repository, blob string, n int) ([]string, error) {
	return rows(s.reads(ctx), `SELECT l.digest FROM repository r JOIN manifest_link l ON l.repository_id = r.id
		JOIN manifest_reference m ON m.manifest = l.digest AND m.kind = 'blob'
		WHERE r.name = $1 AND m.target = $2
		ORDER BY CASE WHEN EXISTS (SELECT 1 FROM evidence e WHERE e.repository_id = r.id AND e.subject = l.digest AND e.signer > '') THEN 0 ELSE 1 END,
			l.pushed_at DESC LIMIT $3`, []any{repository, blob, n}, scanText)
}
