package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// Media types of Docker, which image-spec does not name.
const (
	dockerManifest     = registry.MediaTypeDockerManifest
	dockerList         = registry.MediaTypeDockerList
	dockerConfig       = "application/vnd.docker.container.image.v1+json"
	dockerLayer        = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	dockerSchema1      = "application/vnd.docker.distribution.manifest.v1+json"
	dockerSigned1      = "application/vnd.docker.distribution.manifest.v1+prettyjws"

	ociForeignLayer = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
)

// content is a manifest that a test has made and may have pushed.
type content struct {
	mediaType string
	payload   []byte
}

func (c content) digest() digest.Digest { return digest.FromBytes(c.payload) }

// put is the push of c with tags; without any it is a push by digest.
func (c content) put(tags ...string) registry.ManifestPut {
	put := registry.ManifestPut{MediaType: c.mediaType, Payload: c.payload, Tags: tags}
	if len(tags) != 1 {
		put.Digest = c.digest()
	}
	return put
}

func (c content) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: c.mediaType, Digest: c.digest(), Size: int64(len(c.payload))}
}

// platform is c's descriptor as an index names it.
func (c content) platform(os, architecture string) ocispec.Descriptor {
	d := c.descriptor()
	d.Platform = &ocispec.Platform{OS: os, Architecture: architecture}
	return d
}

// manifestJSON is an image manifest or an index, as clients write them.
type manifestJSON struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType,omitempty"`
	ArtifactType  string               `json:"artifactType,omitempty"`
	Config        *ocispec.Descriptor  `json:"config,omitempty"`
	Layers        []ocispec.Descriptor `json:"layers,omitempty"`
	Manifests     []ocispec.Descriptor `json:"manifests,omitempty"`
	Subject       *ocispec.Descriptor  `json:"subject,omitempty"`
	Annotations   map[string]string    `json:"annotations,omitempty"`
}

// made encodes m with an indentation that no encoder would choose: registries that re-encode are found out.
func (f *fixture) made(m manifestJSON) content {
	f.Helper()
	m.SchemaVersion = 2
	payload, err := json.MarshalIndent(m, "", "   ")
	if err != nil {
		f.Fatalf("encoding a manifest: %v", err)
	}
	payload = append(payload, '\n')
	return content{mediaType: m.MediaType, payload: payload}
}

// bytes returns content that is this test's own: name and label, padded to some size.
func (f *fixture) bytes(name string) []byte {
	line := fmt.Sprintf("%s of %s\n", name, f.label)
	return []byte(strings.Repeat(line, 1+700/len(line)))
}

// upload pushes data to repo as one whole and returns its descriptor.
func (f *fixture) upload(repo, mediaType string, data []byte) ocispec.Descriptor {
	f.Helper()
	d := digest.FromBytes(data)
	u, err := f.r.StartUpload(f.ctx, repo, "")
	f.ok(err, "starting an upload to %s", repo)
	size, err := f.r.FinishUpload(f.ctx, repo, u.ID, 0, bytes.NewReader(data), d)
	f.ok(err, "uploading %s to %s", d, repo)
	if size != int64(len(data)) {
		f.Fatalf("the upload of %d bytes was answered with size %d", len(data), size)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// image uploads a config and a layer to repo and returns a manifest of them, not pushed yet.
func (f *fixture) image(repo, name string) content {
	f.Helper()
	config := f.upload(repo, ocispec.MediaTypeImageConfig, f.configJSON(name))
	layer := f.upload(repo, ocispec.MediaTypeImageLayerGzip, f.bytes("layer "+name))
	return f.made(manifestJSON{
		MediaType: ocispec.MediaTypeImageManifest, Config: &config, Layers: []ocispec.Descriptor{layer},
	})
}

func (f *fixture) configJSON(name string) []byte {
	return fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","author":%q,"rootfs":{"type":"layers"}}`,
		name+" of "+f.label)
}

// artifact uploads an empty config to repo and returns a manifest of artifactType that refers to subject.
func (f *fixture) artifact(repo, artifactType string, subject *ocispec.Descriptor, annotations map[string]string) content {
	f.Helper()
	config := f.upload(repo, ocispec.MediaTypeEmptyJSON, []byte("{}"))
	layer := f.upload(repo, "text/plain; charset=utf-8", f.bytes("payload of "+artifactType))
	return f.made(manifestJSON{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: &config,
		Layers: []ocispec.Descriptor{layer}, Subject: subject, Annotations: annotations,
	})
}

// push puts c and fails the test if it is refused.
func (f *fixture) push(repo string, c content, tags ...string) {
	f.Helper()
	m, err := f.r.PutManifest(f.ctx, repo, c.put(tags...))
	f.ok(err, "pushing a manifest to %s with tags %q", repo, tags)
	if m.Digest != c.digest() {
		f.Fatalf("the pushed manifest is called %s, its bytes are %s", m.Digest, c.digest())
	}
}

// pushedImage makes, uploads and pushes an image.
func (f *fixture) pushedImage(repo, name string, tags ...string) content {
	f.Helper()
	c := f.image(repo, name)
	f.push(repo, c, tags...)
	return c
}

// pulled reads a whole blob through r and returns its bytes.
func (f *fixture) pulled(repo string, d digest.Digest) []byte {
	f.Helper()
	b, err := f.r.Blob(f.ctx, repo, d)
	f.ok(err, "pulling blob %s of %s", d, repo)
	if b.Content == nil {
		f.Fatalf("blob %s has no content (URL %q): the suite needs an implementation that serves bytes", d, b.URL)
	}
	defer b.Content.Close()
	data, err := io.ReadAll(b.Content)
	f.ok(err, "reading blob %s of %s", d, repo)
	if b.Digest != d || b.Size != int64(len(data)) {
		f.Fatalf("blob %s was announced as %s with %d bytes, and has %d", d, b.Digest, b.Size, len(data))
	}
	return data
}
