package api

import (
	"context"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

func showArtifact(v *store.Artifact) Artifact {
	out := Artifact{Digest: v.Digest, MediaType: v.MediaType, ArtifactType: v.ArtifactType, Size: v.Size, Platforms: []Platform{}, Sboms: []SBOMSource{},
		Tags: append([]string{}, v.Tags...), Labels: append([]string{}, v.Labels...), Subject: optional(v.Subject),
		PushedAt: v.PushedAt, PushedBy: v.PushedBy, Pulls: v.Pulls}
	for _, source := range v.SBOMs {
		out.Sboms = append(out.Sboms, SBOMSource(source))
	}
	if v.Annotations != nil {
		out.Annotations = &v.Annotations
	}
	if v.Scan != nil {
		out.Scan = showScan(v.Scan)
	}
	for _, p := range v.Platforms {
		out.Platforms = append(out.Platforms, Platform{OS: p.OS, Architecture: p.Architecture, Variant: optional(p.Variant),
			OSVersion: optional(p.OSVersion), Digest: optional(p.Digest)})
	}
	return out
}

// ListArtifacts lists the artifacts of a repository, newest first.
func (a *API) ListArtifacts(ctx context.Context, r ListArtifactsRequestObject) (ListArtifactsResponseObject, error) {
	c := callOf(ctx)
	at, err := a.position(c, r.Params.Limit, r.Params.Cursor, 2)
	if err != nil {
		return nil, err
	}
	q := store.ArtifactQuery{Tagged: r.Params.Tagged, ArtifactType: text(r.Params.ArtifactType), Label: text(r.Params.Label), N: at.n}
	if at.after[1] != "" {
		// The cursor is signed: its first part is the number that was put there.
		q.After.PushedAt, err = strconv.ParseInt(at.after[0], 10, 64)
		q.After.Digest = at.after[1]
	}
	if err != nil {
		return nil, err
	}
	items, more, last := []Artifact{}, false, store.ArtifactCursor{}
	if at.n > 0 {
		var found []*store.Artifact
		if found, more, err = a.store.Artifacts(ctx, c.project(), r.Repository, q); err != nil {
			return nil, err
		}
		for _, v := range found {
			items, last = append(items, showArtifact(v)), v.Cursor()
		}
	}
	return ListArtifacts200JSONResponse{Body: items, Headers: ListArtifacts200ResponseHeaders{
		Link: a.next(c, more, strconv.FormatInt(last.PushedAt, 10), last.Digest)}}, nil
}

// GetArtifact shows an artifact; of an image also what its configuration says of platform and build time.
func (a *API) GetArtifact(ctx context.Context, r GetArtifactRequestObject) (GetArtifactResponseObject, error) {
	c := callOf(ctx)
	v, err := a.store.Artifact(ctx, c.project(), r.Repository, r.Reference)
	if err != nil {
		return nil, err
	}
	out := showArtifact(v)
	// What cannot be read is the artifact's fault, and no reason not to show the rest.
	switch {
	case registry.ManifestKindOf(v.MediaType) == registry.KindIndex:
		if _, parsed, err := a.manifest(ctx, c.repository, registry.Reference{Digest: digest.Digest(v.Digest)}, false); err == nil {
			out.Platforms = platforms(parsed)
		}
	case isImageConfig(v.ConfigType):
		if config, err := a.imageConfig(ctx, c.repository, digest.Digest(v.ConfigDigest)); err == nil {
			out.BuiltAt = config.Created
			out.Platforms = []Platform{{OS: config.OS, Architecture: config.Architecture, Variant: optional(config.Variant), OSVersion: optional(config.OSVersion)}}
		}
	}
	return GetArtifact200JSONResponse(out), nil
}

// platforms are those that an index names an image for, with the image.
func platforms(index *registry.ParsedManifest) []Platform {
	out := []Platform{}
	for _, child := range index.Children() {
		if p := child.Platform; p != nil && p.OS != "unknown" {
			d := string(child.Digest)
			out = append(out, Platform{OS: p.OS, Architecture: p.Architecture, Variant: optional(p.Variant), OSVersion: optional(p.OSVersion), Digest: &d})
		}
	}
	return out
}

// DeleteArtifact removes an artifact by digest. By tag it is refused: it would take other tags with it unasked.
func (a *API) DeleteArtifact(ctx context.Context, r DeleteArtifactRequestObject) (DeleteArtifactResponseObject, error) {
	if !strings.Contains(r.Reference, ":") {
		return nil, core.Invalid("reference", "name the artifact by its digest (sha256:...), since every tag of it goes too; to remove the tag alone, delete .../tags/%s", r.Reference)
	}
	return DeleteArtifact204Response{}, told(a.registry.DeleteManifest(ctx, callOf(ctx).repository, digest.Digest(r.Reference)))
}

// ListReferrers lists what names an artifact as its subject.
func (a *API) ListReferrers(ctx context.Context, r ListReferrersRequestObject) (ListReferrersResponseObject, error) {
	c := callOf(ctx)
	at, err := a.position(c, r.Params.Limit, r.Params.Cursor, 1)
	if err != nil {
		return nil, err
	}
	subject := digest.Digest(r.Reference)
	if !strings.Contains(r.Reference, ":") {
		v, err := a.store.Artifact(ctx, c.project(), r.Repository, r.Reference)
		if err != nil {
			return nil, err
		}
		subject = digest.Digest(v.Digest)
	}
	items := []Referrer{}
	var page registry.ReferrerPage
	if at.n > 0 {
		page, err = a.registry.Referrers(ctx, c.repository, subject, registry.ReferrerQuery{
			ArtifactType: text(r.Params.ArtifactType), After: at.after[0], N: at.n})
		if err != nil {
			return nil, told(err)
		}
	}
	for _, d := range page.Manifests {
		v := Referrer{Digest: string(d.Digest), MediaType: d.MediaType, ArtifactType: d.ArtifactType, Size: d.Size}
		if len(d.Annotations) > 0 {
			v.Annotations = &d.Annotations
		}
		items = append(items, v)
	}
	return ListReferrers200JSONResponse{Body: items, Headers: ListReferrers200ResponseHeaders{Link: a.next(c, page.Next != "", page.Next)}}, nil
}
