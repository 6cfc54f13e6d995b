package pages

import (
	"fmt"
	"strings"

	"github.com/hallmarkhub/hallmark/core/api/spec"
)

// curl is a command that calls an operation, with what is required and nothing else.
func curl(d *spec.Document, o *spec.Operation) string {
	var b strings.Builder
	b.WriteString("curl")
	if !o.Anonymous {
		b.WriteString(" -u alice:$TOKEN")
	}
	if o.Method != "GET" {
		b.WriteString(" -X " + o.Method)
	}
	if o.TakesHeader("If-Match") && o.Method != "PUT" {
		b.WriteString(` -H 'If-Match: "3"'`)
	}
	path := o.Path
	for _, p := range o.Params {
		if p.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", strings.ReplaceAll(example(p.Schema), "/", "%2F"))
		}
	}
	if o.Body != nil && o.BodyRequired {
		b.WriteString(" -H 'Content-Type: application/json' -d '" + example(o.Body) + "'")
	}
	b.WriteString(" " + hostMark + d.Base + path)
	return b.String()
}

// example is a value that the schema allows: JSON for objects and arrays, text for the rest.
func example(s *spec.Schema) string {
	switch {
	case s.Example != "":
		return s.Example
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == "object":
		return exampleObject(s)
	case s.Type == "array":
		return "[" + quoted(s.Items) + "]"
	case s.Type == "boolean":
		return "true"
	case s.Type == "integer":
		return "1"
	}
	return "..."
}

func exampleObject(s *spec.Schema) string {
	var fields []string
	for _, p := range s.Properties {
		if p.Required {
			fields = append(fields, fmt.Sprintf("%q: %s", p.Name, quoted(p.Schema)))
		}
	}
	if len(fields) == 0 && len(s.Properties) > 0 { // a patch: any field will do
		p := s.Properties[0]
		fields = append(fields, fmt.Sprintf("%q: %s", p.Name, quoted(p.Schema)))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

func quoted(s *spec.Schema) string {
	if s.Type == "string" {
		return fmt.Sprintf("%q", example(s))
	}
	return example(s)
}

// kind is a type as a person reads it.
func kind(s *spec.Schema) string {
	if s.Type == "array" {
		return "list of " + kind(s.Items)
	}
	if s.Format == "date-time" {
		return "time (RFC 3339)"
	}
	if s.Name != "" && s.Type == "object" {
		return s.Name
	}
	return s.Type
}

// limits are the bounds of a value as a person reads them.
func limits(s *spec.Schema) string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(s.Enum) > 0 {
		add("%s", strings.Join(s.Enum, ", "))
	}
	switch {
	case s.MinLength > 0 && s.MaxLength > 0:
		add("%d to %d characters", s.MinLength, s.MaxLength)
	case s.MaxLength > 0:
		add("at most %d characters", s.MaxLength)
	}
	if s.Pattern != "" {
		add("`%s`", s.Pattern)
	}
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		add("%d to %d", *s.Minimum, *s.Maximum)
	case s.Minimum != nil:
		add("at least %d", *s.Minimum)
	}
	if s.MaxItems > 0 {
		add("%d to %d entries", s.MinItems, s.MaxItems)
	}
	if s.Default != "" {
		add("default %s", s.Default)
	}
	return strings.Join(out, "; ")
}
