package jobservice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core/db"
)

// progressInterval is how often progress is written at most.
const progressInterval = time.Second

// messageLimit is how many bytes of a message or an error are kept.
const messageLimit = 1024

// Task is one try of one job. Its methods may be called concurrently.
type Task struct {
	r        *Runner
	id, kind string
	target   string
	priority int64
	payload  string
	attempt  int
	attempts int // there are at most
	fence    int64
	cancel   context.CancelCauseFunc

	slots []string // that the claim took
	lines lines

	mu       sync.Mutex
	until    time.Time   // the lease, by this machine's monotonic clock
	lease    *time.Timer // ends the context at until
	progress progress
	finished bool
	told     chan struct{} // there is something to write
}

// progress is how far a job is.
type progress struct {
	percent     int
	message     string
	done, total int64
}

// ID is the job's.
func (t *Task) ID() string { return t.id }

// Attempt is the number of this try; the first is 1.
func (t *Task) Attempt() int { return t.attempt }

// Fence tells this try from all others of the job.
func (t *Task) Fence() int64 { return t.fence }

// Decode reads the payload into the struct that v points to. A field that v does not have is an error, which is
// Permanent.
func (t *Task) Decode(v any) error {
	d := json.NewDecoder(strings.NewReader(t.payload))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return Permanent(fmt.Errorf("the payload is not what a job of kind %s has: %w", t.kind, err))
	}
	if _, err := d.Token(); err != io.EOF {
		return Permanent(fmt.Errorf("the payload of a job of kind %s has something behind it", t.kind))
	}
	return nil
}

// Progress says how far the job is, in percent, and what it is doing. It is written at most once a second.
func (t *Task) Progress(percent int, message string) {
	t.tell(progress{percent: max(0, min(percent, 100)), message: clip(message)})
}

// Count is Progress for what can be counted: done of total, which is 0 as long as nobody knows.
func (t *Task) Count(done, total int64, message string) {
	p := progress{message: clip(message), done: max(0, done), total: max(0, total)}
	if p.total > 0 {
		p.done = min(p.done, p.total)
		p.percent = int(float64(p.done) / float64(p.total) * 100)
	}
	t.tell(p)
}

func (t *Task) tell(p progress) {
	t.mu.Lock()
	t.progress = p
	t.mu.Unlock()
	t.wake()
}

// wake lets what is new be written soon.
func (t *Task) wake() {
	select {
	case t.told <- struct{}{}:
	default:
	}
}

// Write runs f in a transaction that is committed only if this try still has the job; else the error is ErrLost and
// nothing was written. It renews the lease. What holds for db.DB.Write holds for f.
func (t *Task) Write(ctx context.Context, f func(tx *db.Tx) error) error {
	began := time.Now()
	err := t.r.db.Write(ctx, func(tx *db.Tx) error {
		if err := t.r.renew(tx, t); err != nil {
			return err
		}
		return f(tx)
	})
	if err == nil {
		t.renewed(began)
	}
	return err
}

// Finish ends the job as done and runs f, which may be nil, in the same transaction: both happen or neither. If this
// try has lost the job the error is ErrLost, and f's writes did not happen. Run returns after it.
func (t *Task) Finish(ctx context.Context, f func(tx *db.Tx) error) error {
	err := t.r.finish(ctx, t, f)
	if err == nil {
		t.mu.Lock()
		t.finished = true
		t.mu.Unlock()
	}
	return err
}

func (t *Task) isFinished() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.finished
}

// report is the progress to be written.
func (t *Task) report() progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.progress
}

// renewed notes that the lease counts from began, which is before it was written.
func (t *Task) renewed(began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := began.Add(t.r.opt.Lease); u.After(t.until) {
		t.until = u
	}
	if t.lease != nil {
		t.lease.Reset(time.Until(t.until))
	}
}

// watch ends the task's context when the lease runs out. stop ends watching.
func (t *Task) watch() (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lease = time.AfterFunc(time.Until(t.until), func() { t.cancel(ErrLost) })
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.lease.Stop()
		t.lease = nil
	}
}

// execute runs a claimed job to the end of this try.
func (r *Runner) execute(base context.Context, t *Task, spec Spec) {
	ctx, cancel := context.WithCancelCause(base)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, spec.Timeout, errTimeout)
	defer stop()
	t.cancel = cancel
	r.mu.Lock()
	r.running[t.id] = t
	if r.draining {
		cancel(ErrDraining) // it was claimed while the others were told
	}
	r.mu.Unlock()

	log := r.log.With("job", t.id, "kind", t.kind, "attempt", t.attempt)
	stopWatch := t.watch()
	beats, endBeats := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() { t.beat(beats) })
	began := time.Now()
	err := t.call(ctx, spec)
	cause := context.Cause(ctx)
	endBeats()
	beating.Wait()
	stopWatch()

	result := t.result(cause, err)
	r.metrics.ended(t.kind, result, time.Since(began))
	r.settle(t, spec, result, cause, err)
	r.mu.Lock()
	delete(r.running, t.id)
	r.mu.Unlock()
	if len(t.slots) > 0 {
		r.refill(t.kind)
	}
	if err == nil {
		log.Debug("job done", "took", time.Since(began))
	} else {
		log.Warn("job not done", "took", time.Since(began), "error", err, "cause", cause)
	}
}

// call calls Run. A panic is an error, of this job alone.
func (t *Task) call(ctx context.Context, spec Spec) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.r.log.Error("panic in a job", "job", t.id, "kind", t.kind, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := spec.Run(ctx, t); err != nil || t.isFinished() {
		return err
	}
	return t.Finish(ctx, nil)
}

// beat renews the lease and writes progress until ctx ends. It ends the task's context when another worker has the job
// or somebody cancelled it.
func (t *Task) beat(ctx context.Context) {
	next := time.NewTimer(t.r.opt.Heartbeat)
	defer next.Stop()
	written := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.told:
			if due := progressInterval - time.Since(written); due < t.r.opt.Heartbeat {
				next.Reset(max(due, 0))
			}
			continue
		case <-next.C:
		}
		if f := t.r.beforeBeat; f != nil {
			f()
		}
		written = time.Now()
		cancelled, err := t.r.beat(ctx, t)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrLost), cancelled:
			if err == nil {
				err = ErrCancelled
			}
			t.cancel(err)
			return
		case err != nil:
			t.r.log.Warn("the lease of a job could not be renewed", "job", t.id, "kind", t.kind, "error", err)
		default:
			t.renewed(written)
		}
		next.Reset(t.r.opt.Heartbeat)
	}
}

// clip makes text fit for a row: valid, without control characters, and not too long.
func clip(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			return ' '
		}
		return c
	}, s)
	if len(s) <= messageLimit {
		return s
	}
	b := []byte(s)[:messageLimit]
	for !utf8.Valid(b) {
		b = b[:len(b)-1]
	}
	return string(bytes.TrimSpace(b)) + ".."
}
