package jobservice

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
)

// Status is a job as people see it. Times are in UTC and zero where there is none.
type Status struct {
	ID          string
	Kind        string
	State       State
	Priority    int64
	Payload     json.RawMessage
	Project     string // name; "" is the hub, or a project that has gone
	Target      string // whom it talks to; "" is nobody in particular
	Progress    int    // percent
	Done, Total int64  // of what it counts; a Total of 0 is not known
	Message     string // what it is doing
	Error       string // why the last try failed
	LogLines    int64  // number of the last line of its log
	Attempts    int    // tries begun
	MaxAttempts int
	Worker      string // who runs it, or ran it last
	Cancelling  bool   // it runs and was asked to stop
	RunAt       time.Time
	CreatedAt   time.Time
	StartedAt   time.Time // of the last try
	FinishedAt  time.Time
}

// Query chooses jobs for List.
type Query struct {
	State   State  // "" is any
	Kind    string // "" is any
	Project string // id; "" is any and the hub
	Target  string // "" is any
	After   string // only jobs behind this id, the last one of the page before
	N       int    // at most so many; 0 is 200, which is the most as well
}

// listMost is how many jobs a page has at most: as many as a page of the API.
const listMost = 200

const columns = `id, kind, state, priority, payload, progress, message, error, attempts, max_attempts, worker,
	cancel AND state = 'running', target, done, total, log_lines,
	coalesce((SELECT name FROM project WHERE id = job.project_id), ''), run_at, created_at, coalesce(started_at, 0), coalesce(finished_at, 0)`

func scanStatus(scan func(...any) error) (*Status, error) {
	var s Status
	var payload string
	var runAt, created, started, finished int64
	err := scan(&s.ID, &s.Kind, &s.State, &s.Priority, &payload, &s.Progress, &s.Message, &s.Error, &s.Attempts, &s.MaxAttempts,
		&s.Worker, &s.Cancelling, &s.Target, &s.Done, &s.Total, &s.LogLines, &s.Project, &runAt, &created, &started, &finished)
	if err != nil {
		return nil, err
	}
	s.Payload = json.RawMessage(payload)
	s.RunAt, s.CreatedAt = db.Time(runAt), db.Time(created)
	if started != 0 {
		s.StartedAt = db.Time(started)
	}
	if finished != 0 {
		s.FinishedAt = db.Time(finished)
	}
	return &s, nil
}

// List returns a page of jobs, the newest first, and whether there are more behind it. The ids are UUIDv7, so that a
// page goes on where the one before ended whatever happens meanwhile.
func List(ctx context.Context, d *db.DB, q Query) (page []*Status, more bool, err error) {
	n := q.N
	if n <= 0 || n > listMost {
		n = listMost
	}
	after := q.After
	if after == "" {
		after = "g" // behind every id, which is hexadecimal
	}
	text, args := `SELECT `+columns+` FROM job WHERE id < $1`, []any{after, n + 1}
	for _, f := range []struct{ column, value string }{
		{"state", string(q.State)}, {"kind", q.Kind}, {"project_id", q.Project}, {"target", q.Target},
	} {
		if f.value != "" {
			args = append(args, f.value)
			text += ` AND ` + f.column + ` = $` + strconv.Itoa(len(args))
		}
	}
	if q.Project != "" {
		text += ` AND project_id <> ''` // as the index has it
	}
	err = d.Query(ctx, text+` ORDER BY id DESC LIMIT $2`, args, func(scan func(...any) error) error {
		s, err := scanStatus(scan)
		page = append(page, s)
		return err
	})
	if len(page) > n {
		page, more = page[:n], true
	}
	return page, more, err
}

// Get returns one job; core.CodeNotFound if there is none.
func Get(ctx context.Context, d *db.DB, id string) (*Status, error) {
	s, err := scanStatus(d.QueryRow(ctx, `SELECT `+columns+` FROM job WHERE id = $1`, id).Scan)
	if errors.Is(err, db.ErrNoRows) {
		return nil, notFound(id)
	}
	return s, err
}

func notFound(id string) error {
	return core.Errorf(core.CodeNotFound, "There is no job %s. Jobs that have ended are kept for 30 days.", clip(id))
}

// Cancel ends a job that waits at once, and asks one that runs to stop: at once if it runs in this process, else within
// a heartbeat. A job that ends by itself meanwhile is done all the same. Again it does nothing. core.CodeNotFound, and
// core.CodeConflict if it has ended already otherwise.
func (r *Runner) Cancel(ctx context.Context, id string) (*Status, error) {
	var s *Status
	err := r.db.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE job SET cancel = TRUE,
				state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
				finished_at = CASE WHEN state = 'queued' THEN CAST($2 AS BIGINT) ELSE finished_at END
			WHERE id = $1 AND state IN ('queued', 'running') AND NOT cancel`, id, tx.Now())
		if err != nil {
			return err
		}
		if s, err = inTx(tx, id); err != nil {
			return err
		}
		if n == 0 {
			if s.State == Cancelled || s.Cancelling {
				return nil
			}
			return core.Errorf(core.CodeConflict, "The job has ended already: it is %s.", s.State)
		}
		tx.OnCommit(func() { r.cancelHere(id) })
		return store.Audit(tx, "job.cancel", "", s.Kind+" "+id, "")
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (r *Runner) cancelHere(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.running[id]; t != nil {
		t.cancel(ErrCancelled)
	}
}

// Retry queues a job anew that is dead, failed or cancelled, with all its tries. core.CodeNotFound, and
// core.CodeConflict if it is in another state or a job with the same unique key is under way.
func (r *Runner) Retry(ctx context.Context, id string) (*Status, error) {
	var s *Status
	err := r.db.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE job SET state = 'queued', cancel = FALSE, attempts = 0, progress = 0, message = '', done = 0, total = 0, error = '',
				worker = '', run_at = $2, started_at = NULL, finished_at = NULL
			WHERE id = $1 AND state IN ('dead', 'failed', 'cancelled') AND NOT EXISTS (SELECT 1 FROM job o
				WHERE o.unique_key = job.unique_key AND o.state IN ('queued', 'running'))`, id, tx.Now())
		if err != nil {
			return err
		}
		if s, err = inTx(tx, id); err != nil {
			return err
		}
		switch {
		case n == 1:
		case s.State == Dead || s.State == Failed || s.State == Cancelled:
			return core.Errorf(core.CodeConflict, "Another job that does the same is under way. Wait for it to end.")
		default:
			return core.Errorf(core.CodeConflict, "The job is %s. Only a job that is dead, failed or cancelled can be tried again.", s.State)
		}
		tx.OnCommit(func() { r.push(queue.Item{ID: id, Priority: s.Priority}) })
		return store.Audit(tx, "job.retry", "", s.Kind+" "+id, "")
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func inTx(tx *db.Tx, id string) (*Status, error) {
	s, err := scanStatus(tx.QueryRow(`SELECT `+columns+` FROM job WHERE id = $1`, id).Scan)
	if errors.Is(err, db.ErrNoRows) {
		return nil, notFound(id)
	}
	return s, err
}
