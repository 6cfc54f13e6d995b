package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	postgresConns = 32
	// postgresWriters bounds the write transactions of one process, so that a row that all of them want (a busy
	// project's usage) never makes one wait for the lock timeout.
	postgresWriters = 16
	// postgresTries is how often a transaction is tried that met a deadlock or a serialization failure.
	postgresTries = 8
	// postgresCommit is how long a commit is waited for after which it may have happened or not.
	postgresCommit = 10 * time.Second
)

func (d *DB) openPostgres(ctx context.Context, rawURL string, opt Options) error {
	cfg, err := postgresConfig(rawURL)
	if err != nil {
		return err
	}
	d.engine, d.feed.shared, d.feed.start = Postgres, true, time.Now()
	for k, v := range map[string]string{"statement_timeout": "5000", "lock_timeout": "2000",
		"idle_in_transaction_session_timeout": "15000", "application_name": "hallmark"} {
		if _, set := cfg.RuntimeParams[k]; !set {
			cfg.RuntimeParams[k] = v
		}
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	if d.maxConns = opt.MaxConns; d.maxConns == 0 {
		d.maxConns = postgresConns
	}
	d.slots = make(chan struct{}, min(postgresWriters, d.maxConns))
	d.connect(cfg)
	var commit string
	if err := d.QueryRow(ctx, `SHOW synchronous_commit`).Scan(&commit); err != nil {
		d.pool.Close()
		return fmt.Errorf("the database %s does not answer: %w", Redact(rawURL), connectCause(err))
	}
	if commit == "off" {
		// Whatever others on that server put up with: what is acknowledged here is on its disk.
		cfg.RuntimeParams["synchronous_commit"] = "on"
		d.pool.Close()
		d.connect(cfg)
	}
	return nil
}

// postgresConfig reads a database address. What the parser says of one without clear borders is not told: what it takes for
// a port may be a part of the password.
func postgresConfig(rawURL string) (*pgx.ConnConfig, error) {
	if _, err := url.Parse(rawURL); err != nil {
		return nil, errors.New("the database address is not of the form postgres://user:password@host:port/database (in a password / is written %2F, ? %3F, # %23, % %25)")
	}
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		why := err.Error()
		if i := strings.LastIndex(why, "`: "); i >= 0 { // before that it repeats the address
			why = why[i+len("`: "):]
		}
		return nil, fmt.Errorf("the database address %s is not understood: %s", Redact(rawURL), why)
	}
	if cfg.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return nil, errors.New("the database address asks for the simple protocol, which mixes values into the text of statements; remove default_query_exec_mode")
	}
	return cfg, nil
}

// connectCause says in one line why there is no connection. The driver tells of each address that it tried, with TLS and
// without, on a line of its own.
func connectCause(err error) error {
	var connect *pgconn.ConnectError
	if !errors.As(err, &connect) {
		return err
	}
	var causes []string
	for line := range strings.Lines(connect.Unwrap().Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(causes, line) {
			causes = append(causes, line)
		}
	}
	return errors.New(strings.Join(causes, "; "))
}

func (d *DB) connect(cfg *pgx.ConnConfig) {
	d.pool = stdlib.OpenDB(*cfg)
	d.pool.SetMaxOpenConns(d.maxConns)
	d.pool.SetMaxIdleConns(d.maxConns)
	d.pool.SetConnMaxIdleTime(5 * time.Minute)
}

// writePostgres runs f in a transaction of its own, again if it lost against another one.
func (d *DB) writePostgres(ctx context.Context, f func(tx *Tx) error) (*Tx, error) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for try := 1; ; try++ {
		t, err := d.tryPostgres(ctx, f)
		if err == nil || !retryable(err) || try == postgresTries {
			return t, err
		}
		if errors.Is(err, errBegin) {
			d.pool.SetMaxIdleConns(-1) // the others in the pool have ended too: close them
			d.pool.SetMaxIdleConns(d.maxConns)
		}
		wait := time.NewTimer(time.Duration(rand.Int64N(int64(try) * int64(10*time.Millisecond))))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		}
	}
}

func (d *DB) tryPostgres(ctx context.Context, f func(tx *Tx) error) (*Tx, error) {
	// The end of ctx ends the transaction until the commit is sent. A commit that was sent is waited for, so that the
	// caller learns how it went.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	detach := context.AfterFunc(ctx, cancel)
	defer detach()
	tx, err := d.pool.BeginTx(inner, nil)
	if err != nil {
		return nil, begun(ctx, d.translate(err))
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	t := &Tx{d: d, ctx: ctx, run: tx}
	if err := t.ended(f(t)); err != nil {
		return nil, err
	}
	if err := insertChanges(t); err != nil {
		return nil, err
	}
	if !detach() {
		return nil, ctx.Err()
	}
	limit := time.AfterFunc(postgresCommit, cancel)
	defer limit.Stop()
	if err := tx.Commit(); err != nil {
		if err = d.translate(err); !errors.As(err, new(*pgconn.PgError)) && !errors.Is(err, ErrUnavailable) {
			err = fmt.Errorf("%w (%w)", ErrUnavailable, err)
		}
		return nil, err
	}
	return t, nil
}

// errBegin says that a transaction did not begin because its connection had ended while it lay idle in the pool.
var errBegin = errors.New("the connection had ended")

// begun gives the error of BEGIN. All idle connections have ended after the server was started anew: each is worth
// another try, because nothing was sent yet.
func begun(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, ErrUnavailable) && !errors.As(err, new(*pgconn.ConnectError)) {
		return fmt.Errorf("%w: %w", errBegin, err)
	}
	return err
}

// retryable reports whether a transaction failed only because of others that ran beside it, or never began.
func retryable(err error) bool {
	if errors.Is(err, errBegin) {
		return true
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == "40001" || e.Code == "40P01"
}

// translatePostgres turns the driver's errors into ours. The original stays in the chain for retryable and the log.
func translatePostgres(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch {
		case e.Code == "22021":
			// A text with a NUL or broken UTF-8: no row can have it.
			return sql.ErrNoRows
		case e.Code == "53100":
			return fmt.Errorf("%w (%w)", ErrFull, err)
		case e.Code == "57014", e.Code == "55P03", e.Code[:2] == "53", e.Code[:2] == "57", e.Code[:2] == "08",
			e.Code == "25006", e.Code == "40001", e.Code == "40P01":
			return fmt.Errorf("%w (%w)", ErrUnavailable, err)
		}
		return err
	}
	var ne net.Error
	if errors.As(err, &ne) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err) ||
		pgconn.Timeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (%w)", ErrUnavailable, err)
	}
	return err
}
