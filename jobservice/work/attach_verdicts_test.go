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

func TestAttachVerdicts(t *testing.T) {
	each(t, func(h *hub) {
		s := h.run(work.KindAttachVerdicts, work.AttachVerdicts(func(context.Context) (int, error) { return 7, nil }), nil)
		if s.State != jobservice.Done || s.Message != "7 looked at" {
			h.t.Errorf("got %+v", s)
		}
		// What failed is owed, and the next job takes it: no job waits for it.
		s = h.run(work.KindAttachVerdicts, work.AttachVerdicts(func(context.Context) (int, error) { return 1, errors.New("the database is away") }), nil)
		if s.State != jobservice.Dead || s.Attempts != 1 {
			h.t.Errorf("got %+v", s)
		}
	})
}

// A job is made when something becomes owed, and none where nothing is.
func TestVerdictWaker(t *testing.T) {
	each(t, func(h *hub) {
		s := store.New(h.db)
		system := core.WithPrincipal(context.Background(), core.System())
		ran := make(chan struct{}, 10)
		h.Register(work.KindAttachVerdicts, work.AttachVerdicts(func(ctx context.Context) (int, error) {
			n := 0
			for {
				swept, err := s.SweepVerdicts(ctx, 10)
				if err != nil || !swept {
					ran <- struct{}{}
					return n, err
				}
				n++
			}
		}))
		waker := work.NewVerdictWaker(s, h.Runner, slog.New(slog.DiscardHandler))
		if err := h.db.Follow(system); err != nil {
			h.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() { h.Run(ctx) })
		all.Go(func() { waker.Run(ctx) })
		defer all.Wait()
		defer cancel()
		p, err := s.CreateProject(system, store.NewProject{Name: "team", AttachVerdicts: true})
		if err != nil {
			h.t.Fatal(err)
		}
		if n := h.count(`SELECT COUNT(*) FROM job`); n != 0 {
			h.t.Errorf("%d jobs for nothing", n)
		}
		for range 2 {
			h.write(func(tx *db.Tx) error {
				_, err := tx.Exec(`INSERT INTO verdict_sweep (project_id, due_at) VALUES ($1, 0)`, p.ID)
				tx.Changed(store.ChangeVerdict, "")
				return err
			})
			select {
			case <-ran:
			case <-time.After(limit):
				h.t.Fatal("nobody woke up")
			}
		}
	})
}
