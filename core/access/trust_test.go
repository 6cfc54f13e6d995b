package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/db/dbtest"
	"github.com/hallmarkhub/hallmark/registry"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// signature is a manifest as cosign 3 pushes it.
func signature() ocispec.Manifest {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: bundleType,
		Config:  ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: someDigest, Size: 2},
		Layers:  []ocispec.Descriptor{{MediaType: bundleType, Digest: someDigest, Size: 5000}},
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: someDigest, Size: 500}}
	m.SchemaVersion = 2
	return m
}

func put(t *testing.T, m any, tags ...string) registry.ManifestPut {
	t.Helper()
	payload, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return registry.ManifestPut{Payload: payload, Tags: tags}
}

func TestCheckTrustArtifact(t *testing.T) {
	change := func(f func(m *ocispec.Manifest)) ocispec.Manifest {
		m := signature()
		f(&m)
		return m
	}
	legacy := change(func(m *ocispec.Manifest) {
		m.Subject, m.ArtifactType, m.Config.MediaType = nil, "", ocispec.MediaTypeImageConfig
		m.Layers[0].MediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	})
	hex := strings.TrimPrefix(string(someDigest), "sha256:")
	size := func(n int64) ocispec.Manifest { return change(func(m *ocispec.Manifest) { m.Layers[0].Size = n }) }
	small, err := json.Marshal(size(maxTrustArtifact))
	if err != nil {
		t.Fatal(err)
	}
	room := int64(maxTrustArtifact - len(small) - 2) // what a layer may have beside the manifest and the config

	for name, p := range map[string]registry.ManifestPut{
		"bundle":             put(t, signature()),
		"signature":          put(t, legacy, "sha256-"+hex+".sig"),
		"attestation":        put(t, legacy, "sha256-"+hex+".att"),
		"sbom":               put(t, legacy, "sha256-"+hex+".sbom"),
		"both":               put(t, signature(), "sha256-"+hex+".sig"),
		"as large as may be": put(t, size(room)),
		"notation": put(t, change(func(m *ocispec.Manifest) {
			m.Config.MediaType, m.Layers[0].MediaType = "application/vnd.cncf.notary.signature", "application/jose+json"
		})),
	} {
		if err := checkTrustArtifact("p/app", p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, ArtifactType: bundleType, Manifests: []ocispec.Descriptor{}, Subject: signature().Subject}
	index.SchemaVersion = 2
	layer := func(mediaType string) registry.ManifestPut {
		return put(t, change(func(m *ocispec.Manifest) { m.Layers[0].MediaType = mediaType }))
	}
	// V-41: what calls itself a signature and is something else.
	for name, p := range map[string]registry.ManifestPut{
		"a tag":                     put(t, signature(), "latest"),
		"a tag beside a good one":   put(t, signature(), "sha256-"+hex+".sig", "latest"),
		"a tag that looks like one": put(t, legacy, "sha256-abc.sig"),
		"a fallback tag":            put(t, legacy, "sha256-"+hex),
		"another ending":            put(t, legacy, "sha256-"+hex+".img"),
		"neither subject nor tag":   put(t, legacy),
		"image layers":              layer(ocispec.MediaTypeImageLayerGzip),
		"docker layers":             layer("application/vnd.docker.image.rootfs.diff.tar.gzip"),
		"any layer":                 layer("application/octet-stream"),
		"no layer type":             layer("application/vnd.dev.sigstore.bundle.v0.3+json;x=tar"),
		"one good layer of two": put(t, change(func(m *ocispec.Manifest) {
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: someDigest, Size: 1})
		})),
		"no layers":    put(t, change(func(m *ocispec.Manifest) { m.Layers = []ocispec.Descriptor{} })),
		"a config":     put(t, change(func(m *ocispec.Manifest) { m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json" })),
		"an index":     put(t, index),
		"too large":    put(t, size(room+1)),
		"overflow":     put(t, size(1<<62)),
		"large config": put(t, change(func(m *ocispec.Manifest) { m.Config.Size = maxTrustArtifact })),
	} {
		if err := checkTrustArtifact("p/app", p); registry.CodeOf(err) != registry.CodeDenied {
			t.Errorf("%s: %v, want it denied", name, err)
		}
	}
	if err := checkTrustArtifact("p/app", registry.ManifestPut{Payload: []byte("{")}); registry.CodeOf(err) != registry.CodeManifestInvalid {
		t.Errorf("no manifest at all: %v", err)
	}
}

// A robot that may only sign pushes signatures through the same verbs, and nothing else.
func TestSignOnly(t *testing.T) {
	h := openHub(t, dbtest.SQLite(t))
	for name, p := range map[string]*core.Principal{
		"robot":         h.who["signer"],
		"its token":     h.bound("signer", true, core.Grant{Repository: "p/app", Actions: []core.Action{core.ActionPull, core.ActionSign}}),
		"owner's token": h.bound("owner", false, core.Grant{Repository: "p/app", Actions: []core.Action{core.ActionPull, core.ActionSign}}),
	} {
		next := &taker{}
		w := Wrap(next, h.dir)
		ctx := as(p)
		_, err := w.PutManifest(ctx, "p/app", put(t, signature()))
		h.ok(err)
		_, err = w.PutManifest(ctx, "p/app", put(t, signature(), "latest"))
		if registry.CodeOf(err) != registry.CodeDenied {
			t.Errorf("%s tags: %v", name, err)
		}
		_, err = w.StartUpload(ctx, "p/app", "")
		h.ok(err)
		_, err = w.Manifest(ctx, "p/app", registry.Reference{Digest: someDigest}, true)
		h.ok(err)
		if !next.kept[0] {
			t.Errorf("%s refers to what it has looked at: it is kept", name)
		}
		if _, err = w.MountBlob(ctx, "p/app", someDigest, registry.MountSource{Repository: "open/app"}); registry.CodeOf(err) != registry.CodeBlobUnknown {
			t.Errorf("%s mounts: %v", name, err)
		}
		if err := w.DeleteManifest(ctx, "p/app", someDigest); registry.CodeOf(err) == "" {
			t.Errorf("%s deletes", name)
		}
		if _, err = w.StartUpload(ctx, "p/web", ""); err == nil {
			t.Errorf("%s uploads elsewhere", name)
		}
		if strings.Join(next.verbs, " ") != "PutManifest StartUpload Manifest" {
			t.Errorf("%s: %q reached", name, next.verbs)
		}
		for at, size := range map[int64]int{0: maxTrustArtifact, 10: maxTrustArtifact - 10, -1: maxTrustArtifact - 7} {
			next.upload.Size = 7
			body := bytes.Repeat([]byte("x"), size+1)
			if _, err = w.AppendUpload(ctx, "p/app", "id", at, bytes.NewReader(body[1:])); err != nil || len(next.body) != size {
				t.Errorf("%s: %d bytes at %d: %v", name, len(next.body), at, err)
			}
			if _, err = w.AppendUpload(ctx, "p/app", "id", at, iotest.HalfReader(bytes.NewReader(body))); registry.CodeOf(err) != registry.CodeTooLarge || len(next.body) > size {
				t.Errorf("%s: one byte too many at %d: %v, %d received", name, at, err, len(next.body))
			}
		}
		if _, err = w.FinishUpload(ctx, "p/app", "id", 5, nil, someDigest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBoundedReader(t *testing.T) {
	for left, want := range map[int64]registry.Code{-5: registry.CodeTooLarge, 0: registry.CodeTooLarge, 2: registry.CodeTooLarge, 3: "", 4: ""} {
		b, err := io.ReadAll(&boundedReader{r: strings.NewReader("abc"), left: left})
		if registry.CodeOf(err) != want || int64(len(b)) > max(left, 0) {
			t.Errorf("%d left: %q, %v", left, b, err)
		}
	}
	gone := errors.New("gone")
	if _, err := io.ReadAll(&boundedReader{r: iotest.ErrReader(gone), left: 3}); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}
