package db

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Change says that what is cached under Kind and Key is no longer true. Kind "" stands for everything.
type Change struct{ Kind, Key string }

const (
	// feedInterval is how often other processes' changes are read.
	feedInterval = 250 * time.Millisecond
	// feedFresh is how long after the last reading caches may still be believed.
	feedFresh = time.Second
	// feedKept is how long changes stay in their table, far longer than any process is behind before it gives up its caches.
	feedKept = 10 * time.Minute
)

// feed tells subscribers what changed: at once for this process, by the change table for the others.
type feed struct {
	mu          sync.Mutex
	subscribers []func([]Change)
	readAt      atomic.Int64 // nanoseconds of the monotonic clock since start, Postgres only
	start       time.Time
	shared      bool
	cancel      context.CancelFunc
	done        sync.WaitGroup
}

// Subscribe registers f, which is called with every change, one call at a time or several at once, before the write
// that caused it returns. f drops what it has cached and does nothing else. Subscribe before Follow.
func (d *DB) Subscribe(f func([]Change)) {
	d.feed.mu.Lock()
	defer d.feed.mu.Unlock()
	d.feed.subscribers = append(d.feed.subscribers, f)
}

func (f *feed) publish(c []Change) {
	if len(c) == 0 {
		return
	}
	f.mu.Lock()
	subs := f.subscribers
	f.mu.Unlock()
	for _, s := range subs {
		s(c)
	}
}

// Fresh reports whether caches may be believed now: always where this process is the only one, else if the changes of
// the others were read within the last second.
func (d *DB) Fresh() bool {
	if !d.feed.shared {
		return true
	}
	at := d.feed.readAt.Load()
	return at > 0 && time.Since(d.feed.start)-time.Duration(at) < feedFresh
}

// Shared reports whether other processes may write to the same database.
func (d *DB) Shared() bool { return d.feed.shared }

// Follow starts to read the changes of other processes and to keep the clock. Close ends it.
func (d *DB) Follow(ctx context.Context) error {
	ctx, d.feed.cancel = context.WithCancel(ctx)
	d.feed.done.Go(func() { d.clock.keep(ctx, d) })
	if d.engine != Postgres {
		return nil
	}
	r := &feedReader{d: d, seen: map[int64]bool{}}
	if err := r.begin(ctx); err != nil {
		return err
	}
	d.feed.done.Go(func() { r.keep(ctx) })
	return nil
}

func (f *feed) stop() {
	if f.cancel != nil {
		f.cancel()
		f.done.Wait()
	}
}

// feedReader reads the change table. A row becomes visible when its transaction commits, which need not be in the order
// of seq. So it remembers the oldest transaction that was still running at the last reading: everything older has
// been seen, everything from there on is looked at again, and what was already delivered is left out.
type feedReader struct {
	d      *DB
	cursor string // xid
	seen   map[int64]bool
	at     int64 // time of the database at the last reading, microseconds
	sweep  time.Time
}

func (r *feedReader) begin(ctx context.Context) error {
	r.sweep = time.Now()
	began := time.Since(r.d.feed.start)
	var err error
	if r.cursor, r.at, err = r.horizon(ctx); err != nil {
		return err
	}
	r.d.feed.readAt.Store(int64(began))
	return nil
}

func (r *feedReader) keep(ctx context.Context) {
	t := time.NewTicker(feedInterval)
	defer t.Stop()
	stale := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		began := time.Since(r.d.feed.start)
		rctx, cancel := context.WithTimeout(ctx, feedFresh)
		late, err := r.read(rctx)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !stale {
				r.d.log.Warn("changes of other processes could not be read", "error", err)
			}
			stale = true
			continue
		case stale, late, !r.d.Fresh():
			// What happened in between was read just now, but a reader may have filled a cache from a state older
			// than it meanwhile.
			r.d.feed.publish([]Change{{}})
			stale = false
		}
		r.d.feed.readAt.Store(int64(began))
		r.clean(ctx)
	}
}

// horizon reads the oldest transaction that still runs, and the database's time in microseconds.
func (r *feedReader) horizon(ctx context.Context) (xid string, at int64, err error) {
	err = r.d.QueryRow(ctx, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text,
		CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&xid, &at)
	return xid, at, err
}

// read publishes what was committed since the last reading. late says that this was longer ago than caches may be
// believed: perhaps the process, or the machine it runs on, was stopped for so long that changes are gone from the table.
func (r *feedReader) read(ctx context.Context) (late bool, err error) {
	next, at, err := r.horizon(ctx)
	if err != nil {
		return false, err
	}
	var changes []Change
	seen := map[int64]bool{}
	err = r.d.Query(ctx, `SELECT seq, kind, key, xid < CAST(CAST($2 AS TEXT) AS xid8) FROM change WHERE xid >= CAST(CAST($1 AS TEXT) AS xid8)`,
		[]any{r.cursor, next}, func(scan func(...any) error) error {
			var seq int64
			var c Change
			var settled bool
			if err := scan(&seq, &c.Kind, &c.Key, &settled); err != nil {
				return err
			}
			if !r.seen[seq] {
				changes = append(changes, c)
			}
			if !settled {
				seen[seq] = true
			}
			return nil
		})
	if err != nil {
		return false, err
	}
	late = time.Duration(at-r.at)*time.Microsecond >= feedFresh
	r.cursor, r.seen, r.at = next, seen, at
	r.d.feed.publish(changes)
	return late, nil
}

// clean removes old rows now and then. Every process does it; twice does no harm.
func (r *feedReader) clean(ctx context.Context) {
	if time.Since(r.sweep) < feedKept/2 {
		return
	}
	r.sweep = time.Now()
	_, err := r.d.pool.ExecContext(ctx, `DELETE FROM change WHERE at < $1`, r.d.Micros()-feedKept.Microseconds())
	if err != nil && ctx.Err() == nil {
		r.d.log.Warn("old changes could not be removed", "error", err)
	}
}

// insertChanges writes the changes of a transaction in one statement, on Postgres.
func insertChanges(t *Tx) error {
	if len(t.changes) == 0 {
		return nil
	}
	var text strings.Builder
	text.WriteString(`INSERT INTO change (kind, key, at) VALUES `)
	args := []any{t.Now()}
	for i, c := range t.changes {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString("(" + placeholder(len(args)+1) + ", " + placeholder(len(args)+2) + ", $1)")
		args = append(args, c.Kind, c.Key)
	}
	_, err := t.Exec(text.String(), args...)
	return err
}
