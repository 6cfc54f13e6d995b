package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Scans as rows: what was found stands in a report, which all images with the same findings share; that a scanner found it in
// an image of a repository is a row of scan, which goes with the image.

// SaveReport saves what was found in an image, and what the scanner says of each vulnerability, and returns the report's id.
// Each transaction is short, however much was found. s is put in order.
func (s *Store) SaveReport(ctx context.Context, found *core.Scan, vulnerabilities []core.Vulnerability) (int64, error) {
	slices.SortFunc(found.Findings, func(a, b core.Finding) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Version, b.Version),
			cmp.Compare(a.PURL, b.PURL), cmp.Compare(a.Path, b.Path))
	})
	slices.SortFunc(found.Checks, func(a, b core.Check) int {
		return cmp.Or(b.Severity.Rank()-a.Severity.Rank(), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Path, b.Path))
	})
	facts, err := json.Marshal(found)
	if err != nil {
		return 0, err
	}
	described, err := describedAll(found.Findings, vulnerabilities)
	if err != nil {
		return 0, err
	}
	if err := s.saveVulnerabilities(ctx, described); err != nil {
		return 0, err
	}
	sum := sha256.Sum256(facts)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	id, known, err := s.knownReport(ctx, digest)
	if err != nil || known {
		return id, err
	}
	n := Counts(found)
	names := map[string]bool{}
	for i := range found.Findings {
		names[found.Findings[i].ID] = true
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		id, _, err = row(tx.Query, `INSERT INTO scan_report (digest, facts, critical, high, medium, low, other, fixable, checks, matched, incomplete, created_at, touched_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) ON CONFLICT (digest) DO UPDATE SET touched_at = excluded.touched_at RETURNING id`,
			[]any{digest, string(facts), n.Critical, n.High, n.Medium, n.Low, n.Other, n.Fixable, n.Checks, found.Matched, oneLine(found.Incomplete, maxScannerText), tx.Now()}, scanID)
		if err != nil {
			return err
		}
		for block := range slices.Chunk(sortedKeys(names), packageBlock) {
			var st statement
			st.add(`INSERT INTO finding (vulnerability_id, report_id) SELECT id, CAST(? AS INTEGER) FROM vulnerability WHERE name IN `, id)
			st.in(block)
			st.add(` ON CONFLICT (vulnerability_id, report_id) DO NOTHING`)
			if _, err := tx.Exec(st.text.String(), st.args...); err != nil {
				return err
			}
		}
		return nil
	})
	return id, err
}

func sortedKeys(set map[string]bool) []string {
	all := make([]string, 0, len(set))
	for k := range set {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// describedAll adds to what a scanner says of vulnerabilities those that it found and says nothing of, so that they are found
// too. A name that is no line of text is refused; of a title what is left of it is shown.
func describedAll(findings []core.Finding, all []core.Vulnerability) ([]core.Vulnerability, error) {
	known := map[string]bool{}
	all = slices.Clone(all)
	for i := range all {
		v := &all[i]
		known[v.ID] = true
		if err := checkLine("id", v.ID, maxVulnerabilityName); err != nil {
			return nil, fmt.Errorf("the scanner describes a vulnerability that cannot be stored: %w", err)
		}
		v.Title = oneLine(v.Title, maxScannerText)
	}
	for i := range findings {
		f := &findings[i]
		if known[f.ID] {
			continue
		}
		known[f.ID] = true
		if err := checkLine("id", f.ID, maxVulnerabilityName); err != nil {
			return nil, fmt.Errorf("the scanner found a vulnerability that cannot be stored: %w", err)
		}
		all = append(all, core.Vulnerability{ID: f.ID, Severity: f.Severity})
	}
	return all, nil
}

const (
	maxVulnerabilityName = 255
	maxScannerText       = 4 << 10 // of a title, and of a reason
)

// oneLine is what can be stored and shown of a text that somebody else wrote.
func oneLine(s string, most int) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), most)], ""))
}

// knownReport finds a report by its bytes, and keeps it from being swept before somebody names it.
func (s *Store) knownReport(ctx context.Context, digest string) (id int64, known bool, err error) {
	type report struct{ id, touched int64 }
	r, known, err := row(s.reads(ctx), `SELECT id, touched_at FROM scan_report WHERE digest = $1`, []any{digest},
		func(row func(...any) error) (r report, err error) { return r, row(&r.id, &r.touched) })
	if err != nil || !known || r.touched > s.db.Micros()-reportGrace.Microseconds()/2 {
		return r.id, known, err
	}
	err = s.write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE scan_report SET touched_at = $1 WHERE id = $2`, tx.Now(), r.id)
		known = n > 0
		return err
	})
	return r.id, known, err
}

// saveVulnerabilities writes what a scanner says of vulnerabilities, where it says something else than what was written before.
func (s *Store) saveVulnerabilities(ctx context.Context, all []core.Vulnerability) error {
	all = slices.Clone(all)
	// In one order everywhere, so that processes that do this at the same time do not wait for each other in a circle.
	slices.SortFunc(all, func(a, b core.Vulnerability) int { return cmp.Compare(a.ID, b.ID) })
	all = slices.CompactFunc(all, func(a, b core.Vulnerability) bool { return a.ID == b.ID })
	for block := range slices.Chunk(all, packageBlock) {
		known := map[string]string{}
		var st statement
		st.add(`SELECT name, severity, title, detail FROM vulnerability WHERE name IN `)
		st.in(namesOf(block))
		_, err := rows(s.reads(ctx), st.text.String(), st.args, func(row func(...any) error) (struct{}, error) {
			var name, severity, title, detail string
			err := row(&name, &severity, &title, &detail)
			known[name] = severity + "\x00" + title + "\x00" + detail
			return struct{}{}, err
		})
		if err != nil {
			return err
		}
		err = s.write(ctx, func(tx *db.Tx) error {
			for i := range block {
				v := &block[i]
				detail, err := json.Marshal(v)
				if err != nil {
					return err
				}
				before, there := known[v.ID]
				if there && (before == string(v.Severity)+"\x00"+v.Title+"\x00"+string(detail) || undescribed(v)) {
					continue
				}
				if _, err := tx.Exec(`INSERT INTO vulnerability (name, severity, title, detail, updated_at) VALUES ($1, $2, $3, $4, $5)
					ON CONFLICT (name) DO UPDATE SET severity = excluded.severity, title = excluded.title, detail = excluded.detail, updated_at = excluded.updated_at`,
					v.ID, string(v.Severity), v.Title, string(detail), tx.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// undescribed says that a scanner found a vulnerability and says nothing of it: what was said before stays.
func undescribed(v *core.Vulnerability) bool {
	return v.Title == "" && v.Description == "" && len(v.Links) == 0 && len(v.CWEs) == 0 && v.Score == 0
}

func namesOf(all []core.Vulnerability) []string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].ID
	}
	return names
}

// ScanCounts says how much was found: findings by severity, and checks.
type ScanCounts struct {
	Critical, High, Medium, Low, Other int64 // Other: negligible and unknown
	Fixable                            int64 // of all of these
	Checks                             int64
}

// Counts counts what was found.
func Counts(found *core.Scan) ScanCounts {
	n := ScanCounts{Checks: int64(len(found.Checks))}
	for i := range found.Findings {
		f := &found.Findings[i]
		switch f.Severity {
		case core.SeverityCritical:
			n.Critical++
		case core.SeverityHigh:
			n.High++
		case core.SeverityMedium:
			n.Medium++
		case core.SeverityLow:
			n.Low++
		default:
			n.Other++
		}
		if f.Fixed != "" {
			n.Fixable++
		}
	}
	return n
}

// ScanResult is how a scan of an image of a repository ended.
type ScanResult struct {
	Repository, Digest string
	Scanner            string
	Report             int64 // of SaveReport; 0: it came to none, and Problem says why. What was found before stays
	DatabaseAt         time.Time
	Problem            string
	Owed               int64 // of ScanOwedAt when the scan began
}

// SetScan writes how a scan ended, in the transaction that ends its job. It writes nothing if the image is gone: found is false.
func SetScan(tx *db.Tx, r ScanResult) (found bool, err error) {
	var report any
	var scanned, database int64
	if r.Report != 0 {
		report, scanned = r.Report, tx.Now()
		if !r.DatabaseAt.IsZero() {
			database = r.DatabaseAt.UnixMicro()
		}
	}
	same, err := sameReport(tx, r)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(`INSERT INTO scan (repository_id, digest, scanner, report_id, scanned_at, database_at, considered_at, tried_at, problem)
		SELECT l.repository_id, l.digest, CAST($3 AS TEXT), CAST($4 AS INTEGER), CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT),
			CAST($8 AS TEXT)
		FROM repository r JOIN manifest_link l ON l.repository_id = r.id AND l.digest = $2 WHERE r.name = $1
		ON CONFLICT (repository_id, digest, scanner) DO UPDATE SET report_id = COALESCE(excluded.report_id, scan.report_id),
			scanned_at = CASE WHEN excluded.report_id IS NULL THEN scan.scanned_at ELSE excluded.scanned_at END,
			database_at = CASE WHEN excluded.report_id IS NULL THEN scan.database_at ELSE excluded.database_at END,
			considered_at = CASE WHEN excluded.report_id IS NULL THEN scan.considered_at ELSE excluded.considered_at END,
			tried_at = excluded.tried_at, problem = excluded.problem`,
		r.Repository, r.Digest, r.Scanner, report, scanned, database, tx.Now(), oneLine(r.Problem, maxScannerText))
	if err != nil || n == 0 {
		return false, err
	}
	if r.Report != 0 && !same {
		if err := placeReport(tx, r.Report, r.Repository); err != nil {
			return false, err
		}
	}
	if r.Report != 0 && r.Owed != 0 {
		if err := settleOwedScan(tx, r); err != nil {
			return false, err
		}
	}
	tx.Changed(ChangeEvidence, r.Repository)
	return true, OweVerdicts(tx, r.Repository, r.Digest)
}

// placeReport notes in which repository the vulnerabilities of a report are.
func placeReport(tx *db.Tx, report int64, repository string) error {
	// DO UPDATE: it locks the row, so that a sweep that is about to remove it looks again.
	_, err := tx.Exec(`INSERT INTO vulnerability_place (vulnerability_id, project_id, repository_id)
		SELECT f.vulnerability_id, r.project_id, r.id FROM finding f CROSS JOIN repository r WHERE f.report_id = $1 AND r.name = $2 ORDER BY f.vulnerability_id
		ON CONFLICT (vulnerability_id, project_id, repository_id) DO UPDATE SET project_id = excluded.project_id`, report, repository)
	return err
}

// sameReport says whether the scanner's row of this image has this report already, and locks it.
func sameReport(tx *db.Tx, r ScanResult) (bool, error) {
	n, err := tx.Exec(`UPDATE scan SET tried_at = $5 WHERE repository_id = (SELECT id FROM repository WHERE name = $1) AND digest = $2 AND scanner = $3 AND report_id = $4`,
		r.Repository, r.Digest, r.Scanner, r.Report, tx.Now())
	return n > 0, err
}

// Scans returns what each scanner found last in an image of a repository.
func (s *Store) Scans(ctx context.Context, repository, digest string) ([]core.Scan, error) {
	return rows(s.reads(ctx), `SELECT s.scanner, s.scanned_at, s.database_at, s.problem, COALESCE(p.facts, '')
		FROM repository r JOIN scan s ON s.repository_id = r.id AND s.digest = $2 LEFT JOIN scan_report p ON p.id = s.report_id
		WHERE r.name = $1 ORDER BY s.scanner`, []any{repository, digest}, func(row func(...any) error) (x core.Scan, err error) {
		var name, problem, facts string
		var scanned, database int64
		if err = row(&name, &scanned, &database, &problem, &facts); err != nil {
			return x, err
		}
		return parseScan(name, scanned, database, problem, facts)
	})
}

func parseScan(scanner string, scanned, database int64, problem, facts string) (x core.Scan, err error) {
	if facts != "" {
		if err = json.Unmarshal([]byte(facts), &x); err != nil {
			return x, err
		}
		x.ScannedAt = db.Time(scanned)
	}
	if x.Scanner, x.Problem = scanner, problem; database != 0 {
		x.DatabaseAt = db.Time(database)
	}
	return x, nil
}

// ChangeScan is published when images are to be scanned, or a scanner changed. It has no key.
const ChangeScan = "scan"

// OweScan notes in the transaction of a push that an image is to be scanned, if its project wants that.
func OweScan(tx *db.Tx, repository, digest string) error {
	n, err := tx.Exec(`INSERT INTO scan_owed (repository_id, digest, due_at)
		SELECT r.id, l.digest, CAST($3 AS BIGINT) FROM repository r JOIN project p ON p.id = r.project_id AND p.scan_on_push
		JOIN manifest_link l ON l.repository_id = r.id AND l.digest = $2
		WHERE r.name = $1 ON CONFLICT (repository_id, digest) DO NOTHING`, repository, digest, tx.Now())
	if err == nil && n > 0 {
		tx.Changed(ChangeScan, "")
	}
	return err
}
