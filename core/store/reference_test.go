package store_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

// refer says that a manifest that is pushed refers to something.
func (h *hub) refer(p *core.Project, manifest, kind string, at int64, targets ...string) {
	h.t.Helper()
	h.push(p, "app", manifest, at)
	h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
		for _, t := range targets {
			if _, err := tx.Exec(`INSERT INTO manifest_reference (manifest, target, kind) VALUES ($1, $2, $3)`, manifest, t, kind); err != nil {
				return err
			}
		}
		return store.References(tx, p.Name+"/app", manifest)
	}))
}

// Whatever somebody known vouches for is found before what nobody does, however much of that there is; and all of it page
// by page.
func TestUsers(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		h.refer(team, "sha256:old", "blob", 1, "sha256:base")
		h.refer(team, "sha256:older", "blob", 0, "sha256:base")
		for i := range 40 {
			h.refer(team, fmt.Sprintf("sha256:n%03d", i), "blob", int64(10+i), "sha256:base")
		}
		h.refer(team, "sha256:child", "blob", 2, "sha256:base")
		users := func(n int) []string {
			t.Helper()
			all, err := h.Users(h.admin, "team/app", "sha256:base", n)
			h.ok(err)
			return all
		}
		if got := users(2); !slices.Equal(got, []string{"sha256:n039", "sha256:n038"}) {
			t.Errorf("the newest: %v", got)
		}
		h.carry(team, "sha256:s1", "sha256:old", "sha256:k1", 100)
		h.carry(team, "sha256:junk", "sha256:older", "", 101)
		if got := users(2); !slices.Equal(got, []string{"sha256:old", "sha256:n039"}) {
			t.Errorf("what somebody signed first: %v", got)
		}
		// What an index lists is vouched for with it, three deep, whatever came first.
		h.carry(team, "sha256:s2", "sha256:outer", "sha256:k1", 102)
		h.refer(team, "sha256:inner", "manifest", 103, "sha256:child", "sha256:late")
		h.refer(team, "sha256:outer", "manifest", 104, "sha256:inner")
		h.refer(team, "sha256:late", "blob", 105, "sha256:base")
		if got := users(3); !slices.Equal(got, []string{"sha256:late", "sha256:child", "sha256:old"}) {
			t.Errorf("what a signed index lists: %v", got)
		}
		var all []string
		vouched := 0
		for last := (*store.User)(nil); ; {
			page, err := h.UsersAfter(h.admin, "team/app", "sha256:base", last, 7)
			h.ok(err)
			for _, u := range page {
				all = append(all, u.Digest)
				if u.Vouched() {
					vouched++
				}
			}
			if len(page) < 7 {
				break
			}
			last = &page[6]
		}
		if slices.Sort(all); len(all) != 44 || len(slices.Compact(all)) != 44 || vouched != 3 {
			t.Errorf("%d users, %d vouched for: %v", len(all), vouched, all)
		}
		if got, err := h.Using(h.admin, "team/app", "sha256:base", []string{"sha256:older", "sha256:inner", "sha256:gone"}); err != nil || !slices.Equal(got, []string{"sha256:older"}) {
			t.Errorf("of three: %v %v", got, err)
		}
		if got, err := h.Users(h.admin, "team/other", "sha256:base", 2); err != nil || len(got) != 0 {
			t.Errorf("another repository: %v %v", got, err)
		}
	})
}

// V-37: what is looked at of one signer and sort is bounded, and takes nothing away from another sort or signer; who is not
// known comes after all others.
func TestEvidenceIsLookedAtBySort(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		h.push(team, "app", "sha256:image", 1)
		save := func(carrier string, at int64, e core.Evidence, known bool) {
			t.Helper()
			h.push(team, "app", carrier, at)
			e.Subject, e.Carrier = "sha256:image", carrier
			h.ok(h.SaveEvidence(h.admin, "team/app", carrier, []core.Evidence{e}, func(*core.Signer) bool { return known }, 1))
		}
		by := func(key, kind string) core.Evidence {
			return core.Evidence{Signer: &core.Signer{Key: key}, PredicateType: kind}
		}
		found := func() (n map[string]int) {
			t.Helper()
			f, err := h.Evidence(h.admin, "team/app", "sha256:image")
			h.ok(err)
			n = map[string]int{}
			for _, e := range f.Own {
				n[e.Signer.Key+e.Signer.Subject+e.PredicateType]++
			}
			return n
		}
		save("sha256:signature", 2, by("sha256:k1", "sign"), true)
		save("sha256:other", 3, by("sha256:k2", "sign"), true)
		for i := range 51 {
			save(fmt.Sprintf("sha256:scan%d", i), int64(10+i), by("sha256:k1", "scan"), true)
			save(fmt.Sprintf("sha256:stranger%d", i), int64(10+i), core.Evidence{Signer: &core.Signer{TrustRoot: "public-good", Subject: "eve"}}, false)
			if got, want := fmt.Sprint(found()), fmt.Sprintf("map[eve:%d sha256:k1scan:%[1]d sha256:k1sign:1 sha256:k2sign:1]", min(i+1, 50)); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
		// As many sorts as are looked at: identities make room before keys do, and strangers before identities.
		for i := range 61 {
			save(fmt.Sprintf("sha256:identity%d", i), 5, core.Evidence{Signer: &core.Signer{TrustRoot: "zeta", Subject: fmt.Sprintf("id%02d", i)}}, true)
		}
		if got := found(); len(got) != 64 || got["sha256:k1sign"] != 1 || got["sha256:k2sign"] != 1 || got["eve"] != 0 {
			t.Errorf("64 sorts and strangers: %d, %v", len(got), got)
		}
		save("sha256:identity61", 5, core.Evidence{Signer: &core.Signer{TrustRoot: "zeta", Subject: "id61"}}, true)
		if got := found(); len(got) != 64 || got["sha256:k1sign"] != 1 || got["sha256:k2sign"] != 1 {
			t.Errorf("65 sorts: %d, %v", len(got), got)
		}
	})
}

// Of the indexes that list a manifest those that somebody signed are looked at first, then the newest.
func TestIndexesLookedAt(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		h.push(team, "app", "sha256:child", 1)
		h.refer(team, "sha256:signed", "manifest", 2, "sha256:child")
		h.carry(team, "sha256:s", "sha256:signed", "sha256:k1", 3)
		for i := range 33 {
			index := fmt.Sprintf("sha256:i%02d", i)
			h.refer(team, index, "manifest", int64(10+i), "sha256:child")
			h.carry(team, index+"s", index, "", 100)
		}
		f, err := h.Evidence(h.admin, "team/app", "sha256:child")
		h.ok(err)
		if len(f.Covering) != 32 || len(f.Covering["sha256:signed"]) != 1 || len(f.Covering["sha256:i32"]) != 1 || len(f.Covering["sha256:i02"]) != 1 || len(f.Covering["sha256:i01"]) != 0 {
			t.Errorf("%d indexes: %v", len(f.Covering), f.Covering)
		}
	})
}
