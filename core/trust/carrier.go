package trust

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// EmptyConfig is the blob that a Carrier has as its config.
const EmptyConfig = "{}"

// Carrier makes the manifest that carries a bundle as a referrer of a subject, member for member as cosign 3 does. The
// repository must have the bundle and EmptyConfig as blobs. more are further annotations; nobody believes any of them.
func Carrier(subject ocispec.Descriptor, bundle []byte, predicateType string, at time.Time, more map[string]string) ([]byte, error) {
	annotations := map[string]string{
		"dev.sigstore.bundle.content":       "dsse-envelope",
		"dev.sigstore.bundle.predicateType": predicateType,
		ocispec.AnnotationCreated:           at.UTC().Format(time.RFC3339),
	}
	maps.Copy(annotations, more)
	return json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: TypeBundle,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromString(EmptyConfig),
			Size: int64(len(EmptyConfig)), ArtifactType: TypeBundle},
		Layers:  []ocispec.Descriptor{{MediaType: TypeBundle, Digest: digest.FromBytes(bundle), Size: int64(len(bundle))}},
		Subject: &subject, Annotations: annotations,
	})
}
