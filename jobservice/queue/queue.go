package queue

import "context"

// MaxPriority is the highest priority; the lowest is its negative. What lies beyond counts as these.
const MaxPriority = 1000

// Item is a job that waits for a worker.
type Item struct {
	ID       string
	Priority int64 // higher comes first, up to MaxPriority
}

// Queue hands ids to workers, here or in other processes. All methods may be called concurrently.
type Queue interface {
	// Push makes the ids available to Pop. An id that waits already stays where it is. An error means that some
	// may not have arrived; the caller logs it and leaves the rest to the sweeper. ctx bounds how long it may take.
	Push(ctx context.Context, items ...Item) error

	// Pop waits for an id and takes it: the one of the highest priority, among those the one that came first.
	// Nobody else gets it unless it is pushed again. When ctx ends the error is that of ctx and nothing was
	// taken. Any other error means that the queue cannot be reached now: wait, then try again.
	Pop(ctx context.Context) (id string, err error)
}
