package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

// reportGrace is how long a report stays that no scan names: longer than any job takes from saving it to naming it.
const reportGrace = 24 * time.Hour

// SweepReports removes scans of scanners that were deleted, reports that no scan names any more, places where a vulnerability is not
// any more, and rows of imports that did not come to their end. It returns how many rows it removed.
func (s *Store) SweepReports(ctx context.Context) (int, error) {
	removed := 0
	for _, sweep := range []func(ctx context.Context) (int, error){s.sweepScans, s.sweepReports, s.sweepPlaces, s.sweepAliases} {
		n, err := sweep(ctx)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// swept runs a statement that removes at most sweepBatch rows until nothing is left for it.
func (s *Store) swept(ctx context.Context, statement string, args func(tx *db.Tx) []any) (removed int, err error) {
	for {
		var n int64
		err := s.write(ctx, func(tx *db.Tx) (err error) {
			n, err = tx.Exec(statement, args(tx)...)
			return err
		})
		removed += int(n)
		if err != nil || n < sweepBatch {
			return removed, err
		}
	}
}

// scanBlock is how many scans go in one transaction, each with what depends on it.
const scanBlock = 100

// sweepScans removes what scanners found that are not there any more, so that it decides nothing any more.
func (s *Store) sweepScans(ctx context.Context) (removed int, err error) {
	type place struct{ repositoryID, repository, digest string }
	for {
		n := 0
		err := s.write(ctx, func(tx *db.Tx) error {
			all, err := rows(tx.Query, strandedScans, []any{scanBlock}, func(row func(...any) error) (p place, err error) {
				return p, row(&p.repositoryID, &p.repository, &p.digest)
			})
			if err != nil {
				return err
			}
			n = len(all)
			changed := map[string]bool{}
			for _, p := range all {
				if _, err := tx.Exec(`DELETE FROM scan WHERE repository_id = $1 AND digest = $2 AND NOT EXISTS (SELECT 1 FROM scanner v WHERE v.name = scan.scanner)`,
					p.repositoryID, p.digest); err != nil {
					return err
				}
				if err := OweVerdicts(tx, p.repository, p.digest); err != nil {
					return err
				}
				changed[p.repository] = true
			}
			for _, repository := range sortedKeys(changed) {
				tx.Changed(ChangeEvidence, repository)
			}
			return nil
		})
		removed += n
		if err != nil || n < scanBlock {
			return removed, err
		}
	}
}

// strandedScans are up to $1 scans of scanners that are not there. The names of scanners are few and their scans many, so only
// the former are looked up.
const strandedScans = `WITH RECURSIVE v (name) AS (SELECT MIN(scanner) FROM scan
	UNION ALL SELECT (SELECT MIN(s.scanner) FROM scan s WHERE s.scanner > v.name) FROM v WHERE v.name IS NOT NULL)
	SELECT s.repository_id, r.name, s.digest FROM v CROSS JOIN scan s JOIN repository r ON r.id = s.repository_id
	WHERE v.name IS NOT NULL AND NOT EXISTS (SELECT 1 FROM scanner k WHERE k.name = v.name) AND s.scanner = v.name LIMIT $1`

func (s *Store) sweepReports(ctx context.Context) (int, error) {
	// The time is asked outside of the subquery too: who touches the report at this moment is waited for, and then it is asked again.
	return s.swept(ctx, `DELETE FROM scan_report WHERE touched_at < $1 AND id IN (SELECT p.id FROM scan_report p WHERE p.touched_at < $1
		AND NOT EXISTS (SELECT 1 FROM scan s WHERE s.report_id = p.id) LIMIT $2)`, func(tx *db.Tx) []any {
		return []any{tx.Now() - reportGrace.Microseconds(), sweepBatch}
	})
}

// sweepPlaces goes through the repositories. In each it locks the rows first: who is about to name a report holds those that it
// needs, and the statement after that sees what it wrote.
func (s *Store) sweepPlaces(ctx context.Context) (removed int, err error) {
	const gone = ` vulnerability_place WHERE repository_id = $1 AND vulnerability_id NOT IN (
		SELECT f.vulnerability_id FROM scan s JOIN finding f ON f.report_id = s.report_id WHERE s.repository_id = $1)`
	for after := ""; ; {
		repositories, err := rows(s.reads(ctx), `SELECT DISTINCT repository_id FROM vulnerability_place WHERE repository_id > $1 ORDER BY repository_id LIMIT $2`,
			[]any{after, sweepBatch}, scanText)
		if err != nil {
			return removed, err
		}
		for _, id := range repositories {
			after = id
			_, stale, err := row(s.reads(ctx), `SELECT 1 FROM`+gone+` LIMIT 1`, []any{id}, scanID)
			if err != nil {
				return removed, err
			}
			if !stale {
				continue
			}
			var n int64
			err = s.write(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE vulnerability_place SET project_id = project_id WHERE (vulnerability_id, project_id, repository_id) IN (
					SELECT vulnerability_id, project_id, repository_id FROM`+gone+`)`, id)
				if err == nil {
					n, err = tx.Exec(`DELETE FROM`+gone, id)
				}
				return err
			})
			removed += int(n)
			if err != nil {
				return removed, err
			}
		}
		if len(repositories) < sweepBatch {
			return removed, nil
		}
	}
}
