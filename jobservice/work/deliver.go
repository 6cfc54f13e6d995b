package work

import (
	"context"
	"log/slog"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/webhook"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindDispatch finds out who is told of what has happened; no payload. KindDeliver tells somebody; its payload is a webhook.Job.
const (
	KindDispatch = "dispatch-events"
	KindDeliver  = "deliver"
)

// Dispatch runs dispatch, which takes the events that nobody has looked at and tells how many they were.
func Dispatch(dispatch func(ctx context.Context) (int, error)) jobservice.Spec {
	spec := counted("%d events looked at", dispatch)
	spec.Quiet = true // to tell that nobody can be told takes this very job
	return spec
}

// Deliver runs deliver, which ends the job by finish together with what it writes. How often somebody who does not answer is tried is
// its matter: a job ends when it has tried once.
func Deliver(deliver func(ctx context.Context, j webhook.Job, finish func(ctx context.Context, f func(tx *db.Tx) error) error) error) jobservice.Spec {
	return jobservice.Spec{Timeout: time.Minute, MaxRunning: 32, MaxPerTarget: 4, Quiet: true, Run: func(ctx context.Context, t *jobservice.Task) error {
		var j webhook.Job
		if err := t.Decode(&j); err != nil {
			return err
		}
		return deliver(ctx, j, t.Finish)
	}}
}

// EnqueueDelivery makes the job that delivers. There is one for each delivery, and one for what waits for a chat.
// A single delivery that waits for a later attempt comes sooner when somebody wants it again; what waits for a chat waits as long as
// the chat wants.
func EnqueueDelivery(jobs *jobservice.Runner) func(tx *db.Tx, j webhook.Job) error {
	return func(tx *db.Tx, j webhook.Job) error {
		_, err := jobs.Enqueue(tx, jobservice.Job{Kind: KindDeliver, UniqueKey: KindDeliver + " " + j.Webhook + " " + j.Delivery, Payload: j, Target: j.Target, RunAt: j.At, Sooner: j.Delivery != ""})
		return err
	}
}

// EventWaker asks for KindDispatch when something has happened, here or in another process.
type EventWaker struct {
	store *store.Store
	jobs  *jobservice.Runner
	log   *slog.Logger
	told  chan struct{}
}

// NewEventWaker makes a waker. Make it before the database follows other processes (db.DB.Follow).
func NewEventWaker(s *store.Store, jobs *jobservice.Runner, log *slog.Logger) *EventWaker {
	w := &EventWaker{store: s, jobs: jobs, log: log, told: make(chan struct{}, 1)}
	s.DB().Subscribe(func(changes []db.Change) {
		for _, c := range changes {
			if c.Kind == store.ChangeEvent || c.Kind == "" {
				select {
				case w.told <- struct{}{}:
				default:
				}
				return
			}
		}
	})
	return w
}

// Run asks until ctx ends.
func (w *EventWaker) Run(ctx context.Context) {
	ctx = core.WithPrincipal(ctx, core.System())
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.told:
			next.Reset(gather)
			continue
		case <-next.C:
		}
		wait, err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("it could not be found out whether something has happened", "error", err)
			wait = idle
		}
		next.Reset(wait)
	}
}

// look asks for the job if there is something new, and says when to look again.
func (w *EventWaker) look(ctx context.Context) (time.Duration, error) {
	fresh, err := w.store.NewEvents(ctx, 1)
	if err != nil || len(fresh) == 0 {
		return idle, err
	}
	return lookAgain, w.store.DB().Write(ctx, func(tx *db.Tx) error {
		_, err := w.jobs.Enqueue(tx, jobservice.Job{Kind: KindDispatch, UniqueKey: KindDispatch})
		return err
	})
}
