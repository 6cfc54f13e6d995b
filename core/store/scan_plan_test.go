package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// manyOwed has many images wait for a scan: of two pushed first, all others asked for by batches.
func (h *hub) manyOwed(p *core.Project, images int) {
	h.t.Helper()
	h.push(p, "app", "sha256:first", 1)
	id := h.repositoryID(p.Name + "/app")
	h.exec(`INSERT INTO manifest (digest, media_type, size, payload, created_at, config_type)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT 'sha256:' || (100000 + i), 'application/vnd.oci.image.manifest.v1+json', 2, $2, 1, 'application/vnd.oci.image.config.v1+json' FROM n`, images, []byte("{}"))
	h.exec(`INSERT INTO manifest_link (repository_id, digest, leased_until, pushed_at, pushed_by)
		SELECT CAST($1 AS TEXT), digest, 0, 1, 'x' FROM manifest WHERE digest > 'sha256:1' AND digest < 'sha256:2'`, id)
	h.exec(`INSERT INTO scan_owed (repository_id, digest, due_at, batch)
		SELECT repository_id, digest, 1, CASE WHEN digest > 'sha256:100002' THEN 'batch' ELSE '' END FROM manifest_link WHERE digest > 'sha256:1' AND digest < 'sha256:2'`)
	for _, table := range []string{"scan_owed", "repository", "project"} {
		h.exec(`ANALYZE ` + table)
	}
}

// However many images wait, what is next is read from its place, and nothing goes through all of them or sorts them.
func TestPlansOfOwedScans(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		h.scannerRow("trivy")
		h.exec(`UPDATE scanner SET is_default = TRUE`)
		const images = 20000
		h.manyOwed(p, images)
		var r db.Recorder
		h.db.Record(&r)
		all, err := h.OwedScans(h.admin, "trivy", 3)
		h.ok(err)
		if len(all) != 3 || all[0].Batch != "" || all[1].Batch != "" || all[2].Batch != "batch" {
			t.Errorf("not what was pushed first: %+v", all)
		}
		b := store.ScanBatch{Job: "other", Since: time.Unix(0, 0)}
		next, _, err := h.OweScans(h.admin, b, "", 10)
		h.ok(err)
		if next, _, err = h.OweScans(h.admin, b, next, 10); err != nil || !strings.HasSuffix(next, "sha256:100020") {
			t.Errorf("it ends at %q, %v", next, err)
		}
		_, err = h.ScanOwedAt(h.admin, "team/app", "sha256:100001")
		h.ok(err)
		if n, err := h.BatchLeft(h.admin, "batch"); err != nil || n != images-2 {
			t.Errorf("%d are left, %v", n, err)
		}
		h.ok(h.SettleOwedScans(h.admin))
		h.db.Record(nil)
		plans := 0
		for _, text := range r.Take() {
			if !strings.Contains(text, "scan_owed") && !strings.Contains(text, "FROM manifest_link l") || strings.HasPrefix(text, "INSERT") {
				continue
			}
			plans++
			plan := h.planOf(text)
			for _, bad := range []string{"Seq Scan on scan_owed", "Seq Scan on manifest_link", "SCAN o\n", "SCAN scan_owed\n", "SCAN l\n", "AUTOMATIC", "Sort", "ORDER BY"} {
				if strings.Contains(plan, bad) {
					t.Errorf("%s: %s\n%s", bad, text, plan)
				}
			}
		}
		if plans < 8 {
			t.Errorf("%d statements were looked at", plans)
		}
		// Nobody runs that batch: what it asked for went with it, and what was pushed still waits.
		if n := h.count("scan_owed"); n != 2 {
			t.Errorf("%d are owed", n)
		}
	})
}

// planOf is the plan of a statement, with any arguments.
func (h *hub) planOf(text string) string {
	h.t.Helper()
	var args []any
	for i := 1; strings.Contains(text, fmt.Sprintf("$%d", i)); i++ {
		arg := any("x")
		for _, number := range []string{"due_at <= $%d", "attempts >= $%d", "LIMIT $%d", "CAST($%d AS BIGINT)"} {
			if strings.Contains(text, fmt.Sprintf(number, i)) {
				arg = 1
			}
		}
		args = append(args, arg)
	}
	return strings.Join(h.plan(text, args...), "\n") + "\n"
}
