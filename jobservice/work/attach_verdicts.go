package work

import (
	"context"
	"log/slog"
	"time"

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

// NewVerdictWaker makes a waker that asks for the job when verdicts are due.
func NewVerdictWaker(s *store.Store, jobs *jobservice.Runner, log *slog.Logger) *Waker {
	return newWaker(s, log, store.ChangeVerdict, "verdicts to state", func(ctx context.Context) (time.Duration, error) {
		at, any, err := s.VerdictsDue(ctx)
		if err != nil || !any {
			return idle, err
		}
		if wait := at.Sub(s.Now()); wait > 0 {
			return min(wait, idle), nil
		}
		return lookAgain, s.DB().Write(ctx, func(tx *db.Tx) error {
			_, err := jobs.Enqueue(tx, jobservice.Job{Kind: KindAttachVerdicts, UniqueKey: KindAttachVerdicts})
			return err
		})
	})
}
