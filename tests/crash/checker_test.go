//go:build crash && linux

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	workers = 6
	readers = 2
)

// TestHistory lets clients push, move, mount, pull and delete at random while the hub is killed again and again, and
// then holds what is left against what they were told (I1, I2, I3, F-01, F-02).
func TestHistory(t *testing.T) {
	if text := os.Getenv("CRASH_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CRASH_SEED=%q is no number", text)
		}
		t.Run("seed="+text, func(t *testing.T) { oneHistory(t, seed) })
		return
	}
	for range number(t, "CRASH_SEEDS", 5) {
		seed := rand.Uint64() >> 33 // short enough to be typed
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { oneHistory(t, seed) }) {
			return
		}
	}
}

func oneHistory(t *testing.T, seed uint64) {
	t.Logf("replay with: CRASH_SEED=%d go test -count=1 -tags crash -run TestHistory ./tests/crash", seed)
	h := newHub(t)
	r := &run{t: t, seed: seed, hub: h, history: newHistory(t, filepath.Join(h.dir, "history.jsonl"))}
	for i := range sharedLayers {
		r.shared = append(r.shared, newBlob(fmt.Sprintf("seed %d shared %d", seed, i), 500+i*i*2500))
	}
	for i := range looseLayers {
		r.loose = append(r.loose, newBlob(fmt.Sprintf("seed %d loose %d", seed, i), 2000))
	}
	h.start()
	if err := r.renew(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	running, stop := context.WithCancel(context.Background())
	defer stop()
	r.stop = stop
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { r.worker(i).work(running) })
	}
	for i := range readers {
		all.Go(func() { r.read(running, i) })
	}
	kills := r.nemesis(running)
	pause(running, 500*time.Millisecond) // healed: now everything has to work
	stop()
	all.Wait()
	counts := r.history.counts()
	t.Logf("%d kills in %v, the slowest start took %v; operations: %v", kills, time.Since(began).Round(time.Millisecond),
		h.slowest.Round(time.Millisecond), counts)
	if kills == 0 || counts[acked] < 20 {
		t.Errorf("%d kills and %d acknowledged writes say nothing about what a kill loses", kills, counts[acked])
	}
	r.report()

	// The process that answers the audit knows nothing but what is on the disk.
	h.kill()
	h.start()
	r.audit()
	r.report()
	h.stop()
	r.auditStore()
	r.report()
	r.auditAged()
	r.report()
}

// nemesis kills the hub at random moments and starts it again. It returns how often.
func (r *run) nemesis(ctx context.Context) int {
	rng := rand.New(rand.NewPCG(r.seed, 1<<32))
	n := number(r.t, "CRASH_KILLS", 20)
	for i := range n {
		pause(ctx, time.Duration(20+rng.IntN(900))*time.Millisecond)
		if ctx.Err() != nil {
			return i
		}
		r.hub.kill()
		err := r.hub.tryStart()
		if err == nil {
			err = r.renew()
		}
		if err != nil {
			r.violation("the hub does not start after kill -9: %v", err)
			r.stop()
			r.report()
		}
	}
	return n
}

// report ends the test if a promise was broken.
func (r *run) report() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.violations {
		r.t.Error(v)
	}
	if len(r.violations) > 0 {
		r.t.FailNow()
	}
}
