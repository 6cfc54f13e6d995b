package work_test

import (
	"fmt"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/scan"
	"github.com/hallmarkhub/hallmark/core/scan/scannertest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/work"
)

// labelled is a configuration with so many labels, the last of so many bytes.
func labelled(labels, last int) string {
	all := make([]string, labels)
	for i := range all {
		all[i] = fmt.Sprintf(`"l%03d":"x"`, i)
	}
	all[labels-1] = `"last":"` + strings.Repeat("x", last-len("last")) + `"`
	return `{"config":{"User":"nobody","Labels":{` + strings.Join(all, ",") + `}}}`
}

// An image says of itself what there is, up to the limits; past them it says nothing, and is scanned all the same.
func TestLimitsOfConfigurations(t *testing.T) {
	each(t, func(h *hub) {
		s := newScanHub(h, nil)
		s.scanner("one", scannertest.New(h.t, scannertest.Options{Vulnerabilities: true}), true)
		s.start(1)
		const most = 4 << 20
		small := labelled(1, 10)
		for name, c := range map[string]struct {
			config string
			labels int // -1: it says nothing
		}{
			"labels":       {labelled(200, 10), 200},
			"more-labels":  {labelled(201, 10), -1},
			"label":        {labelled(1, 4<<10), 1},
			"larger-label": {labelled(1, 4<<10+1), -1},
			"bytes":        {small + strings.Repeat(" ", most-len(small)), 1},
			"more-bytes":   {small + strings.Repeat(" ", most+1-len(small)), -1},
		} {
			x := s.found("team/app", s.pushConfigured("team/app", name, ocispec.MediaTypeImageLayer, c.config), "one")
			if !x.Scanned() || (x.Image == nil) != (c.labels < 0) || x.Image != nil && len(x.Image.Labels) != c.labels {
				h.t.Errorf("%s: %v, %q", name, x.Image != nil, x.Problem)
			}
		}
	})
}

// A scanner has 500 jobs at once; the next image waits without one until one of these has ended.
func TestLimitOfJobsOfAScanner(t *testing.T) {
	each(t, func(h *hub) {
		s := newScanHub(h, nil)
		s.Register(work.KindScan, work.Scan(s.scans, 2))
		s.scanner("one", scannertest.New(h.t, scannertest.Options{Vulnerabilities: true}), true)
		s.ok(s.scans.CheckAll(s.ctx))
		s.push("team/app", "one", ocispec.MediaTypeImageLayer)
		s.exec(`INSERT INTO manifest (digest, media_type, size, payload, created_at)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT 'sha256:' || n.i, m.media_type, m.size, m.payload, 1 FROM n CROSS JOIN manifest m`)
		s.exec(`INSERT INTO manifest_link (repository_id, digest, leased_until, pushed_at, pushed_by)
			SELECT r.id, m.digest, 0, 1, 'x' FROM repository r CROSS JOIN manifest m WHERE m.created_at = 1`)
		s.exec(`INSERT INTO scan_owed (repository_id, digest, due_at) SELECT r.id, m.digest, 1 FROM repository r CROSS JOIN manifest m WHERE m.created_at = 1`)
		plan := func(want int) {
			h.t.Helper()
			n, err := s.scans.Plan(s.ctx, scan.Planning{Next: jobservice.Next, Scan: func(tx *db.Tx, scanner string, o store.OwedScan) (string, error) {
				return s.Enqueue(tx, work.ScanJob(o.ProjectID, work.ScanPayload{Repository: o.Repository, Digest: o.Digest, Scanner: scanner}))
			}})
			if s.ok(err); n != want {
				h.t.Errorf("%d are planned, not %d", n, want)
			}
		}
		if n := s.count(`SELECT COUNT(*) FROM scan_owed`); n != 501 {
			h.t.Fatalf("%d images are owed a scan", n)
		}
		plan(500)
		plan(0)
		s.exec(`UPDATE job SET state = 'done' WHERE id = (SELECT MIN(id) FROM job WHERE kind = 'scan')`)
		plan(1)
	})
}

// One scanner is asked for as many scans at once as it may, and for the next when one of them has ended.
func TestLimitOfScansAtOnce(t *testing.T) {
	each(t, func(h *hub) {
		s := newScanHub(h, nil)
		a := scannertest.New(h.t, scannertest.Options{Vulnerabilities: true})
		release := a.Hold()
		defer release()
		s.scanner("one", a, true)
		s.start(2)
		for i := range 3 {
			s.push("team/app", fmt.Sprint("image", i), ocispec.MediaTypeImageLayer)
		}
		s.until("three jobs", func() bool { return s.count(`SELECT COUNT(*) FROM job WHERE kind = 'scan'`) == 3 })
		<-a.Asked()
		<-a.Asked()
		if running, waiting := s.count(`SELECT COUNT(*) FROM job WHERE kind = 'scan' AND state = 'running'`), s.count(`SELECT COUNT(*) FROM job WHERE kind = 'scan' AND state = 'queued'`); running != 2 || waiting != 1 || len(a.Scans()) != 2 {
			h.t.Errorf("%d run, %d wait, it was asked for %d", running, waiting, len(a.Scans()))
		}
		release()
		<-a.Asked()
		s.until("the end of all", func() bool { return s.count(`SELECT COUNT(*) FROM scan WHERE report_id IS NOT NULL`) == 3 })
	})
}
