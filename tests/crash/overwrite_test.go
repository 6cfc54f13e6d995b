//go:build crash && linux

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const overwrittenRepo = "library/overwritten"

// TestF02Overwrite moves one tag to and fro between two images while eight readers pull it and the hub is killed five
// times. The readers never see anything but one of the two, whole, and never the older one once the newer was seen to be
// acknowledged (I2).
func TestF02Overwrite(t *testing.T) {
	const (
		overwrites = 1000
		kills      = 5
		pullers    = 8
		repo, tag  = overwrittenRepo, "t"
	)
	seed := rand.Uint64() >> 33
	t.Logf("seed %d", seed)
	h := newHub(t)
	r := &run{t: t, seed: seed, hub: h, history: newHistory(t, filepath.Join(h.dir, "history.jsonl"))}
	h.start()
	if err := r.renew(); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	defer stop()
	r.stop = stop
	ctx := context.Background()
	shared := newBlob("overwritten layer", 40_000)
	images := []manifest{newImage("old", shared), newImage("new", shared, newBlob("another layer", 9_000))}
	c := r.client()
	for _, m := range images {
		op := r.history.begin(0, "push "+m.digest, effect{manifestOf(repo, m.digest), here, ""}, effect{tagOf(repo, tag), m.digest, ""})
		a := c.putImage(ctx, repo, tag, m)
		op.end(a)
		if a.status != http.StatusCreated {
			t.Fatal(a)
		}
	}
	var all sync.WaitGroup
	var pulls [pullers]int
	for i := range pullers {
		all.Go(func() {
			c := r.client()
			for running.Err() == nil && r.revived(ctx) {
				r.readTag(ctx, c, repo, tag)
				pulls[i]++
			}
		})
	}
	all.Go(func() {
		defer stop()
		for i := range overwrites {
			if running.Err() != nil || !r.revived(ctx) {
				return
			}
			r.overwrite(ctx, c, i, repo, tag, images[i%2])
		}
	})
	rng := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	for ; killed < kills; killed++ {
		pause(running, time.Duration(100+rng.IntN(600))*time.Millisecond)
		if running.Err() != nil {
			break
		}
		h.kill()
		if err := h.tryStart(); err != nil {
			stop()
			t.Fatal(err)
		}
	}
	all.Wait()
	total := 0
	for _, n := range pulls {
		total += n
	}
	t.Logf("%d kills, overwrites: %v, %d pulls", killed, r.history.counts(), total)
	r.report()
	if killed < kills {
		t.Errorf("the tag was overwritten before the hub was killed %d times", kills)
	}
	h.kill()
	h.start()
	r.audit()
	r.report()
	h.stop()
	r.auditStore()
	r.report()
}

// overwrite moves the tag. One that the hub was killed under is not tried again: the next one follows at once.
func (r *run) overwrite(ctx context.Context, c *client, i int, repo, tag string, m manifest) {
	op := r.history.begin(0, fmt.Sprintf("overwrite %d = %s", i, m.digest), effect{manifestOf(repo, m.digest), here, ""}, effect{tagOf(repo, tag), m.digest, ""})
	started, _ := r.hub.up()
	a := c.putManifest(ctx, repo, tag, m)
	op.end(a)
	r.expect(started, op.what, a, http.StatusCreated)
}
