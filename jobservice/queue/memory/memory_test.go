package memory_test

import (
	"testing"
	"testing/synctest"

	"github.com/hallmarkhub/hallmark/jobservice/queue"
	"github.com/hallmarkhub/hallmark/jobservice/queue/memory"
	"github.com/hallmarkhub/hallmark/jobservice/queue/queuetest"
)

func TestContract(t *testing.T) {
	queuetest.Run(t, func(testing.TB) (a, b queue.Queue) {
		q := memory.New()
		return q, q
	})
}

// Those that wait are woken one by one, also when several ids come at once.
func TestWakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.New()
		got := make(chan string, 3)
		for range 3 {
			go func() {
				id, err := q.Pop(t.Context())
				if err != nil {
					t.Error(err)
				}
				got <- id
			}()
		}
		synctest.Wait()
		if err := q.Push(t.Context(), queue.Item{ID: "a"}, queue.Item{ID: "b"}, queue.Item{ID: "c"}); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{<-got: true, <-got: true, <-got: true}
		if len(seen) != 3 {
			t.Errorf("popped %v", seen)
		}
	})
}
