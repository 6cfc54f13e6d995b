package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func (c *cli) addOutput(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.output, "output", "o", "table", "table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

func (c *cli) checkOutput() error {
	switch c.output {
	case "", "table", "json", "yaml":
		return nil
	case "csv", "sarif":
		if c.files {
			return nil
		}
	}
	return usagef("-o is table, json or yaml, not %q", c.output)
}

// print shows items: as a table with these columns, or as they came. one says that there is exactly one.
func (c *cli) print(items []json.RawMessage, columns []string, one bool) error {
	if c.output == "" || c.output == "table" {
		return c.printTable(items, columns)
	}
	raw := []byte("[" + string(bytes.Join(rawBytes(items), []byte(","))) + "]")
	if one {
		raw = items[0]
	}
	if c.output == "yaml" {
		return c.printYAML(raw)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.stdout, strings.TrimRight(out.String(), "\n"))
	return err
}

func rawBytes(items []json.RawMessage) [][]byte {
	out := make([][]byte, 0, len(items))
	for _, item := range items {
		out = append(out, item)
	}
	return out
}

// printYAML shows JSON as YAML, with its fields in their order: every JSON text is a YAML text in another style.
func (c *cli) printYAML(raw []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return err
	}
	blockStyle(&doc)
	enc := yaml.NewEncoder(c.stdout)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return err
	}
	return enc.Close()
}

func blockStyle(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = yaml.DoubleQuotedStyle // the plain style would turn some texts into numbers, times or booleans
		if plainScalar(n.Value) {
			n.Style = 0
		}
	}
	for _, child := range n.Content {
		blockStyle(child)
	}
}

// plainScalar says whether a text stays a text without quotes.
func plainScalar(s string) bool {
	var v any
	if s == "" || yaml.Unmarshal([]byte(s), &v) != nil {
		return false
	}
	text, ok := v.(string)
	return ok && text == s
}

func (c *cli) printTable(items []json.RawMessage, columns []string) error {
	w := tabwriter.NewWriter(c.stdout, 0, 4, 2, ' ', 0)
	var heads []string
	for _, name := range columns {
		_, last := inside(name)
		heads = append(heads, last)
	}
	fmt.Fprintln(w, strings.ToUpper(strings.ReplaceAll(strings.Join(heads, "\t"), "_", " ")))
	for _, item := range items {
		var v map[string]json.RawMessage
		if err := json.Unmarshal(item, &v); err != nil {
			return err
		}
		cells := make([]string, 0, len(columns))
		for _, name := range columns {
			cells = append(cells, cell(name, field(v, name)))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// inside cuts the name of a column, which may be that of a field of another one.
func inside(name string) (object, field string) {
	object, field, ok := strings.Cut(name, ".")
	if !ok {
		return "", name
	}
	return object, field
}

func field(v map[string]json.RawMessage, name string) json.RawMessage {
	object, last := inside(name)
	if object == "" {
		return v[name]
	}
	var within map[string]json.RawMessage
	if json.Unmarshal(v[object], &within) != nil {
		return nil
	}
	return within[last]
}

// cell is a value as a person reads it in a table.
func cell(name string, raw json.RawMessage) string {
	var list []json.RawMessage
	var number int64
	var text string
	switch {
	case len(raw) == 0:
		return ""
	case json.Unmarshal(raw, &list) == nil:
		var parts []string
		for _, item := range list {
			parts = append(parts, plainText(item))
		}
		return clean(strings.Join(parts, ","))
	case name == "size" && json.Unmarshal(raw, &number) == nil:
		return byteSize(number)
	case json.Unmarshal(raw, &text) == nil:
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return t.Local().Format("2006-01-02 15:04:05")
		}
		return clean(text)
	}
	return clean(string(raw))
}

// plainText is a JSON string without its quotes, and anything else as it is.
func plainText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// clean keeps what others have written from steering the terminal: no control characters, nothing invisible.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

func byteSize(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1000, 0
	for v >= 999.95 && i < len(units)-1 {
		v /= 1000
		i++
	}
	return fmt.Sprintf("%.1f %cB", v, units[i])
}
