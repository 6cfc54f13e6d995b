package db

import (
	"context"
	"database/sql"
	"errors"
)

// Tx is one write transaction. It is used by one goroutine, inside the function given to Write.
type Tx struct {
	d        *DB
	ctx      context.Context
	run      runner
	changes  []Change
	onCommit []func()
	err      error // of the first statement that failed: nothing is committed after it
}

// runner is what both engines offer inside a transaction.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Context is the context of the Write.
func (t *Tx) Context() context.Context { return t.ctx }

// note translates the error of a statement and remembers it. Postgres commits nothing after a failed statement, and
// SQLite may have rolled back by itself (a full disk), so that a function that ignored the error would be committed in
// pieces. The same holds for both: see ended.
func (t *Tx) note(err error) error {
	err = t.d.translate(err)
	if err != nil && t.err == nil && !errors.Is(err, ErrNoRows) {
		t.err = err
	}
	return err
}

// ended is the outcome of the transaction's function: its error, or that of a statement which it did not heed.
func (t *Tx) ended(err error) error {
	if err != nil {
		return err
	}
	return t.err
}

// Exec runs a statement and tells how many rows it changed: a conflict is a count, not an error. After an error the
// transaction is not committed, whatever its function returns; this holds for the other statements too.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	t.d.record(query)
	res, err := t.run.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, t.note(err)
	}
	n, err := res.RowsAffected()
	return n, t.note(err)
}

// QueryRow reads one row inside the transaction.
func (t *Tx) QueryRow(query string, args ...any) *Row {
	t.d.record(query)
	return &Row{row: t.run.QueryRowContext(t.ctx, query, args...), translate: t.note}
}

// Query reads rows inside the transaction and hands each to scan. scan must not use t.
func (t *Tx) Query(query string, args []any, scan func(scan func(dest ...any) error) error) error {
	t.d.record(query)
	rows, err := t.run.QueryContext(t.ctx, query, args...)
	if err != nil {
		return t.note(err)
	}
	return each(rows, scan, t.note)
}

// Now is the time for rows of this transaction, in microseconds.
func (t *Tx) Now() int64 { return t.d.Micros() }

// Changed says that what others may have cached under kind and key is no longer true. Subscribers of this process hear
// of it after the commit and before Write returns, those of other processes within a second.
func (t *Tx) Changed(kind, key string) { t.changes = append(t.changes, Change{Kind: kind, Key: key}) }

// OnCommit calls f after the commit, before Write returns.
func (t *Tx) OnCommit(f func()) { t.onCommit = append(t.onCommit, f) }

// Write runs f in one transaction and commits it, unless f returns an error. f may be run more than once, so it may
// only change what it sets anew each time; it does no network or file I/O and takes no lock that a reader holds. When
// Write returns nil the change is durable. An error other than f's own means that nothing was changed, except
// ErrUnavailable: then a commit on Postgres may have happened or not.
func (d *DB) Write(ctx context.Context, f func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var tx *Tx
	var err error
	if d.writer != nil {
		tx, err = d.writer.do(ctx, f)
	} else {
		tx, err = d.writePostgres(ctx, f)
	}
	if err != nil {
		return err
	}
	d.feed.publish(tx.changes)
	for _, f := range tx.onCommit {
		f()
	}
	return nil
}

// WriteRow is Write of the one statement query, whose RETURNING row goes into dest; ErrNoRows if it changed none. On
// Postgres it is one round trip where Write takes three. Nobody hears of the change: it is for what no other process has
// cached.
func (d *DB) WriteRow(ctx context.Context, query string, args []any, dest ...any) error {
	if d.writer != nil {
		return d.Write(ctx, func(tx *Tx) error { return tx.QueryRow(query, args...).Scan(dest...) })
	}
	for try := 1; ; try++ {
		err := d.QueryRow(ctx, query, args...).Scan(dest...)
		if err == nil || !retryable(err) || try == postgresTries {
			return err
		}
	}
}
