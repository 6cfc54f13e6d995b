package db_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
)

func TestWriteAndRead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		var order []string
		d.Subscribe(func(c []db.Change) {
			for _, c := range c {
				order = append(order, c.Kind+"/"+c.Key)
			}
		})
		if d.Engine() == db.SQLite {
			write(t, d, func(tx *db.Tx) error {
				tx.OnCommit(func() { order = append(order, "committed") })
				tx.Changed("item", "a")
				return insert(tx, "a")
			})
			if want := []string{"item/a", "committed"}; !slices.Equal(order, want) {
				t.Errorf("heard %v, want %v", order, want)
			}
		}
		order = nil
		err := d.Write(t.Context(), func(tx *db.Tx) error {
			tx.OnCommit(func() { order = append(order, "committed") })
			tx.Changed("item", "b")
			if err := insert(tx, "b"); err != nil {
				return err
			}
			return errMine
		})
		if !errors.Is(err, errMine) || len(order) > 0 {
			t.Errorf("a write that failed: %v, heard %v", err, order)
		}
		if slices.Contains(keys(t, d), "b") {
			t.Error("a write that failed left its row")
		}
	})
}

func TestNoRows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		const q = `SELECT v FROM item WHERE k = $1`
		var v int64
		if err := d.QueryRow(t.Context(), q, "none").Scan(&v); !errors.Is(err, db.ErrNoRows) {
			t.Errorf("outside: %v", err)
		}
		write(t, d, func(tx *db.Tx) error {
			if err := tx.QueryRow(q, "none").Scan(&v); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("inside: %v", err)
			}
			return insert(tx, "after no rows")
		})
		if got := keys(t, d); len(got) != 1 {
			t.Errorf("rows: %v", got)
		}
	})
}

func TestConflictIsACount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		for _, want := range []int64{1, 0} {
			write(t, d, func(tx *db.Tx) error {
				n, err := tx.Exec(`INSERT INTO item (k, v) VALUES ('a', 0) ON CONFLICT (k) DO NOTHING`)
				if n != want {
					t.Errorf("%d rows, want %d", n, want)
				}
				return err
			})
		}
	})
}

// A function that does not heed the error of a statement commits nothing: on Postgres the transaction is aborted, and
// SQLite does the same.
func TestUnheededError(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		for name, fail := range map[string]func(tx *db.Tx){
			"exec":  func(tx *db.Tx) { _ = insert(tx, "a") },
			"row":   func(tx *db.Tx) { _ = tx.QueryRow(`SELECT v FROM nothing`).Scan(new(int64)) },
			"query": func(tx *db.Tx) { _ = tx.Query(`SELECT v FROM nothing`, nil, nil) },
		} {
			err := d.Write(t.Context(), func(tx *db.Tx) error {
				if err := insert(tx, "a"); err != nil {
					return err
				}
				fail(tx)
				return nil
			})
			if err == nil || len(keys(t, d)) > 0 {
				t.Errorf("%s: %v, rows %v", name, err, keys(t, d))
			}
		}
	})
}

// The error with which a scan function ends a query is the caller's own and does no harm.
func TestScanEndsQuery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		write(t, d, func(tx *db.Tx) error {
			for _, k := range []string{"a", "b"} {
				if err := insert(tx, k); err != nil {
					return err
				}
			}
			err := tx.Query(`SELECT k FROM item`, nil, func(func(...any) error) error { return errMine })
			if !errors.Is(err, errMine) {
				t.Errorf("got %v", err)
			}
			return insert(tx, "c")
		})
		if got := keys(t, d); len(got) != 3 {
			t.Errorf("rows: %v", got)
		}
	})
}

func TestCancelled(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := d.Write(ctx, func(tx *db.Tx) error { return insert(tx, "a") })
		if !errors.Is(err, context.Canceled) || len(keys(t, d)) > 0 {
			t.Errorf("got %v, rows %v", err, keys(t, d))
		}
	})
}

// A context that ends inside: SQLite commits all the same, Postgres gives up. What Write returns is what happened.
func TestCancelledInside(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		err := d.Write(ctx, func(tx *db.Tx) error {
			err := insert(tx, "a")
			cancel()
			return err
		})
		if (err == nil) != (len(keys(t, d)) == 1) {
			t.Errorf("got %v, rows %v", err, keys(t, d))
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		write(t, d, func(tx *db.Tx) error { return insert(tx, "b") })
	})
}

func TestRecord(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		var r db.Recorder
		d.Record(&r)
		keys(t, d)
		write(t, d, func(tx *db.Tx) error { return insert(tx, "a") })
		want := []string{`SELECT k FROM item ORDER BY k`, `INSERT INTO item (k, v) VALUES ($1, 0)`}
		if got := r.Take(); !slices.Equal(got, want) {
			t.Errorf("recorded %q", got)
		}
		d.Record(nil)
		keys(t, d)
		if got := r.Take(); len(got) > 0 {
			t.Errorf("recorded %q after the end", got)
		}
	})
}

func TestClosed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		table(t, d)
		for range 2 {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := d.Write(t.Context(), func(tx *db.Tx) error { return nil }); err == nil {
			t.Error("a closed database was written to")
		}
		if err := d.Ping(t.Context()); err == nil {
			t.Error("a closed database answered")
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"mysql://root:secret@host/db", "neither sqlite: nor postgres:"},
		{"sqlite:", "not of the form"},
		{"sqlite://" + filepath.Join(t.TempDir(), "none", "hallmark.db"), "cannot be opened"},
		{"postgres://u:secret@127.0.0.1:1/db?connect_timeout=2", "does not answer"},
		{"postgres://u:secret@127.0.0.1:1/db?default_query_exec_mode=simple_protocol", "simple protocol"},
	} {
		d, err := db.Open(t.Context(), c.address, db.Options{})
		if err == nil {
			d.Close()
			t.Errorf("%s was opened", c.address)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", c.address, err)
		}
	}
}

func TestWriteRow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open dbtest.Open) {
		d := open(t)
		ctx := t.Context()
		err := d.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`CREATE TABLE counter (name TEXT PRIMARY KEY, n BIGINT NOT NULL)`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		const add = `INSERT INTO counter (name, n) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = counter.n + 1 RETURNING n`
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				var n int64
				if err := d.WriteRow(ctx, add, []any{"a"}, &n); err != nil || n < 1 {
					t.Errorf("%d, %v", n, err)
				}
			})
		}
		all.Wait()
		var n int64
		if err := d.WriteRow(ctx, add, []any{"a"}, &n); err != nil || n != 17 {
			t.Errorf("after 16: %d, %v", n, err)
		}
		err = d.WriteRow(ctx, `UPDATE counter SET n = 0 WHERE name = $1 RETURNING n`, []any{"b"}, &n)
		if !errors.Is(err, db.ErrNoRows) {
			t.Errorf("no row to change: %v", err)
		}
	})
}
