//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// required says that nothing may be skipped: what CI did not run must not look green.
func required() bool {
	return os.Getenv("CI") == "true" || os.Getenv("E2E_REQUIRE") == "1"
}

// lacking ends the test: skipped on a desk, failed in CI.
func lacking(t testing.TB, format string, args ...any) {
	t.Helper()
	if required() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func toolCache() string {
	if dir := os.Getenv("HALLMARK_TOOLS"); dir != "" {
		return dir
	}
	// Not os.UserCacheDir: build.sh uses this rule on every system.
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "hallmark", "tools")
	}
	return filepath.Join(os.Getenv("HOME"), ".cache", "hallmark", "tools")
}

// pinned returns the path of a Go tool of tests/tools. PATH is not searched: what a
// test proves should not depend on which version somebody has installed.
func pinned(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(toolCache(), "bin", name)
	if _, err := os.Stat(path); err != nil {
		lacking(t, "%s is missing; install it with: tests/tools/build.sh %s", name, name)
	}
	return path
}

// debian returns the path of a command that comes from the system's packages.
func debian(t testing.TB, group, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not in everybody's PATH
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	lacking(t, "%s is missing; install it with: tests/tools/apt.sh %s", name, group)
	return ""
}

// postgresBin returns the directory of Postgres' programs. Debian keeps one per
// version outside PATH; the newest wins.
func postgresBin(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	return filepath.Dir(debian(t, "db", "initdb"))
}

// needRoot ends the test unless it runs as root: container engines need it.
func needRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "%s needs root; run the tests as root", what)
	}
}

// hubBinary returns the binary under test. That one is never skipped.
func hubBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("HALLMARK_BIN")
	if path == "" {
		path = filepath.Join("..", "..", "bin", "hallmark")
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("no hub to test (%w); build it with: go build -o bin/hallmark ./cmd/hallmark, or set HALLMARK_BIN", err))
	}
	return path
}
