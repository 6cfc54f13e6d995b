package work

import (
	"context"

	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindSweepReports removes what scanners found and no image has any more, and what is left of imported aliases. No payload.
const KindSweepReports = "sweep-reports"

// SweepReports runs sweep, which tells how many rows it removed. What it removed is gone when it fails midway.
func SweepReports(sweep func(ctx context.Context) (int, error)) jobservice.Spec {
	return counted("%d removed", sweep)
}
