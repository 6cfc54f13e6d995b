package gate

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// text is a string of a document.
type text struct {
	place
	s   string
	set bool
}

// number, flag and literal likewise.
type number struct {
	place
	n   int
	set bool
}

type flag struct {
	place
	b   bool
	set bool
}

// literal is a scalar as JSON would have it: string, float64 or bool.
type literal struct {
	place
	v   any
	set bool
}

// text wants a string. What YAML reads as something else wants quotes, so that 1.10 does not become 1.1.
func (d *decoder) text(dst *text) field {
	return func(n *yaml.Node, at place) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!timestamp" {
			d.add(at, "%s is a text: put it in quotes", name(at))
			return
		}
		*dst = text{at, n.Value, true}
	}
}

// number wants a whole number within bounds.
func (d *decoder) number(dst *number, low, high int) field {
	return func(n *yaml.Node, at place) {
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || v < low || v > high {
			d.add(at, "%s is a whole number from %d to %d", name(at), low, high)
			return
		}
		*dst = number{at, v, true}
	}
}

func (d *decoder) flag(dst *flag) field {
	return func(n *yaml.Node, at place) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			d.add(at, "%s is true or false", name(at))
			return
		}
		*dst = flag{at, n.Value == "true", true}
	}
}

func (d *decoder) literal(dst *literal) field {
	return func(n *yaml.Node, at place) {
		dst.place = at
		switch {
		case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
			dst.v, dst.set = n.Value, true
		case n.Kind == yaml.ScalarNode && n.Tag == "!!bool" && (n.Value == "true" || n.Value == "false"):
			dst.v, dst.set = n.Value == "true", true
		case n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float"):
			f, err := strconv.ParseFloat(n.Value, 64)
			dst.v, dst.set = f, err == nil
		}
		if !dst.set {
			d.add(at, "%s is a text, a number, true or false", name(at))
		}
	}
}

// oneOf returns t, or otherwise if it was left out; a value that is none of the allowed ones is reported.
func (r *reports) oneOf(t text, otherwise string, allowed ...string) string {
	if !t.set {
		return otherwise
	}
	for _, a := range allowed {
		if t.s == a {
			return a
		}
	}
	r.add(t.place, "%s is one of %s, not %s", name(t.place), strings.Join(allowed, ", "), quoted(t.s))
	return otherwise
}

// moment reads a time. A date alone means its first moment in UTC, so that nothing is valid longer than somebody thought.
func (r *reports) moment(t text) time.Time {
	if !t.set {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if m, err := time.Parse(layout, t.s); err == nil && !m.IsZero() {
			return m.UTC()
		}
	}
	r.add(t.place, "%s is a time such as 2026-12-31T12:00:00Z or a date", name(t.place))
	return time.Time{}
}

// maxLife bounds durations: who writes more than ten years means something else.
const maxLife = 10 * 366 * 24 * time.Hour

func (r *reports) duration(t text) time.Duration {
	if !t.set {
		return 0
	}
	v, err := time.ParseDuration(t.s)
	if err != nil || v < time.Minute || v > maxLife {
		r.add(t.place, "%s is a duration of one minute to ten years, such as 720h", name(t.place))
		return 0
	}
	return v
}

// clip cuts a text at a rune.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
