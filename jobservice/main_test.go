package jobservice_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/jobservice"
	"github.com/hallmarkhub/hallmark/jobservice/queue"
	"github.com/hallmarkhub/hallmark/jobservice/queue/memory"
	"github.com/hallmarkhub/hallmark/migrations"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURL) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// limit is how long a test waits for what should happen soon.
const limit = 20 * time.Second

var errMine = errors.New("mine")

// quick are options with which nothing takes long. The lease is longer than a busy machine keeps a worker waiting.
func quick() jobservice.Options {
	return jobservice.Options{Lease: 10 * time.Second, Heartbeat: 50 * time.Millisecond, Sweep: 50 * time.Millisecond,
		Drain: -1, Backoff: func(int) time.Duration { return time.Millisecond }}
}

// mortal are options for workers that lose their lease.
func mortal() jobservice.Options {
	opt := quick()
	opt.Lease = 600 * time.Millisecond
	return opt
}

// hub is a database with its schema and a table for effects, a queue and a runner.
type hub struct {
	t     testing.TB
	db    *db.DB
	queue queue.Queue
	*jobservice.Runner
}

func newHub(t testing.TB, d *db.DB, opt jobservice.Options) *hub {
	q := memory.New()
	return &hub{t: t, db: d, queue: q, Runner: jobservice.New(d, q, opt)}
}

func migrated(t testing.TB, open dbtest.Open) *db.DB {
	t.Helper()
	d := open(t)
	if err := migrations.Up(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec(`CREATE TABLE effect (job TEXT NOT NULL, worker TEXT NOT NULL)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

// each runs f on every engine.
func each(t *testing.T, f func(t *testing.T, d *db.DB)) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) { f(t, migrated(t, open)) })
}

// start runs the runner until the test ends or the returned function is called.
func (h *hub) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { h.Run(ctx) })
	stop = func() { cancel(); done.Wait() }
	h.t.Cleanup(stop)
	return stop
}

// asOperator is a context in which somebody asks.
func asOperator(t testing.TB) context.Context {
	return core.WithPrincipal(t.Context(), core.Operator())
}

func (h *hub) enqueue(j jobservice.Job) string {
	h.t.Helper()
	var id string
	err := h.db.Write(context.Background(), func(tx *db.Tx) (err error) {
		id, err = h.Enqueue(tx, j)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *hub) get(id string) *jobservice.Status {
	h.t.Helper()
	s, err := jobservice.Get(context.Background(), h.db, id)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// until waits for the job to be as ok says.
func (h *hub) until(id string, ok func(s *jobservice.Status) bool) *jobservice.Status {
	h.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		s := h.get(id)
		if ok(s) {
			return s
		}
		if time.Since(began) > limit {
			h.t.Fatalf("the job is still %+v", s)
		}
	}
}

func (h *hub) untilState(id string, want jobservice.State) *jobservice.Status {
	h.t.Helper()
	return h.until(id, func(s *jobservice.Status) bool {
		ended := !slices.Contains([]jobservice.State{jobservice.Queued, jobservice.Running}, s.State)
		if ended && s.State != want {
			h.t.Fatalf("the job is %s (%s), want %s", s.State, s.Error, want)
		}
		return s.State == want
	})
}

// effect is what a job does in the database: it must happen once.
func effect(tx *db.Tx, t *jobservice.Task, worker string) error {
	_, err := tx.Exec(`INSERT INTO effect (job, worker) VALUES ($1, $2)`, t.ID(), worker)
	return err
}

func effects(t testing.TB, d *db.DB) []string {
	t.Helper()
	out := []string{}
	err := d.Query(context.Background(), `SELECT worker FROM effect ORDER BY worker`, nil, func(scan func(...any) error) error {
		var w string
		err := scan(&w)
		out = append(out, w)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// receive waits for a value that should come soon.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// deafQueue loses everything.
type deafQueue struct{}

func (deafQueue) Push(context.Context, ...queue.Item) error { return errMine }
func (deafQueue) Pop(ctx context.Context) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

// forgetfulQueue loses what is pushed first.
type forgetfulQueue struct {
	*memory.Queue
	mu   sync.Mutex
	lose int
}

func (q *forgetfulQueue) Push(ctx context.Context, items ...queue.Item) error {
	q.mu.Lock()
	lose := q.lose > 0 && len(items) > 0
	if lose {
		q.lose--
	}
	q.mu.Unlock()
	if lose {
		return nil
	}
	return q.Queue.Push(ctx, items...)
}

// pass lets time pass in a bubble of synctest, where that takes none.
func pass(d time.Duration) { <-time.After(d) }
