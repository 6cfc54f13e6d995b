package db_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hallmarkhub/hallmark/core/db"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
)

// batch holds the writer with one write, starts the others in order, and lets go: they share one transaction. It
// returns their errors; that of the first is the last.
func batch(t *testing.T, d *db.DB, first func(tx *db.Tx) error, others ...func(tx *db.Tx) error) []error {
	hold := make(chan struct{})
	errs := make([]error, len(others)+1)
	var done sync.WaitGroup
	done.Go(func() {
		errs[len(others)] = d.Write(t.Context(), func(tx *db.Tx) error {
			<-hold
			return first(tx)
		})
	})
	synctest.Wait()
	for i, f := range others {
		done.Go(func() { errs[i] = d.Write(t.Context(), f) })
		synctest.Wait()
	}
	close(hold)
	done.Wait()
	return errs
}

// inBubble runs f with a database whose goroutines synctest.Wait waits for.
func inBubble(t *testing.T, f func(t *testing.T, d *db.DB)) {
	open := dbtest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		table(t, d)
		f(t, d)
	})
}

func nothing(*db.Tx) error { return nil }

func TestBatchSharesCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, d *db.DB) {
		const n = 40
		var order, want []string
		var others []func(tx *db.Tx) error
		for i := range n {
			k := fmt.Sprintf("%03d", i)
			want = append(want, k)
			others = append(others, func(tx *db.Tx) error {
				var inside int
				if err := tx.QueryRow(`SELECT count(*) FROM item`).Scan(&inside); err != nil {
					return err
				}
				if outside := len(keys(t, d)); inside != i || outside != 0 {
					t.Errorf("write %d sees %d rows inside and %d outside, want %d and 0", i, inside, outside, i)
				}
				order = append(order, k) // one at a time: the writer calls
				return insert(tx, k)
			})
		}
		for i, err := range batch(t, d, nothing, others...) {
			if err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		}
		if !slices.Equal(order, want) || !slices.Equal(keys(t, d), want) {
			t.Errorf("order %v, rows %v", order, keys(t, d))
		}
	})
}

func TestBatchFailsAlone(t *testing.T) {
	bad := map[string]func(tx *db.Tx) error{
		"error": func(tx *db.Tx) error { return errors.Join(insert(tx, "bad"), errMine) },
		"panic": func(tx *db.Tx) error {
			if err := insert(tx, "bad"); err != nil {
				return err
			}
			panic(errMine)
		},
		"constraint": func(tx *db.Tx) error { return errors.Join(insert(tx, "bad"), insert(tx, "bad")) },
		"unheeded": func(tx *db.Tx) error {
			_ = insert(tx, "bad")
			_ = insert(tx, "bad")
			return nil
		},
	}
	good := func(k string) func(tx *db.Tx) error { return func(tx *db.Tx) error { return insert(tx, k) } }
	for name, f := range bad {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, d *db.DB) {
				errs := batch(t, d, nothing, good("a"), f, good("b"))
				if errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] != nil {
					t.Errorf("in the middle: %v", errs)
				}
				errs = batch(t, d, f, good("c"), f, good("d"))
				if errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] == nil {
					t.Errorf("at first: %v", errs)
				}
				if got, want := keys(t, d), []string{"a", "b", "c", "d"}; !slices.Equal(got, want) {
					t.Errorf("rows %v, want %v", got, want)
				}
			})
		})
	}
}

func TestBatchCancelledWhileWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, d *db.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		hold := make(chan struct{})
		var done sync.WaitGroup
		done.Go(func() {
			write(t, d, func(tx *db.Tx) error { <-hold; return insert(tx, "a") })
		})
		synctest.Wait()
		var err error
		done.Go(func() { err = d.Write(ctx, func(tx *db.Tx) error { return insert(tx, "b") }) })
		synctest.Wait()
		cancel()
		close(hold)
		done.Wait()
		if got := keys(t, d); !errors.Is(err, context.Canceled) || !slices.Equal(got, []string{"a"}) {
			t.Errorf("got %v, rows %v", err, got)
		}
	})
}

func TestCloseWhileWaiting(t *testing.T) {
	open := dbtest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		table(t, d)
		hold := make(chan struct{})
		errs := make([]error, 30)
		var done sync.WaitGroup
		done.Go(func() { errs[0] = d.Write(t.Context(), func(tx *db.Tx) error { <-hold; return insert(tx, "000") }) })
		synctest.Wait()
		for i := 1; i < len(errs); i++ {
			done.Go(func() {
				errs[i] = d.Write(t.Context(), func(tx *db.Tx) error { return insert(tx, fmt.Sprintf("%03d", i)) })
			})
		}
		synctest.Wait()
		done.Go(func() { d.Close() })
		synctest.Wait()
		close(hold)
		done.Wait()

		again := open(t)
		got := keys(t, again)
		for i, err := range errs {
			if (err == nil) != slices.Contains(got, fmt.Sprintf("%03d", i)) {
				t.Errorf("write %d was told %v, rows %v", i, err, got)
			}
		}
		if errs[0] != nil {
			t.Errorf("the write that ran: %v", errs[0])
		}
	})
}

func TestReadsGoOnDuringWrite(t *testing.T) {
	inBubble(t, func(t *testing.T, d *db.DB) {
		write(t, d, func(tx *db.Tx) error { return insert(tx, "a") })
		hold := make(chan struct{})
		done := make(chan error)
		go func() {
			done <- d.Write(t.Context(), func(tx *db.Tx) error {
				err := insert(tx, "b")
				<-hold
				return err
			})
		}()
		synctest.Wait()
		if got := keys(t, d); !slices.Equal(got, []string{"a"}) {
			t.Errorf("during the write: %v", got)
		}
		close(hold)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := keys(t, d); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("after the write: %v", got)
		}
	})
}

// fill writes so much that the database, which may not grow, has no space for it.
func fill(tx *db.Tx) error {
	_, err := tx.Exec(`INSERT INTO item (k, v) VALUES ($1, 0)`, strings.Repeat("x", 1<<20))
	return err
}

func TestDiskFull(t *testing.T) {
	good := func(k string) func(tx *db.Tx) error { return func(tx *db.Tx) error { return insert(tx, k) } }
	for name, f := range map[string]func(tx *db.Tx) error{
		"heeded":   fill,
		"unheeded": func(tx *db.Tx) error { _ = fill(tx); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, d *db.DB) {
				write(t, d, func(tx *db.Tx) error {
					var n int64
					return tx.QueryRow(`PRAGMA max_page_count = 32`).Scan(&n)
				})
				for _, errs := range [][]error{
					batch(t, d, nothing, good("a1"), f, good("a2")),
					batch(t, d, f, good("b1"), good("b2")),
				} {
					full := 0
					for _, err := range errs {
						switch {
						case errors.Is(err, db.ErrFull) && !errors.Is(err, db.ErrUnavailable):
							full++
						case err != nil && !errors.Is(err, db.ErrUnavailable):
							t.Errorf("neither full nor unavailable: %v", err)
						}
					}
					if full != 1 {
						t.Errorf("%d writes were told that the disk is full, want the one: %v", full, errs)
					}
				}
				got := keys(t, d)
				t.Logf("kept: %v", got)
				write(t, d, good("after"))
				if !slices.Contains(keys(t, d), "after") {
					t.Error("the writer does not go on")
				}
			})
		})
	}
}

// What each write is told is what happened to it, also when the disk is full.
func TestDiskFullTellsTheTruth(t *testing.T) {
	inBubble(t, func(t *testing.T, d *db.DB) {
		write(t, d, func(tx *db.Tx) error {
			var n int64
			return tx.QueryRow(`PRAGMA max_page_count = 32`).Scan(&n)
		})
		var others []func(tx *db.Tx) error
		for i := range 20 {
			others = append(others, func(tx *db.Tx) error {
				if i%5 == 2 {
					return fill(tx)
				}
				return insert(tx, fmt.Sprintf("%03d", i))
			})
		}
		errs := batch(t, d, nothing, others...)
		got := keys(t, d)
		for i, err := range errs[:20] {
			if (err == nil) != slices.Contains(got, fmt.Sprintf("%03d", i)) {
				t.Errorf("write %d was told %v", i, err)
			}
		}
	})
}

func TestDurabilityIsAsserted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#%41.db")
	address := "sqlite://" + strings.NewReplacer("%", "%25", " ", "%20", "?", "%3F", "#", "%23").Replace(path)
	d, err := db.Open(t.Context(), address, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	table(t, d)
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); !slices.Contains(files, path) {
		t.Errorf("the database is not at %s: %v", path, files)
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		write(t, d, func(tx *db.Tx) error {
			var got string
			if err := tx.QueryRow(`PRAGMA ` + pragma).Scan(&got); err != nil {
				return err
			}
			if got != want {
				t.Errorf("%s is %s in the writer, want %s", pragma, got, want)
			}
			return nil
		})
	}
	if err := d.QueryRow(t.Context(), `INSERT INTO item (k, v) VALUES ('r', 0) RETURNING v`).Scan(new(int64)); err == nil {
		t.Error("a reader could write")
	}
}

// What keeps nothing, such as a file system without shared memory, is refused at the start.
func TestNotDurableIsRefused(t *testing.T) {
	d, err := db.Open(t.Context(), "sqlite:///dev/null", db.Options{})
	if err == nil {
		d.Close()
		t.Error("a database that keeps nothing was opened")
	}
}
