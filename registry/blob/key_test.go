package blob_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmarkhub/hallmark/registry/blob"
)

func TestCheckKey(t *testing.T) {
	for _, key := range []string{
		"sha256/ab/abcdef.u1",
		"docker/registry/v2/blobs/sha256/ab/abcdef/data",
		"a/..b",
		"a/" + strings.Repeat("x", 255),
	} {
		if err := blob.CheckKey(key); err != nil {
			t.Errorf("CheckKey(%q) = %v, want nil", key, err)
		}
	}
	for _, key := range []string{
		"", "/", "a", "/a/b", "a//b", "a/b/", "./a", "a/.", "a/..", "../a", "a/../b", "a\x00/b", "a/b\n", `a\b/c`, "a/b:c",
		"a/" + strings.Repeat("x", 256), strings.Repeat("a/", 600) + "a",
	} {
		if err := blob.CheckKey(key); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("CheckKey(%q) = %v, want ErrBadKey", key, err)
		}
	}
}

func TestCheckUpload(t *testing.T) {
	for _, id := range []string{"u", "0192f1c2-7b1e-7c3a-9b7e-0123456789ab", "a.b_c-D", strings.Repeat("x", 100)} {
		if err := blob.CheckUpload(id); err != nil {
			t.Errorf("CheckUpload(%q) = %v, want nil", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", ".hidden", "a/b", "/a", "../a", "a\x00", "a b", "ä", strings.Repeat("x", 101)} {
		if err := blob.CheckUpload(id); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("CheckUpload(%q) = %v, want ErrBadKey", id, err)
		}
	}
}

// FuzzCheckKey holds the promise the stores rely on: an accepted key stays below the directory it is joined to.
func FuzzCheckKey(f *testing.F) {
	f.Add("sha256/ab/cd.u")
	f.Add("../x/y")
	f.Fuzz(func(t *testing.T, key string) {
		if blob.CheckKey(key) != nil {
			return
		}
		if !filepath.IsLocal(key) || filepath.ToSlash(filepath.Clean(key)) != key {
			t.Fatalf("accepted %q", key)
		}
	})
}
