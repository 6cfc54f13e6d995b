package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is a read openapi.yaml. It is not changed after Parse.
type Document struct {
	Title, Description string
	Base               string // what every path begins with
	Tags               []Tag
	Operations         []*Operation // in the order of the file

	schemas   map[string]*Schema
	params    map[string]*Param
	responses map[string]yaml.Node
	headers   map[string]yaml.Node
}

// Tag groups operations.
type Tag struct{ Name, Description string }

// Operation is one method of one path.
type Operation struct {
	ID, Method, Path           string
	Tag, Summary, Description  string
	Anonymous                  bool // may be called without a credential
	Params                     []*Param
	Body                       *Schema
	BodyRequired               bool
	File                       bool // the body is a file, for the handler to read and bound
	Responses                  []Response
	queryParams, headersByName map[string]*Param
}

// Param is a parameter in path, query or header.
type Param struct {
	Name, In, Description string
	Required              bool
	Schema                *Schema
}

// Response is one status of an operation.
type Response struct {
	Status, Description string
	ContentTypes        []string
	Schema              *Schema
	Headers             []string
}

// Parse reads the file.
func Parse(text []byte) (*Document, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	if len(root.Content) != 1 {
		return nil, fmt.Errorf("openapi.yaml is empty")
	}
	d := &Document{schemas: map[string]*Schema{}, params: map[string]*Param{}, responses: map[string]yaml.Node{}, headers: map[string]yaml.Node{}}
	top := root.Content[0]
	if err := d.readComponents(child(top, "components")); err != nil {
		return nil, err
	}
	info := child(top, "info")
	d.Title, d.Description = scalar(info, "title"), scalar(info, "description")
	if servers := child(top, "servers"); servers != nil && len(servers.Content) > 0 {
		d.Base = scalar(servers.Content[0], "url")
	}
	if tags := child(top, "tags"); tags != nil {
		for _, t := range tags.Content {
			d.Tags = append(d.Tags, Tag{Name: scalar(t, "name"), Description: scalar(t, "description")})
		}
	}
	err := pairs(child(top, "paths"), func(path string, item *yaml.Node) error { return d.readPath(path, item) })
	return d, err
}

// Operation returns the operation of a method and a path template, or nil. HEAD is GET without its body.
func (d *Document) Operation(method, path string) *Operation {
	if method == "HEAD" {
		method = "GET"
	}
	for _, o := range d.Operations {
		if o.Method == method && o.Path == path {
			return o
		}
	}
	return nil
}

// Schema returns a named schema, or nil.
func (d *Document) Schema(name string) *Schema { return d.schemas[name] }

func (d *Document) readComponents(n *yaml.Node) error {
	keep := func(into map[string]yaml.Node) func(string, *yaml.Node) error {
		return func(name string, v *yaml.Node) error { into[name] = *v; return nil }
	}
	if err := pairs(child(n, "schemas"), func(name string, v *yaml.Node) error { return d.named(name).read(d, v) }); err != nil {
		return err
	}
	if err := pairs(child(n, "parameters"), func(name string, v *yaml.Node) error {
		p, err := d.readParam(v)
		d.params[name] = p
		return err
	}); err != nil {
		return err
	}
	if err := pairs(child(n, "responses"), keep(d.responses)); err != nil {
		return err
	}
	if err := pairs(child(n, "headers"), keep(d.headers)); err != nil {
		return err
	}
	for name, s := range d.schemas {
		if s.Type == "" {
			return fmt.Errorf("schema %s is referred to but not there", name)
		}
	}
	return nil
}

// named returns the schema of that name, empty until it has been read: references may come before it.
func (d *Document) named(name string) *Schema {
	s := d.schemas[name]
	if s == nil {
		s = &Schema{Name: name}
		d.schemas[name] = s
	}
	return s
}

func (d *Document) readPath(path string, item *yaml.Node) error {
	shared, err := d.readParams(child(item, "parameters"))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return pairs(item, func(method string, n *yaml.Node) error {
		if method == "parameters" {
			return nil
		}
		o, err := d.readOperation(n)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		o.Method, o.Path = strings.ToUpper(method), path
		o.Params = append(append([]*Param{}, shared...), o.Params...)
		o.queryParams, o.headersByName = map[string]*Param{}, map[string]*Param{}
		for _, p := range o.Params {
			switch p.In {
			case "query":
				o.queryParams[p.Name] = p
			case "header":
				o.headersByName[p.Name] = p
			}
		}
		d.Operations = append(d.Operations, o)
		return nil
	})
}

func (d *Document) readOperation(n *yaml.Node) (*Operation, error) {
	o := &Operation{ID: scalar(n, "operationId"), Summary: scalar(n, "summary"), Description: scalar(n, "description")}
	if tags := child(n, "tags"); tags != nil && len(tags.Content) == 1 {
		o.Tag = tags.Content[0].Value
	}
	if s := child(n, "security"); s != nil && len(s.Content) == 0 {
		o.Anonymous = true
	}
	var err error
	if o.Params, err = d.readParams(child(n, "parameters")); err != nil {
		return nil, err
	}
	if body := child(n, "requestBody"); body != nil {
		o.BodyRequired = scalar(body, "required") == "true"
		if o.File = child(child(body, "content"), "application/octet-stream") != nil; o.File {
			return o, d.readResponses(o, n)
		}
		if o.Body, err = d.schema(child(child(child(body, "content"), "application/json"), "schema")); err != nil {
			return nil, err
		}
	}
	return o, d.readResponses(o, n)
}

func (d *Document) readResponses(o *Operation, n *yaml.Node) error {
	return pairs(child(n, "responses"), func(status string, v *yaml.Node) error {
		r, err := d.readResponse(status, v)
		o.Responses = append(o.Responses, r)
		return err
	})
}

func (d *Document) readResponse(status string, n *yaml.Node) (Response, error) {
	if ref, ok := refName(n); ok {
		shared, there := d.responses[ref]
		if !there {
			return Response{}, fmt.Errorf("there is no response %s", ref)
		}
		n = &shared
	}
	r := Response{Status: status, Description: scalar(n, "description")}
	err := pairs(child(n, "content"), func(kind string, v *yaml.Node) (err error) {
		r.ContentTypes = append(r.ContentTypes, kind)
		r.Schema, err = d.schema(child(v, "schema"))
		return err
	})
	if err != nil {
		return r, err
	}
	return r, pairs(child(n, "headers"), func(name string, _ *yaml.Node) error {
		r.Headers = append(r.Headers, name)
		return nil
	})
}

func (d *Document) readParams(n *yaml.Node) ([]*Param, error) {
	if n == nil {
		return nil, nil
	}
	var out []*Param
	for _, item := range n.Content {
		if ref, ok := refName(item); ok {
			p := d.params[ref]
			if p == nil {
				return nil, fmt.Errorf("there is no parameter %s", ref)
			}
			out = append(out, p)
			continue
		}
		p, err := d.readParam(item)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (d *Document) readParam(n *yaml.Node) (*Param, error) {
	p := &Param{Name: scalar(n, "name"), In: scalar(n, "in"), Description: scalar(n, "description"), Required: scalar(n, "required") == "true"}
	var err error
	p.Schema, err = d.schema(child(n, "schema"))
	return p, err
}

// child is the value of a key of a mapping, nil if it is not there.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func scalar(n *yaml.Node, key string) string {
	if c := child(n, key); c != nil && c.Kind == yaml.ScalarNode {
		return c.Value
	}
	return ""
}

// pairs calls f for each key of a mapping, in the order of the file.
func pairs(n *yaml.Node, f func(key string, v *yaml.Node) error) error {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a mapping is expected here", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := f(n.Content[i].Value, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func refName(n *yaml.Node) (string, bool) {
	ref := scalar(n, "$ref")
	return ref[strings.LastIndexByte(ref, '/')+1:], ref != ""
}

// Named lists the schemas that have a name, by name.
func (d *Document) Named() []*Schema {
	out := slices.Collect(maps.Values(d.schemas))
	slices.SortFunc(out, func(a, b *Schema) int { return strings.Compare(a.Name, b.Name) })
	return out
}
