//go:build crash && linux

package crash

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redistest"
)

const (
	jobsInFlight = 500
	// jobsTime is how long they may take in spite of what is done to them; the fault list gives 60 s to queue them again.
	jobsTime = 90 * time.Second
	// pullTime is how long one pull may take at most, whatever Redis does.
	pullTime = 5 * time.Second
)

// jobHub is a hub that serves, workers in processes of their own, and the Redis and the Postgres that they share.
type jobHub struct {
	*hub
	t       *testing.T
	db      *db.DB
	redis   *redistest.Server
	jobs    *jobservice.Runner // that only writes jobs
	workers []*jobWorker
}

func newJobHub(t *testing.T) *jobHub {
	t.Helper()
	database := dbtest.PostgresURL(t)
	j := &jobHub{t: t, redis: redistest.Start(t), hub: newHub(t)}
	address := "redis://" + j.redis.Addr
	j.env = append(j.env, "HALLMARK_DB="+database, "HALLMARK_QUEUE="+address, "HALLMARK_ROLES=core",
		"HALLMARK_MASTER_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	j.start()
	var err error
	if j.db, err = db.Open(context.Background(), database, db.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.db.Close() })
	jobs, server, err := openJobs(context.Background(), j.db, address, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	j.jobs = jobs
	t.Cleanup(func() { server.Close() })
	j.write(func(tx *db.Tx) error {
		_, err := tx.Exec(`CREATE TABLE effect (job TEXT NOT NULL)`)
		return err
	})
	for range 3 {
		j.workers = append(j.workers, startWorker(t, j.hub, database, address))
	}
	return j
}

func (j *jobHub) write(f func(tx *db.Tx) error) {
	j.t.Helper()
	if err := j.db.Write(context.Background(), f); err != nil {
		j.t.Fatal(err)
	}
}

func (j *jobHub) count(query string, args ...any) (n int) {
	j.t.Helper()
	if err := j.db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		j.t.Fatal(err)
	}
	return n
}

// any is one of the workers.
func (j *jobHub) any() *jobWorker { return j.workers[rand.IntN(len(j.workers))] }

// enqueue writes the jobs: most have an effect, some of these few at once, and two are poison.
func (j *jobHub) enqueue() {
	j.t.Helper()
	for left := jobsInFlight; left > 0; left -= 50 {
		j.write(func(tx *db.Tx) error {
			for i := range 50 {
				if _, err := j.jobs.Enqueue(tx, jobservice.Job{Kind: []string{kindEffect, kindEffect, kindCapped}[i%3], Priority: int64(i % 2)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	j.write(func(tx *db.Tx) error {
		for _, kind := range []string{kindError, kindDeadly} {
			if _, err := j.jobs.Enqueue(tx, jobservice.Job{Kind: kind}); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	unended = `SELECT count(*) FROM job WHERE kind IN ('effect', 'capped', 'error', 'deadly') AND state IN ('queued', 'running')`
	// torn counts jobs whose effect is not there once, or is there without the job being done.
	torn = `SELECT count(*) FROM job WHERE kind IN ('effect', 'capped') AND (state <> 'done' OR (SELECT count(*) FROM effect e WHERE e.job = job.id) <> 1)`
)

// TestF11ToF15Jobs does to Redis and to the workers what the fault list says while 500 jobs are under way. Each job's effect
// is there exactly once in the end, poison is dead, no slot stays taken, and pulls notice nothing.
func TestF11ToF15Jobs(t *testing.T) {
	t.Parallel()
	j := newJobHub(t)
	stopPulls := j.keepPulling()
	hang, rounds := 4*time.Second, 1
	if long(t) {
		hang, rounds = time.Minute, 4
	}
	ctx := context.Background()
	for round := range rounds {
		for _, f := range []struct {
			name string
			hit  func()
		}{
			{"F-11 FLUSHALL", func() {
				for range 3 {
					j.redis.Do("", "FLUSHALL")
					pause(ctx, 300*time.Millisecond)
				}
			}},
			{"F-12 Redis killed and empty", func() { j.redis.Kill(); pause(ctx, time.Second); j.redis.Restart() }},
			{"F-12 Redis back in time", func() {
				j.redis.Do("", "SAVE")
				pause(ctx, time.Second)
				j.redis.Kill()
				j.redis.Restart()
				j.redis.Forget()
			}},
			{"F-13 Redis hangs", func() { j.redis.Hang(); pause(ctx, hang); j.redis.Resume() }},
			{"F-14 worker killed", func() {
				for range 3 {
					j.any().signal(syscall.SIGKILL)
					pause(ctx, 500*time.Millisecond)
				}
			}},
			{"F-15 worker frozen", func() {
				w := j.any()
				w.signal(syscall.SIGSTOP)
				pause(ctx, 2*lease)
				w.signal(syscall.SIGCONT)
			}},
			{"F-27 worker told to end", func() { j.any().signal(syscall.SIGTERM) }},
		} {
			began := time.Now()
			j.enqueue()
			before := j.count(`SELECT count(*) FROM effect`)
			until(t, jobsTime, "some jobs done", func() bool { return j.count(`SELECT count(*) FROM effect`) > before+rand.IntN(150) })
			f.hit()
			until(t, jobsTime, f.name+": all jobs ended", func() bool { return j.count(unended) == 0 })
			j.checkJobs(fmt.Sprintf("%s, round %d", f.name, round+1))
			t.Logf("%s: %d jobs in %v", f.name, jobsInFlight, time.Since(began).Round(time.Millisecond))
		}
	}
	pulled := stopPulls()
	if pulled == 0 {
		t.Error("nothing was pulled")
	}
	t.Logf("%d pulls meanwhile", pulled)
	j.stop()
}

// checkJobs holds what there is against I8 and starts anew.
func (j *jobHub) checkJobs(what string) {
	j.t.Helper()
	if n := j.count(torn); n > 0 {
		j.t.Errorf("I8: %s: the effect of %d jobs is not there exactly once", what, n)
	}
	if n := j.count(`SELECT count(*) FROM job WHERE kind IN ('effect', 'capped')`); n != jobsInFlight {
		j.t.Errorf("I8: %s: %d jobs of %d", what, n, jobsInFlight)
	}
	if n := j.count(`SELECT count(*) FROM effect`); n != jobsInFlight {
		j.t.Errorf("I8: %s: %d effects of %d jobs", what, n, jobsInFlight)
	}
	for kind, tries := range map[string]int{kindError: 8, kindDeadly: 2} {
		if n := j.count(`SELECT count(*) FROM job WHERE kind = $1 AND state = 'dead' AND attempts = $2`, kind, tries); n != 1 {
			j.t.Errorf("F-14: %s: the job of kind %s is not dead after %d tries", what, kind, tries)
		}
	}
	if n := j.count(`SELECT coalesce(sum(busy), 0) FROM slot WHERE name = $1`, kindCapped); n != 0 {
		j.t.Errorf("%s: %d slots are still taken", what, n)
	}
	j.write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM effect`); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM job WHERE kind IN ('effect', 'capped', 'error', 'deadly')`)
		return err
	})
}

// keepPulling pulls an image again and again. The returned function ends that and tells how often it was pulled.
func (j *jobHub) keepPulling() (stop func() int64) {
	j.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := newClient(j.hub)
	if a := c.putImage(ctx, "library/jobs", "1.0", newArtifact(newBlob("jobs", 20_000))); a.status != http.StatusCreated {
		j.t.Fatal(a)
	}
	var n atomic.Int64
	var pulling sync.WaitGroup
	pulling.Go(func() {
		for ctx.Err() == nil {
			one, end := context.WithTimeout(ctx, pullTime)
			err := c.pull(one, "library/jobs", "1.0")
			end()
			switch {
			case err == nil:
				n.Add(1)
			case ctx.Err() == nil:
				j.t.Errorf("a pull while jobs are disturbed: %v", err)
			}
			pause(ctx, 20*time.Millisecond)
		}
	})
	return func() int64 { cancel(); pulling.Wait(); return n.Load() }
}
