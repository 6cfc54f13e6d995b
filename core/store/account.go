package store

import (
	"context"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Account is a user. The hash of its password is never part of it.
type Account struct {
	ID          string
	Username    string // see ValidUsername
	Email       string
	DisplayName string
	Admin       bool
	Disabled    bool
	HasPassword bool
	CreatedAt   time.Time
	UpdatedAt   time.Time
	Revision    int64
}

// NewAccount is what CreateAccount needs.
type NewAccount struct {
	Username     string `json:"username"`
	PasswordHash string `json:"-"` // PHC string; "" for an account that cannot log in with a password
	Email        string `json:"email,omitempty"`
	DisplayName  string `json:"display_name,omitempty"`
	Admin        bool   `json:"admin,omitempty"`
}

// AccountPatch names what UpdateAccount changes; nil leaves a field as it is.
type AccountPatch struct {
	Email       *string `json:"email,omitempty"`
	DisplayName *string `json:"display_name,omitempty"`
	Admin       *bool   `json:"admin,omitempty"`
	Disabled    *bool   `json:"disabled,omitempty"`
	// LeaveOwnerless disables also the last owner of projects.
	LeaveOwnerless bool `json:"-"`
}

// AccountQuery asks for a page of accounts in byte order of the names.
type AccountQuery struct {
	Contains string // in the username; "" for all
	After    string // username of the last one of the page before
	N        int    // at most so many; 0: 50
}

const (
	maxUsername    = 64
	maxEmail       = 254
	maxDisplayName = 128
)

const accountColumns = `id, username, email, display_name, admin, disabled, password_hash <> '', created_at, updated_at, revision`

func scanAccount(row func(...any) error) (*Account, error) {
	var a Account
	var created, updated int64
	err := row(&a.ID, &a.Username, &a.Email, &a.DisplayName, &a.Admin, &a.Disabled, &a.HasPassword, &created, &updated, &a.Revision)
	a.CreatedAt, a.UpdatedAt = db.Time(created), db.Time(updated)
	return &a, err
}

// ValidUsername says whether s can be a username: 1 to 64 of a-z, 0-9 and . _ - with a letter or digit at both ends, and
// none of the words that mean something else where usernames stand, in addresses and in the audit trail.
func ValidUsername(s string) bool {
	switch s {
	case "me", "oidc", "anonymous", "system", "operator", "hallmark", "robot", "job", "local":
		return false
	}
	return validWord(s, maxUsername)
}

func validWord(s string, most int) bool {
	if s == "" || len(s) > most || strings.ContainsRune("._-", rune(s[0])) || strings.ContainsRune("._-", rune(s[len(s)-1])) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func noAccount(name string) *core.Error {
	return core.Errorf(core.CodeNotFound, "there is no user %q", name)
}

func lastAdmin() *core.Error {
	return core.Errorf(core.CodeConflict, "this is the last administrator: make somebody else administrator first")
}

// CreateAccount makes an account. CodeConflict if the name is taken.
func (s *Store) CreateAccount(ctx context.Context, n NewAccount) (*Account, error) {
	if !ValidUsername(n.Username) {
		return nil, core.Invalid("/username", "a username has 1 to %d of the characters a-z, 0-9, dot, underscore and hyphen, and begins and ends with a letter or digit; some words are reserved", maxUsername)
	}
	if err := checkProfile(n.Email, n.DisplayName); err != nil {
		return nil, err
	}
	a := &Account{ID: NewID(), Username: n.Username, Email: n.Email, DisplayName: n.DisplayName, Admin: n.Admin,
		HasPassword: n.PasswordHash != "", Revision: 1}
	err := s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		a.CreatedAt, a.UpdatedAt = db.Time(now), db.Time(now)
		c, err := tx.Exec(`INSERT INTO account (id, username, password_hash, email, display_name, admin, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (username) DO NOTHING`,
			a.ID, n.Username, n.PasswordHash, n.Email, n.DisplayName, n.Admin, now)
		if err := exactly(c, err, core.Errorf(core.CodeConflict, "there is a user %q already: choose another name", n.Username)); err != nil {
			return err
		}
		return Audit(tx, "user.create", "", n.Username, detail(n))
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func checkProfile(email, displayName string) error {
	if err := checkLine("/email", email, maxEmail); err != nil {
		return err
	}
	if email != "" && (strings.Count(email, "@") != 1 || strings.ContainsAny(email, " <>,;") || email[0] == '@' || email[len(email)-1] == '@') {
		return core.Invalid("/email", "this is not an e-mail address")
	}
	return checkLine("/display_name", displayName, maxDisplayName)
}

// AccountByID returns an account. CodeNotFound if there is none.
func (s *Store) AccountByID(ctx context.Context, id string) (*Account, error) {
	return accountByID(s.reads(ctx), id)
}

func accountByID(q querier, id string) (*Account, error) {
	a, found, err := row(q, `SELECT `+accountColumns+` FROM account WHERE id = $1`, []any{id}, scanAccount)
	if err == nil && !found {
		err = core.Errorf(core.CodeNotFound, "this user does not exist any more")
	}
	return a, err
}

// AccountByUsername returns an account. CodeNotFound if there is none.
func (s *Store) AccountByUsername(ctx context.Context, username string) (*Account, error) {
	a, found, err := row(s.reads(ctx), `SELECT `+accountColumns+` FROM account WHERE username = $1`, []any{username}, scanAccount)
	if err == nil && !found {
		err = noAccount(username)
	}
	return a, err
}

// PasswordHash returns an account and the PHC string of its password, "" if it has none: for logging in and for nothing
// else. CodeNotFound if there is no such account.
func (s *Store) PasswordHash(ctx context.Context, username string) (*Account, string, error) {
	var hash string
	a, found, err := row(s.reads(ctx), `SELECT password_hash, `+accountColumns+` FROM account WHERE username = $1`, []any{username},
		func(row func(...any) error) (*Account, error) {
			return scanAccount(func(dest ...any) error { return row(append([]any{&hash}, dest...)...) })
		})
	if err == nil && !found {
		err = noAccount(username)
	}
	return a, hash, err
}

// Accounts lists accounts; more says that there are further ones.
func (s *Store) Accounts(ctx context.Context, q AccountQuery) (accounts []*Account, more bool, err error) {
	var st statement
	st.add(`SELECT `+accountColumns+` FROM account WHERE username > ?`, q.After)
	st.contains("username", q.Contains)
	st.add(` ORDER BY username`)
	return page(s.reads(ctx), &st, q.N, scanAccount)
}

// CountAccounts counts the accounts there are.
func (s *Store) CountAccounts(ctx context.Context) (int64, error) {
	n, _, err := row(s.reads(ctx), `SELECT COUNT(*) FROM account`, nil, func(row func(...any) error) (n int64, err error) {
		return n, row(&n)
	})
	return n, err
}

// UpdateAccount changes an account. Disabling it, and changing whether it is an administrator, ends its sessions; both
// are in force at once. CodeConflict if no administrator would be left, or a project without an owner who can log in.
func (s *Store) UpdateAccount(ctx context.Context, id string, patch AccountPatch, revision int64) (*Account, error) {
	var a *Account
	err := s.write(ctx, func(tx *db.Tx) (err error) {
		if patch.Admin != nil || patch.Disabled != nil {
			if err := lockAdmins(tx); err != nil {
				return err
			}
		}
		if a, err = accountByID(tx.Query, id); err != nil {
			return err
		}
		if err := checkRevision("the user", a.Revision, revision); err != nil {
			return err
		}
		return patchAccount(tx, a, patch)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func patchAccount(tx *db.Tx, a *Account, patch AccountPatch) error {
	wasAdmin, wasDisabled := a.Admin && !a.Disabled, a.Disabled
	rights := set(&a.Admin, patch.Admin)
	if set(&a.Disabled, patch.Disabled) {
		rights = true
	}
	mail, name := set(&a.Email, patch.Email), set(&a.DisplayName, patch.DisplayName)
	if !rights && !mail && !name {
		return nil
	}
	if err := checkProfile(a.Email, a.DisplayName); err != nil {
		return err
	}
	if wasAdmin && (!a.Admin || a.Disabled) {
		if err := anotherAdmin(tx, a.ID); err != nil {
			return err
		}
	}
	var left *ownerless
	if a.Disabled && !wasDisabled {
		var err error
		if left, err = mayLeave(tx, a, patch.LeaveOwnerless); err != nil {
			return err
		}
	}
	a.UpdatedAt = db.Time(tx.Now())
	c, err := tx.Exec(`UPDATE account SET email = $1, display_name = $2, admin = $3, disabled = $4, updated_at = $5, revision = revision + 1
		WHERE id = $6 AND revision = $7`, a.Email, a.DisplayName, a.Admin, a.Disabled, a.UpdatedAt.UnixMicro(), a.ID, a.Revision)
	if err := exactly(c, err, stale("the user")); err != nil {
		return err
	}
	a.Revision++
	if rights {
		if _, err := endSessions(tx, a.ID); err != nil {
			return err
		}
	}
	tx.Changed(ChangeAccount, a.ID)
	return Audit(tx, "user.update", "", a.Username, detail(struct {
		AccountPatch
		Ownerless *ownerless `json:"ownerless,omitempty"`
	}{patch, left}))
}

// mayLeave refuses to take an account away from projects that have no other owner, unless they are to be left without
// one. Then it says which these are.
func mayLeave(tx *db.Tx, a *Account, leaveOwnerless bool) (*ownerless, error) {
	left, err := withoutOwner(tx, a.ID)
	if err == nil && left != nil && !leaveOwnerless {
		return nil, left.refusal(a.Username)
	}
	return left, err
}

// anotherAdmin refuses if nobody but this account is an administrator who can log in. The caller holds lockAdmins.
func anotherAdmin(tx *db.Tx, id string) error {
	var others int64
	if err := tx.QueryRow(`SELECT COUNT(*) FROM account WHERE admin AND NOT disabled AND id <> $1`, id).Scan(&others); err != nil {
		return err
	}
	if others == 0 {
		return lastAdmin()
	}
	return nil
}

// endSessions ends the sessions of an account and says how many there were.
func endSessions(tx *db.Tx, accountID string) (int64, error) {
	return tx.Exec(`DELETE FROM session WHERE account_id = $1`, accountID)
}

// SetPasswordHash changes the password of an account, "" takes it away, and ends all its sessions.
func (s *Store) SetPasswordHash(ctx context.Context, id, hash string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		a, err := accountByID(tx.Query, id)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE account SET password_hash = $1, updated_at = $2, revision = revision + 1 WHERE id = $3`,
			hash, tx.Now(), id); err != nil {
			return err
		}
		if _, err := endSessions(tx, id); err != nil {
			return err
		}
		tx.Changed(ChangeAccount, id)
		return Audit(tx, "user.password", "", a.Username, "")
	})
}

// DeleteAccount removes an account with its memberships, tokens and sessions. CodeConflict for the last administrator, and
// for the last owner of a project who can log in, unless leaveOwnerless.
func (s *Store) DeleteAccount(ctx context.Context, id string, revision int64, leaveOwnerless bool) error {
	return s.write(ctx, func(tx *db.Tx) error {
		if err := lockAdmins(tx); err != nil {
			return err
		}
		a, err := accountByID(tx.Query, id)
		if err != nil {
			return err
		}
		if err := checkRevision("the user", a.Revision, revision); err != nil {
			return err
		}
		if a.Admin && !a.Disabled {
			if err := anotherAdmin(tx, id); err != nil {
				return err
			}
		}
		return removeAccount(tx, a, leaveOwnerless)
	})
}

func removeAccount(tx *db.Tx, a *Account, leaveOwnerless bool) error {
	// Changing the name, which is a key, waits on Postgres for whoever is just making this account owner of something, so
	// that the next statement sees it.
	if _, err := tx.Exec(`UPDATE account SET username = username || '/deleted' WHERE id = $1`, a.ID); err != nil {
		return err
	}
	left, err := mayLeave(tx, a, leaveOwnerless)
	if err != nil {
		return err
	}
	// Memberships, tokens and sessions go with the row (ON DELETE CASCADE).
	if _, err := tx.Exec(`DELETE FROM account WHERE id = $1`, a.ID); err != nil {
		return err
	}
	tx.Changed(ChangeAccount, a.ID)
	said := ""
	if left != nil {
		said = detail(struct {
			Ownerless *ownerless `json:"ownerless"`
		}{left})
	}
	return Audit(tx, "user.delete", "", a.Username, said)
}
