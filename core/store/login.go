package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/seal"
)

// Log-in back-off (security.md, e): from the fifth failure within two minutes on, each one makes the next wait twice as
// long, from a second to a quarter of an hour. It never locks for good: two minutes after a wait ended it is forgotten.
const (
	LoginFailures = 5
	LoginWindow   = 2 * time.Minute
	LoginWaitMin  = time.Second
	LoginWaitMax  = 15 * time.Minute
)

// LoginWait is what is known of a subject that failed to log in: an account name or an address.
type LoginWait struct {
	Failures int64
	Until    time.Time // no attempt before this; in the past or zero: none is refused
}

// LoginWaits asks for two subjects at once. A subject that has not failed has a zero LoginWait.
func (s *Store) LoginWaits(ctx context.Context, account, address string) (a, b LoginWait, err error) {
	err = s.reads(ctx)(`SELECT subject, failures, blocked_until FROM login_failure WHERE subject IN ($1, $2)`,
		[]any{account, address}, func(scan func(...any) error) error {
			var subject string
			var w LoginWait
			var until int64
			if err := scan(&subject, &w.Failures, &until); err != nil {
				return err
			}
			if until > 0 {
				w.Until = db.Time(until)
			}
			if subject == account {
				a = w
			} else {
				b = w
			}
			return nil
		})
	return a, b, err
}

// LoginFailed counts a failure of both subjects.
func (s *Store) LoginFailed(ctx context.Context, account, address string) error {
	subjects := []string{account, address}
	slices.Sort(subjects) // one order everywhere, so that two failures do not wait for each other
	return s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		for _, subject := range subjects {
			if _, err := tx.Exec(loginFailed, subject, now, now-LoginWindow.Microseconds(),
				int64(LoginFailures), LoginWaitMin.Microseconds(), LoginWaitMax.Microseconds()); err != nil {
				return err
			}
		}
		return nil
	})
}

// loginForgotten: the series began before the window ($3), and if it led to a wait, that ended before it too.
const loginForgotten = `(login_failure.first_at < $3 AND login_failure.blocked_until < $3)`

// loginFailed counts on or starts anew ($2 is now). The wait follows from the count in the same statement, so that
// failures at the same moment all count. From ten doublings on it is the longest one ($6).
const loginFailed = `INSERT INTO login_failure (subject, failures, first_at, last_at, blocked_until) VALUES ($1, 1, $2, $2, 0)
	ON CONFLICT (subject) DO UPDATE SET
		failures = CASE WHEN ` + loginForgotten + ` THEN 1 ELSE login_failure.failures + 1 END,
		first_at = CASE WHEN ` + loginForgotten + ` THEN excluded.first_at ELSE login_failure.first_at END,
		last_at = excluded.last_at,
		blocked_until = CASE
			WHEN ` + loginForgotten + ` OR login_failure.failures + 1 < $4 THEN 0
			WHEN login_failure.failures + 1 >= $4 + 10 THEN excluded.last_at + $6
			ELSE excluded.last_at + CAST($5 AS BIGINT) * (1 << CAST(login_failure.failures + 1 - $4 AS INTEGER)) END`

// LoginSucceeded forgets the failures of an account. Those of an address stay: else whoever has one account could clear
// them and go on guessing.
func (s *Store) LoginSucceeded(ctx context.Context, account string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM login_failure WHERE subject = $1`, account)
		return err
	})
}

// ExpireLogins removes failures that count no more.
func (s *Store) ExpireLogins(ctx context.Context) error {
	return s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		_, err := tx.Exec(`DELETE FROM login_failure WHERE last_at < $1 AND blocked_until < $1`,
			now-LoginWindow.Microseconds())
		return err
	})
}

// UpgradePasswordHash replaces the hash of a password by another one of the same password, with other costs. done is
// false, and nothing has happened, if the hash is not the old one any more.
func (s *Store) UpgradePasswordHash(ctx context.Context, accountID, old, hash string) (done bool, err error) {
	err = s.write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE account SET password_hash = $3 WHERE id = $1 AND password_hash = $2`, accountID, old, hash)
		if done = n > 0; done {
			tx.Changed(ChangeAccount, accountID) // its generation is another one
		}
		return err
	})
	return done && err == nil, err
}

// Generation names a password or secret by what is stored of it, and gives nothing of it away: a registry token holds
// the one it was got with, and ends with it. "" for "".
func Generation(hash string) string {
	if hash == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(hash))
	return hex.EncodeToString(sum[:4])
}

// RobotBySecret finds the robot that a secret belongs to or, before its last rotation, belonged to: RobotLogin.Matches
// says whether it is still valid. CodeNotFound if there is none.
func (s *Store) RobotBySecret(ctx context.Context, secret string) (*RobotLogin, error) {
	return s.robotLogin(ctx, `WHERE r.secret_hash = $1 OR r.previous_hash <> '' AND r.previous_hash = $1`, seal.HashToken(secret))
}
