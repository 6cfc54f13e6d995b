package jobservice

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
)

// Options of New; the zero value is fine.
type Options struct {
	Log  *slog.Logger
	Name string // of this worker in rows and logs; "" is host, process id and something random

	Workers   int           // jobs at once; 0 is 8
	Lease     time.Duration // how long a job is left to a worker that says nothing; 0 is 30 s
	Heartbeat time.Duration // how often a worker says something; 0 is a third of Lease
	Sweep     time.Duration // how often rows are looked through; 0 is 5 s
	Drain     time.Duration // how long running jobs may go on when Run is to end; 0 is 5 s, negative is not at all

	// Backoff is the time from a failed try, the first is 1, to the next. nil doubles from 2 s to 10 min, with jitter.
	Backoff func(attempt int) time.Duration
}

const (
	// abandon is how long a job whose context has ended is waited for when the process ends.
	abandon = 5 * time.Second
	// settle bounds a write that tells how a job ended.
	settle = 10 * time.Second
	// pushTime bounds a push: the row is written already, and the sweeper is there if the queue is not.
	pushTime = 200 * time.Millisecond
	// sweepPushTime is the same for the sweeper, which pushes thousands and keeps nobody waiting.
	sweepPushTime = 3 * time.Second
)

// Runner writes jobs, and while Run is called it runs them too. Register and Every come before Run; the other methods
// may be called concurrently.
type Runner struct {
	db        *db.DB
	queue     queue.Queue
	opt       Options
	log       *slog.Logger
	specs     map[string]Spec
	schedules []*schedule
	metrics   metrics
	claims    claims // made by Run
	crons     []Schedule
	// cronsWritten is used by the sweeper alone.
	cronsWritten bool

	mu       sync.Mutex
	draining bool
	running  map[string]*Task // by id
	queueBad bool             // the queue could not be reached when it was last asked

	beforeBeat func() // of tests: a worker that is stopped
}

// New makes a Runner on a database whose schema is up to date.
func New(d *db.DB, q queue.Queue, opt Options) *Runner {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&opt.Lease, 30*time.Second)
	def(&opt.Heartbeat, opt.Lease/3)
	def(&opt.Sweep, 5*time.Second)
	def(&opt.Drain, 5*time.Second)
	if opt.Workers == 0 {
		opt.Workers = 8
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Name == "" {
		host, _ := os.Hostname()
		opt.Name = fmt.Sprintf("%s:%d:%s", host, os.Getpid(), uuid.NewString()[:8])
	}
	if opt.Backoff == nil {
		opt.Backoff = backoff
	}
	return &Runner{db: d, queue: q, opt: opt, log: opt.Log, specs: map[string]Spec{}, running: map[string]*Task{},
		metrics: newMetrics()}
}

// backoff doubles from 2 s to 10 min; half of it is by chance, so that what failed together does not come together.
func backoff(attempt int) time.Duration {
	d := min(2*time.Second<<min(attempt-1, 16), 10*time.Minute)
	return d/2 + rand.N(d/2)
}

// Register says how jobs of a kind are run here. Jobs of other kinds are left to other processes.
func (r *Runner) Register(kind string, s Spec) {
	if s.Timeout == 0 {
		s.Timeout = DefaultTimeout
	}
	if s.MaxAttempts == 0 {
		s.MaxAttempts = DefaultMaxAttempts
	}
	r.specs[kind] = s
}

// Run runs jobs until ctx ends and those that run have ended: they get Options.Drain to end by themselves, then their
// contexts end, and what has not ended then is queued again for other processes, without counting the try. It is called
// once at a time.
func (r *Runner) Run(ctx context.Context) {
	r.mu.Lock()
	r.draining = false
	r.mu.Unlock()
	r.claims = r.claimSQL()
	var all sync.WaitGroup
	all.Go(func() { r.keepSweeping(ctx) })
	for range r.opt.Workers {
		all.Go(func() { r.work(ctx) })
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	<-ctx.Done()
	if r.opt.Drain < 0 || !within(ended, r.opt.Drain) {
		r.endAll()
		if !within(ended, abandon) {
			r.giveUpAll()
		}
	}
}

func within(ended <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ended:
		return true
	case <-t.C:
		return false
	}
}

// endAll ends the contexts of all running jobs.
func (r *Runner) endAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
	for _, t := range r.running {
		t.cancel(ErrDraining)
	}
}

// giveUpAll queues jobs again that do not heed their context. Whatever they still write is refused by the fence.
func (r *Runner) giveUpAll() {
	r.mu.Lock()
	var left []*Task
	for _, t := range r.running {
		left = append(left, t)
	}
	r.mu.Unlock()
	for _, t := range left {
		r.log.Error("a job does not end when it is told to; it is given to others", "job", t.id, "kind", t.kind)
		r.settleRow(t, r.release)
	}
}

// work is one worker.
func (r *Runner) work(ctx context.Context) {
	for ctx.Err() == nil {
		id, err := r.queue.Pop(ctx)
		if err != nil {
			if ctx.Err() == nil {
				r.queueSays(err)
				wait(ctx, time.Second)
			}
			continue
		}
		r.queueSays(nil)
		if !r.db.ClockSteady() {
			// No lease is taken by a clock that jumps. The sweeper pushes the id again.
			wait(ctx, time.Second)
			continue
		}
		r.take(ctx, id)
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// take claims and runs the job, unless it is somebody else's or has to wait.
func (r *Runner) take(ctx context.Context, id string) {
	base := context.WithoutCancel(core.WithPrincipal(ctx, core.System()))
	t, err := r.claim(base, id)
	switch {
	case err != nil:
		r.log.Warn("a job could not be claimed", "job", id, "error", err)
	case t != nil:
		r.execute(base, t, r.specs[t.kind])
	}
}

// pushIn pushes later what is due before the sweeper comes by.
func (r *Runner) pushIn(d time.Duration, item queue.Item) {
	switch {
	case d <= 0:
		r.push(item)
	case d < r.opt.Sweep:
		time.AfterFunc(d, func() { r.push(item) })
	}
}

// push puts ids into the queue, for somebody who does not wait for it.
func (r *Runner) push(items ...queue.Item) { r.pushWithin(pushTime, items) }

func (r *Runner) pushWithin(d time.Duration, items []queue.Item) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	r.queueSays(r.queue.Push(ctx, items...))
}

// queueSays logs when the queue cannot be reached any more, and when it can again. Rows are swept all the while.
func (r *Runner) queueSays(err error) {
	r.mu.Lock()
	news := r.queueBad != (err != nil)
	r.queueBad = err != nil
	r.mu.Unlock()
	switch {
	case news && err != nil:
		r.log.Warn("the job queue cannot be reached; jobs wait until it can", "error", err)
	case news:
		r.log.Info("the job queue can be reached again")
	}
}

func (r *Runner) queueIsBad() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queueBad
}
