package work

import (
	"context"
	"fmt"

	"github.com/hallmarkhub/hallmark/jobservice"
)

// KindIndexPackages reads bills of materials that were pushed and notes what they list; KindSweepPackages removes what stands in none any
// more. No payloads.
const (
	KindIndexPackages = "index-packages"
	KindSweepPackages = "sweep-packages"
)

// IndexPackages runs read, which takes what is due and tells how many manifests it looked at. What fails is due again later.
func IndexPackages(read func(ctx context.Context) (int, error)) jobservice.Spec {
	return counted("%d manifests read", read)
}

// SweepPackages runs sweep, which tells how many lists and documents it removed. What it removed is gone when it fails midway.
func SweepPackages(sweep func(ctx context.Context) (int, error)) jobservice.Spec {
	return counted("%d removed", sweep)
}

func counted(message string, do func(ctx context.Context) (int, error)) jobservice.Spec {
	return jobservice.Spec{MaxRunning: 1, Run: func(ctx context.Context, t *jobservice.Task) error {
		n, err := do(ctx)
		t.Progress(100, fmt.Sprintf(message, n))
		return err
	}}
}
