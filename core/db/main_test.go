package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
)

// childURL is set for the second process of TestFeedProcesses.
const childURL = "HALLMARK_TEST_CHILD_URL"

func TestMain(m *testing.M) {
	if address := os.Getenv(childURL); address != "" {
		if err := changeFromChild(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// changeFromChild commits a change as another process would.
func changeFromChild(address string) error {
	ctx := context.Background()
	d, err := db.Open(ctx, address, db.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Write(ctx, func(tx *db.Tx) error {
		tx.Changed("project", "from the child")
		return nil
	})
}

var errMine = errors.New("mine")

// table makes a table to write to.
func table(t testing.TB, d *db.DB) {
	t.Helper()
	write(t, d, func(tx *db.Tx) error {
		_, err := tx.Exec(`CREATE TABLE item (k TEXT PRIMARY KEY, v BIGINT NOT NULL)`)
		return err
	})
}

func write(t testing.TB, d *db.DB, f func(tx *db.Tx) error) {
	t.Helper()
	if err := d.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func insert(tx *db.Tx, k string) error {
	_, err := tx.Exec(`INSERT INTO item (k, v) VALUES ($1, 0)`, k)
	return err
}

// keys are the keys in the table, in order.
func keys(t testing.TB, d *db.DB) []string {
	t.Helper()
	out := []string{}
	err := d.Query(t.Context(), `SELECT k FROM item ORDER BY k`, nil, func(scan func(...any) error) error {
		var k string
		if err := scan(&k); err != nil {
			return err
		}
		out = append(out, k)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
