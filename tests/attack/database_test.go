package attack

import (
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core/db"
)

// open opens the hub's database beside the hub.
func (h *hub) open(t testing.TB) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), h.dbURL, db.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// files reads everything in the data directory.
func (h *hub) files(t testing.TB, f func(name string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil {
			f(path, b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump is every value of every table.
func (h *hub) dump(t testing.TB) string {
	t.Helper()
	d := h.open(t)
	tables := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if h.database == "postgres" {
		tables = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`
	}
	var names []string
	rows, err := d.Pool().Query(tables)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	rows.Close()
	var out strings.Builder
	for _, name := range names {
		h.dumpTable(t, d.Pool(), name, &out)
	}
	return out.String()
}

// dumpTable writes every value of a table. Bytes are written as they are, so that a text in them is found.
func (h *hub) dumpTable(t testing.TB, pool *sql.DB, table string, out *strings.Builder) {
	t.Helper()
	rows, err := pool.Query(`SELECT * FROM ` + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		places := make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			fmt.Fprintf(out, "%s.%s=%v\n", table, columns[i], v)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
