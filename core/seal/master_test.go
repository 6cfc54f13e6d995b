package seal

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const goodKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func TestLoadMasterKeyFromValue(t *testing.T) {
	for _, value := range []string{goodKey, strings.TrimRight(goodKey, "="), " " + goodKey + "\n"} {
		k, err := LoadMasterKey(value, "/nowhere/master.key", false)
		if err != nil || string(k.master[:]) != "01234567890123456789012345678901" {
			t.Errorf("%q: %v", value, err)
		}
	}
	for value, want := range map[string]string{
		"not base64 at all!": "HALLMARK_MASTER_KEY is not base64",
		"c2hvcnQ=":           "HALLMARK_MASTER_KEY holds 5 bytes instead of 32",
		base64.StdEncoding.EncodeToString(make([]byte, 33)): "HALLMARK_MASTER_KEY holds 33 bytes instead of 32",
	} {
		_, err := LoadMasterKey(value, "/nowhere/master.key", true)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("%q: %v", value, err)
		}
		if err != nil && strings.Contains(err.Error(), value) {
			t.Errorf("the value is in the error: %v", err)
		}
	}
}

func TestLoadMasterKeyFromFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	if _, err := LoadMasterKey("", path, false); err == nil || !strings.Contains(err.Error(), "HALLMARK_MASTER_KEY is not set") {
		t.Fatalf("no key: %v", err)
	}
	// Several at once agree on one key.
	keys := make([]*Keyring, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := LoadMasterKey("", path, true)
			if err != nil {
				t.Error(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, k := range keys {
		if k.master != keys[0].master || k.master == [KeySize]byte{} {
			t.Fatal("the keys differ")
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".master*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadMasterKey("", path, true); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("readable by the group: %v", err)
	}
}

func TestLoadMasterKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ path, want string }{
		{dir, "is not a file"},
		{write("short", "c2hvcnQ="), "holds 5 bytes instead of 32"},
		{write("empty", ""), "holds 0 bytes instead of 32"},
		{write("text", "a password, I thought"), "is not base64"},
		{write("huge", strings.Repeat("A", 1<<20)), "bytes instead of 32"},
		{filepath.Join(dir, "no", "such", "dir"), "could not be made, set HALLMARK_MASTER_KEY"},
		{filepath.Join(dir, "short", "below a file"), "cannot be read"},
	} {
		if _, err := LoadMasterKey("", c.path, true); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
}

func TestWriteFileNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "one" {
		t.Errorf("it holds %q", b)
	}
}
