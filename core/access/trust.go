package access

import (
	"io"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// maxTrustArtifact is how many bytes a signature, attestation or SBOM may have, its manifest included.
const maxTrustArtifact = 16 << 20

// trustConfig reports whether signing tools use a media type for the config of what they push.
func trustConfig(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeEmptyJSON,
		ocispec.MediaTypeImageConfig, // cosign's legacy layout; what counts are the layers
		"application/vnd.cncf.notary.signature":
		return true
	}
	return false
}

// trustLayer reports whether a media type is one of signatures, attestations and SBOMs. Nothing that could be the file
// system of an image is among them.
func trustLayer(mediaType string) bool {
	switch mediaType {
	case "application/vnd.dev.sigstore.bundle.v0.3+json",
		"application/vnd.dev.cosign.simplesigning.v1+json",
		"application/vnd.dsse.envelope.v1+json",
		"application/vnd.in-toto+json",
		"application/jose+json", "application/cose", // notation
		"application/spdx+json", "text/spdx+json", "text/spdx",
		"application/vnd.cyclonedx+json", "application/vnd.cyclonedx+xml",
		"application/vnd.syft+json":
		return true
	}
	return false
}

// checkTrustArtifact refuses what somebody who may sign but not push may not store: everything but a signature,
// attestation or SBOM that names its subject, or that has the tag cosign's legacy layout gives it. Its structure counts,
// not what it calls itself.
func checkTrustArtifact(repo string, put registry.ManifestPut) error {
	m, err := registry.ParseManifest(put.MediaType, put.Payload, registry.ManifestLimits{})
	if err != nil {
		return err
	}
	denied := registry.NewError(registry.CodeDenied, "you may only sign in "+repo+": push a signature, attestation or SBOM of at most 16 MiB "+
		"that refers to an image there, or ask for the permission push")
	if m.Kind != registry.KindImage || m.MediaType != ocispec.MediaTypeImageManifest || !trustConfig(m.Config.MediaType) || len(m.Layers) == 0 {
		return denied
	}
	left := int64(maxTrustArtifact-len(put.Payload)) - m.Config.Size
	for _, l := range m.Layers {
		if !trustLayer(l.MediaType) || l.Size < 0 || l.Size > left {
			return denied
		}
		left -= l.Size
	}
	if m.Config.Size < 0 || left < 0 || m.Subject == nil && len(put.Tags) == 0 {
		return denied
	}
	for _, t := range put.Tags {
		if !cosignTag(t) {
			return denied
		}
	}
	return nil
}

// cosignTag reports whether a tag is one of cosign's legacy layout: sha256-<hex>.sig, .att or .sbom.
func cosignTag(tag string) bool {
	subject, kind, _ := strings.Cut(tag, ".")
	if kind != "sig" && kind != "att" && kind != "sbom" {
		return false
	}
	_, _, ok := registry.ParseFallbackTag(subject)
	return ok
}

// boundedReader ends with CodeTooLarge instead of handing on more than it may.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLarge()
	}
	// One byte more than is left tells a body that ends there from one that goes on.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), tooLarge()
		b.left = -1
		return n, err
	}
	b.left -= int64(n)
	return n, err
}

func tooLarge() error {
	return registry.NewError(registry.CodeTooLarge, "a signature, attestation or SBOM has at most 16 MiB: ask for the permission push to upload more")
}
