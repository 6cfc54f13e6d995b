package store_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/seal"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/migrations"
)

// onEach runs f on every engine.
func onEach(t *testing.T, f func(t *testing.T, s *store.Store)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		if err := migrations.Up(asHub(), d); err != nil {
			t.Fatal(err)
		}
		f(t, store.New(d))
	})
}

// age makes everything that is about time older by d: as good as waiting, and it works on a database with a clock of
// its own.
func age(t *testing.T, s *store.Store, d time.Duration) {
	t.Helper()
	err := s.DB().Write(asHub(), func(tx *db.Tx) error {
		for _, q := range []string{
			`UPDATE session SET created_at = created_at - $1, last_used_at = last_used_at - $1, verified_at = verified_at - $1, expires_at = expires_at - $1`,
			`UPDATE personal_token SET created_at = created_at - $1, last_used_at = last_used_at - $1, expires_at = expires_at - $1`,
			`UPDATE secret SET created_at = created_at - $1, retire_at = retire_at - $1`,
			`UPDATE login_failure SET first_at = first_at - $1, last_at = last_at - $1,
				blocked_until = CASE WHEN blocked_until = 0 THEN 0 ELSE blocked_until - $1 END`,
		} {
			if _, err := tx.Exec(q, d.Microseconds()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testKeyring(t *testing.T, text string) *seal.Keyring {
	t.Helper()
	k, err := seal.New(bytes.Repeat([]byte(text), 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// asHub is a context in which the hub itself asks.
func asHub() context.Context { return core.WithPrincipal(context.Background(), core.System()) }

func wantCode(t *testing.T, err error, want core.ErrorCode) {
	t.Helper()
	if core.CodeOf(err) != want {
		t.Errorf("error %v, want code %q", err, want)
	}
}

func TestMasterKeyIsRemembered(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := asHub()
		right := testKeyring(t, "a")
		for range 2 {
			if err := s.CheckMasterKey(ctx, right); err != nil {
				t.Fatal(err)
			}
		}
		err := s.CheckMasterKey(ctx, testKeyring(t, "b"))
		if err == nil || !strings.Contains(err.Error(), "HALLMARK_MASTER_KEY") {
			t.Errorf("another key: %v", err)
		}
	})
}

func TestSecrets(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx, k := asHub(), testKeyring(t, "a")
		// Several processes start at once.
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if _, err := s.EnsureSecret(ctx, k, "p", fmt.Append(nil, "value ", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		first, err := s.Secrets(ctx, k, "p")
		if err != nil || len(first) != 1 || !bytes.HasPrefix(first[0].Value, []byte("value ")) || !first[0].RetireAt.IsZero() {
			t.Fatalf("%v, %v", first, err)
		}
		if _, err := s.Secrets(ctx, testKeyring(t, "b"), "p"); err == nil {
			t.Error("it opens under another master key")
		}
		age(t, s, time.Hour)
		id, err := s.RotateSecret(ctx, k, "p", []byte("second"), 2*time.Second, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		both, err := s.Secrets(ctx, k, "p")
		if err != nil || len(both) != 2 || both[0].ID != first[0].ID || both[1].ID != id || string(both[1].Value) != "second" ||
			!both[1].RetireAt.IsZero() || both[0].RetireAt.Sub(s.Now()) <= 0 || both[0].RetireAt.Sub(s.Now()) > 2*time.Second {
			t.Fatalf("%v, %v", both, err)
		}
		// V-52: a row that got another one's sealed value.
		if err := s.DB().Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE id = $1)`, id)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Secrets(ctx, k, "p"); err == nil {
			t.Error("a swapped row opens")
		}
		age(t, s, time.Hour)
		if _, err := s.RotateSecret(ctx, k, "p", []byte("third"), 0, time.Minute); err != nil {
			t.Fatal(err)
		}
		if left, err := s.Secrets(ctx, k, "p"); err != nil || len(left) != 2 || string(left[0].Value) != "second" || string(left[1].Value) != "third" {
			t.Errorf("what retired long ago stays: %v, %v", left, err)
		}
	})
}

func TestConcurrentRotations(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx, k := asHub(), testKeyring(t, "a")
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				_, err := s.RotateSecret(ctx, k, "p", fmt.Append(nil, i), 0, time.Hour)
				if err != nil && core.CodeOf(err) != core.CodeConflict {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		all, err := s.Secrets(ctx, k, "p")
		if err != nil || len(all) == 0 {
			t.Fatalf("%v, %v", all, err)
		}
		for i, sec := range all {
			if sec.RetireAt.IsZero() != (i == len(all)-1) {
				t.Errorf("key %d of %d retires at %v", i, len(all), sec.RetireAt)
			}
		}
	})
}

func newAccount(t *testing.T, s *store.Store, name string) *store.Account {
	t.Helper()
	a, err := s.CreateAccount(asHub(), store.NewAccount{Username: name})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSessions(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := core.WithOrigin(asHub(), core.Origin{IP: "192.0.2.1"})
		alice, bob := newAccount(t, s, "alice"), newAccount(t, s, "bob")
		first, err := s.CreateSession(ctx, alice.ID, "", "hash1", "", "Browser\x1b[31m/1\n"+strings.Repeat("x", 1000), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.SessionByHash(ctx, "hash1")
		if err != nil || got.ID != first.ID || got.AccountID != alice.ID || got.IP != "192.0.2.1" || got.ExpiresAt.Sub(got.CreatedAt) != time.Hour {
			t.Fatalf("%+v, %v", got, err)
		}
		if !strings.HasPrefix(got.UserAgent, "Browser[31m/1xxx") || len(got.UserAgent) > 256 {
			t.Errorf("user agent %q", got.UserAgent)
		}
		_, err = s.CreateSession(ctx, "nobody", "", "hash2", "", "", time.Hour)
		wantCode(t, err, core.CodeUnauthenticated)
		// W-03: logging in again ends the session of before.
		second, err := s.CreateSession(ctx, alice.ID, "", "hash3", "hash1", "", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.SessionByHash(ctx, "hash1")
		wantCode(t, err, core.CodeNotFound)
		wantCode(t, s.DeleteSession(ctx, bob.ID, second.ID), core.CodeNotFound)
		if err := s.VerifySession(ctx, alice.ID, second.ID, "hash4"); err != nil {
			t.Fatal(err)
		}
		_, err = s.SessionByHash(ctx, "hash3")
		wantCode(t, err, core.CodeNotFound)
		age(t, s, 20*time.Minute)
		if err := s.TouchSessions(ctx, map[string]time.Time{second.ID: s.Now(), "gone": s.Now()}); err != nil {
			t.Fatal(err)
		}
		age(t, s, 20*time.Minute)
		list, more, err := s.Sessions(ctx, alice.ID, 30*time.Minute, "", 0)
		if err != nil || more || len(list) != 1 || list[0].ID != second.ID {
			t.Errorf("%v, %v", list, err)
		}
		age(t, s, 20*time.Minute)
		if list, _, _ := s.Sessions(ctx, alice.ID, 30*time.Minute, "", 0); len(list) != 0 {
			t.Error("an idle session is listed")
		}
		if err := s.ExpireSessions(ctx, 30*time.Minute); err != nil {
			t.Fatal(err)
		}
		_, err = s.SessionByHash(ctx, "hash4")
		wantCode(t, err, core.CodeNotFound)
		for _, h := range []string{"h5", "h6", "h7"} {
			if _, err := s.CreateSession(ctx, alice.ID, "", h, "", "", time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.DeleteSessions(ctx, alice.ID); err != nil {
			t.Fatal(err)
		}
		if list, _, _ := s.Sessions(ctx, alice.ID, 30*time.Minute, "", 0); len(list) != 0 {
			t.Errorf("left: %v", list)
		}
	})
}

func TestPersonalTokens(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := asHub()
		alice, bob := newAccount(t, s, "alice"), newAccount(t, s, "bob")
		scopes := []core.Grant{{Repository: "team/**", Actions: []core.Action{core.ActionPull}}}
		tok, secret, err := s.CreatePersonalToken(ctx, alice.ID, "laptop", scopes, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !seal.IsToken("hmp_", secret) || tok.ExpiresAt.Sub(tok.CreatedAt) != 90*24*time.Hour {
			t.Errorf("%q, %+v", secret, tok)
		}
		// V-46: nothing of the secret is in the row.
		var row string
		if err := s.DB().QueryRow(ctx, `SELECT id || name || token_hash || scopes FROM personal_token`).Scan(&row); err != nil || strings.Contains(row, secret[4:20]) {
			t.Errorf("%q, %v", row, err)
		}
		got, err := s.PersonalTokenByHash(ctx, seal.HashToken(secret))
		if err != nil || got.ID != tok.ID || len(got.Scopes) != 1 || got.Scopes[0].Repository != "team/**" || !got.LastUsedAt.IsZero() {
			t.Fatalf("%+v, %v", got, err)
		}
		_, _, err = s.CreatePersonalToken(ctx, alice.ID, "laptop", nil, 0)
		wantCode(t, err, core.CodeConflict)
		for _, bad := range []string{"", strings.Repeat("x", 65), "a\nb"} {
			_, _, err = s.CreatePersonalToken(ctx, alice.ID, bad, nil, 0)
			wantCode(t, err, core.CodeInvalid)
		}
		for _, life := range []time.Duration{-1, time.Second, store.MaxTokenLife + 1} {
			_, _, err = s.CreatePersonalToken(ctx, alice.ID, "life", nil, life)
			wantCode(t, err, core.CodeInvalid)
		}
		if _, _, err := s.CreatePersonalToken(ctx, alice.ID, "nothing", []core.Grant{}, store.MaxTokenLife); err != nil {
			t.Fatal(err)
		}
		all, _, err := s.PersonalTokens(ctx, alice.ID, "", 0)
		if err != nil || len(all) != 2 || all[0].Scopes == nil || len(all[0].Scopes) != 0 {
			t.Fatalf("an empty bound became none: %+v, %v", all, err)
		}
		if page, more, err := s.PersonalTokens(ctx, alice.ID, "", 1); err != nil || !more || len(page) != 1 {
			t.Error("pages are wrong")
		} else if page, more, err = s.PersonalTokens(ctx, alice.ID, page[0].ID, 1); err != nil || more || page[0].ID != tok.ID {
			t.Error("the second page is wrong")
		}
		age(t, s, time.Minute)
		if err := s.TouchPersonalTokens(ctx, map[string]time.Time{tok.ID: s.Now()}); err != nil {
			t.Fatal(err)
		}
		if got, _ := s.PersonalToken(ctx, alice.ID, tok.ID); got.LastUsedAt.IsZero() {
			t.Error("last use is not there")
		}
		// V-03: not with the id of somebody else's.
		wantCode(t, s.DeletePersonalToken(ctx, bob.ID, tok.ID), core.CodeNotFound)
		_, err = s.PersonalToken(ctx, bob.ID, tok.ID)
		wantCode(t, err, core.CodeNotFound)
		var changes []db.Change
		s.DB().Subscribe(func(c []db.Change) { changes = append(changes, c...) })
		if err := s.DeletePersonalToken(ctx, alice.ID, tok.ID); err != nil {
			t.Fatal(err)
		}
		if len(changes) != 1 || changes[0] != (db.Change{Kind: store.ChangeAccount, Key: alice.ID}) {
			t.Errorf("others hear %v", changes)
		}
		_, err = s.PersonalTokenByHash(ctx, seal.HashToken(secret))
		wantCode(t, err, core.CodeNotFound)
	})
}

func TestPersonalTokenLimit(t *testing.T) {
	s := newSQLite(t)
	alice := newAccount(t, s, "alice")
	for i := range store.MaxTokens {
		if _, _, err := s.CreatePersonalToken(asHub(), alice.ID, fmt.Sprint(i), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := s.CreatePersonalToken(asHub(), alice.ID, "one more", nil, 0)
	wantCode(t, err, core.CodeLimit)
}

func newSQLite(t *testing.T) *store.Store {
	t.Helper()
	d := dbtest.SQLite(t)(t)
	if err := migrations.Up(asHub(), d); err != nil {
		t.Fatal(err)
	}
	return store.New(d)
}

func TestLoginBackoff(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		ctx := asHub()
		fail := func() {
			t.Helper()
			if err := s.LoginFailed(ctx, "account:a", "ip:1"); err != nil {
				t.Fatal(err)
			}
		}
		waits := func() (account, address time.Duration) {
			t.Helper()
			a, b, err := s.LoginWaits(ctx, "account:a", "ip:1")
			if err != nil {
				t.Fatal(err)
			}
			return max(0, a.Until.Sub(s.Now())), max(0, b.Until.Sub(s.Now()))
		}
		// At the limit of four failures nobody waits, and one past it a second.
		for range store.LoginFailures - 1 {
			fail()
		}
		if a, b := waits(); a != 0 || b != 0 {
			t.Fatalf("wait %v and %v after %d failures", a, b, store.LoginFailures-1)
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900} {
			fail()
			a, b := waits()
			want *= time.Second
			if a > want || a <= want-time.Second || b > want || b <= want-time.Second {
				t.Fatalf("wait %v and %v, want %v", a, b, want)
			}
			age(t, s, want)
		}
		if err := s.LoginSucceeded(ctx, "account:a"); err != nil {
			t.Fatal(err)
		}
		a, b, err := s.LoginWaits(ctx, "account:a", "ip:1")
		if err != nil || a.Failures != 0 || b.Failures < store.LoginFailures {
			t.Errorf("after a success: %+v, %+v, %v", a, b, err)
		}
		// Never for good: two minutes after the wait it begins anew.
		age(t, s, store.LoginWindow+time.Second)
		fail()
		if _, b, _ := s.LoginWaits(ctx, "account:a", "ip:1"); b.Failures != 1 || !b.Until.IsZero() {
			t.Errorf("not forgotten: %+v", b)
		}
		age(t, s, store.LoginWindow+time.Second)
		if err := s.ExpireLogins(ctx); err != nil {
			t.Fatal(err)
		}
		if a, b, _ := s.LoginWaits(ctx, "account:a", "ip:1"); a.Failures+b.Failures != 0 {
			t.Error("old failures stay")
		}
	})
}

func TestLoginFailuresAtOnceAllCount(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if err := s.LoginFailed(asHub(), fmt.Sprint("account:", i%3), "ip:1"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, b, err := s.LoginWaits(asHub(), "account:0", "ip:1"); err != nil || b.Failures != 20 {
			t.Errorf("%d failures counted, %v", b.Failures, err)
		}
	})
}

func TestRobotBySecret(t *testing.T) {
	onEach(t, func(t *testing.T, s *store.Store) {
		_, err := s.RobotBySecret(asHub(), seal.NewToken(seal.RobotPrefix))
		wantCode(t, err, core.CodeNotFound)
	})
}

func TestUpgradePasswordHash(t *testing.T) {
	s := newSQLite(t)
	ctx := asHub()
	a, err := s.CreateAccount(ctx, store.NewAccount{Username: "alice", PasswordHash: "old"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, hash, want string }{{"other", "x", "old"}, {"old", "new", "new"}} {
		if done, err := s.UpgradePasswordHash(ctx, a.ID, c.old, c.hash); err != nil || done != (c.want == c.hash) {
			t.Fatal(done, err)
		}
		if _, got, _ := s.PasswordHash(ctx, "alice"); got != c.want {
			t.Errorf("hash %q, want %q", got, c.want)
		}
	}
}
