package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/hallmarkhub/hallmark/core/api/client"
)

// document is one document of a file that is applied.
type document struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name    string `yaml:"name"`
		Project string `yaml:"project"`
	} `yaml:"metadata"`
	Spec yaml.Node `yaml:"spec"`

	line int
}

func (c *cli) applyCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make things as a file says", Args: args(cobra.NoArgs),
		Long: "Makes or changes projects, members, labels and robots, so that they are as the YAML documents of a file say. Doing it\n" +
			"again changes nothing. Fields that a document does not name stay as they are.",
		Example: "  hallmark apply -f - <<EOF\n  kind: Project\n  metadata: {name: team}\n  spec: {visibility: private}\n  ---\n" +
			"  kind: Member\n  metadata: {name: bob, project: team}\n  spec: {role: developer}\n  EOF",
		RunE: c.run(func(ctx context.Context, cl *client.Client, _ []string) error {
			if file == "" {
				return usagef("name the file with -f; - is standard input")
			}
			documents, err := c.readDocuments(file)
			if err != nil {
				return err
			}
			for _, d := range documents {
				if err := c.apply(ctx, cl, d); err != nil {
					return fmt.Errorf("%s, line %d: %w", file, d.line, err)
				}
			}
			return nil
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with YAML documents, or - for standard input")
	return cmd
}

// readDocuments reads and checks the whole file before anything is changed.
func (c *cli) readDocuments(file string) ([]document, error) {
	var in io.Reader = c.lines
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	dec := yaml.NewDecoder(in)
	var out []document
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, usagef("%s: %w", file, err)
		}
		if len(n.Content) == 0 || n.Content[0].Tag == "!!null" {
			continue // an empty document between two ---
		}
		d := document{line: n.Content[0].Line}
		if err := strictly(&n, &d); err != nil {
			return nil, usagef("%s, line %d: %w", file, d.line, err)
		}
		if _, err := c.place(d); err != nil {
			return nil, usagef("%s, line %d: %w", file, d.line, err)
		}
		out = append(out, d)
	}
}

// strictly decodes a node into v and refuses fields that v does not have.
func strictly(n *yaml.Node, v *document) error {
	raw, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	return dec.Decode(v)
}

// place says what a document is about.
func (c *cli) place(d document) (target, error) {
	k, err := findKind(d.Kind)
	if err != nil {
		return target{}, err
	}
	switch k.name {
	case "project":
		if d.Metadata.Project != "" {
			return target{}, errors.New("a project is in no project: leave metadata.project out")
		}
	case "member", "label", "robot":
		if d.Metadata.Project == "" {
			return target{}, fmt.Errorf("metadata.project is missing: which project does the %s belong to?", k.name)
		}
	default:
		return target{}, fmt.Errorf("%s cannot be applied; projects, members, labels and robots can", k.plural)
	}
	if d.Metadata.Name == "" {
		return target{}, errors.New("metadata.name is missing")
	}
	t := target{kind: k, project: d.Metadata.Project, item: d.Metadata.Name, list: client.Path(k.collection)}
	if k.in == inProject {
		t.list = client.Path("projects", t.project, k.collection)
	}
	return t, nil
}

// apply makes or changes one thing.
func (c *cli) apply(ctx context.Context, cl *client.Client, d document) error {
	t, err := c.place(d)
	if err != nil {
		return err
	}
	spec := map[string]json.RawMessage{}
	if err := specFields(&d.Spec, spec); err != nil {
		return usageError{err}
	}
	name := t.item
	if t.project != "" {
		name = t.project + "/" + t.item
	}
	path, err := t.path(ctx, cl)
	var now *client.Answer
	if err == nil {
		now, err = cl.Call(ctx, http.MethodGet, path, nil, "")
	}
	if client.Code(err) == "not_found" {
		return c.applyNew(ctx, cl, t, name, spec)
	}
	if err != nil {
		return err
	}
	changed, whole, err := difference(now.Body, spec)
	if err != nil {
		return err
	}
	if len(changed) == 0 {
		fmt.Fprintf(c.stdout, "%s/%s unchanged\n", t.name, clean(name))
		return nil
	}
	method, body := http.MethodPatch, changed
	if t.name == "member" || t.name == "label" {
		method, body = http.MethodPut, whole
	}
	if _, err := cl.Call(ctx, method, path, body, now.ETag()); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s/%s updated\n", t.name, clean(name))
	return nil
}

func (c *cli) applyNew(ctx context.Context, cl *client.Client, t target, name string, spec map[string]json.RawMessage) error {
	method, path := http.MethodPut, t.list+client.Path(t.item)
	if t.name == "project" || t.name == "robot" {
		method, path = http.MethodPost, t.list
		quoted, err := json.Marshal(t.item)
		if err != nil {
			return err
		}
		spec["name"] = quoted
		if _, ok := spec["visibility"]; t.name == "project" && !ok {
			spec["visibility"] = json.RawMessage(`"private"`)
		}
	}
	a, err := cl.Call(ctx, method, path, spec, "")
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s/%s created\n", t.name, clean(name))
	var v struct{ Username, Secret string }
	if json.Unmarshal(a.Body, &v) == nil && v.Secret != "" {
		fmt.Fprintf(c.stdout, "  username: %s\n  secret: %s (shown once)\n", clean(v.Username), clean(v.Secret))
	}
	return nil
}

// difference is what of spec is not so yet, and all of what a PUT would have to say to change just that.
func difference(now json.RawMessage, spec map[string]json.RawMessage) (changed, whole map[string]json.RawMessage, err error) {
	var have map[string]json.RawMessage
	if err := json.Unmarshal(now, &have); err != nil {
		return nil, nil, err
	}
	changed, whole = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, field := range []string{"role", "color", "description"} { // what PUT takes, of members and labels
		if v, ok := have[field]; ok {
			whole[field] = v
		}
	}
	for field, want := range spec {
		whole[field] = want
		if field != "expires_in" && !sameJSON(have[field], want) { // how long from now on is no state
			changed[field] = want
		}
	}
	return changed, whole, nil
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// specFields turns the mapping of a document into the fields of a JSON body.
func specFields(n *yaml.Node, into map[string]json.RawMessage) error {
	if n.Kind == 0 {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errors.New("spec must be a mapping")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		var v any
		if err := n.Content[i+1].Decode(&v); err != nil {
			return err
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("spec.%s cannot be written as JSON", n.Content[i].Value)
		}
		into[n.Content[i].Value] = raw
	}
	return nil
}
