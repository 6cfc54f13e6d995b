package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Schema says what a value may be.
type Schema struct {
	Name        string // "" for one that stands where it is used
	Type        string // object, array, string, integer, boolean
	Format      string
	Description string
	Example     string
	Default     string

	Properties    []Property // of an object
	Closed        bool       // no other fields
	MinProperties int
	Values        *Schema // of the further fields of an open object

	Items              *Schema // of an array
	MinItems, MaxItems int     // MaxItems 0: no bound

	Enum                 []string
	Pattern              string
	MinLength, MaxLength int // in characters; MaxLength 0: no bound
	Minimum, Maximum     *int64
	Clamp                int64 // of a parameter: what is above is this

	pattern *regexp.Regexp
	fields  map[string]*Property
}

// Property is a field of an object.
type Property struct {
	Name     string
	Required bool
	Schema   *Schema
}

// Field returns the field of that name, or nil.
func (s *Schema) Field(name string) *Property { return s.fields[name] }

// schema reads a schema or follows its reference.
func (d *Document) schema(n *yaml.Node) (*Schema, error) {
	if n == nil {
		return nil, fmt.Errorf("a schema is missing")
	}
	if ref, ok := refName(n); ok {
		return d.named(ref), nil
	}
	s := &Schema{}
	return s, s.read(d, n)
}

func (s *Schema) read(d *Document, n *yaml.Node) error {
	required := map[string]bool{}
	if list := child(n, "required"); list != nil {
		for _, item := range list.Content {
			required[item.Value] = true
		}
	}
	err := pairs(n, func(key string, v *yaml.Node) error { return s.readKey(d, key, v, required) })
	if err == nil && s.Type == "" {
		err = fmt.Errorf("line %d: the schema has no type", n.Line)
	}
	return err
}

func (s *Schema) readKey(d *Document, key string, v *yaml.Node, required map[string]bool) (err error) {
	number := func(into *int) {
		*into, err = strconv.Atoi(v.Value)
	}
	switch key {
	case "required":
	case "type":
		s.Type = v.Value
	case "format":
		s.Format = v.Value
	case "description":
		s.Description = v.Value
	case "example":
		s.Example = v.Value
	case "default":
		s.Default = v.Value
	case "properties":
		err = s.readProperties(d, v, required)
	case "additionalProperties":
		if v.Value == "false" {
			s.Closed = true
		} else {
			s.Values, err = d.schema(v)
		}
	case "minProperties":
		number(&s.MinProperties)
	case "items":
		s.Items, err = d.schema(v)
	case "minItems":
		number(&s.MinItems)
	case "maxItems":
		number(&s.MaxItems)
	case "enum":
		for _, item := range v.Content {
			s.Enum = append(s.Enum, item.Value)
		}
	case "pattern":
		s.Pattern = v.Value
		s.pattern, err = regexp.Compile(v.Value)
	case "minLength":
		number(&s.MinLength)
	case "maxLength":
		number(&s.MaxLength)
	case "minimum":
		s.Minimum, err = number64(v)
	case "maximum":
		s.Maximum, err = number64(v)
	case "x-clamp":
		s.Clamp, err = strconv.ParseInt(v.Value, 10, 64)
	default:
		// What is not enforced must not look as if it were.
		if !strings.HasPrefix(key, "x-") {
			err = fmt.Errorf("line %d: %s is not known to core/api/spec", v.Line, key)
		}
	}
	return err
}

func (s *Schema) readProperties(d *Document, n *yaml.Node, required map[string]bool) error {
	s.fields = map[string]*Property{}
	err := pairs(n, func(name string, v *yaml.Node) error {
		field, err := d.schema(v)
		s.Properties = append(s.Properties, Property{Name: name, Required: required[name], Schema: field})
		return err
	})
	for i := range s.Properties {
		s.fields[s.Properties[i].Name] = &s.Properties[i]
	}
	return err
}

func number64(v *yaml.Node) (*int64, error) {
	n, err := strconv.ParseInt(v.Value, 10, 64)
	return &n, err
}
