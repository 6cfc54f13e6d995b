package store

import (
	"context"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// OwedScan is an image that is to be scanned.
type OwedScan struct {
	Repository, Digest string
	ProjectID          string
	Batch              string // job that asked for it; "": a push
	MediaType          string
	Manifest           []byte // its bytes

	repositoryID string
}

// KindScan is the kind of the jobs that scan one image; the name of the scanner is their target.
const KindScan = "scan"

const (
	maxOwedTries = 10            // of jobs that each tried several times
	maxOwedPause = 6 * time.Hour // between them
	owedPause    = time.Minute   // after the first
)

// ScansPlannable says whether there may be something to plan: images that are owed a scan, or a schedule that is due.
func (s *Store) ScansPlannable(ctx context.Context) (bool, error) {
	_, any, err := row(s.reads(ctx), `SELECT 1 WHERE EXISTS (SELECT 1 FROM scan_owed) OR EXISTS (SELECT 1 FROM project WHERE scan_schedule <> '' AND scan_next_at <= $1)`,
		[]any{s.Now().UnixMicro()}, scanID)
	return any, err
}

// OwedScans returns images that a scanner is to scan and no job does yet: those that were pushed first.
func (s *Store) OwedScans(ctx context.Context, scanner string, n int) ([]OwedScan, error) {
	return rows(s.reads(ctx), `SELECT r.name, o.digest, r.project_id, o.batch, m.media_type, m.payload, o.repository_id FROM scan_owed o
		CROSS JOIN repository r CROSS JOIN project p CROSS JOIN manifest m
		WHERE r.id = o.repository_id AND p.id = r.project_id AND m.digest = o.digest AND o.job = '' AND o.due_at <= $1 AND COALESCE(p.scanner, (SELECT name FROM scanner WHERE is_default)) = $2
		ORDER BY o.batch <> '', o.due_at, o.repository_id, o.digest LIMIT $3`,
		[]any{s.Now().UnixMicro(), scanner, n}, func(row func(...any) error) (o OwedScan, err error) {
			return o, row(&o.Repository, &o.Digest, &o.ProjectID, &o.Batch, &o.MediaType, &o.Manifest, &o.repositoryID)
		})
}

// ScansUnderWay counts the jobs that a scanner has.
func (s *Store) ScansUnderWay(ctx context.Context, scanner string) (n int, err error) {
	n, _, err = row(s.reads(ctx), `SELECT COUNT(*) FROM job WHERE kind = $1 AND target = $2 AND state IN ('queued', 'running')`,
		[]any{KindScan, scanner}, func(row func(...any) error) (n int, err error) { return n, row(&n) })
	return n, err
}

// TakeOwedScan notes that a job scans an image.
func TakeOwedScan(tx *db.Tx, o OwedScan, job string) error {
	_, err := tx.Exec(`UPDATE scan_owed SET job = $3 WHERE repository_id = $1 AND digest = $2`, o.repositoryID, o.Digest, job)
	return err
}

// ReturnOwedScan leaves an image to whichever scanner is next, because the one that a job was to ask is not there any more.
func ReturnOwedScan(tx *db.Tx, repository, digest string) error {
	_, err := tx.Exec(`UPDATE scan_owed SET job = '' WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2`, repository, digest)
	return err
}

// DropOwedScan forgets that an image is to be scanned: it never can be.
func DropOwedScan(tx *db.Tx, repository, digest string) error {
	_, err := tx.Exec(`DELETE FROM scan_owed WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2`, repository, digest)
	return err
}

// ScanOwedAt is when an image was to be scanned, by which SetScan knows that it was not owed a scan again since; 0: it is owed none.
func (s *Store) ScanOwedAt(ctx context.Context, repository, digest string) (at int64, err error) {
	at, _, err = row(s.reads(ctx), `SELECT o.due_at FROM repository r JOIN scan_owed o ON o.repository_id = r.id WHERE r.name = $1 AND o.digest = $2`,
		[]any{repository, digest}, scanID)
	return at, err
}

// settleOwedScan forgets what an image was owed when the scan began that has ended now, whoever asked for that scan.
func settleOwedScan(tx *db.Tx, r ScanResult) error {
	_, err := tx.Exec(`DELETE FROM scan_owed WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2 AND due_at = $3`,
		r.Repository, r.Digest, r.Owed)
	return err
}

// SettleOwedScans looks after images whose job ended and left them: what was stopped or cannot be scanned is owed no more, what
// failed for a reason that may pass is owed again, later, and what a batch asked for goes with the batch.
func (s *Store) SettleOwedScans(ctx context.Context) error {
	return s.write(ctx, func(tx *db.Tx) error {
		const underWay = ` EXISTS (SELECT 1 FROM job j WHERE j.id = scan_owed.`
		if _, err := tx.Exec(`DELETE FROM scan_owed WHERE job <> '' AND` + underWay + `job AND j.state IN ('done', 'failed', 'cancelled'))`); err != nil {
			return err
		}
		ended, err := rows(tx.Query, endedBatches, nil, scanText)
		if err != nil {
			return err
		}
		for _, batch := range ended {
			if _, err := tx.Exec(`DELETE FROM scan_owed WHERE batch = $1 AND batch <> '' AND job = ''`, batch); err != nil {
				return err
			}
		}
		const left = ` WHERE job <> '' AND NOT` + underWay + `job AND j.state IN ('queued', 'running'))`
		if _, err := tx.Exec(`DELETE FROM scan_owed`+left+` AND (batch <> '' OR attempts >= $1)`, maxOwedTries); err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE scan_owed SET job = '', attempts = attempts + 1,
			due_at = CAST($1 AS BIGINT) + CASE WHEN attempts > 8 THEN CAST($3 AS BIGINT) ELSE CAST($2 AS BIGINT) * (CAST(1 AS BIGINT) << CAST(attempts AS INTEGER)) END`+left,
			tx.Now(), owedPause.Microseconds(), maxOwedPause.Microseconds())
		return err
	})
}

// endedBatches are those that are under way no more. Batches are few and their images many, so only the former are looked up.
const endedBatches = `WITH RECURSIVE b (batch) AS (SELECT MIN(batch) FROM scan_owed WHERE batch <> ''
	UNION ALL SELECT (SELECT MIN(o.batch) FROM scan_owed o WHERE o.batch <> '' AND o.batch > b.batch) FROM b WHERE b.batch IS NOT NULL)
	SELECT b.batch FROM b WHERE b.batch IS NOT NULL AND NOT EXISTS (SELECT 1 FROM job j WHERE j.id = b.batch AND j.state IN ('queued', 'running'))`

// ScanBatch says which images a batch scans: one of a repository (an index: its images), those of a project, or all.
type ScanBatch struct {
	Job        string // the batch's
	ProjectID  string // "": of every project
	Repository string // "": of every repository; else with Digests
	Digests    []string
	Since      time.Time // what was tried since then is not tried again: the batch goes on where it was
}

// OweScans owes up to n images of a batch behind a place ("" is the beginning), and tells where it ended; "" is the end. What is
// owed a scan already is left to whoever owes it.
func (s *Store) OweScans(ctx context.Context, b ScanBatch, after string, n int) (next string, owed int64, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		next, owed = "", 0
		var st statement
		also := ", "
		if b.ProjectID == "" && b.Repository == "" {
			also = " CROSS JOIN " // in the order of the list, for an engine that would sort all there are
		}
		st.add(`SELECT l.repository_id || ' ' || l.digest FROM manifest_link l` + also + `manifest m` + also + `repository r
			WHERE m.digest = l.digest AND r.id = l.repository_id AND m.config_type IN ('application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json')`)
		if after != "" {
			repository, digest, _ := strings.Cut(after, " ")
			st.add(` AND (l.repository_id, l.digest) > (?, ?)`, repository, digest)
		}
		st.when(b.ProjectID != "", ` AND r.project_id = ?`, b.ProjectID)
		if b.Repository != "" {
			st.add(` AND r.name = ? AND l.digest IN `, b.Repository)
			st.in(b.Digests)
		}
		st.add(` ORDER BY l.repository_id, l.digest LIMIT ?`, n)
		places, err := rows(tx.Query, st.text.String(), st.args, scanText)
		if err != nil {
			return err
		}
		for _, p := range places {
			id, digest, _ := strings.Cut(p, " ")
			c, err := tx.Exec(`INSERT INTO scan_owed (repository_id, digest, due_at, batch) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT)
				WHERE NOT EXISTS (SELECT 1 FROM scan s WHERE s.repository_id = $1 AND s.digest = $2 AND s.tried_at >= $5)
				ON CONFLICT (repository_id, digest) DO NOTHING`, id, digest, tx.Now(), b.Job, b.Since.UnixMicro())
			if err != nil {
				return err
			}
			owed += c
		}
		if len(places) == n {
			next = places[n-1]
		}
		if owed > 0 {
			tx.Changed(ChangeScan, "")
		}
		return nil
	})
	return next, owed, err
}

// BatchLeft counts the images of a batch that are not done.
func (s *Store) BatchLeft(ctx context.Context, job string) (n int64, err error) {
	n, _, err = row(s.reads(ctx), `SELECT COUNT(*) FROM scan_owed WHERE batch = $1 AND batch <> ''`, []any{job}, scanID)
	return n, err
}

// DropBatch forgets the images of a batch, and returns the jobs that scan some of them now.
func (s *Store) DropBatch(ctx context.Context, job string) (jobs []string, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		if jobs, err = rows(tx.Query, `SELECT job FROM scan_owed WHERE batch = $1 AND batch <> '' AND job <> ''`, []any{job}, scanText); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM scan_owed WHERE batch = $1 AND batch <> ''`, job)
		return err
	})
	return jobs, err
}

// DueScanProjects returns projects whose images are to be scanned again now, by their schedule.
func (s *Store) DueScanProjects(ctx context.Context, n int) ([]*core.Project, error) {
	return rows(s.reads(ctx), `SELECT `+projectColumns+` FROM project p WHERE p.scan_schedule <> '' AND p.scan_next_at <= $1 ORDER BY p.scan_next_at, p.id LIMIT $2`,
		[]any{s.Now().UnixMicro(), n}, scanProject)
}

// MoveScanSchedule sets when a project is scanned again. due says that its time had come, and that this caller is the one who
// acts on it; it is false where the time was only reckoned.
func MoveScanSchedule(tx *db.Tx, p *core.Project, next time.Time) (due bool, err error) {
	was, found, err := row(tx.Query, `SELECT scan_next_at FROM project WHERE id = $1 AND scan_schedule = $2 AND scan_next_at <= $3`,
		[]any{p.ID, p.ScanSchedule, tx.Now()}, scanID)
	if err != nil || !found {
		return false, err
	}
	n, err := tx.Exec(`UPDATE project SET scan_next_at = $3 WHERE id = $1 AND scan_next_at = $2`, p.ID, was, next.UnixMicro())
	return was != 0 && n > 0, err
}

// ProjectOfRepository is the id of the project of a repository; "" if it is gone.
func ProjectOfRepository(tx *db.Tx, repository string) (string, error) {
	id, _, err := row(tx.Query, `SELECT project_id FROM repository WHERE name = $1`, []any{repository}, scanText)
	return id, err
}
