package scannertest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layer is a layer that was packed.
type Layer struct {
	Packed    []byte
	DiffID    digest.Digest
	MediaType string
}

// Files is a layer with files of this content.
func Files(t testing.TB, files map[string]string) Layer {
	t.Helper()
	return Entries(t, func(w *tar.Writer) {
		var names []string
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			Add(t, w, &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(files[name]))}, files[name])
		}
	})
}

// Add writes an entry.
func Add(t testing.TB, w *tar.Writer, h *tar.Header, content string) {
	t.Helper()
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
}

// Entries is a layer that fill writes.
func Entries(t testing.TB, fill func(*tar.Writer)) Layer {
	t.Helper()
	return Stream(t, func(w io.Writer) {
		archive := tar.NewWriter(w)
		fill(archive)
		if err := archive.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Stream is a layer of the bytes that fill writes, which need not fit into memory.
func Stream(t testing.TB, fill func(io.Writer)) Layer {
	t.Helper()
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	d := digest.SHA256.Digester()
	fill(io.MultiWriter(z, d.Hash()))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return Layer{Packed: packed.Bytes(), DiffID: d.Digest(), MediaType: ocispec.MediaTypeImageLayerGzip}
}

// Zeros writes n zeros, which gzip makes a thousandth of.
func Zeros(t testing.TB, w io.Writer, n int64) {
	t.Helper()
	if _, err := io.Copy(w, io.LimitReader(zeros{}, n)); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Push makes an image of layers; change may make it a lying one before it is stored.
func (r *Registry) Push(t testing.TB, layers []Layer, change func(*ocispec.Manifest, *ocispec.Image)) digest.Digest {
	t.Helper()
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
		config.History = append(config.History, ocispec.History{CreatedBy: "COPY . / # buildkit"})
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: r.PutBlob(l.Packed), Size: int64(len(l.Packed))})
	}
	m.Config.MediaType = ocispec.MediaTypeImageConfig
	if change != nil {
		change(&m, &config)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	m.Config.Digest, m.Config.Size = r.PutBlob(raw), int64(len(raw))
	payload, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return r.PutManifest(m.MediaType, payload, "latest")
}
