package image_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/scanner-adapter/image"
	"github.com/hallmarkhub/hallmark/scanner-adapter/scannertest"
)

func limits() image.Limits {
	return image.Limits{Fetched: 8 << 20, Unpacked: 4 << 20, Files: 1000, Depth: 20, Layers: 10}
}

func source(r *scannertest.Registry) image.Source {
	return image.Source{URL: r.URL, Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(r.User+":"+r.Password))}
}

// take fetches and measures an image.
func take(t *testing.T, r *scannertest.Registry, d digest.Digest, l image.Limits) (*image.Image, error) {
	t.Helper()
	img, err := image.Fetch(t.Context(), source(r), "team/app", d, t.TempDir(), l)
	if err != nil {
		return nil, err
	}
	return img, img.Measure(t.Context(), l, 2)
}

func wantError(t *testing.T, err error, code, words string) {
	t.Helper()
	var refused *image.Error
	if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Message, words) {
		t.Fatalf("the error is %v; wanted code %s and %q", err, code, words)
	}
}

func TestImageIsFetchedAndMeasured(t *testing.T) {
	r := scannertest.NewRegistry(t)
	one := scannertest.Files(t, map[string]string{"etc/os-release": "ID=debian\n", "usr/bin/a": "x"})
	d := r.Push(t, []scannertest.Layer{one, one}, nil) // a layer that is there twice
	img, err := take(t, r, d, limits())
	if err != nil {
		t.Fatal(err)
	}
	if img.Name != r.Host()+"/team/app@"+d.String() || len(img.Layers) != 2 || img.Layers[1].DiffID != one.DiffID {
		t.Fatalf("the image is %+v", img)
	}
}

func TestLayersOfEveryKind(t *testing.T) {
	gz := scannertest.Files(t, map[string]string{"a": "1"})
	r := scannertest.NewRegistry(t)
	var plain []byte
	layer := scannertest.Layer{DiffID: gz.DiffID}
	for _, mediaType := range []string{ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerZstd} {
		layer.MediaType = mediaType
		switch mediaType {
		case ocispec.MediaTypeImageLayerGzip:
			layer.Packed = gz.Packed
		case ocispec.MediaTypeImageLayer:
			img, err := take(t, r, r.Push(t, []scannertest.Layer{gz}, nil), limits())
			if err != nil {
				t.Fatal(err)
			}
			content, err := img.Layers[0].Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			if plain, err = io.ReadAll(content); err != nil {
				t.Fatal(err)
			}
			content.Close()
			layer.Packed = plain
		default:
			e, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			layer.Packed = e.EncodeAll(plain, nil)
		}
		if _, err := take(t, r, r.Push(t, []scannertest.Layer{layer}, nil), limits()); err != nil {
			t.Errorf("%s: %v", mediaType, err)
		}
	}
}

// Each limit: an image that just fits, and one that is one past it.
func TestLimits(t *testing.T) {
	file := func(n int) scannertest.Layer {
		return scannertest.Files(t, map[string]string{"f": strings.Repeat("x", n)})
	}
	count := func(n int) scannertest.Layer {
		files := map[string]string{}
		for i := range n {
			files[fmt.Sprint("f", i)] = ""
		}
		return scannertest.Files(t, files)
	}
	deep := func(n int) scannertest.Layer {
		return scannertest.Files(t, map[string]string{strings.Repeat("d/", n-1) + "f": ""})
	}
	for name, tt := range map[string]struct {
		set      func(*image.Limits)
		at, past []scannertest.Layer
		words    string
	}{
		"bytes":         {func(l *image.Limits) { l.Unpacked = 1 << 20 }, []scannertest.Layer{file(1<<20 - 4096)}, []scannertest.Layer{file(1<<20 + 1)}, "unpacks to more than"},
		"bytes, layers": {func(l *image.Limits) { l.Unpacked = 1 << 20 }, []scannertest.Layer{file(1 << 19), file(1 << 19)}, []scannertest.Layer{file(1 << 19), file(1<<19 + 1)}, "unpacks to more than 1 MiB"},
		"files":         {func(l *image.Limits) { l.Files = 50 }, []scannertest.Layer{count(50)}, []scannertest.Layer{count(51)}, "more than 50 files"},
		"files, layers": {func(l *image.Limits) { l.Files = 50 }, []scannertest.Layer{count(20), count(30)}, []scannertest.Layer{count(20), count(31)}, "more than 50 files"},
		"depth":         {func(l *image.Limits) { l.Depth = 5 }, []scannertest.Layer{deep(5)}, []scannertest.Layer{deep(6)}, "more than 5 directories deep"},
		"layers":        {func(l *image.Limits) { l.Layers = 2 }, []scannertest.Layer{file(1), file(2)}, []scannertest.Layer{file(1), file(2), file(3)}, "3 layers"},
	} {
		t.Run(name, func(t *testing.T) {
			r := scannertest.NewRegistry(t)
			l := limits()
			tt.set(&l)
			if _, err := take(t, r, r.Push(t, tt.at, nil), l); err != nil {
				t.Fatalf("at the limit: %v", err)
			}
			_, err := take(t, r, r.Push(t, tt.past, nil), l)
			wantError(t, err, image.CodeLimit, tt.words)
		})
	}
	t.Run("fetched", func(t *testing.T) {
		r := scannertest.NewRegistry(t)
		layer := file(10)
		l := limits()
		l.Fetched = int64(len(layer.Packed))
		if _, err := take(t, r, r.Push(t, []scannertest.Layer{layer}, nil), l); err != nil {
			t.Fatal(err)
		}
		l.Fetched--
		_, err := take(t, r, r.Push(t, []scannertest.Layer{layer}, nil), l)
		wantError(t, err, image.CodeLimit, "layers are more than")
	})
}

// V-14: bombs. Each is small as it is fetched.
func TestBombs(t *testing.T) {
	for name, layer := range map[string]scannertest.Layer{
		"one large file": scannertest.Stream(t, func(w io.Writer) {
			archive := tar.NewWriter(w)
			if err := archive.WriteHeader(&tar.Header{Name: "bomb", Typeflag: tar.TypeReg, Size: 256 << 20}); err != nil {
				t.Fatal(err)
			}
			scannertest.Zeros(t, archive, 256<<20)
			if err := archive.Close(); err != nil {
				t.Fatal(err)
			}
		}),
		"a sparse file of holes": scannertest.Stream(t, sparse),
		"zeros behind the archive": scannertest.Stream(t, func(w io.Writer) {
			if err := tar.NewWriter(w).Close(); err != nil {
				t.Fatal(err)
			}
			scannertest.Zeros(t, w, 64<<20)
		}),
		"a file that claims to be large and is not there": scannertest.Stream(t, func(w io.Writer) {
			if err := tar.NewWriter(w).WriteHeader(&tar.Header{Name: "bomb", Typeflag: tar.TypeReg, Size: 1 << 60}); err != nil {
				t.Fatal(err)
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			r := scannertest.NewRegistry(t)
			_, err := take(t, r, r.Push(t, []scannertest.Layer{layer}, nil), limits())
			wantError(t, err, image.CodeLimit, "unpacks to more than")
		})
	}
}

// zipped is an archive in an archive, nested times, whose innermost unpacks to n zeros.
func zipped(t *testing.T, nested int, n int64) string {
	t.Helper()
	name, content := "META-INF/MANIFEST.MF", strings.Repeat("\x00", int(n))
	for range nested {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, content)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		name, content = "inner.jar", out.String()
	}
	return content
}

// V-14: archives that scanners unpack count as what they unpack to, however deep that is.
func TestZipBombs(t *testing.T) {
	liar := []byte(zipped(t, 1, 8<<20))
	at := bytes.LastIndex(liar, []byte("PK\x01\x02"))
	copy(liar[at+24:], "\x01\x00\x00\x00") // the size that it claims to unpack to
	for name, tt := range map[string]struct {
		content string
		words   string
	}{
		"a jar":            {zipped(t, 1, 8<<20), "unpacks to more than"},
		"a jar in a jar":   {zipped(t, 3, 8<<20), "unpacks to more than"},
		"one that lies":    {string(liar), ""}, // nothing unpacks more of it than it admits: not this, not Trivy
		"many inside":      {zipped(t, 9, 1), "inside of each other"},
		"as many as may":   {zipped(t, 8, 1), ""},
		"no archive":       {"PK\x03\x04 no archive", ""},
		"small and honest": {zipped(t, 2, 1<<20), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := scannertest.NewRegistry(t)
			_, err := take(t, r, r.Push(t, []scannertest.Layer{scannertest.Files(t, map[string]string{"app/lib.jar": tt.content})}, nil), limits())
			if tt.words == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, image.CodeLimit, tt.words)
		})
	}
}

// sparse writes an archive with one file of 1 GiB, all of it a hole, in the old GNU format: tar.Writer makes none.
func sparse(w io.Writer) {
	h := make([]byte, 512)
	for at, text := range map[int]string{0: "bomb", 100: "0000644\x00", 108: "0000000\x00", 116: "0000000\x00", 124: "00000000000\x00",
		136: "00000000000\x00", 148: "        ", 156: "S", 257: "ustar  \x00", 386: "10000000000\x00" + "00000000000\x00", 483: "10000000000\x00"} {
		copy(h[at:], text)
	}
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	_, _ = w.Write(h)
	_, _ = w.Write(make([]byte, 1024))
}

// V-14: entries that leave the image.
func TestEscapes(t *testing.T) {
	link := func(name, to string) *tar.Header {
		return &tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
	}
	hard := func(name, to string) *tar.Header {
		return &tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink}
	}
	file := func(name string) *tar.Header { return &tar.Header{Name: name, Typeflag: tar.TypeReg} }
	for name, entries := range map[string][]*tar.Header{
		"traversal":                        {file("../../etc/x")},
		"traversal in the middle":          {file("a/../../etc/x")},
		"traversal behind a slash":         {file("/../etc/x")},
		"a directory":                      {{Name: "../d/", Typeflag: tar.TypeDir}},
		"a link out":                       {link("usr/evil", "../../etc/passwd")},
		"through an absolute link":         {link("evil", "/etc"), file("evil/cron.d/x")},
		"through a link to the root":       {link("evil", "/"), file("evil/etc/x")},
		"a hard link out":                  {hard("evil", "../../etc/passwd")},
		"a hard link through a link":       {link("evil", "/etc"), hard("evil/x", "a")},
		"a device that leaves":             {{Name: "../dev/sda", Typeflag: tar.TypeBlock}},
		"a whiteout of the host":           {file("../../etc/.wh.passwd")},
		"through a link replaced by a dir": {link("a", "/etc"), link("a", "/etc"), file("a/b/c")},
	} {
		t.Run(name, func(t *testing.T) {
			r := scannertest.NewRegistry(t)
			layer := scannertest.Entries(t, func(w *tar.Writer) {
				for _, h := range entries {
					scannertest.Add(t, w, h, "")
				}
			})
			_, err := take(t, r, r.Push(t, []scannertest.Layer{layer}, nil), limits())
			wantError(t, err, image.CodeHostile, "In the layer sha256:")
		})
	}
}

// What real images have.
func TestLinksThatStay(t *testing.T) {
	r := scannertest.NewRegistry(t)
	layer := scannertest.Entries(t, func(w *tar.Writer) {
		for _, h := range []*tar.Header{
			{Name: "./", Typeflag: tar.TypeDir}, {Name: "/usr/", Typeflag: tar.TypeDir}, {Name: "./bin", Linkname: "usr/bin", Typeflag: tar.TypeSymlink},
			{Name: "etc/mtab", Linkname: "/proc/mounts", Typeflag: tar.TypeSymlink}, {Name: "var/run", Linkname: "/run", Typeflag: tar.TypeSymlink},
			{Name: "usr/lib/x", Linkname: "../../etc/x", Typeflag: tar.TypeSymlink}, {Name: "bin/sh", Typeflag: tar.TypeReg},
			{Name: "usr/bin/perl5", Linkname: "usr/bin/perl", Typeflag: tar.TypeLink}, {Name: "a/../b", Typeflag: tar.TypeReg},
			{Name: "dev/console", Typeflag: tar.TypeChar}, {Name: "x", Linkname: "/y", Typeflag: tar.TypeSymlink},
			{Name: "x", Typeflag: tar.TypeDir}, {Name: "x/z", Typeflag: tar.TypeReg},
		} {
			scannertest.Add(t, w, h, "")
		}
	})
	if _, err := take(t, r, r.Push(t, []scannertest.Layer{layer}, nil), limits()); err != nil {
		t.Fatal(err)
	}
}

// An image whose parts say different things hides something from somebody.
func TestLyingImages(t *testing.T) {
	a, b := scannertest.Files(t, map[string]string{"a": "1"}), scannertest.Files(t, map[string]string{"b": "2"})
	for name, tt := range map[string]struct {
		change func(*scannertest.Registry) func(*ocispec.Manifest, *ocispec.Image)
		code   string
		words  string
	}{
		"a layer that the configuration does not name": {func(*scannertest.Registry) func(*ocispec.Manifest, *ocispec.Image) {
			return func(_ *ocispec.Manifest, c *ocispec.Image) { c.RootFS.DiffIDs = c.RootFS.DiffIDs[:1] }
		}, image.CodeHostile, "names 1"},
		"a layer that is another": {func(*scannertest.Registry) func(*ocispec.Manifest, *ocispec.Image) {
			return func(_ *ocispec.Manifest, c *ocispec.Image) { c.RootFS.DiffIDs[1] = c.RootFS.DiffIDs[0] }
		}, image.CodeHostile, "is not the one"},
		"a size that is another": {func(*scannertest.Registry) func(*ocispec.Manifest, *ocispec.Image) {
			return func(m *ocispec.Manifest, _ *ocispec.Image) { m.Layers[0].Size-- }
		}, image.CodeHostile, "the manifest says"},
		"content that is another": {func(r *scannertest.Registry) func(*ocispec.Manifest, *ocispec.Image) {
			return func(m *ocispec.Manifest, _ *ocispec.Image) {
				r.Lie(m.Layers[0].Digest, make([]byte, m.Layers[0].Size))
			}
		}, image.CodeFetch, "could not be read"},
		"no digest": {func(*scannertest.Registry) func(*ocispec.Manifest, *ocispec.Image) {
			return func(_ *ocispec.Manifest, c *ocispec.Image) { c.RootFS.DiffIDs[0] = "sha256:../../x" }
		}, image.CodeHostile, "no digest"},
		"no image": {func(*scannertest.Registry) func(*ocispec.Manifest, *ocispec.Image) {
			return func(m *ocispec.Manifest, _ *ocispec.Image) {
				m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json"
			}
		}, image.CodeUnsupported, "no image"},
		"no layer of files": {func(*scannertest.Registry) func(*ocispec.Manifest, *ocispec.Image) {
			return func(m *ocispec.Manifest, _ *ocispec.Image) { m.Layers[0].MediaType = "application/json" }
		}, image.CodeUnsupported, "no files"},
	} {
		t.Run(name, func(t *testing.T) {
			r := scannertest.NewRegistry(t)
			_, err := take(t, r, r.Push(t, []scannertest.Layer{a, b}, tt.change(r)), limits())
			wantError(t, err, tt.code, tt.words)
		})
	}
	t.Run("no archive", func(t *testing.T) {
		r := scannertest.NewRegistry(t)
		layer := scannertest.Stream(t, func(w io.Writer) { _, _ = io.WriteString(w, strings.Repeat("no archive ", 1000)) })
		_, err := take(t, r, r.Push(t, []scannertest.Layer{layer}, nil), limits())
		wantError(t, err, image.CodeHostile, "cannot be unpacked")
	})
}

// V-10: nothing but the registry is called: not where it redirects, not the addresses in a manifest.
func TestNothingElseIsCalled(t *testing.T) {
	called := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called++ }))
	defer other.Close()
	r := scannertest.NewRegistry(t)
	layer := scannertest.Files(t, map[string]string{"a": "1"})
	layer.MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	d := r.Push(t, []scannertest.Layer{layer}, func(m *ocispec.Manifest, _ *ocispec.Image) {
		m.Layers[0].URLs = []string{other.URL + "/layer"}
	})
	if _, err := take(t, r, d, limits()); err != nil {
		t.Fatal(err)
	}
	r.Redirect(other.URL)
	_, err := take(t, r, d, limits())
	wantError(t, err, image.CodeFetch, "where the scanner may not go")
	if called != 0 {
		t.Fatalf("another host was called %d times", called)
	}
}
