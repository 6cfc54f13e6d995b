package local_test

import (
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
	"github.com/hallmarkhub/hallmark/registry/blob/memory"
	"github.com/hallmarkhub/hallmark/registry/local"
)

// TestCatalogOfSome: a page is read in one way for one project and in another for several.
func TestCatalogOfSome(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t), memory.New(memory.Options{}), local.Options{})
		for _, repo := range []string{"p1/b", "p2/c", "p1/a", "p2/d"} {
			h.image(repo, "latest", "config")
		}
		h.blobs("p1/never-pushed", "config")
		see := func(public bool, after string, projects string, want string) {
			t.Helper()
			p, err := h.Repositories(h.ctx, registry.RepositoryQuery{N: 2, After: after, Public: public, Projects: strings.Fields(projects)})
			h.must(err)
			got := strings.Join(p.Names, " ")
			if p.More {
				got += " .."
			}
			if got != want {
				t.Errorf("public %v, %q, after %q: %q, want %q", public, projects, after, got, want)
			}
		}
		see(true, "", "", "")
		see(true, "", "p1", "p1/a p1/b")
		see(false, "", "p2", "p2/c p2/d")
		see(false, "p2/c", "p2", "p2/d")
		see(false, "", "p1 p2", "p1/a p1/b ..")
		see(false, "p1/b", "p2 p1 no-such-project", "p2/c p2/d")
		see(false, "", "no-such-project", "")
		h.exec(`UPDATE project SET visibility = 'public' WHERE name = 'p2'`)
		see(true, "", "", "p2/c p2/d")
		see(true, "", "p2", "p2/c p2/d")
		see(false, "", "", "")
		see(false, "", "p1", "p1/a p1/b")
		see(true, "p1/a", "p1", "p1/b p2/c ..")
		h.exec(`UPDATE project SET visibility = 'public' WHERE name = 'p1'`)
		see(true, "p1/a", "p2", "p1/b p2/c ..")
		see(true, "p1/b", "p1 p2", "p2/c p2/d")
	})
}

// TestCatalogPlan: a page is read from an index that has it in order, and from nothing else.
func TestCatalogPlan(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		h := newHub(t, open(t), memory.New(memory.Options{}), local.Options{})
		h.image("p1/a", "latest", "config")
		var r db.Recorder
		h.db.Record(&r)
		for _, q := range []registry.RepositoryQuery{{N: 100, All: true}, {N: 100, Projects: []string{"p1"}}} {
			_, err := h.Repositories(h.ctx, q)
			h.must(err)
		}
		h.db.Record(nil)
		for _, text := range r.Take() {
			if !strings.Contains(text, "FROM repository") {
				continue
			}
			index, args := "repository_project_listed", []any{"p1", ""}
			if !strings.Contains(text, "project_id") {
				if h.db.Engine() == db.Postgres {
					continue // of an empty table any index will do
				}
				index, args = "repository_listed", []any{""}
			}
			plan := strings.Join(h.plan(text, args...), "\n")
			for _, bad := range []string{"Sort", "TEMP B-TREE", "Seq Scan"} {
				if strings.Contains(plan, bad) {
					t.Errorf("%s:\n%s", bad, plan)
				}
			}
			if !strings.Contains(plan, "COVERING INDEX "+index) && !strings.Contains(plan, "Index Only Scan using "+index) {
				t.Errorf("it is not read from %s alone:\n%s", index, plan)
			}
		}
	})
}

// plan is how the engine would run a query. Postgres is told that the tables are not as small as they are.
func (h *hub) plan(query string, args ...any) (lines []string) {
	h.Helper()
	if h.db.Engine() == db.Postgres {
		h.must(h.db.Write(h.ctx, func(tx *db.Tx) error {
			if _, err := tx.Exec(`SET LOCAL enable_seqscan = off`); err != nil {
				return err
			}
			if _, err := tx.Exec(`SET LOCAL enable_bitmapscan = off`); err != nil {
				return err
			}
			return tx.Query(`EXPLAIN `+query, args, func(scan func(...any) error) error {
				var line string
				err := scan(&line)
				lines = append(lines, line)
				return err
			})
		}))
		return lines
	}
	h.must(h.db.Query(h.ctx, `EXPLAIN QUERY PLAN `+query, args, func(scan func(...any) error) error {
		var id, parent, unused int
		var line string
		err := scan(&id, &parent, &unused, &line)
		lines = append(lines, line)
		return err
	}))
	return lines
}
