package auth

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

func client(addr string) netip.Addr { return netip.MustParseAddr(addr) }

func (h *hub) login(from, user, password string) error {
	_, _, err := h.passwordLogin(h.ctx, client(from), user, password)
	return err
}

// V-18: a wrong password, a user that is not there and one that is disabled are told apart by nothing: the same answer,
// the same statements, the same hashes.
func TestV18FailuresAreAlike(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		yes := true
		h.user("alice")
		gone := h.user("gone")
		if _, err := h.store.UpdateAccount(h.ctx, gone.ID, store.AccountPatch{Disabled: &yes}, store.AnyRevision); err != nil {
			t.Fatal(err)
		}
		if _, err := h.store.CreateAccount(h.ctx, store.NewAccount{Username: "nopassword"}); err != nil {
			t.Fatal(err)
		}
		recorder := &db.Recorder{}
		h.db.Record(recorder)
		defer h.db.Record(nil)
		var want []string
		var answer string
		for i, c := range [][2]string{{"alice", "a wrong password"}, {"alice", ""}, {"nobody", goodPassword}, {"gone", goodPassword},
			{"gone", "a wrong password"}, {"nopassword", goodPassword}, {"nopassword", ""}, {"robot", "x"}, {"UPPER case?", "x"}} {
			recorder.Take()
			before := h.passwords.Runs()
			err := h.login("192.0.2.1", c[0], c[1])
			got := recorder.Take()
			wantCode(t, err, core.CodeUnauthenticated)
			if h.passwords.Runs() != before+1 {
				t.Errorf("%q: %d hashes", c, h.passwords.Runs()-before)
			}
			if i == 0 {
				want, answer = got, err.Error()
			}
			if !slices.Equal(got, want) || err.Error() != answer {
				t.Errorf("%q: %v\n%q\nwant %v\n%q", c, err, got, answer, want)
			}
			h.forgetFailures()
		}
		if len(want) != 4 { // waits, account, and a count for each subject
			t.Errorf("a failure runs %d statements: %q", len(want), want)
		}
	})
}

// W-04: five failures, then waiting, which is asked for before the hash; the owner who has logged in from there before
// and everybody elsewhere are not kept out by a stranger.
func TestW04Backoff(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		h.user("alice")
		h.user("bob")
		if err := h.login("198.51.100.1", "alice", goodPassword); err != nil {
			t.Fatal(err)
		}
		for range store.LoginFailures {
			wantCode(t, h.login("192.0.2.1", "alice", "guess"), core.CodeUnauthenticated)
		}
		h.failMore("alice", "192.0.2.1") // so that the wait outlasts this test
		before := h.passwords.Runs()
		err := h.login("192.0.2.1", "alice", goodPassword)
		wantCode(t, err, core.CodeTooMany)
		if e, ok := err.(*core.Error); !ok || e.RetryAfter <= 0 || e.RetryAfter > store.LoginWaitMax {
			t.Errorf("Retry-After of %+v", err)
		}
		wantCode(t, h.login("192.0.2.1", "bob", goodPassword), core.CodeTooMany)   // the address
		wantCode(t, h.login("192.0.2.7", "Alice", goodPassword), core.CodeTooMany) // the account
		if h.passwords.Runs() != before {
			t.Error("a hash was computed for somebody who has to wait")
		}
		// Who gave the right password just now is not kept out by a neighbour behind the same address.
		h.failMore("carol", "198.51.100.1")
		if err := h.login("198.51.100.1", "alice", goodPassword); err != nil {
			t.Errorf("verified a moment ago: %v", err)
		}
		wantCode(t, h.login("198.51.100.1", "alice", "guess"), core.CodeTooMany)
		h.forgetFailures()
		h.failMore("alice", "192.0.2.1")
		if err := h.login("198.51.100.1", "alice", goodPassword); err != nil {
			t.Errorf("a known address: %v", err)
		}
		if err := h.login("192.0.2.7", "bob", goodPassword); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		// It is in the database, so every replica knows.
		h.failMore("carol", "192.0.2.1")
		wantCode(t, startHub(t, h.db).login("192.0.2.8", "carol", "guess"), core.CodeTooMany)
	})
}

// failMore counts so many failures that the wait is the longest.
func (h *hub) failMore(user, from string) {
	h.t.Helper()
	for range store.LoginFailures + 10 {
		if err := h.store.LoginFailed(h.ctx, "account:"+subjectHash(user), "ip:"+from); err != nil {
			h.t.Fatal(err)
		}
	}
}

// W-05: one password tried on many accounts is seen at the address.
func TestW05Spraying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, dbtest.SQLite(t)(t))
		for i, user := range []string{"a1", "a2", "a3", "a4", "a5", "a6", "a7"} {
			want := core.CodeUnauthenticated
			if i >= store.LoginFailures {
				want = core.CodeTooMany
			}
			wantCode(t, h.login("2001:db8::"+user, user, "one password"), want) // one /64
		}
		<-time.After(store.LoginWaitMin)
		wantCode(t, h.login("2001:db8::1", "a6", "one password"), core.CodeUnauthenticated)
		wantCode(t, h.login("2001:db8::1", "a6", "one password"), core.CodeTooMany)
	})
}

// A password that was right needs no hash for a minute, from there; a new password, a stranger and a disabled account do.
func TestVerifiedPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, dbtest.SQLite(t)(t))
		alice := h.user("alice")
		runs := func(want int64, f func()) {
			t.Helper()
			before := h.passwords.Runs()
			f()
			if n := h.passwords.Runs() - before; n != want {
				t.Errorf("%d hashes, want %d", n, want)
			}
		}
		good := func(from string) func() {
			return func() {
				t.Helper()
				if err := h.login(from, "alice", goodPassword); err != nil {
					t.Error(err)
				}
			}
		}
		runs(1, good("192.0.2.1"))
		runs(0, good("192.0.2.1"))
		runs(1, good("192.0.2.2"))
		runs(1, func() { wantCode(t, h.login("192.0.2.1", "alice", goodPassword+"x"), core.CodeUnauthenticated) })
		<-time.After(verifiedLife)
		runs(1, good("192.0.2.1"))
		hash, err := h.passwords.Hash(h.ctx, "another password")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.store.SetPasswordHash(h.ctx, alice.ID, hash); err != nil {
			t.Fatal(err)
		}
		runs(1, func() { wantCode(t, h.login("192.0.2.1", "alice", goodPassword), core.CodeUnauthenticated) })
		if err := h.login("192.0.2.1", "alice", "another password"); err != nil {
			t.Fatal(err)
		}
		yes := true
		if _, err := h.store.UpdateAccount(h.ctx, alice.ID, store.AccountPatch{Disabled: &yes}, store.AnyRevision); err == nil {
			runs(1, func() {
				wantCode(t, h.login("192.0.2.1", "alice", "another password"), core.CodeUnauthenticated)
			})
		}
	})
}

// A hash with other costs is replaced when its password is given.
func TestHashIsUpgraded(t *testing.T) {
	h := sqliteHub(t)
	old, err := newPasswords(t, HashParams{MemoryKiB: 32, Passes: 1, Lanes: 1}).Hash(h.ctx, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.CreateAccount(h.ctx, store.NewAccount{Username: "alice", PasswordHash: old}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, h.login("192.0.2.1", "alice", "wrong"), core.CodeUnauthenticated)
	if _, hash, _ := h.store.PasswordHash(h.ctx, "alice"); hash != old {
		t.Error("upgraded by a wrong password")
	}
	if err := h.login("192.0.2.1", "alice", goodPassword); err != nil {
		t.Fatal(err)
	}
	_, hash, _ := h.store.PasswordHash(h.ctx, "alice")
	if hash == old || h.passwords.Outdated(hash) {
		t.Errorf("not upgraded: %s", hash)
	}
	if err := h.login("192.0.2.9", "alice", goodPassword); err != nil {
		t.Error(err)
	}
}
