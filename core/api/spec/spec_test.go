package spec

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/core"
)

const small = `
openapi: 3.0.3
info: {title: T, description: D}
servers: [{url: /api/v1}]
tags: [{name: things, description: Things.}]
paths:
  /things/{id}:
    parameters: [{$ref: '#/components/parameters/Id'}]
    put:
      operationId: putThing
      tags: [things]
      summary: S
      parameters:
        - {name: n, in: query, schema: {type: integer, minimum: 0}}
        - {name: b, in: query, schema: {type: boolean}}
        - {name: q, in: query, required: true, schema: {type: string, maxLength: 3}}
        - {name: at, in: query, schema: {type: string, format: date-time}}
        - {name: If-Match, in: header, schema: {type: string, maxLength: 4}}
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}
      responses:
        "200": {description: Fine., content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: string, pattern: '^[a-z]+$', maxLength: 3}}
  schemas:
    Thing:
      type: object
      additionalProperties: false
      required: [name]
      minProperties: 1
      properties:
        name: {type: string, minLength: 2, maxLength: 4, pattern: '^[a-z界]+$', example: abc}
        color: {type: string, enum: [red, green]}
        size: {type: integer, minimum: 1, maximum: 10}
        on: {type: boolean}
        parts: {type: array, minItems: 1, maxItems: 2, items: {$ref: '#/components/schemas/Part'}}
        notes: {type: object, additionalProperties: {type: string}}
    Part:
      type: object
      additionalProperties: false
      required: [id]
      properties: {id: {type: string}}
`

func parse(t *testing.T, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// faults are the pointers of what is wrong.
func faults(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *core.Error
	if !errors.As(err, &e) || e.Code != core.CodeInvalid || e.Message == "" || len(e.Fields) == 0 {
		t.Fatalf("%#v", err)
	}
	var out []string
	for _, f := range e.Fields {
		out = append(out, f.Pointer)
	}
	return strings.Join(out, " ")
}

func TestCheckBody(t *testing.T) {
	s := parse(t, small).Schema("Thing")
	for body, want := range map[string]string{
		`{"name": "ab"}`:                              "",
		`{"name": "abcd"}`:                            "",
		`{"name": "界界界界"}`:                            "", // four characters
		`{"name": "a"}`:                               "/name",
		`{"name": "abcde"}`:                           "/name",
		`{"name": "AB"}`:                              "/name",
		`{"name": 12}`:                                "/name",
		`{"name": null}`:                              "/name",
		`{"name": ["ab"]}`:                            "/name",
		`{"Name": "ab"}`:                              "/Name /name",
		`{}`:                                          "/name ",
		`[]`:                                          "",
		`{"name": "ab", "color": "red"}`:              "",
		`{"name": "ab", "color": "RED"}`:              "/color",
		`{"name": "ab", "size": 1}`:                   "",
		`{"name": "ab", "size": 10}`:                  "",
		`{"name": "ab", "size": 0}`:                   "/size",
		`{"name": "ab", "size": 11}`:                  "/size",
		`{"name": "ab", "size": 1.0}`:                 "/size",
		`{"name": "ab", "size": 1e1}`:                 "/size",
		`{"name": "ab", "size": "1"}`:                 "/size",
		`{"name": "ab", "size": 9999999999999999999}`: "/size",
		`{"name": "ab", "on": true}`:                  "",
		`{"name": "ab", "on": "true"}`:                "/on",
		`{"name": "ab", "parts": []}`:                 "/parts",
		`{"name": "ab", "parts": [{"id": "x"}, {"id": ""}]}`:                  "",
		`{"name": "ab", "parts": [{"id": "x"}, {"x/y~z": "", "id": ""}, {}]}`: "/parts/1/x~1y~0z /parts",
		`{"name": "ab", "parts": [{}]}`:                                       "/parts/0/id",
		`{"name": "ab", "parts": {"id": "x"}}`:                                "/parts",
		`{"name": "ab", "notes": {"any": "x"}}`:                               "",
		`{"name": "ab", "notes": {"any": 1}}`:                                 "/notes/any",
		`{"name": "ab", "notes": {"a": "\u0000"}}`:                            "/notes/a",
		`{"name": "ab", "x": {"deep": [1, {"y": null}]}}`:                     "/x",
	} {
		if body == `[]` {
			if s.CheckBody([]byte(body)) == nil { // the body itself has the empty pointer
				t.Error("a list was taken for an object")
			}
			continue
		}
		if got := faults(t, s.CheckBody([]byte(body))); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	// Not all faults of a body are worth telling.
	if got := faults(t, s.CheckBody([]byte(`{"name": "ab"`+strings.Repeat(`, "y": 1`, 1)+`, "parts": [`+strings.Repeat(`1,`, 1)+`2]}`))); got != "/y /parts/0 /parts/1" {
		t.Error(got)
	}
}

func TestCheckRequest(t *testing.T) {
	d := parse(t, small)
	o := d.Operation("PUT", "/things/{id}")
	if o == nil || o.ID != "putThing" || !o.BodyRequired || d.Base != "/api/v1" || d.Operation("GET", "/things/{id}") != nil {
		t.Fatalf("%+v", o)
	}
	for query, want := range map[string]string{"q=x": "", "": "q", "q=xxx": "", "q=xxxx": "q", "q=x&q=y": "q", "q=x&z=1": "z", "q=x&n=0": "", "q=x&n=-1": "n", "q=x&n=a": "n",
		"q=x&b=true": "", "q=x&b=1": "b", "q=x&at=2026-01-02T03:04:05Z": "", "q=x&at=yesterday": "at", "q=%00": "q", "q=%ff": "q", "q": ""} {
		if got := faults(t, o.CheckQuery(query)); got != want {
			t.Errorf("?%s: %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"q=%zz", "q=x;n=1"} {
		if o.CheckQuery(query) == nil {
			t.Errorf("?%s was taken", query)
		}
	}
	for value, want := range map[string]bool{"abc": true, "abcd": false, "": false, "a/b": false, "..": false, "\x00": false} {
		if got := o.CheckPath(func(string) string { return value }); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	if faults(t, o.CheckHeader(http.Header{"If-Match": {"12345"}})) != "If-Match" || faults(t, o.CheckHeader(http.Header{"If-Match": {"1", "2"}})) != "If-Match" ||
		o.CheckHeader(http.Header{"If-Match": {"1234"}, "Other": {"x"}}) != nil {
		t.Error("headers")
	}
}

// What would not be enforced is refused.
func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"unknown keyword":   strings.Replace(small, "minLength: 2", "multipleOf: 2", 1),
		"unknown reference": strings.Replace(small, "schemas/Part'", "schemas/Gone'", 1),
		"unknown parameter": strings.Replace(small, "parameters/Id'", "parameters/Gone'", 1),
		"no type":           strings.Replace(small, "{type: boolean}", "{description: x}", 1),
		"bad pattern":       strings.Replace(small, "'^[a-z]+$'", "'['", 1),
		"bad number":        strings.Replace(small, "maximum: 10", "maximum: ten", 1),
		"no YAML":           "{",
		"empty":             "",
	} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// The real file: every text that a client sends has a bound, and every operation says what it is.
func TestOpenAPI(t *testing.T) {
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := parse(t, string(text))
	ids := map[string]bool{}
	for _, o := range d.Operations {
		if o.ID == "" || o.Summary == "" || o.Tag == "" || ids[o.ID] {
			t.Errorf("%s %s: %+v", o.Method, o.Path, o)
		}
		ids[o.ID] = true
		for _, p := range o.Params {
			bounded(t, o.ID+" "+p.Name, p.Schema)
		}
		if o.Body != nil {
			bounded(t, o.ID, o.Body)
		}
		last := o.Responses[len(o.Responses)-1]
		if last.Status != "default" || last.ContentTypes[0] != "application/problem+json" {
			t.Errorf("%s does not say how it refuses", o.ID)
		}
	}
}

func bounded(t *testing.T, where string, s *Schema) {
	t.Helper()
	switch s.Type {
	case "string":
		if s.MaxLength == 0 && len(s.Enum) == 0 && s.Format != "date-time" {
			t.Errorf("%s: a text without a bound", where)
		}
	case "integer":
		if s.Maximum == nil && s.Clamp == 0 {
			t.Errorf("%s: a number without a bound", where)
		}
	case "array":
		if s.MaxItems == 0 {
			t.Errorf("%s: a list without a bound", where)
		}
		bounded(t, where, s.Items)
	case "object":
		if !s.Closed {
			t.Errorf("%s takes unknown fields", where)
		}
		for _, p := range s.Properties {
			bounded(t, where+"."+p.Name, p.Schema)
		}
	}
}

func FuzzCheckBody(f *testing.F) {
	d, err := Parse([]byte(small))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"name": "ab", "parts": [{"id": "x"}], "notes": {"a": "b"}}`))
	f.Add([]byte(`{"name": "ab", "x": [[[[{}]]]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = d.Schema("Thing").CheckBody(body) // no panic, whatever it is
	})
}
