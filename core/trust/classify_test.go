package trust

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

func described(mediaType string, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Size: size, Digest: digest.FromString(mediaType)}
}

func image(config ocispec.Descriptor, layers ...ocispec.Descriptor) *registry.ParsedManifest {
	return &registry.ParsedManifest{Kind: registry.KindImage, MediaType: ocispec.MediaTypeImageManifest, Config: &config, Layers: layers}
}

// TestClassify holds V-41: what a manifest calls itself does not make it a trust artifact.
func TestClassify(t *testing.T) {
	empty := ocispec.DescriptorEmptyJSON
	config := described(ocispec.MediaTypeImageConfig, 300)
	bundle, simple := described(v03, 800), described(typeSimpleSigning, 250)
	tarball := described(ocispec.MediaTypeImageLayerGzip, 5000)
	spoofed := image(config, tarball)
	spoofed.Subject, spoofed.ArtifactType = &empty, v03
	spoofed.Annotations = map[string]string{"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": core.PredicateSignature}
	other := empty
	other.Digest = digest.FromString("[]")
	long := empty
	long.Size = 3
	docker := image(config, simple)
	docker.MediaType = registry.MediaTypeDockerManifest
	foreign := bundle
	foreign.URLs = []string{"https://elsewhere.example/blob"}
	index := func(members ...ocispec.Descriptor) *registry.ParsedManifest {
		return &registry.ParsedManifest{Kind: registry.KindIndex, MediaType: ocispec.MediaTypeImageIndex, Manifests: members}
	}
	member := described(ocispec.MediaTypeImageManifest, 700)
	platform := member
	platform.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	for _, tt := range []struct {
		name string
		m    *registry.ParsedManifest
		want Shape
	}{
		{"nothing", nil, ShapeNone},
		{"bundle", image(empty, bundle), ShapeBundle},
		{"older bundle", image(empty, described(v01, 800)), ShapeBundle},
		{"two bundles", image(empty, bundle, bundle), ShapeBundle},
		{"legacy signature", image(config, simple, simple), ShapeLegacy},
		{"legacy attestation", image(config, described(typeEnvelope, 900)), ShapeLegacy},
		{"legacy referrer", image(described(typeCosignSignature, 233), simple), ShapeLegacy},
		{"SBOM", image(empty, described("application/spdx+json", 900)), ShapeDocument},
		{"build statement", image(config, described(typeInToto, 900)), ShapeDocument},
		{"referrers", index(member, member), ShapeReferrers},
		{"no referrers", index(), ShapeReferrers},

		{"image", image(config, tarball), ShapeNone},
		{"image that calls itself a signature", spoofed, ShapeNone},
		{"layer beside a bundle", image(empty, bundle, tarball), ShapeNone},
		{"layer before a bundle", image(empty, tarball, bundle), ShapeNone},
		{"families mixed", image(empty, bundle, simple), ShapeNone},
		{"type only begins alike", image(empty, described(v03+"+gzip", 800)), ShapeNone},
		{"tar that begins alike", image(empty, described(typeBundlePrefix+".v0.3.tar", 800)), ShapeNone},
		{"unknown version", image(empty, described(typeBundlePrefix+".v0.4+json", 800)), ShapeNone},
		{"upper-case", image(empty, described(strings.ToUpper(v03), 800)), ShapeNone},
		{"no layers", image(empty), ShapeNone},
		{"another empty config", image(other, bundle), ShapeNone},
		{"long empty config", image(long, bundle), ShapeNone},
		{"unknown config", image(described("application/vnd.cncf.helm.config.v1+json", 100), bundle), ShapeNone},
		{"config at the limit", image(described(ocispec.MediaTypeImageConfig, maxConfig), simple), ShapeLegacy},
		{"config past the limit", image(described(ocispec.MediaTypeImageConfig, maxConfig+1), simple), ShapeNone},
		{"docker manifest", docker, ShapeNone},
		{"layer from elsewhere", image(empty, foreign), ShapeNone},
		{"empty layer", image(empty, described(v03, 0)), ShapeNone},
		{"at the limit", image(empty, described(v03, MaxArtifact-2)), ShapeBundle},
		{"past the limit", image(empty, described(v03, MaxArtifact-1)), ShapeNone},
		{"past the limit together", image(empty, described(v03, MaxArtifact/2), described(v03, MaxArtifact/2)), ShapeNone},
		{"sizes that overflow", image(empty, described(v03, 1<<62), described(v03, 1<<62), described(v03, 1<<62)), ShapeNone},
		{"payload at the limit", image(config, described(typeSimpleSigning, maxPayload)), ShapeLegacy},
		{"payload past the limit", image(config, described(typeSimpleSigning, maxPayload+1)), ShapeNone},
		{"multi-platform index", index(platform), ShapeNone},
		{"index of layers", index(tarball), ShapeNone},
	} {
		if got := Classify(tt.m); got != tt.want {
			t.Errorf("%s: %q instead of %q", tt.name, got, tt.want)
		}
	}
}

func TestLegacySubject(t *testing.T) {
	hex := imageA.Encoded()
	for tag, want := range map[string]digest.Digest{
		"sha256-" + hex + ".sig": imageA, "sha256-" + hex + ".att": imageA, "sha256-" + hex: "", "sha256-" + hex + ".sbom": imageA, "sha256-" + hex + ".txt": "",
		"sha256-" + hex[1:] + ".sig": "", "sha512-" + hex + ".sig": "", "latest.sig": "", ".att": "", "sha256-" + hex + ".sig.sig": "",
		"sha256-" + strings.ToUpper(hex) + ".sig": "",
	} {
		if got, ok := LegacySubject(tag); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v", tag, got, ok)
		}
	}
}

func archive(t testing.TB, name string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: 4}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("#!/x"))
	w.Close()
	return buf.Bytes()
}

func zipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Write(content)
	w.Close()
	return buf.Bytes()
}

// TestNoArchiveIsWellFormed: what runs or is unpacked is no JSON object, however it begins.
func TestNoArchiveIsWellFormed(t *testing.T) {
	for name, tt := range map[string]struct {
		blob string
		want bool
	}{
		"object": {`{"a":1}`, true}, "space before": {" \r\n\t{}", true}, "list": {"[{}]", false}, "nothing": {"", false},
		"spaces": {"  ", false}, "mark before": {"\ufeff{}", false}, "tar": {string(archive(t, "a")), false},
		"tar that begins like one": {string(archive(t, `{"a":"`)), false}, "tar with a long name": {string(archive(t, "{"+strings.Repeat("x", 99))), false},
		"gzip": {string(zipped(t, archive(t, "a"))), false}, "program": {"\x7fELF", false}, "script": {"#!/bin/sh", false},
		"long": {`{"a":"` + strings.Repeat("x", 506) + `"}`, true},
	} {
		if got := WellFormed(strings.NewReader(tt.blob)) == nil; got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWellFormed(t *testing.T) {
	deep := strings.Repeat(`{"a":`, statementDepth-1) + "{}" + strings.Repeat("}", statementDepth-1)
	for text, want := range map[string]bool{
		`{}`: true, ` {"a":[1,{"b":null}]} `: true, `{"a":1,"a":2}`: false, `{}{}`: false, `{`: false, `[]`: false, `null`: false, ``: false,
		"{\"a\":\"\xff\"}": false, deep: true, `{"a":` + deep + `}`: false,
		`{"a":"` + strings.Repeat("x", MaxArtifact-8) + `"}`: true, `{"a":"` + strings.Repeat("x", MaxArtifact-7) + `"}`: false,
	} {
		if err := WellFormed(strings.NewReader(text)); (err == nil) != want {
			t.Errorf("%.40s (%d bytes): %v", text, len(text), err)
		}
	}
	broken := errors.New("disk")
	if err := WellFormed(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// TestSmuggledLayer: a runnable layer that a fake bundle lists is evidence of nothing, and no content of a trust artifact.
func TestSmuggledLayer(t *testing.T) {
	for _, blob := range [][]byte{archive(t, `{"a":"`), zipped(t, archive(t, "a"))} {
		for _, mediaType := range []string{v03, typeSimpleSigning, typeEnvelope} {
			e := one(t, NewVerifier([]*Key{ecdsaPair(t).public}, nil), layer{mediaType: mediaType, content: blob})
			if e.Kind != core.EvidenceUnreadable || e.Subject != "" {
				t.Errorf("%s: %+v", mediaType, e)
			}
		}
		if WellFormed(bytes.NewReader(blob)) == nil {
			t.Error("the blob looks like JSON")
		}
	}
}
