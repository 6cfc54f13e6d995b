package work_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/work"
)

func TestReevaluate(t *testing.T) {
	each(t, func(h *hub) {
		calls := 0
		s := h.run(work.KindReevaluate, work.Reevaluate(func(_ context.Context, task *jobservice.Task, scanner string) error {
			if calls++; scanner != "trivy" {
				t.Errorf("the scanner is %q", scanner)
			}
			if calls == 1 {
				return errors.New("the scanner is away")
			}
			task.Count(7, 7, "7 images")
			return nil
		}), work.Reevaluation{Scanner: "trivy"})
		if s.State != jobservice.Done || s.Attempts != 2 || s.Message != "7 images" {
			t.Errorf("got %+v", s)
		}
	})
}

// A job is made for a scanner when its data are newer than those of a scan, and none otherwise.
func TestReevaluateWaker(t *testing.T) {
	each(t, func(h *hub) {
		s := store.New(h.db)
		ran := make(chan string, 10)
		h.Register(work.KindReevaluate, work.Reevaluate(func(_ context.Context, _ *jobservice.Task, scanner string) error {
			ran <- scanner
			return nil
		}))
		system := core.WithPrincipal(context.Background(), core.System())
		p, err := s.CreateProject(system, store.NewProject{Name: "team"})
		if err != nil {
			t.Fatal(err)
		}
		h.exec(`INSERT INTO repository (id, project_id, name, pushed_at, created_at, updated_at) VALUES ('r', $1, 'team/a', 1, 1, 1)`, p.ID)
		h.exec(`INSERT INTO manifest (digest, media_type, size, payload, created_at) VALUES ('d', 'x', 2, $1, 1)`, []byte("{}"))
		h.exec(`INSERT INTO manifest_link (repository_id, digest, leased_until, pushed_at, pushed_by) VALUES ('r', 'd', 0, 1, 'x')`)
		for _, name := range []string{"ready", "paused", "sick", "silent", "other"} {
			h.exec(`INSERT INTO scanner (name, id, url, paused, problem, database_at, checked_at, created_at, updated_at) VALUES ($1, $1, 'x', $2, $3, $4, 1, 0, 0)`,
				name, name == "paused", map[bool]string{true: "it does not answer"}[name == "sick"], map[bool]int{true: 0, false: 10}[name == "silent"])
			if name != "other" { // which has scanned nothing
				h.exec(`INSERT INTO scan (repository_id, digest, scanner, database_at, considered_at, tried_at) VALUES ('r', 'd', $1, 10, 10, 1)`, name)
			}
		}
		waker := work.NewReevaluateWaker(s, h.Runner, slog.New(slog.DiscardHandler))
		if err := h.db.Follow(system); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() { h.Run(ctx) })
		all.Go(func() { waker.Run(ctx) })
		defer all.Wait()
		defer cancel()
		if n := h.count(`SELECT COUNT(*) FROM job`); n != 0 {
			t.Errorf("%d jobs for nothing", n)
		}
		h.write(func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE scanner SET database_at = database_at * 2`)
			tx.Changed(store.ChangeScan, "")
			return err
		})
		select {
		case name := <-ran:
			if name != "ready" {
				t.Errorf("the job is for %s", name)
			}
		case <-time.After(limit):
			t.Fatal("nobody woke up")
		}
		if n := h.count(`SELECT COUNT(*) FROM job`); n != 1 {
			t.Errorf("there are %d jobs", n)
		}
	})
}
