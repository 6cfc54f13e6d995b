package work

import (
	"context"
	"fmt"

	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindReadEvidence reads signatures and attestations that could not be read when they were pushed. No payload.
const KindReadEvidence = "read-evidence"

// ReadEvidence runs read, which takes what is due and tells how many manifests it looked at. What fails is due again later.
func ReadEvidence(read func(ctx context.Context) (int, error)) jobservice.Spec {
	return jobservice.Spec{MaxRunning: 1, Run: func(ctx context.Context, t *jobservice.Task) error {
		n, err := read(ctx)
		t.Progress(100, fmt.Sprintf("%d read", n))
		return err
	}}
}
