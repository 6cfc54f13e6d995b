package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

func (h *hub) attaches(p *core.Project, on bool) {
	h.t.Helper()
	_, err := h.UpdateProject(h.admin, p, store.ProjectPatch{AttachVerdicts: &on}, store.AnyRevision)
	h.ok(err)
	h.exec(`UPDATE verdict_sweep SET due_at = 0`)
}

func (h *hub) exec(query string, args ...any) {
	h.t.Helper()
	h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
		if err := dbtest.Unhurried(h.db, tx); err != nil {
			return err
		}
		_, err := tx.Exec(query, args...)
		return err
	}))
}

func (h *hub) owe(repository, digest string) {
	h.t.Helper()
	h.ok(h.db.Write(h.admin, func(tx *db.Tx) error { return store.OweVerdicts(tx, repository, digest) }))
}

func (h *hub) owed(n int) []*store.OwedVerdict {
	h.t.Helper()
	all, err := h.VerdictsOwed(h.admin, n)
	h.ok(err)
	return all
}

// What is owed is taken once, comes again if nobody settles it, and is settled by the last who took it.
func TestVerdictsOwed(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		h.push(team, "app", "sha256:aa", 1)
		h.owe("team/app", "sha256:aa")
		if all := h.owed(10); len(all) != 0 {
			t.Fatalf("owed where nobody wants it: %+v", all)
		}
		h.attaches(team, true)
		h.exec(`DELETE FROM verdict_sweep`)
		h.owe("team/app", "sha256:aa")
		first := h.owed(10)
		if len(first) != 1 || first[0].Repository != "team/app" || first[0].Project != "team" || !first[0].Wanted || !first[0].Present || first[0].Attached || !first[0].Spread {
			t.Fatalf("%+v", first)
		}
		if again := h.owed(10); len(again) != 0 {
			t.Errorf("taken twice: %+v", again)
		}
		due, any, err := h.VerdictsDue(h.admin)
		if wait := due.Sub(h.Now()); err != nil || !any || wait < 5*time.Second || wait > 10*time.Second {
			t.Errorf("it comes again in %v: %v", wait, err)
		}
		h.owe("team/app", "sha256:aa") // while somebody finds out
		if err := h.KeepVerdict(h.admin, first[0], "sha256:cc", "basis", time.Time{}); !errors.Is(err, store.ErrOvertaken) {
			t.Errorf("what was overtaken is settled: %v", err)
		}
		second := h.owed(10)
		h.ok(h.KeepVerdict(h.admin, second[0], "sha256:cc", "basis", time.Time{}))
		if err := h.KeepVerdict(h.admin, first[0], "", "", time.Time{}); !errors.Is(err, store.ErrOvertaken) {
			t.Errorf("settled by who took it before: %v", err)
		}
		if _, any, _ := h.VerdictsDue(h.admin); any {
			t.Error("something is due that was settled for ever")
		}
		if ours, err := h.Attached(h.admin, "team/app", "sha256:cc"); err != nil || !ours {
			t.Error(ours, err)
		}
		for _, other := range [][2]string{{"team/app", "sha256:aa"}, {"team/app", ""}, {"team/other", "sha256:cc"}} {
			if ours, err := h.Attached(h.admin, other[0], other[1]); err != nil || ours {
				t.Error(other, err)
			}
		}
		// Whatever happens to the carrier concerns its subject; a carrier that is not there is known not to be.
		h.owe("team/app", "sha256:cc")
		third := h.owed(10)
		if len(third) != 2 {
			t.Fatalf("%+v", third)
		}
		for _, o := range third {
			if o.Subject == "sha256:aa" && (o.Carrier != "sha256:cc" || o.Attached || o.Basis != "basis") {
				t.Errorf("%+v", o)
			}
			if o.Subject == "sha256:cc" && o.Present {
				t.Errorf("%+v", o)
			}
		}
		// Nothing is stated about what went meanwhile.
		h.exec(`DELETE FROM manifest_link`)
		for _, o := range third {
			if err := h.KeepVerdict(h.admin, o, "sha256:cc", "basis", time.Time{}); !errors.Is(err, store.ErrOvertaken) {
				t.Errorf("stated about nothing: %v", err)
			}
		}
	})
}

// A project is swept in batches, each manifest once, also by two at once; a change meanwhile begins anew.
func TestSweepVerdicts(t *testing.T) {
	eachHub(t, func(h *hub) {
		team, other := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		const manifests = 25
		for i := range manifests {
			h.push(team, fmt.Sprintf("app%d", i%3), fmt.Sprintf("sha256:%02d", i), 1)
			h.push(other, "app", fmt.Sprintf("sha256:%02d", i), 1)
		}
		h.attaches(team, true)
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for {
					found, err := h.SweepVerdicts(h.admin, 4)
					if err != nil {
						t.Error(err)
					}
					if !found || err != nil {
						return
					}
				}
			})
		}
		all.Wait()
		seen := map[string]int{}
		for _, o := range h.owed(1000) {
			seen[o.Repository+"@"+o.Subject]++
			h.ok(h.KeepVerdict(h.admin, o, map[bool]string{true: "sha256:carrier" + o.Subject[7:]}[o.Repository == "team/app0"], "basis", time.Time{}))
		}
		if len(seen) != manifests {
			t.Errorf("%d are owed, want %d: %v", len(seen), manifests, seen)
		}
		for at, n := range seen {
			if n != 1 || !strings.HasPrefix(at, "team/") {
				t.Errorf("%s %d times", at, n)
			}
		}

		// A document of the hub concerns every project that wants verdicts, a document of another project none of these.
		count := func() (n int64) {
			h.ok(h.db.QueryRow(h.admin, `SELECT COUNT(*) FROM verdict_sweep`).Scan(&n))
			return n
		}
		_, _, err := h.PutTrustDocument(h.admin, other, store.TrustAuthority, "release", "one", 0)
		h.ok(err)
		if n := count(); n != 0 {
			t.Errorf("%d projects are swept for a document of another one", n)
		}
		_, _, err = h.PutTrustDocument(h.admin, nil, store.TrustAuthority, "release", "one", 0)
		h.ok(err)
		if found, err := h.SweepVerdicts(h.admin, 10); err != nil || !found || count() != 1 {
			t.Error("the first batch", err)
		}
		h.ok(h.DeleteTrustDocument(h.admin, nil, store.TrustAuthority, "release", store.AnyRevision))
		for range 3 {
			if found, err := h.SweepVerdicts(h.admin, 10); err != nil || !found {
				t.Error("it did not begin anew", err)
			}
		}
		if n := count(); n != 0 {
			t.Errorf("%d sweeps are left", n)
		}
		h.exec(`UPDATE attached_verdict SET due_at = NULL`)

		// Who wants none any more is rid of what there is.
		h.attaches(team, false)
		for range 2 {
			_, err := h.SweepVerdicts(h.admin, manifests+1)
			h.ok(err)
		}
		carriers := 0
		for _, o := range h.owed(1000) {
			if o.Wanted {
				t.Errorf("%+v", o)
			}
			if o.Carrier != "" {
				carriers++
			}
		}
		if carriers != 9 { // those of app0
			t.Errorf("%d statements are to go, want 9", carriers)
		}
	})
}

// The hub's id stays; other terms than at the last start have everything looked at again.
func TestVerdictTerms(t *testing.T) {
	eachHub(t, func(h *hub) {
		ctx := context.Background()
		id, err := h.HubID(ctx)
		h.ok(err)
		if again, err := h.HubID(ctx); err != nil || again != id || len(id) != 36 {
			t.Errorf("%q, then %q: %v", id, again, err)
		}
		h.attaches(h.project(h.admin, "team", core.Private), true)
		for _, step := range []struct {
			terms string
			sweep bool
		}{{"a", true}, {"a", false}, {"b", true}, {"b", false}} {
			h.exec(`DELETE FROM verdict_sweep`)
			h.ok(h.NoteVerdictTerms(ctx, step.terms))
			if _, any, err := h.VerdictsDue(ctx); err != nil || any != step.sweep {
				t.Errorf("%+v: %v %v", step, any, err)
			}
		}
	})
}
