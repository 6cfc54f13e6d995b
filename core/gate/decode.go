package gate

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDocument is how many bytes a policy may have.
const maxDocument = 64 << 10

// decoder walks over the nodes of a document by hand, so that nothing in it is skipped and every complaint has a line.
type decoder struct{ reports }

// field takes what stands under one key.
type field func(n *yaml.Node, at place)

// root parses exactly one document.
func (d *decoder) root(source []byte) *yaml.Node {
	if len(source) > maxDocument {
		d.add(place{}, "a policy has at most %d KiB", maxDocument>>10)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(source))
	var n, more yaml.Node
	switch err := dec.Decode(&n); {
	case errors.Is(err, io.EOF):
		d.add(place{}, "the document is empty")
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		d.add(place{line: more.Line}, "there is a second document: write one policy per file")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) != 1 {
		d.add(place{}, "the document is empty")
		return nil
	}
	return n.Content[0]
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func (d *decoder) syntax(err error) {
	at, reason := place{}, err.Error()
	if m := yamlLine.FindStringSubmatch(reason); m != nil {
		at.line, _ = strconv.Atoi(m[1])
		reason = m[2]
	}
	d.add(at, "neither YAML nor JSON: %s", reason)
}

// plain refuses what YAML has beyond JSON's data: a reader of a policy sees what is in force.
func (d *decoder) plain(n *yaml.Node, at place) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.add(at, "anchors and aliases are not allowed in a policy: write it out")
	case !strings.HasPrefix(n.Tag, "!!"):
		d.add(at, "tags such as %s are not allowed in a policy", quoted(n.Tag))
	default:
		return true
	}
	return false
}

// object reads a mapping whose keys are known.
func (d *decoder) object(n *yaml.Node, at place, fields map[string]field) {
	if n.Kind != yaml.MappingNode {
		d.add(at, "%s is an object with %s", name(at), among(fields))
		return
	}
	if len(n.Content) == 0 {
		d.add(at, "%s is empty: fill it or leave it out", name(at))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		under := place{key.Line, at.path + "/" + pointer(key.Value)}
		f, known := fields[key.Value]
		switch {
		case !d.plain(key, under) || !d.plain(value, under):
		case key.Kind != yaml.ScalarNode || !known:
			d.add(under, "unknown field %s: %s has %s", quoted(key.Value), name(at), among(fields))
		case seen[key.Value]:
			d.add(under, "%s stands here twice", key.Value)
		case value.Tag == "!!null":
			d.add(under, "%s has no value: fill it or leave it out", key.Value)
		default:
			f(value, under)
		}
		seen[key.Value] = true
	}
}

// list reads a sequence of at most limit items into dst.
func list[T any](d *decoder, dst *[]T, limit int, item func(n *yaml.Node, at place) T) field {
	return func(n *yaml.Node, at place) {
		switch {
		case n.Kind != yaml.SequenceNode:
			d.add(at, "%s is a list", name(at))
		case len(n.Content) == 0:
			d.add(at, "%s is empty: fill it or leave it out", name(at))
		case len(n.Content) > limit:
			d.add(at, "%s has at most %d items", name(at), limit)
		default:
			for i, c := range n.Content {
				under := place{c.Line, at.path + "/" + strconv.Itoa(i)}
				if d.plain(c, under) {
					*dst = append(*dst, item(c, under))
				}
			}
		}
	}
}

// texts reads a list of strings.
func (d *decoder) texts(dst *[]text, limit int) field {
	return list(d, dst, limit, func(n *yaml.Node, at place) (t text) {
		d.text(&t)(n, at)
		return t
	})
}

// textMap reads a mapping of free keys to strings.
func (d *decoder) textMap(dst *map[string]text, limit int) field {
	return func(n *yaml.Node, at place) {
		if n.Kind != yaml.MappingNode {
			d.object(n, at, nil)
			return
		}
		if len(n.Content)/2 > limit {
			d.add(at, "%s has at most %d entries", name(at), limit)
			return
		}
		m := map[string]text{}
		fields := map[string]field{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i].Value
			fields[key] = func(v *yaml.Node, at place) {
				var t text
				d.text(&t)(v, at)
				m[key] = t
			}
		}
		d.object(n, at, fields)
		*dst = m
	}
}

// name is the last part of a path, as people know it.
func name(at place) string {
	if at.path == "" {
		return "a policy"
	}
	parts := strings.Split(at.path, "/")
	last := parts[len(parts)-1]
	if _, err := strconv.Atoi(last); err == nil && len(parts) > 2 {
		last = parts[len(parts)-2] + "[" + last + "]"
	}
	return last
}

func among(fields map[string]field) string {
	names := make([]string, 0, len(fields))
	for n := range fields {
		names = append(names, n)
	}
	if len(names) == 0 {
		return "names and texts"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// pointer escapes a key for a JSON pointer.
func pointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(clip(key, 64))
}

// quoted shows something that a stranger wrote, on one line and not at length.
func quoted(s string) string { return strconv.QuoteToGraphic(clip(s, 64)) }
