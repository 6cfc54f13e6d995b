package jobservice_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// most remembers how many of each name were there at once.
type most struct {
	mu        sync.Mutex
	now, seen map[string]int
}

func (m *most) in(name string) (out func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil {
		m.now, m.seen = map[string]int{}, map[string]int{}
	}
	m.now[name]++
	m.seen[name] = max(m.seen[name], m.now[name])
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.now[name]--
	}
}

// Caps hold over all processes, for a kind and for a target, and keep nobody else waiting.
func TestCaps(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		var m most
		var hubs []*hub
		for range 2 {
			opt := quick()
			opt.Sweep = 2 * time.Second // so that it is mostly the jobs that end which bring the others
			h := newHub(t, d, opt)
			run := func(name string) func(context.Context, *jobservice.Task) error {
				return func(ctx context.Context, task *jobservice.Task) error {
					var p struct{ Target string }
					if err := task.Decode(&p); err != nil {
						return err
					}
					defer m.in(name)()
					defer m.in(name + p.Target)()
					return task.Write(ctx, func(*db.Tx) error { return nil })
				}
			}
			h.Register("few", jobservice.Spec{MaxRunning: 2, Run: run("few")})
			h.Register("each", jobservice.Spec{MaxRunning: 5, MaxPerTarget: 1, Run: run("each")})
			h.Register("other", jobservice.Spec{Run: run("other")})
			h.start()
			hubs = append(hubs, h)
		}
		var ids []string
		for i := range 80 {
			target := fmt.Sprint(i % 3)
			ids = append(ids, hubs[i%2].enqueue(jobservice.Job{Kind: []string{"few", "each", "other", "each"}[i%4], Target: target,
				Payload: struct{ Target string }{target}}))
		}
		for _, id := range ids {
			hubs[0].untilState(id, jobservice.Done)
		}
		for name, cap := range map[string]int{"few": 2, "each": 5, "each0": 1, "each1": 1, "each2": 1} {
			if n := m.seen[name]; n > cap || n == 0 {
				t.Errorf("%s: %d at once, at most %d may be", name, n, cap)
			}
		}
		noneBusy(t, d)
	})
}

func noneBusy(t *testing.T, d *db.DB) {
	t.Helper()
	var rows, busy int
	err := d.QueryRow(context.Background(), `SELECT count(*), coalesce(sum(busy), 0) FROM slot`).Scan(&rows, &busy)
	if err != nil || busy != 0 || rows == 0 {
		t.Errorf("%d slots of %d names are still taken, %v", busy, rows, err)
	}
}

// A slot is free again however a job ends: with an error, cancelled, given back, or with its lease.
func TestSlotsAreFreed(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		opt := mortal()
		opt.Workers = 1
		h, other := newHub(t, d, opt), newHub(t, d, mortal())
		heart, end := make(chan struct{}), make(chan struct{})
		defer close(end)
		h.BeforeBeat(func() {
			select {
			case <-heart:
			case <-end:
			}
		})
		started := make(chan struct{}, 10)
		spec := jobservice.Spec{MaxRunning: 1, MaxPerTarget: 1, MaxAttempts: 2}
		spec.Run = func(ctx context.Context, _ *jobservice.Task) error {
			started <- struct{}{}
			<-ctx.Done()
			return context.Cause(ctx)
		}
		h.Register("x", spec)
		stop := h.start()
		id := h.enqueue(jobservice.Job{Kind: "x", Target: "there"})
		receive(t, started)
		var failed atomic.Int32
		spec.Run = func(ctx context.Context, _ *jobservice.Task) error {
			if failed.Add(1) == 1 {
				return errMine
			}
			started <- struct{}{}
			<-ctx.Done()
			return context.Cause(ctx)
		}
		other.Register("x", spec)
		other.start()
		other.untilState(id, jobservice.Dead) // the lease ran out, then the error
		stop()
		noneBusy(t, d)
		id = other.enqueue(jobservice.Job{Kind: "x", Target: "there"})
		receive(t, started)
		if _, err := other.Cancel(asOperator(t), id); err != nil {
			t.Fatal(err)
		}
		other.untilState(id, jobservice.Cancelled)
		noneBusy(t, d)
	})
}

// A process that ends gives its slots back together with its jobs.
func TestSlotsAreFreedByDrain(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		started := make(chan struct{})
		h.Register("x", jobservice.Spec{MaxRunning: 1, Run: func(ctx context.Context, _ *jobservice.Task) error {
			close(started)
			<-ctx.Done()
			return ctx.Err()
		}})
		stop := h.start()
		h.enqueue(jobservice.Job{Kind: "x"})
		receive(t, started)
		stop()
		noneBusy(t, d)
	})
}

// What waits for a job of its kind to end is not looked at in every sweep, and is run when there is room: also when what
// would have been next has been done elsewhere meanwhile.
func TestFullKindIsLeftAlone(t *testing.T) {
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
			if strings.Contains(q, "FROM job j WHERE j.id") || strings.Contains(q, "SELECT id, priority FROM job") {
				t.Fatalf("a kind that is full was looked at although nothing has ended: %s", q)
			}
		}
		// All but the one that runs and the last few are done by somebody else.
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
		pass(time.Second) // sooner than a sweep
		for _, id := range ids {
			if s := h.get(id); s.State != jobservice.Done {
				t.Errorf("got %+v", s)
			}
		}
	})
}
