package store

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hallmarkhub/hallmark/core"
)

// checkLine refuses text that is longer than most bytes or is not one line of printable characters.
func checkLine(pointer, s string, most int) error {
	return checkText(pointer, s, most, "")
}

// checkLines is checkLine for text of several lines.
func checkLines(pointer, s string, most int) error {
	return checkText(pointer, s, most, "\n\r\t")
}

func checkText(pointer, s string, most int, control string) error {
	if len(s) > most {
		return core.Invalid(pointer, "this text has %d bytes; the limit is %d", len(s), most)
	}
	if !utf8.ValidString(s) {
		return core.Invalid(pointer, "this text is not valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) && !strings.ContainsRune(control, r) {
			return core.Invalid(pointer, "this text has control characters: remove them")
		}
	}
	return nil
}

// detail is the JSON of an audit row's detail. Only types of this package that hold no secret are given to it.
func detail(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "" // cannot happen: the types have neither functions nor cycles
	}
	return string(b)
}

// set takes over a field of a patch and reports whether it changes anything.
func set[T comparable](dst *T, src *T) bool {
	if src == nil || *dst == *src {
		return false
	}
	*dst = *src
	return true
}
