package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

func TestLoadConfig(t *testing.T) {
	dir, files := t.TempDir(), 0
	file := func(text string) string {
		files++
		name := filepath.Join(dir, fmt.Sprintf("%d.yaml", files))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	secret := file("postgres://from-a-file/db\n")
	tests := []struct {
		name    string
		file    string
		environ []string
		flags   map[string]string
		key     string
		want    string
		source  string // a part of it
		err     string // a part of it
	}{
		{name: "default", key: "listen", want: "127.0.0.1:8080", source: "default"},
		{name: "file", file: file("listen: 0.0.0.0:80"), key: "listen", want: "0.0.0.0:80", source: "line 1"},
		{name: "nested key", file: file("limits:\n  blob_bytes: 1GiB"), key: "limits.blob_bytes", want: "1GiB", source: "line 2"},
		{name: "list", file: file("trusted_proxies: [10.0.0.0/8, 192.168.0.0/16]"), key: "trusted_proxies", want: "10.0.0.0/8,192.168.0.0/16"},
		{name: "environment beats file", file: file("listen: :1"), environ: []string{"HALLMARK_LISTEN=:2"}, key: "listen", want: ":2", source: "HALLMARK_LISTEN"},
		{name: "flag beats environment", environ: []string{"HALLMARK_LISTEN=:2"}, flags: map[string]string{"listen": ":3"}, key: "listen", want: ":3", source: "--listen"},
		{name: "value from a file", environ: []string{"HALLMARK_DB_FILE=" + secret}, key: "db", want: "postgres://from-a-file/db", source: "HALLMARK_DB_FILE"},
		{name: "names of others are left alone", environ: []string{"HALLMARK_TEST_POSTGRES=x", "PATH=y"}, key: "listen", want: "127.0.0.1:8080"},
		{name: "unknown key", file: file("lisen: :1"), err: `there is no setting "lisen"`},
		{name: "unknown nested key", file: file("limits:\n  blobs: 1"), err: `there is no setting "limits.blobs"`},
		{name: "unknown variable", environ: []string{"HALLMARK_LISEN=:1"}, err: "there is no setting HALLMARK_LISEN"},
		{name: "no YAML", file: file("listen: [unclosed"), err: "is not YAML"},
		{name: "no mapping", file: file("- a\n- b"), err: "expected keys with values"},
		{name: "no such file", file: filepath.Join(dir, "none"), err: "cannot be read"},
		{name: "no size", environ: []string{"HALLMARK_LIMITS_BLOB_BYTES=20 elephants"}, err: `limits.blob_bytes (from HALLMARK_LIMITS_BLOB_BYTES): "20 elephants" is no size`},
		{name: "no duration", environ: []string{"HALLMARK_GC_GRACE=-1h"}, err: "is no duration"},
		{name: "no number", environ: []string{"HALLMARK_LIMITS_CONNECTIONS=0"}, err: "is no number of 1 or more"},
		{name: "none of the choices", environ: []string{"HALLMARK_BASELINE=maybe"}, err: "is none of enforce, warn, off"},
		{name: "a secret is not shown", environ: []string{"HALLMARK_MASTER_KEY=short"}, err: "the value is not 32 bytes"},
		{name: "half of TLS", environ: []string{"HALLMARK_TLS_CERT=a"}, err: "tls_cert and tls_key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := loadConfig(tt.file, tt.environ, tt.flags)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %v, want an error with %q", err, tt.err)
				}
				if exitCode(err) != 2 {
					t.Errorf("a mistake in the configuration ends with status %d", exitCode(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.String(tt.key); got != tt.want {
				t.Errorf("%s is %q, want %q", tt.key, got, tt.want)
			}
			if !strings.Contains(c.values[tt.key].source, tt.source) {
				t.Errorf("%s comes from %q, want %q", tt.key, c.values[tt.key].source, tt.source)
			}
		})
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "4KiB": 4096, "4 MiB": 4 << 20, "20GiB": 20 << 30, "2TiB": 2 << 40} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "4MB", "KiB", "9999999999TiB", "1.5GiB"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("%q was taken for %d", text, got)
		}
	}
}

// TestConfigurationDocument keeps docs/configuration.md the table of settings.
func TestConfigurationDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Configuration\n\nA YAML file (`--config`, or `HALLMARK_CONFIG_FILE`) is overridden by the environment, and that by flags. A variable with\n" +
		"`_FILE` behind its name is read from the file it names. An unknown key is an error. `hallmark config check` says whether a\n" +
		"configuration can be used, `hallmark config print` shows each value and where it comes from. Secrets have no flags.\n\n" +
		"| file | environment | default | |\n|---|---|---|---|\n")
	for _, s := range settings() {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", s.key, s.env(), code(s.value), s.help)
	}
	name := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/configuration.md is not the table of settings: go test ./cmd/hallmark -run Document -update")
	}
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
