package jobservice

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
)

const (
	// sweepLimit is how many due jobs are pushed at most in one sweep: those of the highest priority, then the oldest.
	sweepLimit = 10_000
	// tooFar is further in the future than anything that is written as having begun: a clock was wrong when it was.
	tooFar = 24 * time.Hour
)

// schedule makes a job of a kind in every slot of time.
type schedule struct {
	kind     string
	interval time.Duration
	slot     int64 // the newest that this process knows to be made
}

// far is tooFar in slots.
func (s *schedule) far() int64 { return int64(tooFar/s.interval) + 1 }

// Every makes a job of the kind, without payload, once in every interval, counted from 1970 in UTC, however many
// processes ask for it. A slot in which no process ran is left out, and so is one in which the job before has not ended.
// The interval is at least a second.
func (r *Runner) Every(kind string, interval time.Duration) {
	r.schedules = append(r.schedules, &schedule{kind: kind, interval: max(interval, time.Second), slot: -1})
}

// keepSweeping looks through the rows until ctx ends: a row is the truth, the queue only a quicker way to it.
func (r *Runner) keepSweeping(ctx context.Context) {
	ctx = core.WithPrincipal(ctx, core.System())
	due, dueArgs := r.dueQuery()
	var unsteady time.Time
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		// Who is alive renews its lease by the new time within a heartbeat. Until then none is taken away.
		if !r.db.ClockSteady() {
			unsteady = time.Now()
		}
		wait := r.opt.Sweep
		if unsteady.IsZero() || time.Since(unsteady) > r.opt.Lease {
			r.warn(ctx, "leases that ran out could not be taken back", r.expire(ctx))
		}
		if r.db.ClockSteady() {
			at, err := r.fire(ctx)
			r.warn(ctx, "scheduled jobs could not be made", err)
			wait = min(wait, at)
			at, err = r.pushDue(ctx, due, dueArgs)
			r.warn(ctx, "jobs that are due could not be read", err)
			wait = min(wait, at)
		}
		next.Reset(max(wait, time.Millisecond))
	}
}

func (r *Runner) warn(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		r.log.Warn(what, "error", err)
	}
}

// expire takes jobs from workers that have said nothing for longer than the lease.
func (r *Runner) expire(ctx context.Context) error {
	const gone = `state = 'running' AND (lease_until < $1 OR lease_until > $2)`
	now := r.db.Micros()
	var n int64
	err := r.db.QueryRow(ctx, `SELECT count(*) FROM job WHERE `+gone, now, now+tooFar.Microseconds()).Scan(&n)
	if err != nil || n == 0 {
		return err
	}
	var lost []string
	err = r.db.Write(ctx, func(tx *db.Tx) error {
		lost = nil
		now := tx.Now()
		return tx.Query(`UPDATE job SET lease_until = NULL, worker = '', error = 'the worker stopped without a word', run_at = $3,
				state = CASE WHEN cancel THEN 'cancelled' WHEN attempts >= max_attempts THEN 'dead' ELSE 'queued' END,
				finished_at = CASE WHEN cancel OR attempts >= max_attempts THEN CAST($3 AS BIGINT) END
			WHERE `+gone+` RETURNING id`, []any{now, now + tooFar.Microseconds(), now}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			lost = append(lost, id)
			return err
		})
	})
	if err == nil && len(lost) > 0 {
		r.log.Warn("jobs were taken from workers that stopped", "jobs", lost)
	}
	return err
}

// dueQuery makes the statement of pushDue: jobs of the kinds that are run here, $1 is now.
func (r *Runner) dueQuery() (string, []any) {
	var kinds []string
	for k := range r.specs {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	args := []any{int64(0)}
	var list []string
	for _, k := range kinds {
		args = append(args, k)
		list = append(list, "$"+strconv.Itoa(len(args)))
	}
	if len(list) == 0 {
		list = []string{"''"}
	}
	return ` FROM job WHERE state = 'queued' AND kind IN (` + strings.Join(list, ", ") + `) AND run_at `, args
}

// pushDue pushes what is due and returns how long it is to the next that will be.
func (r *Runner) pushDue(ctx context.Context, from string, args []any) (time.Duration, error) {
	args = slices.Clone(args)
	now := r.db.Micros()
	args[0] = now
	var items []queue.Item
	var kinds []string
	err := r.db.Query(ctx, `SELECT id, priority, kind`+from+`<= $1 ORDER BY priority DESC, run_at LIMIT `+strconv.Itoa(sweepLimit),
		args, func(scan func(...any) error) error {
			var it queue.Item
			var kind string
			err := scan(&it.ID, &it.Priority, &kind)
			items, kinds = append(items, it), append(kinds, kind)
			return err
		})
	if err != nil {
		return r.opt.Sweep, err
	}
	if items = r.notParked(items, kinds); len(items) > 0 {
		r.push(items...)
	}
	var at int64
	err = r.db.QueryRow(ctx, `SELECT coalesce(min(run_at), 0)`+from+`> $1`, args...).Scan(&at)
	if err != nil || at == 0 {
		return r.opt.Sweep, err
	}
	return time.Duration(at-r.db.Micros()) * time.Microsecond, nil
}

// fire makes the jobs of schedules whose slot has come and returns how long it is to the next.
func (r *Runner) fire(ctx context.Context) (time.Duration, error) {
	next := r.opt.Sweep
	for _, s := range r.schedules {
		now := r.db.Micros()
		slot := now / s.interval.Microseconds()
		if slot > s.slot || slot < s.slot-s.far() {
			if err := r.fireSlot(ctx, s, slot); err != nil {
				return next, err
			}
			s.slot = slot
		}
		next = min(next, time.Duration((slot+1)*s.interval.Microseconds()-now)*time.Microsecond)
	}
	return next, nil
}

// fireSlot makes the job of a slot, if no other process has.
func (r *Runner) fireSlot(ctx context.Context, s *schedule, slot int64) error {
	return r.db.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`INSERT INTO schedule (kind, slot) VALUES ($1, $2)
			ON CONFLICT (kind) DO UPDATE SET slot = excluded.slot
			WHERE schedule.slot < excluded.slot OR schedule.slot > $3`, s.kind, slot, slot+s.far())
		if err != nil || n == 0 {
			return err
		}
		_, err = r.Enqueue(tx, Job{Kind: s.kind, UniqueKey: "schedule:" + s.kind})
		return err
	})
}
