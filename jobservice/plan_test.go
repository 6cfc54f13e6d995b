package jobservice_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// With 100,000 jobs that wait and as many that have ended, claims and sweeps read only what they are about: no statement
// goes through the table, and none sorts.
func TestPlansAtHundredThousand(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		err := d.Write(ctx, func(tx *db.Tx) error {
			if err := dbtest.Unhurried(d, tx); err != nil {
				return err
			}
			_, err := tx.Exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
				INSERT INTO job (id, kind, state, priority, payload, max_attempts, run_at, created_at, target, finished_at)
				SELECT CAST(i AS TEXT), CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END, CASE WHEN i % 2 = 0 THEN 'queued' ELSE 'done' END,
					i % 5, '{}', 8, i, i, CAST(i % 7 AS TEXT), CASE WHEN i % 2 = 0 THEN NULL ELSE i END FROM n`)
			if err == nil {
				_, err = tx.Exec(`ANALYZE job`)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		h := newHub(t, d, quick())
		h.Register("a", jobservice.Spec{MaxRunning: 1, MaxPerTarget: 1})
		h.Register("b", jobservice.Spec{})
		free, capped := h.ClaimSQL()
		all, byTarget := jobservice.DueSQL()
		for _, q := range []struct {
			sql  string
			args []any
		}{
			{free, []any{"100", "worker", int64(1), int64(1 << 40)}},
			{capped, []any{"102", "worker", int64(1), int64(1 << 40)}},
			{jobservice.LookSQL, []any{"102"}},
			{all, []any{"b", int64(1 << 40), 10}},
			{byTarget, []any{"a", int64(1 << 40), 10}},
			{jobservice.NextSQL, []any{int64(1000)}},
			{jobservice.GoneSQL, []any{int64(1), int64(2)}},
		} {
			plan := explain(t, d, q.sql, q.args)
			for _, bad := range []string{"Seq Scan on job", "SCAN job\n", "TEMP B-TREE", "Sort"} {
				if strings.Contains(plan+"\n", bad) {
					t.Errorf("%s\n%s", q.sql, plan)
				}
			}
			if plan == "" {
				t.Errorf("no plan for %s", q.sql)
			}
		}
		// What comes first is read first.
		var first int64
		if err := d.QueryRow(ctx, strings.Replace(all, "SELECT id, priority", "SELECT priority", 1), "b", int64(1<<40), 1).Scan(&first); err != nil || first != 4 {
			t.Errorf("the first has priority %d, %v", first, err)
		}
	})
}

var errUndo = errors.New("undone")

func explain(t *testing.T, d *db.DB, sql string, args []any) (plan string) {
	t.Helper()
	prefix := "EXPLAIN "
	if d.Engine() == db.SQLite {
		prefix = "EXPLAIN QUERY PLAN "
	}
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		err := tx.Query(prefix+sql, args, func(scan func(...any) error) error {
			var line string
			var n [3]any
			dest := []any{&line}
			if d.Engine() == db.SQLite {
				dest = []any{&n[0], &n[1], &n[2], &line}
			}
			err := scan(dest...)
			plan += line + "\n"
			return err
		})
		return errors.Join(err, errUndo)
	})
	if !errors.Is(err, errUndo) || strings.Count(fmt.Sprint(err), "\n") > 0 {
		t.Fatal(err)
	}
	return plan
}

// An empty job costs one statement to claim and one to end; the sweeper a handful, whatever waits.
func TestStatementsOfAJob(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		opt := quick()
		opt.Sweep, opt.Heartbeat = limit, limit
		h := newHub(t, d, opt)
		h.Register("x", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
		h.start()
		h.untilState(h.enqueue(jobservice.Job{Kind: "x"}), jobservice.Done)
		for range 100 {
			var rec db.Recorder
			d.Record(&rec)
			h.untilState(h.enqueue(jobservice.Job{Kind: "x"}), jobservice.Done)
			d.Record(nil)
			counts, swept := map[string]int{}, false
			for _, q := range rec.Take() {
				switch {
				case strings.HasPrefix(q, "INSERT INTO job "):
					counts["enqueue"]++
				case strings.Contains(q, "SET state = 'running'"):
					counts["claim"]++
				case strings.Contains(q, "SET state = 'done'"):
					counts["finish"]++
				case strings.HasPrefix(q, "SELECT id, kind"): // untilState
				case strings.Contains(q, "FROM cron"), strings.Contains(q, "FROM job WHERE state = 'queued'"):
					swept = true
				default:
					t.Errorf("another statement: %s", q)
				}
			}
			// The first sweep may still go on. It tells the workers of what waits, and another one looks in vain.
			if swept || counts["claim"] > 1 {
				continue
			}
			if counts["enqueue"] != 1 || counts["claim"] != 1 || counts["finish"] != 1 {
				t.Errorf("got %v", counts)
			}
			return
		}
		t.Error("a job was never claimed by one statement")
	})
}
