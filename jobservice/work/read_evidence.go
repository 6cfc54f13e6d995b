package work

import (
	"context"

	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindReadEvidence reads signatures and attestations that could not be read when they were pushed. No payload.
const KindReadEvidence = "read-evidence"

// ReadEvidence runs read, which takes what is due and tells how many manifests it looked at. What fails is due again later.
func ReadEvidence(read func(ctx context.Context) (int, error)) jobservice.Spec {
	return counted("%d read", read)
}
