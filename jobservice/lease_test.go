package jobservice_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// Two workers. The heart of the first stops in the middle of a job; the second takes the job and does it. The first is
// told through its context, and what it writes is refused (F-15).
func TestStaleWorkerIsRefused(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		opt := mortal()
		opt.Workers = 1 // so that it is not the same process that takes the job again
		first, second := newHub(t, d, opt), newHub(t, d, mortal())
		heart := make(chan struct{})
		first.BeforeBeat(func() { <-heart })
		started, lost := make(chan struct{}), make(chan error)
		write, finish := make(chan error), make(chan error)
		first.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
			close(started)
			<-ctx.Done()
			lost <- context.Cause(ctx)
			// It goes on all the same, as one does that was stopped just here.
			<-heart
			free := context.WithoutCancel(ctx)
			write <- task.Write(free, func(tx *db.Tx) error { return effect(tx, task, "stale write") })
			err := task.Finish(free, func(tx *db.Tx) error { return effect(tx, task, "stale finish") })
			finish <- err
			return err
		}})
		second.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
			return task.Finish(ctx, func(tx *db.Tx) error { return effect(tx, task, "second") })
		}})
		first.start()
		id := first.enqueue(jobservice.Job{Kind: "x"})
		receive(t, started)
		second.start()
		if err := receive(t, lost); !errors.Is(err, jobservice.ErrLost) {
			t.Errorf("the context ended with %v", err)
		}
		s := second.untilState(id, jobservice.Done)
		close(heart)
		if err := receive(t, write); !errors.Is(err, jobservice.ErrLost) {
			t.Errorf("a stale write: %v", err)
		}
		if err := receive(t, finish); !errors.Is(err, jobservice.ErrLost) {
			t.Errorf("a stale finish: %v", err)
		}
		if got := effects(t, d); !slices.Equal(got, []string{"second"}) || s.Attempts != 2 {
			t.Errorf("effects %v after %d attempts", got, s.Attempts)
		}
		if s := second.get(id); s.State != jobservice.Done {
			t.Errorf("the stale worker changed it: %+v", s)
		}
	})
}

// A job that always takes its worker with it is dead in the end.
func TestPoisonIsDead(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		opt := quick()
		opt.Lease = 50 * time.Millisecond
		h := newHub(t, d, opt)
		end := make(chan struct{})
		defer close(end)
		h.BeforeBeat(func() { <-end })
		h.Register("x", jobservice.Spec{MaxAttempts: 2, Run: func(ctx context.Context, _ *jobservice.Task) error {
			<-end
			return context.Cause(ctx)
		}})
		h.start()
		s := h.untilState(h.enqueue(jobservice.Job{Kind: "x"}), jobservice.Dead)
		if s.Attempts != 2 || s.Error == "" || s.FinishedAt.IsZero() {
			t.Errorf("got %+v", s)
		}
	})
}

// A worker that is alive keeps its job for many leases, as long as the job may take.
func TestHeartbeatKeeps(t *testing.T) {
	open := dbtest.SQLite(t)
	migrated(t, open).Close()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		h, other := newHub(t, d, jobservice.Options{}), newHub(t, d, jobservice.Options{})
		for _, h := range []*hub{h, other} {
			h.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
				select {
				case <-time.After(25 * time.Minute):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
				return task.Finish(ctx, func(tx *db.Tx) error { return effect(tx, task, "once") })
			}})
			h.start()
		}
		id := h.enqueue(jobservice.Job{Kind: "x"})
		pass(24 * time.Minute)
		if s := h.get(id); s.State != jobservice.Running {
			t.Errorf("got %+v", s)
		}
		pass(2 * time.Minute)
		if s := h.get(id); s.State != jobservice.Done || s.Attempts != 1 || len(effects(t, d)) != 1 {
			t.Errorf("got %+v, effects %v", s, effects(t, d))
		}
	})
}

// Many jobs, two processes, a queue each: every effect once.
func TestTwoProcesses(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		var hubs []*hub
		for range 2 {
			h := newHub(t, d, quick())
			h.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
				return task.Finish(ctx, func(tx *db.Tx) error { return effect(tx, task, task.ID()) })
			}})
			h.start()
			hubs = append(hubs, h)
		}
		var ids []string
		for i := range 60 {
			ids = append(ids, hubs[i%2].enqueue(jobservice.Job{Kind: "x"}))
		}
		for _, id := range ids {
			hubs[0].untilState(id, jobservice.Done)
		}
		slices.Sort(ids)
		if got := effects(t, d); !slices.Equal(got, ids) {
			t.Errorf("%d effects of %d jobs", len(got), len(ids))
		}
	})
}

// Draining: who is running gives the job back at once, and the try does not count.
func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		opt := quick()
		opt.Lease = time.Minute
		h, other := newHub(t, d, opt), newHub(t, d, opt)
		started, cause := make(chan struct{}), make(chan error, 1)
		h.Register("x", jobservice.Spec{Run: func(ctx context.Context, _ *jobservice.Task) error {
			close(started)
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return ctx.Err()
		}})
		other.Register("x", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
		stop := h.start()
		id := h.enqueue(jobservice.Job{Kind: "x"})
		receive(t, started)
		stop()
		if err := receive(t, cause); !errors.Is(err, jobservice.ErrDraining) {
			t.Errorf("ended with %v", err)
		}
		if s := h.get(id); s.State != jobservice.Queued || s.Attempts != 0 {
			t.Errorf("after draining: %+v", s)
		}
		other.start()
		if s := other.untilState(id, jobservice.Done); s.Attempts != 1 {
			t.Errorf("%d attempts", s.Attempts)
		}
	})
}

// Who is nearly done gets the time to end by itself.
func TestDrainWaits(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		opt := quick()
		opt.Drain = limit
		h := newHub(t, d, opt)
		started, end := make(chan struct{}), make(chan struct{})
		h.Register("x", jobservice.Spec{Run: func(ctx context.Context, _ *jobservice.Task) error {
			close(started)
			<-end
			return ctx.Err()
		}})
		stop := h.start()
		id := h.enqueue(jobservice.Job{Kind: "x"})
		receive(t, started)
		var stopping sync.WaitGroup
		stopping.Go(stop)
		close(end)
		stopping.Wait()
		if s := h.get(id); s.State != jobservice.Done {
			t.Errorf("got %+v", s)
		}
	})
}

func TestCancel(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h, other := newHub(t, d, quick()), newHub(t, d, quick())
		started := make(chan struct{}, 10)
		var ran atomic.Int32
		h.Register("x", jobservice.Spec{Run: func(ctx context.Context, _ *jobservice.Task) error {
			ran.Add(1)
			started <- struct{}{}
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, jobservice.ErrCancelled) {
				t.Errorf("ended with %v", cause)
			}
			return ctx.Err()
		}})
		waiting := h.enqueue(jobservice.Job{Kind: "x"})
		if s, err := h.Cancel(asOperator(t), waiting); err != nil || s.State != jobservice.Cancelled || s.FinishedAt.IsZero() {
			t.Errorf("a job that waits: %+v, %v", s, err)
		}
		h.start()
		for name, by := range map[string]*hub{"here": h, "from another process": other} {
			id := h.enqueue(jobservice.Job{Kind: "x"})
			receive(t, started)
			s, err := by.Cancel(asOperator(t), id)
			if err != nil || s.State != jobservice.Running || !s.Cancelling {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
			h.untilState(id, jobservice.Cancelled)
			if _, err := by.Cancel(asOperator(t), id); err != nil {
				t.Errorf("%s again: %v", name, err)
			}
		}
		if ran.Load() != 2 {
			t.Errorf("%d jobs ran", ran.Load())
		}
	})
}

// A job that does not heed its context does not keep the process from ending, and what it still writes is refused.
func TestDrainStubborn(t *testing.T) {
	open := dbtest.SQLite(t)
	migrated(t, open).Close()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		h := newHub(t, d, jobservice.Options{})
		end, finish := make(chan struct{}), make(chan error)
		h.Register("x", jobservice.Spec{Run: func(_ context.Context, task *jobservice.Task) error {
			<-end
			err := task.Finish(context.Background(), func(tx *db.Tx) error { return effect(tx, task, "stubborn") })
			finish <- err
			return err
		}})
		stop := h.start()
		id := h.enqueue(jobservice.Job{Kind: "x"})
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("ending took %s", took)
		}
		if s := h.get(id); s.State != jobservice.Queued || s.Attempts != 0 {
			t.Errorf("got %+v", s)
		}
		close(end)
		if err := <-finish; !errors.Is(err, jobservice.ErrLost) {
			t.Errorf("got %v", err)
		}
		if got := effects(t, d); len(got) > 0 {
			t.Errorf("effects %v", got)
		}
		synctest.Wait()
	})
}
