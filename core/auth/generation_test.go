package auth

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

// holds reports whether a registry token is still good.
func (h *hub) holds(token string) bool {
	h.t.Helper()
	_, err := h.Registry(bearer(token))
	if err != nil && core.CodeOf(err) != core.CodeUnauthenticated {
		h.t.Fatal(err)
	}
	return err == nil
}

// wantNoSQL is for what a request with a token does again and again.
func (h *hub) wantNoSQL(token string) {
	h.t.Helper()
	r := &db.Recorder{}
	h.db.Record(r)
	defer h.db.Record(nil)
	if !h.holds(token) {
		h.t.Error("a good token is refused")
	}
	for _, text := range r.Take() {
		if strings.Contains(text, "FROM account") || strings.Contains(text, "FROM robot") || strings.Contains(text, "FROM personal_token") {
			h.t.Errorf("a warm token asks: %s", text)
		}
	}
}

// V-22: a registry token ends with the password it was got with, and with nothing else of the account.
func TestV22TokenEndsWithThePassword(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice := h.user("alice")
		_, personal := h.personal(alice, "laptop", nil, 0)
		old, byPersonal := h.token("alice", goodPassword), h.token("alice", personal)
		h.holds(old)
		h.holds(byPersonal)
		h.wantNoSQL(old)
		h.wantNoSQL(byPersonal)
		name := "Alice"
		if _, err := h.store.UpdateAccount(h.ctx, alice.ID, store.AccountPatch{DisplayName: &name}, store.AnyRevision); err != nil {
			t.Fatal(err)
		}
		if !h.holds(old) {
			t.Error("a change of the name ended a token")
		}
		if err := h.SetPassword(h.ctx, alice.ID, "alice", "another good password"); err != nil {
			t.Fatal(err)
		}
		if h.holds(old) {
			t.Error("a token outlived the password it was got with")
		}
		if !h.holds(byPersonal) {
			t.Error("a token got with a personal token ended with the password")
		}
		next := h.token("alice", "another good password")
		h.holds(next)
		h.wantNoSQL(next)
	})
}

// The token that comes with a log-in that renews the hash is good.
func TestTokenOfAnUpgradedHash(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice := h.user("alice")
		old := h.hash(HashParams{MemoryKiB: 32, Passes: 1, Lanes: 1}, goodPassword)
		if err := h.store.SetPasswordHash(h.ctx, alice.ID, old); err != nil {
			t.Fatal(err)
		}
		if _, err := h.dir.Account(h.ctx, alice.ID); err != nil { // it is in memory from here on
			t.Fatal(err)
		}
		if token := h.token("alice", goodPassword); !h.holds(token) {
			t.Error("it is refused")
		}
		h.wantNoSQL(h.token("alice", goodPassword))
	})
}

// V-22: a rotation without overlap ends the tokens of the old secret, one with an overlap leaves them.
func TestV22TokenEndsWithTheSecret(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		team := h.project("team", core.Private, nil)
		r, first := h.robot(team, "ci", grant("**", core.ActionPull))
		old := h.token("robot$team+ci", first)
		h.holds(old)
		h.wantNoSQL(old)
		_, second, err := h.store.RotateRobot(h.ctx, team, r.ID, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		next := h.token("robot$team+ci", second)
		if !h.holds(old) || !h.holds(next) || !h.holds(h.token("robot$team+ci", first)) {
			t.Error("a token is refused during the overlap")
		}
		h.wantNoSQL(old)
		h.wantNoSQL(next)
		_, third, err := h.store.RotateRobot(h.ctx, team, r.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		if h.holds(old) || h.holds(next) {
			t.Error("a token outlived the secret it was got with")
		}
		if !h.holds(h.token("robot$team+ci", third)) {
			t.Error("a token of the new secret is refused")
		}
	})
}

// The tokens of the old secret end when the overlap does.
func TestV22TokenEndsWithTheOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHub(t, dbtest.SQLite(t)(t))
		team := h.project("team", core.Private, nil)
		r, first := h.robot(team, "ci", grant("**", core.ActionPull))
		old := h.token("robot$team+ci", first)
		_, second, err := h.store.RotateRobot(h.ctx, team, r.ID, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		next := h.token("robot$team+ci", second)
		for _, c := range []struct {
			wait time.Duration
			old  bool
		}{{0, true}, {time.Minute - time.Second, true}, {time.Second, false}} {
			<-time.After(c.wait)
			if h.holds(old) != c.old || !h.holds(next) {
				t.Errorf("after %v more: old %v, new %v", c.wait, h.holds(old), h.holds(next))
			}
		}
	})
}

// Two processes: what one changed holds in the other within a second, and a token of what is new is good there at once.
func TestV22TokenEndsElsewhere(t *testing.T) {
	open := dbtest.Postgres(t)
	one, two := startHub(t, open(t)), startHub(t, open(t))
	for _, h := range []*hub{one, two} {
		if !h.db.Fresh() {
			if err := h.db.Follow(h.ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	alice := one.user("alice")
	team := one.project("team", core.Private, nil)
	r, secret := one.robot(team, "ci", grant("**", core.ActionPull))
	password, robot := one.token("alice", goodPassword), one.token("robot$team+ci", secret)
	if !two.holds(password) || !two.holds(robot) {
		t.Fatal("the other process refuses a good token")
	}
	if err := one.SetPassword(one.ctx, alice.ID, "alice", "another good password"); err != nil {
		t.Fatal(err)
	}
	_, next, err := one.store.RotateRobot(one.ctx, team, r.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !two.holds(one.token("alice", "another good password")) || !two.holds(one.token("robot$team+ci", next)) {
		t.Error("the other process refuses what is new")
	}
	for end := time.Now().Add(5 * time.Second); two.holds(password) || two.holds(robot); {
		if time.Now().After(end) {
			t.Fatal("the other process believes in what is old")
		}
		runtime.Gosched() // another process cannot signal
	}
}
