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
	s.list(len(values), func(i int) any { return values[i] })
}

// inIDs is in for numbers.
func (s *statement) inIDs(values []int64) {
	s.list(len(values), func(i int) any { return values[i] })
}

func (s *statement) list(n int, value func(i int) any) {
	s.text.WriteString("(")
	for i := range rounded(n) {
		if i > 0 {
			s.text.WriteString(", ")
		}
		s.add("?", value(min(i, n-1)))
	}
	s.text.WriteString(")")
}

// rounded is the least power of two that is not less than n.
func rounded(n int) int {
	size := 1
	for size < n {
		size *= 2
	}
	return size
}

// contains keeps rows whose column, a constant of this package, has a piece of text in it, case and all: LIKE would
// mean another thing on each engine.
func (s *statement) contains(column, piece string) {
	s.when(piece != "", " AND REPLACE("+column+", ?, '') <> "+column, piece)
}
