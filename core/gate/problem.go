package gate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// maxProblems is how many of a document's problems are told at once.
const maxProblems = 50

// Problem is one thing in a policy that cannot work, and where.
type Problem struct {
	Line   int    // of the document, from 1; 0 if it concerns the document as a whole
	Path   string // JSON pointer
	Reason string // one sentence
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.Reason
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Reason)
}

// Problems is the error of a policy that is refused: all that is wrong with it, in the order of its lines.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap tells it as an error of the admin API.
func (p Problems) Unwrap() error {
	e := core.Errorf(core.CodeInvalid, "this policy cannot work: %s", p.Error())
	for _, one := range p {
		e.Fields = append(e.Fields, core.FieldError{Pointer: one.Path, Message: one.String()})
	}
	return e
}

// place is where something stands in a document.
type place struct {
	line int
	path string
}

// reports collects problems. Its zero value is ready.
type reports struct{ list Problems }

func (r *reports) add(at place, format string, args ...any) {
	if len(r.list) < maxProblems {
		r.list = append(r.list, Problem{Line: at.line, Path: at.path, Reason: fmt.Sprintf(format, args...)})
	}
}

// err is nil if nothing was reported.
func (r *reports) err() error {
	if len(r.list) == 0 {
		return nil
	}
	slices.SortStableFunc(r.list, func(a, b Problem) int { return a.Line - b.Line })
	return r.list
}
