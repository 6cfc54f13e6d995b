// Jobbench is a worker process that measures itself: how many empty jobs a second go through a queue, and how long a claim
// takes while many others wait. It appends lines of JSON that regbench reads.
//
//	jobbench -db sqlite:///tmp/jobs.db -redis redis://127.0.0.1:6379 -out results.jsonl
//
// The database is its own: empty or left by an earlier run.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
	"github.com/hallmarkhub/hallmark/jobservice/queue/memory"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redis"
	"github.com/hallmarkhub/hallmark/migrations"
)

var (
	address  = flag.String("db", "", "database: sqlite:///path or postgres://..")
	redisURL = flag.String("redis", "", "queue: redis://..; empty is in memory")
	out      = flag.String("out", "", "file that results are appended to; empty is standard output")
	label    = flag.String("label", "hallmark", "name of the server in the results")
	suffix   = flag.String("suffix", "", "what is appended to the names of the tests")
	jobs     = flag.Int("jobs", 10_000, "empty jobs")
	waiting  = flag.Int("waiting", 100_000, "jobs that wait while claims are timed")
	claims   = flag.Int("claims", 2_000, "claims that are timed")
	workers  = flag.Int("workers", 8, "jobs at once")
	run      = flag.Int("run", 1, "number of the run")
)

func main() {
	flag.Parse()
	if err := bench(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "jobbench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context) error {
	d, err := db.Open(ctx, *address, db.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	if err := migrations.Up(ctx, d); err != nil {
		return err
	}
	var q queue.Queue = memory.New()
	if *redisURL != "" {
		s, err := redis.Open(ctx, *redisURL)
		if err != nil {
			return err
		}
		defer s.Close()
		q = s.Queue("bench-" + store.NewID())
	}
	for name, measure := range map[string]func(context.Context, *db.DB, queue.Queue) (map[string]float64, error){
		"jobs": throughput, "claim": claiming,
	} {
		m, err := measure(ctx, d, q)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := emit(name+*suffix, m); err != nil {
			return err
		}
	}
	return nil
}

func emit(test string, m map[string]float64) error {
	line, err := json.Marshal(map[string]any{"label": *label, "test": test, "run": *run, "m": m})
	if err != nil || *out == "" {
		fmt.Println(string(line))
		return err
	}
	f, err := os.OpenFile(*out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(append(line, '\n'))
	return err
}

// enqueue writes n jobs of a kind, many in a transaction.
func enqueue(ctx context.Context, d *db.DB, r *jobservice.Runner, kind string, n int, at time.Time) error {
	for n > 0 {
		batch := min(n, 1000)
		err := d.Write(ctx, func(tx *db.Tx) error {
			for range batch {
				if _, err := r.Enqueue(tx, jobservice.Job{Kind: kind, RunAt: at}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		n -= batch
	}
	return nil
}

// worked runs jobs of a kind until n have run, and returns how long that took.
func worked(ctx context.Context, r *jobservice.Runner, kind string, n int, each func(id string)) time.Duration {
	ctx, end := context.WithCancel(ctx)
	var left sync.WaitGroup
	left.Add(n)
	r.Register(kind, jobservice.Spec{Run: func(_ context.Context, t *jobservice.Task) error {
		defer left.Done()
		each(t.ID())
		return nil
	}})
	began := time.Now()
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	left.Wait()
	took := time.Since(began)
	end()
	running.Wait()
	return took
}

// throughput works off empty jobs and makes sure that each was done by its first try.
func throughput(ctx context.Context, d *db.DB, q queue.Queue) (map[string]float64, error) {
	kind := "bench-" + store.NewID()
	r := jobservice.New(d, q, jobservice.Options{Workers: *workers})
	if err := enqueue(ctx, d, r, kind, *jobs, time.Time{}); err != nil {
		return nil, err
	}
	cpu := cpuTime()
	took := worked(ctx, r, kind, *jobs, func(string) {})
	cpu = cpuTime() - cpu
	var done, tries int
	err := d.QueryRow(ctx, `SELECT count(*), coalesce(sum(attempts), 0) FROM job WHERE kind = $1 AND state = 'done'`, kind).Scan(&done, &tries)
	if err == nil && (done != *jobs || tries != *jobs) {
		err = fmt.Errorf("%d of %d jobs are done, after %d tries", done, *jobs, tries)
	}
	return map[string]float64{"ops": float64(*jobs), "secs": took.Seconds(), "ops_s": float64(*jobs) / took.Seconds(),
		"wall_us_op": float64(took.Microseconds()) / float64(*jobs), "cpu_us_op": float64(cpu.Microseconds()) / float64(*jobs)}, err
}

// clocked notes when an id was popped: from there to the job's first line it takes a claim.
type clocked struct {
	queue.Queue
	mu sync.Mutex
	at map[string]time.Time
}

func (c *clocked) Pop(ctx context.Context) (string, error) {
	id, err := c.Queue.Pop(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[id] = time.Now()
	return id, err
}

// claiming times claims by one worker while others wait that are due too.
func claiming(ctx context.Context, d *db.DB, q queue.Queue) (map[string]float64, error) {
	kind := "bench-" + store.NewID()
	timed := &clocked{Queue: q, at: map[string]time.Time{}}
	// Who only writes jobs pushes them into a queue that nobody pops: what is timed is found by the sweeper.
	writer := jobservice.New(d, memory.New(), jobservice.Options{})
	if err := enqueue(ctx, d, writer, kind, *waiting, time.Time{}); err != nil {
		return nil, err
	}
	r := jobservice.New(d, timed, jobservice.Options{Workers: 1})
	var took []time.Duration
	ctx, end := context.WithCancel(ctx)
	r.Register(kind, jobservice.Spec{Run: func(_ context.Context, t *jobservice.Task) error {
		now := time.Now()
		timed.mu.Lock()
		defer timed.mu.Unlock()
		if took = append(took, now.Sub(timed.at[t.ID()])); len(took) >= *claims {
			end()
		}
		return nil
	}})
	r.Run(ctx)
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	m := map[string]float64{"items": float64(*waiting), "ops": float64(len(took)), "p50_ms": at(0.5), "p99_ms": at(0.99)}
	return m, d.Write(context.WithoutCancel(ctx), func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM job WHERE kind = $1`, kind)
		return err
	})
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
