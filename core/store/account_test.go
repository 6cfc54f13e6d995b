package store_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func TestAccounts(t *testing.T) {
	eachHub(t, func(h *hub) {
		alice, err := h.CreateAccount(h.admin, store.NewAccount{Username: "alice", PasswordHash: "phc", Email: "a@example.org", DisplayName: "Älice"})
		h.ok(err)
		_, err = h.CreateAccount(h.admin, store.NewAccount{Username: "alice"})
		h.refused(err, core.CodeConflict)

		got, err := h.AccountByUsername(h.admin, "alice")
		h.ok(err)
		if *got != *alice {
			t.Fatalf("read %+v, want what was made: %+v", got, alice)
		}
		if got, err = h.AccountByID(h.admin, alice.ID); err != nil || *got != *alice {
			t.Fatalf("by id: %+v, %v", got, err)
		}
		_, hash, err := h.PasswordHash(h.admin, "alice")
		h.ok(err)
		if hash != "phc" {
			t.Fatalf("hash %q", hash)
		}
		for _, name := range []string{"bob", "", "a\x00b", "\xff", "' OR 1=1 --"} {
			_, err = h.AccountByUsername(h.admin, name)
			h.refused(err, core.CodeNotFound)
			_, _, err = h.PasswordHash(h.admin, name)
			h.refused(err, core.CodeNotFound)
		}

		mail := "new@example.org"
		_, err = h.UpdateAccount(h.admin, alice.ID, store.AccountPatch{Email: &mail}, 0)
		h.refused(err, core.CodeIfMatchRequired)
		_, err = h.UpdateAccount(h.admin, alice.ID, store.AccountPatch{Email: &mail}, 7)
		h.refused(err, core.CodeStale)
		got, err = h.UpdateAccount(h.admin, alice.ID, store.AccountPatch{Email: &mail}, 1)
		h.ok(err)
		if got.Email != mail || got.Revision != 2 || got.DisplayName != "Älice" {
			t.Fatalf("after the change %+v", got)
		}
		h.ok(h.SetPasswordHash(h.admin, alice.ID, "other"))
		if n, err := h.CountAccounts(h.admin); err != nil || n != 2 {
			t.Fatalf("%d accounts, %v", n, err)
		}
		h.ok(h.DeleteAccount(h.admin, alice.ID, store.AnyRevision, false))
		h.refused(h.DeleteAccount(h.admin, alice.ID, store.AnyRevision, false), core.CodeNotFound)
		want := []string{"user.create", "user.create", "user.update", "user.password", "user.delete"}
		if got := h.actions(0); !slices.Equal(got, want) {
			t.Fatalf("audit %q, want %q", got, want)
		}
	})
}

func TestAccountNamesAndProfiles(t *testing.T) {
	for name, want := range map[string]bool{"a": true, "a.b_c-d9": true, strings.Repeat("a", 64): true, "": false, "A": false, "-a": false, "a.": false,
		"me": false, "oidc": false, "anonymous": false, "system": false, "operator": false, "hallmark": false, "robot": false, "job": false,
		"local": false, "robots": true, "a b": false, "a/b": false, "robot$x": false, "ä": false, strings.Repeat("a", 65): false} {
		if got := store.ValidUsername(name); got != want {
			t.Errorf("ValidUsername(%q) = %v, want %v", name, got, want)
		}
	}
	eachHub(t, func(h *hub) {
		for _, n := range []store.NewAccount{
			{Username: "Bob"}, {Username: "b", Email: "nobody"}, {Username: "b", Email: "a@b@c"}, {Username: "b", Email: "a@b\x00"},
			{Username: "b", DisplayName: "x\ny"}, {Username: "b", DisplayName: strings.Repeat("x", 129)}, {Username: "b", DisplayName: "\xff"},
			{Username: "b", Email: strings.Repeat("x", 250) + "@b.de"},
		} {
			_, err := h.CreateAccount(h.admin, n)
			h.refused(err, core.CodeInvalid)
		}
	})
}

func TestLastAdministratorStays(t *testing.T) {
	eachHub(t, func(h *hub) {
		root, err := h.AccountByUsername(h.admin, "root")
		h.ok(err)
		no, yes := false, true
		h.refused(h.DeleteAccount(h.admin, root.ID, store.AnyRevision, false), core.CodeConflict)
		_, err = h.UpdateAccount(h.admin, root.ID, store.AccountPatch{Admin: &no}, store.AnyRevision)
		h.refused(err, core.CodeConflict)
		_, err = h.UpdateAccount(h.admin, root.ID, store.AccountPatch{Disabled: &yes}, store.AnyRevision)
		h.refused(err, core.CodeConflict)

		// Of many who leave at the same time one stays.
		ids := []string{root.ID}
		for _, name := range []string{"two", "three", "four"} {
			ids = append(ids, h.user(name, true).ID)
		}
		var wg sync.WaitGroup
		for i, id := range ids {
			wg.Go(func() {
				switch i % 2 {
				case 0:
					_ = h.DeleteAccount(h.admin, id, store.AnyRevision, false)
				case 1:
					_, _ = h.UpdateAccount(h.admin, id, store.AccountPatch{Disabled: &yes}, store.AnyRevision)
				}
			})
		}
		wg.Wait()
		all, _, err := h.Accounts(h.admin, store.AccountQuery{})
		h.ok(err)
		left := 0
		for _, a := range all {
			if a.Admin && !a.Disabled {
				left++
			}
		}
		if left != 1 {
			t.Fatalf("%d administrators left, want 1", left)
		}
	})
}

// Nobody takes the last owner who can log in away from a project unasked.
func TestOwnersAreNotTakenAway(t *testing.T) {
	eachHub(t, func(h *hub) {
		yes := true
		owner := func(name string, projects ...string) *store.Account {
			a := h.user(name, false)
			for _, p := range projects {
				h.project(h.signIn(a), p, core.Private)
			}
			return a
		}
		alice := owner("alice", "web", "app", "both")
		bob := owner("bob")
		both, err := h.ProjectByName(h.admin, "both")
		h.ok(err)
		_, _, err = h.PutMember(h.admin, both, "bob", core.RoleOwner, 0)
		h.ok(err)

		refused := func(err error, want string) {
			t.Helper()
			h.refused(err, core.CodeConflict)
			if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "leave_ownerless") {
				t.Errorf("%v does not name %q", err, want)
			}
		}
		disable := store.AccountPatch{Disabled: &yes}
		refused(h.DeleteAccount(h.admin, alice.ID, store.AnyRevision, false), "owner of app, web:")
		_, err = h.UpdateAccount(h.admin, alice.ID, disable, store.AnyRevision)
		refused(err, "owner of app, web:")
		if a, err := h.AccountByUsername(h.admin, "alice"); err != nil || a.Disabled {
			t.Fatalf("after the refusals: %+v, %v", a, err)
		}

		// Of two owners one may go, and then the other may not: one who cannot log in is none.
		_, err = h.UpdateAccount(h.admin, bob.ID, disable, store.AnyRevision)
		h.ok(err)
		refused(h.DeleteAccount(h.admin, alice.ID, store.AnyRevision, false), "owner of app, both, web:")

		disable.LeaveOwnerless = true
		_, err = h.UpdateAccount(h.admin, alice.ID, disable, store.AnyRevision)
		h.ok(err)
		h.ok(h.DeleteAccount(h.admin, alice.ID, store.AnyRevision, true))
		for action, want := range map[string]string{"user.update": `"ownerless":{"projects":3,"names":["app","both","web"]}`,
			"user.delete": `{"ownerless":{"projects":3,"names":["app","both","web"]}}`} {
			entries, _, err := h.AuditEntries(h.admin, store.AuditQuery{Action: action, N: 1})
			if h.ok(err); len(entries) != 1 || !strings.Contains(entries[0].Detail, want) {
				t.Errorf("%s: %+v", action, entries)
			}
		}

		// Ten are named, the rest are counted.
		var names []string
		for c := 'a'; c <= 'l'; c++ {
			names = append(names, "p-"+string(c))
		}
		carol := owner("carol", names[:10]...)
		refused(h.DeleteAccount(h.admin, carol.ID, store.AnyRevision, false), "p-i, p-j:")
		h.project(h.signIn(carol), names[10], core.Private)
		h.project(h.signIn(carol), names[11], core.Private)
		refused(h.DeleteAccount(h.admin, carol.ID, store.AnyRevision, false), "p-i, p-j and 2 more:")
	})
}

// Of all owners of a project who go at the same time one stays, whichever way they go.
func TestOneOwnerStaysAnyWay(t *testing.T) {
	eachHub(t, func(h *hub) {
		alice := h.user("alice", false)
		owner := h.signIn(alice)
		p := h.project(owner, "team", core.Private)
		accounts := []*store.Account{alice}
		for _, name := range []string{"bob", "carol", "dave", "eve", "fred"} {
			accounts = append(accounts, h.user(name, false))
			_, _, err := h.PutMember(owner, p, name, core.RoleOwner, 0)
			h.ok(err)
		}
		yes := true
		var wg sync.WaitGroup
		for i, a := range accounts {
			wg.Go(func() {
				switch i % 3 {
				case 0:
					_ = h.DeleteAccount(h.admin, a.ID, store.AnyRevision, false)
				case 1:
					_, _ = h.UpdateAccount(h.admin, a.ID, store.AccountPatch{Disabled: &yes}, store.AnyRevision)
				case 2:
					_ = h.DeleteMember(owner, p, a.Username, store.AnyRevision)
				}
			})
		}
		wg.Wait()
		left := 0
		for _, a := range accounts {
			m, err := h.Member(h.admin, p, a.Username)
			if core.CodeOf(err) == core.CodeNotFound {
				continue
			}
			h.ok(err)
			if now, err := h.AccountByID(h.admin, a.ID); err == nil && !now.Disabled && m.Role == core.RoleOwner {
				left++
			}
		}
		if left == 0 {
			t.Fatal("nobody who can log in is owner any more")
		}
	})
}

func TestAccountPages(t *testing.T) {
	eachHub(t, func(h *hub) {
		for _, name := range []string{"b", "a", "z-9", "z.9", "z_9", "zz"} {
			h.user(name, false)
		}
		var names []string
		after := ""
		for {
			page, more, err := h.Accounts(context.Background(), store.AccountQuery{After: after, N: 2})
			h.ok(err)
			for _, a := range page {
				names = append(names, a.Username)
				after = a.Username
			}
			if !more {
				break
			}
		}
		if want := []string{"a", "b", "root", "z-9", "z.9", "z_9", "zz"}; !slices.Equal(names, want) {
			t.Fatalf("pages %q, want byte order %q", names, want)
		}
		found, _, err := h.Accounts(context.Background(), store.AccountQuery{Contains: "_"})
		h.ok(err)
		if len(found) != 1 || found[0].Username != "z_9" {
			t.Fatalf("what contains an underscore: %+v", found)
		}
		for _, q := range hostile() {
			if found, _, err := h.Accounts(context.Background(), store.AccountQuery{Contains: q}); err != nil || len(found) > 0 {
				t.Fatalf("%q finds %d, %v", q, len(found), err)
			}
		}
	})
}

// hostile are texts that were parts of statements elsewhere (V-05).
func hostile() []string {
	return []string{"'", "';--", "$tag$", "$1", "\x00", "%", "*", "\\", "' OR '1'='1", "\xff\xfe", "日本", strings.Repeat("x", 5000)}
}
