package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// writerBatch is how many requests at most share one commit.
const writerBatch = 64

var errClosed = errors.New("the database is closed")

// writer is the one goroutine that writes to SQLite. Requests that wait while it commits share the next transaction,
// a savepoint each, so that one sync of the disk serves them all.
type writer struct {
	d     *DB
	pool  *sql.DB
	conn  *sql.Conn
	stmts statements
	queue chan *writeRequest
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once
}

type writeRequest struct {
	ctx  context.Context
	f    func(tx *Tx) error
	tx   *Tx
	err  error
	done chan struct{}
}

func newWriter(d *DB, pool *sql.DB) *writer {
	w := &writer{d: d, pool: pool, queue: make(chan *writeRequest, 4*writerBatch), quit: make(chan struct{}), done: make(chan struct{})}
	w.stmts.prepare = func(query string) (*sql.Stmt, error) { return w.conn.PrepareContext(context.Background(), query) }
	return w
}

// do hands f to the writer and waits. The first call starts it: before, migrations use the connection.
func (w *writer) do(ctx context.Context, f func(tx *Tx) error) (*Tx, error) {
	w.once.Do(func() { go w.loop() })
	r := &writeRequest{ctx: ctx, f: f, done: make(chan struct{})}
	select {
	case w.queue <- r:
	case <-w.quit:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// From here on it is decided soon, and the caller has to know how.
	select {
	case <-r.done:
		return r.tx, r.err
	case <-w.done:
	}
	select {
	case <-r.done: // both at once
		return r.tx, r.err
	default:
		return nil, errClosed
	}
}

func (w *writer) close() {
	close(w.quit)
	w.once.Do(func() { close(w.done) })
	<-w.done
	w.pool.Close()
}

func (w *writer) loop() {
	defer close(w.done)
	defer func() {
		w.stmts.close()
		if w.conn != nil {
			w.conn.Close()
		}
	}()
	for {
		select {
		case r := <-w.queue:
			w.batch(r)
		case <-w.quit:
			return
		}
	}
}

// batch runs first and whatever waits behind it in one transaction.
func (w *writer) batch(first *writeRequest) {
	var ran []*writeRequest
	err := w.begin()
	if err != nil {
		first.finish(w.d.translate(err))
		return
	}
	for r := first; r != nil; r = w.next(len(ran)) {
		if len(ran) == 0 {
			// Nothing else is in the transaction yet, so no savepoint is needed to give it up alone.
			if r.err = w.run(r); r.err != nil {
				r.finish(r.err)
				w.rollback()
				if err = w.begin(); err != nil {
					return
				}
				continue
			}
		} else if lost, err := w.runInSavepoint(r); lost {
			// The transaction is gone, and with it what the others did.
			w.rollback()
			for _, o := range ran {
				o.finish(fmt.Errorf("%w: another write in the same transaction failed (%w)", ErrUnavailable, err))
			}
			r.finish(err)
			return
		} else if err != nil {
			r.finish(err)
			continue
		}
		ran = append(ran, r)
	}
	if len(ran) == 0 {
		w.rollback()
		return
	}
	err = w.exec("COMMIT")
	if err != nil {
		w.rollback()
		err = w.d.translate(err)
	}
	for _, r := range ran {
		r.finish(err)
	}
}

// next takes a waiting request without waiting for one.
func (w *writer) next(ran int) *writeRequest {
	if ran >= writerBatch {
		return nil
	}
	select {
	case r := <-w.queue:
		return r
	default:
		return nil
	}
}

func (r *writeRequest) finish(err error) {
	r.err = err
	close(r.done)
}

func (w *writer) begin() error {
	if w.conn == nil {
		c, err := w.pool.Conn(context.Background())
		if err != nil {
			return err
		}
		w.conn = c
	}
	return w.exec("BEGIN IMMEDIATE")
}

func (w *writer) rollback() {
	// An error means that SQLite has rolled back by itself already.
	_ = w.exec("ROLLBACK")
}

func (w *writer) runInSavepoint(r *writeRequest) (lost bool, err error) {
	if err := w.exec("SAVEPOINT request"); err != nil {
		return true, w.d.translate(err)
	}
	if err := w.run(r); err != nil {
		if undo := w.exec("ROLLBACK TO request"); undo != nil {
			return true, err
		}
		if undo := w.exec("RELEASE request"); undo != nil {
			return true, err
		}
		return false, err
	}
	if err := w.exec("RELEASE request"); err != nil {
		return true, w.d.translate(err)
	}
	return false, nil
}

// run calls the request's function. A panic in it is an error of that request alone.
func (w *writer) run(r *writeRequest) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.d.log.Error("panic in a write", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic in a write: %v", p)
		}
	}()
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.tx = &Tx{d: w.d, ctx: context.WithoutCancel(r.ctx), run: w}
	return r.tx.ended(r.f(r.tx))
}

func (w *writer) exec(text string) error {
	_, err := w.ExecContext(context.Background(), text)
	return err
}

// ExecContext, QueryContext and QueryRowContext make the writer a runner: prepared once, never cancelled midway.
func (w *writer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := w.stmts.get(query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return w.conn.ExecContext(context.WithoutCancel(ctx), query, args...)
	}
	return s.Exec(args...)
}

func (w *writer) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := w.stmts.get(query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return w.conn.QueryContext(context.WithoutCancel(ctx), query, args...)
	}
	return s.Query(args...)
}

func (w *writer) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := w.stmts.get(query)
	if err != nil || s == nil {
		// sql.Row cannot be made with an error from outside; the same statement unprepared gives the same one.
		return w.conn.QueryRowContext(context.WithoutCancel(ctx), query, args...)
	}
	return s.QueryRow(args...)
}
