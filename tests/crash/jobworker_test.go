//go:build crash && linux

package crash

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redis"
)

// The kinds that the workers of these tests know, besides those of the hub.
const (
	kindEffect = "effect" // writes one row in the transaction that ends it
	kindCapped = "capped" // likewise, but few at once
	kindError  = "error"  // fails
	kindDeadly = "deadly" // takes its worker with it
)

// capped is how many jobs of kindCapped may run at once in all workers.
const capped = 4

const (
	workerDB    = "CRASH_WORKER_DB"
	workerRedis = "CRASH_WORKER_REDIS"
	lease       = 3 * time.Second
)

// workerMain is a worker process of a hub: the runner of jobs as the hub has it, with quicker times and kinds of its own.
func workerMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := runWorker(ctx, log); err != nil {
		log.Error("the worker ended", "error", err)
		return 1
	}
	return 0
}

func runWorker(ctx context.Context, log *slog.Logger) error {
	d, err := db.Open(ctx, os.Getenv(workerDB), db.Options{Log: log})
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Follow(ctx); err != nil {
		return err
	}
	r, s, err := openJobs(ctx, d, os.Getenv(workerRedis), log)
	if err != nil {
		return err
	}
	defer s.Close()
	r.Run(ctx)
	return nil
}

// register says how jobs are run. Who only writes them has to know as well: how many tries a job has is in its row.
func register(r *jobservice.Runner) {
	effect := func(ctx context.Context, t *jobservice.Task) error {
		t.Log("begun")
		pause(ctx, time.Duration(rand.IntN(150))*time.Millisecond)
		if err := context.Cause(ctx); err != nil {
			return err
		}
		return t.Finish(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO effect (job) VALUES ($1)`, t.ID())
			return err
		})
	}
	r.Register(kindEffect, jobservice.Spec{MaxAttempts: 50, Run: effect})
	r.Register(kindCapped, jobservice.Spec{MaxAttempts: 50, MaxRunning: capped, Run: effect})
	r.Register(kindError, jobservice.Spec{MaxAttempts: 8, Run: func(context.Context, *jobservice.Task) error { return errors.New("poison") }})
	r.Register(kindDeadly, jobservice.Spec{MaxAttempts: 2, Run: func(context.Context, *jobservice.Task) error {
		os.Exit(9)
		return nil
	}})
}

// openJobs makes a runner on the queue of the hub whose database this is. A Redis that is down just now is waited for.
func openJobs(ctx context.Context, d *db.DB, address string, log *slog.Logger) (*jobservice.Runner, *redis.Server, error) {
	id, err := store.New(d).HubID(ctx)
	if err != nil {
		return nil, nil, err
	}
	redis.LogTo(slog.New(slog.DiscardHandler))
	for {
		s, err := redis.Open(ctx, address)
		if err == nil {
			r := jobservice.New(d, s.Queue(id), jobservice.Options{Log: log, Lease: lease, Sweep: time.Second,
				Backoff: func(int) time.Duration { return 200 * time.Millisecond }})
			register(r)
			return r, s, nil
		}
		if ctx.Err() != nil {
			return nil, nil, err
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// jobWorker is one process after the other: one that dies is started again, as an operator's supervisor does.
type jobWorker struct {
	proc atomic.Pointer[process]
	end  atomic.Bool
	done sync.WaitGroup
}

func startWorker(t testing.TB, h *hub, database, address string) *jobWorker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &jobWorker{}
	launchOne := func() *process {
		cmd := h.child(self)
		cmd.Env = append(os.Environ(), role+"=worker", workerDB+"="+database, workerRedis+"="+address)
		p, err := launch(cmd)
		if err != nil {
			t.Error(err)
			return nil
		}
		w.proc.Store(p)
		return p
	}
	p := launchOne()
	w.done.Go(func() {
		for p != nil {
			<-p.gone
			if w.end.Load() {
				return
			}
			p = launchOne()
		}
	})
	t.Cleanup(func() {
		w.end.Store(true)
		if p := w.proc.Load(); p != nil {
			w.signal(syscall.SIGCONT)
			p.kill()
		}
		w.done.Wait()
	})
	return w
}

// signal sends a signal to the process that runs now.
func (w *jobWorker) signal(sig syscall.Signal) {
	p := w.proc.Load()
	if !p.ended() {
		_ = syscall.Kill(p.pid, sig)
	}
}
