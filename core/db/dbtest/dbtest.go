// Package dbtest opens fresh databases for tests, on both engines.
//
// SQLite is a file in the test's directory. Postgres is a schema of its own in the server that HALLMARK_TEST_POSTGRES
// names; tests/servers.sh starts one. Without it the Postgres half is skipped with a reason, and fails where CI is set.
package dbtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
)

// Open opens a database for a test; within one test every call opens the same one, as another process would.
type Open func(t testing.TB) *db.DB

// Each runs f on every engine.
func Each(t *testing.T, f func(t *testing.T, open Open)) {
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t)) })
}

// EachURL runs f with the address of a fresh database of every engine, for tests with processes of their own.
func EachURL(t *testing.T, f func(t *testing.T, address string)) {
	t.Run("sqlite", func(t *testing.T) { f(t, SQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, PostgresURL(t)) })
}

// SQLite is a file in the test's directory.
func SQLite(t testing.TB) Open { return opener(SQLiteURL(t)) }

// SQLiteURL is the address of a file in the test's directory.
func SQLiteURL(t testing.TB) string {
	return "sqlite://" + filepath.Join(t.TempDir(), "hallmark.db")
}

// Postgres is a fresh schema in the server of HALLMARK_TEST_POSTGRES.
func Postgres(t testing.TB) Open { return opener(PostgresURL(t)) }

// PostgresURL is the address of a fresh schema, which goes with the test.
func PostgresURL(t testing.TB) string {
	t.Helper()
	base := os.Getenv("HALLMARK_TEST_POSTGRES")
	if base == "" {
		const how = "HALLMARK_TEST_POSTGRES is not set; `make test` starts a server and sets it"
		if os.Getenv("CI") != "" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	name := make([]byte, 8)
	rand.Read(name)
	schema := "t" + hex.EncodeToString(name)
	admin, err := db.Open(context.Background(), base, db.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Pool().Exec(`CREATE SCHEMA ` + schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Pool().Exec(`DROP SCHEMA ` + schema + ` CASCADE`); err != nil {
			t.Error(err)
		}
		admin.Close()
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func opener(address string) Open {
	return func(t testing.TB) *db.DB {
		t.Helper()
		d, err := db.Open(context.Background(), address, db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	}
}

// Analyze tells Postgres what is in this test's tables, as it finds out by itself after a while. SQLite is never told.
func Analyze(t testing.TB, d *db.DB) {
	t.Helper()
	if d.Engine() != db.Postgres {
		return
	}
	var mine string // all there are would be those of other tests, too
	err := d.QueryRow(t.Context(), `SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = current_schema()`).Scan(&mine)
	if err == nil {
		_, err = d.Pool().Exec(`ANALYZE ` + mine)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Unhurried lets the statements of a transaction take as long as they do: a test writes at once what comes about in months.
func Unhurried(d *db.DB, tx *db.Tx) error {
	if d.Engine() != db.Postgres {
		return nil
	}
	_, err := tx.Exec(`SET LOCAL statement_timeout = 0`)
	return err
}
