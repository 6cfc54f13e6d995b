package local

import (
	"context"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

const (
	// sweepBatch is how many rows one transaction takes.
	sweepBatch = 100
	// sweepDelete bounds one removal from the blob store.
	sweepDelete = 2 * time.Second
)

// SweepUploads ends uploads that nothing was added to for idle, or that are older than total, and gives up their bytes.
// It returns how many.
func (l *Registry) SweepUploads(ctx context.Context, idle, total time.Duration) (int, error) {
	swept := 0
	for ctx.Err() == nil {
		var ids []string
		err := l.db.Write(ctx, func(tx *db.Tx) error {
			ids = nil
			now := tx.Now()
			err := tx.Query(`DELETE FROM upload WHERE id IN (SELECT id FROM upload
				WHERE (updated_at < $1 OR created_at < $2) AND writer_until < $3 LIMIT $4) RETURNING id`,
				[]any{now - idle.Microseconds(), now - total.Microseconds(), now, sweepBatch}, func(scan func(...any) error) error {
					var id string
					err := scan(&id)
					ids = append(ids, id)
					return err
				})
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := l.discardKey(tx, id); err != nil {
					return err
				}
				tx.OnCommit(func() { l.forgetUpload(id) })
			}
			return nil
		})
		swept += len(ids)
		if err != nil || len(ids) < sweepBatch {
			return swept, err
		}
	}
	return swept, ctx.Err()
}

// SweepKeys removes the bytes under keys that were given up long enough ago, and returns how many. A key is never used
// twice, so removing one late, or twice, harms nothing.
func (l *Registry) SweepKeys(ctx context.Context) (int, error) {
	swept := 0
	for ctx.Err() == nil && l.db.ClockSteady() {
		var keys []string
		err := l.db.Query(ctx, `SELECT key FROM garbage_key WHERE delete_after < $1 ORDER BY delete_after LIMIT $2`,
			[]any{l.db.Micros(), sweepBatch}, func(scan func(...any) error) error {
				var k string
				err := scan(&k)
				keys = append(keys, k)
				return err
			})
		if err != nil {
			return swept, err
		}
		for _, k := range keys {
			if err := l.sweepKey(ctx, k); err != nil {
				return swept, err
			}
			swept++
		}
		if len(keys) < sweepBatch {
			return swept, nil
		}
	}
	return swept, ctx.Err()
}

func (l *Registry) sweepKey(ctx context.Context, key string) error {
	dctx, cancel := context.WithTimeout(ctx, sweepDelete)
	defer cancel()
	if err := l.store.Delete(dctx, key); err != nil {
		return err
	}
	return l.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM garbage_key WHERE key = $1`, key)
		return err
	})
}
