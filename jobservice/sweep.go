package jobservice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
)

const (
	// sweepLimit is how many due jobs of a kind are pushed at most in one sweep.
	sweepLimit = 10_000
	// sweepPause is what is left between two sweeps, however many jobs become due one after the other.
	sweepPause = 100 * time.Millisecond
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
			at, err = r.fireCrons(ctx)
			r.warn(ctx, "jobs of the timetable could not be made", err)
			wait = min(wait, at)
			at, err = r.pushDue(ctx)
			r.warn(ctx, "jobs that are due could not be read", err)
			wait = min(wait, at)
		}
		next.Reset(max(wait, min(sweepPause, r.opt.Sweep)))
	}
}

func (r *Runner) warn(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		r.log.Warn(what, "error", err)
	}
}

// gone are jobs whose lease ran out, or was given by a clock that was wrong.
const (
	gone    = `state = 'running' AND (lease_until < $1 OR lease_until > $2)`
	goneSQL = `SELECT count(*) FROM job WHERE ` + gone
)

// expire takes jobs from workers that have said nothing for longer than the lease.
func (r *Runner) expire(ctx context.Context) error {
	now := r.db.Micros()
	var n int64
	err := r.db.QueryRow(ctx, goneSQL, now, now+tooFar.Microseconds()).Scan(&n)
	if err != nil || n == 0 {
		return err
	}
	var lost []string
	err = r.db.Write(ctx, func(tx *db.Tx) error {
		lost = nil
		var held []string
		var dead []deadJob
		now := tx.Now()
		err := tx.Query(`UPDATE job SET lease_until = NULL, worker = '', error = 'the worker stopped without a word', run_at = $3,
				state = CASE WHEN cancel THEN 'cancelled' WHEN attempts >= max_attempts THEN 'dead' ELSE 'queued' END,
				finished_at = CASE WHEN cancel OR attempts >= max_attempts THEN CAST($3 AS BIGINT) END
			WHERE `+gone+` RETURNING id, slots, state, kind, target, attempts`, []any{now, now + tooFar.Microseconds(), now}, func(scan func(...any) error) error {
			var id, slots, state string
			j := deadJob{Error: "the worker stopped without a word"}
			err := scan(&id, &slots, &state, &j.Kind, &j.Target, &j.Attempts)
			if j.Job = id; State(state) == Dead && !r.specs[j.Kind].Quiet {
				dead = append(dead, j)
			}
			lost, held = append(lost, id), append(held, splitSlots(slots)...)
			return err
		})
		if err != nil {
			return err
		}
		for _, j := range dead {
			if err := tellDead(tx, j); err != nil {
				return err
			}
		}
		return freeSlots(tx, held)
	})
	if err == nil && len(lost) > 0 {
		r.log.Warn("jobs were taken from workers that stopped", "jobs", lost)
	}
	return err
}

// dueSQL reads what waits of a kind and is due, in the order in which it is to be run; targetSQL leaves out targets that
// have as many jobs as they may. nextSQL reads when the next job will be due.
const (
	dueSQL = `SELECT id, priority FROM job WHERE state = 'queued' AND kind = $1 AND run_at <= $2 %s
		ORDER BY priority DESC, run_at LIMIT $3`
	nextSQL   = `SELECT coalesce(min(run_at), 0) FROM job WHERE state = 'queued' AND run_at > $1`
	targetSQL = `AND NOT EXISTS (SELECT 1 FROM slot WHERE name = job.kind || '/' || job.target AND busy >= most)`
)

// due reads up to n jobs of a kind.
func (r *Runner) due(ctx context.Context, kind string, n int) (items []queue.Item, err error) {
	where := ""
	if r.specs[kind].MaxPerTarget > 0 {
		where = targetSQL
	}
	err = r.db.Query(ctx, fmt.Sprintf(dueSQL, where), []any{kind, r.db.Micros(), n}, func(scan func(...any) error) error {
		var it queue.Item
		err := scan(&it.ID, &it.Priority)
		items = append(items, it)
		return err
	})
	return items, err
}

// pushDue pushes what is due and has room, and returns how long it is to the next that will be.
func (r *Runner) pushDue(ctx context.Context) (time.Duration, error) {
	busy, err := r.busy(ctx)
	if err != nil {
		return r.opt.Sweep, err
	}
	var items []queue.Item
	for _, kind := range slices.Sorted(maps.Keys(r.specs)) {
		n := sweepLimit
		if most := r.specs[kind].MaxRunning; most > 0 {
			n = min(n, most-busy[kind])
		}
		if n <= 0 {
			continue
		}
		of, err := r.due(ctx, kind, n)
		if err != nil {
			return r.opt.Sweep, err
		}
		items = append(items, of...)
	}
	if len(items) > 0 {
		r.pushWithin(sweepPushTime, items)
	}
	var at int64
	err = r.db.QueryRow(ctx, nextSQL, r.db.Micros()).Scan(&at)
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
