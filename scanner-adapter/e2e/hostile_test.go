package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest"
	"github.com/hallmarkhub/hallmark/scanner-adapter/spec"
)

// tree is every file below dir with its size and time of change.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() {
			fmt.Fprintln(&all, path, info.Size(), info.ModTime().UnixNano(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// jar is an archive whose description unpacks to n bytes: a zip bomb for whoever reads it.
func jar(t *testing.T, n int64) string {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	w, err := z.Create("META-INF/MANIFEST.MF")
	if err != nil {
		t.Fatal(err)
	}
	scannertest.Zeros(t, w, n)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// nested is a jar in a jar in a jar, whose innermost is a bomb.
func nested(t *testing.T, n int64) string {
	t.Helper()
	inner := jar(t, n)
	for range 3 {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		for i := range 4 {
			w, err := z.Create(fmt.Sprintf("lib/inner%d.jar", i))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(w, inner)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		inner = out.String()
	}
	return inner
}

// V-14: each hostile image fails with a reason, nothing outside the directory of the scan changes, nothing is left in it,
// and the next scan works.
func TestHostileImages(t *testing.T) {
	r := scannertest.NewRegistry(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "kept"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := start(t, r, filepath.Join(outside, "data"), "SCANNER_LIMITS_UNPACKED=64MiB", "SCANNER_LIMITS_FILES=100000",
		"SCANNER_EXTRAS=false", "SCANNER_LIMITS_MEMORY=700MiB", "SCANNER_LIMITS_TIME=60s", "SCANNER_LIMITS_PROCESSOR=40s", "SCANNER_LIMITS_DISK=256MiB", "SCANNER_LIMITS_DEPTH=50")
	entry := func(headers ...*tar.Header) scannertest.Layer {
		return scannertest.Entries(t, func(w *tar.Writer) {
			for _, h := range headers {
				scannertest.Add(t, w, h, "")
			}
		})
	}
	before := tree(t, outside)
	for name, tt := range map[string]struct {
		layer scannertest.Layer
		words string
	}{
		"tar bomb": {scannertest.Stream(t, func(w io.Writer) {
			archive := tar.NewWriter(w)
			if err := archive.WriteHeader(&tar.Header{Name: "bomb", Typeflag: tar.TypeReg, Size: 1 << 30}); err != nil {
				t.Fatal(err)
			}
			scannertest.Zeros(t, archive, 1<<30)
		}), "unpacks to more than"},
		"a million files": {scannertest.Entries(t, func(w *tar.Writer) {
			for i := range 1_000_000 {
				scannertest.Add(t, w, &tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeReg}, "")
			}
		}), "more than"},
		"deep":      {entry(&tar.Header{Name: strings.Repeat("d/", 200), Typeflag: tar.TypeDir}), "directories deep"},
		"traversal": {entry(&tar.Header{Name: "../../../../../../tmp/escaped", Typeflag: tar.TypeReg}), "leaves the image"},
		"symlink": {entry(&tar.Header{Name: "evil", Linkname: outside, Typeflag: tar.TypeSymlink},
			&tar.Header{Name: "evil/escaped", Typeflag: tar.TypeReg}), "through the link"},
		"hard link":       {entry(&tar.Header{Name: "evil", Linkname: "../../../" + outside + "/kept", Typeflag: tar.TypeLink}), "leads out"},
		"zip bomb":        {scannertest.Files(t, map[string]string{"app/bomb.jar": jar(t, 512<<20)}), "unpacks to more than"},
		"nested zip bomb": {scannertest.Files(t, map[string]string{"app/nested.war": nested(t, 8<<20)}), "unpacks to more than"},
		"no gzip":         {scannertest.Layer{Packed: []byte("\x1f\x8b no gzip"), DiffID: "sha256:" + ocispecDigest, MediaType: ocispec.MediaTypeImageLayerGzip}, "cannot be unpacked"},
	} {
		t.Run(name, func(t *testing.T) {
			d := r.Push(t, []scannertest.Layer{tt.layer}, nil).String()
			if why := a.failed(r, d); !strings.Contains(why, tt.words) || strings.Contains(why, r.Password) {
				t.Fatalf("the scan failed because %q", why)
			}
			if after := tree(t, outside); after != before {
				t.Fatalf("the directory changed:\n%s\nwas\n%s", after, before)
			}
			good := r.Push(t, []scannertest.Layer{debian(t)}, nil).String()
			if got := a.scanned(r, good); got.Severity != spec.Critical {
				t.Fatalf("the next scan: %+v", got)
			}
		})
	}
}

const ocispecDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// A report that is too large is no report.
func TestLargeReportFails(t *testing.T) {
	r := scannertest.NewRegistry(t)
	a := start(t, r, t.TempDir(), "SCANNER_LIMITS_REPORT=1KiB")
	if why := a.failed(r, r.Push(t, []scannertest.Layer{debian(t)}, nil).String()); !strings.Contains(why, "limits.report") {
		t.Fatal(why)
	}
}
