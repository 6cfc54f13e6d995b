package auth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
)

// whileVerifying runs login up to where it has read the hash of the account and waits for a core, then meanwhile, and
// returns what login says.
func (h *hub) whileVerifying(login func() error, meanwhile func()) error {
	for range cap(h.passwords.slots) {
		h.passwords.slots <- struct{}{}
	}
	done := make(chan error, 1)
	go func() { done <- login() }()
	for h.passwords.waiting.Load() == 0 {
		runtime.Gosched()
	}
	meanwhile()
	for range cap(h.passwords.slots) {
		<-h.passwords.slots
	}
	return <-done
}

func (h *hub) hash(params HashParams, password string) string {
	h.t.Helper()
	hash, err := newPasswords(h.t, params).Hash(h.ctx, password)
	if err != nil {
		h.t.Fatal(err)
	}
	return hash
}

func (h *hub) sessionsOf(a *store.Account) int {
	h.t.Helper()
	list, _, err := h.Sessions(h.ctx, a.ID, "", 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return len(list)
}

// V-51: a log-in with the old password that was under way when the password changed begins no session.
func TestV51LoginInFlight(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		alice, other := h.user("alice"), h.hash(cheapHash(), "another good password")
		b := &browser{h: h}
		err := h.whileVerifying(func() error { _, err := b.login(goodPassword); return err }, func() {
			if err := h.store.SetPasswordHash(h.ctx, alice.ID, other); err != nil {
				t.Fatal(err)
			}
		})
		wantCode(t, err, core.CodeUnauthenticated)
		if n := h.sessionsOf(alice); n != 0 || b.cookie != nil {
			t.Errorf("%d sessions, cookie %v", n, b.cookie)
		}
		if _, err := b.login("another good password"); err != nil {
			t.Error(err)
		}
	})
}

// The same at the very moment: a session that is begun while the change is not yet committed waits for it.
func TestV51LoginDuringTheChange(t *testing.T) {
	h := startHub(t, dbtest.Postgres(t)(t)) // SQLite has one writer
	alice := h.user("alice")
	_, old, err := h.store.PasswordHash(h.ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	err = h.db.Write(h.ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(`UPDATE account SET password_hash = 'another' WHERE id = $1`, alice.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM session WHERE account_id = $1`, alice.ID); err != nil {
			return err
		}
		go func() {
			_, err := h.store.CreateSession(h.ctx, alice.ID, old, "hash", "", "", SessionMax)
			done <- err
		}()
		for waiting := 0; waiting == 0 && len(done) == 0; {
			if err := h.db.QueryRow(h.ctx, `SELECT COUNT(*) FROM pg_locks WHERE NOT granted`).Scan(&waiting); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-done, core.CodeUnauthenticated)
	if n := h.sessionsOf(alice); n != 0 {
		t.Errorf("%d sessions outlived the password", n)
	}
}

// A hash that is renewed while somebody logs in, by this log-in or by another one, is no change of the password.
func TestLoginWhileTheHashIsUpgraded(t *testing.T) {
	onEach(t, func(t *testing.T, h *hub) {
		outdated := HashParams{MemoryKiB: 32, Passes: 1, Lanes: 1}
		old, next := h.hash(outdated, goodPassword), h.hash(cheapHash(), goodPassword)
		alice, err := h.store.CreateAccount(h.ctx, store.NewAccount{Username: "alice", PasswordHash: old})
		if err != nil {
			t.Fatal(err)
		}
		b := &browser{h: h}
		err = h.whileVerifying(func() error { _, err := b.login(goodPassword); return err }, func() {
			if done, err := h.store.UpgradePasswordHash(h.ctx, alice.ID, old, next); err != nil || !done {
				t.Fatal(done, err)
			}
		})
		if err != nil || h.sessionsOf(alice) != 1 {
			t.Fatalf("renewed by another log-in: %v, %d sessions", err, h.sessionsOf(alice))
		}
		if err := h.store.SetPasswordHash(h.ctx, alice.ID, old); err != nil {
			t.Fatal(err)
		}
		if _, err := b.login(goodPassword); err != nil {
			t.Fatalf("renewed by this one: %v", err)
		}
		p, err := b.me()
		wantPrincipal(t, p, err, "alice", "session:")
	})
}

// A token request whose time is over is told so; one whose client has gone is not answered.
func TestTokenServiceTakesTooLong(t *testing.T) {
	h := sqliteHub(t)
	h.user("alice")
	for range cap(h.passwords.slots) {
		h.passwords.slots <- struct{}{}
	}
	over, stop := context.WithTimeout(h.ctx, 0)
	defer stop()
	gone, leave := context.WithCancel(h.ctx)
	leave()
	for ctx, want := range map[context.Context]int{over: http.StatusServiceUnavailable, gone: http.StatusOK} { // 200: nothing was written
		w := httptest.NewRecorder()
		r := basic("alice", goodPassword)
		r.URL.Path = "/service/token"
		h.TokenService(nil).ServeHTTP(w, r.WithContext(ctx))
		if w.Code != want || (w.Body.Len() == 0) != (want == http.StatusOK) {
			t.Errorf("%v: %d %s", ctx.Err(), w.Code, w.Body)
		}
	}
}
