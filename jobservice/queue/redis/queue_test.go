package redis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/jobservice/queue"
	"github.com/hallmarkhub/hallmark/jobservice/queue/queuetest"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redis"
	"github.com/hallmarkhub/hallmark/jobservice/queue/redistest"
)

// limit is how long a test waits for what should happen soon.
const limit = 20 * time.Second

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// newHub is an id that no other test has.
func newHub() string { return "test-" + rand.Text() }

func open(t testing.TB, address, hub string) *redis.Queue {
	t.Helper()
	s, err := redis.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Queue(hub)
}

// pair are two processes of one hub.
func pair(address string) queuetest.Open {
	return func(t testing.TB) (a, b queue.Queue) {
		hub := newHub()
		return open(t, address, hub), open(t, address, hub)
	}
}

func TestContract(t *testing.T) { queuetest.Run(t, pair(redistest.URL(t))) }

// Two hubs share a Redis.
func TestHubsAreApart(t *testing.T) {
	a, b := open(t, redistest.URL(t), newHub()), open(t, redistest.URL(t), newHub())
	push(t, a, "of a")
	push(t, b, "of b")
	if id := pop(t, b); id != "of b" {
		t.Errorf("popped %q", id)
	}
}

// What waits goes with FLUSHALL and with a restart, and what comes afterwards arrives.
func TestLosesEverything(t *testing.T) {
	s := redistest.Start(t)
	q := open(t, "redis://"+s.Addr, newHub())
	for name, lose := range map[string]func(){
		"flushed":   func() { s.Do("", "FLUSHALL") },
		"restarted": func() { s.Kill(); s.Restart() },
	} {
		push(t, q, "lost")
		lose()
		got := popping(t, q)
		pushUntil(t, q, "kept")
		if id := <-got; id != "kept" {
			t.Errorf("%s: popped %q", name, id)
		}
	}
}

// A Redis that hangs keeps nobody who pushes waiting for longer than he allows, and after the first not even that long. It
// goes on as it was.
func TestHangs(t *testing.T) {
	s := redistest.Start(t)
	hub := newHub()
	q, other := open(t, "redis://"+s.Addr, hub), open(t, "redis://"+s.Addr, hub)
	push(t, q, "1", "2")
	s.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := q.Push(ctx, queue.Item{ID: "3"}); err == nil {
		t.Error("a push to a Redis that hangs succeeded")
	}
	// Without any limit of its own: it is not tried.
	if err := q.Push(t.Context(), queue.Item{ID: "3"}); err == nil || !strings.Contains(err.Error(), "a moment ago") {
		t.Errorf("the second push: %v", err)
	}
	ended, end := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer end()
	if id, err := q.Pop(ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("popped %q, %v", id, err)
	}
	if id, err := other.Pop(t.Context()); err == nil {
		t.Errorf("popped %q from a Redis that hangs", id)
	}
	if err := q.Check(t.Context()); err == nil {
		t.Error("it is said to answer")
	}
	s.Resume()
	// Redis may answer requests that nobody waits for any more: what those took is lost until it is pushed again, and that
	// is all.
	for began := time.Now(); time.Since(began) < limit; {
		pushUntil(t, q, "last")
		short, end := context.WithTimeout(t.Context(), time.Second)
		id, err := other.Pop(short)
		end()
		switch {
		case err != nil:
		case id == "last":
			return
		case !strings.Contains("1 2 3", id):
			t.Fatalf("popped %q", id)
		}
	}
	t.Error("what was pushed afterwards does not arrive")
}

// Requests that time out on shared connections never make one take the reply of another (V-55).
func TestRepliesAreNotMixedUp(t *testing.T) {
	q := open(t, redistest.URL(t), newHub())
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				id, err := q.Pop(ctx)
				if err == nil && !strings.HasPrefix(id, "id-") {
					t.Errorf("popped %q", id)
				}
			}
		})
	}
	failed := 0
	for i := range 1000 {
		short, end := context.WithTimeout(ctx, time.Duration(i%50)*4*time.Microsecond)
		if q.Push(short, queue.Item{ID: fmt.Sprint("id-", i)}) != nil {
			failed++
		}
		_ = q.Check(short)
		end()
	}
	if failed == 0 {
		t.Error("no request timed out: nothing was tested")
	}
	cancel()
	all.Wait()
}

// Closing ends those who wait.
func TestClose(t *testing.T) {
	s, err := redis.Open(t.Context(), redistest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	q := s.Queue(newHub())
	ended := make(chan error)
	go func() {
		_, err := q.Pop(t.Context())
		ended <- err
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if <-ended == nil {
		t.Error("popped from a queue that is closed")
	}
	if _, err := q.Pop(t.Context()); err == nil {
		t.Error("popped from a queue that is closed")
	}
}

func push(t testing.TB, q *redis.Queue, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := q.Push(t.Context(), queue.Item{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
}

// pushUntil pushes until it succeeds, as the sweeper does.
func pushUntil(t testing.TB, q *redis.Queue, id string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); q.Push(t.Context(), queue.Item{ID: id}) != nil; <-tick.C {
		if time.Since(began) > limit {
			t.Fatal("nothing can be pushed")
		}
	}
}

func pop(t testing.TB, q *redis.Queue) string {
	t.Helper()
	return <-popping(t, q)
}

// popping pops as a worker does: after an error again.
func popping(t testing.TB, q *redis.Queue) <-chan string {
	got := make(chan string, 1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
	go func() {
		defer cancel()
		for {
			id, err := q.Pop(ctx)
			if err == nil || ctx.Err() != nil {
				got <- id
				return
			}
		}
	}()
	return got
}
