package work

import (
	"context"

	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindSweepUploads ends uploads that were given up and removes bytes that nothing refers to any more. No payload.
const KindSweepUploads = "sweep-uploads"

// SweepUploads runs sweep, which does the work in transactions of its own and tells how much it removed. What it removed
// is gone when it fails midway, and the next try goes on there.
func SweepUploads(sweep func(ctx context.Context) (int, error)) jobservice.Spec {
	return counted("%d removed", sweep)
}
