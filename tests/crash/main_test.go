//go:build crash && linux

package crash

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"
)

// role is set in processes that the tests start of their own binary.
const role = "CRASH_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "tracer":
		os.Exit(tracerMain())
	case "worker":
		os.Exit(workerMain())
	}
	os.Exit(m.Run())
}

// poll asks done again and again and reports whether it became true in time. It is the only place that waits by looking.
func poll(ctx context.Context, within time.Duration, done func() bool) bool {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return done()
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// until fails the test when done does not become true in time.
func until(t testing.TB, within time.Duration, what string, done func() bool) {
	t.Helper()
	if !poll(context.Background(), within, done) {
		t.Fatalf("after %v still not: %s", within, what)
	}
}

// pause lets time pass, which is what a nemesis and a slow client are made of.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// number reads a variable of the environment.
func number(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// long says that there is time to try everything.
func long(t testing.TB) bool {
	return os.Getenv("CRASH_LONG") != "" || number(t, "CRASH_SEEDS", 5) >= 20
}

// lacking skips a test for want of a tool or a right, but not where everything has to be there.
func lacking(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("%s: %v", what, err)
}
