package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/jobservice/queue"
)

// limit is how long the suite waits for what should happen at once.
const limit = 10 * time.Second

// Open makes an empty queue and gives two handles to it, as two processes have; they may be the same.
type Open func(t testing.TB) (a, b queue.Queue)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for name, f := range map[string]func(*testing.T, queue.Queue, queue.Queue){
		"order":             testOrder,
		"priority":          testPriority,
		"priority limits":   testPriorityLimits,
		"many":              testMany,
		"waits once":        testWaitsOnce,
		"again after pop":   testAgain,
		"pop waits":         testPopWaits,
		"pop ends":          testPopEnds,
		"ended pop":         testEndedPopTakesNothing,
		"nothing":           testNothing,
		"each exactly once": testConcurrent,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			f(t, a, b)
		})
	}
}

func push(t testing.TB, q queue.Queue, items ...queue.Item) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := q.Push(ctx, items...); err != nil {
		t.Fatal(err)
	}
}

func pop(t testing.TB, q queue.Queue) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	id, err := q.Pop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// empty fails if anything waits.
func empty(t testing.TB, q queue.Queue) {
	t.Helper()
	push(t, q, queue.Item{ID: "last", Priority: -queue.MaxPriority})
	if id := pop(t, q); id != "last" {
		t.Errorf("%q was still waiting", id)
	}
}

func expect(t testing.TB, q queue.Queue, want ...string) {
	t.Helper()
	var got []string
	for range want {
		got = append(got, pop(t, q))
	}
	if !slices.Equal(got, want) {
		t.Errorf("popped %q, want %q", got, want)
	}
	empty(t, q)
}

func testOrder(t *testing.T, a, b queue.Queue) {
	push(t, a, queue.Item{ID: "1"}, queue.Item{ID: "2"})
	push(t, b, queue.Item{ID: "3"})
	push(t, a, queue.Item{ID: "0"})
	expect(t, b, "1", "2", "3", "0")
}

func testPriority(t *testing.T, a, b queue.Queue) {
	push(t, a, queue.Item{ID: "low", Priority: -5}, queue.Item{ID: "usual"}, queue.Item{ID: "high", Priority: 10})
	push(t, b, queue.Item{ID: "usual 2"}, queue.Item{ID: "high 2", Priority: 10}, queue.Item{ID: "highest", Priority: 11})
	expect(t, a, "highest", "high", "high 2", "usual", "usual 2", "low")
}

// The highest and the lowest priority are told from those beside them, and what lies beyond counts as these.
func testPriorityLimits(t *testing.T, a, b queue.Queue) {
	const most = queue.MaxPriority
	push(t, a, queue.Item{ID: "most", Priority: most}, queue.Item{ID: "least", Priority: -most},
		queue.Item{ID: "beyond", Priority: most + 1}, queue.Item{ID: "nearly", Priority: most - 1},
		queue.Item{ID: "nearly least", Priority: 1 - most}, queue.Item{ID: "below", Priority: math.MinInt64})
	expect(t, b, "most", "beyond", "nearly", "nearly least", "least", "below")
}

// More than is sent at once stays in order.
func testMany(t *testing.T, a, b queue.Queue) {
	var items []queue.Item
	var want []string
	for i := range 1201 {
		items = append(items, queue.Item{ID: fmt.Sprint(i)})
		want = append(want, fmt.Sprint(i))
	}
	push(t, a, items...)
	push(t, b, items[700:]...)
	expect(t, a, want...)
}

func testWaitsOnce(t *testing.T, a, b queue.Queue) {
	push(t, a, queue.Item{ID: "1"}, queue.Item{ID: "2"}, queue.Item{ID: "1"})
	push(t, b, queue.Item{ID: "2"}, queue.Item{ID: "1"})
	expect(t, a, "1", "2")
}

func testAgain(t *testing.T, a, b queue.Queue) {
	for range 3 {
		push(t, a, queue.Item{ID: "1"})
		expect(t, b, "1")
	}
}

func testPopWaits(t *testing.T, a, b queue.Queue) {
	got := make(chan string)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), limit)
		defer cancel()
		id, err := a.Pop(ctx)
		if err != nil {
			t.Error(err)
		}
		got <- id
	}()
	push(t, b, queue.Item{ID: "1"})
	if id := <-got; id != "1" {
		t.Errorf("popped %q", id)
	}
}

func testPopEnds(t *testing.T, a, _ queue.Queue) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if id, err := a.Pop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("popped %q, %v", id, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if id, err := a.Pop(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("popped %q, %v", id, err)
	}
}

// Pops that end just when something is pushed take it or leave it, but do not lose it.
func testEndedPopTakesNothing(t *testing.T, a, b queue.Queue) {
	for i := range 50 {
		want := fmt.Sprint(i)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan string, 1)
		go func() {
			id, err := a.Pop(ctx)
			if err != nil && id != "" {
				t.Errorf("took %q and failed: %v", id, err)
			}
			got <- id
		}()
		go cancel()
		push(t, b, queue.Item{ID: want})
		id := <-got
		cancel()
		if id == "" {
			id = pop(t, b)
		}
		if id != want {
			t.Fatalf("popped %q, want %q", id, want)
		}
	}
	empty(t, a)
}

func testNothing(t *testing.T, a, _ queue.Queue) {
	push(t, a)
	empty(t, a)
}

func testConcurrent(t *testing.T, a, b queue.Queue) {
	const n, workers = 400, 8
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var mu sync.Mutex
	seen := map[string]int{}
	var done sync.WaitGroup
	for i := range workers {
		q := []queue.Queue{a, b}[i%2]
		done.Go(func() {
			for {
				id, err := q.Pop(ctx)
				if err != nil {
					return
				}
				mu.Lock()
				seen[id]++
				if len(seen) == n {
					cancel()
				}
				mu.Unlock()
			}
		})
		done.Go(func() {
			for j := range n / workers {
				_ = q.Push(context.WithoutCancel(ctx), queue.Item{ID: fmt.Sprintf("%d/%d", i, j), Priority: int64(j % 3)})
			}
		})
	}
	done.Wait()
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s was popped %d times", id, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d were popped", len(seen), n)
	}
	empty(t, b)
}
