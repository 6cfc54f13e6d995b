package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
)

// setting is one variable of the environment: SCANNER_ and the key in capitals, dots as underscores. SCANNER_KEY_FILE
// names a file with the value. docs/scanner.md has the same table.
type setting struct {
	key, value, help string
	check            func(string) error
}

func (s setting) env() string {
	return "SCANNER_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

func settings() []setting {
	return []setting{
		{"listen", "127.0.0.1:8090", "Address that requests are answered on.", isAddress},
		{"data", "./data/scanner", "Directory of the databases and of the scans that run.", notEmpty},
		{"registries", "", "Registries that images are read from, comma-separated: https://hub.example.com. Required.", areRegistries},
		{"hosts", "", "Other hosts (host:port) where those, and sources of databases, may send readers or ask for tokens.", anything},
		{"token", "", "What callers present as Bearer. This or basic is required unless listen is loopback.", anything},
		{"basic", "", "What callers present as Basic, user:password.", isPair},
		{"tls_cert", "", "Certificate file (PEM); with tls_key the adapter speaks HTTPS.", anything},
		{"tls_key", "", "Key file (PEM) of tls_cert.", anything},
		{"database", "", "Source of the vulnerability database: oci://host/trivy-db:2, dir:///path, file:///path/db.tar.gz; empty: only what is imported.", database.CheckSource},
		{"java_database", "", "Source of the index of Java archives: oci://host/trivy-java-db:1, dir:///path, file:///path/javadb.tar.gz; empty likewise.", database.CheckSource},
		{"database_basic", "", "What the sources' registries are told, user:password.", isPair},
		{"database_interval", "6h", "How often the sources are asked.", isDuration},
		{"scans", "1", "Scans at once.", isCount},
		{"queue", "100", "Scans that wait; past that: 429.", isCount},
		{"keep", "1h", "How long reports are kept.", isDuration},
		{"keep_bytes", "512MiB", "Size of all reports that are kept; the oldest go first.", isBytes},
		{"extras", "true", "Secrets, licences and mistakes in an image's configuration in the raw report, for requests that do not name their reports.", isBool},
		{"cgroup", "", "Directory of cgroup v2 that children may be put below; empty: our own, if it can be used.", anything},
		{"limits.time", "15m", "Time of one scan.", isDuration},
		{"limits.processor", "15m", "Processor time of one scan.", isDuration},
		{"limits.cpus", "1", "Processors of one scan.", isCount},
		{"limits.memory", "2GiB", "Memory of one scan.", isBytes},
		{"limits.disk", "16GiB", "Disk of one scan.", isBytes},
		{"limits.fetched", "8GiB", "Layers of an image, as they lie in the registry.", isBytes},
		{"limits.unpacked", "16GiB", "Files of an image.", isBytes},
		{"limits.files", "500000", "Number of files of an image.", isCount},
		{"limits.depth", "100", "Directories in a path of an image.", isCount},
		{"limits.layers", "500", "Layers of an image.", isCount},
		{"limits.report", "64MiB", "Everything that one scan reports, or what is found in one SBOM.", isBytes},
		{"limits.sboms", "10000", "SBOMs in one request that has them matched. The limits of one scan hold for all of them together.", isCount},
		{"limits.sbom", "32MiB", "One SBOM.", isBytes},
		{"limits.components", "100000", "Components of one SBOM.", isCount},
		{"limits.sbom_time", "30s", "Time of one SBOM.", isDuration},
	}
}

// config is what is set.
type config struct{ values map[string]string }

// load reads the environment. A name it does not know is an error: it was meant for something.
func load(environ []string) (*config, error) {
	c := &config{values: map[string]string{}}
	byEnv := map[string]setting{}
	for _, s := range settings() {
		c.values[s.key] = s.value
		byEnv[s.env()] = s
	}
	set := map[string]string{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "SCANNER_") {
			continue
		}
		s, ok := byEnv[name]
		if !ok {
			if s, ok = byEnv[strings.TrimSuffix(name, "_FILE")]; !ok {
				return nil, usagef("there is no setting %s; docs/scanner.md lists them", name)
			}
			b, err := os.ReadFile(value)
			if err != nil {
				return nil, usagef("%s: %w", name, err)
			}
			value = strings.TrimRight(string(b), "\r\n")
		}
		if before, twice := set[s.key]; twice {
			return nil, usagef("%s and %s are both set: remove one of them", before, name)
		}
		set[s.key] = name
		c.values[s.key] = value
	}
	for _, s := range settings() {
		if err := s.check(c.values[s.key]); err != nil {
			return nil, usagef("%s: %w", s.env(), err)
		}
	}
	return c, nil
}

// checkServe is what only a server needs.
func (c *config) checkServe() error {
	if c.values["registries"] == "" {
		return usagef("SCANNER_REGISTRIES is not set: name the registries that images may be read from, e.g. SCANNER_REGISTRIES=http://127.0.0.1:8080")
	}
	host, _, _ := net.SplitHostPort(c.values["listen"])
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && c.values["token"] == "" && c.values["basic"] == "" {
		return usagef("SCANNER_LISTEN is %s, which others reach: set SCANNER_TOKEN or SCANNER_BASIC (with _FILE: a file), or listen on 127.0.0.1", c.values["listen"])
	}
	if (c.values["tls_cert"] == "") != (c.values["tls_key"] == "") {
		return usagef("SCANNER_TLS_CERT and SCANNER_TLS_KEY belong together: set both or none")
	}
	return nil
}

func (c *config) dir(parts ...string) string {
	return filepath.Join(append([]string{c.values["data"]}, parts...)...)
}

// The checks have been made: what follows cannot fail.

func (c *config) duration(key string) time.Duration {
	d, _ := time.ParseDuration(c.values[key])
	return d
}

func (c *config) count(key string) int {
	n, _ := strconv.Atoi(c.values[key])
	return n
}

func (c *config) bytes(key string) int64 {
	n, _ := parseBytes(c.values[key])
	return n
}

func (c *config) list(key string) []string {
	var all []string
	for one := range strings.SplitSeq(c.values[key], ",") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}

func (c *config) registries() []*url.URL {
	var all []*url.URL
	for _, one := range c.list("registries") {
		u, _ := url.Parse(one)
		all = append(all, u)
	}
	return all
}

// hosts are all hosts that are named: registries may send readers to each other.
func (c *config) hosts() []string {
	all := c.list("hosts")
	for _, u := range c.registries() {
		all = append(all, u.Host)
	}
	return all
}

// plain are the hosts of registries that are named with http.
func (c *config) plain() []string {
	var all []string
	for _, u := range c.registries() {
		if u.Scheme == "http" {
			all = append(all, u.Host)
		}
	}
	return all
}

func anything(string) error { return nil }

func notEmpty(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	return nil
}

func isAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n > 65535 {
		return fmt.Errorf("%q is no address like 127.0.0.1:8090", s)
	}
	return nil
}

func areRegistries(s string) error {
	for one := range strings.SplitSeq(s, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if one != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Path != "") {
			return fmt.Errorf("%q is no registry like https://hub.example.com", one)
		}
	}
	return nil
}

func isPair(s string) error {
	if user, password, ok := strings.Cut(s, ":"); s != "" && (!ok || user == "" || password == "") {
		return errors.New("it has to be user:password")
	}
	return nil
}

func isDuration(s string) error {
	if d, err := time.ParseDuration(s); err != nil || d < time.Second {
		return fmt.Errorf("%q is no time like 15m, of one second or more", s)
	}
	return nil
}

func isCount(s string) error {
	if n, err := strconv.ParseInt(s, 10, 32); err != nil || n < 1 {
		return fmt.Errorf("%q is no number of 1 or more", s)
	}
	return nil
}

func isBytes(s string) error {
	_, err := parseBytes(s)
	return err
}

func isBool(s string) error {
	if s != "true" && s != "false" {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	return nil
}

// parseBytes reads 512, 64KiB, 64MiB or 2GiB.
func parseBytes(s string) (int64, error) {
	number, shift := s, 0
	for unit, by := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			number, shift = n, by
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is no size like 64MiB", s)
	}
	return n << shift, nil
}
