package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

// Answer is what a request was answered with, so that it can be answered the same again. It must hold no secret: rows
// are not sealed.
type Answer struct {
	Status int // of HTTP
	Header map[string]string
	Body   []byte
}

const (
	// IdempotencyLife is how long an answer is kept.
	IdempotencyLife = 24 * time.Hour
	// idempotencyWork is how long a request may take. One that began earlier and has no answer died with its process.
	idempotencyWork   = 5 * time.Minute
	maxIdempotencyKey = 128
	maxAnswerBody     = 1 << 20
)

// BeginOnce starts a request that is to be done once: the principal of ctx names it by key, and hash tells one body from
// another. If it was done before, the answer is returned and nothing is to be done. Otherwise FinishOnce or ForgetOnce
// must follow. CodeConflict if the same request is still being worked on, or the key stood for another one.
func (s *Store) BeginOnce(ctx context.Context, key, hash string) (*Answer, error) {
	if err := checkLine("Idempotency-Key", key, maxIdempotencyKey); err != nil || key == "" {
		return nil, core.Invalid("Idempotency-Key", "an Idempotency-Key has 1 to %d printable characters", maxIdempotencyKey)
	}
	actor := core.PrincipalFrom(ctx).Actor()
	var a *Answer
	err := s.write(ctx, func(tx *db.Tx) error {
		now := tx.Now()
		// What is too old, or was left behind by a process that died, makes room.
		n, err := tx.Exec(`INSERT INTO idempotency (actor, key, request_hash, status, created_at) VALUES ($1, $2, $3, 0, $4)
			ON CONFLICT (actor, key) DO UPDATE SET request_hash = excluded.request_hash, status = 0, header = '', body = NULL, created_at = excluded.created_at
			WHERE idempotency.created_at < $5 OR (idempotency.status = 0 AND idempotency.created_at < $6)`,
			actor, key, hash, now, now-IdempotencyLife.Microseconds(), now-idempotencyWork.Microseconds())
		if err != nil || n > 0 {
			a = nil
			return err
		}
		a, err = replay(tx, actor, key, hash)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func replay(tx *db.Tx, actor, key, hash string) (*Answer, error) {
	var a Answer
	var before, header string
	if err := tx.QueryRow(`SELECT request_hash, status, header, body FROM idempotency WHERE actor = $1 AND key = $2`, actor, key).
		Scan(&before, &a.Status, &header, &a.Body); err != nil {
		return nil, err
	}
	if before != hash {
		return nil, core.Errorf(core.CodeConflict, "this Idempotency-Key was used for another request: take a new key for each request")
	}
	if a.Status == 0 {
		e := core.Errorf(core.CodeConflict, "the first request with this Idempotency-Key is still being worked on: ask again in a moment")
		e.RetryAfter = time.Second
		return nil, e
	}
	return &a, json.Unmarshal([]byte(header), &a.Header)
}

// FinishOnce keeps the answer of a request that BeginOnce started.
func (s *Store) FinishOnce(ctx context.Context, key string, a Answer) error {
	if len(a.Body) > maxAnswerBody {
		return s.ForgetOnce(ctx, key)
	}
	header := detail(a.Header)
	return s.write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE idempotency SET status = $1, header = $2, body = $3 WHERE actor = $4 AND key = $5 AND status = 0`,
			a.Status, header, a.Body, core.PrincipalFrom(ctx).Actor(), key)
		return err
	})
}

// ForgetOnce lets a request that BeginOnce started be done again: it failed before it changed anything.
func (s *Store) ForgetOnce(ctx context.Context, key string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM idempotency WHERE actor = $1 AND key = $2 AND status = 0`, core.PrincipalFrom(ctx).Actor(), key)
		return err
	})
}

// ExpireAnswers removes answers that are too old to be given again.
func (s *Store) ExpireAnswers(ctx context.Context) error {
	return s.write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM idempotency WHERE created_at < $1`, tx.Now()-IdempotencyLife.Microseconds())
		return err
	})
}
