package inventory

import (
	"context"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

// Document is a bill of materials of an artifact, and who stands behind it now.
type Document struct {
	store.StoredSBOM
	Platform string // os/architecture[/variant] of the image in an index; "" of what was asked for itself
	Signer   string // as people know it; "" if nobody known has signed
	Trusted  bool   // the signer is registered and not revoked, or the document is the hub's own
}

// Documents lists the documents of an artifact and, if it is an index, of its images: of all, or of one platform. Trusted ones
// come first, the newest of those at the top. Beyond the limits nothing is looked at.
func (v *Inventory) Documents(ctx context.Context, repository string, a *store.Artifact, platform string) ([]Document, error) {
	platforms, digests, err := v.images(ctx, repository, a, platform)
	if err != nil {
		return nil, err
	}
	for _, d := range digests {
		if err := v.keeper.Refresh(ctx, repository, digest.Digest(d)); err != nil {
			return nil, err
		}
	}
	found, err := v.store.SBOMs(ctx, repository, digests, v.limits.Documents)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	project, _, _ := strings.Cut(repository, "/")
	vouch, err := v.keeper.Signers(ctx, project)
	if err != nil {
		return nil, err
	}
	out := make([]Document, 0, len(found))
	for _, s := range found {
		d := Document{StoredSBOM: *s, Platform: platforms[s.Subject]}
		d.Signer, d.Trusted = standing(s.Source, s.Evidence, vouch)
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(a, b Document) int { return rank(&a) - rank(&b) })
	return out, nil
}

// images are the digests that documents of an artifact can be about, and for which platform each is.
func (v *Inventory) images(ctx context.Context, repository string, a *store.Artifact, platform string) (platforms map[string]string, digests []string, err error) {
	platforms = map[string]string{}
	if platform == "" {
		platforms[a.Digest], digests = "", []string{a.Digest}
	}
	var children []ocispec.Descriptor
	if registry.ManifestKindOf(a.MediaType) == registry.KindIndex {
		m, err := v.keeper.Carrier(ctx, repository, digest.Digest(a.Digest))
		if err != nil {
			return nil, nil, err
		}
		if m != nil {
			children = m.Children()
		}
	}
	for _, c := range children {
		p := c.Platform
		if p == nil || p.OS == "unknown" || len(platforms) > v.limits.Platforms {
			continue
		}
		name := strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
		if _, twice := platforms[string(c.Digest)]; twice || platform != "" && name != platform && p.OS+"/"+p.Architecture != platform {
			continue
		}
		platforms[string(c.Digest)] = name
		digests = append(digests, string(c.Digest))
	}
	if len(digests) == 0 {
		return nil, nil, core.Errorf(core.CodeNotFound, "this artifact has no image for %s", platform)
	}
	return platforms, digests, nil
}

// rank orders documents: what can be read before what cannot, what is vouched for before what is not, what people attested before
// what a scanner found.
func rank(d *Document) int {
	n := 0
	if d.Problem != "" {
		n += 8
	}
	if !d.Trusted {
		n += 4
	}
	if d.Source != core.SBOMAttested {
		n += 2
	}
	return n
}

// standing is who stands behind a document, and whether it is trusted.
func standing(source core.SBOMSource, e *core.Evidence, vouch gatekeeper.Vouch) (signer string, trusted bool) {
	switch {
	case source == core.SBOMScanned:
		return "", true
	case source != core.SBOMAttested || e == nil:
		return "", false
	}
	return vouch(e.Signer)
}

// Text is a document as it was signed, by whomever, or pushed.
func (v *Inventory) Text(ctx context.Context, repository string, d *Document) ([]byte, error) {
	if err := v.enter(ctx); err != nil {
		return nil, err
	}
	defer v.leave()
	read := v.keeper.Content
	if d.Evidence != nil || d.Source == core.SBOMScanned {
		read = v.predicate
	}
	text, err := read(ctx, repository, digest.Digest(d.Content))
	if registry.CodeOf(err) == registry.CodeBlobUnknown || err == nil && string(digest.FromBytes(text)) != d.StoredSBOM.Digest {
		return nil, core.Errorf(core.CodeNotFound, "this document is not there any more")
	}
	return text, err
}
