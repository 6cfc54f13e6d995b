package db

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
)

// A client that makes every request another text must not be able to fill the memory with prepared statements.
func TestPreparedStatementsAreBounded(t *testing.T) {
	d, err := Open(context.Background(), "sqlite://"+filepath.Join(t.TempDir(), "test.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range maxStatements + 50 {
		var got int
		if err := d.QueryRow(t.Context(), fmt.Sprintf("SELECT %d", i)).Scan(&got); err != nil || got != i {
			t.Fatalf("reading %d: %d %v", i, got, err)
		}
		rows := 0
		if err := d.Query(t.Context(), fmt.Sprintf("SELECT %d AS n", i), nil, func(scan func(...any) error) error { rows++; return scan(&got) }); err != nil || rows != 1 || got != i {
			t.Fatalf("reading rows of %d: %d %v", i, got, err)
		}
		if err := d.Write(t.Context(), func(tx *Tx) error {
			return tx.QueryRow(fmt.Sprintf("SELECT %d + 1", i)).Scan(&got)
		}); err != nil || got != i+1 {
			t.Fatalf("reading %d in a transaction: %d %v", i, got, err)
		}
	}
	if n := d.stmts.number.Load(); n != maxStatements {
		t.Errorf("readers keep %d statements, want %d", n, maxStatements)
	}
	if n := d.writer.stmts.number.Load(); n > maxStatements {
		t.Errorf("the writer keeps %d statements", n)
	}
}
