package db

import "context"

// Measure measures the clock as Follow does every ten seconds.
func (d *DB) Measure(ctx context.Context) error { return d.clock.measure(ctx, d) }
