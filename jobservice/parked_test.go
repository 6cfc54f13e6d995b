package jobservice_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
)

func TestMaxRunning(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		opt := quick()
		opt.Sweep = time.Minute // so that it is the parked ids that come back
		opt.Workers = 4
		h := newHub(t, d, opt)
		var now, most atomic.Int32
		h.Register("few", jobservice.Spec{MaxRunning: 2, Run: func(context.Context, *jobservice.Task) error {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			return nil
		}})
		h.Register("other", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
		var ids []string
		h.start()
		for i := range 40 {
			ids = append(ids, h.enqueue(jobservice.Job{Kind: []string{"few", "few", "few", "other"}[i%4]}))
		}
		for _, id := range ids {
			h.untilState(id, jobservice.Done)
		}
		if most.Load() > 2 {
			t.Errorf("%d ran at once", most.Load())
		}
	})
}

// What waits for a job of its kind to end is not looked at in every sweep, and is run when there is room: also when all
// that was brought back first has been done elsewhere meanwhile.
func TestParkedJobsAreLeftAlone(t *testing.T) {
	open := dbtest.SQLite(t)
	migrated(t, open).Close()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		h := newHub(t, d, jobservice.Options{})
		end := make(chan struct{})
		h.Register("few", jobservice.Spec{MaxRunning: 1, Run: func(ctx context.Context, _ *jobservice.Task) error {
			select {
			case <-end:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}})
		h.start()
		var ids []string
		for range 40 {
			ids = append(ids, h.enqueue(jobservice.Job{Kind: "few"}))
		}
		pass(6 * time.Second)
		synctest.Wait()
		var rec db.Recorder
		d.Record(&rec)
		pass(time.Minute)
		synctest.Wait()
		d.Record(nil)
		for _, q := range rec.Take() {
			if strings.Contains(q, "SELECT kind, priority FROM job WHERE id") {
				t.Fatal("a parked job was looked at although nothing has ended")
			}
		}
		// All but the one that runs and the last few are done by somebody else: those that come back first are not to be had.
		if err := d.Write(context.Background(), func(tx *db.Tx) error {
			for _, id := range ids[:35] {
				if _, err := tx.Exec(`UPDATE job SET state = 'done', finished_at = 1 WHERE id = $1 AND state = 'queued'`, id); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		close(end)
		pass(10 * time.Second)
		for _, id := range ids {
			if s := h.get(id); s.State != jobservice.Done {
				t.Errorf("got %+v", s)
			}
		}
	})
}
