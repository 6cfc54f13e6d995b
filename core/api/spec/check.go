package spec

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hallmarkhub/hallmark/core"
)

// maxFieldErrors is how many faults of a body are told at once.
const maxFieldErrors = 20

// CheckBody checks a body that is well-formed JSON. The error is a *core.Error that names every field that is wrong.
func (s *Schema) CheckBody(body []byte) error {
	c := &checker{dec: jsontext.NewDecoder(bytes.NewReader(body))}
	if err := c.value(s, ""); err != nil {
		return core.Errorf(core.CodeInvalid, "The body is not JSON.")
	}
	return c.refusal("body")
}

type checker struct {
	dec    *jsontext.Decoder
	errors []core.FieldError
}

func (c *checker) fault(pointer, format string, args ...any) {
	if len(c.errors) < maxFieldErrors {
		c.errors = append(c.errors, core.FieldError{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
}

func (c *checker) refusal(what string) error {
	if len(c.errors) == 0 {
		return nil
	}
	first := c.errors[0]
	message := fmt.Sprintf("%q %s.", strings.TrimPrefix(first.Pointer, "/"), first.Message)
	if first.Pointer == "" {
		message = fmt.Sprintf("The %s %s.", what, first.Message)
	}
	return &core.Error{Code: core.CodeInvalid, Message: message, Fields: c.errors}
}

// value checks the next value of the decoder. An error is one of JSON, not of the schema.
func (c *checker) value(s *Schema, pointer string) error {
	switch kind := c.dec.PeekKind(); {
	case kind == 'n':
		c.fault(pointer, "must not be null; leave it out instead")
		return c.dec.SkipValue()
	case s.Type == "object" && kind == '{':
		return c.object(s, pointer)
	case s.Type == "array" && kind == '[':
		return c.array(s, pointer)
	case s.Type == "string" && kind == '"':
		t, err := c.dec.ReadToken()
		if err == nil {
			c.note(pointer, s.text(t.String()))
		}
		return err
	case s.Type == "integer" && kind == '0':
		t, err := c.dec.ReadToken()
		if err == nil {
			c.note(pointer, s.integer(t.String()))
		}
		return err
	case s.Type == "boolean" && (kind == 't' || kind == 'f'):
		return c.dec.SkipValue()
	}
	c.fault(pointer, "must be %s", article(s.Type))
	return c.dec.SkipValue()
}

func (c *checker) note(pointer, fault string) {
	if fault != "" {
		c.fault(pointer, "%s", fault)
	}
}

func (c *checker) object(s *Schema, pointer string) error {
	if _, err := c.dec.ReadToken(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for c.dec.PeekKind() != '}' {
		t, err := c.dec.ReadToken()
		if err != nil {
			return err
		}
		name := t.String()
		seen[name] = true
		at := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		field, inner := s.Field(name), s.Values
		if field != nil {
			inner = field.Schema
		}
		if inner == nil {
			c.fault(at, "is no field here; there are %s", s.names())
			err = c.dec.SkipValue()
		} else {
			err = c.value(inner, at)
		}
		if err != nil {
			return err
		}
	}
	for _, p := range s.Properties {
		if p.Required && !seen[p.Name] {
			c.fault(pointer+"/"+p.Name, "is missing")
		}
	}
	if len(seen) < s.MinProperties {
		c.fault(pointer, "must have at least one field: %s", s.names())
	}
	_, err := c.dec.ReadToken()
	return err
}

func (s *Schema) names() string {
	names := make([]string, 0, len(s.Properties))
	for _, p := range s.Properties {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

func (c *checker) array(s *Schema, pointer string) error {
	if _, err := c.dec.ReadToken(); err != nil {
		return err
	}
	n := 0
	for ; c.dec.PeekKind() != ']'; n++ {
		var err error
		if s.MaxItems > 0 && n >= s.MaxItems {
			err = c.dec.SkipValue()
		} else {
			err = c.value(s.Items, pointer+"/"+strconv.Itoa(n))
		}
		if err != nil {
			return err
		}
	}
	if n < s.MinItems {
		c.fault(pointer, "must have at least %d entries", s.MinItems)
	}
	if s.MaxItems > 0 && n > s.MaxItems {
		c.fault(pointer, "may have at most %d entries", s.MaxItems)
	}
	_, err := c.dec.ReadToken()
	return err
}

// text says what is wrong with a string, "" if nothing is.
func (s *Schema) text(v string) string {
	switch n := utf8.RuneCountInString(v); {
	case !utf8.ValidString(v):
		return "is not UTF-8"
	case strings.ContainsRune(v, 0):
		return "must not contain a NUL character"
	case n < s.MinLength:
		return fmt.Sprintf("must have at least %s", characters(s.MinLength))
	case s.MaxLength > 0 && n > s.MaxLength:
		return fmt.Sprintf("may have at most %s", characters(s.MaxLength))
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, v):
		return "must be one of " + strings.Join(s.Enum, ", ")
	case s.pattern != nil && !s.pattern.MatchString(v):
		return s.shape()
	}
	if s.Format == "date-time" {
		if _, err := time.Parse(time.RFC3339, v); err != nil {
			return "must be a time such as 2026-11-21T08:00:00Z"
		}
	}
	return ""
}

func characters(n int) string {
	if n == 1 {
		return "one character"
	}
	return fmt.Sprintf("%d characters", n)
}

func (s *Schema) shape() string {
	if s.Example != "" {
		return fmt.Sprintf("does not have the right form; %s would be one", s.Example)
	}
	return "does not have the right form: it must match " + s.Pattern
}

func (s *Schema) integer(v string) string {
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil:
		return "must be a whole number that fits into 64 bits"
	case s.Minimum != nil && n < *s.Minimum:
		return fmt.Sprintf("must be at least %d", *s.Minimum)
	case s.Maximum != nil && n > *s.Maximum:
		return fmt.Sprintf("must be at most %d", *s.Maximum)
	}
	return ""
}

func article(kind string) string {
	switch kind {
	case "object", "array", "integer":
		return "an " + kind
	}
	return "a " + kind
}

// parameter says what is wrong with a value that came as text.
func (s *Schema) parameter(v string) string {
	switch s.Type {
	case "integer":
		return s.integer(v)
	case "boolean":
		if v != "true" && v != "false" {
			return "must be true or false"
		}
		return ""
	}
	return s.text(v)
}
