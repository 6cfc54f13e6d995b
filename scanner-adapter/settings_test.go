package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load([]string{"PATH=/bin", "SCANNER_REGISTRIES=http://127.0.0.1:8080, https://hub.example.com", "SCANNER_TOKEN_FILE=" + file,
		"SCANNER_HOSTS=s3.example.com:9000", "SCANNER_LIMITS_MEMORY=3GiB", "SCANNER_LIMITS_TIME=90s", "SCANNER_BASIC=harbor:p:w"})
	if err != nil {
		t.Fatal(err)
	}
	if c.values["token"] != "secret" || c.bytes("limits.memory") != 3<<30 || c.duration("limits.time").Seconds() != 90 || c.childLimits().Memory != 3<<30 {
		t.Fatalf("%v", c.values)
	}
	if got := strings.Join(c.hosts(), " "); got != "s3.example.com:9000 127.0.0.1:8080 hub.example.com" {
		t.Fatalf("the hosts are %s", got)
	}
	if got := c.credential(); got.User != "harbor" || got.Password != "p:w" {
		t.Fatalf("%+v", got)
	}
	if err := c.checkServe(); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	const registries = "SCANNER_REGISTRIES=http://127.0.0.1:8080"
	for name, env := range map[string][]string{
		"there is no setting":          {"SCANNER_MEMORY=1"},
		"SCANNER_TOKEN_FILE":           {"SCANNER_TOKEN_FILE=/nonexistent"},
		"are both set":                 {"SCANNER_TOKEN=a", "SCANNER_TOKEN_FILE=/dev/null"},
		"no address":                   {"SCANNER_LISTEN=8090"},
		"no registry like":             {"SCANNER_REGISTRIES=hub.example.com"},
		"SCANNER_LIMITS_MEMORY":        {"SCANNER_LIMITS_MEMORY=lots"},
		"SCANNER_LIMITS_REPORT":        {"SCANNER_LIMITS_REPORT=0"},
		"SCANNER_LIMITS_DISK":          {"SCANNER_LIMITS_DISK=99999999999GiB"},
		"SCANNER_LIMITS_TIME":          {"SCANNER_LIMITS_TIME=5"},
		"SCANNER_SCANS":                {"SCANNER_SCANS=0"},
		"SCANNER_EXTRAS":               {"SCANNER_EXTRAS=yes"},
		"user:password":                {"SCANNER_BASIC=admin"},
		"SCANNER_DATABASE":             {"SCANNER_DATABASE=https://ghcr.io/aquasecurity/trivy-db"},
		"SCANNER_REGISTRIES is not":    {},
		"others reach":                 {registries, "SCANNER_LISTEN=0.0.0.0:8090"},
		"SCANNER_TLS_KEY belong":       {registries, "SCANNER_TLS_CERT=/x"},
		"which others reach":           {registries, "SCANNER_LISTEN=:8090"},
		"children cannot be limited":   {registries, "SCANNER_DATA=" + t.TempDir(), "SCANNER_CGROUP=/tmp"},
		"SCANNER_DATA: it is empty":    {"SCANNER_DATA="},
		"it has to be like oci://regi": {"SCANNER_JAVA_DATABASE=oci://x"},
	} {
		err := run(t.Context(), []string{"serve"}, env, strings.NewReader(""), io.Discard, io.Discard)
		var usage usageError
		if err == nil || !strings.Contains(err.Error(), name) || !errors.As(err, &usage) && name != "children cannot be limited" {
			t.Errorf("%v: %v", env, err)
		}
	}
	if err := run(t.Context(), []string{"scan"}, nil, nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "there is no command") {
		t.Error(err)
	}
}

// The page lists each setting as it is.
func TestPageListsSettings(t *testing.T) {
	b, err := os.ReadFile("../docs/scanner.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		value := "`" + s.value + "`"
		if s.value == "" {
			value = ""
		}
		if row := "| `" + s.env() + "` | " + value + " | " + s.help + " |"; !strings.Contains(string(b), row) {
			t.Errorf("docs/scanner.md lacks\n%s", row)
		}
	}
}

// What the adapter says it is linked with is what it is linked with; and some versions were malicious (CVE-2026-33634).
func TestTrivyIsPinned(t *testing.T) {
	b, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`github\.com/aquasecurity/trivy (v\S+)`).FindSubmatch(b)
	if m == nil || string(m[1]) != "v"+trivyVersion {
		t.Fatalf("go.mod has Trivy %s and main.go %s", m, trivyVersion)
	}
	if strings.HasPrefix(trivyVersion, "0.69.") {
		t.Fatal("versions 0.69.4 to 0.69.6 are malicious")
	}
}
