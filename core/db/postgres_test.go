package db_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
)

// with returns the address with one more parameter.
func with(t testing.TB, address, key, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func openURL(t testing.TB, address string) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), address, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestTimeouts(t *testing.T) {
	d := dbtest.Postgres(t)(t)
	for setting, want := range map[string]string{
		"statement_timeout": "5s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "15s",
		"synchronous_commit": "on",
	} {
		var got string
		if err := d.QueryRow(t.Context(), `SHOW `+setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", setting, got, err, want)
		}
	}
}

// add raises a row, so that another transaction that wants it waits.
func add(tx *db.Tx, k string) error {
	_, err := tx.Exec(`UPDATE item SET v = v + 1 WHERE k = $1`, k)
	return err
}

func value(t testing.TB, d *db.DB, k string) int64 {
	t.Helper()
	var v int64
	if err := d.QueryRow(t.Context(), `SELECT v FROM item WHERE k = $1`, k).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Two transactions that take two rows in opposite order: the one that the server gives up runs again.
func TestDeadlockIsTriedAgain(t *testing.T) {
	d := openURL(t, with(t, dbtest.PostgresURL(t), "deadlock_timeout", "50ms"))
	table(t, d)
	write(t, d, func(tx *db.Tx) error { return errors.Join(insert(tx, "a"), insert(tx, "b")) })
	var both, done sync.WaitGroup
	both.Add(2)
	runs := make(chan struct{}, 100)
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		first := true
		done.Go(func() {
			err := d.Write(t.Context(), func(tx *db.Tx) error {
				runs <- struct{}{}
				if err := add(tx, order[0]); err != nil {
					return err
				}
				if first {
					first = false
					both.Done()
					both.Wait()
				}
				return add(tx, order[1])
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if value(t, d, "a") != 2 || value(t, d, "b") != 2 || len(runs) < 3 {
		t.Errorf("a=%d b=%d after %d runs", value(t, d, "a"), value(t, d, "b"), len(runs))
	}
}

func TestSerializationFailureIsTriedAgain(t *testing.T) {
	d := dbtest.Postgres(t)(t)
	table(t, d)
	write(t, d, func(tx *db.Tx) error { return insert(tx, "a") })
	runs := 0
	write(t, d, func(tx *db.Tx) error {
		runs++
		if _, err := tx.Exec(`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT v FROM item WHERE k = 'a'`).Scan(new(int64)); err != nil {
			return err
		}
		if runs == 1 {
			write(t, d, func(tx *db.Tx) error { return add(tx, "a") })
		}
		return add(tx, "a")
	})
	if runs != 2 || value(t, d, "a") != 2 {
		t.Errorf("%d runs, a=%d", runs, value(t, d, "a"))
	}
}

func TestLockTimeout(t *testing.T) {
	address := dbtest.PostgresURL(t)
	d := openURL(t, address)
	impatient := openURL(t, with(t, address, "lock_timeout", "50ms"))
	table(t, d)
	write(t, d, func(tx *db.Tx) error { return insert(tx, "a") })
	write(t, d, func(tx *db.Tx) error {
		if err := add(tx, "a"); err != nil {
			return err
		}
		err := impatient.Write(t.Context(), func(tx *db.Tx) error { return add(tx, "a") })
		if !errors.Is(err, db.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if value(t, d, "a") != 1 {
		t.Errorf("a=%d", value(t, d, "a"))
	}
}

// terminate ends the connections of d, as a restart of the server does.
func terminate(t testing.TB, d *db.DB, pids ...int64) {
	t.Helper()
	for _, pid := range pids {
		var ok bool
		if err := d.QueryRow(t.Context(), `SELECT pg_terminate_backend(CAST($1 AS INTEGER), 5000)`, pid).Scan(&ok); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
}

func TestTerminatedConnection(t *testing.T) {
	open := dbtest.Postgres(t)
	d, killer := open(t), open(t)
	table(t, d)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		var pid int64
		if err := tx.QueryRow(`SELECT pg_backend_pid()`).Scan(&pid); err != nil {
			return err
		}
		terminate(t, killer, pid)
		return insert(tx, "a")
	})
	if !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("in the middle: %v", err)
	}
	if got := keys(t, d); len(got) > 0 {
		t.Errorf("rows %v", got)
	}
	write(t, d, func(tx *db.Tx) error { return insert(tx, "b") })
}

// After a restart of the server every idle connection has ended: writes do not fail for it.
func TestTerminatedIdleConnections(t *testing.T) {
	open := dbtest.Postgres(t)
	d, killer := open(t), open(t)
	table(t, d)
	var all, done sync.WaitGroup
	pids := make([]int64, 12)
	all.Add(len(pids))
	for i := range pids {
		done.Go(func() {
			write(t, d, func(tx *db.Tx) error {
				defer all.Wait()
				defer all.Done()
				return tx.QueryRow(`SELECT pg_backend_pid()`).Scan(&pids[i])
			})
		})
	}
	done.Wait()
	terminate(t, killer, pids...)
	for range pids {
		write(t, d, func(tx *db.Tx) error { return nil })
	}
	write(t, d, func(tx *db.Tx) error { return insert(tx, "a") })
	if got := keys(t, d); !slices.Equal(got, []string{"a"}) {
		t.Errorf("rows %v", got)
	}
}

// A connection that breaks without a word (a machine that is gone) is told as unavailable, to readers and writers.
func TestBrokenConnection(t *testing.T) {
	p := newProxy(t)
	d := openURL(t, p.address)
	table(t, d)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		p.cut()
		return insert(tx, "a")
	})
	if !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("write in the middle: %v", err)
	}
	if err := d.Write(t.Context(), func(tx *db.Tx) error { return insert(tx, "a") }); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("write: %v", err)
	}
	if err := d.Ping(t.Context()); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	p.mend()
	write(t, d, func(tx *db.Tx) error { return insert(tx, "b") })
}

// A commit whose answer is lost may have happened or not, and that is what the caller is told.
func TestCommitWithoutAnswer(t *testing.T) {
	p := newProxy(t)
	d := openURL(t, p.address)
	table(t, d)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		err := insert(tx, "a")
		p.deafen()
		return err
	})
	if !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// The slots bound how many transactions run at once, and one that waits for a slot ends with its context.
func TestWritersAreBounded(t *testing.T) {
	d, err := db.Open(t.Context(), dbtest.PostgresURL(t), db.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	hold := make(chan struct{})
	var began, done sync.WaitGroup
	began.Add(2)
	for range 2 {
		done.Go(func() {
			write(t, d, func(tx *db.Tx) error { began.Done(); <-hold; return nil })
		})
	}
	began.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d.Write(ctx, func(tx *db.Tx) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(hold)
	done.Wait()
}
