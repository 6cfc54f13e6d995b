package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// setting is one key of the configuration. The table of them, settings(), is all there is to know: the file's keys, the
// environment's names, the flags, `config print` and docs/configuration.md follow from it.
type setting struct {
	key    string // "limits.manifest_bytes" in the file, HALLMARK_LIMITS_MANIFEST_BYTES, --limits-manifest-bytes
	value  string // the default
	help   string
	secret bool
	check  func(string) error
}

// env is the setting's name in the environment.
func (s setting) env() string {
	return "HALLMARK_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// flag is the setting's name on the command line.
func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

// value is what a setting is and where that comes from.
type value struct{ text, source string }

// Config is the configuration in force.
type Config struct {
	values map[string]value
}

// usageError ends the program with status 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// loadConfig puts the configuration together: defaults, then the file, then the environment, then flags.
func loadConfig(file string, environ []string, flags map[string]string) (*Config, error) {
	c := &Config{values: map[string]value{}}
	known := map[string]setting{}
	for _, s := range settings() {
		known[s.key] = s
		c.values[s.key] = value{s.value, "default"}
	}
	if file != "" {
		if err := c.fromFile(file, known); err != nil {
			return nil, err
		}
	}
	if err := c.fromEnvironment(environ, known); err != nil {
		return nil, err
	}
	for key, text := range flags {
		c.values[key] = value{text, "flag --" + known[key].flag()}
	}
	return c, c.check()
}

func (c *Config) fromFile(file string, known map[string]setting) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return usagef("the configuration file cannot be read: %w", err)
	}
	var root, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(b))
	switch err := dec.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return usagef("the configuration file %s is not YAML: %w", file, err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return usagef("%s, line %d: a second document begins here; put all settings into the first", file, second.Line)
	case !errors.Is(err, io.EOF):
		return usagef("the configuration file %s is not YAML: %w", file, err)
	}
	f := &configFile{Config: c, name: file, known: known, seen: map[string]int{}}
	return f.mapping("", root.Content[0])
}

// configFile is a file that is being read.
type configFile struct {
	*Config
	name  string
	known map[string]setting
	seen  map[string]int // key -> line
}

// mapping walks a mapping; nested keys are joined by dots.
func (f *configFile) mapping(prefix string, n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return usagef("%s, line %d: expected keys with values", f.name, n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := f.entry(prefix+n.Content[i].Value, n.Content[i].Line, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// entry takes a key and its value. A key that is there twice has two values, and no one knows which is meant.
func (f *configFile) entry(key string, line int, v *yaml.Node) error {
	if before, twice := f.seen[key]; twice {
		return usagef("%s, line %d: %q is there already, in line %d: remove one of them", f.name, line, key, before)
	}
	f.seen[key] = line
	source := fmt.Sprintf("%s, line %d", f.name, v.Line)
	switch _, ok := f.known[key]; {
	case ok && v.Kind == yaml.ScalarNode:
		f.values[key] = value{v.Value, source}
	case ok && v.Kind == yaml.SequenceNode:
		var parts []string
		for _, e := range v.Content {
			parts = append(parts, e.Value)
		}
		f.values[key] = value{strings.Join(parts, ","), source}
	case !ok && v.Kind == yaml.MappingNode && isSection(key, f.known):
		return f.mapping(key+".", v)
	default:
		return usagef("%s, line %d: there is no setting %q (`hallmark config print` lists them)", f.name, line, key)
	}
	return nil
}

func isSection(key string, known map[string]setting) bool {
	for k := range known {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// clientEnv are names the client commands read, which are no settings of the server.
func clientEnv() []string { return []string{"HALLMARK_CONFIG", "HALLMARK_SERVER", "HALLMARK_TOKEN"} }

// testPrefix begins names that tests use among themselves.
const testPrefix = "HALLMARK_TEST_"

func (c *Config) fromEnvironment(environ []string, known map[string]setting) error {
	byEnv := map[string]setting{}
	for _, s := range known {
		byEnv[s.env()] = s
	}
	other := map[string]bool{"HALLMARK_TOOLS": true, "HALLMARK_BIN": true}
	for _, n := range clientEnv() {
		other[n] = true
	}
	fromFile := map[string]string{} // a setting's name in the environment -> the file that holds its value
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "HALLMARK_") || strings.HasPrefix(name, testPrefix) || other[name] {
			continue
		}
		if s, ok := byEnv[name]; ok {
			c.values[s.key] = value{text, name}
			continue
		}
		direct := strings.TrimSuffix(name, "_FILE")
		if _, ok := byEnv[direct]; !ok {
			return usagef("there is no setting %s (`hallmark config print` lists them)", name)
		}
		fromFile[direct] = text
	}
	for _, name := range slices.Sorted(maps.Keys(fromFile)) {
		if err := c.fromVariableFile(byEnv[name], fromFile[name]); err != nil {
			return err
		}
	}
	return nil
}

// fromVariableFile reads a value from the file that NAME_FILE names. NAME may be there as well if it is empty: that is how
// templates leave a variable out.
func (c *Config) fromVariableFile(s setting, file string) error {
	name := s.env() + "_FILE"
	if have := c.values[s.key]; have.source == s.env() && have.text != "" {
		return usagef("%s and %s are both set: remove one of them", s.env(), name)
	}
	if file == "" {
		return usagef("%s is empty: set it to the name of a file, or remove it", name)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return usagef("%s: %w", name, err)
	}
	c.values[s.key] = value{strings.TrimRight(string(b), "\r\n"), name}
	return nil
}

// print lists every setting with its value and where that comes from.
func (c *Config) print(w io.Writer) {
	ss := settings()
	sort.SliceStable(ss, func(i, j int) bool {
		return strings.Count(ss[i].key, ".") < strings.Count(ss[j].key, ".")
	})
	for _, s := range ss {
		v := c.values[s.key]
		text := v.text
		if s.secret && text != s.value { // a default is no secret
			text = "(set)"
		}
		fmt.Fprintf(w, "# %s\n# from: %s\n%s: %s\n\n", s.help, v.source, s.key, strconv.Quote(text))
	}
}

// String, Duration, Int and Bool return a setting. They panic on a key that is not in the table: a mistake of ours.
func (c *Config) String(key string) string {
	v, ok := c.values[key]
	if !ok {
		panic("no setting " + key)
	}
	return v.text
}

// Duration returns a setting that isDuration has checked.
func (c *Config) Duration(key string) time.Duration {
	d, err := time.ParseDuration(c.String(key))
	must(key, err)
	return d
}

// Int returns a setting that isCount has checked.
func (c *Config) Int(key string) int {
	n, err := strconv.Atoi(c.String(key))
	must(key, err)
	return n
}

// Bytes returns a setting that isBytes has checked.
func (c *Config) Bytes(key string) int64 {
	n, err := parseBytes(c.String(key))
	must(key, err)
	return n
}

func must(key string, err error) {
	if err != nil {
		panic("setting " + key + " was not checked: " + err.Error())
	}
}

// parseBytes reads "4MiB", "20GiB", "512KiB" or a plain number of bytes.
func parseBytes(s string) (int64, error) {
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(s, unit); ok {
			s, shift = rest, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > (1<<62)>>shift {
		return 0, errors.New("is no size")
	}
	return n << shift, nil
}
