package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
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
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return usagef("the configuration file %s is not YAML: %w", file, err)
	}
	if len(root.Content) == 0 {
		return nil
	}
	return c.fromNode(file, "", root.Content[0], known)
}

// fromNode walks a mapping; nested keys are joined by dots.
func (c *Config) fromNode(file, prefix string, n *yaml.Node, known map[string]setting) error {
	if n.Kind != yaml.MappingNode {
		return usagef("%s, line %d: expected keys with values", file, n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := prefix + k.Value
		switch _, ok := known[key]; {
		case ok && v.Kind == yaml.ScalarNode:
			c.values[key] = value{v.Value, fmt.Sprintf("%s, line %d", file, v.Line)}
		case ok && v.Kind == yaml.SequenceNode:
			var parts []string
			for _, e := range v.Content {
				parts = append(parts, e.Value)
			}
			c.values[key] = value{strings.Join(parts, ","), fmt.Sprintf("%s, line %d", file, v.Line)}
		case !ok && v.Kind == yaml.MappingNode && isSection(key, known):
			if err := c.fromNode(file, key+".", v, known); err != nil {
				return err
			}
		default:
			return usagef("%s, line %d: there is no setting %q (`hallmark config print` lists them)", file, k.Line, key)
		}
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
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "HALLMARK_") || strings.HasPrefix(name, testPrefix) || other[name] {
			continue
		}
		if s, ok := byEnv[name]; ok {
			c.values[s.key] = value{text, name}
			continue
		}
		s, ok := byEnv[strings.TrimSuffix(name, "_FILE")]
		if !ok {
			return usagef("there is no setting %s (`hallmark config print` lists them)", name)
		}
		b, err := os.ReadFile(text)
		if err != nil {
			return usagef("%s: %w", name, err)
		}
		c.values[s.key] = value{strings.TrimRight(string(b), "\r\n"), name}
	}
	return nil
}

// check asks each setting about its value and names the one that is wrong.
func (c *Config) check() error {
	for _, s := range settings() {
		if s.check == nil {
			continue
		}
		v := c.values[s.key]
		if err := s.check(v.text); err != nil {
			shown := strconv.Quote(v.text)
			if s.secret {
				shown = "the value"
			}
			return usagef("%s (from %s): %s %w", s.key, v.source, shown, err)
		}
	}
	if (c.String("tls_cert") == "") != (c.String("tls_key") == "") {
		return usagef("tls_cert and tls_key are set together or not at all")
	}
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
		if s.secret && text != "" {
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

func isDuration(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("is no duration such as 90s, 10m or 24h")
	}
	return nil
}

func isCount(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 {
		return errors.New("is no number of 1 or more")
	}
	return nil
}

func isBytes(s string) error {
	if n, err := parseBytes(s); err != nil || n < 1 {
		return errors.New("is no size such as 4MiB or 20GiB")
	}
	return nil
}

func oneOf(allowed ...string) func(string) error {
	return func(s string) error {
		for _, a := range allowed {
			if s == a {
				return nil
			}
		}
		return errors.New("is none of " + strings.Join(allowed, ", "))
	}
}

func hasScheme(schemes ...string) func(string) error {
	return func(s string) error {
		for _, a := range schemes {
			if s == "" || strings.HasPrefix(s, a+":") {
				return nil
			}
		}
		return errors.New("begins with none of " + strings.Join(schemes, ":, ") + ":")
	}
}

func isMasterKey(s string) error {
	if s == "" {
		return nil
	}
	if b, err := base64.StdEncoding.DecodeString(s); err != nil || len(b) != 32 {
		return errors.New("is not 32 bytes in base64; make one with: head -c 32 /dev/urandom | base64")
	}
	return nil
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
