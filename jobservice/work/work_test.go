package work_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue/memory"
	"github.com/hallmarkhub/hallmark/jobservice/work"
	"github.com/hallmarkhub/hallmark/migrations"
)

const limit = 20 * time.Second

type hub struct {
	t  *testing.T
	db *db.DB
	*jobservice.Runner
}

// each runs f with a runner on every engine; register says what it can do.
func each(t *testing.T, f func(h *hub)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		if err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		f(&hub{t: t, db: d, Runner: jobservice.New(d, memory.New(), jobservice.Options{Drain: -1,
			Backoff: func(int) time.Duration { return time.Millisecond }})})
	})
}

// run runs a job to its end.
func (h *hub) run(kind string, spec jobservice.Spec, payload any) *jobservice.Status {
	h.t.Helper()
	h.Register(kind, spec)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	defer running.Wait()
	defer cancel()
	var id string
	h.write(func(tx *db.Tx) (err error) {
		id, err = h.Enqueue(tx, jobservice.Job{Kind: kind, Payload: payload})
		return err
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		s, err := jobservice.Get(ctx, h.db, id)
		if err != nil {
			h.t.Fatal(err)
		}
		if !s.FinishedAt.IsZero() {
			return s
		}
		if time.Since(began) > limit {
			h.t.Fatalf("the job is still %+v", s)
		}
	}
}

func (h *hub) write(f func(tx *db.Tx) error) {
	h.t.Helper()
	if err := h.db.Write(context.Background(), f); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) exec(query string, args ...any) {
	h.t.Helper()
	h.write(func(tx *db.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
}

func (h *hub) count(query string, args ...any) (n int64) {
	h.t.Helper()
	if err := h.db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestSweepUploads(t *testing.T) {
	each(t, func(h *hub) {
		calls := 0
		s := h.run(work.KindSweepUploads, work.SweepUploads(func(context.Context) (int, error) {
			if calls++; calls == 1 {
				return 2, errors.New("the store does not answer")
			}
			return 3, nil
		}), nil)
		if s.State != jobservice.Done || s.Attempts != 2 || s.Message != "3 removed" {
			h.t.Errorf("got %+v", s)
		}
	})
}

func TestPackages(t *testing.T) {
	each(t, func(h *hub) {
		calls := 0
		do := func(context.Context) (int, error) {
			if calls++; calls%2 == 1 {
				return 0, errors.New("the database does not answer")
			}
			return calls, nil
		}
		if s := h.run(work.KindIndexPackages, work.IndexPackages(do), nil); s.State != jobservice.Done || s.Attempts != 2 || s.Message != "2 manifests read" {
			h.t.Errorf("got %+v", s)
		}
		if s := h.run(work.KindSweepPackages, work.SweepPackages(do), nil); s.State != jobservice.Done || s.Attempts != 2 || s.Message != "4 removed" {
			h.t.Errorf("got %+v", s)
		}
		if s := h.run(work.KindSweepReports, work.SweepReports(do), nil); s.State != jobservice.Done || s.Attempts != 2 || s.Message != "6 removed" {
			h.t.Errorf("got %+v", s)
		}
	})
}

func TestPurge(t *testing.T) {
	each(t, func(h *hub) {
		now := h.db.Micros()
		const day = int64(24 * time.Hour / time.Microsecond)
		job := func(id, state string, finished any) {
			h.exec(`INSERT INTO job (id, kind, state, payload, max_attempts, run_at, created_at, finished_at)
				VALUES ($1, 'other', $2, '{}', 8, $3, 0, $4)`, id, state, now+day, finished)
		}
		job("old", "done", now-31*day)
		job("dead", "dead", now-29*day)
		job("waits", "queued", nil)
		for _, id := range []string{"old", "dead"} {
			h.exec(`INSERT INTO job_log (job_id, seq, at, attempt, line) VALUES ($1, 1, 0, 1, 'x')`, id)
		}
		h.write(func(tx *db.Tx) (err error) {
			for range 2500 {
				_, e := tx.Exec(`INSERT INTO job (id, kind, state, payload, max_attempts, run_at, created_at, finished_at)
					VALUES ($1, 'other', 'done', '{}', 8, 0, 0, 0)`, store.NewID())
				err = errors.Join(err, e)
			}
			return err
		})
		h.exec(`INSERT INTO slot (name, busy, most) VALUES ('other/gone', 0, 1), ('other/there', 1, 1)`)
		audit := func(id string, at int64) {
			h.exec(`INSERT INTO audit (id, at, actor, actor_name, credential, ip, request_id, action, object)
				VALUES ($1, $2, '', '', '', '', '', 'x', '')`, id, at)
		}
		audit("00000000-0000-7000-8000-000000000001", now-366*day)
		audit("00000000-0000-7000-8000-000000000002", now-366*day)
		audit(store.NewID(), now-364*day)
		pulls(h)
		for key, at := range map[string]int64{"over": now - 2*day, "open": now} {
			h.exec(`INSERT INTO idempotency (actor, key, request_hash, status, created_at) VALUES ('a', $1, '', 200, $2)`, key, at)
		}
		spec := work.Purge(store.New(h.db), work.PurgeOptions{})
		for range 2 { // again removes nothing more
			s := h.run(work.KindPurge, spec, nil)
			if s.State != jobservice.Done {
				h.t.Fatalf("got %+v", s)
			}
			if n := h.count(`SELECT count(*) FROM job WHERE kind = 'other'`); n != 2 {
				h.t.Errorf("%d jobs left", n)
			}
			if n := h.count(`SELECT count(*) FROM job_log WHERE line = 'x'`); n != 1 {
				h.t.Errorf("%d logs left", n)
			}
			if n := h.count(`SELECT count(*) FROM slot WHERE name LIKE 'other/%'`); n != 1 {
				h.t.Errorf("%d slots left", n)
			}
			if n := h.count(`SELECT count(*) FROM idempotency`); n != 1 {
				h.t.Errorf("%d answers left", n)
			}
			if n := h.count(`SELECT count(*) FROM pull WHERE repository_id = 'there' AND tag IN ('today', 'at the limit')`); n != 2 {
				h.t.Errorf("%d rows of pulls left of those that are young enough", n)
			}
			if n := h.count(`SELECT count(*) FROM pull`); n != 2 {
				h.t.Errorf("%d rows of pulls left", n)
			}
			if n := h.count(`SELECT pulls FROM pull_total`); n != 2600 {
				h.t.Errorf("the sum of all days is %d", n)
			}
			if n := h.count(`SELECT count(*) FROM audit WHERE action = 'x'`); n != 1 {
				h.t.Errorf("%d entries left in the audit trail", n)
			}
			if n := h.count(`SELECT count(*) FROM audit WHERE action = 'audit.purge' AND detail = '{"entries":2}'`); n != 1 {
				h.t.Errorf("%d entries about the purge", n)
			}
		}
	})
}

// pulls leaves pulls of today, of the oldest day that is kept and of more rows than one batch before it, and some of a
// repository that has gone.
func pulls(h *hub) {
	h.t.Helper()
	h.exec(`INSERT INTO project (id, name, visibility, baseline, created_at, updated_at) VALUES ('p', 'p', 'public', 'off', 0, 0)`)
	h.exec(`INSERT INTO repository (id, project_id, name, created_at, updated_at) VALUES ('there', 'p', 'p/there', 0, 0)`)
	h.exec(`INSERT INTO pull_total (repository_id, digest, pulls, last_at) VALUES ('there', 'd', 2600, 0)`)
	today := store.Day(h.db.Now())
	h.write(func(tx *db.Tx) (err error) {
		pull := func(repository, tag string, day int64) {
			_, e := tx.Exec(`INSERT INTO pull (repository_id, digest, tag, principal, day, pulls, last_at) VALUES ($1, 'd', $2, '', $3, 1, 0)`,
				repository, tag, day)
			err = errors.Join(err, e)
		}
		pull("there", "today", today)
		pull("there", "at the limit", today-90)
		pull("there", "past it", today-91)
		for i := range 1200 {
			pull("there", "old", int64(i))
			pull("gone", strconv.Itoa(i), today)
		}
		pull("zone", "another that has gone", today)
		return err
	})
}
