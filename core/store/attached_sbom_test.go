package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

// What the hub has attached to an image: one of each format, which somebody else has not changed meanwhile.
func TestAttachedSBOMs(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		h.push(p, "app", "sha256:img", 1)
		for _, carrier := range []string{"sha256:a", "sha256:b", "sha256:c"} {
			h.push(p, "app", carrier, 2)
		}
		set := func(subject, replaces, carrier string) error {
			return h.db.Write(h.admin, func(tx *db.Tx) error {
				return store.SetAttachedSBOM(tx, "team/app", subject, replaces, store.AttachedSBOM{Format: "spdx", Carrier: carrier, Basis: "of " + carrier})
			})
		}
		overtaken := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, store.ErrOvertaken) {
				t.Errorf("%s: %v", what, err)
			}
		}
		overtaken("about nothing", set("sha256:none", "", "sha256:a"))
		h.ok(set("sha256:img", "", "sha256:a"))
		overtaken("as the first", set("sha256:img", "", "sha256:b"))
		overtaken("in place of another one", set("sha256:img", "sha256:b", "sha256:c"))
		h.ok(set("sha256:img", "sha256:a", "sha256:b"))
		there, err := h.AttachedSBOMs(h.admin, "team/app", "sha256:img")
		if h.ok(err); len(there) != 1 || there["spdx"] != (store.AttachedSBOM{Format: "spdx", Carrier: "sha256:b", Basis: "of sha256:b"}) {
			t.Errorf("%+v", there)
		}
		for carrier, want := range map[string]bool{"sha256:a": false, "sha256:b": true, "": false} {
			if ours, err := h.Attached(h.admin, "team/app", carrier); err != nil || ours != want {
				t.Errorf("%q is the hub's: %v %v", carrier, ours, err)
			}
		}
		id := h.document("a", golang("golang.org/x/text", "v1"))
		h.ok(h.ListDocument(h.admin, p, core.SBOMScanned, id))
		h.ok(h.SaveSBOMs(h.admin, "team/app", "sha256:b", []store.SBOM{{Subject: "sha256:img", Source: core.SBOMScanned, Document: id, Content: "sha256:blob"}}))
		if there, err = h.AttachedSBOMs(h.admin, "team/app", "sha256:img"); err != nil || there["spdx"].Content != "sha256:blob" || there["spdx"].Document != "sha256:a" {
			t.Errorf("%+v %v", there, err)
		}

		orphaned := func(want int) []store.OrphanSBOM {
			t.Helper()
			all, err := h.OrphanedSBOMs(h.admin, 10)
			if h.ok(err); len(all) != want {
				t.Fatalf("%+v, want %d", all, want)
			}
			return all
		}
		orphaned(0)
		h.ok(h.db.Write(h.admin, func(tx *db.Tx) error { return store.OrphanSBOMs(tx, "team/app", "sha256:img") }))
		orphaned(0) // it is there
		drop := func(digest string) {
			t.Helper()
			h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
				if err := store.OrphanSBOMs(tx, "team/app", digest); err != nil {
					return err
				}
				_, err := tx.Exec(`DELETE FROM manifest_link WHERE digest = $1`, digest)
				return err
			}))
		}
		drop("sha256:img")
		o := orphaned(1)[0]
		if o != (store.OrphanSBOM{Repository: "team/app", Subject: "sha256:img", Carrier: "sha256:b"}) {
			t.Errorf("%+v", o)
		}
		still := func() error { return h.db.Write(h.admin, func(tx *db.Tx) error { return store.StillOrphaned(tx, o) }) }
		h.ok(still())
		h.push(p, "app", "sha256:img", 3)
		overtaken("what is there again", still())
		drop("sha256:img")
		drop("sha256:b")
		orphaned(0)
		if h.count("attached_sbom") != 0 {
			t.Error("it is attached by a manifest that is gone")
		}
	})
}

// Documents that nothing is found by are listed all the same.
func TestUnlisted(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		h.push(p, "app", "sha256:a", 1)
		h.push(p, "app", "sha256:b", 1)
		text := golang("golang.org/x/text", "v1")
		found, hidden := h.document("a", text), h.document("b", text)
		h.ok(h.ListDocument(h.admin, p, core.SBOMScanned, found))
		h.ok(h.SaveSBOMs(h.admin, "team/app", "sha256:a", []store.SBOM{{Subject: "sha256:img", Source: core.SBOMScanned, Document: found}}))
		unlisted := []store.SBOM{{Subject: "sha256:img", Source: core.SBOMScanned, Document: hidden}}
		if err := h.SaveSBOMs(h.admin, "team/app", "sha256:b", unlisted); err == nil {
			t.Error("it is named, and neither listed nor said to be unlisted")
		}
		unlisted[0].Unlisted = true
		h.ok(h.SaveSBOMs(h.admin, "team/app", "sha256:b", unlisted))
		if got := h.search(core.PrincipalFrom(h.admin), text, nil, 50, core.SBOMScanned); got != "team/app@img v1" {
			t.Errorf("%q", got)
		}
		if stored, err := h.SBOMs(h.admin, "team/app", []string{"sha256:img"}, 10); err != nil || len(stored) != 2 {
			t.Errorf("%+v %v", stored, err)
		}
		lists, err := h.VersionsIn(h.admin, []int64{found, hidden, 999}, map[int64]string{1: "v1"})
		if h.ok(err); len(lists) != 2 || !slices.Equal(lists[hidden], []string{"v1"}) {
			t.Errorf("%v", lists)
		}
		// Sweeping leaves what a manifest names.
		h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE sbom_document SET created_at = created_at - 7200000000`)
			return err
		}))
		if n, err := h.SweepPackages(h.admin); err != nil || n != 0 {
			t.Errorf("%d removed: %v", n, err)
		}
	})
}

// The newest tags are those of what was pushed last.
func TestRecentTags(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		for i := range 10 {
			h.push(p, "app", fmt.Sprintf("sha256:%d", i), int64(i), fmt.Sprintf("v%d", i))
		}
		h.push(p, "app", "sha256:signature", 99)
		var repository string
		h.ok(h.db.QueryRow(h.admin, `SELECT id FROM repository WHERE name = 'team/app'`).Scan(&repository))
		all, err := h.RecentTags(h.admin, repository, 3)
		h.ok(err)
		var got []string
		for _, x := range all {
			got = append(got, x.Tag+" "+x.Digest)
		}
		if want := "v9 sha256:9, v8 sha256:8, v7 sha256:7"; strings.Join(got, ", ") != want {
			t.Errorf("%q, want %s", got, want)
		}
		for i := range 491 { // and the signature, and nine: v9 to v1 are among the newest
			h.push(p, "app", fmt.Sprintf("sha256:more%d", i), int64(100+i))
		}
		if all, err = h.RecentTags(h.admin, repository, 20); err != nil || len(all) != 8 || all[7].Tag != "v2" {
			t.Errorf("%+v %v", all, err)
		}
		pushed, err := h.PushedAt(h.admin, repository, []string{"sha256:3", "sha256:none"})
		if h.ok(err); len(pushed) != 1 || !pushed["sha256:3"].Equal(all[2].PushedAt.Add(all[2].PushedAt.Sub(all[1].PushedAt)*4)) {
			t.Errorf("%v", pushed)
		}
	})
}

// What is asked for often is looked up, and not searched for.
func TestSBOMPlans(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		for i := range 100 {
			h.push(team, "app", fmt.Sprintf("sha256:%03d", i), 1, fmt.Sprintf("v%03d", i))
		}
		dbtest.Analyze(t, h.db)
		var r db.Recorder
		h.db.Record(&r)
		_, err := h.AttachedSBOMs(h.admin, "team/app", "sha256:001")
		h.ok(err)
		_, err = h.Attached(h.admin, "team/app", "sha256:001")
		h.ok(err)
		_, err = h.OrphanedSBOMs(h.admin, 10)
		h.ok(err)
		_, err = h.RecentTags(h.admin, "x", 20)
		h.ok(err)
		_, _, err = h.Artifacts(h.admin, team, "app", store.ArtifactQuery{N: 1})
		h.ok(err)
		h.db.Record(nil)
		plans := 0
		for _, text := range r.Take() {
			var args []any
			switch {
			case strings.Contains(text, "attached_sbom a ON"):
				args = []any{"a", "b"}
			case strings.Contains(text, "WHERE a.gone"):
				args = []any{10}
			case strings.Contains(text, "CROSS JOIN tag t"):
				args = []any{"a", 500, 20}
			case strings.Contains(text, "CROSS JOIN sbom s"):
				args = []any{"a", "b", "a", "b"}
			default:
				continue
			}
			plans++
			plan := strings.Join(h.plan(text, args...), "\n")
			for _, bad := range []string{"Seq Scan", "SCAN r", "SCAN s", "SCAN m", "SCAN t", "SCAN a\n", "SCAN f", "SCAN manifest_link", "AUTOMATIC"} {
				if strings.Contains(plan+"\n", bad) {
					t.Errorf("%s: %s\n%s", bad, text, plan)
				}
			}
		}
		if plans != 5 {
			t.Errorf("%d statements were looked at", plans)
		}
	})
}
