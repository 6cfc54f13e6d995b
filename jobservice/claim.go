package jobservice

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
)

// claims are the statements of a claim, for the kinds that have no cap and for those that have. "" is for no kind.
type claims struct{ free, capped string }

// claimSQL makes the statements: $1 is the id, $2 the worker, $3 the end of the lease, $4 now.
func (r *Runner) claimSQL() claims {
	var free, capped []string
	for _, kind := range slices.Sorted(maps.Keys(r.specs)) {
		if s := r.specs[kind]; s.MaxRunning > 0 || s.MaxPerTarget > 0 {
			capped = append(capped, kind)
		} else {
			free = append(free, kind)
		}
	}
	statement := func(kinds []string) string {
		if len(kinds) == 0 {
			return ""
		}
		return `UPDATE job SET state = 'running', attempts = attempts + 1, fence = fence + 1, worker = $2,
				lease_until = $3, started_at = $4, progress = 0, message = '', done = 0, total = 0, slots = ''
			WHERE id = $1 AND state = 'queued' AND run_at <= $4 AND NOT cancel AND kind IN (` + literals(kinds) + `)
			RETURNING kind, target, priority, payload, attempts, max_attempts, fence, log_lines, log_bytes`
	}
	return claims{free: statement(free), capped: statement(capped)}
}

// literals quotes names for SQL. They are ours: kinds that were registered.
func literals(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "'" + strings.ReplaceAll(n, "'", "''") + "'"
	}
	return strings.Join(quoted, ", ")
}

// claim takes the job, or returns nil if it is not to be had: somebody else has it, or it has to wait.
func (r *Runner) claim(ctx context.Context, id string) (*Task, error) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	began := time.Now()
	t, err := r.claimFree(ctx, id)
	if t == nil && err == nil && r.claims.capped != "" {
		t, err = r.claimCapped(ctx, id)
	}
	if errors.Is(err, db.ErrNoRows) {
		err = nil
	}
	if err != nil || t == nil {
		return nil, err
	}
	t.renewed(began)
	return t, nil
}

func (r *Runner) claimArgs(id string) []any {
	now := r.db.Micros()
	return []any{id, r.opt.Name, now + r.opt.Lease.Microseconds(), now}
}

func (r *Runner) newTask(id string) (t *Task, dest []any) {
	t = &Task{r: r, id: id, told: make(chan struct{}, 1)}
	return t, []any{&t.kind, &t.target, &t.priority, &t.payload, &t.attempt, &t.attempts, &t.fence, &t.lines.count, &t.lines.bytes}
}

// claimFree takes a job of a kind without a cap, in one statement.
func (r *Runner) claimFree(ctx context.Context, id string) (*Task, error) {
	if r.claims.free == "" {
		return nil, nil
	}
	t, dest := r.newTask(id)
	err := r.db.WriteRow(ctx, r.claims.free, r.claimArgs(id), dest...)
	if errors.Is(err, db.ErrNoRows) {
		return nil, nil
	}
	return t, err
}

// errFull says that as many jobs run as may.
var errFull = errors.New("there is no room for another job of this kind")

// lookSQL finds a job that waits and has room.
const lookSQL = `SELECT 1 FROM job j WHERE j.id = $1 AND j.state = 'queued' AND NOT EXISTS (SELECT 1 FROM slot s
	WHERE s.name IN (j.kind, j.kind || '/' || j.target) AND s.busy >= s.most)`

// claimCapped takes a job of a kind with a cap together with its slots.
func (r *Runner) claimCapped(ctx context.Context, id string) (*Task, error) {
	// A look costs less than a transaction that is rolled back.
	var one int
	if err := r.db.QueryRow(ctx, lookSQL, id).Scan(&one); err != nil {
		return nil, err
	}
	var t *Task
	err := r.db.Write(ctx, func(tx *db.Tx) error {
		var dest []any
		t, dest = r.newTask(id)
		if err := tx.QueryRow(r.claims.capped, r.claimArgs(id)...).Scan(dest...); err != nil {
			return err
		}
		return r.takeSlots(tx, t)
	})
	switch {
	case errors.Is(err, errFull):
		return nil, nil // the job that ends next fetches it
	case err != nil:
		return nil, err
	}
	return t, nil
}

// takeSlots counts the job in, first of its kind, then of its target: everybody locks in the order of the names.
func (r *Runner) takeSlots(tx *db.Tx, t *Task) error {
	spec := r.specs[t.kind]
	take := func(name string, most int) error {
		if most == 0 {
			return nil
		}
		n, err := tx.Exec(`INSERT INTO slot (name, busy, most) VALUES ($1, 1, $2)
			ON CONFLICT (name) DO UPDATE SET busy = slot.busy + 1, most = excluded.most WHERE slot.busy < excluded.most`, name, most)
		if err == nil && n == 0 {
			err = errFull
		}
		t.slots = append(t.slots, name)
		return err
	}
	if err := take(t.kind, spec.MaxRunning); err != nil {
		return err
	}
	if t.target != "" {
		if err := take(t.kind+"/"+t.target, spec.MaxPerTarget); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE job SET slots = $2 WHERE id = $1`, t.id, strings.Join(t.slots, "\n"))
	return err
}

func splitSlots(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == '\n' })
}

// freeSlots counts down, in the order of the names; a name may be there several times.
func freeSlots(tx *db.Tx, names []string) error {
	count := map[string]int{}
	for _, n := range names {
		count[n]++
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		_, err := tx.Exec(`UPDATE slot SET busy = CASE WHEN busy > $2 THEN busy - $2 ELSE 0 END WHERE name = $1`, name, count[name])
		if err != nil {
			return err
		}
	}
	return nil
}

// busy reads how many jobs of each kind with a cap run.
func (r *Runner) busy(ctx context.Context) (map[string]int, error) {
	busy := map[string]int{}
	if r.claims.capped == "" {
		return busy, nil
	}
	err := r.db.Query(ctx, `SELECT name, busy FROM slot WHERE busy > 0`, nil, func(scan func(...any) error) error {
		var name string
		var n int
		err := scan(&name, &n)
		busy[name] = n
		return err
	})
	return busy, err
}

// refillBatch is how many jobs are pushed when one ends: some may be run elsewhere before they are looked at.
const refillBatch = 4

// refill pushes what waited for a job of the kind to end.
func (r *Runner) refill(kind string) {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	items, err := r.due(ctx, kind, refillBatch)
	if err != nil {
		r.log.Warn("jobs that waited could not be read; the sweeper will", "kind", kind, "error", err)
		return
	}
	if len(items) > 0 {
		r.push(items...)
	}
}
