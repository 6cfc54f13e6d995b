package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestProjects(t *testing.T) {
	eachHub(t, func(h *hub) {
		alice := h.signIn(h.user("alice", false))
		p, err := h.CreateProject(alice, store.NewProject{Name: "team", Description: "ours"})
		h.ok(err)
		if p.Visibility != core.Private || p.Baseline != core.BaselineEnforce {
			t.Fatalf("a project is made private and enforced, this one is %+v", p)
		}
		m, err := h.Member(alice, p, "alice")
		h.ok(err)
		if m.Role != core.RoleOwner {
			t.Fatalf("who makes a project is %q", m.Role)
		}
		_, err = h.CreateProject(h.admin, store.NewProject{Name: "team"})
		h.refused(err, core.CodeConflict)
		got, err := h.ProjectByName(alice, "team")
		h.ok(err)
		if *got != *p {
			t.Fatalf("read %+v, want %+v", got, p)
		}
		for _, name := range append([]string{"nothing", ""}, hostile()...) {
			_, err = h.ProjectByName(alice, name)
			h.refused(err, core.CodeNotFound)
		}

		public := core.Public
		_, err = h.UpdateProject(alice, p, store.ProjectPatch{Visibility: &public}, 0)
		h.refused(err, core.CodeIfMatchRequired)
		p, err = h.UpdateProject(alice, p, store.ProjectPatch{Visibility: &public}, 1)
		h.ok(err)
		_, err = h.UpdateProject(alice, p, store.ProjectPatch{Description: ptr("x")}, 1)
		h.refused(err, core.CodeStale)
		_, err = h.UpdateProject(alice, p, store.ProjectPatch{QuotaBytes: ptr(int64(-1))}, 2)
		h.refused(err, core.CodeInvalid)
		if p.Revision != 2 || !p.Public() || p.Description != "ours" {
			t.Fatalf("after the change %+v", p)
		}

		h.push(p, "app", "sha256:1", 5, "v1")
		h.refused(h.DeleteProject(alice, p, 2), core.CodeConflict)
		if again, err := h.ProjectByName(alice, "team"); err != nil || again.Revision != 2 {
			t.Fatalf("after a refused delete %+v, %v", again, err)
		}
		u, err := h.Usage(alice, p)
		h.ok(err)
		if u.Repositories != 1 {
			t.Fatalf("usage %+v", u)
		}
		empty := h.project(alice, "empty", core.Private)
		_, _, err = h.CreateRobot(alice, empty, store.NewRobot{Name: "ci", Permissions: []core.Grant{{Repository: "**", Actions: []core.Action{core.ActionPull}}}})
		h.ok(err)
		h.ok(h.DeleteProject(alice, empty, store.AnyRevision))
		h.refused(h.DeleteProject(alice, empty, store.AnyRevision), core.CodeNotFound)
		_, err = h.UpdateProject(alice, empty, store.ProjectPatch{Description: ptr("x")}, store.AnyRevision)
		h.refused(err, core.CodeNotFound)
		_, _, err = h.PutMember(alice, empty, "alice", core.RoleOwner, 0)
		h.refused(err, core.CodeNotFound)
		h.project(alice, "empty", core.Public)
	})
}

func ptr[T any](v T) *T { return &v }

func TestProjectNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "library": true, "a.b": true, "a_b": true, "a__b": true, "a--b": true, "a-b.c_d": true, "0": true, strings.Repeat("a", 64): true,
		"": false, "A": false, "a.": false, "-a": false, "a..b": false, "a___b": false, "a._b": false, "a-.b": false, "a/b": false, "a b": false,
		"api": false, "v2": false, "admin": false, "ä": false, "a\x00": false, strings.Repeat("a", 65): false,
	} {
		if got := store.ValidProjectName(name); got != want {
			t.Errorf("ValidProjectName(%q) = %v, want %v", name, got, want)
		}
	}
	eachHub(t, func(h *hub) {
		for _, n := range []store.NewProject{
			{Name: "v2"}, {Name: "x", Visibility: "secret"}, {Name: "x", Baseline: "maybe"}, {Name: "x", QuotaBytes: -1},
			{Name: "x", Description: strings.Repeat("x", 1025)}, {Name: "x", Description: "\x1b[2J"},
		} {
			_, err := h.CreateProject(h.admin, n)
			h.refused(err, core.CodeInvalid)
		}
	})
}

func TestProjectList(t *testing.T) {
	eachHub(t, func(h *hub) {
		a := h.user("alice", false)
		alice := h.signIn(a)
		h.project(alice, "mine", core.Private)
		h.project(alice, "mine-open", core.Public)
		other := h.project(h.admin, "other", core.Private)
		h.project(h.admin, "open", core.Public)
		robot := &core.Principal{Kind: core.KindRobot, ID: "r", Project: other.ID}
		disguised := &core.Principal{Kind: core.KindRobot, ID: a.ID}

		list := func(p *core.Principal, q store.ProjectQuery) (names []string) {
			t.Helper()
			for {
				page, more, err := h.Projects(context.Background(), p, q)
				h.ok(err)
				for _, l := range page {
					name := l.Name
					if l.Role != core.RoleNone {
						name += "=" + string(l.Role)
					}
					names = append(names, name)
					q.After = l.Name
				}
				if !more {
					return names
				}
			}
		}
		ap := core.PrincipalFrom(alice)
		for _, c := range []struct {
			who  *core.Principal
			q    store.ProjectQuery
			want string
		}{
			{core.Anonymous(), store.ProjectQuery{N: 1}, "mine-open open"},
			{ap, store.ProjectQuery{N: 1}, "mine=owner mine-open=owner open"},
			{ap, store.ProjectQuery{Member: true}, "mine=owner mine-open=owner"},
			{ap, store.ProjectQuery{Visibility: core.Private}, "mine=owner"},
			{ap, store.ProjectQuery{Contains: "open"}, "mine-open=owner open"},
			{core.PrincipalFrom(h.admin), store.ProjectQuery{N: 3}, "mine mine-open open=owner other=owner"},
			{core.System(), store.ProjectQuery{}, "mine mine-open open other"},
			{robot, store.ProjectQuery{}, "mine-open open other"},
			{robot, store.ProjectQuery{Member: true}, "other"},
			{disguised, store.ProjectQuery{}, "mine-open open"},
			{&core.Principal{}, store.ProjectQuery{}, "mine-open open"},
		} {
			if got := strings.Join(list(c.who, c.q), " "); got != c.want {
				t.Errorf("%s %+v sees %q, want %q", c.who.Kind, c.q, got, c.want)
			}
		}
		for _, q := range hostile() {
			if got := list(ap, store.ProjectQuery{Contains: q}); len(got) > 0 {
				t.Errorf("%q finds %q", q, got)
			}
		}
	})
}
