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
	const key = "HALLMARK_MASTER_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
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
		{name: "value from a file", environ: []string{"HALLMARK_DB_FILE=" + secret, key}, key: "db", want: "postgres://from-a-file/db", source: "HALLMARK_DB_FILE"},
		{name: "value from a file beside an empty one", environ: []string{"HALLMARK_DB_FILE=" + secret, "HALLMARK_DB=", key}, key: "db", want: "postgres://from-a-file/db", source: "HALLMARK_DB_FILE"},
		{name: "a path is written as an address", environ: []string{"HALLMARK_DATA=/a?b#c d"}, key: "data", want: "/a?b#c d"},
		{name: "empty file", file: file(""), key: "listen", want: "127.0.0.1:8080", source: "default"},
		{name: "one role of two", environ: []string{"HALLMARK_DB=postgres://host/db", key, "HALLMARK_QUEUE=redis://r", "HALLMARK_ROLES=core"}, key: "roles", want: "core"},
		{name: "names of others are left alone", environ: []string{"HALLMARK_TEST_POSTGRES=x", "PATH=y"}, key: "listen", want: "127.0.0.1:8080"},
		{name: "unknown key", file: file("lisen: :1"), err: `there is no setting "lisen"`},
		{name: "unknown nested key", file: file("limits:\n  blobs: 1"), err: `there is no setting "limits.blobs"`},
		{name: "unknown variable", environ: []string{"HALLMARK_LISEN=:1"}, err: "there is no setting HALLMARK_LISEN"},
		{name: "no YAML", file: file("listen: [unclosed"), err: "is not YAML"},
		{name: "no mapping", file: file("- a\n- b"), err: "expected keys with values"},
		{name: "no such file", file: filepath.Join(dir, "none"), err: "cannot be read"},
		{name: "no size", environ: []string{"HALLMARK_LIMITS_BLOB_BYTES=20 elephants"}, err: `limits.blob_bytes (from HALLMARK_LIMITS_BLOB_BYTES): "20 elephants" is no size`},
		{name: "no duration", environ: []string{"HALLMARK_GC_GRACE=-1h"}, err: "is no duration"},
		{name: "shortest patience with uploads", environ: []string{"HALLMARK_LIMITS_UPLOAD_IDLE=2h"}, key: "limits.upload_idle", want: "2h"},
		{name: "less than an upload at work notes", environ: []string{"HALLMARK_LIMITS_UPLOAD_IDLE=119m"}, err: "is no duration of 2h or more"},
		{name: "shortest life", environ: []string{"HALLMARK_LIMITS_TOKEN_LIFE=1m"}, key: "limits.token_life", want: "1m"},
		{name: "longest life", environ: []string{"HALLMARK_LIMITS_TOKEN_LIFE=1h"}, key: "limits.token_life", want: "1h"},
		{name: "too short a life", environ: []string{"HALLMARK_LIMITS_TOKEN_LIFE=59s"}, err: "is no duration from 1m to 1h"},
		{name: "too long a life", environ: []string{"HALLMARK_LIMITS_TOKEN_LIFE=3601s"}, err: "is no duration from 1m to 1h"},
		{name: "no number", environ: []string{"HALLMARK_LIMITS_CONNECTIONS=0"}, err: "is no number of 1 or more"},
		{name: "none of the choices", environ: []string{"HALLMARK_BASELINE=maybe"}, err: "is none of enforce, warn, off"},
		{name: "a secret is not shown", environ: []string{"HALLMARK_MASTER_KEY=short"}, err: "the value is not 32 bytes"},
		{name: "half of TLS", environ: []string{"HALLMARK_TLS_CERT=a"}, err: "tls_cert and tls_key"},
		{name: "no directory", environ: []string{"HALLMARK_DATA="}, err: `data (from HALLMARK_DATA): "" names no directory`},
		{name: "no port", flags: map[string]string{"listen": "localhost"}, err: `"localhost" is no address such as 127.0.0.1:8080: set HALLMARK_LISTEN`},
		{name: "port too high", environ: []string{"HALLMARK_INTERNAL_LISTEN=:65536"}, err: "set HALLMARK_INTERNAL_LISTEN"},
		{name: "highest port", environ: []string{"HALLMARK_INTERNAL_LISTEN=:65535"}, key: "internal_listen", want: ":65535"},
		{name: "one address twice", environ: []string{"HALLMARK_LISTEN=127.0.0.1:8081"}, err: "listen and internal_listen are the same address"},
		{name: "key twice", file: file("listen: :1\nlisten: :2"), err: `line 2: "listen" is there already, in line 1`},
		{name: "key twice in two notations", file: file("limits.page_max: 1\nlimits:\n  page_max: 2"), err: `line 3: "limits.page_max" is there already, in line 1`},
		{name: "section twice", file: file("limits:\n  page_max: 1\nlimits:\n  page_default: 1"), err: `line 3: "limits" is there already, in line 1`},
		{name: "two documents", file: file("listen: :1\n---\nlisten: :2"), err: "line 2: a second document"},
		{name: "variable and file", environ: []string{"HALLMARK_DB_FILE=" + secret, "HALLMARK_DB=sqlite:///x"}, err: "HALLMARK_DB and HALLMARK_DB_FILE are both set"},
		{name: "file and variable", environ: []string{"HALLMARK_DB=sqlite:///x", "HALLMARK_DB_FILE=" + secret}, err: "HALLMARK_DB and HALLMARK_DB_FILE are both set"},
		{name: "file without a name", environ: []string{"HALLMARK_DB_FILE="}, err: "HALLMARK_DB_FILE is empty"},
		{name: "no network", environ: []string{"HALLMARK_TRUSTED_PROXIES=10.0.0.0/99"}, err: "is neither an address nor a network"},
		{name: "public address with a path", environ: []string{"HALLMARK_PUBLIC_URL=https://hub.example/path"}, err: "is not an address such as"},
		{name: "no database", environ: []string{"HALLMARK_DB=sqlite:hub.db"}, err: "not of the form sqlite:///path/to/file. HALLMARK_DB says where it is"},
		{name: "postgres without a key", environ: []string{"HALLMARK_DB=postgres://host/db"}, err: "HALLMARK_MASTER_KEY has to be set"},
		{name: "postgres with a broken address", environ: []string{"HALLMARK_DB=postgres://u:pass/word@host/db", key}, err: "is not of the form postgres://user:password@host:port/database"},
		{name: "no store", environ: []string{"HALLMARK_BLOBS=file://relative/path"}, err: "HALLMARK_BLOBS is not of the form file:///path"},
		{name: "no role", environ: []string{"HALLMARK_ROLES=core,jobs"}, err: "is no list of core and jobservice"},
		{name: "empty list of roles", environ: []string{"HALLMARK_ROLES=,"}, err: "is no list of core and jobservice"},
		{name: "half of the roles with SQLite", environ: []string{"HALLMARK_ROLES=core"}, err: "roles (from HALLMARK_ROLES): with SQLite there is one process"},
		{name: "half of the roles with SQLite and Redis", environ: []string{"HALLMARK_ROLES=jobservice", "HALLMARK_QUEUE=redis://r"}, err: "with SQLite there is one process"},
		{name: "half of the roles with a queue in memory", environ: []string{"HALLMARK_ROLES=jobservice", "HALLMARK_DB=postgres://host/db", key}, err: "set HALLMARK_QUEUE to redis://"},
		{name: "half of the roles", environ: []string{"HALLMARK_ROLES=jobservice", "HALLMARK_DB=postgres://host/db", "HALLMARK_QUEUE=redis://r", key}, key: "roles", want: "jobservice"},
		{name: "another queue", environ: []string{"HALLMARK_QUEUE=amqp://:s3cret@r"}, err: "queue (from HALLMARK_QUEUE): the value begins with none of memory:, redis:, rediss:"},
		{name: "a queue that is no address", environ: []string{"HALLMARK_QUEUE=redis://:s3c/ret@r"}, err: "HALLMARK_QUEUE is not an address such as redis://:password@host:6379/0 or memory: it is not a URL"},
		{name: "a queue with a parameter that is none", environ: []string{"HALLMARK_QUEUE=rediss://r?read_timeout=1"}, err: `the parameter "read_timeout" is not one of`},
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
		"`_FILE` behind its name is read from the file it names. `hallmark config check` says whether a configuration can be used,\n" +
		"`hallmark config print` shows each value and where it comes from. Secrets have no flags.\n\n" +
		"Nothing is guessed: an unknown key, a key that is there twice, a variable beside the same one with `_FILE`, and a value that\n" +
		"cannot be are errors. `serve` says what `config check` says, in one sentence and with exit status 2, before it touches anything.\n\n" +
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
