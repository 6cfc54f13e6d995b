package trust

import (
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/registry"
)

// The media types of the layers that trust artifacts have. Bundles: Sigstore's protobuf-specs; simple signing and DSSE:
// cosign's SIGNATURE_SPEC and ATTESTATION_SPEC; documents: in-toto, SPDX and CycloneDX as JSON.
const (
	typeBundlePrefix  = "application/vnd.dev.sigstore.bundle"
	typeSimpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	typeEnvelope      = "application/vnd.dsse.envelope.v1+json"
	typeInToto        = "application/vnd.in-toto+json"

	typeCosignSignature = "application/vnd.dev.cosign.artifact.sig.v1+json" // config of a legacy signature with a subject
)

func layerShapes() map[string]Shape {
	return map[string]Shape{
		typeBundlePrefix + ".v0.3+json":        ShapeBundle,
		typeBundlePrefix + "+json;version=0.3": ShapeBundle,
		typeBundlePrefix + "+json;version=0.2": ShapeBundle,
		typeBundlePrefix + "+json;version=0.1": ShapeBundle,
		typeSimpleSigning:                      ShapeLegacy,
		typeEnvelope:                           ShapeLegacy,
		typeInToto:                             ShapeDocument,
		"application/spdx+json":                ShapeDocument,
		"text/spdx+json":                       ShapeDocument,
		"application/vnd.cyclonedx+json":       ShapeDocument,
	}
}

// Shape is how a trust artifact is stored.
type Shape string

// The shapes. ShapeNone is everything else: whatever it calls itself, it is an ordinary artifact.
const (
	ShapeNone Shape = ""
	// ShapeBundle: Sigstore bundles, cosign's default since version 3.
	ShapeBundle Shape = "bundle"
	// ShapeLegacy: simple-signing payloads or DSSE envelopes, under a tag (cosign 1 and 2) or with a subject.
	ShapeLegacy Shape = "legacy"
	// ShapeDocument: an SBOM or statement that nobody signed. It may be read, but it is evidence of nothing.
	ShapeDocument Shape = "document"
	// ShapeReferrers: an index that can be the list of referrers under a fallback tag (OCI distribution specification,
	// "Referrers Tag Schema"). Any plain index looks like that: the tag decides, and its members are judged one by one.
	ShapeReferrers Shape = "referrers"
)

// Evidential says whether Read finds anything in a manifest of this shape.
func (s Shape) Evidential() bool { return s == ShapeBundle || s == ShapeLegacy }

// Classify decides by the structure of a manifest whether it is a trust artifact. Names, annotations and artifactType
// have no say: anybody can write them onto a runnable image. The media types of layers are claims too, so each blob has
// to pass WellFormed as well before it counts as the content of a trust artifact.
func Classify(m *registry.ParsedManifest) Shape {
	switch {
	case m == nil:
		return ShapeNone
	case m.Kind == registry.KindIndex:
		return classifyIndex(m)
	case m.MediaType != ocispec.MediaTypeImageManifest || m.Config == nil || len(m.Layers) == 0:
		return ShapeNone
	}
	shapes, total := layerShapes(), m.Config.Size
	shape := shapes[m.Layers[0].MediaType]
	for _, l := range m.Layers {
		if l.Size <= 0 || l.Size > MaxArtifact || len(l.URLs) > 0 || shapes[l.MediaType] != shape {
			return ShapeNone // no tool mixes the families
		}
		if l.MediaType == typeSimpleSigning && l.Size > maxPayload {
			return ShapeNone
		}
		total += l.Size
	}
	if total > MaxArtifact || !configFits(m.Config) {
		return ShapeNone
	}
	return shape
}

// configFits knows the empty config and those that cosign wrote: of an image without content, or its own.
func configFits(c *ocispec.Descriptor) bool {
	switch c.MediaType {
	case ocispec.MediaTypeEmptyJSON:
		empty := ocispec.DescriptorEmptyJSON.Data
		return c.Size == int64(len(empty)) &&
			(c.Digest == digest.SHA256.FromBytes(empty) || c.Digest == digest.SHA512.FromBytes(empty))
	case ocispec.MediaTypeImageConfig, typeCosignSignature, typeInToto:
		return c.Size > 0 && c.Size <= maxConfig && len(c.URLs) == 0
	}
	return false
}

func classifyIndex(m *registry.ParsedManifest) Shape {
	if m.MediaType != ocispec.MediaTypeImageIndex || m.Subject != nil || len(m.Layers) > 0 {
		return ShapeNone
	}
	for _, d := range m.Manifests {
		// What has a platform is there to be run.
		if registry.ManifestKindOf(d.MediaType) == "" || d.Platform != nil || len(d.URLs) > 0 {
			return ShapeNone
		}
	}
	return ShapeReferrers
}

// LegacySubject returns the digest that one of cosign's legacy tags ("sha256-HEX.sig", "sha256-HEX.att", and "sha256-HEX.sbom"
// for a document that nobody signed) speaks of. It is a hint where to look, and proves nothing.
func LegacySubject(tag string) (digest.Digest, bool) {
	at := strings.LastIndexByte(tag, '.')
	if at < 0 {
		return "", false
	}
	name := tag[:at]
	switch tag[at:] {
	case ".sig", ".att", ".sbom":
	default:
		return "", false
	}
	algorithm, encoded, ok := registry.ParseFallbackTag(name)
	if !ok || algorithm != digest.SHA256 { // longer digests do not fit into a tag
		return "", false
	}
	return digest.NewDigestFromEncoded(algorithm, encoded), true
}
