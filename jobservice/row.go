package jobservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
)

// Enqueue writes a job in the caller's transaction and, after its commit, tells the workers. It returns the job's id: of
// the one that is there already if an unfinished job has the same unique key, which is then left as it is but for Job.Sooner.
func (r *Runner) Enqueue(tx *db.Tx, j Job) (string, error) {
	if j.Kind == "" {
		return "", errors.New("a job without a kind")
	}
	if j.Priority > queue.MaxPriority || j.Priority < -queue.MaxPriority || len(j.Target) > targetLimit {
		return "", fmt.Errorf("a job of kind %s with the priority %d and a target of %d bytes, more than there is", j.Kind, j.Priority, len(j.Target))
	}
	payload, err := encodePayload(j.Payload)
	if err != nil {
		return "", err
	}
	attempts := r.specs[j.Kind].MaxAttempts
	if attempts == 0 {
		attempts = DefaultMaxAttempts
	}
	now := tx.Now()
	runAt := now
	if !j.RunAt.IsZero() {
		runAt = max(now, j.RunAt.UnixMicro())
	}
	var unique any
	if j.UniqueKey != "" {
		unique = j.UniqueKey
	}
	// The other job may end between the two statements; then there is room for this one.
	for range 10 {
		id := store.NewID()
		n, err := tx.Exec(`INSERT INTO job (id, kind, unique_key, state, priority, payload, max_attempts, run_at, created_at, project_id, target)
			VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND state IN ('queued', 'running') DO NOTHING`,
			id, j.Kind, unique, j.Priority, payload, attempts, runAt, now, j.Project, j.Target)
		if err != nil {
			return "", err
		}
		if n == 1 {
			tx.OnCommit(func() {
				r.pushIn(time.Duration(runAt-now)*time.Microsecond, queue.Item{ID: id, Priority: j.Priority})
			})
			return id, nil
		}
		err = tx.QueryRow(`SELECT id FROM job WHERE unique_key = $1 AND state IN ('queued', 'running')`, j.UniqueKey).Scan(&id)
		if err == nil && j.Sooner {
			err = r.hasten(tx, id, j.Priority, runAt)
		}
		if !errors.Is(err, db.ErrNoRows) {
			return id, err
		}
	}
	return "", fmt.Errorf("%w: a job with the key %s ends and begins all the time", db.ErrUnavailable, j.UniqueKey)
}

// hasten has a job that waits for later wait only until at.
func (r *Runner) hasten(tx *db.Tx, id string, priority, at int64) error {
	n, err := tx.Exec(`UPDATE job SET run_at = $2 WHERE id = $1 AND state = 'queued' AND run_at > $2`, id, at)
	if err == nil && n > 0 {
		pause := time.Duration(at-tx.Now()) * time.Microsecond
		tx.OnCommit(func() { r.pushIn(pause, queue.Item{ID: id, Priority: priority}) })
	}
	return err
}

// renew renews the lease in a transaction of the job. ErrLost if somebody else has it.
func (r *Runner) renew(tx *db.Tx, t *Task) error {
	n, err := tx.Exec(`UPDATE job SET lease_until = $3 WHERE id = $1 AND fence = $2 AND state = 'running'`,
		t.id, t.fence, tx.Now()+r.opt.Lease.Microseconds())
	return lost(n, err)
}

// beat renews the lease, writes progress, and reports whether somebody asked the job to stop.
func (r *Runner) beat(ctx context.Context, t *Task) (cancelled bool, err error) {
	ctx, stop := context.WithTimeout(ctx, r.opt.Heartbeat)
	defer stop()
	p, lines := t.report(), t.lines.pending()
	err = r.db.Write(ctx, func(tx *db.Tx) error {
		err := tx.QueryRow(`UPDATE job SET lease_until = $3, progress = $4, message = $5, done = $6, total = $7
			WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING cancel`,
			t.id, t.fence, tx.Now()+r.opt.Lease.Microseconds(), p.percent, p.message, p.done, p.total).Scan(&cancelled)
		if err != nil {
			return err
		}
		return writeLines(tx, t.id, lines)
	})
	if errors.Is(err, db.ErrNoRows) {
		err = ErrLost
	}
	if err == nil {
		t.lines.written(lines)
	}
	return cancelled, err
}

// finishSQL ends a job that was done.
const finishSQL = `UPDATE job SET state = 'done', progress = 100, message = $4, done = $5, total = $6, error = '', lease_until = NULL, finished_at = $3
	WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING id`

func (t *Task) finishArgs() []any {
	p := t.report()
	return []any{t.id, t.fence, t.r.db.Micros(), p.message, p.done, p.total}
}

// finish ends the job as done, with what f writes. What nobody else may have to wait for comes last.
func (r *Runner) finish(ctx context.Context, t *Task, f func(tx *db.Tx) error) error {
	lines := t.lines.pending()
	var id string
	var err error
	if f == nil && len(lines.lines) == 0 && len(t.slots) == 0 {
		err = r.db.WriteRow(ctx, finishSQL, t.finishArgs(), &id)
	} else {
		err = r.db.Write(ctx, func(tx *db.Tx) error {
			if err := tx.QueryRow(finishSQL, t.finishArgs()...).Scan(&id); err != nil {
				return err
			}
			if f != nil {
				if err := f(tx); err != nil {
					return err
				}
			}
			if err := writeLines(tx, t.id, lines); err != nil {
				return err
			}
			return freeSlots(tx, t.slots)
		})
	}
	if errors.Is(err, db.ErrNoRows) {
		err = ErrLost
	}
	return err
}

func lost(n int64, err error) error {
	if err == nil && n == 0 {
		return ErrLost
	}
	return err
}

// result is how a try ended. cause is why its context did.
func (t *Task) result(cause, err error) string {
	switch {
	case err == nil, t.isFinished():
		return resultDone
	case errors.Is(err, ErrLost), errors.Is(cause, ErrLost):
		return resultLost
	case errors.Is(cause, ErrDraining):
		return resultReleased
	case errors.Is(cause, ErrCancelled):
		return resultCancelled
	case errors.As(err, new(*permanent)):
		return resultFailed
	case t.attempt >= t.attempts:
		return resultDead
	}
	return resultRetry
}

// settle writes how a try ended, unless it was done or nothing of it counts.
func (r *Runner) settle(t *Task, spec Spec, result string, cause, err error) {
	if errors.Is(cause, errTimeout) && err != nil {
		err = fmt.Errorf("it was not done after %s (%w)", spec.Timeout, err)
	}
	switch result {
	case resultReleased:
		r.settleRow(t, r.release)
	case resultCancelled:
		r.settleRow(t, func(tx *db.Tx, t *Task) error { return r.end(tx, t, Cancelled, ErrCancelled.Error()) })
	case resultFailed:
		r.settleRow(t, func(tx *db.Tx, t *Task) error { return r.end(tx, t, Failed, err.Error()) })
	case resultDead:
		r.settleRow(t, func(tx *db.Tx, t *Task) error {
			if lost := r.end(tx, t, Dead, err.Error()); lost != nil || spec.Quiet {
				return lost
			}
			return tellDead(tx, deadJob{t.id, t.kind, t.target, t.attempt, clip(err.Error())})
		})
	case resultRetry:
		r.settleRow(t, func(tx *db.Tx, t *Task) error { return r.again(tx, t, err.Error()) })
	}
}

// settleRow runs f in a transaction. If that cannot be, the lease runs out and the sweeper does the like.
func (r *Runner) settleRow(t *Task, f func(tx *db.Tx, t *Task) error) {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	lines := t.lines.pending()
	err := r.db.Write(ctx, func(tx *db.Tx) error {
		if err := f(tx, t); err != nil {
			return err
		}
		if err := writeLines(tx, t.id, lines); err != nil {
			return err
		}
		return freeSlots(tx, t.slots)
	})
	if err != nil && !errors.Is(err, ErrLost) {
		r.log.Warn("how a job ended could not be written", "job", t.id, "kind", t.kind, "error", err)
	}
}

// end ends the job without success.
func (r *Runner) end(tx *db.Tx, t *Task, s State, why string) error {
	n, err := tx.Exec(`UPDATE job SET state = $3, error = $4, lease_until = NULL, finished_at = $5
		WHERE id = $1 AND fence = $2 AND state = 'running'`, t.id, t.fence, string(s), clip(why), tx.Now())
	return lost(n, err)
}

// again queues the job for its next try, unless somebody has cancelled it meanwhile.
func (r *Runner) again(tx *db.Tx, t *Task, why string) error {
	pause := r.opt.Backoff(t.attempt)
	runAt := tx.Now() + pause.Microseconds()
	tx.OnCommit(func() { r.pushIn(pause, queue.Item{ID: t.id, Priority: t.priority}) })
	n, err := tx.Exec(`UPDATE job SET state = CASE WHEN cancel THEN 'cancelled' ELSE 'queued' END,
			finished_at = CASE WHEN cancel THEN CAST($5 AS BIGINT) END,
			run_at = $3, error = $4, lease_until = NULL, worker = ''
		WHERE id = $1 AND fence = $2 AND state = 'running'`, t.id, t.fence, runAt, clip(why), tx.Now())
	return lost(n, err)
}

// release gives the job to other workers at once, as if this try had not been.
func (r *Runner) release(tx *db.Tx, t *Task) error {
	var state string
	err := tx.QueryRow(`UPDATE job SET state = CASE WHEN cancel THEN 'cancelled' ELSE 'queued' END,
			finished_at = CASE WHEN cancel THEN CAST($3 AS BIGINT) END,
			attempts = attempts - 1, run_at = CAST($3 AS BIGINT), lease_until = NULL, worker = ''
		WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING state`, t.id, t.fence, tx.Now()).Scan(&state)
	if errors.Is(err, db.ErrNoRows) {
		return ErrLost
	}
	if err == nil && State(state) == Queued {
		tx.OnCommit(func() { r.push(queue.Item{ID: t.id, Priority: t.priority}) })
	}
	return err
}

// deadJob is what is said of a job that is dead.
type deadJob struct {
	Job      string `json:"job"`
	Kind     string `json:"kind"`
	Target   string `json:"target,omitempty"`
	Attempts int    `json:"attempts"`
	Error    string `json:"error"`
}

// tellDead says that a job is dead: whoever runs the hub has to look.
func tellDead(tx *db.Tx, j deadJob) error {
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return store.SaveEvent(tx, store.Event{ID: store.NewID(), Type: store.EventJobDead, Subject: j.Job, Data: string(data)})
}
