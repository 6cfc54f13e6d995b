package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db"
)

const (
	defaultPage = 50
	// maxPage is the largest page of all: that of the exported audit trail. The API bounds its own lower.
	maxPage = 1000
)

// querier runs a statement and hands each row to scan: outside any transaction (Store.reads) or in one (db.Tx.Query).
type querier func(query string, args []any, scan func(row func(dest ...any) error) error) error

func (s *Store) reads(ctx context.Context) querier {
	return func(query string, args []any, scan func(row func(dest ...any) error) error) error {
		return told(s.db.Query(ctx, query, args, scan))
	}
}

// rows reads all rows. Text that no row can hold (Postgres refuses it with an error) finds none.
func rows[T any](q querier, query string, args []any, scan func(row func(dest ...any) error) (T, error)) ([]T, error) {
	if !storable(args) {
		return nil, nil
	}
	var out []T
	err := q(query, args, func(row func(dest ...any) error) error {
		v, err := scan(row)
		if err == nil {
			out = append(out, v)
		}
		return err
	})
	return out, err
}

// row reads the first row; found says whether there is one.
func row[T any](q querier, query string, args []any, scan func(row func(dest ...any) error) (T, error)) (v T, found bool, err error) {
	all, err := rows(q, query, args, scan)
	if err != nil || len(all) == 0 {
		return v, false, err
	}
	return all[0], true, nil
}

// errEnough ends the reading of a page.
var errEnough = errors.New("enough rows")

// page reads at most n rows of a statement that ends before its LIMIT; more says that there are further ones.
func page[T any](q querier, st *statement, n int, scan func(row func(dest ...any) error) (T, error)) (out []T, more bool, err error) {
	n = pageSize(n)
	st.add(" LIMIT " + limit(n+1))
	read := 0
	out, err = rows(q, st.text.String(), st.args, func(row func(dest ...any) error) (v T, err error) {
		if read++; read > n+1 {
			return v, errEnough
		}
		return scan(row)
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if len(out) > n {
		return out[:n], true, err
	}
	return out, false, err
}

// limit is the LIMIT for n rows: one of a few texts that allow for as many or more, because SQLite plans a statement anew
// for each value of a parameter there, which takes longer than to read the page.
func limit(n int) string {
	for _, most := range []int{11, defaultPage + 1, 101} {
		if n <= most {
			return strconv.Itoa(most)
		}
	}
	return strconv.Itoa(maxPage + 1)
}

func pageSize(n int) int {
	if n <= 0 {
		return defaultPage
	}
	return min(n, maxPage)
}

func storable(args []any) bool {
	for _, a := range args {
		if s, ok := a.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			return false
		}
	}
	return true
}

// told gives an error of the database that passes by itself the code that a client understands. The cause stays in the
// chain for the log.
func told(err error) error {
	var e *core.Error
	switch {
	case err == nil, errors.As(err, &e):
		return err
	case errors.Is(err, db.ErrFull):
		return fmt.Errorf("%w (%w)", core.Errorf(core.CodeUnavailable, "the hub's disk is full: free some space, then try again"), err)
	case errors.Is(err, db.ErrUnavailable):
		gone := core.Errorf(core.CodeUnavailable, "the hub's database does not answer: try again in a few seconds")
		gone.RetryAfter = 2 * time.Second
		return fmt.Errorf("%w (%w)", gone, err)
	}
	return err
}

// micros reads a time that may be NULL.
func micros(v *int64) time.Time {
	if v == nil {
		return time.Time{}
	}
	return db.Time(*v)
}
