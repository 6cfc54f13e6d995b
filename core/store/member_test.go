package store_test

import (
	"sync"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestMembers(t *testing.T) {
	eachHub(t, func(h *hub) {
		alice, bob := h.user("alice", false), h.user("bob", false)
		owner := h.signIn(alice)
		p := h.project(owner, "team", core.Private)
		b := h.project(h.admin, "other", core.Private)

		m, created, err := h.PutMember(owner, p, "bob", core.RoleGuest, 0)
		h.ok(err)
		if !created || m.AccountID != bob.ID || m.Revision != 1 {
			t.Fatalf("%+v, %v", m, created)
		}
		_, created, err = h.PutMember(owner, p, "bob", core.RoleGuest, 0)
		h.ok(err)
		if created {
			t.Fatal("again is no creation")
		}
		_, _, err = h.PutMember(owner, p, "bob", core.RoleDeveloper, 0)
		h.refused(err, core.CodeIfMatchRequired)
		_, _, err = h.PutMember(owner, p, "bob", core.RoleDeveloper, 4)
		h.refused(err, core.CodeStale)
		m, _, err = h.PutMember(owner, p, "bob", core.RoleDeveloper, 1)
		h.ok(err)
		if m.Role != core.RoleDeveloper || m.Revision != 2 {
			t.Fatalf("%+v", m)
		}
		_, _, err = h.PutMember(owner, p, "nobody", core.RoleGuest, 0)
		h.refused(err, core.CodeNotFound)
		_, _, err = h.PutMember(owner, p, "bob", "god", 2)
		h.refused(err, core.CodeInvalid)
		_, _, err = h.PutMember(owner, p, "bob", core.RoleNone, 2)
		h.refused(err, core.CodeInvalid)
		// V-03: a member of one project is none of another.
		_, err = h.Member(owner, b, "bob")
		h.refused(err, core.CodeNotFound)
		h.refused(h.DeleteMember(owner, b, "bob", store.AnyRevision), core.CodeNotFound)

		h.refused(h.DeleteMember(owner, p, "alice", store.AnyRevision), core.CodeConflict)
		_, _, err = h.PutMember(owner, p, "alice", core.RoleGuest, store.AnyRevision)
		h.refused(err, core.CodeConflict)

		owners, _, err := h.Members(owner, p, store.MemberQuery{Role: core.RoleOwner})
		h.ok(err)
		first, more, err := h.Members(owner, p, store.MemberQuery{N: 1})
		h.ok(err)
		if len(owners) != 1 || owners[0].Username != "alice" || len(first) != 1 || !more {
			t.Fatalf("owners %+v, first page %+v more %v", owners, first, more)
		}
		h.refused(h.DeleteMember(owner, p, "bob", 1), core.CodeStale)
		h.ok(h.DeleteMember(owner, p, "bob", 2))
		h.refused(h.DeleteMember(owner, p, "bob", store.AnyRevision), core.CodeNotFound)
		// An administrator may empty a project.
		h.ok(h.DeleteMember(h.admin, p, "alice", store.AnyRevision))
	})
}

func TestOneOwnerStays(t *testing.T) {
	eachHub(t, func(h *hub) {
		alice := h.user("alice", false)
		owner := h.signIn(alice)
		p := h.project(owner, "team", core.Private)
		names := []string{"alice"}
		for _, name := range []string{"bob", "carol", "dave"} {
			h.user(name, false)
			_, _, err := h.PutMember(owner, p, name, core.RoleOwner, 0)
			h.ok(err)
			names = append(names, name)
		}
		var wg sync.WaitGroup
		for i, name := range names {
			wg.Go(func() {
				if i%2 == 0 {
					_ = h.DeleteMember(owner, p, name, store.AnyRevision)
				} else {
					_, _, _ = h.PutMember(owner, p, name, core.RoleGuest, store.AnyRevision)
				}
			})
		}
		wg.Wait()
		owners, _, err := h.Members(owner, p, store.MemberQuery{Role: core.RoleOwner})
		h.ok(err)
		if len(owners) != 1 {
			t.Fatalf("%d owners left, want 1", len(owners))
		}
	})
}
