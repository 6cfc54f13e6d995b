package store

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Session is a log-in of a person in a browser. Its cookie is known by a hash only.
type Session struct {
	ID         string
	AccountID  string
	CreatedAt  time.Time
	LastUsedAt time.Time // up to a minute late
	VerifiedAt time.Time // when the password was last asked for
	ExpiresAt  time.Time
	IP         string
	UserAgent  string
}

// maxUserAgent is how much of it is kept, in bytes: it only helps a person to recognise a browser.
const maxUserAgent = 256

const sessionColumns = `id, account_id, created_at, last_used_at, verified_at, expires_at, ip, user_agent`

func scanSession(row func(...any) error) (*Session, error) {
	var v Session
	var created, used, verified, expires int64
	err := row(&v.ID, &v.AccountID, &created, &used, &verified, &expires, &v.IP, &v.UserAgent)
	v.CreatedAt, v.LastUsedAt, v.VerifiedAt, v.ExpiresAt = db.Time(created), db.Time(used), db.Time(verified), db.Time(expires)
	return &v, err
}

func noSession() *core.Error { return core.Errorf(core.CodeNotFound, "there is no such session") }

// CreateSession makes a session that was verified now, against passwordHash, and lives for at most life, and ends the one
// whose cookie had the hash replaces ("" for none), so that an id from before a log-in is worth nothing after it.
func (s *Store) CreateSession(ctx context.Context, accountID, passwordHash, tokenHash, replaces, userAgent string, life time.Duration) (*Session, error) {
	v := &Session{ID: NewID(), AccountID: accountID, IP: core.OriginFrom(ctx).IP, UserAgent: cutLine(userAgent, maxUserAgent)}
	err := s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		v.CreatedAt, v.LastUsedAt, v.VerifiedAt, v.ExpiresAt = db.Time(now), db.Time(now), db.Time(now), db.Time(now+life.Microseconds())
		if replaces != "" {
			if err := deleteReplaced(tx, replaces); err != nil {
				return err
			}
		}
		if err := lockAccount(tx, accountID, passwordHash); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO session (`+sessionColumns+`, token_hash) VALUES ($1, $2, $3, $3, $3, $4, $5, $6, $7)`,
			v.ID, accountID, now, v.ExpiresAt.UnixMicro(), v.IP, v.UserAgent, tokenHash); err != nil {
			return err
		}
		tx.Changed(ChangeAccount, accountID)
		return Audit(tx, "session.create", "", v.ID, "")
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// lockAccount makes sure that the account may log in and still has the password that was checked. It is a write, so that
// whoever changes the password or disables the account at the same time waits, and then finds the session to end it.
func lockAccount(tx *db.Tx, id, passwordHash string) error {
	n, err := tx.Exec(`UPDATE account SET updated_at = updated_at WHERE id = $1 AND NOT disabled AND password_hash = $2`, id, passwordHash)
	return exactly(n, err, core.Errorf(core.CodeUnauthenticated, "the password was changed meanwhile, or the account cannot log in any more: log in again"))
}

func deleteReplaced(tx *db.Tx, hash string) error {
	var owner string
	err := tx.QueryRow(`DELETE FROM session WHERE token_hash = $1 RETURNING account_id`, hash).Scan(&owner)
	if errors.Is(err, db.ErrNoRows) {
		return nil
	}
	tx.Changed(ChangeAccount, owner)
	return err
}

// SessionByHash finds a session by the hash of its cookie: CodeNotFound if there is none. It may have expired.
func (s *Store) SessionByHash(ctx context.Context, tokenHash string) (*Session, error) {
	v, found, err := row(s.reads(ctx), `SELECT `+sessionColumns+` FROM session WHERE token_hash = $1`, []any{tokenHash}, scanSession)
	if err == nil && !found {
		err = noSession()
	}
	return v, err
}

// Session finds a session of an account: CodeNotFound if there is none. It may have expired.
func (s *Store) Session(ctx context.Context, accountID, id string) (*Session, error) {
	v, found, err := row(s.reads(ctx), `SELECT `+sessionColumns+` FROM session WHERE account_id = $1 AND id = $2`, []any{accountID, id}, scanSession)
	if err == nil && !found {
		err = noSession()
	}
	return v, err
}

// Sessions lists the sessions of an account that have neither expired nor been idle for longer than idle, newest first:
// at most n (0: 50) behind the one with the id after ("" for the first page); more says that there are further ones.
func (s *Store) Sessions(ctx context.Context, accountID string, idle time.Duration, after string, n int) (sessions []*Session, more bool, err error) {
	now := s.db.Micros()
	var st statement
	st.add(`SELECT `+sessionColumns+` FROM session WHERE account_id = ? AND expires_at > ? AND last_used_at > ?`,
		accountID, now, now-idle.Microseconds())
	st.when(after != "", ` AND id < ?`, after)
	st.add(` ORDER BY id DESC`)
	return page(s.reads(ctx), &st, n, scanSession)
}

// VerifySession notes that the password was asked for again, and gives the session another cookie.
func (s *Store) VerifySession(ctx context.Context, accountID, id, tokenHash string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE session SET verified_at = $3, last_used_at = $3, token_hash = $4 WHERE account_id = $1 AND id = $2`,
			accountID, id, tx.Now(), tokenHash)
		if err := exactly(n, err, noSession()); err != nil {
			return err
		}
		tx.Changed(ChangeAccount, accountID)
		return Audit(tx, "session.verify", "", id, "")
	})
}

// TouchSessions notes when sessions were last used. It tells nobody: what is cached stays true but for this time.
func (s *Store) TouchSessions(ctx context.Context, used map[string]time.Time) error {
	return s.touch(ctx, `UPDATE session SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2`, used)
}

// DeleteSession ends a session of an account.
func (s *Store) DeleteSession(ctx context.Context, accountID, id string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`DELETE FROM session WHERE account_id = $1 AND id = $2`, accountID, id)
		if err := exactly(n, err, noSession()); err != nil {
			return err
		}
		tx.Changed(ChangeAccount, accountID)
		return Audit(tx, "session.delete", "", id, "")
	})
}

// DeleteSessions ends all sessions of an account.
func (s *Store) DeleteSessions(ctx context.Context, accountID string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		n, err := endSessions(tx, accountID)
		if err != nil || n == 0 {
			return err
		}
		tx.Changed(ChangeAccount, accountID)
		return Audit(tx, "session.delete", "", "all", "")
	})
}

// ExpireSessions removes sessions that are over.
func (s *Store) ExpireSessions(ctx context.Context, idle time.Duration) error {
	return s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		_, err := tx.Exec(`DELETE FROM session WHERE expires_at <= $1 OR last_used_at <= $2`, now, now-idle.Microseconds())
		return err
	})
}

// cutLine makes one line of printable text of at most most bytes out of whatever a client sent.
func cutLine(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s[:min(len(s), most)])
	return s
}
