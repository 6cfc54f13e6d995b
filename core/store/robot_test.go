package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestRobots(t *testing.T) {
	eachHub(t, func(h *hub) {
		a, b := h.project(h.admin, "team", core.Private), h.project(h.admin, "other", core.Private)
		grants := []core.Grant{{Repository: "app-*", Actions: []core.Action{core.ActionPull, core.ActionPush}}}
		r, secret, err := h.CreateRobot(h.admin, a, store.NewRobot{Name: "ci", Permissions: grants, Description: "builds"})
		h.ok(err)
		if r.Username() != "robot$team+ci" || !strings.HasPrefix(secret, "hmr_") || r.ExpiresAt.Sub(r.CreatedAt) != store.DefaultRobotLife {
			t.Fatalf("%+v %q", r, secret)
		}
		_, _, err = h.CreateRobot(h.admin, a, store.NewRobot{Name: "ci", Permissions: grants})
		h.refused(err, core.CodeConflict)
		for _, n := range []store.NewRobot{
			{Name: "CI", Permissions: grants}, {Name: "x"}, {Name: "x", Permissions: grants, Life: store.MaxRobotLife + 1},
			{Name: "x", Permissions: grants, Life: -1}, {Name: "x", Permissions: []core.Grant{{Repository: "", Actions: grants[0].Actions}}},
			{Name: "x", Permissions: []core.Grant{{Repository: "**"}}}, {Name: "x", Permissions: []core.Grant{{Repository: "**", Actions: []core.Action{core.ActionHubUserWrite}}}},
			{Name: "x", Permissions: slices.Repeat(grants, 65)}, {Name: "x", Permissions: grants, Description: "a\nb"},
		} {
			_, _, err = h.CreateRobot(h.admin, a, n)
			h.refused(err, core.CodeInvalid)
		}
		robotLogin(h, a, secret)
		robotOfAnother(h, b, r)

		_, err = h.UpdateRobot(h.admin, a, r.ID, store.RobotPatch{Disabled: ptr(true)}, 0)
		h.refused(err, core.CodeIfMatchRequired)
		_, err = h.UpdateRobot(h.admin, a, r.ID, store.RobotPatch{Permissions: &[]core.Grant{}}, store.AnyRevision)
		h.refused(err, core.CodeInvalid)
		changed, err := h.UpdateRobot(h.admin, a, r.ID, store.RobotPatch{Disabled: ptr(true), Life: ptr(store.MaxRobotLife)}, store.AnyRevision)
		h.ok(err)
		got, err := h.Robot(h.admin, a, r.ID)
		h.ok(err)
		if !got.Disabled || !got.ExpiresAt.Equal(changed.ExpiresAt) || got.Description != "builds" || len(got.Permissions) != 1 {
			t.Fatalf("%+v", got)
		}
		h.ok(h.TouchRobots(h.admin, map[string]time.Time{r.ID: h.Now()}))
		h.ok(h.DeleteRobot(h.admin, a, r.ID, got.Revision))
		h.refused(h.DeleteRobot(h.admin, a, r.ID, store.AnyRevision), core.CodeNotFound)
	})
}

// robotLogin checks secrets before and after two rotations.
func robotLogin(h *hub, p *core.Project, first string) {
	h.t.Helper()
	matches := func(secret string, at time.Time) bool {
		h.t.Helper()
		l, err := h.RobotByName(h.admin, p.Name, "ci")
		h.ok(err)
		return l.Matches(secret, at)
	}
	now := h.Now()
	if !matches(first, now) || matches("", now) || matches("hmr_x", now) {
		h.t.Fatal("the secret is the only one that matches")
	}
	l, err := h.RobotByName(h.admin, p.Name, "ci")
	h.ok(err)
	_, second, err := h.RotateRobot(h.admin, p, l.ID, time.Hour)
	h.ok(err)
	if !matches(second, now) || !matches(first, now) || matches(first, now.Add(2*time.Hour)) || matches("", now) {
		h.t.Fatal("after a rotation both match, the old one for as long as it was said")
	}
	_, third, err := h.RotateRobot(h.admin, p, l.ID, 0)
	h.ok(err)
	if !matches(third, h.Now()) || matches(first, h.Now()) || matches(second, h.Now().Add(time.Second)) {
		h.t.Fatal("after a rotation without overlap only the new one matches")
	}
	_, _, err = h.RotateRobot(h.admin, p, l.ID, store.MaxRotation+1)
	h.refused(err, core.CodeInvalid)
	for _, name := range append([]string{"cd"}, hostile()...) {
		_, err = h.RobotByName(h.admin, p.Name, name)
		h.refused(err, core.CodeNotFound)
	}
}

// robotOfAnother tries every verb with the id of a robot of another project (V-03).
func robotOfAnother(h *hub, p *core.Project, r *store.Robot) {
	h.t.Helper()
	_, err := h.Robot(h.admin, p, r.ID)
	h.refused(err, core.CodeNotFound)
	_, err = h.UpdateRobot(h.admin, p, r.ID, store.RobotPatch{Disabled: ptr(true)}, store.AnyRevision)
	h.refused(err, core.CodeNotFound)
	_, _, err = h.RotateRobot(h.admin, p, r.ID, 0)
	h.refused(err, core.CodeNotFound)
	h.refused(h.DeleteRobot(h.admin, p, r.ID, store.AnyRevision), core.CodeNotFound)
	all, _, err := h.Robots(h.admin, p, "", 0)
	h.ok(err)
	if len(all) != 0 {
		h.t.Fatalf("another project lists it: %+v", all)
	}
}

// The trail says until when a robot lives, in words that people read.
func TestRobotAudit(t *testing.T) {
	eachHub(t, func(h *hub) {
		p := h.project(h.admin, "team", core.Private)
		r, _, err := h.CreateRobot(h.admin, p, store.NewRobot{Name: "ci", Permissions: []core.Grant{{Repository: "**", Actions: []core.Action{core.ActionPull}}}})
		h.ok(err)
		life := time.Hour
		changed, err := h.UpdateRobot(h.admin, p, r.ID, store.RobotPatch{Life: &life}, store.AnyRevision)
		h.ok(err)
		_, err = h.UpdateRobot(h.admin, p, r.ID, store.RobotPatch{Disabled: ptr(true)}, store.AnyRevision)
		h.ok(err)
		entries, _, err := h.AuditEntries(h.admin, store.AuditQuery{Action: "robot.*"})
		h.ok(err)
		want := []string{`{"disabled":true}`, `{"expires_at":"` + changed.ExpiresAt.Format(time.RFC3339Nano) + `"}`,
			`{"permissions":[{"repository":"**","actions":["pull"]}],"expires_at":"` + r.ExpiresAt.Format(time.RFC3339Nano) + `"}`}
		for i, e := range entries {
			if i >= len(want) || e.Detail != want[i] {
				t.Errorf("%s: %s", e.Action, e.Detail)
			}
		}
		if len(entries) != len(want) {
			t.Errorf("%d entries", len(entries))
		}
	})
}
