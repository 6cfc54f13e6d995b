package access

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// A job that lets somebody else read one image has no rights at all: Can refuses it everything, here and in the API. What
// follows is the exception, for three verbs and one digest.

func onlyOneImage(image *core.OneImage) error {
	return registry.NewError(registry.CodeDenied, "this token reads "+image.Repository+"@"+image.Digest+" and what that manifest names, and nothing else")
}

// oneManifest is the manifest of a job, asked for by its digest: a tag could be another one by now.
func (w *wrapper) oneManifest(ctx context.Context, image *core.OneImage, repo string, ref registry.Reference) (*registry.Manifest, error) {
	if repo != image.Repository || ref.Tag != "" || string(ref.Digest) != image.Digest {
		return nil, onlyOneImage(image)
	}
	return w.next.Manifest(ctx, repo, ref, false)
}

// oneBlob refuses what the manifest of a job does not name, whether it is there or not.
func (w *wrapper) oneBlob(ctx context.Context, image *core.OneImage, repo string, d digest.Digest) error {
	if repo != image.Repository {
		return onlyOneImage(image)
	}
	m, err := w.next.Manifest(ctx, repo, registry.Reference{Digest: digest.Digest(image.Digest)}, false)
	if err != nil {
		return err
	}
	parsed, err := registry.ParseManifest(m.MediaType, m.Payload, registry.ManifestLimits{Payload: len(m.Payload)})
	if err != nil {
		return err
	}
	named := parsed.Config != nil && parsed.Config.Digest == d ||
		slices.ContainsFunc(parsed.Layers, func(l ocispec.Descriptor) bool { return l.Digest == d })
	if !named {
		return onlyOneImage(image)
	}
	return nil
}
