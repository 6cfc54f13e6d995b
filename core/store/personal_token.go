package store

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
)

// Limits of personal tokens: lives (security.md, e), how many an account may have, and the length of a name in
// characters.
const (
	DefaultTokenLife = 90 * 24 * time.Hour
	MaxTokenLife     = 365 * 24 * time.Hour
	MaxTokens        = 100
	maxTokenName     = 64
)

// PersonalToken lets a program act for a user. The token itself is known by a hash only.
type PersonalToken struct {
	ID         string
	AccountID  string
	Name       string
	Scopes     []core.Grant // nil: whatever the account may
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // up to a minute late; zero: never
}

const tokenColumns = `id, account_id, name, scopes, created_at, expires_at, last_used_at`

func scanPersonalToken(row func(...any) error) (*PersonalToken, error) {
	var t PersonalToken
	var scopes string
	var created int64
	var expires, used *int64
	if err := row(&t.ID, &t.AccountID, &t.Name, &scopes, &created, &expires, &used); err != nil {
		return nil, err
	}
	t.CreatedAt, t.ExpiresAt, t.LastUsedAt = db.Time(created), micros(expires), micros(used)
	if scopes == "" {
		return &t, nil
	}
	var err error
	t.Scopes, err = parseGrants(scopes)
	return &t, err
}

func noToken() *core.Error { return core.Errorf(core.CodeNotFound, "there is no such token") }

// CreatePersonalToken makes a token and returns it with its secret, which is not to be had again. life 0 means
// DefaultTokenLife. Scopes nil mean whatever the account may; that a token makes none that may do more than itself is
// up to the caller.
func (s *Store) CreatePersonalToken(ctx context.Context, accountID, name string, scopes []core.Grant, life time.Duration) (*PersonalToken, string, error) {
	if life == 0 {
		life = DefaultTokenLife
	}
	if err := checkToken(name, life); err != nil {
		return nil, "", err
	}
	text := ""
	if scopes != nil {
		if err := CheckGrants("/scopes", scopes); err != nil {
			return nil, "", err
		}
		text = grantsText(scopes)
	}
	secret := seal.NewToken(seal.PersonalPrefix)
	t := &PersonalToken{ID: NewID(), AccountID: accountID, Name: name, Scopes: scopes}
	err := s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		t.CreatedAt, t.ExpiresAt = db.Time(now), db.Time(now+life.Microseconds())
		return insertPersonalToken(tx, t, seal.HashToken(secret), text)
	})
	if err != nil {
		return nil, "", err
	}
	return t, secret, nil
}

func insertPersonalToken(tx *db.Tx, t *PersonalToken, hash, scopes string) error {
	var have int64
	if err := tx.QueryRow(`SELECT count(*) FROM personal_token WHERE account_id = $1`, t.AccountID).Scan(&have); err != nil {
		return err
	}
	if have >= MaxTokens {
		return core.Errorf(core.CodeLimit, "there are %d tokens already, and more are not allowed: delete one that is not used any more", have)
	}
	n, err := tx.Exec(`INSERT INTO personal_token (`+tokenColumns+`, token_hash) SELECT $1, id, $3, $4, $5, $6, NULL, $7
		FROM account WHERE id = $2 ON CONFLICT (account_id, name) DO NOTHING`,
		t.ID, t.AccountID, t.Name, scopes, t.CreatedAt.UnixMicro(), t.ExpiresAt.UnixMicro(), hash)
	if err != nil {
		return err
	}
	if n == 0 {
		return core.Errorf(core.CodeConflict, "there is a token named %q already: delete it or choose another name", t.Name)
	}
	tx.Changed(ChangeAccount, t.AccountID)
	return Audit(tx, "token.create", "", t.Name, "")
}

func checkToken(name string, life time.Duration) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > maxTokenName {
		return core.Invalid("/name", "the name of a token has 1 to %d characters", maxTokenName)
	}
	if err := checkLine("/name", name, 4*maxTokenName); err != nil {
		return err
	}
	if life < time.Minute || life > MaxTokenLife {
		return core.Invalid("/expires_in", "a token lives for a minute to %d days", MaxTokenLife/(24*time.Hour))
	}
	return nil
}

// PersonalTokenByHash finds a token by the hash of its secret: CodeNotFound if there is none. It may have expired.
func (s *Store) PersonalTokenByHash(ctx context.Context, hash string) (*PersonalToken, error) {
	return personalToken(s.reads(ctx), `SELECT `+tokenColumns+` FROM personal_token WHERE token_hash = $1`, hash)
}

// PersonalToken finds a token of an account: CodeNotFound if there is none. It may have expired.
func (s *Store) PersonalToken(ctx context.Context, accountID, id string) (*PersonalToken, error) {
	return personalToken(s.reads(ctx), `SELECT `+tokenColumns+` FROM personal_token WHERE account_id = $1 AND id = $2`, accountID, id)
}

func personalToken(q querier, query string, args ...any) (*PersonalToken, error) {
	t, found, err := row(q, query, args, scanPersonalToken)
	if err == nil && !found {
		err = noToken()
	}
	return t, err
}

// PersonalTokens lists the tokens of an account, newest first, also those that have expired: at most n (0: 50) behind
// the one with the id after ("" for the first page); more says that there are further ones.
func (s *Store) PersonalTokens(ctx context.Context, accountID, after string, n int) (tokens []*PersonalToken, more bool, err error) {
	var st statement
	st.add(`SELECT `+tokenColumns+` FROM personal_token WHERE account_id = ?`, accountID)
	st.when(after != "", ` AND id < ?`, after)
	st.add(` ORDER BY id DESC`)
	return page(s.reads(ctx), &st, n, scanPersonalToken)
}

// DeletePersonalToken removes a token of an account. It is refused at once, and within a second by other processes.
func (s *Store) DeletePersonalToken(ctx context.Context, accountID, id string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		var name string
		err := tx.QueryRow(`DELETE FROM personal_token WHERE account_id = $1 AND id = $2 RETURNING name`, accountID, id).Scan(&name)
		if errors.Is(err, db.ErrNoRows) {
			return noToken()
		}
		if err != nil {
			return err
		}
		tx.Changed(ChangeAccount, accountID)
		return Audit(tx, "token.delete", "", name, "")
	})
}

// TouchPersonalTokens notes when tokens were last used, and tells nobody.
func (s *Store) TouchPersonalTokens(ctx context.Context, used map[string]time.Time) error {
	return s.touch(ctx, `UPDATE personal_token SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)`, used)
}
