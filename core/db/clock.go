package db

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// clockJump is how far the offset to the database's clock may move between two measurements before it counts as a jump.
const clockJump = time.Second

// clockInterval is how often it is measured.
const clockInterval = 10 * time.Second

// clock tells the database's time from this machine's monotonic clock and a measured offset, so that a step of the wall
// clock here moves no lease.
type clock struct {
	wall   func() time.Time // only to measure it where it is the database's clock
	start  time.Time        // of the monotonic clock
	base   atomic.Pointer[basis]
	steady atomic.Bool
}

// basis is one measurement: at local on the monotonic clock it was remote microseconds in the database.
type basis struct {
	local  time.Duration
	remote int64
}

func (c *clock) now() time.Time {
	b := c.base.Load()
	if b == nil {
		return c.wall()
	}
	return time.UnixMicro(b.remote + (time.Since(c.start) - b.local).Microseconds()).UTC()
}

// measure asks the database for its time. SQLite has none of its own: there it is this machine's wall clock.
func (c *clock) measure(ctx context.Context, d *DB) error {
	old, next := c.base.Load(), &basis{local: time.Since(c.start)}
	if d.engine == Postgres {
		if err := d.QueryRow(ctx, `SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&next.remote); err != nil {
			return err
		}
		trip := time.Since(c.start) - next.local
		if trip > clockJump && old != nil {
			return fmt.Errorf("the answer took %s, and it was true somewhere in between", trip)
		}
		next.local += trip / 2
	} else {
		next.remote = c.wall().UnixMicro()
	}
	// The first measurement after a jump is believed but not acted on; the next one confirms it.
	c.steady.Store(old == nil || old.drift(next).Abs() <= clockJump)
	c.base.Store(next)
	return nil
}

// drift is how far the database's clock moved against the monotonic one since b.
func (b *basis) drift(next *basis) time.Duration {
	return time.Duration(next.remote-b.remote)*time.Microsecond - (next.local - b.local)
}

// keep measures until ctx ends.
func (c *clock) keep(ctx context.Context, d *DB) {
	t := time.NewTicker(clockInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := c.measure(ctx, d); err != nil && ctx.Err() == nil {
				c.steady.Store(false)
				d.log.Warn("the database's clock could not be read", "error", err)
			}
		}
	}
}
