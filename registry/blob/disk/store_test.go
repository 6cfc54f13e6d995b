package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/registry/blob"
	"github.com/hallmarkhub/hallmark/registry/blob/blobtest"
	"github.com/hallmarkhub/hallmark/registry/blob/disk"
)

func TestContract(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) func() blob.Store {
		dir := t.TempDir()
		return func() blob.Store { return open(t, dir) }
	})
}

func open(t *testing.T, dir string) *disk.Store {
	t.Helper()
	s, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLayout pins where things lie: operators and backups rely on it.
func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir)
	w, err := s.Create(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "hello"); err != nil {
		t.Fatal(err)
	}
	// The length of the file is the offset as soon as Write has returned.
	if info, err := os.Stat(dir + "/uploads/u1"); err != nil || info.Size() != 5 || info.Mode() != 0o600 {
		t.Fatalf("upload: %v, %v", info, err)
	}
	d := digest.FromString("hello")
	key, err := w.Commit(t.Context(), d)
	if want := "sha256/2c/" + d.Encoded() + ".u1"; err != nil || key != want || s.Key("u1", d) != want {
		t.Fatalf("Commit: %s, %v, want %s", key, err, want)
	}
	for path, mode := range map[string]fs.FileMode{
		"": 0o700, "uploads": 0o700, "sha256": 0o700, "sha256/2c": 0o700, key: 0o600,
	} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v, want mode %v", path, info, err, mode)
		}
	}
	if _, err := os.Stat(dir + "/uploads/u1"); !os.IsNotExist(err) {
		t.Errorf("the upload is still there: %v", err)
	}
	c, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(*os.File); !ok {
		t.Errorf("Open returned %T; only an *os.File can be sent without copying", c)
	}
	if u, err := s.URL(t.Context(), key, time.Minute); u != "" || err != nil {
		t.Errorf("URL: %q, %v", u, err)
	}
	if free, err := s.Free(); free <= 0 || err != nil {
		t.Errorf("Free: %d, %v", free, err)
	}
}

// TestAdoptedTree opens, lists and deletes what distribution left in place.
func TestAdoptedTree(t *testing.T) {
	dir := t.TempDir()
	d := digest.FromString("hello")
	key := "docker/registry/v2/blobs/sha256/2c/" + d.Encoded() + "/data"
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, key)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, key), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	c, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	var names []string
	err = s.List(t.Context(), func(i blob.Info) error { names = append(names, i.Key); return nil })
	if err != nil || len(names) != 1 || names[0] != key {
		t.Fatalf("List: %v, %v", names, err)
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("Open after Delete: %v", err)
	}
}

// TestStaysInside plants files beside the store and tries to reach them, and the uploads, by key.
func TestStaysInside(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "blobs")
	s := open(t, dir)
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := s.Create(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, key := range []string{"../secret", "x/../../secret", secret, "uploads/u1", "uploads/../uploads/u1", "./uploads/u1", "sha256"} {
		if c, err := s.Open(t.Context(), key); err == nil {
			c.Close()
			t.Errorf("Open(%q) succeeded", key)
		}
		_ = s.Delete(t.Context(), key)
	}
	for _, path := range []string{secret, dir + "/uploads/u1"} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestLateWriter is the request that lost its connection but not its Writer: it cannot touch what another commits.
func TestLateWriter(t *testing.T) {
	dir := t.TempDir()
	one, two := open(t, dir), open(t, dir) // as two processes
	late, err := one.Create(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(late, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Resume(t.Context(), "u1"); !errors.Is(err, blob.ErrBusy) {
		t.Fatalf("Resume while another process writes: %v, want ErrBusy", err)
	}
	if err := late.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := two.Resume(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(late, "!"); err == nil {
		t.Error("a closed Writer wrote")
	}
	if _, err := w.Commit(t.Context(), digest.FromString("hello")); err != nil {
		t.Fatal(err)
	}
}
