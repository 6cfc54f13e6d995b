package jobservice_test

import (
	"context"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// A job that waits for later runs sooner if somebody asks so, and not later.
func TestSooner(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		ran := make(chan string, 10)
		h.Register("x", jobservice.Spec{Run: func(_ context.Context, task *jobservice.Task) error {
			ran <- task.ID()
			return nil
		}})
		later := jobservice.Job{Kind: "x", UniqueKey: "x", RunAt: time.Now().Add(time.Hour)}
		id := h.enqueue(later)
		at := h.get(id).RunAt
		now := jobservice.Job{Kind: "x", UniqueKey: "x"}
		latest := jobservice.Job{Kind: "x", UniqueKey: "x", RunAt: time.Now().Add(2 * time.Hour), Sooner: true}
		for _, j := range []jobservice.Job{now, latest} {
			if same := h.enqueue(j); same != id || !h.get(id).RunAt.Equal(at) {
				t.Errorf("%+v: %+v", j, h.get(id))
			}
		}
		h.start()
		now.Sooner = true
		if same := h.enqueue(now); same != id {
			t.Errorf("another job %s", same)
		}
		h.untilState(id, jobservice.Done)
		if got := <-ran; got != id || len(ran) != 0 {
			t.Errorf("%s ran, and %d more", got, len(ran))
		}
	})
}

// That a job is dead is told to whoever is told what happens to the hub, however it died; of kinds that tell it is not.
func TestDeadIsTold(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		write := func(sql string, args ...any) {
			t.Helper()
			if err := d.Write(context.Background(), func(tx *db.Tx) error {
				_, err := tx.Exec(sql, args...)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		write(`INSERT INTO webhook (id, scope, name, channel, host, recipients, events, repositories, created_at, updated_at)
			VALUES ('w', '', 'w', 'http', '', '[]', '["*"]', '[]', 0, 0)`)
		opt := quick()
		opt.Lease = 50 * time.Millisecond
		h := newHub(t, d, opt)
		end, stopped := make(chan struct{}), make(chan struct{})
		h.BeforeBeat(func() { <-stopped }) // nobody's lease is renewed
		hangs := func(ctx context.Context, _ *jobservice.Task) error {
			<-end
			return context.Cause(ctx)
		}
		fails := func(context.Context, *jobservice.Task) error { return errMine }
		want := map[string]string{}
		run := func(h *hub, kind, why string, quiet bool) {
			id := h.enqueue(jobservice.Job{Kind: kind, Target: "somebody"})
			if h.untilState(id, jobservice.Dead); !quiet {
				want[id] = `{"job":"` + id + `","kind":"` + kind + `","target":"somebody","attempts":1,"error":"` + why + `"}`
			}
		}
		h.Register("hangs", jobservice.Spec{MaxAttempts: 1, Run: hangs})
		h.Register("quiet hangs", jobservice.Spec{MaxAttempts: 1, Quiet: true, Run: hangs})
		stop := h.start()
		run(h, "hangs", "the worker stopped without a word", false)
		run(h, "quiet hangs", "", true)
		close(end)
		close(stopped)
		stop()
		h = newHub(t, d, quick())
		h.Register("fails", jobservice.Spec{MaxAttempts: 1, Run: fails})
		h.Register("quiet fails", jobservice.Spec{MaxAttempts: 1, Quiet: true, Run: fails})
		h.start()
		run(h, "fails", "mine", false)
		run(h, "quiet fails", "", true)
		all, err := store.New(d).NewEvents(core.WithPrincipal(t.Context(), core.System()), 10)
		if err != nil || len(all) != len(want) {
			t.Fatalf("%+v %v", all, err)
		}
		for _, e := range all {
			if e.Type != store.EventJobDead || e.ProjectID != "" || e.Data != want[e.Subject] {
				t.Errorf("%+v, and not %s", e, want[e.Subject])
			}
		}
	})
}
