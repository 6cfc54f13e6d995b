package db

import (
	"database/sql"
	"sync"
	"sync/atomic"
)

// maxStatements bounds the memory that prepared statements take: the program has some 300 texts, but a text with a list
// of placeholders is another one for each length, and clients choose the lengths.
const maxStatements = 1000

// statements keeps statements of a SQLite handle prepared. Its methods may be called concurrently.
type statements struct {
	prepare func(query string) (*sql.Stmt, error)
	kept    sync.Map // text -> *sql.Stmt
	number  atomic.Int64
}

// get returns the prepared statement of a text, or nil if there are enough already: the text is then run as it is.
func (s *statements) get(query string) (*sql.Stmt, error) {
	if v, ok := s.kept.Load(query); ok {
		return v.(*sql.Stmt), nil
	}
	if s.number.Load() >= maxStatements {
		return nil, nil
	}
	stmt, err := s.prepare(query)
	if err != nil {
		return nil, err
	}
	if v, ok := s.kept.LoadOrStore(query, stmt); ok {
		stmt.Close()
		return v.(*sql.Stmt), nil
	}
	s.number.Add(1)
	return stmt, nil
}

func (s *statements) close() {
	s.kept.Range(func(_, v any) bool {
		v.(*sql.Stmt).Close()
		return true
	})
}
