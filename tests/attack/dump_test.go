package attack

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
)

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
