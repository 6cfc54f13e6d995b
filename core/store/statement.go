package store

import (
	"strconv"
	"strings"
)

// statement puts a statement together from constant pieces, so that only filters that are asked for stand in it and its
// values always travel beside the text. There are as many texts as combinations of filters, and no more.
type statement struct {
	text strings.Builder
	args []any
}

// add appends a piece. Each "?" in it stands for the next of args.
func (s *statement) add(piece string, args ...any) {
	for {
		before, after, more := strings.Cut(piece, "?")
		s.text.WriteString(before)
		if !more {
			return
		}
		s.args = append(s.args, args[0])
		args = args[1:]
		s.text.WriteString("$" + strconv.Itoa(len(s.args)))
		piece = after
	}
}

// when appends a piece if a filter is set.
func (s *statement) when(set bool, piece string, args ...any) {
	if set {
		s.add(piece, args...)
	}
}

// in appends a list of values in brackets. Its length is rounded up to a power of two by repeating the last value, so
// that the number of different texts stays small. values must not be empty.
func (s *statement) in(values []string) {
	size := 1
	for size < len(values) {
		size *= 2
	}
	s.text.WriteString("(")
	for i := range size {
		if i > 0 {
			s.text.WriteString(", ")
		}
		s.add("?", values[min(i, len(values)-1)])
	}
	s.text.WriteString(")")
}

// contains keeps rows whose column, a constant of this package, has a piece of text in it, case and all: LIKE would
// mean another thing on each engine.
func (s *statement) contains(column, piece string) {
	s.when(piece != "", " AND REPLACE("+column+", ?, '') <> "+column, piece)
}
