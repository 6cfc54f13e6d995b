package jobservice_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
	"github.com/hallmarkhub/hallmark/jobservice/queue/memory"
)

func TestRuns(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		type payload struct{ Name string }
		h.Register("greet", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
			var p payload
			if err := task.Decode(&p); err != nil {
				return err
			}
			if task.Attempt() != 1 || core.PrincipalFrom(ctx).Kind != core.KindSystem {
				t.Errorf("attempt %d as %s", task.Attempt(), core.PrincipalFrom(ctx).Kind)
			}
			task.Progress(50, "half")
			return task.Finish(ctx, func(tx *db.Tx) error { return effect(tx, task, p.Name) })
		}})
		before := h.enqueue(jobservice.Job{Kind: "greet", Payload: payload{"before"}})
		h.start()
		after := h.enqueue(jobservice.Job{Kind: "greet", Payload: payload{"after"}})
		for _, id := range []string{before, after} {
			s := h.untilState(id, jobservice.Done)
			if s.Attempts != 1 || s.Progress != 100 || s.Message != "half" || s.Error != "" || s.FinishedAt.Before(s.StartedAt) ||
				s.StartedAt.Before(s.CreatedAt) || s.Worker == "" {
				t.Errorf("got %+v", s)
			}
		}
		if got := effects(t, d); !slices.Equal(got, []string{"after", "before"}) {
			t.Errorf("effects %v", got)
		}
	})
}

// A job whose cause is rolled back does not exist.
func TestEnqueueRolledBack(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		var id string
		err := d.Write(t.Context(), func(tx *db.Tx) error {
			var err error
			if id, err = h.Enqueue(tx, jobservice.Job{Kind: "x"}); err != nil {
				return err
			}
			return errMine
		})
		if !errors.Is(err, errMine) {
			t.Fatal(err)
		}
		if _, err := jobservice.Get(t.Context(), d, id); core.CodeOf(err) != core.CodeNotFound {
			t.Errorf("got %v", err)
		}
	})
}

func TestEnqueueRefuses(t *testing.T) {
	h := newHub(t, migrated(t, dbtest.SQLite(t)), quick())
	for name, j := range map[string]jobservice.Job{
		"no kind":   {},
		"no JSON":   {Kind: "x", Payload: struct{ C chan int }{make(chan int)}},
		"priority":  {Kind: "x", Priority: queue.MaxPriority + 1},
		"low":       {Kind: "x", Priority: -queue.MaxPriority - 1},
		"target":    {Kind: "x", Target: strings.Repeat("x", 256)},
		"too large": {Kind: "x", Payload: struct{ S string }{strings.Repeat("x", 64<<10)}},
	} {
		err := h.db.Write(t.Context(), func(tx *db.Tx) error {
			_, err := h.Enqueue(tx, j)
			return err
		})
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, j := range []jobservice.Job{{Kind: "x", Priority: queue.MaxPriority}, {Kind: "x", Priority: -queue.MaxPriority},
		{Kind: "x", Target: strings.Repeat("x", 255)}, {Kind: "x", Payload: struct{ S string }{strings.Repeat("x", 64<<10-len(`{"S":""}`))}}} {
		h.enqueue(j)
	}
}

// One unfinished job has a unique key, also when many want it at once.
func TestUniqueKey(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		h.Register("x", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
		ids := make([]string, 8)
		var done sync.WaitGroup
		for i := range ids {
			done.Go(func() { ids[i] = h.enqueue(jobservice.Job{Kind: "x", UniqueKey: "k"}) })
		}
		done.Wait()
		if len(slices.Compact(ids)) != 1 {
			t.Errorf("several jobs: %v", ids)
		}
		other := h.enqueue(jobservice.Job{Kind: "x", UniqueKey: "l"})
		h.start()
		h.untilState(ids[0], jobservice.Done)
		h.untilState(other, jobservice.Done)
		if again := h.enqueue(jobservice.Job{Kind: "x", UniqueKey: "k"}); again == ids[0] {
			t.Error("a finished job keeps its key")
		}
	})
}

func TestPriorityAndRunAt(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		opt := quick()
		opt.Workers = 1
		h := newHub(t, d, opt)
		var mu sync.Mutex
		var order []string
		h.Register("x", jobservice.Spec{Run: func(_ context.Context, task *jobservice.Task) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, task.ID())
			return nil
		}})
		later := h.enqueue(jobservice.Job{Kind: "x", Priority: 100, RunAt: d.Now().Add(300 * time.Millisecond)})
		low := h.enqueue(jobservice.Job{Kind: "x"})
		high := h.enqueue(jobservice.Job{Kind: "x", Priority: 5})
		h.start()
		s := h.untilState(later, jobservice.Done)
		h.untilState(low, jobservice.Done)
		if want := []string{high, low, later}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		if s.StartedAt.Before(s.RunAt) {
			t.Errorf("ran at %s, before %s", s.StartedAt, s.RunAt)
		}
	})
}

func TestFailures(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		var mended atomic.Int32
		for kind, run := range map[string]func(ctx context.Context, task *jobservice.Task) error{
			"error":     func(context.Context, *jobservice.Task) error { return errors.New("out of order\x1b[1m\n") },
			"panic":     func(context.Context, *jobservice.Task) error { panic("oh") },
			"permanent": func(context.Context, *jobservice.Task) error { return jobservice.Permanent(errMine) },
			"payload":   func(_ context.Context, task *jobservice.Task) error { return task.Decode(&struct{ Other int }{}) },
			"slow":      func(ctx context.Context, _ *jobservice.Task) error { <-ctx.Done(); return ctx.Err() },
			"mended": func(context.Context, *jobservice.Task) error {
				if mended.Add(1) < 3 {
					return errMine
				}
				return nil
			},
			"finish refused": func(ctx context.Context, task *jobservice.Task) error {
				return task.Finish(ctx, func(tx *db.Tx) error {
					return errors.Join(effect(tx, task, "refused"), errMine)
				})
			},
		} {
			h.Register(kind, jobservice.Spec{Run: run, MaxAttempts: 3, Timeout: 200 * time.Millisecond})
		}
		h.start()
		for _, c := range []struct {
			kind     string
			state    jobservice.State
			attempts int
			says     string
		}{
			{"error", jobservice.Dead, 3, "out of order [1m"},
			{"panic", jobservice.Dead, 3, "panic: oh"},
			{"permanent", jobservice.Failed, 1, "mine"},
			{"payload", jobservice.Failed, 1, "payload"},
			{"slow", jobservice.Dead, 3, "not done after 200ms"},
			{"mended", jobservice.Done, 3, ""},
			{"finish refused", jobservice.Dead, 3, "mine"},
		} {
			id := h.enqueue(jobservice.Job{Kind: c.kind, Payload: struct{ Name string }{"n"}})
			s := h.untilState(id, c.state)
			if s.Attempts != c.attempts || !strings.Contains(s.Error, c.says) || (c.says == "") != (s.Error == "") || s.FinishedAt.IsZero() {
				t.Errorf("%s: %+v", c.kind, s)
			}
		}
		if got := effects(t, d); len(got) > 0 {
			t.Errorf("a finish that was refused left %v", got)
		}
	})
}

// A poison job does not keep others waiting, and is dead after eight tries with growing time between them.
func TestBackoff(t *testing.T) {
	open := dbtest.SQLite(t)
	d := migrated(t, open)
	d.Close()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, open(t), jobservice.Options{})
		var tries []time.Time
		h.Register("poison", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error {
			tries = append(tries, time.Now())
			return errMine
		}})
		id := h.enqueue(jobservice.Job{Kind: "poison"})
		h.start()
		for {
			pass(time.Second)
			if s := h.get(id); s.State == jobservice.Dead {
				break
			}
		}
		if len(tries) != jobservice.DefaultMaxAttempts {
			t.Fatalf("%d tries", len(tries))
		}
		for i := 1; i < len(tries); i++ {
			full := min(2*time.Second<<(i-1), 10*time.Minute)
			if got := tries[i].Sub(tries[i-1]); got < full/2 || got > full+100*time.Millisecond {
				t.Errorf("try %d came %s after the one before, want %s to %s", i+1, got, full/2, full)
			}
		}
	})
}

// The queue is lost: the rows are enough.
func TestQueueLost(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		lossy := &forgetfulQueue{Queue: memory.New(), lose: 20}
		h.Runner = jobservice.New(d, lossy, quick())
		h.Register("x", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
		var ids []string
		for range 20 {
			ids = append(ids, h.enqueue(jobservice.Job{Kind: "x"}))
		}
		h.start()
		for _, id := range ids {
			h.untilState(id, jobservice.Done)
		}
	})
}

// A queue that cannot be reached fails no transaction.
func TestQueueUnreachable(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := &hub{t: t, db: d, Runner: jobservice.New(d, deafQueue{}, quick())}
		h.Register("x", jobservice.Spec{})
		h.start()
		if s := h.get(h.enqueue(jobservice.Job{Kind: "x"})); s.State != jobservice.Queued {
			t.Errorf("got %+v", s)
		}
	})
}

// Kinds of which this process knows nothing are left to others.
func TestUnknownKind(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		h.Register("known", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
		other := h.enqueue(jobservice.Job{Kind: "unknown", Priority: 10})
		h.start()
		h.untilState(h.enqueue(jobservice.Job{Kind: "known"}), jobservice.Done)
		if s := h.get(other); s.State != jobservice.Queued || s.Attempts != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestProgressIsWritten(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		h := newHub(t, d, quick())
		end := make(chan struct{})
		h.Register("x", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
			task.Progress(250, "at work\n")
			task.Progress(42, "at work\n")
			<-end
			return nil
		}})
		h.start()
		id := h.enqueue(jobservice.Job{Kind: "x"})
		h.until(id, func(s *jobservice.Status) bool { return s.Progress == 42 && s.Message == "at work " })
		close(end)
		h.untilState(id, jobservice.Done)
	})
}

// Between heartbeats progress is written at most once a second.
func TestProgressIsThrottled(t *testing.T) {
	open := dbtest.SQLite(t)
	migrated(t, open).Close()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		h := newHub(t, d, jobservice.Options{})
		end := make(chan struct{})
		h.Register("x", jobservice.Spec{Run: func(_ context.Context, task *jobservice.Task) error {
			for i := range 500 {
				task.Progress(i/5, "")
				pass(10 * time.Millisecond)
			}
			<-end
			return nil
		}})
		id := h.enqueue(jobservice.Job{Kind: "x"})
		h.start()
		synctest.Wait()
		var rec db.Recorder
		d.Record(&rec)
		pass(5 * time.Second)
		synctest.Wait()
		d.Record(nil)
		writes := 0
		for _, q := range rec.Take() {
			if strings.Contains(q, "progress = $4") {
				writes++
			}
		}
		if writes < 4 || writes > 6 {
			t.Errorf("%d writes in 5 s", writes)
		}
		if s := h.get(id); s.Progress < 75 {
			t.Errorf("progress %d", s.Progress)
		}
		close(end)
	})
}

// While the clock jumps nothing is claimed and no lease is taken back.
func TestClockNotSteady(t *testing.T) {
	address := dbtest.SQLiteURL(t)
	synctest.Test(t, func(t *testing.T) {
		var step atomic.Int64
		wall := func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
		d, err := db.Open(t.Context(), address, db.Options{Wall: wall})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		migrated(t, func(testing.TB) *db.DB { return d })
		if err := d.Follow(t.Context()); err != nil {
			t.Fatal(err)
		}
		h := newHub(t, d, jobservice.Options{})
		end := make(chan struct{})
		h.Register("long", jobservice.Spec{Run: func(ctx context.Context, _ *jobservice.Task) error {
			select {
			case <-end:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}})
		h.Register("x", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { return nil }})
		stop := h.start()
		defer stop()
		long := h.enqueue(jobservice.Job{Kind: "long"})
		pass(15 * time.Second)
		step.Store(int64(time.Hour))
		pass(6 * time.Second) // measured at 20 s
		if d.ClockSteady() {
			t.Fatal("the clock is steady")
		}
		id := h.enqueue(jobservice.Job{Kind: "x"})
		pass(3 * time.Second)
		if s := h.get(id); s.State != jobservice.Queued {
			t.Errorf("claimed while the clock jumps: %+v", s)
		}
		pass(12 * time.Second) // measured again at 30 s
		if s := h.get(id); s.State != jobservice.Done {
			t.Errorf("not run afterwards: %+v", s)
		}
		pass(2 * time.Minute)
		if s := h.get(long); s.State != jobservice.Running || s.Attempts != 1 {
			t.Errorf("a worker that is alive lost its job: %+v", s)
		}
		close(end)
		pass(time.Second)
		if s := h.get(long); s.State != jobservice.Done {
			t.Errorf("got %+v", s)
		}
	})
}

// Schedules: one job for each slot, however many processes there are.
func TestEvery(t *testing.T) {
	open := dbtest.SQLite(t)
	migrated(t, open).Close()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		var ran atomic.Int32
		for range 3 {
			h := newHub(t, d, jobservice.Options{})
			h.Register("tidy", jobservice.Spec{Run: func(context.Context, *jobservice.Task) error { ran.Add(1); return nil }})
			h.Every("tidy", time.Minute)
			h.start()
		}
		// The bubble begins at midnight: now and at the beginning of the next ten minutes.
		pass(10*time.Minute + 30*time.Second)
		synctest.Wait()
		if ran.Load() != 11 {
			t.Errorf("ran %d times in 11 slots", ran.Load())
		}
	})
}

func TestEveryManyRunners(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB) {
		for range 4 {
			h := newHub(t, d, quick())
			h.Register("tidy", jobservice.Spec{Run: func(ctx context.Context, task *jobservice.Task) error {
				return task.Finish(ctx, func(tx *db.Tx) error {
					return effect(tx, task, fmt.Sprint(d.Now().Unix()))
				})
			}})
			h.Every("tidy", time.Second)
			h.start()
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for began := time.Now(); len(effects(t, d)) < 3; <-tick.C {
			if time.Since(began) > limit {
				t.Fatal("no jobs")
			}
		}
		got := effects(t, d)
		if len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("a slot ran twice: %v", got)
		}
	})
}

func TestClip(t *testing.T) {
	long := strings.Repeat("ä", 2000)
	if got := jobservice.Clip(long); len(got) > 1030 || !strings.HasPrefix(long, strings.TrimSuffix(got, "..")) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := jobservice.Clip("a\x00b\xffc\r\n"); got != "a b c  " {
		t.Errorf("%q", got)
	}
}
