package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Bills of materials as rows: which document a manifest of a repository brings for which digest. What stands in the documents
// is in package_list.go, looking for it in package_search.go.

// SBOM says that a document is about a digest of a repository.
type SBOM struct {
	Carrier  string // digest of the manifest that brought it
	Item     int64  // core.Evidence of the same carrier at this place, or the layer of a document that nobody signed
	Subject  string
	Source   core.SBOMSource
	Document int64  // SBOMDocument.ID
	Content  string // digest of the blob that it lies in
	// Unlisted is a document whose packages another one lists that was made at the same time: it is shown, and nothing is found by it.
	Unlisted bool
}

// StoredSBOM is an SBOM with its document.
type StoredSBOM struct {
	SBOM
	CreatedAt time.Time
	SBOMDocument
	// Evidence is the attestation, whoever signed it; nil of a document that lies here by itself.
	Evidence *core.Evidence
}

// OwesSBOM says whether a manifest is to be looked at for documents: one that attests some, and one that brought no
// evidence at all, which may be a document that nobody signed.
func OwesSBOM(all []core.Evidence) bool {
	for i := range all {
		if IsSBOM(&all[i]) {
			return true
		}
	}
	return len(all) == 0
}

// IsSBOM says whether a piece of evidence attests a bill of materials.
func IsSBOM(e *core.Evidence) bool {
	return e.Kind == core.EvidenceAttestation &&
		(core.MatchPredicate("spdx", e.PredicateType) || core.MatchPredicate("cyclonedx", e.PredicateType))
}

// oweSBOM notes in the transaction that stores the evidence of a manifest that it is to be looked at, unless the hub has attached it: then
// it was.
func oweSBOM(tx *db.Tx, repositoryID, carrier string) error {
	_, err := tx.Exec(`INSERT INTO sbom_owed (repository_id, carrier, due_at) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT)
		WHERE NOT EXISTS (SELECT 1 FROM attached_sbom a WHERE a.repository_id = $1 AND a.carrier = $2)
		ON CONFLICT (repository_id, carrier) DO UPDATE SET due_at = excluded.due_at, attempts = 0`, repositoryID, carrier, tx.Now())
	return err
}

// SBOMsOwed takes up to n manifests that are due, as EvidenceOwed does.
func (s *Store) SBOMsOwed(ctx context.Context, n int) ([]Owed, error) {
	return s.owed(ctx, "sbom_owed", time.Minute, n)
}

// CarriedEvidence is what was verified of one manifest of a repository, by item.
func (s *Store) CarriedEvidence(ctx context.Context, repository, carrier string) (map[int64]core.Evidence, error) {
	all := map[int64]core.Evidence{}
	_, err := rows(s.reads(ctx), `SELECT e.item, e.facts FROM repository r JOIN evidence e ON e.repository_id = r.id
		WHERE r.name = $1 AND e.carrier = $2`, []any{repository, carrier}, func(row func(...any) error) (struct{}, error) {
		var item int64
		var facts string
		var e core.Evidence
		err := row(&item, &facts)
		if err == nil {
			err = json.Unmarshal([]byte(facts), &e)
		}
		all[item] = e
		return struct{}{}, err
	})
	return all, err
}

// TagsOf lists the tags of a digest of a repository, in byte order and at most n.
func (s *Store) TagsOf(ctx context.Context, repository, digest string, n int) ([]string, error) {
	return rows(s.reads(ctx), `SELECT t.name FROM repository r JOIN tag t ON t.repository_id = r.id
		WHERE r.name = $1 AND t.digest = $2 ORDER BY t.name LIMIT $3`, []any{repository, digest, n}, scanText)
}

// SaveSBOMs writes which documents a manifest of a repository brings, in place of what was written of it before. It writes
// nothing if the manifest is gone. The documents are saved and listed before (SaveDocument, ListDocument).
func (s *Store) SaveSBOMs(ctx context.Context, repository, carrier string, all []SBOM) error {
	return s.write(ctx, func(tx *db.Tx) error {
		type link struct {
			id, project string
			at          int64
		}
		to, found, err := row(tx.Query, `SELECT r.id, r.project_id, l.pushed_at FROM repository r JOIN manifest_link l ON l.repository_id = r.id
			WHERE r.name = $1 AND l.digest = $2`, []any{repository, carrier}, func(row func(...any) error) (l link, err error) { return l, row(&l.id, &l.project, &l.at) })
		if err != nil || !found {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM sbom WHERE repository_id = $1 AND carrier = $2`, to.id, carrier); err != nil {
			return err
		}
		for _, x := range all {
			if err := touchListed(tx, to.project, &x); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO sbom (repository_id, carrier, item, subject, scope, document_id, content, created_at)
				SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT), id, CAST($5 AS INTEGER), CAST($6 AS TEXT), CAST($7 AS BIGINT)
				FROM package_scope WHERE project_id = $8 AND source = $9`,
				to.id, carrier, x.Item, x.Subject, x.Document, x.Content, to.at, to.project, string(x.Source)); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`DELETE FROM sbom_owed WHERE repository_id = $1 AND carrier = $2`, to.id, carrier)
		return err
	})
}

// touchListed touches what says that the packages of a document are listed, and so locks it: whoever removes what nothing names any
// more sees that this does.
func touchListed(tx *db.Tx, project string, x *SBOM) error {
	if x.Unlisted {
		return nil
	}
	n, err := tx.Exec(`UPDATE package_listed SET touched_at = $1 WHERE document_id = $2 AND complete
		AND scope = (SELECT id FROM package_scope WHERE project_id = $3 AND source = $4)`, tx.Now(), x.Document, project, string(x.Source))
	if err == nil && n == 0 {
		err = errNotListed
	}
	return err
}

// SBOMs lists the documents about some digests of a repository, at most n: those that somebody known has signed, so that nobody can bury
// them (V-37), then the rest; of each the newest first.
func (s *Store) SBOMs(ctx context.Context, repository string, digests []string, n int) ([]*StoredSBOM, error) {
	var st statement
	st.add(`SELECT s.carrier, s.item, s.subject, c.source, s.content, s.created_at, d.id, d.digest, d.format, d.version, d.packages, d.unnamed, d.problem,
		COALESCE((SELECT e.facts FROM evidence e WHERE e.repository_id = s.repository_id AND e.carrier = s.carrier AND e.item = s.item AND e.subject = s.subject), '')
		FROM repository r JOIN sbom s ON s.repository_id = r.id JOIN package_scope c ON c.id = s.scope JOIN sbom_document d ON d.id = s.document_id
		WHERE r.name = ? AND s.subject IN `, repository)
	st.in(digests)
	st.add(` ORDER BY CASE c.source WHEN ? THEN 1 ELSE 0 END, s.created_at DESC, s.carrier, s.item`, string(core.SBOMUnsigned))
	found, _, err := page(s.reads(ctx), &st, n, func(row func(...any) error) (*StoredSBOM, error) {
		var x StoredSBOM
		var created int64
		var facts string
		err := row(&x.Carrier, &x.Item, &x.Subject, &x.Source, &x.Content, &created, &x.ID, &x.Digest, &x.Format, &x.Version, &x.Packages,
			&x.Unnamed, &x.Problem, &facts)
		x.CreatedAt, x.Document = db.Time(created), x.ID
		if err == nil {
			x.Evidence, err = parseEvidence(facts)
		}
		return &x, err
	})
	return found, err
}

// parseEvidence reads the evidence that a document lies in; "" is none.
func parseEvidence(facts string) (*core.Evidence, error) {
	if facts == "" {
		return nil, nil
	}
	var e core.Evidence
	if err := json.Unmarshal([]byte(facts), &e); err != nil {
		return nil, err
	}
	return &e, nil
}

// sbomSources are where documents about some manifests of a repository, or about what they list, come from, each source once.
func sbomSources(q querier, repositoryID string, digests []string) (map[string][]core.SBOMSource, error) {
	var st statement
	st.add(`SELECT s.subject, c.source FROM sbom s JOIN package_scope c ON c.id = s.scope WHERE s.repository_id = ? AND s.subject IN `, repositoryID)
	st.in(digests)
	// CROSS JOIN: to SQLite it says in which order.
	st.add(` UNION SELECT f.manifest, c.source FROM manifest_reference f CROSS JOIN sbom s JOIN package_scope c ON c.id = s.scope
		WHERE s.repository_id = ? AND s.subject = f.target AND f.kind = 'manifest' AND f.manifest IN `, repositoryID)
	st.in(digests)
	st.add(` ORDER BY 1, 2`)
	out := map[string][]core.SBOMSource{}
	_, err := rows(q, st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
		var digest, source string
		err := row(&digest, &source)
		out[digest] = append(out[digest], core.SBOMSource(source))
		return struct{}{}, err
	})
	return out, err
}
