package store_test

import (
	"context"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

// What the catalog asks of somebody who has just been there runs no SQL, and it hears of every change.
func TestSelf(t *testing.T) {
	eachHub(t, func(h *hub) {
		d := openDirectory(h)
		ctx := context.Background()
		self := func(p *core.Principal) (st store.Standing) {
			var err error
			n := d.statements(func() {
				st, err = d.dir.Self(ctx, p)
				h.ok(err)
				_, err = d.dir.VisibleProjects(ctx, p)
				h.ok(err)
			})
			if n > 0 && st.Alive && !h.db.Shared() {
				t.Errorf("%s: %d statements", p.Kind, n)
			}
			return st
		}
		if st := self(d.alice); !st.Alive || st.Admin || st.Project != nil {
			t.Errorf("alice is %+v", st)
		}
		if st := self(d.robot); !st.Alive || st.Robot == nil {
			t.Errorf("the robot is %+v", st)
		}
		if st := self(core.Anonymous()); !st.Alive {
			t.Errorf("anonymous is %+v", st)
		}
		visible := func(want int) {
			t.Helper()
			names, err := d.dir.VisibleProjects(ctx, d.alice)
			h.ok(err)
			if len(names) != want {
				t.Errorf("alice sees %q, want %d", names, want)
			}
		}
		visible(1)
		other := h.project(h.admin, "other", core.Private)
		_, _, err := h.PutMember(h.admin, other, "alice", core.RoleGuest, 0)
		h.ok(err)
		visible(2)
		h.ok(h.DeleteProject(h.admin, other, store.AnyRevision))
		visible(1)
		if st := self(&core.Principal{Kind: core.KindUser, ID: "nobody"}); st.Alive {
			t.Error("who does not exist is alive")
		}
	})
}

// A hub has one id, whoever asks first.
func TestHubID(t *testing.T) {
	eachHub(t, func(h *hub) {
		ids := map[string]bool{}
		for range 2 {
			id, err := h.HubID(context.Background())
			h.ok(err)
			ids[id] = true
		}
		if len(ids) != 1 || ids[""] {
			t.Errorf("got %v", ids)
		}
	})
}
