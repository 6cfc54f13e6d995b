package registry

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of Docker's image manifest version 2, schema 2, which OCI's are descended from.
const (
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"

	mediaTypeSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	mediaTypeSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"

	// Layers of these families need not be pushed: their licence forbids it. Compression is a suffix.
	prefixNonDistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar"
	prefixForeign          = "application/vnd.docker.image.rootfs.foreign.diff.tar"
)

// ManifestKind says what a manifest holds.
type ManifestKind string

// The two kinds.
const (
	KindImage ManifestKind = "image" // a config and layers
	KindIndex ManifestKind = "index" // other manifests
)

// ManifestKindOf returns the kind of manifest that a media type stands for, and "" for one that is no manifest's or that
// this registry does not store.
func ManifestKindOf(mediaType string) ManifestKind {
	switch mediaType {
	case ocispec.MediaTypeImageManifest, MediaTypeDockerManifest:
		return KindImage
	case ocispec.MediaTypeImageIndex, MediaTypeDockerList:
		return KindIndex
	}
	return ""
}

// ManifestLimits bounds what ParseManifest takes. A field that is 0 or less has the value of DefaultManifestLimits.
type ManifestLimits struct {
	Payload         int // bytes of the whole
	Depth           int // nested objects and arrays
	Layers          int // entries of layers
	Children        int // entries of manifests
	Annotations     int // number of annotations, those of the descriptors included
	AnnotationBytes int // bytes of their names and values together
	Foreign         int // JSON tokens in members that mean nothing to us, and in lists of text
}

// DefaultManifestLimits are the limits of a hub that does not set its own. The specification ("Pushing Manifests") wants
// manifests of 4 MB accepted, and its conformance suite pushes one that is nearly all annotations: so it is their number
// that is bounded, and their bytes only by the payload.
func DefaultManifestLimits() ManifestLimits {
	return ManifestLimits{
		Payload: 4 << 20, Depth: 32, Layers: 500, Children: 1000, Annotations: 10_000, AnnotationBytes: 4 << 20,
		Foreign: 100_000,
	}
}

func (l ManifestLimits) orDefault() ManifestLimits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	d := DefaultManifestLimits()
	set(&l.Payload, d.Payload)
	set(&l.Depth, d.Depth)
	set(&l.Layers, d.Layers)
	set(&l.Children, d.Children)
	set(&l.Annotations, d.Annotations)
	set(&l.AnnotationBytes, d.AnnotationBytes)
	set(&l.Foreign, d.Foreign)
	return l
}

// ParsedManifest is what a manifest says.
type ParsedManifest struct {
	Kind      ManifestKind
	MediaType string // a function of the payload alone

	Config    *ocispec.Descriptor  // of an image, never nil then
	Layers    []ocispec.Descriptor // of an image
	Manifests []ocispec.Descriptor // of an index

	Subject      *ocispec.Descriptor // of OCI types only
	ArtifactType string              // as it stands in the payload; see Referrer
	Annotations  map[string]string
}

// ParseManifest reads a manifest and refuses whatever two programs might read differently: it must be strict JSON
// (RFC 7493: no duplicate names, valid UTF-8) with nothing around it, without names that differ from a known one in case
// only, and of exactly one kind. mediaType is the Content-Type it came with, without parameters; it may be empty if the
// payload says itself what it is. Errors are *Error: CodeTooLarge for the payload, CodeManifestInvalid for the rest.
//
// The result does not refer to payload. ParseManifest keeps no state and may be called concurrently.
func ParseManifest(mediaType string, payload []byte, lim ManifestLimits) (*ParsedManifest, error) {
	lim = lim.orDefault()
	if len(payload) > lim.Payload {
		return nil, NewError(CodeTooLarge, fmt.Sprintf("The manifest has %d bytes; the limit is %d. Move what is large "+
			"in it, such as annotations or embedded data, into a layer.", len(payload), lim.Payload))
	}
	if isSchema1(mediaType) {
		return nil, errSchema1()
	}
	doc, err := decodeManifest(payload, lim)
	if err != nil {
		return nil, err
	}
	return doc.judge(mediaType)
}

func isSchema1(mediaType string) bool {
	return mediaType == mediaTypeSchema1 || mediaType == mediaTypeSchema1Signed
}

func errSchema1() *Error {
	return manifestInvalid("This is a Docker schema 1 manifest, a format that has been withdrawn. Build the image again, " +
		"or convert it with \"skopeo copy --format v2s2\", and push that.")
}

func manifestInvalid(format string, args ...any) *Error {
	return NewError(CodeManifestInvalid, fmt.Sprintf(format, args...))
}

// quoted makes foreign text fit to be shown: no control characters, and not too long.
func quoted(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// judge decides what the document is, and that it is that and nothing else.
func (doc *manifestDocument) judge(contentType string) (*ParsedManifest, error) {
	if isSchema1(doc.mediaType) || doc.schemaVersion == 1 {
		return nil, errSchema1()
	}
	if doc.schemaVersion != 2 {
		return nil, manifestInvalid("The manifest's schemaVersion must be 2.")
	}
	mediaType, err := doc.agreedType(contentType)
	if err != nil {
		return nil, err
	}
	m := &ParsedManifest{
		Kind: ManifestKindOf(mediaType), MediaType: mediaType, Config: doc.config, Layers: doc.layers,
		Manifests: doc.manifests, ArtifactType: doc.artifactType, Annotations: doc.annotations,
	}
	if mediaType == ocispec.MediaTypeImageManifest || mediaType == ocispec.MediaTypeImageIndex {
		m.Subject = doc.subject
	}
	return m, doc.checkKind(m.Kind)
}

// agreedType returns the one media type that the payload, its structure and the Content-Type agree on.
func (doc *manifestDocument) agreedType(contentType string) (string, error) {
	field := doc.mediaType
	switch {
	case field != "" && contentType != "" && field != contentType:
		return "", manifestInvalid("The manifest's mediaType is %s and the Content-Type is %s. Send the mediaType of the "+
			"manifest as Content-Type.", quoted(field), quoted(contentType))
	case field == "" && contentType == "":
		return "", manifestInvalid("The manifest has no mediaType and came without Content-Type. Set both to %s or %s.",
			ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex)
	}
	mediaType := field
	if mediaType == "" {
		mediaType = contentType
	}
	switch {
	case ManifestKindOf(mediaType) == "":
		return "", manifestInvalid("This registry stores no manifests of type %s. Use %s or %s.", quoted(mediaType),
			ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex)
	case field == "" && mediaType != ocispec.MediaTypeImageManifest && mediaType != ocispec.MediaTypeImageIndex:
		// Otherwise the same bytes would be an OCI manifest here and a Docker manifest there.
		return "", manifestInvalid("A manifest of type %s must say so in its mediaType field.", mediaType)
	}
	return mediaType, nil
}

// checkKind says whether the members are those of the kind.
func (doc *manifestDocument) checkKind(kind ManifestKind) error {
	switch {
	case doc.hasManifests && (doc.hasLayers || doc.hasConfig):
		return manifestInvalid("The manifest has \"manifests\" beside \"layers\" or \"config\", so that it could be read " +
			"as an image and as an index. Push two manifests.")
	case kind == KindImage && doc.hasManifests, kind == KindIndex && (doc.hasLayers || doc.hasConfig):
		return manifestInvalid("The manifest has the members of another type than its media type says. Set the media " +
			"type to that of what it is.")
	case kind == KindImage && doc.config == nil:
		return manifestInvalid("The image manifest has no config. Use the empty descriptor (%s) if there is none.",
			ocispec.MediaTypeEmptyJSON)
	case kind == KindIndex && !doc.hasManifests:
		return manifestInvalid("The index has no \"manifests\". Use an empty list if there are none.")
	}
	return nil
}

// Blobs lists what has to be present as a blob, each digest once: config and layers. Layers of the non-distributable
// media types are exempt, with urls or without. Of an index it is the entries whose media type is not that of a manifest
// (BuildKit's cache is an index of layers): such a thing can only have been pushed as a blob.
func (m *ParsedManifest) Blobs() []ocispec.Descriptor {
	out := make([]ocispec.Descriptor, 0, 1+len(m.Layers))
	seen := make(map[digest.Digest]bool, 1+len(m.Layers))
	add := func(d ocispec.Descriptor) {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			out = append(out, d)
		}
	}
	if m.Config != nil {
		add(*m.Config)
	}
	for _, d := range m.Layers {
		if !nonDistributable(d.MediaType) {
			add(d)
		}
	}
	for _, d := range m.Manifests {
		if !isManifestEntry(d.MediaType) {
			add(d)
		}
	}
	return out
}

// Children lists the manifests that an index refers to, each digest once. The subject is not among them.
func (m *ParsedManifest) Children() []ocispec.Descriptor {
	var out []ocispec.Descriptor
	seen := make(map[digest.Digest]bool, len(m.Manifests))
	for _, d := range m.Manifests {
		if isManifestEntry(d.MediaType) && !seen[d.Digest] {
			seen[d.Digest] = true
			out = append(out, d)
		}
	}
	return out
}

// Referrer describes the manifest, whose digest and size are given, as the list of its subject's referrers has it
// (OCI distribution specification, "Listing Referrers"): an image without artifactType has its config's media type, an
// index without has none.
func (m *ParsedManifest) Referrer(d digest.Digest, size int64) ocispec.Descriptor {
	artifactType := m.ArtifactType
	if artifactType == "" && m.Config != nil {
		artifactType = m.Config.MediaType
	}
	return ocispec.Descriptor{
		MediaType: m.MediaType, Digest: d, Size: size, ArtifactType: artifactType, Annotations: m.Annotations,
	}
}

func nonDistributable(mediaType string) bool {
	return strings.HasPrefix(mediaType, prefixNonDistributable) || strings.HasPrefix(mediaType, prefixForeign)
}

// isManifestEntry includes schema 1, which nobody can push: an index that refers to it lacks a manifest, not a blob.
func isManifestEntry(mediaType string) bool {
	return ManifestKindOf(mediaType) != "" || isSchema1(mediaType)
}
