//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int               `json:"size"`
	Platform     *platform         `json:"platform,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type ociIndex struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type ociManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	ArtifactType  string       `json:"artifactType,omitempty"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
	Subject       *descriptor  `json:"subject,omitempty"`
}

// fixture is a multi-arch image whose every byte is known: an OCI layout, which holds
// an index named "v1", and the same as an archive.
type fixture struct {
	dir     string
	layout  string
	archive string
	index   string            // digest
	arch    map[string]string // architecture -> digest of its manifest
	layers  map[string]string // architecture -> digest of its layer
	program map[string]string // architecture -> path of the program
	tars    map[string]string // architecture -> path of the layer
}

var shared fixture

var buildFixture = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "hallmark-e2e-image-")
	if err != nil {
		return err
	}
	shared = fixture{
		dir: dir, layout: filepath.Join(dir, "layout"), archive: filepath.Join(dir, "layout.tar"),
		arch: map[string]string{}, layers: map[string]string{}, program: map[string]string{}, tars: map[string]string{},
	}
	return shared.build()
})

// image returns the fixture, built once per run.
func image(t testing.TB) *fixture {
	t.Helper()
	if err := buildFixture(); err != nil {
		t.Fatal(err)
	}
	return &shared
}

func (f *fixture) build() error {
	index := ociIndex{SchemaVersion: 2, MediaType: typeIndex}
	for _, arch := range []string{"amd64", "arm64"} {
		manifest, err := f.buildArch(arch)
		if err != nil {
			return err
		}
		f.arch[arch] = manifest.Digest
		index.Manifests = append(index.Manifests, manifest)
	}
	top, err := f.putJSON(typeIndex, index)
	if err != nil {
		return err
	}
	f.index = top.Digest
	top.Annotations = map[string]string{"org.opencontainers.image.ref.name": "v1"}
	raw, err := json.Marshal(ociIndex{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{top}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(f.layout, "index.json"), raw, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(f.layout, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	if err := w.AddFS(os.DirFS(f.layout)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(f.archive, packed.Bytes(), 0o644)
}

// buildArch compiles the program for one architecture and wraps it as an image.
func (f *fixture) buildArch(arch string) (descriptor, error) {
	f.program[arch] = filepath.Join(f.dir, "hello-"+arch)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", f.program[arch], "./testdata/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return descriptor{}, fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	program, err := os.ReadFile(f.program[arch])
	if err != nil {
		return descriptor{}, err
	}
	plain, packed, err := layerOf("hello", program)
	if err != nil {
		return descriptor{}, err
	}
	layer, err := f.put(typeLayer, packed)
	if err != nil {
		return descriptor{}, err
	}
	f.layers[arch] = layer.Digest
	f.tars[arch] = filepath.Join(f.dir, "layer-"+arch+".tar.gz")
	if err := os.WriteFile(f.tars[arch], packed, 0o644); err != nil {
		return descriptor{}, err
	}
	config, err := f.putJSON(typeConfig, map[string]any{
		"architecture": arch, "os": "linux", "config": map[string]any{"Entrypoint": []string{"/hello"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{sha256Of(plain)}},
	})
	if err != nil {
		return descriptor{}, err
	}
	manifest, err := f.putJSON(typeManifest, ociManifest{SchemaVersion: 2, MediaType: typeManifest, Config: config, Layers: []descriptor{layer}})
	manifest.Platform = &platform{Architecture: arch, OS: "linux"}
	return manifest, err
}

// layerOf returns a layer with one program in it, as tar and compressed.
func layerOf(name string, program []byte) (plain, packed []byte, err error) {
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(program)), Format: tar.FormatPAX}); err != nil {
		return nil, nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, nil, err
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	if _, err := z.Write(raw.Bytes()); err != nil {
		return nil, nil, err
	}
	if err := z.Close(); err != nil {
		return nil, nil, err
	}
	return raw.Bytes(), small.Bytes(), nil
}

// put stores a blob in the layout.
func (f *fixture) put(mediaType string, raw []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: sha256Of(raw), Size: len(raw)}
	dir := filepath.Join(f.layout, "blobs", "sha256")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return d, err
	}
	return d, os.WriteFile(filepath.Join(dir, d.Digest[len("sha256:"):]), raw, 0o644)
}

func (f *fixture) putJSON(mediaType string, value any) (descriptor, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, err
	}
	return f.put(mediaType, raw)
}

// blob returns a blob of the layout.
func (f *fixture) blob(t testing.TB, digest string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(f.layout, "blobs", "sha256", digest[len("sha256:"):]))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func sha256Of(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
