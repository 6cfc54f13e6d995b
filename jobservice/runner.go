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

	mu       sync.Mutex
	draining bool
	running  map[string]*Task // by id
	rooms    map[string]*room // by kind, of kinds with MaxRunning

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
		rooms: map[string]*room{}}
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
				r.log.Warn("the job queue cannot be reached", "error", err)
				wait(ctx, time.Second)
			}
			continue
		}
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
	item := queue.Item{ID: id}
	kind, err := r.look(ctx, &item)
	if err != nil {
		r.log.Warn("a job could not be looked at", "job", id, "error", err)
		return
	}
	spec, ours := r.specs[kind]
	if !ours || !r.reserve(kind, spec, item) {
		return
	}
	defer r.unreserve(kind, spec)
	base := context.WithoutCancel(core.WithPrincipal(ctx, core.System()))
	t, err := r.claim(base, id)
	if err != nil {
		r.log.Warn("a job could not be claimed", "job", id, "kind", kind, "error", err)
		return
	}
	if t != nil {
		r.execute(base, t, spec)
	}
}

// room counts the running jobs of a kind and keeps the ids that wait for one of them to end. It is only a quicker way:
// the sweeper pushes again what is forgotten here.
type room struct {
	most   int // Spec.MaxRunning
	busy   int
	parked []queue.Item
	known  map[string]bool // ids in parked
}

// parks says whether an id is better left to the job that ends next than looked at now. Where there is room it is not:
// what was parked last may have been run elsewhere meanwhile, and then no job that ends here brings back the others.
func (m *room) parks(id string) bool { return m.busy >= m.most && m.known[id] }

// parkedBatch is how many parked ids are looked at when one job ends: some may have been run elsewhere meanwhile.
const parkedBatch = 16

// reserve counts one more running job of a kind, or parks the id if there are as many as may be.
func (r *Runner) reserve(kind string, spec Spec, item queue.Item) bool {
	if spec.MaxRunning == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.rooms[kind]
	if m == nil {
		m = &room{most: spec.MaxRunning, known: map[string]bool{}}
		r.rooms[kind] = m
	}
	if m.busy < m.most {
		m.busy++
		return true
	}
	if !m.known[item.ID] {
		m.known[item.ID] = true
		m.parked = append(m.parked, item)
	}
	return false
}

// unreserve counts one less and gives the queue back what waited for it.
func (r *Runner) unreserve(kind string, spec Spec) {
	if spec.MaxRunning == 0 {
		return
	}
	r.mu.Lock()
	m := r.rooms[kind]
	m.busy--
	n := min(len(m.parked), parkedBatch)
	next := m.parked[:n:n]
	m.parked = m.parked[n:]
	for _, it := range next {
		delete(m.known, it.ID)
	}
	r.mu.Unlock()
	if n > 0 {
		r.push(next...)
	}
}

// notParked leaves out what waits for a job of its kind to end. kinds are those of the items.
func (r *Runner) notParked(items []queue.Item, kinds []string) []queue.Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := items[:0]
	for i, item := range items {
		if m := r.rooms[kinds[i]]; m == nil || !m.parks(item.ID) {
			out = append(out, item)
		}
	}
	return out
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

func (r *Runner) push(items ...queue.Item) {
	ctx, cancel := context.WithTimeout(context.Background(), pushTime)
	defer cancel()
	if err := r.queue.Push(ctx, items...); err != nil {
		r.log.Warn("jobs could not be put into the queue; the sweeper will", "jobs", len(items), "error", err)
	}
}
