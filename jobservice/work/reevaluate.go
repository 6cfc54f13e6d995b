package work

import (
	"context"
	"log/slog"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindReevaluate says of all images that a scanner scanned what its newer data find in them. Payload: Reevaluation.
const KindReevaluate = "reevaluate"

// Reevaluation is the payload of KindReevaluate.
type Reevaluation struct {
	Scanner string `json:"scanner"`
}

// Reevaluate runs do for a scanner. What it has done is done when it fails midway, and the next try goes on from there.
func Reevaluate(do func(ctx context.Context, t *jobservice.Task, scanner string) error) jobservice.Spec {
	return jobservice.Spec{MaxPerTarget: 1, Timeout: 6 * time.Hour, Run: func(ctx context.Context, t *jobservice.Task) error {
		var p Reevaluation
		if err := t.Decode(&p); err != nil {
			return err
		}
		return do(ctx, t, p.Scanner)
	}}
}

// NewReevaluateWaker makes a waker that asks for the job of each scanner whose data are newer than those of its scans.
func NewReevaluateWaker(s *store.Store, jobs *jobservice.Runner, log *slog.Logger) *Waker {
	return newWaker(s, log, store.ChangeScan, "newer vulnerability data", func(ctx context.Context) (time.Duration, error) {
		behind, err := s.ScannersBehind(ctx)
		if err != nil || len(behind) == 0 {
			return idle, err
		}
		return idle, s.DB().Write(ctx, func(tx *db.Tx) error {
			for _, v := range behind {
				_, err := jobs.Enqueue(tx, jobservice.Job{Kind: KindReevaluate, UniqueKey: KindReevaluate + " " + v.ID, Target: v.Name, Payload: Reevaluation{v.Name}})
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}
