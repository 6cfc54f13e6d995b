package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// ScanState is how far an artifact is with being scanned.
type ScanState string

// The states. Of several images of an index, the first of these that one of them is in.
const (
	ScanFailed ScanState = "failed" // the last try of a scanner came to no report; what was found before is told all the same
	ScanOwed   ScanState = "owed"   // it is to be scanned
	ScanDone   ScanState = "done"
	ScanNone   ScanState = "none" // nobody scanned it, or is going to
)

// ScanSummary is what scanners found in an artifact, in numbers; of an index, the most that was found in one of its images.
type ScanSummary struct {
	State      ScanState
	Scanner    string // whose report on vulnerabilities is the newest
	ScannedAt  time.Time
	DatabaseAt time.Time // of an index, the oldest
	ScanCounts
	Matched    bool   // vulnerabilities were looked for
	Problem    string // why it failed
	Incomplete string // why findings cannot be all there are

	images int // that anybody has looked at
}

// summaryImages is how many images of an index are looked at for its summary.
const summaryImages = 50

// imageOf begins a statement with the table image (top, digest): the given digests, and what they list if they are indexes.
func imageOf(st *statement, digests []string) {
	st.add(`WITH given (digest) AS (SELECT DISTINCT column1 FROM (VALUES `)
	for i := range rounded(len(digests)) {
		st.when(i > 0, `, `)
		st.add(`(CAST(? AS TEXT))`, digests[min(i, len(digests)-1)])
	}
	// CROSS JOIN: to SQLite it says in which order, else it reads all there is.
	st.add(`) AS v), below AS (SELECT g.digest AS top, m.target, ROW_NUMBER() OVER (PARTITION BY g.digest ORDER BY m.target) AS place
		FROM given g CROSS JOIN manifest_reference m WHERE m.manifest = g.digest AND m.kind = 'manifest'),
		image (top, digest) AS (SELECT digest, digest FROM given UNION ALL SELECT top, target FROM below WHERE place <= ?) `, summaryImages)
}

// scanRow is one scanner's row about an image, in numbers.
type scanRow struct {
	top, digest string
	ScanSummary
	reported bool
}

// scanRows reads what scanners found in digests of a repository, and in what those list.
func scanRows(q querier, repositoryID string, digests []string) ([]scanRow, error) {
	var st statement
	imageOf(&st, digests)
	st.add(`SELECT i.top, i.digest, s.scanner, s.scanned_at, s.database_at, s.problem, s.report_id IS NOT NULL, COALESCE(p.matched, FALSE), COALESCE(p.incomplete, ''),
		COALESCE(p.critical, 0), COALESCE(p.high, 0), COALESCE(p.medium, 0), COALESCE(p.low, 0), COALESCE(p.other, 0), COALESCE(p.fixable, 0), COALESCE(p.checks, 0)
		FROM image i CROSS JOIN scan s LEFT JOIN scan_report p ON p.id = s.report_id WHERE s.repository_id = ? AND s.digest = i.digest
		ORDER BY i.top, i.digest, s.scanner`, repositoryID)
	return rows(q, st.text.String(), st.args, func(row func(...any) error) (r scanRow, err error) {
		var scanned, database int64
		err = row(&r.top, &r.digest, &r.Scanner, &scanned, &database, &r.Problem, &r.reported, &r.Matched, &r.Incomplete,
			&r.Critical, &r.High, &r.Medium, &r.Low, &r.Other, &r.Fixable, &r.Checks)
		if scanned != 0 {
			r.ScannedAt = db.Time(scanned)
		}
		if database != 0 {
			r.DatabaseAt = db.Time(database)
		}
		return r, err
	})
}

// owedImages are those of digests that are to be scanned themselves, or list what is.
func owedImages(q querier, repositoryID string, digests []string) (map[string]bool, error) {
	var st statement
	imageOf(&st, digests)
	st.add(`SELECT DISTINCT i.top FROM image i CROSS JOIN scan_owed o WHERE o.repository_id = ? AND o.digest = i.digest`, repositoryID)
	all, err := rows(q, st.text.String(), st.args, scanText)
	owed := map[string]bool{}
	for _, digest := range all {
		owed[digest] = true
	}
	return owed, err
}

// scanSummaries sums up what was found in digests of a repository, by two statements for all of them.
func scanSummaries(q querier, repositoryID string, digests []string) (map[string]*ScanSummary, error) {
	all, err := scanRows(q, repositoryID, digests)
	if err != nil {
		return nil, err
	}
	owed, err := owedImages(q, repositoryID, digests)
	if err != nil {
		return nil, err
	}
	out := map[string]*ScanSummary{}
	for _, d := range digests {
		out[d] = &ScanSummary{State: ScanNone}
		if owed[d] {
			out[d].State = ScanOwed
		}
	}
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(r scanRow) bool { return r.top != all[0].top || r.digest != all[0].digest })
		if n < 0 {
			n = len(all)
		}
		out[all[0].top].add(imageSummary(all[:n]))
		out[all[0].top].images++
		all = all[n:]
	}
	return out, nil
}

// imageSummary is what all scanners found in one image: vulnerabilities as the newest report has them, checks of all of them.
func imageSummary(all []scanRow) ScanSummary {
	sum := ScanSummary{State: ScanNone}
	var checks int64
	for i := range all {
		r := &all[i]
		checks += r.Checks
		if r.reported && (sum.Scanner == "" || r.Matched && (!sum.Matched || r.ScannedAt.After(sum.ScannedAt))) {
			sum = ScanSummary{State: sum.State, Scanner: r.Scanner, ScannedAt: r.ScannedAt, DatabaseAt: r.DatabaseAt, ScanCounts: r.ScanCounts,
				Matched: r.Matched, Problem: sum.Problem, Incomplete: r.Incomplete}
		}
		switch {
		case r.Problem != "":
			sum.State, sum.Problem = ScanFailed, cmp.Or(sum.Problem, r.Problem)
		case sum.State == ScanNone:
			sum.State = ScanDone
		}
	}
	sum.Checks = checks
	return sum
}

// add takes another image into the summary of an index.
func (s *ScanSummary) add(x ScanSummary) {
	first := s.Scanner == ""
	for _, state := range []ScanState{ScanFailed, ScanOwed, ScanDone, ScanNone} {
		if s.State == state || x.State == state {
			s.State = state
			break
		}
	}
	s.Scanner = cmp.Or(s.Scanner, x.Scanner)
	s.Problem, s.Incomplete = cmp.Or(s.Problem, x.Problem), cmp.Or(s.Incomplete, x.Incomplete)
	if x.Scanner == "" {
		return
	}
	s.Matched = x.Matched && (first || s.Matched)
	if first || x.ScannedAt.Before(s.ScannedAt) {
		s.ScannedAt = x.ScannedAt
	}
	if first || x.DatabaseAt.Before(s.DatabaseAt) {
		s.DatabaseAt = x.DatabaseAt
	}
	for mine, other := range map[*int64]int64{&s.Critical: x.Critical, &s.High: x.High, &s.Medium: x.Medium, &s.Low: x.Low, &s.Other: x.Other,
		&s.Fixable: x.Fixable, &s.Checks: x.Checks} {
		*mine = max(*mine, other)
	}
}

// FoundScan is what a scanner found in a digest of a repository.
type FoundScan struct {
	Digest string
	core.Scan
}

// ScansOf returns what scanners found last in some digests of a repository, in order of digest and scanner.
func (s *Store) ScansOf(ctx context.Context, repository string, digests []string) ([]FoundScan, error) {
	var st statement
	st.add(`SELECT s.digest, s.scanner, s.scanned_at, s.database_at, s.problem, COALESCE(p.facts, '')
		FROM repository r JOIN scan s ON s.repository_id = r.id LEFT JOIN scan_report p ON p.id = s.report_id WHERE r.name = ? AND s.digest IN `, repository)
	st.in(digests)
	st.add(` ORDER BY s.digest, s.scanner`)
	return rows(s.reads(ctx), st.text.String(), st.args, scanFound)
}

func scanFound(row func(...any) error) (f FoundScan, err error) {
	var name, problem, facts string
	var scanned, database int64
	if err = row(&f.Digest, &name, &scanned, &database, &problem, &facts); err == nil {
		f.Scan, err = parseScan(name, scanned, database, problem, facts)
	}
	return f, err
}

// ImagePosition is the place of an image in the list of a project.
type ImagePosition struct{ RepositoryID, Digest string }

// ProjectScan is what a scanner found in an image of a project.
type ProjectScan struct {
	ImagePosition
	Repository string // whole name
	core.Scan
}

// ProjectScans lists what was found in the images of a project behind a place, all that scanners found in n images at most; more
// says that there are further ones.
func (s *Store) ProjectScans(ctx context.Context, p *core.Project, after ImagePosition, n int) (scans []ProjectScan, more bool, err error) {
	var st statement
	st.add(`WITH image AS (SELECT DISTINCT r.id, r.name, s.digest FROM repository r JOIN scan s ON s.repository_id = r.id
		WHERE r.project_id = ? AND (r.id, s.digest) > (?, ?) ORDER BY r.id, s.digest LIMIT `+limit(n+1)+`)
		SELECT i.id, i.name, s.digest, s.scanner, s.scanned_at, s.database_at, s.problem, COALESCE(p.facts, '')
		FROM image i CROSS JOIN scan s LEFT JOIN scan_report p ON p.id = s.report_id WHERE s.repository_id = i.id AND s.digest = i.digest
		ORDER BY i.id, s.digest, s.scanner`, p.ID, after.RepositoryID, after.Digest)
	images := map[ImagePosition]bool{}
	all, err := rows(s.reads(ctx), st.text.String(), st.args, scanProjectScan)
	for i := range all {
		if images[all[i].ImagePosition] = true; len(images) > n {
			return all[:i], true, err
		}
	}
	return all, false, err
}

func scanProjectScan(row func(...any) error) (x ProjectScan, err error) {
	f, err := scanFound(func(dest ...any) error { return row(append([]any{&x.RepositoryID, &x.Repository}, dest...)...) })
	x.Digest, x.Scan = f.Digest, f.Scan
	return x, err
}

// ImageScans returns what scanners found in one image.
func (s *Store) ImageScans(ctx context.Context, at ImagePosition) ([]ProjectScan, error) {
	return rows(s.reads(ctx), `SELECT r.id, r.name, s.digest, s.scanner, s.scanned_at, s.database_at, s.problem, COALESCE(p.facts, '')
		FROM repository r JOIN scan s ON s.repository_id = r.id LEFT JOIN scan_report p ON p.id = s.report_id
		WHERE r.id = $1 AND s.digest = $2 ORDER BY s.scanner`, []any{at.RepositoryID, at.Digest}, scanProjectScan)
}
