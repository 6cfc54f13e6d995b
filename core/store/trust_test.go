package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestTrustDocuments(t *testing.T) {
	eachHub(t, func(h *hub) {
		ctx := context.Background()
		team, other := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		for _, p := range []*core.Project{nil, team} {
			_, err := h.TrustDocument(ctx, p, store.TrustAuthority, "release")
			h.refused(err, core.CodeNotFound)
			d, created, err := h.PutTrustDocument(h.admin, p, store.TrustAuthority, "release", "one", 0)
			h.ok(err)
			if !created || d.Hub != (p == nil) || d.Revision != 1 || d.CreatedAt.IsZero() {
				t.Errorf("%+v", d)
			}
			if d, created, err := h.PutTrustDocument(h.admin, p, store.TrustAuthority, "release", "one", 0); err != nil || created || d.Revision != 1 {
				t.Errorf("the same again: %+v %v", d, err)
			}
			_, _, err = h.PutTrustDocument(h.admin, p, store.TrustAuthority, "release", "two", 0)
			h.refused(err, core.CodeIfMatchRequired)
			d, _, err = h.PutTrustDocument(h.admin, p, store.TrustAuthority, "release", "two", 1)
			h.ok(err)
			_, _, err = h.PutTrustDocument(h.admin, p, store.TrustAuthority, "release", "three", 1)
			h.refused(err, core.CodeStale)
			h.refused(h.DeleteTrustDocument(h.admin, p, store.TrustAuthority, "release", 1), core.CodeStale)
			h.refused(h.DeleteTrustDocument(h.admin, p, store.TrustPolicy, "release", store.AnyRevision), core.CodeNotFound)
			if now, err := h.TrustDocument(ctx, p, store.TrustAuthority, "release"); err != nil || now.Document != "two" || now.Revision != d.Revision {
				t.Errorf("%+v %v", now, err)
			}
		}
		// The hub's hold everywhere, a project's in it alone.
		for p, want := range map[*core.Project]int{team: 2, other: 1} {
			if m, err := h.TrustMaterial(ctx, p); err != nil || len(m.Documents) != want {
				t.Errorf("%s: %+v %v", p.Name, m, err)
			}
		}
		h.ok(h.DeleteTrustDocument(h.admin, team, store.TrustAuthority, "release", 2))
		h.refused(h.DeleteTrustDocument(h.admin, team, store.TrustAuthority, "release", 2), core.CodeNotFound)
		if got := strings.Join(h.actions(0), " "); !strings.HasSuffix(got, "authority.save authority.save authority.save authority.save authority.delete") {
			t.Error(got)
		}
	})
}

// Whatever changes is told by the revision, to the projects that it concerns.
func TestTrustRevision(t *testing.T) {
	eachHub(t, func(h *hub) {
		team, other := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		revisions := func() [2]int64 {
			var out [2]int64
			for i, p := range []*core.Project{team, other} {
				m, err := h.TrustMaterial(context.Background(), p)
				h.ok(err)
				out[i] = m.Revision
			}
			return out
		}
		was := revisions()
		for _, step := range []struct {
			p     *core.Project
			grows [2]bool
		}{{team, [2]bool{true, false}}, {nil, [2]bool{true, true}}, {other, [2]bool{false, true}}} {
			for _, change := range []func() error{
				func() error {
					_, _, err := h.PutTrustDocument(h.admin, step.p, store.TrustPolicy, "p", "x", 0)
					return err
				},
				func() error {
					return h.DeleteTrustDocument(h.admin, step.p, store.TrustPolicy, "p", store.AnyRevision)
				},
			} {
				h.ok(change())
				now := revisions()
				for i := range now {
					if (now[i] > was[i]) != step.grows[i] || now[i] < was[i] {
						t.Errorf("%v -> %v, want growth %v", was, now, step.grows)
					}
				}
				was = now
			}
		}
	})
}

// Saving what is there already is no change to anybody: nothing is verified anew, and nothing is audited.
func TestTheSameDocumentAgain(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		for _, p := range []*core.Project{nil, team} {
			for _, kind := range []store.TrustKind{store.TrustAuthority, store.TrustRoot, store.TrustPolicy} {
				first, _, err := h.PutTrustDocument(h.admin, p, kind, "one", "text", 0)
				h.ok(err)
				was, err := h.TrustMaterial(h.admin, team)
				h.ok(err)
				audited := len(h.actions(0))
				changed := make(chan []db.Change, 10)
				h.db.Subscribe(func(c []db.Change) { changed <- c })
				for _, revision := range []int64{0, first.Revision, store.AnyRevision} {
					d, created, err := h.PutTrustDocument(h.admin, p, kind, "one", "text", revision)
					if err != nil || created || d.Revision != first.Revision || !d.UpdatedAt.Equal(first.UpdatedAt) {
						t.Errorf("%s with revision %d: %+v %v %v", kind, revision, d, created, err)
					}
				}
				_, _, err = h.PutTrustDocument(h.admin, p, kind, "one", "text", first.Revision+1)
				h.refused(err, core.CodeStale)
				now, err := h.TrustMaterial(h.admin, team)
				h.ok(err)
				if now.Revision != was.Revision || len(h.actions(0)) != audited {
					t.Errorf("%s: revision %d became %d, %d rows became %d", kind, was.Revision, now.Revision, audited, len(h.actions(0)))
				}
				for len(changed) > 0 {
					if c := <-changed; len(c) > 0 {
						t.Errorf("%s: others were told of %+v", kind, c)
					}
				}
			}
		}
	})
}

func TestTrustMentions(t *testing.T) {
	eachHub(t, func(h *hub) {
		team, other := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		put := func(p *core.Project, kind store.TrustKind, name, document string) {
			_, _, err := h.PutTrustDocument(h.admin, p, kind, name, document, 0)
			h.ok(err)
		}
		put(nil, store.TrustPolicy, "hub", "means release")
		put(team, store.TrustPolicy, "a", "means release")
		put(team, store.TrustPolicy, "b", "means nobody")
		put(other, store.TrustAuthority, "release", "a key")
		put(other, store.TrustRoot, "root", "names release, and is no user")
		for p, want := range map[*core.Project]string{nil: "hub, team/a, other/release", team: "team/a", other: "other/release"} {
			found, err := h.TrustMentions(h.admin, p, "release")
			h.ok(err)
			var got []string
			for _, m := range found {
				got = append(got, strings.TrimPrefix(m.Project+"/"+m.Name, "/"))
			}
			if len(got) == 3 {
				slices.Sort(got[1:]) // projects are in the order of their ids
				got[1], got[2] = got[2], got[1]
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("%v, want %s", got, want)
			}
		}
	})
}

func TestTrustMentionsAreBounded(t *testing.T) {
	eachHub(t, func(h *hub) {
		n := 0
		put := func(p *core.Project, kind store.TrustKind, count int) {
			for range count {
				n++
				_, _, err := h.PutTrustDocument(h.admin, p, kind, fmt.Sprintf("n%03d", n), "means release", 0)
				h.ok(err)
			}
		}
		found := func(want int) {
			t.Helper()
			all, err := h.TrustMentions(h.admin, nil, "release")
			h.ok(err)
			if len(all) != want {
				t.Errorf("%d of %d found, want %d", len(all), n, want)
			}
		}
		team, other := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		put(team, store.TrustPolicy, 200)
		put(team, store.TrustAuthority, 200)
		put(other, store.TrustPolicy, 100)
		found(500)
		put(other, store.TrustPolicy, 1)
		found(500)
	})
}

func TestTrustLimits(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		put := func(name, document string) error {
			_, _, err := h.PutTrustDocument(h.admin, team, store.TrustRoot, name, document, 0)
			return err
		}
		h.ok(put(strings.Repeat("a", 64), "x"))
		h.refused(put(strings.Repeat("a", 65), "x"), core.CodeInvalid)
		for _, name := range []string{"", "A", "-a", "a/b", "a b", "ä"} {
			h.refused(put(name, "x"), core.CodeInvalid)
		}
		h.ok(put("large", strings.Repeat("x", 256<<10)))
		h.refused(put("larger", strings.Repeat("x", 256<<10+1)), core.CodeInvalid)
		h.refused(put("bytes", "a\x00b"), core.CodeInvalid)
		h.refused(put("text", "a\xffb"), core.CodeInvalid)
		for i := range 198 { // besides the two above
			h.ok(put(fmt.Sprintf("n%03d", i), "x"))
		}
		h.refused(put("one-more", "x"), core.CodeLimit)
		// What is there can be changed, and other kinds and scopes have room of their own.
		_, _, err := h.PutTrustDocument(h.admin, team, store.TrustRoot, "n000", "y", store.AnyRevision)
		h.ok(err)
		_, _, err = h.PutTrustDocument(h.admin, team, store.TrustPolicy, "one-more", "x", 0)
		h.ok(err)
		_, _, err = h.PutTrustDocument(h.admin, nil, store.TrustRoot, "one-more", "x", 0)
		h.ok(err)
		var names []string
		for after, more := "", true; more; {
			var all []*store.TrustDocument
			all, more, err = h.TrustDocuments(h.admin, team, store.TrustRoot, after, 37)
			h.ok(err)
			for _, d := range all {
				names, after = append(names, d.Name), d.Name
			}
		}
		if len(names) != 200 || !slices.IsSorted(names) {
			t.Errorf("%d names: %v", len(names), names)
		}
	})
}

// Nothing of a project is left when it goes, so that who makes another one of that name finds none of it.
func TestTrustGoesWithTheProject(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		_, _, err := h.PutTrustDocument(h.admin, team, store.TrustPolicy, "p", "x", 0)
		h.ok(err)
		_, _, err = h.PutTrustDocument(h.admin, nil, store.TrustPolicy, "p", "x", 0)
		h.ok(err)
		h.ok(h.DeleteProject(h.admin, team, store.AnyRevision))
		for _, table := range []string{"trust_document", "trust_revision"} {
			var left, hub int
			h.ok(h.db.Query(h.admin, `SELECT SUM(CASE WHEN scope = '' THEN 0 ELSE 1 END), SUM(CASE WHEN scope = '' THEN 1 ELSE 0 END) FROM `+table, nil,
				func(row func(...any) error) error { return row(&left, &hub) }))
			if left != 0 || hub != 1 {
				t.Errorf("%s: %d rows of projects, %d of the hub", table, left, hub)
			}
		}
		_, _, err = h.PutTrustDocument(h.admin, team, store.TrustPolicy, "p", "x", 0)
		h.refused(err, core.CodeNotFound)
	})
}

func anybody(*core.Signer) bool { return true }

// carry stores evidence about a digest, by a signer or by nobody known, as a manifest of a repository.
func (h *hub) carry(p *core.Project, carrier, subject, signer string, at int64) {
	h.t.Helper()
	h.push(p, "app", carrier, at)
	e := core.Evidence{Subject: subject, Carrier: carrier, Kind: core.EvidenceSignature}
	if signer != "" {
		e.Signer = &core.Signer{Key: signer}
	}
	h.ok(h.SaveEvidence(h.admin, p.Name+"/app", carrier, []core.Evidence{e}, anybody, 1))
}

// V-37: what nobody vouches for buries nothing, and what is looked at is bounded.
func TestEvidenceLimits(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		h.push(team, "app", "sha256:image", 1)
		for i := range 50 {
			h.carry(team, fmt.Sprintf("sha256:u%03d", i), "sha256:image", "", int64(1000+i))
		}
		h.carry(team, "sha256:signed", "sha256:image", "sha256:key", 2)
		found := func() (signed, unsigned []string) {
			t.Helper()
			f, err := h.Evidence(h.admin, "team/app", "sha256:image")
			h.ok(err)
			for _, e := range f.Own {
				if e.Signer != nil {
					signed = append(signed, e.Carrier)
				} else {
					unsigned = append(unsigned, e.Carrier)
				}
			}
			return signed, unsigned
		}
		if s, u := found(); len(s) != 1 || len(u) != 50 {
			t.Errorf("%d by somebody known, %d others", len(s), len(u))
		}
		h.carry(team, "sha256:u050", "sha256:image", "", 5000)
		if s, u := found(); len(s) != 1 || len(u) != 50 || !slices.Contains(u, "sha256:u050") || slices.Contains(u, "sha256:u000") {
			t.Errorf("one more: %d by somebody known, others %v", len(s), u)
		}
	})
}

func TestEvidence(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		h.push(team, "app", "sha256:child", 1)
		h.push(team, "app", "sha256:index", 2)
		h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
			if _, err := tx.Exec(`INSERT INTO manifest_reference (manifest, target, kind) VALUES ('sha256:index', 'sha256:child', 'manifest')`); err != nil {
				return err
			}
			return store.References(tx, "team/app", "sha256:index")
		}))
		h.carry(team, "sha256:about-child", "sha256:child", "sha256:k1", 3)
		h.carry(team, "sha256:about-index", "sha256:index", "sha256:k2", 4)
		f, err := h.Evidence(h.admin, "team/app", "sha256:child")
		h.ok(err)
		if len(f.Own) != 1 || f.Own[0].Signer.Key != "sha256:k1" || f.Own[0].Trust != 1 || len(f.Covering["sha256:index"]) != 1 || f.Pending {
			t.Errorf("%+v", f)
		}
		// An index does not speak for itself by what it lists.
		if f, err := h.Evidence(h.admin, "team/app", "sha256:index"); err != nil || len(f.Own) != 1 || len(f.Covering) != 0 {
			t.Errorf("%+v %v", f, err)
		}
		if f, err := h.Evidence(h.admin, "team/other", "sha256:child"); err != nil || len(f.Own)+len(f.Covering) != 0 {
			t.Errorf("another repository: %+v %v", f, err)
		}
		// What is said anew takes the place of what was said, and what is owed makes it known that there is more.
		h.ok(h.SaveEvidence(h.admin, "team/app", "sha256:about-child", nil, anybody, 2))
		h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
			if _, err := tx.Exec(`UPDATE manifest_link SET subject = 'sha256:child' WHERE digest = 'sha256:about-child'`); err != nil {
				return err
			}
			return store.OweEvidence(tx, "team/app", "sha256:about-child")
		}))
		if f, err := h.Evidence(h.admin, "team/app", "sha256:child"); err != nil || len(f.Own) != 0 || !f.Pending {
			t.Errorf("%+v %v", f, err)
		}
		owed, err := h.EvidenceOwed(h.admin, 10)
		h.ok(err)
		if len(owed) != 1 || owed[0] != (store.Owed{Repository: "team/app", Carrier: "sha256:about-child"}) {
			t.Errorf("%+v", owed)
		}
		if owed, err := h.EvidenceOwed(h.admin, 10); err != nil || len(owed) != 0 {
			t.Errorf("it is put off: %+v %v", owed, err)
		}
		h.ok(h.SaveEvidence(h.admin, "team/app", "sha256:about-child", nil, anybody, 2))
		if f, err := h.Evidence(h.admin, "team/app", "sha256:child"); err != nil || f.Pending {
			t.Errorf("%+v %v", f, err)
		}
		h.ok(h.SaveEvidence(h.admin, "team/app", "sha256:gone", []core.Evidence{{Subject: "sha256:child"}}, anybody, 2)) // nothing is written
		if f, err := h.Evidence(h.admin, "team/app", "sha256:child"); err != nil || len(f.Own) != 0 {
			t.Errorf("%+v %v", f, err)
		}
	})
}

func TestTaggedArtifacts(t *testing.T) {
	eachHub(t, func(h *hub) {
		team, other := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		h.push(team, "app", "sha256:a", 10, "2", "1")
		h.push(team, "deep/app", "sha256:b", 30, "1")
		h.push(team, "app", "sha256:c", 20, "3")
		h.push(team, "app", "sha256:untagged", 40)
		h.push(other, "app", "sha256:d", 50, "1")
		all, more, err := h.TaggedArtifacts(h.admin, team, 3)
		h.ok(err)
		if got := fmt.Sprint(all); more || got != "[{team/deep/app sha256:b [1]} {team/app sha256:c [3]} {team/app sha256:a [1 2]}]" {
			t.Error(got, more)
		}
		if all, more, err := h.TaggedArtifacts(h.admin, team, 2); err != nil || !more || len(all) != 2 {
			t.Error(all, more, err)
		}
	})
}

func TestPullsSince(t *testing.T) {
	eachHub(t, func(h *hub) {
		team := h.project(h.admin, "team", core.Private)
		h.push(team, "app", "sha256:a", 1)
		robot, _, err := h.CreateRobot(h.admin, team, store.NewRobot{Name: "ci", Permissions: []core.Grant{{Repository: "**", Actions: []core.Action{core.ActionPull}}}})
		h.ok(err)
		root, err := h.AccountByUsername(h.admin, "root")
		h.ok(err)
		first := time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC)
		pull := func(principal string, pulls int64, at time.Time) store.Pull {
			return store.Pull{Repository: "team/app", Digest: "sha256:a", Tag: "1", Principal: principal, Pulls: pulls, LastAt: at}
		}
		_, err = h.AddPulls(h.admin, []store.Pull{pull("user:"+root.ID, 3, first), pull("user:"+root.ID, 4, first.AddDate(0, 0, 1)),
			pull("robot:"+robot.ID, 5, first), pull("user:gone", 6, first), pull("anonymous", 9, first.Add(-time.Second))})
		h.ok(err)
		all, more, err := h.PullsSince(h.admin, team, first.Add(time.Hour), 3)
		h.ok(err)
		var got []string
		for _, p := range all {
			got = append(got, fmt.Sprint(p.Repository, " ", p.Tag, " ", p.Principal, " ", p.Pulls))
		}
		if want := "team/app 1 root 7, team/app 1 user:gone 6, team/app 1 robot$team+ci 5"; strings.Join(got, ", ") != want || more {
			t.Errorf("%v %v", got, more)
		}
		if all, more, err := h.PullsSince(h.admin, team, first, 2); err != nil || !more || len(all) != 2 {
			t.Error(all, more, err)
		}
	})
}
