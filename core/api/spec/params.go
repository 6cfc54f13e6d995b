package spec

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
)

// CheckQuery checks the query of a request: every name must be a parameter of the operation and be there once.
func (o *Operation) CheckQuery(raw string) error {
	c := &checker{}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return core.Errorf(core.CodeInvalid, "The query string is not well-formed: percent-encode what is special in it.")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p := o.queryParams[name]
		switch {
		case p == nil:
			c.fault(name, "is no parameter here; %s", o.queryNames())
		case len(values[name]) > 1:
			c.fault(name, "is there more than once")
		default:
			c.note(name, p.Schema.parameter(values[name][0]))
		}
	}
	for _, p := range o.Params {
		if p.In == "query" && p.Required && !values.Has(p.Name) {
			c.fault(p.Name, "is missing")
		}
	}
	return c.refusal("query")
}

func (o *Operation) queryNames() string {
	var names []string
	for _, p := range o.Params {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "there are none"
	}
	return "there are " + strings.Join(names, ", ")
}

// CheckHeader checks the headers that are parameters of the operation.
func (o *Operation) CheckHeader(h http.Header) error {
	c := &checker{}
	for name, p := range o.headersByName {
		switch values := h.Values(name); len(values) {
		case 0:
		case 1:
			c.note(name, p.Schema.parameter(values[0]))
		default:
			c.fault(name, "is there more than once")
		}
	}
	return c.refusal("header")
}

// TakesHeader says whether a header is a parameter of the operation.
func (o *Operation) TakesHeader(name string) bool { return o.headersByName[name] != nil }

// CheckPath says whether the parts of a path can be names of something. value returns the decoded part of a name.
func (o *Operation) CheckPath(value func(name string) string) bool {
	for _, p := range o.Params {
		if p.In == "path" && p.Schema.parameter(value(p.Name)) != "" {
			return false
		}
	}
	return true
}
