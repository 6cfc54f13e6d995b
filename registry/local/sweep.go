package local

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/registry/blob"
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
	if err := l.settleAll(ctx); err != nil {
		return 0, err
	}
	l.forgetIdle(idle)
	swept := 0
	for ctx.Err() == nil && l.db.ClockSteady() {
		n := 0
		err := l.free(ctx, func(tx *db.Tx) (err error) {
			now := tx.Now()
			// The conditions stand there twice, because on Postgres the inner ones are not looked at again when the
			// outer statement has waited for somebody who went on with the upload.
			n, err = l.discardUploads(tx, `DELETE FROM upload WHERE (updated_at < $1 OR created_at < $2) AND writer_until < $3
				AND id IN (SELECT id FROM upload WHERE (updated_at < $1 OR created_at < $2) AND writer_until < $3 LIMIT `+strconv.Itoa(sweepBatch)+`) RETURNING id`,
				now-idle.Microseconds(), now-total.Microseconds(), now)
			return err
		})
		swept += n
		if err != nil || n < sweepBatch {
			return swept, err
		}
	}
	return swept, ctx.Err()
}

// discardUploads ends the uploads whose rows query deletes and returns.
func (l *Registry) discardUploads(tx *db.Tx, query string, args ...any) (int, error) {
	ids, err := texts(tx, query, args...)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := l.discardUpload(tx, id, ""); err != nil {
			return 0, err
		}
		// Whoever writes to it right now finds out when it wants to finish.
		tx.OnCommit(func() { l.uploads.Delete(id) })
	}
	return len(ids), nil
}

// settleAll writes down the ends of uploads that the database did not take when they ended.
func (l *Registry) settleAll(ctx context.Context) (err error) {
	l.unsettled.Range(func(_, v any) bool {
		_, err = l.settle(ctx, v.(remains))
		return err == nil
	})
	return err
}

// forgetIdle lets go of sessions that this process has long not heard of: another one may have ended their uploads. What
// they know stands in the rows. On SQLite there is no other process, and a session goes with its row.
func (l *Registry) forgetIdle(idle time.Duration) {
	if !l.db.Shared() {
		return
	}
	before := l.db.Now().Add(-idle)
	l.uploads.Range(func(_, v any) bool {
		if s := v.(*session); s.mu.TryLock() {
			if s.noted.Before(before) {
				l.uploads.Delete(s.id)
			}
			s.mu.Unlock()
		}
		return true
	})
}

// SweepKeys removes the bytes under keys that were given up long enough ago, and returns how many. A key is never used
// twice, so removing one late, or twice, harms nothing. What cannot be removed is left for the next time.
func (l *Registry) SweepKeys(ctx context.Context) (int, error) {
	if err := l.settleAll(ctx); err != nil {
		return 0, err
	}
	swept := 0
	var failed []error
	var after int64 // the last key that was looked at, and when it was due
	var last string
	for ctx.Err() == nil && l.db.ClockSteady() {
		var keys []string
		// A key that a blob has got into the table by somebody's mistake: it must cost a file, not an image.
		err := l.db.Query(ctx, `SELECT key, delete_after FROM garbage_key WHERE delete_after < $1 AND (delete_after, key) > ($2, $3)
			AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.key = garbage_key.key) ORDER BY delete_after, key LIMIT `+strconv.Itoa(sweepBatch),
			[]any{l.db.Micros(), after, last}, func(scan func(...any) error) error {
				err := scan(&last, &after)
				keys = append(keys, last)
				return err
			})
		if err != nil {
			return swept, errors.Join(append(failed, err)...)
		}
		if err := l.sweepStrays(ctx, keys); err != nil {
			return swept, errors.Join(append(failed, err)...)
		}
		for _, k := range keys {
			if err := l.sweepKey(ctx, k); err != nil {
				failed = append(failed, err)
			} else {
				swept++
			}
		}
		if len(keys) < sweepBatch || len(failed) >= sweepBatch {
			break
		}
	}
	return swept, errors.Join(append(failed, ctx.Err())...)
}

// sweepStrays removes what uploads that were given up had been committed as. A process that dies between the commit and
// the transaction that tells of it leaves a file whose key no row has; the upload's id is the end of its name. To write
// the key down before would cost every blob a transaction, so the names are looked through instead, once for many.
func (l *Registry) sweepStrays(ctx context.Context, given []string) error {
	finder, ok := l.store.(blob.Finder)
	uploads := slices.DeleteFunc(slices.Clone(given), func(k string) bool { return !blob.IsUpload(k) })
	if !ok || len(uploads) == 0 {
		return nil
	}
	keys, err := finder.Find(ctx, uploads)
	if err != nil {
		return err
	}
	for _, k := range keys {
		var used int64
		if err := l.db.QueryRow(ctx, `SELECT count(*) FROM blob WHERE key = $1`, k).Scan(&used); err != nil {
			return err
		}
		if used > 0 {
			continue
		}
		if err := l.store.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (l *Registry) sweepKey(ctx context.Context, key string) error {
	dctx, cancel := context.WithTimeout(ctx, sweepDelete)
	defer cancel()
	if err := l.store.Delete(dctx, key); err != nil {
		return err
	}
	return l.free(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM garbage_key WHERE key = $1`, key)
		return err
	})
}
