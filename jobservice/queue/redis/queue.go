package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hallmarkhub/hallmark/jobservice/queue"
)

const (
	// block is how long Redis is asked to wait for an id. A process that nobody has work for asks this often.
	block = 2 * time.Second
	// pause is how long nothing is pushed after a push that failed: who writes a job is not to wait for a Redis that
	// hangs, and the sweeper is there.
	pause = time.Second
	// pushBatch is how many ids one script adds, so that it keeps the others waiting for a millisecond or so.
	pushBatch = 500
)

// errDown is what Push says while it does not try.
var errDown = errors.New("redis did not answer a moment ago")

// Server is a Redis, or several that are one, with the connections to it.
type Server struct {
	client redis.UniversalClient
	ctx    context.Context // of what still asks
	end    context.CancelFunc
	done   sync.WaitGroup
}

// Queue is a sorted set. All processes of a hub have the same one.
type Queue struct {
	*Server
	waiting string // key of the ids, by rank
	seq     string // key of the number of ids that ever waited, so that ids are in order
	add     *redis.Script

	mu      sync.Mutex
	takers  []chan taken // Pops that wait, in order
	taking  bool         // a goroutine takes for them
	downTil time.Time
}

// taken is what a Pop gets.
type taken struct {
	id  string
	err error
}

// Open connects to the Redis at address and asks it for an answer. The error names no part of the address but hosts.
func Open(ctx context.Context, address string) (*Server, error) {
	o, ca, err := parse(address)
	if err != nil {
		return nil, err
	}
	if err := trust(o, ca); err != nil {
		return nil, err
	}
	s := &Server{client: redis.NewUniversalClient(o)}
	s.ctx, s.end = context.WithCancel(context.WithoutCancel(ctx))
	// Asked is for what a queue needs, which a server may know nothing of or not allow. Nothing is added.
	ctx, cancel := context.WithTimeout(ctx, dialTime+answerTime)
	defer cancel()
	q := s.Queue("")
	if err := q.add.Run(ctx, s.client, []string{q.waiting, q.seq}).Err(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Queue is the queue of the hub with this id: several may share a server.
func (s *Server) Queue(hub string) *Queue {
	// The braces keep both keys on one node of a cluster.
	prefix := "{hallmark:" + hub + "}:"
	return &Queue{Server: s, waiting: prefix + "waiting", seq: prefix + "seq", add: redis.NewScript(addScript)}
}

// LogTo sends what the client library has to say to a log: it has one for the whole process. Call it before Open.
func LogTo(log *slog.Logger) { redis.SetLogger(clientLog{log}) }

type clientLog struct{ log *slog.Logger }

// Printf implements the interface of the library.
func (l clientLog) Printf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, "redis: "+fmt.Sprintf(format, args...))
}

// Close ends the connections. Pops that wait on a queue of the server end with an error.
func (s *Server) Close() error {
	s.end()
	err := s.client.Close()
	s.done.Wait()
	return err
}

// Check reports whether Redis answers.
func (s *Server) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return s.client.Ping(ctx).Err()
}

// rank orders ids: the lowest is taken first. A score has 53 bits that count, 42 of which are the order of arrival.
const rank = 1 << 42

// addScript adds pairs of a score and an id. The number goes up only for ids that did not wait already.
const addScript = `local n = tonumber(redis.call('GET', KEYS[2]) or '0')
local before = n
for i = 1, #ARGV, 2 do
  n = n + redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', tonumber(ARGV[i]) + n), ARGV[i + 1])
end
if n > before then redis.call('SET', KEYS[2], string.format('%.0f', n)) end
return n - before`

// Push implements queue.Queue.
func (q *Queue) Push(ctx context.Context, items ...queue.Item) error {
	q.mu.Lock()
	down := time.Now().Before(q.downTil)
	q.mu.Unlock()
	if down {
		return errDown
	}
	for len(items) > 0 {
		n := min(len(items), pushBatch)
		args := make([]any, 0, 2*n)
		for _, it := range items[:n] {
			args = append(args, -rank*max(-queue.MaxPriority, min(it.Priority, queue.MaxPriority)), it.ID)
		}
		if err := q.add.Run(ctx, q.client, []string{q.waiting, q.seq}, args...).Err(); err != nil {
			q.mu.Lock()
			q.downTil = time.Now().Add(pause)
			q.mu.Unlock()
			return err
		}
		items = items[n:]
	}
	return nil
}

// Pop implements queue.Queue. One goroutine asks Redis for all that wait in this process: it is one connection that
// waits, and a Pop can end at once.
func (q *Queue) Pop(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	mine := make(chan taken, 1)
	q.mu.Lock()
	if q.ctx.Err() != nil {
		q.mu.Unlock()
		return "", redis.ErrClosed
	}
	q.takers = append(q.takers, mine)
	if !q.taking {
		q.taking = true
		q.done.Go(q.take)
	}
	q.mu.Unlock()
	select {
	case got := <-mine:
		return got.id, got.err
	case <-ctx.Done():
	}
	if q.leave(mine) {
		return "", ctx.Err()
	}
	if got := <-mine; got.err == nil {
		return got.id, nil // it came first
	}
	return "", ctx.Err()
}

// leave takes a Pop out of the row, and reports false if it has been served.
func (q *Queue) leave(mine chan taken) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.takers {
		if w == mine {
			q.takers = append(q.takers[:i], q.takers[i+1:]...)
			return true
		}
	}
	return false
}

// take serves Pops until none waits.
func (q *Queue) take() {
	for {
		q.mu.Lock()
		n := len(q.takers)
		if n == 0 {
			q.taking = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		got, err := q.fetch(int64(n))
		for _, z := range got {
			q.give(z)
		}
		if err != nil {
			q.fail(err)
		}
	}
}

// fetch waits for an id and takes up to n of them. None is no error.
func (q *Queue) fetch(n int64) ([]redis.Z, error) {
	ctx, cancel := context.WithTimeout(q.ctx, block+answerTime)
	defer cancel()
	first, err := q.client.BZPopMin(ctx, block, q.waiting).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	got := []redis.Z{first.Z}
	if n == 1 {
		return got, nil
	}
	more, err := q.client.ZPopMin(ctx, q.waiting, n-1).Result()
	return append(got, more...), err
}

// give hands an id to the Pop that waits longest. If all have left it goes back to where it was.
func (q *Queue) give(z redis.Z) {
	id := fmt.Sprint(z.Member)
	q.mu.Lock()
	if len(q.takers) > 0 {
		q.takers[0] <- taken{id: id}
		q.takers = q.takers[1:]
		q.mu.Unlock()
		return
	}
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(q.ctx, answerTime)
	defer cancel()
	// If that fails the sweeper pushes it again.
	_ = q.client.ZAddNX(ctx, q.waiting, z).Err()
}

// fail tells all that wait.
func (q *Queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.takers {
		w <- taken{err: err}
	}
	q.takers = nil
}
