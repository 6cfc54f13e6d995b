package api

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// maxConfig is how large a configuration may be to be read here (security.md, e).
const maxConfig = 8 << 20

// maxSteps is how many build steps are shown.
const maxSteps = 1000

func isImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == "application/vnd.docker.container.image.v1+json"
}

func notAnImage() error {
	return core.Errorf(core.CodeNotFound, "this artifact is no image and has no build history")
}

// imageConfig reads the configuration of an image.
func (a *API) imageConfig(ctx context.Context, repository string, d digest.Digest) (*ocispec.Image, error) {
	b, err := a.registry.Blob(ctx, repository, d)
	if err != nil {
		return nil, told(err)
	}
	if b.Content == nil {
		return nil, core.Errorf(core.CodeLimit, "the configuration of this image is large and lies in an object store: pull it to read it")
	}
	defer b.Content.Close()
	if b.Size > maxConfig {
		return nil, core.Errorf(core.CodeLimit, "the configuration of this image has %d bytes, too many to be read here", b.Size)
	}
	raw, err := io.ReadAll(io.LimitReader(b.Content, maxConfig))
	if err != nil {
		return nil, err
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, core.Errorf(core.CodeNotFound, "the configuration of this image is not well-formed")
	}
	return &config, nil
}

// GetArtifactHistory shows how an image was built, as far as its configuration tells.
func (a *API) GetArtifactHistory(ctx context.Context, r GetArtifactHistoryRequestObject) (GetArtifactHistoryResponseObject, error) {
	c := callOf(ctx)
	m, parsed, err := a.image(ctx, c.repository, reference(r.Reference), text(r.Params.Platform))
	if err != nil {
		return nil, err
	}
	if parsed.Config == nil || !isImageConfig(parsed.Config.MediaType) {
		return nil, notAnImage()
	}
	config, err := a.imageConfig(ctx, c.repository, parsed.Config.Digest)
	if err != nil {
		return nil, err
	}
	out := History{Digest: string(m.Digest), OS: config.OS, Architecture: config.Architecture, Variant: optional(config.Variant),
		Created: config.Created, Author: optional(config.Author), User: optional(config.Config.User),
		WorkingDir: optional(config.Config.WorkingDir), Steps: steps(config.History, parsed.Layers)}
	// null, which an image may have here, is no list.
	if v := config.Config.Entrypoint; v != nil {
		out.Entrypoint = &v
	}
	if v := config.Config.Cmd; v != nil {
		out.Command = &v
	}
	return GetArtifactHistory200JSONResponse(out), nil
}

// steps joins the history of a configuration with the layers of its manifest: each step that is not empty made the next one.
func steps(history []ocispec.History, layers []ocispec.Descriptor) []HistoryStep {
	out := make([]HistoryStep, 0, min(len(history), maxSteps))
	for _, h := range history {
		if len(out) == maxSteps {
			break
		}
		step := HistoryStep{Created: h.Created, CreatedBy: h.CreatedBy, Author: optional(h.Author), Comment: optional(h.Comment), EmptyLayer: h.EmptyLayer}
		if !h.EmptyLayer && len(layers) > 0 {
			d, size := string(layers[0].Digest), layers[0].Size
			step.Digest, step.Size = &d, &size
			layers = layers[1:]
		}
		out = append(out, step)
	}
	return out
}

// image finds an image: the manifest itself, or the one for a platform of an index.
func (a *API) image(ctx context.Context, repository string, ref registry.Reference, platform string) (*registry.Manifest, *registry.ParsedManifest, error) {
	m, parsed, err := a.manifest(ctx, repository, ref, false)
	if err != nil || parsed.Kind == registry.KindImage {
		return m, parsed, err
	}
	var found []ocispec.Descriptor
	for _, child := range parsed.Children() {
		if p := child.Platform; p != nil && p.OS != "unknown" && (platform == "" || platformName(p) == platform || p.OS+"/"+p.Architecture == platform) {
			found = append(found, child)
		}
	}
	switch {
	case len(found) == 0 && platform == "":
		return nil, nil, notAnImage()
	case len(found) == 0:
		return nil, nil, core.Errorf(core.CodeNotFound, "this index has no image for %s", platform)
	case len(found) > 1 && platform == "":
		return nil, nil, core.Invalid("platform", "this index has images for several platforms: name one, such as %s", platformName(found[0].Platform))
	}
	return a.manifest(ctx, repository, registry.Reference{Digest: found[0].Digest}, false)
}

func platformName(p *ocispec.Platform) string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// manifest reads and parses a manifest.
func (a *API) manifest(ctx context.Context, repository string, ref registry.Reference, keep bool) (*registry.Manifest, *registry.ParsedManifest, error) {
	m, err := a.registry.Manifest(ctx, repository, ref, keep)
	if err != nil {
		return nil, nil, told(err)
	}
	parsed, err := registry.ParseManifest(m.MediaType, m.Payload, registry.ManifestLimits{})
	return m, parsed, err
}

// reference reads what openapi.yaml has made sure to be a tag or a digest.
func reference(s string) registry.Reference {
	if strings.Contains(s, ":") {
		return registry.Reference{Digest: digest.Digest(s)}
	}
	return registry.Reference{Tag: s}
}
