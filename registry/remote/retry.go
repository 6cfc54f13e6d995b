package remote

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// transient is an error after which the same request may succeed.
type transient struct {
	error
	refused bool          // the registry said that it did nothing
	after   time.Duration // when to come back, if it said so
}

func (t *transient) Unwrap() error { return t.error }

// retry calls try until it succeeds, fails for good, or has been called often enough. What is returned is the error of
// the last call.
func (r *Registry) retry(ctx context.Context, rule repeat, try func() error) error {
	policy := r.opt.Retry
	wait := policy.Wait
	for attempt := 1; ; attempt++ {
		err := try()
		var t *transient
		if !errors.As(err, &t) {
			return err
		}
		if attempt >= policy.Attempts || rule == never || rule == ifRefused && !t.refused || t.after > policy.MaxWait {
			return t.error
		}
		// The random half keeps many clients that failed together from coming back together.
		pause := max(t.after, wait/2+rand.N(wait/2+1))
		if ended := sleep(ctx, min(pause, policy.MaxWait)); ended != nil {
			return ended
		}
		wait = min(2*wait, policy.MaxWait)
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads the header of that name: seconds, or a time. At most a day is believed.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	wait := time.Duration(0)
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), 24*time.Hour)
}
