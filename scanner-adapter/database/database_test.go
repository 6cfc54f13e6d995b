package database_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/scanner-adapter/database"
	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest"
)

func open(t *testing.T, dir string, check func(string) error) *database.Store {
	t.Helper()
	s, err := database.Open(dir, func(_ context.Context, generation string) error { return check(generation) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fine(string) error { return nil }

func day(n int) time.Time {
	return time.Now().UTC().Truncate(time.Second).Add(time.Duration(n) * 24 * time.Hour)
}

func meta(version int, at time.Time) string {
	return fmt.Sprintf(`{"Version":%d,"UpdatedAt":%q,"NextUpdate":%q}`, version, at.Format(time.RFC3339), at.Add(24*time.Hour).Format(time.RFC3339))
}

// packed is an archive of these files.
func packed(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		scannertest.Add(t, w, &tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[i+1]))}, files[i+1])
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func bring(t *testing.T, s *database.Store, k database.Kind, archive []byte, older bool) error {
	t.Helper()
	return s.Import(t.Context(), k, "test", older, func(dir string) error {
		return database.Unpack(t.Context(), k, bytes.NewReader(archive), dir)
	})
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, fine)
	if _, _, err := s.Acquire(true); err == nil || !strings.Contains(err.Error(), "database import FILE") {
		t.Fatalf("without a database: %v", err)
	}
	if err := bring(t, s, database.Vulnerabilities(), packed(t, "./trivy.db", "one", "metadata.json", meta(2, day(-2)), "../../evil", "x", "other", "y"), false); err != nil {
		t.Fatal(err)
	}
	if err := bring(t, s, database.Java(), packed(t, "trivy-java.db", "java", "metadata.json", meta(1, day(-2))), false); err != nil {
		t.Fatal(err)
	}
	used, release, err := s.Acquire(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := bring(t, s, database.Vulnerabilities(), packed(t, "trivy.db", "two", "metadata.json", meta(2, day(-1))), false); err != nil {
		t.Fatal(err)
	}
	// A scan that runs keeps what it began with.
	if b, err := os.ReadFile(filepath.Join(used, "db", "trivy.db")); err != nil || string(b) != "one" {
		t.Fatalf("%q, %v", b, err)
	}
	release()
	if _, err := os.Stat(used); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("nobody uses it any more: %v", err)
	}
	// The other database stays, also over a new start, which sweeps.
	if err := os.MkdirAll(filepath.Join(dir, "g-interrupted", "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	now, _, err := open(t, dir, fine).Acquire(true)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"db/trivy.db": "two", "java-db/trivy-java.db": "java"} {
		if b, err := os.ReadFile(filepath.Join(now, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Fatalf("there are %v, %v", left, err)
	}
	if a, ok := s.Age(database.Vulnerabilities()); !ok || !a.UpdatedAt.Equal(day(-1)) || a.Source != "test" || a.ImportedAt.IsZero() {
		t.Fatalf("%+v, %v", a, ok)
	}
}

// What is refused leaves the one that is there.
func TestImportThatIsRefused(t *testing.T) {
	s := open(t, t.TempDir(), func(generation string) error {
		if b, _ := os.ReadFile(filepath.Join(generation, "db", "trivy.db")); string(b) == "damaged" {
			return &database.Refused{Message: "It is damaged."}
		}
		return nil
	})
	if err := bring(t, s, database.Vulnerabilities(), packed(t, "trivy.db", "good", "metadata.json", meta(2, day(-3))), false); err != nil {
		t.Fatal(err)
	}
	whole := packed(t, "trivy.db", "x", "metadata.json", meta(2, day(-1)))
	for name, tt := range map[string]struct {
		archive []byte
		words   string
	}{
		"no archive":       {[]byte("x"), "gzip"},
		"cut off":          {whole[:len(whole)-20], "damaged"},
		"no metadata":      {packed(t, "trivy.db", "x"), "metadata.json"},
		"broken metadata":  {packed(t, "trivy.db", "x", "metadata.json", "{"), "metadata.json"},
		"another version":  {packed(t, "trivy.db", "x", "metadata.json", meta(1, day(-1))), "schema version"},
		"of the future":    {packed(t, "trivy.db", "x", "metadata.json", meta(2, day(1))), "yet to come"},
		"no database":      {packed(t, "metadata.json", meta(2, day(-1))), "no trivy.db"},
		"an empty one":     {packed(t, "trivy.db", "", "metadata.json", meta(2, day(-1))), "no trivy.db"},
		"an older one":     {packed(t, "trivy.db", "x", "metadata.json", meta(2, day(-4))), "older than the one in use"},
		"one that is bad":  {packed(t, "trivy.db", "damaged", "metadata.json", meta(2, day(-1))), "It is damaged"},
		"one that is two":  {packed(t, "trivy.db", "x", "trivy.db", "y", "metadata.json", meta(2, day(-1))), "exists"},
		"the wrong one":    {packed(t, "trivy-java.db", "x", "metadata.json", meta(1, day(-1))), "schema version"},
		"paths that leave": {packed(t, "../trivy.db", "x", "../metadata.json", meta(2, day(-1))), "metadata.json"},
	} {
		if err := bring(t, s, database.Vulnerabilities(), tt.archive, false); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	now, release, err := s.Acquire(true)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if b, err := os.ReadFile(filepath.Join(now, "db", "trivy.db")); err != nil || string(b) != "good" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := bring(t, s, database.Vulnerabilities(), packed(t, "trivy.db", "x", "metadata.json", meta(2, day(-4))), true); err != nil {
		t.Fatalf("by hand an older one may be brought in: %v", err)
	}
}

// A directory may be named as seen from where the adapter is; children are elsewhere.
func TestDirectoryIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	s := open(t, "data", func(generation string) error {
		if !filepath.IsAbs(generation) {
			t.Errorf("a child is to check %s", generation)
		}
		return nil
	})
	if dir, release, err := s.Acquire(false); err != nil || dir != "" {
		t.Fatal(dir, err)
	} else {
		release()
	}
	if err := bring(t, s, database.Java(), packed(t, "trivy-java.db", "java", "metadata.json", meta(1, day(-2))), false); err != nil {
		t.Fatal(err)
	}
	dir, release, err := s.Acquire(false)
	if err != nil || !filepath.IsAbs(dir) {
		t.Fatal(dir, err)
	}
	release()
	if _, _, err := s.Acquire(true); err == nil {
		t.Fatal("the index of Java archives is taken for the vulnerability database")
	}
	if err := bring(t, s, database.Vulnerabilities(), packed(t, "trivy.db", "x", "metadata.json", meta(2, day(-2))), false); err != nil {
		t.Fatal(err)
	}
	if _, release, err = s.Acquire(true); err != nil {
		t.Fatal(err)
	}
	release()
}

func TestSources(t *testing.T) {
	archive := packed(t, "trivy.db", "x", "metadata.json", meta(2, day(-1)))
	dir := t.TempDir()
	for name, content := range map[string]string{"trivy.db": "x", "metadata.json": meta(2, day(-1)), "db.tar.gz": string(archive)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := scannertest.NewRegistry(t)
	push := func(layers ...ocispec.Descriptor) {
		m, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON, Layers: layers})
		if err != nil {
			t.Fatal(err)
		}
		r.PutManifest(ocispec.MediaTypeImageManifest, m, "2")
	}
	layer := ocispec.Descriptor{MediaType: database.Vulnerabilities().MediaType, Digest: r.PutBlob(archive), Size: int64(len(archive))}
	push(layer)
	registry := database.Source{Address: "oci://" + r.Host() + "/trivy-db:2", Authorization: r.User + ":" + r.Password}
	load := func(src database.Source) error {
		return open(t, t.TempDir(), fine).Load(t.Context(), database.Vulnerabilities(), src)
	}
	for _, src := range []database.Source{{Address: "dir://" + dir}, {Address: "file://" + dir + "/db.tar.gz"}, registry} {
		if err := errors.Join(database.CheckSource(src.Address), load(src)); err != nil {
			t.Errorf("%s: %v", src.Address, err)
		}
	}
	push(layer, layer)
	if err := load(registry); err == nil || !strings.Contains(err.Error(), "one layer") {
		t.Errorf("two layers: %v", err)
	}
	other := layer
	other.MediaType = "application/x"
	push(other)
	if err := load(registry); err == nil || !strings.Contains(err.Error(), "one layer") {
		t.Errorf("another type: %v", err)
	}
	push(layer)
	r.Lie(layer.Digest, packed(t, "trivy.db", "evil", "metadata.json", meta(2, day(-1))))
	if err := load(registry); err == nil {
		t.Error("content that is not what its digest says was taken")
	}
	for _, address := range []string{"http://x/y", "oci://x/y", "oci:///y:2", "oci://x/Y:2", "dir://relative", "dir:relative", "file://host/x", "x", "oci://x/y:2:3"} {
		if database.CheckSource(address) == nil {
			t.Errorf("%s is taken for a source", address)
		}
	}
}

// A registry is asked often: what is there already, or was refused, is not fetched again.
func TestSameDatabaseIsNotFetchedAgain(t *testing.T) {
	r := scannertest.NewRegistry(t)
	push := func(archive []byte) {
		m, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON,
			Layers: []ocispec.Descriptor{{MediaType: database.Vulnerabilities().MediaType, Digest: r.PutBlob(archive), Size: int64(len(archive))}}})
		if err != nil {
			t.Fatal(err)
		}
		r.PutManifest(ocispec.MediaTypeImageManifest, m, "2")
	}
	src := database.Source{Address: "oci://" + r.Host() + "/trivy-db:2", Authorization: r.User + ":" + r.Password}
	dir := t.TempDir()
	s := open(t, dir, fine)
	blobs := func() int { // requests besides those for the manifest, of which there are two: without the credential, and with it
		t.Helper()
		before := r.Requests()
		_ = s.Load(t.Context(), database.Vulnerabilities(), src)
		return r.Requests() - before - 2
	}
	push(packed(t, "trivy.db", "x", "metadata.json", meta(2, day(-2))))
	for i, want := range []int{1, 0} {
		if n := blobs(); n != want {
			t.Errorf("load %d: %d blobs", i, n)
		}
	}
	s = open(t, dir, fine) // after a start as well
	if n := blobs(); n != 0 {
		t.Errorf("after a start: %d blobs", n)
	}
	if a, ok := s.Age(database.Vulnerabilities()); !ok || !strings.HasPrefix(a.Source, src.Address+"@sha256:") {
		t.Errorf("%+v", a)
	}
	push(packed(t, "trivy.db", "y", "metadata.json", meta(2, day(-3)))) // older
	for i, want := range []int{1, 0} {
		if n := blobs(); n != want {
			t.Errorf("refused, load %d: %d blobs", i, n)
		}
	}
	if err := s.Load(t.Context(), database.Vulnerabilities(), src); err == nil || !strings.Contains(err.Error(), "older than the one in use") {
		t.Errorf("why it was refused is not said again: %v", err)
	}
	push(packed(t, "trivy.db", "z", "metadata.json", meta(2, day(-1))))
	if err := s.Load(t.Context(), database.Vulnerabilities(), src); err != nil {
		t.Error(err)
	}
	if a, _ := s.Age(database.Vulnerabilities()); !a.UpdatedAt.Equal(day(-1)) {
		t.Errorf("%+v", a)
	}
}

// F-13: a source that cannot be reached is said, with what to do; scans go on with what there is.
func TestUnreachableSourceIsShown(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	address := "oci://" + strings.TrimPrefix(gone.URL, "http://") + "/trivy-db:2"
	s := open(t, t.TempDir(), fine)
	r := &database.Refresher{Store: s, Kind: database.Vulnerabilities(), Source: database.Source{Address: address}, Interval: time.Hour, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if st := r.State(); st.Present || !strings.Contains(st.Hint, "Nothing is scanned without it") {
		t.Fatalf("%+v", st)
	}
	if err := bring(t, s, database.Vulnerabilities(), packed(t, "trivy.db", "x", "metadata.json", meta(2, day(-1))), false); err != nil {
		t.Fatal(err)
	}
	if st := r.State(); !st.Present || st.Hint != "" || !st.UpdatedAt.Equal(day(-1)) {
		t.Fatalf("%+v", st)
	}
	if err := r.Refresh(t.Context()); err == nil {
		t.Fatal("there is nothing to be had")
	}
	st := r.State()
	if !st.Present || st.LastError == "" || st.LastAttempt == nil || !strings.Contains(st.Hint, "scans go on") {
		t.Fatalf("%+v", st)
	}
	gone.Close()
	// One that works again clears it.
	dir := t.TempDir()
	for name, content := range map[string]string{"trivy.db": "y", "metadata.json": meta(2, day(0))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.Source.Address = "dir://" + dir
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := r.State(); st.LastError != "" || st.Hint != "" {
		t.Fatalf("%+v", st)
	}
}
