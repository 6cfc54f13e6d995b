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
		h.ok(h.SetPasswordHash(h.admin, alice.ID, "other", ""))
		if n, err := h.CountAccounts(h.admin); err != nil || n != 2 {
			t.Fatalf("%d accounts, %v", n, err)
		}
		h.ok(h.DeleteAccount(h.admin, alice.ID, store.AnyRevision))
		h.refused(h.DeleteAccount(h.admin, alice.ID, store.AnyRevision), core.CodeNotFound)
		want := []string{"user.create", "user.create", "user.update", "user.password", "user.delete"}
		if got := h.actions(0); !slices.Equal(got, want) {
			t.Fatalf("audit %q, want %q", got, want)
		}
	})
}

func TestAccountNamesAndProfiles(t *testing.T) {
	for name, want := range map[string]bool{"a": true, "a.b_c-d9": true, strings.Repeat("a", 64): true, "": false, "A": false, "-a": false, "a.": false,
		"me": false, "oidc": false, "anonymous": false, "a b": false, "a/b": false, "robot$x": false, "ä": false, strings.Repeat("a", 65): false} {
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
		h.refused(h.DeleteAccount(h.admin, root.ID, store.AnyRevision), core.CodeConflict)
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
					_ = h.DeleteAccount(h.admin, id, store.AnyRevision)
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
