package memory

import (
	"container/heap"
	"context"
	"sync"

	"github.com/hallmarkhub/hallmark/jobservice/queue"
)

// Queue is a queue in memory. It is as long as there are jobs that wait.
type Queue struct {
	mu      sync.Mutex
	waiting entries
	known   map[string]bool // ids in waiting
	next    int64
	wake    chan struct{} // holds a token while something may wait
}

// New makes an empty queue.
func New() *Queue { return &Queue{known: map[string]bool{}, wake: make(chan struct{}, 1)} }

// Push implements queue.Queue. It never fails.
func (q *Queue) Push(_ context.Context, items ...queue.Item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range items {
		if !q.known[it.ID] {
			q.known[it.ID] = true
			it.Priority = max(-queue.MaxPriority, min(it.Priority, queue.MaxPriority))
			heap.Push(&q.waiting, entry{Item: it, seq: q.next})
			q.next++
		}
	}
	q.signal()
	return nil
}

// Pop implements queue.Queue.
func (q *Queue) Pop(ctx context.Context) (string, error) {
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if id, ok := q.take(); ok {
			return id, nil
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
	}
}

func (q *Queue) take() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return "", false
	}
	e := heap.Pop(&q.waiting).(entry)
	delete(q.known, e.ID)
	q.signal()
	return e.ID, true
}

// signal wakes one that waits, who wakes the next.
func (q *Queue) signal() {
	if len(q.waiting) == 0 {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

type entry struct {
	queue.Item
	seq int64
}

// entries is a heap: the entry to be taken next is at its top.
type entries []entry

func (e entries) Len() int { return len(e) }
func (e entries) Less(i, j int) bool {
	if e[i].Priority != e[j].Priority {
		return e[i].Priority > e[j].Priority
	}
	return e[i].seq < e[j].seq
}
func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *entries) Push(x any)   { *e = append(*e, x.(entry)) }
func (e *entries) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = entry{}
	*e = old[:len(old)-1]
	return last
}
