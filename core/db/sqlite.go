package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteReaders is how many connections read at once: more than cores, because a cold page waits for the disk.
const sqliteReaders = 8

func (d *DB) openSQLite(ctx context.Context, rawURL string, opt Options) error {
	path, err := sqlitePath(rawURL)
	if err != nil {
		return err
	}
	d.engine = SQLite
	// synchronous=FULL: a commit is on the disk when it returns. The pages of a small hub fit into 16 MiB per connection.
	pragmas := "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		"&_pragma=cache_size(-16384)&_pragma=temp_store(MEMORY)&_pragma=mmap_size(268435456)"
	file := (&url.URL{Path: path}).EscapedPath()
	w, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&"+pragmas)
	if err != nil {
		return err
	}
	w.SetMaxOpenConns(2) // the writer's own, and one for migrations
	conn, err := w.Conn(ctx)
	if err != nil {
		w.Close()
		return fmt.Errorf("the database %s cannot be opened: %w", path, err)
	}
	if err := assertDurable(ctx, conn); err != nil {
		conn.Close()
		w.Close()
		return err
	}
	conn.Close()
	if d.pool, err = sql.Open("sqlite", "file:"+file+"?mode=ro&"+pragmas); err != nil {
		w.Close()
		return err
	}
	d.stmts.prepare = d.pool.Prepare
	n := opt.MaxConns
	if n == 0 {
		n = sqliteReaders
	}
	d.pool.SetMaxOpenConns(n)
	d.pool.SetMaxIdleConns(n)
	d.writer = newWriter(d, w)
	return nil
}

// sqlitePath is the file of a database address. A host would be the first name of a relative path, taken for another.
func sqlitePath(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Path == "" || u.Host != "" {
		return "", fmt.Errorf("the database address %q is not of the form sqlite:///path/to/file", rawURL)
	}
	return u.Path, nil
}

// assertDurable makes sure that the settings on which "201 means durable" rests are in force.
func assertDurable(ctx context.Context, c *sql.Conn) error {
	var mode string
	var sync int
	if err := c.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if err := c.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&sync); err != nil {
		return err
	}
	if mode != "wal" || sync < 2 {
		return fmt.Errorf("the database runs with journal_mode=%s, synchronous=%d; it needs wal and 2 (FULL): is the file on a file system without shared memory (a network share)?", mode, sync)
	}
	return nil
}

// translateSQLite turns the driver's errors into ours.
func translateSQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w (%w)", ErrFull, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	return err
}

func (d *DB) translate(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if d.engine == SQLite {
		return translateSQLite(err)
	}
	return translatePostgres(err)
}

func placeholder(n int) string { return "$" + strconv.Itoa(n) }
