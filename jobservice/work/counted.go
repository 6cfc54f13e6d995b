package work

import (
	"context"
	"fmt"

	"github.com/hallmarkhub/hallmark/jobservice"
)

// counted is a job of which one runs at a time, and that tells in a message how much it did.
func counted(message string, do func(ctx context.Context) (int, error)) jobservice.Spec {
	return jobservice.Spec{MaxRunning: 1, Run: func(ctx context.Context, t *jobservice.Task) error {
		n, err := do(ctx)
		t.Progress(100, fmt.Sprintf(message, n))
		return err
	}}
}
