package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestLabels(t *testing.T) {
	eachHub(t, func(h *hub) {
		a, b := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		h.push(a, "app", "sha256:1", 5, "v1")
		h.push(b, "app", "sha256:1", 5, "v1")
		l, created, err := h.PutLabel(h.admin, a, "reviewed", store.LabelFields{Color: "#1a7f37"}, 0)
		h.ok(err)
		if !created || l.Revision != 1 {
			t.Fatalf("%+v %v", l, created)
		}
		_, created, err = h.PutLabel(h.admin, a, "reviewed", store.LabelFields{Color: "#1a7f37"}, 0)
		if h.ok(err); created {
			t.Fatal("again is no creation")
		}
		_, _, err = h.PutLabel(h.admin, a, "reviewed", store.LabelFields{}, 0)
		h.refused(err, core.CodeIfMatchRequired)
		_, _, err = h.PutLabel(h.admin, a, "reviewed", store.LabelFields{}, 2)
		h.refused(err, core.CodeStale)
		l, _, err = h.PutLabel(h.admin, a, "reviewed", store.LabelFields{Description: "by two"}, 1)
		h.ok(err)
		for _, name := range []string{"", " x", "x ", "a/b", "a\nb", "a'b", strings.Repeat("x", 65)} {
			_, _, err = h.PutLabel(h.admin, a, name, store.LabelFields{}, 0)
			h.refused(err, core.CodeInvalid)
		}
		_, _, err = h.PutLabel(h.admin, a, "x", store.LabelFields{Color: "red"}, 0)
		h.refused(err, core.CodeInvalid)
		_, _, err = h.PutLabel(h.admin, a, "日本", store.LabelFields{}, 0)
		h.ok(err)

		h.ok(h.AttachLabel(h.admin, a, "reviewed", "app", "sha256:1"))
		h.ok(h.AttachLabel(h.admin, a, "reviewed", "app", "sha256:1"))
		h.ok(h.AttachLabel(h.admin, a, "日本", "app", "sha256:1"))
		h.refused(h.AttachLabel(h.admin, a, "reviewed", "app", "sha256:2"), core.CodeNotFound)
		h.refused(h.AttachLabel(h.admin, a, "nothing", "app", "sha256:1"), core.CodeNotFound)
		// V-03: neither a label nor a repository of another project.
		h.refused(h.AttachLabel(h.admin, b, "reviewed", "app", "sha256:1"), core.CodeNotFound)
		h.refused(h.DetachLabel(h.admin, b, "reviewed", "app", "sha256:1"), core.CodeNotFound)
		h.refused(h.DeleteLabel(h.admin, b, "reviewed", store.AnyRevision), core.CodeNotFound)
		_, err = h.Label(h.admin, b, "reviewed")
		h.refused(err, core.CodeNotFound)

		art, err := h.Artifact(h.admin, a, "app", "v1")
		h.ok(err)
		if !slices.Equal(art.Labels, []string{"reviewed", "日本"}) {
			t.Fatalf("labels %q", art.Labels)
		}
		other, err := h.Artifact(h.admin, b, "app", "v1")
		if h.ok(err); len(other.Labels) != 0 {
			t.Fatalf("the same digest elsewhere has labels %q", other.Labels)
		}
		h.ok(h.DetachLabel(h.admin, a, "日本", "app", "sha256:1"))
		h.refused(h.DeleteLabel(h.admin, a, "reviewed", 1), core.CodeStale)
		h.ok(h.DeleteLabel(h.admin, a, "reviewed", l.Revision))
		if art, err = h.Artifact(h.admin, a, "app", "v1"); err != nil || len(art.Labels) != 0 {
			t.Fatalf("after it was deleted %+v %v", art, err)
		}
		all, _, err := h.Labels(h.admin, a, "", 0)
		h.ok(err)
		if len(all) != 1 || all[0].Name != "日本" {
			t.Fatalf("%+v", all)
		}
	})
}

func TestRepositories(t *testing.T) {
	eachHub(t, func(h *hub) {
		a, b := h.project(h.admin, "team", core.Private), h.project(h.admin, "team-2", core.Private)
		for i, name := range []string{"app", "app/debug", "web"} {
			h.push(a, name, "sha256:"+name, int64(i+1), "v1", "v2")
		}
		h.push(b, "secret", "sha256:s", 1)
		list, more, err := h.Repositories(h.admin, a, store.RepositoryQuery{N: 2})
		h.ok(err)
		if len(list) != 2 || !more || list[1].Name != "app/debug" || list[0].Tags != 2 || list[0].Artifacts != 1 {
			t.Fatalf("%+v %v", list, more)
		}
		list, more, err = h.Repositories(h.admin, a, store.RepositoryQuery{After: "app/debug"})
		h.ok(err)
		if len(list) != 1 || more || list[0].Name != "web" {
			t.Fatalf("%+v", list)
		}
		for q, want := range map[string]int{"app": 2, "team": 0, "b": 2, "%": 0} {
			if list, _, err = h.Repositories(h.admin, a, store.RepositoryQuery{Contains: q}); err != nil || len(list) != want {
				t.Errorf("%q finds %d, want %d (%v)", q, len(list), want, err)
			}
		}
		for _, name := range append([]string{"secret", "../team-2/secret", "ap"}, hostile()...) {
			_, err = h.Repository(h.admin, a, name)
			h.refused(err, core.CodeNotFound)
		}
		_, err = h.UpdateRepository(h.admin, a, "app", store.RepositoryPatch{Summary: ptr("x")}, 0)
		h.refused(err, core.CodeIfMatchRequired)
		_, err = h.UpdateRepository(h.admin, a, "app", store.RepositoryPatch{Summary: ptr(strings.Repeat("x", 257))}, 1)
		h.refused(err, core.CodeInvalid)
		_, err = h.UpdateRepository(h.admin, a, "app", store.RepositoryPatch{Readme: ptr(strings.Repeat("x", 64<<10+1))}, 1)
		h.refused(err, core.CodeInvalid)
		r, err := h.UpdateRepository(h.admin, a, "app", store.RepositoryPatch{Summary: ptr("An app"), Readme: ptr(strings.Repeat("x", 64<<10))}, 1)
		h.ok(err)
		got, err := h.Repository(h.admin, a, "app")
		h.ok(err)
		if *got != *r || got.Revision != 2 || got.Size != 10 || got.Summary != "An app" {
			t.Fatalf("%+v", got)
		}

		boom := errors.New("boom")
		if err := h.DeleteRepository(h.admin, a, "app", store.AnyRevision, func(*db.Tx, string) error { return boom }); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		h.refused(h.DeleteRepository(h.admin, b, "app", store.AnyRevision, nil), core.CodeNotFound)
		h.refused(h.DeleteRepository(h.admin, a, "app", 1, nil), core.CodeStale)
		var unlinked string
		h.ok(h.DeleteRepository(h.admin, a, "app", 2, func(_ *db.Tx, name string) error { unlinked = name; return nil }))
		if unlinked != "team/app" {
			t.Fatalf("unlinked %q", unlinked)
		}
	})
}

func TestArtifactsAndTags(t *testing.T) {
	eachHub(t, func(h *hub) {
		a := h.project(h.admin, "team", core.Private)
		b := h.project(h.admin, "other", core.Private)
		h.push(a, "app", "sha256:1", 10, "v1")
		h.push(a, "app", "sha256:2", 20, "v2", "latest")
		h.push(a, "app", "sha256:3", 20)
		h.push(b, "app", "sha256:9", 5, "v9")

		var digests []string
		q := store.ArtifactQuery{N: 1}
		for {
			page, more, err := h.Artifacts(h.admin, a, "app", q)
			h.ok(err)
			for _, x := range page {
				digests = append(digests, x.Digest)
				q.After = x.Cursor()
			}
			if !more {
				break
			}
		}
		if want := []string{"sha256:3", "sha256:2", "sha256:1"}; !slices.Equal(digests, want) {
			t.Fatalf("newest first: %q, want %q", digests, want)
		}
		x, err := h.Artifact(h.admin, a, "app", "latest")
		h.ok(err)
		if x.Digest != "sha256:2" || x.Size != 100 || !slices.Equal(x.Tags, []string{"latest", "v2"}) || len(x.Platforms) != 1 ||
			x.Platforms[0].Architecture != "arm64" || x.PushedBy != "user:1" {
			t.Fatalf("%+v", x)
		}
		for _, ref := range append([]string{"v9", "sha256:9", "sha256:4"}, hostile()...) {
			_, err = h.Artifact(h.admin, a, "app", ref)
			h.refused(err, core.CodeNotFound)
		}
		_, _, err = h.Artifacts(h.admin, a, "nothing", store.ArtifactQuery{})
		h.refused(err, core.CodeNotFound)
		for want, q := range map[int]store.ArtifactQuery{1: {Tagged: ptr(false)}, 2: {Tagged: ptr(true)}, 0: {Label: "x"}, 3: {ArtifactType: "application/vnd.oci.image.config.v1+json"}} {
			if page, _, err := h.Artifacts(h.admin, a, "app", q); err != nil || len(page) != want {
				t.Errorf("%+v lists %d, want %d (%v)", q, len(page), want, err)
			}
		}
		tags, more, err := h.Tags(h.admin, a, "app", store.TagQuery{N: 2})
		h.ok(err)
		if len(tags) != 2 || !more || tags[0].Name != "latest" || tags[0].Size != 100 {
			t.Fatalf("%+v", tags)
		}
		tags, _, err = h.Tags(h.admin, a, "app", store.TagQuery{Digest: "sha256:2", Contains: "v"})
		h.ok(err)
		if len(tags) != 1 || tags[0].Name != "v2" {
			t.Fatalf("%+v", tags)
		}
		if tag, err := h.Tag(h.admin, a, "app", "v1"); err != nil || tag.Digest != "sha256:1" {
			t.Fatalf("%+v %v", tag, err)
		}
		_, err = h.Tag(h.admin, b, "app", "v1")
		h.refused(err, core.CodeNotFound)
	})
}

// Whatever somebody pushed, a page of artifacts is small; a single one is shown whole.
func TestArtifactListsAreSmall(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		h.push(p, "app", "sha256:1", 10, "v1")
		long := strings.Repeat("x", 1<<20)
		set := func(platforms string) {
			h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE manifest SET artifact_type = $1, config_type = $1, annotations = $2, platforms = $3`,
					long, `{"a":"`+long+`"}`, platforms)
				return err
			}))
		}
		for n, shown := range map[int]bool{16384: true, 16385: false} {
			const around = `[{"os":""}]`
			set(`[{"os":"` + long[:n-len(around)] + `"}]`)
			list, _, err := h.Artifacts(h.admin, p, "app", store.ArtifactQuery{})
			h.ok(err)
			if len(list) != 1 || len(list[0].ArtifactType) != 255 || len(list[0].ConfigType) != 255 || list[0].Annotations != nil ||
				(len(list[0].Platforms) == 1) != shown {
				t.Errorf("with %d bytes of platforms: %d of type, %d annotations, %d platforms", n, len(list[0].ArtifactType),
					len(list[0].Annotations), len(list[0].Platforms))
			}
			one, err := h.Artifact(h.admin, p, "app", "v1")
			h.ok(err)
			if len(one.ArtifactType) != 1<<20 || len(one.ConfigType) != 1<<20 || len(one.Annotations["a"]) != 1<<20 || len(one.Platforms) != 1 {
				t.Errorf("alone: %d of type, %d platforms", len(one.ArtifactType), len(one.Platforms))
			}
		}
		// What is filtered by is the whole of it.
		if found, _, err := h.Artifacts(h.admin, p, "app", store.ArtifactQuery{ArtifactType: long[:255]}); err != nil || len(found) != 0 {
			t.Errorf("%d found, %v", len(found), err)
		}
	})
}

func TestPulls(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		h.push(p, "app", "sha256:1", 10, "v1")
		h.push(p, "web", "sha256:1", 10, "v1")
		day := time.Date(2026, 11, 21, 23, 59, 0, 0, time.UTC)
		var pulls []store.Pull
		for i := range 250 {
			pulls = append(pulls, store.Pull{Repository: "team/app", Digest: "sha256:1", Tag: "v1", Principal: "user:" + string(rune('a'+i%125%26)) + string(rune('a'+i%125/26)), Pulls: 2, LastAt: day.Add(time.Duration(i) * time.Second)})
		}
		pulls = append(pulls, store.Pull{Repository: "team/gone", Digest: "sha256:1", Principal: "anonymous", Pulls: 9, LastAt: day},
			store.Pull{Repository: "team/web", Digest: "sha256:1", Principal: "anonymous", Pulls: 7, LastAt: day})
		recorder := &db.Recorder{}
		h.db.Record(recorder)
		for range 2 {
			if rest, err := h.AddPulls(context.Background(), pulls); err != nil || len(rest) > 0 {
				t.Fatalf("%d left, %v", len(rest), err)
			}
		}
		var texts []string
		for _, text := range recorder.Take() {
			if strings.Contains(text, "INSERT INTO pull") {
				texts = append(texts, text)
			}
		}
		if len(texts) != 2*2*2 && len(texts) != 2*2*3 {
			t.Errorf("%d statements for two times %d rows in blocks of 100", len(texts), len(pulls))
		}
		h.db.Record(nil)
		x, err := h.Artifact(h.admin, p, "app", "v1")
		h.ok(err)
		r, err := h.Repository(h.admin, p, "app")
		h.ok(err)
		w, err := h.Repository(h.admin, p, "web")
		h.ok(err)
		if x.Pulls != 1000 || r.Pulls != 1000 || w.Pulls != 14 {
			t.Fatalf("artifact %d, repository %d, want 1000; the other %d, want 14", x.Pulls, r.Pulls, w.Pulls)
		}
		var days, sum int64
		h.ok(h.db.QueryRow(context.Background(), `SELECT COUNT(DISTINCT day), SUM(pulls) FROM pull`).Scan(&days, &sum))
		if days != 2 || sum != 1014 {
			t.Fatalf("%d days, %d pulls, want 2 and 1014", days, sum)
		}
		s, err := h.Statistics(context.Background())
		h.ok(err)
		if s.Pulls != 1014 || s.Repositories != 2 || s.Tags != 2 || s.Artifacts != 2 || s.Users != 1 || s.Projects != 1 {
			t.Fatalf("%+v", s)
		}
	})
}

// All actions of a noun are found in whatever order the database puts texts: here dots and slashes count for nothing, as
// they do in most languages' collations.
func TestAuditActionsInAnyCollation(t *testing.T) {
	h := openHub(t, dbtest.Postgres(t))
	h.project(h.admin, "team", core.Private)
	h.ok(h.db.Write(h.admin, func(tx *db.Tx) error {
		if _, err := tx.Exec(`CREATE COLLATION letters (provider = icu, locale = 'und-u-ka-shifted')`); err != nil {
			return err
		}
		_, err := tx.Exec(`ALTER TABLE audit ALTER COLUMN action TYPE TEXT COLLATE letters`)
		return err
	}))
	for action, want := range map[string]int{"project.*": 1, "user.*": 1, "proj.*": 0, "p.*": 0, "project.create.*": 0, "*": 0} {
		found, _, err := h.AuditEntries(h.admin, store.AuditQuery{Action: action})
		if h.ok(err); len(found) != want {
			t.Errorf("%s: %d entries, want %d", action, len(found), want)
		}
	}
}

// A change by nobody is not made.
func TestAuditNamesSomebody(t *testing.T) {
	eachHub(t, func(h *hub) {
		before := len(h.actions(0))
		if _, err := h.CreateProject(context.Background(), store.NewProject{Name: "nobodys"}); err == nil || core.CodeOf(err) != core.CodeInternal {
			t.Errorf("got %v", err)
		}
		_, err := h.ProjectByName(h.admin, "nobodys")
		h.refused(err, core.CodeNotFound)
		if _, err := h.EnsureSecret(context.Background(), testKeyring(t, "k"), "p", []byte("v")); err == nil {
			t.Error("a key was made by nobody")
		}
		if n := len(h.actions(0)); n != before {
			t.Errorf("%d entries, want %d", n, before)
		}
		_, err = h.EnsureSecret(asHub(), testKeyring(t, "k"), "p", []byte("v"))
		h.ok(err)
		entries, _, err := h.AuditEntries(h.admin, store.AuditQuery{Action: "key.create"})
		if h.ok(err); len(entries) != 1 || entries[0].Actor != "system" || entries[0].ActorName != "hallmark" {
			t.Errorf("%+v", entries)
		}
	})
}

func TestAuditTrail(t *testing.T) {
	eachHub(t, func(h *hub) {
		alice := core.WithOrigin(h.signIn(h.user("alice", false)), core.Origin{IP: "10.0.0.9", RequestID: "r1"})
		p := h.project(alice, "team", core.Private)
		_, _, err := h.PutLabel(alice, p, "x", store.LabelFields{}, 0)
		h.ok(err)
		h.project(h.admin, "other", core.Private)
		list := func(q store.AuditQuery) string {
			t.Helper()
			var out []string
			for {
				page, more, err := h.AuditEntries(context.Background(), q)
				h.ok(err)
				for _, e := range page {
					out = append(out, e.Action+" "+e.Object)
					q.Before = e.ID
				}
				if !more {
					return strings.Join(out, ", ")
				}
			}
		}
		id := core.PrincipalFrom(alice).Actor()
		now := h.Now()
		for _, c := range []struct {
			q    store.AuditQuery
			want string
		}{
			{store.AuditQuery{N: 1}, "project.create other, label.create team/x, project.create team, user.create alice, user.create root"},
			{store.AuditQuery{Actor: "alice"}, "label.create team/x, project.create team"},
			{store.AuditQuery{Actor: id, Action: "project.*"}, "project.create team"},
			{store.AuditQuery{Action: "project.create"}, "project.create other, project.create team"},
			{store.AuditQuery{Action: "project"}, ""},
			{store.AuditQuery{ProjectID: p.ID}, "label.create team/x, project.create team"},
			{store.AuditQuery{Object: "team"}, "project.create team"},
			{store.AuditQuery{Until: now.Add(-time.Hour)}, ""},
			{store.AuditQuery{Since: now.Add(time.Hour)}, ""},
			{store.AuditQuery{Since: now.Add(-time.Hour), Until: now.Add(time.Hour), Object: "other"}, "project.create other"},
			{store.AuditQuery{Since: time.Unix(-5, 0), Object: "other"}, "project.create other"},
		} {
			if got := list(c.q); got != c.want {
				t.Errorf("%+v lists %q, want %q", c.q, got, c.want)
			}
		}
		for _, text := range hostile() {
			for _, q := range []store.AuditQuery{{Actor: text}, {Action: text}, {Object: text}, {ProjectID: text}, {Before: text, Actor: "x"}} {
				if got := list(q); got != "" {
					t.Errorf("%+v lists %q", q, got)
				}
			}
		}
		page, _, err := h.AuditEntries(context.Background(), store.AuditQuery{Actor: "alice", N: 1})
		h.ok(err)
		e := page[0]
		if e.Actor != id || e.ActorName != "alice" || e.IP != "10.0.0.9" || e.RequestID != "r1" || e.Project != "team" || e.At.IsZero() {
			t.Fatalf("%+v", e)
		}
	})
}

// A refused change leaves no audit row, and no change.
func TestRefusedChangeLeavesNoTrace(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		before := len(h.actions(0))
		_, _ = h.CreateProject(h.admin, store.NewProject{Name: "team"})
		_, _, _ = h.PutMember(h.admin, p, "nobody", core.RoleGuest, 0)
		_, _ = h.UpdateProject(h.admin, p, store.ProjectPatch{Description: ptr("x")}, 99)
		_, _ = h.CreateProject(h.signIn(&store.Account{ID: "gone", Username: "gone"}), store.NewProject{Name: "orphan"})
		if after := len(h.actions(0)); after != before {
			t.Fatalf("%d audit rows more", after-before)
		}
		_, err := h.ProjectByName(h.admin, "orphan")
		h.refused(err, core.CodeNotFound)
	})
}

func TestOnce(t *testing.T) {
	eachHub(t, func(h *hub) {
		alice := h.signIn(h.user("alice", false))
		a, err := h.BeginOnce(h.admin, "k", "hash")
		if h.ok(err); a != nil {
			t.Fatalf("answered before it was done: %+v", a)
		}
		_, err = h.BeginOnce(h.admin, "k", "hash")
		h.refused(err, core.CodeConflict)
		if a, err = h.BeginOnce(alice, "k", "hash"); err != nil || a != nil {
			t.Fatalf("another principal's key is another key: %+v %v", a, err)
		}
		h.ok(h.FinishOnce(h.admin, "k", store.Answer{Status: 201, Header: map[string]string{"Location": "/x"}, Body: []byte("{}")}))
		a, err = h.BeginOnce(h.admin, "k", "hash")
		h.ok(err)
		if a.Status != 201 || a.Header["Location"] != "/x" || string(a.Body) != "{}" {
			t.Fatalf("%+v", a)
		}
		_, err = h.BeginOnce(h.admin, "k", "other")
		h.refused(err, core.CodeConflict)
		h.ok(h.ForgetOnce(alice, "k"))
		if a, err = h.BeginOnce(alice, "k", "changed"); err != nil || a != nil {
			t.Fatalf("after it failed it can be done again: %+v %v", a, err)
		}
		// The process died: another one takes over, and an answer that is a day old is given no more.
		age := func(by time.Duration) {
			h.ok(h.db.Write(context.Background(), func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE idempotency SET created_at = created_at - $1`, by.Microseconds())
				return err
			}))
		}
		age(10 * time.Minute)
		if a, err = h.BeginOnce(alice, "k", "changed"); err != nil || a != nil {
			t.Fatalf("%+v %v", a, err)
		}
		if a, err = h.BeginOnce(h.admin, "k", "hash"); err != nil || a == nil {
			t.Fatalf("%+v %v", a, err)
		}
		age(24 * time.Hour)
		if a, err = h.BeginOnce(h.admin, "k", "new"); err != nil || a != nil {
			t.Fatalf("%+v %v", a, err)
		}
		h.ok(h.ExpireAnswers(context.Background()))
		var left int
		h.ok(h.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM idempotency`).Scan(&left))
		if left != 1 {
			t.Fatalf("%d left, want 1", left)
		}
		for _, key := range []string{"", "a\x00", strings.Repeat("x", 129)} {
			_, err = h.BeginOnce(h.admin, key, "h")
			h.refused(err, core.CodeInvalid)
		}
	})
}
