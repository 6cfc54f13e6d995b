package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Found is the evidence of a digest of a repository.
type Found struct {
	Own []StoredEvidence
	// Covering is evidence about indexes of the same repository that list the digest, by the index's digest.
	Covering map[string][]StoredEvidence
	// Scans are what scanners found last, in the digest and in what Covering speaks of.
	Scans map[string][]core.Scan
	// Unverified are carriers of what nobody known has signed, those first that were tried the longest ago, with the
	// TrustMaterial.Revision of that: however many there are, all of them are tried again sooner or later.
	Unverified map[string]int64
	// Pending says that a manifest about one of these digests has not been read yet.
	Pending bool
}

// These statements read the evidence about a digest. What it looks at is bounded, and nobody buries what counts under what does
// not (V-37):
//   - about: the digest and what lists it, three indexes deep; of those that list one manifest 32, first the ones that
//     somebody known vouches for, then the newest; 64 in all.
//   - filed: the signers and sorts of statements about these, 64, each found by one look into the index; keys first, who
//     is not known last.
//   - said: of each signer and sort the 50 newest.
//
// The numbers stand in the text because SQLite would plan the statement anew for each value of a parameter there. The
// engines differ where the newest of each of several are taken: Postgres has LATERAL, and without it joins whole tables;
// SQLite has not, and joins from the first name to the last as CROSS JOIN says.
const (
	evidenceOfSQLite = evidenceOf + `CROSS JOIN repository_reference r ON r.repository_id = (SELECT id FROM repo)
			AND r.target = a.digest AND r.kind = 'manifest' AND r.place >= COALESCE((SELECT x.place FROM repository_reference x
				WHERE x.repository_id = (SELECT id FROM repo) AND x.target = a.digest AND x.kind = 'manifest'
				ORDER BY x.place DESC LIMIT 1 OFFSET 31), 0)` + evidenceFiled + `CROSS JOIN evidence e ON e.repository_id = (SELECT id FROM repo)
			AND e.subject = f.digest AND e.signer = f.signer AND e.created_at >= COALESCE((SELECT x.created_at FROM evidence x
				WHERE x.repository_id = (SELECT id FROM repo) AND x.subject = f.digest AND x.signer = f.signer
				ORDER BY x.created_at DESC LIMIT 1 OFFSET 49), 0)` + evidenceSaid
	evidenceOfPostgres = evidenceOf + `CROSS JOIN LATERAL (SELECT x.manifest FROM repository_reference x
			WHERE x.repository_id = (SELECT id FROM repo) AND x.target = a.digest AND x.kind = 'manifest' ORDER BY x.place DESC LIMIT 32) r` +
		evidenceFiled + `CROSS JOIN LATERAL (SELECT x.* FROM evidence x
			WHERE x.repository_id = (SELECT id FROM repo) AND x.subject = f.digest AND x.signer = f.signer ORDER BY x.created_at DESC LIMIT 50) e` + evidenceSaid
)

const (
	evidenceOf = `WITH RECURSIVE repo AS (SELECT id FROM repository WHERE name = $1),
	about (digest, depth) AS (
		SELECT CAST($2 AS TEXT), 0
		UNION SELECT r.manifest, a.depth + 1 FROM about a `
	evidenceFiled = ` WHERE a.depth < 3
	),
	near AS (SELECT digest FROM about LIMIT 64),
	filed (digest, signer) AS (
		SELECT n.digest, (SELECT MAX(e.signer) FROM evidence e WHERE e.repository_id = (SELECT id FROM repo) AND e.subject = n.digest) FROM near n
		UNION ALL SELECT f.digest, (SELECT MAX(e.signer) FROM evidence e
			WHERE e.repository_id = (SELECT id FROM repo) AND e.subject = f.digest AND e.signer < f.signer) FROM filed f WHERE f.signer > ''
	),
	sorts AS (SELECT digest, signer FROM filed WHERE signer IS NOT NULL LIMIT 64),
	said AS (
		SELECT e.subject, e.facts, e.trust, e.created_at FROM sorts f `
	evidenceSaid = `
		ORDER BY e.signer DESC, e.created_at DESC LIMIT 3200
	)
	SELECT 'evidence' AS kind, FALSE AS hub, subject AS name, facts AS document, created_at, 0 AS updated_at, trust AS revision FROM said
	UNION ALL SELECT 'evidence', FALSE, digest, '', 0, 0, 0 FROM near WHERE EXISTS (SELECT 1 FROM evidence_owed o
		WHERE o.repository_id = (SELECT id FROM repo) AND o.subject = near.digest LIMIT 1)
	UNION ALL SELECT 'scan', FALSE, n.digest, s.scanner || '
' || s.problem || '
' || COALESCE(p.facts, ''), s.scanned_at, s.database_at, 0
		FROM near n CROSS JOIN scan s LEFT JOIN scan_report p ON p.id = s.report_id WHERE s.repository_id = (SELECT id FROM repo) AND s.digest = n.digest
	UNION ALL SELECT * FROM (SELECT 'unverified', FALSE, e.carrier, '', 0, 0, e.trust FROM evidence e
		WHERE e.repository_id = (SELECT id FROM repo) AND e.subject = $2 AND e.signer = '' ORDER BY e.trust LIMIT 50) AS oldest`
)

func (s *Store) evidenceOf() string {
	if s.db.Engine() == db.Postgres {
		return evidenceOfPostgres
	}
	return evidenceOfSQLite
}

// These stand where a TrustDocument has its kind: all are read as the same columns.
const (
	evidenceKind   TrustKind = "evidence"
	unverifiedKind TrustKind = "unverified"
	scanKind       TrustKind = "scan"
)

// Evidence returns what is known about a digest in a repository, in one statement.
func (s *Store) Evidence(ctx context.Context, repository, digest string) (*Found, error) {
	all, err := rows(s.reads(ctx), s.evidenceOf(), []any{repository, digest}, scanTrust)
	if err != nil {
		return nil, err
	}
	return newFound(digest, all)
}

// TrustMaterialAndEvidence is TrustMaterial and Evidence in one statement.
func (s *Store) TrustMaterialAndEvidence(ctx context.Context, p *core.Project, repository, digest string) (*TrustMaterial, *Found, error) {
	all, err := rows(s.reads(ctx), s.evidenceOf()+` UNION ALL `+materialOf("$3"),
		[]any{repository, digest, p.ID}, scanTrust)
	if err != nil {
		return nil, nil, err
	}
	is := func(d *TrustDocument) bool {
		return d.Kind == evidenceKind || d.Kind == unverifiedKind || d.Kind == scanKind
	}
	found, err := newFound(digest, slices.DeleteFunc(slices.Clone(all), func(d *TrustDocument) bool { return !is(d) }))
	return newTrustMaterial(slices.DeleteFunc(all, is)), found, err
}

func newFound(digest string, rows []*TrustDocument) (*Found, error) {
	f := &Found{Covering: map[string][]StoredEvidence{}, Scans: map[string][]core.Scan{}, Unverified: map[string]int64{}}
	for _, r := range rows {
		if r.Kind == unverifiedKind {
			f.Unverified[r.Name] = r.Revision
			continue
		}
		if r.Kind == scanKind {
			scanner, rest, _ := strings.Cut(r.Document, "\n") // neither a name nor a sentence has a line break
			problem, facts, _ := strings.Cut(rest, "\n")
			scan, err := parseScan(scanner, r.CreatedAt.UnixMicro(), r.UpdatedAt.UnixMicro(), problem, facts)
			if err != nil {
				return nil, err
			}
			f.Scans[r.Name] = append(f.Scans[r.Name], scan)
			continue
		}
		if r.Document == "" {
			f.Pending = true
			continue
		}
		e := StoredEvidence{Trust: r.Revision}
		if err := json.Unmarshal([]byte(r.Document), &e.Evidence); err != nil {
			return nil, err
		}
		if e.Arrived = r.CreatedAt; r.Name == digest {
			f.Own = append(f.Own, e)
		} else {
			f.Covering[r.Name] = append(f.Covering[r.Name], e)
		}
	}
	return f, nil
}
