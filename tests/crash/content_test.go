//go:build crash && linux

package crash

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// blob is content that can be made again from its name, so that thousands of them need no memory.
type blob struct {
	name   string
	size   int
	digest string
}

func newBlob(name string, size int) blob {
	b := blob{name: name, size: size}
	b.digest = digestOf(b.bytes())
	return b
}

func (b blob) bytes() []byte {
	out := make([]byte, b.size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(b.name))).Read(out) // never fails
	return out
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// manifest is an image or an index, ready to be pushed.
type manifest struct {
	mediaType, digest string
	body              []byte
	blobs             []blob
}

func finish(m manifest, document any) manifest {
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // strings and numbers alone: does not happen
	}
	m.body, m.digest = body, digestOf(body)
	return m
}

// newImage makes an image whose config is unique to name.
func newImage(name string, layers ...blob) manifest {
	config := newBlob(name+" config", 300)
	ds := []descriptor{}
	for _, l := range layers {
		ds = append(ds, descriptor{mediaLayer, l.digest, l.size})
	}
	return finish(manifest{mediaType: mediaManifest, blobs: append([]blob{config}, layers...)}, map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest,
		"config": descriptor{mediaConfig, config.digest, config.size}, "layers": ds,
	})
}

// newArtifact makes the smallest manifest that refers to a blob.
func newArtifact(config blob) manifest {
	return finish(manifest{mediaType: mediaManifest, blobs: []blob{config}}, map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest,
		"config": descriptor{mediaConfig, config.digest, config.size}, "layers": []descriptor{},
	})
}

// newIndex makes an index of images.
func newIndex(name string, children ...manifest) manifest {
	ds := []descriptor{}
	for _, c := range children {
		ds = append(ds, descriptor{c.mediaType, c.digest, len(c.body)})
	}
	return finish(manifest{mediaType: mediaIndex}, map[string]any{
		"schemaVersion": 2, "mediaType": mediaIndex, "manifests": ds, "annotations": map[string]string{"name": name},
	})
}

// closure is what a manifest refers to.
type closure struct{ blobs, children []descriptor }

// references reads the closure from a manifest's bytes.
func references(body []byte) (closure, error) {
	var m struct {
		Config    *descriptor
		Layers    []descriptor
		Manifests []descriptor
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return closure{}, fmt.Errorf("a manifest that is no JSON: %w", err)
	}
	c := closure{blobs: m.Layers, children: m.Manifests}
	if m.Config != nil {
		c.blobs = append(c.blobs, *m.Config)
	}
	return c, nil
}
