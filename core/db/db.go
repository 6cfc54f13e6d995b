package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Engine is a kind of database.
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Options of Open; the zero value is fine.
type Options struct {
	Log *slog.Logger
	// Wall is the clock of this machine, which is the database's on SQLite; nil means time.Now. Tests step it.
	Wall func() time.Time
	// MaxConns is the most connections at once; 0 means 8 readers on SQLite, 32 on Postgres.
	MaxConns int
}

// DB is an open database. All methods may be called concurrently.
type DB struct {
	engine Engine
	log    *slog.Logger
	pool   *sql.DB       // SQLite: readers only
	writer *writer       // SQLite only
	slots  chan struct{} // Postgres only, like maxConns

	maxConns int
	clock    clock
	feed     feed
	closed   sync.Once

	recorder atomic.Pointer[Recorder]
	stmts    statements // SQLite only, of pool
}

// Open opens the database at rawURL: "sqlite:///path/to/file" or "postgres://..". It does not touch the schema.
func Open(ctx context.Context, rawURL string, opt Options) (*DB, error) {
	d := &DB{log: opt.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.clock.start, d.clock.wall = time.Now(), opt.Wall
	if d.clock.wall == nil {
		d.clock.wall = time.Now
	}
	var err error
	switch {
	case strings.HasPrefix(rawURL, "sqlite:"):
		err = d.openSQLite(ctx, rawURL, opt)
	case strings.HasPrefix(rawURL, "postgres:"), strings.HasPrefix(rawURL, "postgresql:"):
		err = d.openPostgres(ctx, rawURL, opt)
	default:
		err = CheckAddress(rawURL)
	}
	if err != nil {
		return nil, err
	}
	if err := d.clock.measure(ctx, d); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// CheckAddress reports what keeps Open from understanding rawURL. It asks no server and opens no file.
func CheckAddress(rawURL string) error {
	switch {
	case strings.HasPrefix(rawURL, "sqlite:"):
		_, err := sqlitePath(rawURL)
		return err
	case strings.HasPrefix(rawURL, "postgres:"), strings.HasPrefix(rawURL, "postgresql:"):
		_, err := postgresConfig(rawURL)
		return err
	}
	return fmt.Errorf("the database address %q begins with neither sqlite: nor postgres:", Redact(rawURL))
}

// Redact returns a database address without its password, which may stand in the query as well.
func Redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Opaque != "" {
		return strings.SplitN(rawURL, ":", 2)[0] + ":.."
	}
	u.RawQuery, u.Fragment = "", ""
	return u.Redacted()
}

// Engine tells which engine this is.
func (d *DB) Engine() Engine { return d.engine }

// Pool is the connection pool, for migrations alone.
func (d *DB) Pool() *sql.DB {
	if d.writer != nil {
		return d.writer.pool
	}
	return d.pool
}

// Close ends all work and closes the connections. Writes that wait are refused. Again it does nothing.
func (d *DB) Close() error {
	var err error
	d.closed.Do(func() {
		d.feed.stop()
		if d.writer != nil {
			d.writer.close()
		}
		err = d.pool.Close()
	})
	return err
}

// Ping asks the database for an answer.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	return d.QueryRow(ctx, `SELECT 1`).Scan(&one)
}

// Now is the time of the database, as well as this process knows it: the monotonic clock of this machine plus an
// offset that is measured again and again. Times in rows are Micros of it.
func (d *DB) Now() time.Time { return d.clock.now() }

// Micros is Now in microseconds since 1970.
func (d *DB) Micros() int64 { return d.clock.now().UnixMicro() }

// ClockSteady reports whether the clock has been steady since it was last measured. While it is not, no lease is taken
// and nothing is collected.
func (d *DB) ClockSteady() bool { return d.clock.steady.Load() }

// Time turns microseconds of a row into a time.
func Time(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// ErrNoRows is what Row.Scan returns when there is no row.
var ErrNoRows = sql.ErrNoRows

// ErrFull says that the disk of the database is full: nothing was written, and reading goes on.
var ErrFull = errors.New("the database has no space left to write to")

// ErrUnavailable says that the database cannot be reached or does not answer in time: try again later.
var ErrUnavailable = errors.New("the database cannot be reached")

// Row is the answer to QueryRow.
type Row struct {
	row       *sql.Row
	err       error
	translate func(error) error
}

// Scan reads the row's columns. ErrNoRows if there is none.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.translate(r.row.Scan(dest...))
}

// QueryRow reads one row outside any transaction.
func (d *DB) QueryRow(ctx context.Context, query string, args ...any) *Row {
	d.record(query)
	if d.engine == Postgres {
		return &Row{row: d.pool.QueryRowContext(ctx, query, args...), translate: d.translate}
	}
	stmt, err := d.stmts.get(query)
	switch {
	case err != nil:
		return &Row{err: d.translate(err)}
	case stmt == nil:
		return &Row{row: d.pool.QueryRowContext(context.WithoutCancel(ctx), query, args...), translate: d.translate}
	}
	// A context that can end makes the driver start a goroutine for each statement. Ours take microseconds.
	return &Row{row: stmt.QueryRow(args...), translate: d.translate}
}

// Query reads rows outside any transaction and hands each to scan.
func (d *DB) Query(ctx context.Context, query string, args []any, scan func(scan func(dest ...any) error) error) error {
	d.record(query)
	rows, err := d.query(ctx, query, args)
	if err != nil {
		return d.translate(err)
	}
	return each(rows, scan, d.translate)
}

func (d *DB) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	if d.engine == Postgres {
		return d.pool.QueryContext(ctx, query, args...)
	}
	stmt, err := d.stmts.get(query)
	switch {
	case err != nil:
		return nil, err
	case stmt == nil:
		return d.pool.QueryContext(context.WithoutCancel(ctx), query, args...)
	}
	return stmt.Query(args...)
}

func each(rows *sql.Rows, scan func(scan func(dest ...any) error) error, translate func(error) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return translate(rows.Err())
}
