package gate

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

const (
	maxPath  = 256
	maxSteps = 32
	// maxValue is how long a value may be that a regular expression is asked about.
	maxValue = 64 << 10
)

// fieldRule wants something of one value of the predicate.
type fieldRule struct {
	source  string
	steps   []step
	matches *regexp.Regexp
	equals  any // string, float64 or bool; nil if matches is set
}

// step is one way down: a key of an object or, if index is not negative, an item of a list.
type step struct {
	key   string
	index int
}

// parsePath reads $.a.b[0]["c.d"]: from the predicate down to one value, without wildcards, so that it is always clear
// which value was meant.
func parsePath(s string) ([]step, error) {
	bad := errors.New(`a path leads from $ to one value: $.name, $.list[0] or $["key with dots"]`)
	rest, ok := strings.CutPrefix(s, "$")
	if !ok || rest == "" || len(s) > maxPath {
		return nil, bad
	}
	var steps []step
	for rest != "" {
		var st step
		var err error
		switch {
		case strings.HasPrefix(rest, "["):
			st, rest, err = bracket(rest[1:])
		case strings.HasPrefix(rest, "."):
			end := strings.IndexAny(rest[1:], ".[") + 1
			if end == 0 {
				end = len(rest)
			}
			st, rest = step{key: rest[1:end], index: -1}, rest[end:]
			if st.key == "" || strings.ContainsAny(st.key, "]\"'*?@$ ") {
				err = bad
			}
		default:
			err = bad
		}
		if err != nil || len(steps) == maxSteps {
			return nil, bad
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func bracket(rest string) (step, string, error) {
	if strings.HasPrefix(rest, `"`) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return step{}, "", err
		}
		key, err := strconv.Unquote(quoted)
		after, ok := strings.CutPrefix(rest[len(quoted):], "]")
		if err != nil || !ok {
			return step{}, "", errors.New("not closed")
		}
		return step{key: key, index: -1}, after, nil
	}
	digits, after, ok := strings.Cut(rest, "]")
	n, err := strconv.ParseUint(digits, 10, 24)
	if !ok || err != nil {
		return step{}, "", errors.New("not an index")
	}
	return step{index: int(n)}, after, nil
}

// find walks down.
func find(v any, steps []step) (any, bool) {
	for _, st := range steps {
		if st.index >= 0 {
			list, ok := v.([]any)
			if !ok || st.index >= len(list) {
				return nil, false
			}
			v = list[st.index]
			continue
		}
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[st.key]; !ok {
			return nil, false
		}
	}
	return v, true
}

// holds reports whether the predicate has the value that is wanted.
func (f *fieldRule) holds(predicate any) bool {
	v, ok := find(predicate, f.steps)
	if !ok {
		return false
	}
	if f.matches == nil {
		return f.equals != nil && f.equals == v
	}
	s, ok := v.(string)
	return ok && len(s) <= maxValue && f.matches.MatchString(s)
}
