package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// finding is one of a Go module, as ID:severity[:fixed].
func finding(text string) core.Finding {
	part := append(strings.Split(text, ":"), "", "")
	return core.Finding{ID: part[0], Severity: core.Severity(part[1]), Fixed: part[2], Package: "golang.org/x/text", Version: "v0.3.0",
		PURL: "pkg:golang/golang.org/x/text@v0.3.0"}
}

func found(texts ...string) *core.Scan {
	s := &core.Scan{Matched: true}
	for _, text := range texts {
		s.Findings = append(s.Findings, finding(text))
	}
	return s
}

// report saves a report of these findings.
func (h *hub) report(s *core.Scan, described ...core.Vulnerability) int64 {
	h.t.Helper()
	id, err := h.SaveReport(h.admin, s, described)
	h.ok(err)
	return id
}

func (h *hub) setScan(r store.ScanResult) (there bool) {
	h.t.Helper()
	h.ok(h.db.Write(h.admin, func(tx *db.Tx) (err error) {
		there, err = store.SetScan(tx, r)
		return err
	}))
	return there
}

// scannerRow makes a scanner, without which what it found does not stay.
func (h *hub) scannerRow(name string) {
	h.t.Helper()
	_, _, err := h.PutScanner(h.admin, ring(h), name, store.ScannerPut{URL: "https://" + name + ".example.org"}, 0)
	h.ok(err)
}

// scanned pushes an image and says that trivy found this in it.
func (h *hub) scanned(p *core.Project, repository, digest string, report int64, tags ...string) {
	h.t.Helper()
	h.push(p, repository, digest, 1, tags...)
	if !h.setScan(store.ScanResult{Repository: p.Name + "/" + repository, Digest: digest, Scanner: "trivy", Report: report}) {
		h.t.Fatal("the image is not there")
	}
}

func TestSaveReport(t *testing.T) {
	eachHub(t, func(h *hub) {
		a := found("CVE-1:Low", "CVE-2:Critical:v1", "CVE-3:Negligible")
		a.Checks = []core.Check{{Kind: core.CheckSecret, ID: "key", Severity: core.SeverityLow}, {Kind: core.CheckSecret, ID: "aws", Severity: core.SeverityHigh}}
		first := h.report(a, core.Vulnerability{ID: "CVE-2", Severity: core.SeverityCritical, Title: "Bad", Links: []string{"https://example.org"}})
		if a.Findings[0].ID != "CVE-2" || a.Findings[2].ID != "CVE-3" || a.Checks[0].ID != "aws" {
			t.Errorf("not in order: %+v", a)
		}
		b := found("CVE-3:Negligible", "CVE-2:Critical:v1", "CVE-1:Low")
		b.Checks = []core.Check{a.Checks[1], a.Checks[0]}
		if again := h.report(b); again != first {
			t.Errorf("the same in another order is %d and %d", first, again)
		}
		if other := h.report(found("CVE-1:Low")); other == first {
			t.Error("another report is the same")
		}
		// What the scanner describes not is there all the same, and does not hide what was said before.
		all, err := h.VulnerabilitiesNamed(h.admin, []string{"CVE-1", "CVE-2", "CVE-3", "CVE-4"})
		if h.ok(err); len(all) != 3 || all["CVE-1"].Severity != core.SeverityLow || all["CVE-2"].Title != "Bad" || all["CVE-2"].Links[0] != "https://example.org" {
			t.Errorf("%+v", all)
		}
		if h.count("finding") != 4 {
			t.Errorf("%d findings", h.count("finding"))
		}
		h.report(found("CVE-9:Low"), core.Vulnerability{ID: "CVE-2", Severity: core.SeverityHigh, Title: "Not so bad"})
		if all, err = h.VulnerabilitiesNamed(h.admin, []string{"CVE-2"}); err != nil || all["CVE-2"].Title != "Not so bad" || all["CVE-2"].Severity != core.SeverityHigh {
			t.Errorf("%+v %v", all, err)
		}
		for _, bad := range []string{"CVE\x00-1", "CVE\n1", strings.Repeat("x", 256), "CVE-\xff"} {
			if _, err := h.SaveReport(h.admin, found(bad+":Low"), nil); core.CodeOf(err) != core.CodeInvalid {
				t.Errorf("%q: %v", bad, err)
			}
			if _, err := h.SaveReport(h.admin, found(), []core.Vulnerability{{ID: bad}}); core.CodeOf(err) != core.CodeInvalid {
				t.Errorf("%q: %v", bad, err)
			}
		}
		h.report(found(strings.Repeat("x", 255) + ":Low"))
		// What is no text is left out of titles and reasons.
		odd := found("CVE-5:Low")
		odd.Incomplete = "no\x00thing\n\xff"
		h.report(odd, core.Vulnerability{ID: "CVE-5", Title: "a\x00\x1b[31mb\xff" + strings.Repeat("x", 4096)})
		if all, err = h.VulnerabilitiesNamed(h.admin, []string{"CVE-5"}); err != nil || !strings.HasPrefix(all["CVE-5"].Title, "a  [31mbx") || len(all["CVE-5"].Title) > 4096 {
			t.Errorf("%.20q %v", all["CVE-5"].Title, err)
		}
	})
}

// A report of many vulnerabilities is saved in several short transactions.
func TestManyFindings(t *testing.T) {
	eachHub(t, func(h *hub) {
		s, described := &core.Scan{Matched: true}, []core.Vulnerability{}
		for i := range 1001 {
			f := finding(fmt.Sprintf("CVE-%04d:High:v1", i))
			s.Findings = append(s.Findings, f)
			described = append(described, core.Vulnerability{ID: f.ID, Severity: f.Severity, Title: f.ID})
		}
		h.report(s, described...)
		if n := store.Counts(s); n.High != 1001 || n.Fixable != 1001 || h.count("finding") != 1001 || h.count("vulnerability") != 1001 {
			t.Errorf("%+v, %d findings, %d vulnerabilities", n, h.count("finding"), h.count("vulnerability"))
		}
	})
}

func TestSetScan(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		h.push(p, "app", "sha256:img", 1)
		r := store.ScanResult{Repository: "team/app", Digest: "sha256:img", Scanner: "trivy"}
		one := func() core.Scan {
			t.Helper()
			all, err := h.Scans(h.admin, "team/app", "sha256:img")
			if h.ok(err); len(all) != 1 {
				t.Fatalf("%+v", all)
			}
			return all[0]
		}
		r.Problem = "it hangs\nfor ever"
		h.setScan(r)
		if s := one(); s.Scanned() || s.Problem != "it hangs for ever" || !s.DatabaseAt.IsZero() {
			t.Errorf("%+v", s)
		}
		r.Problem, r.Report, r.DatabaseAt = "", h.report(found("CVE-1:Low")), time.Unix(1700000000, 0)
		h.setScan(r)
		first := one()
		if !first.Scanned() || first.Problem != "" || len(first.Findings) != 1 || first.DatabaseAt.Unix() != 1700000000 || !first.Matched {
			t.Errorf("%+v", first)
		}
		// A try that fails keeps what was found, and when.
		h.setScan(store.ScanResult{Repository: r.Repository, Digest: r.Digest, Scanner: r.Scanner, Problem: "no answer"})
		if s := one(); s.Problem != "no answer" || len(s.Findings) != 1 || !s.ScannedAt.Equal(first.ScannedAt) || s.DatabaseAt != first.DatabaseAt {
			t.Errorf("%+v", s)
		}
		r.Report, r.DatabaseAt = h.report(found("CVE-2:Low")), time.Time{}
		h.setScan(r)
		if s := one(); s.Findings[0].ID != "CVE-2" || s.Problem != "" || !s.DatabaseAt.IsZero() {
			t.Errorf("%+v", s)
		}
		// Another scanner has its own row, and another repository its own too.
		h.push(p, "copy", "sha256:img", 1)
		h.setScan(store.ScanResult{Repository: "team/app", Digest: "sha256:img", Scanner: "clair", Report: r.Report})
		all, err := h.Scans(h.admin, "team/app", "sha256:img")
		if h.ok(err); len(all) != 2 || all[0].Scanner != "clair" {
			t.Errorf("%+v", all)
		}
		if all, err = h.Scans(h.admin, "team/copy", "sha256:img"); err != nil || len(all) != 0 {
			t.Errorf("%+v %v", all, err)
		}
		for _, gone := range []store.ScanResult{{Repository: "team/app", Digest: "sha256:no"}, {Repository: "team/no", Digest: "sha256:img"}} {
			if gone.Scanner, gone.Report = "trivy", r.Report; h.setScan(gone) {
				t.Errorf("%+v is there", gone)
			}
		}
		h.exec(`DELETE FROM manifest_link WHERE digest = 'sha256:img'`)
		if h.count("scan") != 0 || h.setScan(r) {
			t.Error("a scan outlasts its image")
		}
	})
}

// Two processes end scans at once: both rows are there, and one report.
func TestScansAtOnce(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		const n = 8
		for i := range n {
			h.push(p, "app", fmt.Sprintf("sha256:%d", i), 1)
		}
		errs := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				id, err := h.SaveReport(h.admin, found("CVE-2:High", "CVE-1:Low", "CVE-3:Low"), []core.Vulnerability{{ID: "CVE-1", Title: fmt.Sprint(i)}})
				if err == nil {
					err = h.db.Write(h.admin, func(tx *db.Tx) error {
						_, err := store.SetScan(tx, store.ScanResult{Repository: "team/app", Digest: fmt.Sprintf("sha256:%d", i), Scanner: "trivy", Report: id})
						return err
					})
				}
				errs[i] = err
			})
		}
		all.Wait()
		for _, err := range errs {
			h.ok(err)
		}
		if h.count("scan") != n || h.count("scan_report") != 1 || h.count("finding") != 3 || h.count("vulnerability_place") != 3 {
			t.Errorf("%d scans, %d reports, %d findings, %d places", h.count("scan"), h.count("scan_report"), h.count("finding"), h.count("vulnerability_place"))
		}
	})
}

func TestOweScan(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		owe := func(digest string, want int) {
			t.Helper()
			h.ok(h.db.Write(h.admin, func(tx *db.Tx) error { return store.OweScan(tx, "team/app", digest) }))
			if n := h.count("scan_owed"); n != want {
				t.Fatalf("%d are owed, want %d", n, want)
			}
		}
		h.push(p, "app", "sha256:a", 1)
		h.push(p, "app", "sha256:b", 1)
		owe("sha256:a", 1)
		owe("sha256:a", 1)
		owe("sha256:gone", 1)
		h.exec(`UPDATE project SET scan_on_push = FALSE WHERE name = 'team'`)
		owe("sha256:b", 1)
		h.exec(`DELETE FROM manifest_link WHERE digest = 'sha256:a'`)
		if h.count("scan_owed") != 0 {
			t.Error("what is gone is owed")
		}
	})
}

// An image waits for a scan no longer when one ended, whoever asked for it; unless it is to be scanned again since that began.
func TestScanEndsWhatIsOwed(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		h.push(p, "app", "sha256:a", 1, "v1")
		r := store.ScanResult{Repository: "team/app", Digest: "sha256:a", Scanner: "trivy", Report: h.report(found("CVE-1:Low"))}
		owe := func() {
			t.Helper()
			h.ok(h.db.Write(h.admin, func(tx *db.Tx) error { return store.OweScan(tx, r.Repository, r.Digest) }))
		}
		begin := func() {
			t.Helper()
			var err error
			r.Owed, err = h.ScanOwedAt(h.admin, r.Repository, r.Digest)
			h.ok(err)
		}
		state := func(want store.ScanState) {
			t.Helper()
			a, err := h.Artifact(h.admin, p, "app", "v1")
			if h.ok(err); a.Scan.State != want {
				t.Errorf("it is %s, not %s", a.Scan.State, want)
			}
		}
		owe()
		state(store.ScanOwed)
		begin()
		h.setScan(store.ScanResult{Repository: r.Repository, Digest: r.Digest, Scanner: r.Scanner, Owed: r.Owed, Problem: "no answer"})
		if h.count("scan_owed") != 1 {
			t.Error("a scan that came to nothing ended what is owed")
		}
		h.setScan(r)
		state(store.ScanDone)
		begin()
		owe() // while it is scanned
		h.setScan(r)
		state(store.ScanOwed)
		begin()
		h.exec(`DELETE FROM scan_owed`)
		h.exec(`INSERT INTO scan_owed (repository_id, digest, due_at) SELECT id, 'sha256:a', $1 FROM repository`, r.Owed+1)
		h.setScan(r)
		state(store.ScanOwed)
		begin()
		h.setScan(r)
		state(store.ScanDone)
	})
}

// Reports go when no scan names them, after a while; and not before somebody who has just saved one could name it.
func TestSweepReports(t *testing.T) {
	eachHub(t, func(h *hub) {
		h.scannerRow("trivy")
		p := h.project(h.admin, "team", core.Private)
		used, unused := h.report(found("CVE-1:Low")), h.report(found("CVE-1:Low", "CVE-2:Low"))
		h.scanned(p, "app", "sha256:a", used)
		h.scanned(p, "app", "sha256:b", unused)
		sweep := func(want int) {
			t.Helper()
			n, err := h.SweepReports(h.admin)
			if h.ok(err); n != want {
				t.Fatalf("%d removed, want %d", n, want)
			}
		}
		sweep(0)
		h.exec(`DELETE FROM manifest_link WHERE digest = 'sha256:b'`)
		sweep(1) // the place of CVE-2
		day := (24 * time.Hour).Microseconds()
		h.exec(`UPDATE scan_report SET touched_at = touched_at - $1`, day/2+1)
		sweep(0)
		if again := h.report(found("CVE-1:Low", "CVE-2:Low")); again != unused {
			t.Fatal("it is another report")
		}
		h.exec(`UPDATE scan_report SET touched_at = touched_at - $1`, day/2)
		sweep(0) // it was touched when it was saved again
		h.exec(`UPDATE scan_report SET touched_at = touched_at - $1`, day)
		sweep(1)
		if h.count("scan_report") != 1 || h.count("finding") != 1 || h.count("vulnerability_place") != 1 {
			t.Error("another report went too, or something of it is left")
		}
		h.scanned(p, "app", "sha256:c", h.report(found("CVE-1:Low", "CVE-2:Low")))
		if h.count("vulnerability_place") != 2 {
			t.Error("what came again is not found")
		}
		h.exec(`DELETE FROM scan WHERE digest = 'sha256:c'`)
		h.exec(`INSERT INTO vulnerability_alias (name, alias, import_id, title) VALUES ('a', 'b', '0198c1a2-7d33-7c41-9a5e-5d1f0f6a2b10', '')`)
		sweep(2) // the place, and what is left of an import
	})
}

// A sweep and scans that name the same vulnerability at the same time never leave a finding that is not found.
func TestSweepBesideScans(t *testing.T) {
	eachHub(t, func(h *hub) {
		h.scannerRow("trivy")
		p := h.project(h.admin, "team", core.Private)
		with, without := h.report(found("CVE-1:Low")), h.report(found())
		h.scanned(p, "app", "sha256:a", with)
		var all sync.WaitGroup
		stop := make(chan struct{})
		var swept error
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := h.SweepReports(context.WithoutCancel(h.admin)); err != nil {
						swept = err
						return
					}
				}
			}
		})
		for range 20 {
			for _, id := range []int64{without, with} {
				h.setScan(store.ScanResult{Repository: "team/app", Digest: "sha256:a", Scanner: "trivy", Report: id})
			}
			if n := h.count("vulnerability_place"); n != 1 {
				t.Errorf("it is found in %d places", n)
				break
			}
		}
		close(stop)
		all.Wait()
		h.ok(swept)
	})
}
