package store

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// What becomes of scans when there are newer vulnerability data. That newer data were considered for a scan is noted in its
// row, in the transaction of what came of it, so that whoever is interrupted goes on with the rows that are left.

// OldScan is a scan for which newer data were not considered yet.
type OldScan struct {
	RepositoryID, Repository, ProjectID, Digest string

	Report int64     // 0: the image was never scanned to the end
	Scan   core.Scan // what was found
}

// OldScans returns up to n scans by a scanner for which data were not considered yet, those first that are the longest behind.
func (s *Store) OldScans(ctx context.Context, scanner string, data time.Time, n int) ([]OldScan, error) {
	return rows(s.reads(ctx), `SELECT s.repository_id, r.name, r.project_id, s.digest, COALESCE(s.report_id, 0), s.scanned_at, s.database_at, COALESCE(p.facts, '')
		FROM scan s JOIN repository r ON r.id = s.repository_id LEFT JOIN scan_report p ON p.id = s.report_id
		WHERE s.scanner = $1 AND s.considered_at < $2 ORDER BY s.considered_at, s.repository_id, s.digest LIMIT $3`,
		[]any{scanner, data.UnixMicro(), n}, func(row func(...any) error) (o OldScan, err error) {
			var facts string
			var scanned, database int64
			if err = row(&o.RepositoryID, &o.Repository, &o.ProjectID, &o.Digest, &o.Report, &scanned, &database, &facts); err != nil {
				return o, err
			}
			o.Scan, err = parseScan(scanner, scanned, database, "", facts)
			return o, err
		})
}

// OldScanCount is how many OldScans there are.
func (s *Store) OldScanCount(ctx context.Context, scanner string, data time.Time) (n int64, err error) {
	n, _, err = row(s.reads(ctx), `SELECT COUNT(*) FROM scan WHERE scanner = $1 AND considered_at < $2`, []any{scanner, data.UnixMicro()}, scanID)
	return n, err
}

// ScannersBehind are the scanners that can scan and have newer data than were considered for some of their scans, in order of
// their names.
func (s *Store) ScannersBehind(ctx context.Context) ([]*Scanner, error) {
	return rows(s.reads(ctx), `SELECT `+scannerColumns+` FROM scanner v WHERE NOT paused AND checked_at > 0 AND problem = '' AND database_at > 0
		AND EXISTS (SELECT 1 FROM scan s WHERE s.scanner = v.name AND s.considered_at < v.database_at) ORDER BY name`, nil, scanScanner)
}

// stands is the row of a scan as it was when it was read: nobody has scanned the image since, or considered these data for it.
const stands = ` WHERE repository_id = $1 AND digest = $2 AND scanner = $3 AND considered_at < $4`

func (o *OldScan) key(data time.Time) []any {
	return []any{o.RepositoryID, o.Digest, o.Scan.Scanner, data.UnixMicro()}
}

// ConsiderScan notes that nothing is to be done for data about a scan.
func ConsiderScan(tx *db.Tx, o *OldScan, data time.Time) error {
	_, err := tx.Exec(`UPDATE scan SET considered_at = $4`+stands, o.key(data)...)
	return err
}

// longAgo is the age from which a scan may have been too old for a policy that a stated verdict went by.
const longAgo = 24 * time.Hour

// RenewScan writes that with newer data a report is what was found in an image: the one there was, or another one. It writes
// nothing if the image was scanned, or is gone, meanwhile: renewed is false. That the evidence changed is for the caller to
// publish, once for all images of a repository: also where nothing else is found, because a policy may have waited for newer data.
func RenewScan(tx *db.Tx, o *OldScan, data time.Time, report int64) (renewed bool, err error) {
	n, err := tx.Exec(`UPDATE scan SET considered_at = $4, database_at = $4, scanned_at = $5, report_id = $6`+stands+` AND report_id = $7 AND database_at < $4`,
		append(o.key(data), tx.Now(), report, o.Report)...)
	if err != nil || n == 0 {
		return false, err
	}
	if report != o.Report {
		if err := placeReport(tx, report, o.Repository); err != nil {
			return false, err
		}
	}
	if report != o.Report || tx.Now()-o.Scan.ScannedAt.UnixMicro() > longAgo.Microseconds() {
		return true, OweVerdicts(tx, o.Repository, o.Digest)
	}
	return true, nil
}

// OweRescan has an image scanned again at a time, if its project has it scanned by that scanner, because nothing less says what
// newer data find in it.
func OweRescan(tx *db.Tx, o *OldScan, data, at time.Time) (owed bool, err error) {
	n, err := tx.Exec(`UPDATE scan SET considered_at = $4`+stands, o.key(data)...)
	if err != nil || n == 0 {
		return false, err
	}
	n, err = tx.Exec(`INSERT INTO scan_owed (repository_id, digest, due_at) SELECT l.repository_id, l.digest, CAST($3 AS BIGINT)
		FROM manifest_link l JOIN repository r ON r.id = l.repository_id JOIN project p ON p.id = r.project_id
		WHERE l.repository_id = $1 AND l.digest = $2 AND COALESCE(p.scanner, (SELECT name FROM scanner WHERE is_default)) = $4
		ON CONFLICT (repository_id, digest) DO NOTHING`, o.RepositoryID, o.Digest, at.UnixMicro(), o.Scan.Scanner)
	return n > 0, err
}

// TagsOf are up to n tags of a manifest of a repository, the newest first.
func TagsOf(tx *db.Tx, repositoryID, digest string, n int) ([]string, error) {
	return rows(tx.Query, `SELECT name FROM tag WHERE repository_id = $1 AND digest = $2 ORDER BY updated_at DESC, name LIMIT $3`,
		[]any{repositoryID, digest, n}, scanText)
}

// SaveVulnerabilities writes what a scanner says of vulnerabilities, where it is news. Each transaction is short.
func (s *Store) SaveVulnerabilities(ctx context.Context, all []core.Vulnerability) error {
	return s.saveVulnerabilities(ctx, all)
}
