package work

import (
	"context"
	"log/slog"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindAttachVerdicts states, replaces and removes verdicts about manifests that became owed. No payload.
const KindAttachVerdicts = "attach-verdicts"

// AttachVerdicts runs attach, which takes what is due and tells how many manifests it looked at. What fails is due again
// later, and so the job has no attempts of its own.
func AttachVerdicts(attach func(ctx context.Context) (int, error)) jobservice.Spec {
	spec := counted("%d looked at", attach)
	spec.MaxAttempts = 1
	return spec
}

const (
	// gather is waited for what comes with the first change: a push is several.
	gather = 200 * time.Millisecond
	// lookAgain is after how long a job that was asked for should have taken what was due; idle how long nothing is looked for.
	lookAgain = time.Second
	idle      = time.Minute
)

// VerdictWaker asks for the job when verdicts are due, and for none otherwise.
type VerdictWaker struct {
	store *store.Store
	jobs  *jobservice.Runner
	log   *slog.Logger
	owed  chan struct{}
}

// NewVerdictWaker makes a waker. Make it before the database follows other processes (db.DB.Follow).
func NewVerdictWaker(s *store.Store, jobs *jobservice.Runner, log *slog.Logger) *VerdictWaker {
	w := &VerdictWaker{store: s, jobs: jobs, log: log, owed: make(chan struct{}, 1)}
	s.DB().Subscribe(func(changes []db.Change) {
		for _, c := range changes {
			if c.Kind == store.ChangeVerdict || c.Kind == "" {
				select {
				case w.owed <- struct{}{}:
				default:
				}
				return
			}
		}
	})
	return w
}

// Run asks until ctx ends.
func (w *VerdictWaker) Run(ctx context.Context) {
	ctx = core.WithPrincipal(ctx, core.System())
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.owed:
			next.Reset(gather)
			continue
		case <-next.C:
		}
		wait, err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("it could not be found out whether verdicts are owed", "error", err)
			wait = idle
		}
		next.Reset(wait)
	}
}

// look asks for the job if something is due, and says when to look again.
func (w *VerdictWaker) look(ctx context.Context) (time.Duration, error) {
	at, any, err := w.store.VerdictsDue(ctx)
	if err != nil || !any {
		return idle, err
	}
	if wait := at.Sub(w.store.Now()); wait > 0 {
		return min(wait, idle), nil
	}
	return lookAgain, w.store.DB().Write(ctx, func(tx *db.Tx) error {
		_, err := w.jobs.Enqueue(tx, jobservice.Job{Kind: KindAttachVerdicts, UniqueKey: KindAttachVerdicts})
		return err
	})
}
