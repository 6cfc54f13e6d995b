package work

import (
	"context"

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
