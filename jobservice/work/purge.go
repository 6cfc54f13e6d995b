package work

import (
	"context"
	"fmt"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindPurge removes rows that are kept for a time only: answers to idempotent requests, finished jobs, the pulls of single
// days, notes about registries behind the hub, events with the record of who was told and old entries of the audit trail. No payload; every night. Sessions and failed
// log-ins end sooner: see core/auth.
const KindPurge = "purge"

// PurgeOptions say how long rows are kept; zero values are the defaults.
type PurgeOptions struct {
	Jobs       time.Duration // since a job has ended; 30 days
	Pulls      time.Duration // since the day of the pulls; 90 days. The sums of all days stay
	References time.Duration // since a manifest was last read from a registry behind the hub; 30 days
	Events     time.Duration // since it happened, if nobody waits to be told; 30 days
	Audit      time.Duration // since the entry was written; 365 days
}

// purgeBatch is how many rows one transaction removes, so that it keeps no request waiting.
const purgeBatch = 1000

// Purge runs jobs of KindPurge. What it removed is gone when it fails midway, and the next try goes on there. That
// entries of the audit trail were removed is itself an entry.
func Purge(s *store.Store, opt PurgeOptions) jobservice.Spec {
	if opt.Jobs == 0 {
		opt.Jobs = 30 * 24 * time.Hour
	}
	if opt.Pulls == 0 {
		opt.Pulls = 90 * 24 * time.Hour
	}
	if opt.References == 0 {
		opt.References = 30 * 24 * time.Hour
	}
	if opt.Events == 0 {
		opt.Events = 30 * 24 * time.Hour
	}
	if opt.Audit == 0 {
		opt.Audit = 365 * 24 * time.Hour
	}
	return jobservice.Spec{MaxRunning: 1, Run: func(ctx context.Context, t *jobservice.Task) error {
		return purge(ctx, t, s, opt)
	}}
}

func purge(ctx context.Context, t *jobservice.Task, s *store.Store, opt PurgeOptions) error {
	if err := s.ExpireAnswers(ctx); err != nil {
		return err
	}
	jobs, err := inBatches(ctx, t, func(tx *db.Tx) (int64, error) {
		return tx.Exec(`DELETE FROM job WHERE id IN (SELECT id FROM job WHERE finished_at < $1 LIMIT $2)`,
			tx.Now()-opt.Jobs.Microseconds(), purgeBatch)
	})
	if err != nil {
		return err
	}
	// Targets that nobody talks to any more.
	if err := t.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM slot WHERE busy = 0`)
		return err
	}); err != nil {
		return err
	}
	pulls, err := purgePulls(ctx, t, store.Day(s.Now().Add(-opt.Pulls)))
	if err != nil {
		return err
	}
	seen := s.Now().Add(-opt.References)
	references, err := inBatches(ctx, t, func(tx *db.Tx) (int64, error) { return store.DropReferences(tx, seen, purgeBatch) })
	if err != nil {
		return err
	}
	happened := s.Now().Add(-opt.Events)
	events, err := inBatches(ctx, t, func(tx *db.Tx) (int64, error) { return store.DropEvents(tx, happened, purgeBatch) })
	if err != nil {
		return err
	}
	before := s.Now().Add(-opt.Audit)
	entries, err := inBatches(ctx, t, func(tx *db.Tx) (int64, error) {
		n, err := removeAudit(tx, before)
		if err != nil || n == 0 {
			return n, err
		}
		return n, store.Audit(tx, "audit.purge", "", "before "+before.Format(time.DateOnly), fmt.Sprintf(`{"entries":%d}`, n))
	})
	if err != nil {
		return err
	}
	t.Progress(100, fmt.Sprintf("%d jobs, %d records of pulls, %d notes of registries, %d events and %d entries of the audit trail removed", jobs, pulls, references, events, entries))
	return nil
}

// purgePulls removes the pulls of days before one, and those of repositories that are not there any more.
func purgePulls(ctx context.Context, t *jobservice.Task, day int64) (int64, error) {
	old, err := inBatches(ctx, t, func(tx *db.Tx) (int64, error) {
		return tx.Exec(`DELETE FROM pull WHERE `+pullKey+` IN (SELECT repository_id, digest, tag, principal, day FROM pull
			WHERE day < $1 LIMIT $2)`, day, purgeBatch)
	})
	if err != nil {
		return old, err
	}
	gone, err := inBatches(ctx, t, func(tx *db.Tx) (int64, error) {
		return tx.Exec(`WITH RECURSIVE `+pulledRepositories+`
			DELETE FROM pull WHERE `+pullKey+` IN (SELECT repository_id, digest, tag, principal, day FROM pull
				WHERE repository_id IN (SELECT id FROM pulled WHERE NOT EXISTS (SELECT 1 FROM repository r WHERE r.id = pulled.id))
				LIMIT $1)`, purgeBatch)
	})
	return old + gone, err
}

const (
	pullKey = `(repository_id, digest, tag, principal, day)`
	// pulledRepositories goes from one id to the next in the index of the key: there are few, and millions of rows.
	pulledRepositories = `pulled (id) AS (SELECT MIN(repository_id) FROM pull
		UNION ALL SELECT (SELECT MIN(p.repository_id) FROM pull p WHERE p.repository_id > pulled.id) FROM pulled WHERE pulled.id IS NOT NULL)`
)

// removeAudit removes a batch of the oldest entries. Ids are in order of time, so the oldest are the first, and the
// first that is young enough is the end.
func removeAudit(tx *db.Tx, before time.Time) (int64, error) {
	return tx.Exec(`DELETE FROM audit WHERE id IN (SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT $2) AS oldest WHERE at < $1)`,
		before.UnixMicro(), purgeBatch)
}

// inBatches runs remove in transactions of the job until there is nothing left, and returns how many rows it removed.
func inBatches(ctx context.Context, t *jobservice.Task, remove func(tx *db.Tx) (int64, error)) (int64, error) {
	var all int64
	for {
		var n int64
		err := t.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = remove(tx)
			return err
		})
		all += n
		if err != nil || n == 0 {
			return all, err
		}
	}
}
