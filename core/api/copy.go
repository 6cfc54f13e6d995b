package api

import (
	"context"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/registry"
)

// Limits of one copy: manifests, referrers included, and how deep indexes nest.
const (
	maxCopied    = 2000
	maxCopyDepth = 8
)

// CopyArtifact links an artifact of another repository of the hub to this one: what it consists of, what refers to it, then
// its tags, so that a tag never points at something whose signature is still missing. No bytes move.
func (a *API) CopyArtifact(ctx context.Context, r CopyArtifactRequestObject) (CopyArtifactResponseObject, error) {
	c := callOf(ctx)
	source, ref, err := parseSource(r.Body.From)
	if err != nil {
		return nil, err
	}
	m, parsed, err := a.manifest(ctx, source, ref, true)
	if err != nil {
		return nil, hideSource(r.Body.From, err)
	}
	job := &copying{a: a, from: source, to: c.repository, done: map[digest.Digest]bool{}}
	if source != c.repository {
		if err := job.artifact(ctx, m, parsed, 0); err != nil {
			return nil, told(err)
		}
	}
	if r.Body.Tags != nil && len(*r.Body.Tags) > 0 {
		if err := job.put(ctx, m, *r.Body.Tags); err != nil {
			return nil, told(err)
		}
	}
	artifact, err := a.store.Artifact(ctx, c.project(), r.Repository, string(m.Digest))
	if err != nil {
		return nil, err
	}
	return CopyArtifact201JSONResponse{Body: showArtifact(artifact), Headers: CopyArtifact201ResponseHeaders{
		Location: a.location("projects", r.Project, "repositories", r.Repository, "artifacts", artifact.Digest)}}, nil
}

// parseSource reads "project/repository@digest" and "project/repository:tag".
func parseSource(s string) (repository string, ref registry.Reference, err error) {
	repository, d, byDigest := strings.Cut(s, "@")
	if byDigest {
		ref.Digest = digest.Digest(d)
	} else {
		repository, ref.Tag, _ = strings.Cut(s, ":")
	}
	if !registry.ValidName(repository) || !strings.Contains(repository, "/") {
		return "", ref, core.Invalid("/from", "this must be project/repository@digest or project/repository:tag")
	}
	return repository, ref, nil
}

// hideSource makes one answer of "it is not there" and "you may not pull it" (V-18).
func hideSource(from string, err error) error {
	switch core.CodeOf(err) {
	case core.CodeNotFound, core.CodeForbidden:
		return core.Errorf(core.CodeNotFound, "there is no %s, or you may not pull it", from)
	}
	return err
}

// copying is one copy on its way.
type copying struct {
	a        *API
	from, to string
	done     map[digest.Digest]bool
}

// artifact links a manifest with all below it and all that refers to it. Children come before parents, because a manifest
// must find everything it names; referrers after.
func (c *copying) artifact(ctx context.Context, m *registry.Manifest, parsed *registry.ParsedManifest, depth int) error {
	if c.done[m.Digest] {
		return nil
	}
	c.done[m.Digest] = true
	if len(c.done) > maxCopied || depth > maxCopyDepth {
		return core.Errorf(core.CodeLimit, "this artifact has more than %d parts and referrers, or nests deeper than %d indexes: copy it with a client", maxCopied, maxCopyDepth)
	}
	for _, b := range parsed.Blobs() {
		if _, err := c.a.registry.MountBlob(ctx, c.to, b.Digest, registry.MountSource{Repository: c.from}); err != nil {
			return err
		}
	}
	for _, child := range parsed.Children() {
		err := c.one(ctx, registry.Reference{Digest: child.Digest}, nil, depth+1)
		// A child that is not there makes the index sparse; whether that is allowed is asked when the index is put.
		if err != nil && core.CodeOf(told(err)) != core.CodeNotFound {
			return err
		}
	}
	if err := c.put(ctx, m, nil); err != nil {
		return err
	}
	return c.referrers(ctx, m.Digest, depth)
}

// one links one further manifest, and points tags at it.
func (c *copying) one(ctx context.Context, ref registry.Reference, tags []string, depth int) error {
	m, parsed, err := c.a.manifest(ctx, c.from, ref, true)
	if err != nil {
		return err
	}
	if err := c.artifact(ctx, m, parsed, depth); err != nil || len(tags) == 0 {
		return err
	}
	return c.put(ctx, m, tags)
}

func (c *copying) put(ctx context.Context, m *registry.Manifest, tags []string) error {
	_, err := c.a.registry.PutManifest(ctx, c.to, registry.ManifestPut{Digest: m.Digest, MediaType: m.MediaType, Payload: m.Payload, Tags: tags})
	return err
}

// referrers links what names the manifest as its subject, and what cosign's legacy layout keeps under tags made of its digest.
func (c *copying) referrers(ctx context.Context, subject digest.Digest, depth int) error {
	for after := ""; ; {
		page, err := c.a.registry.Referrers(ctx, c.from, subject, registry.ReferrerQuery{After: after, N: maxPage})
		if err != nil {
			return err
		}
		for _, d := range page.Manifests {
			// What the hub says of it there is not so here; if it is wanted here, the hub says it here.
			if hubs, err := c.a.store.Attached(ctx, c.from, string(d.Digest)); err != nil || hubs {
				if err != nil {
					return err
				}
				continue
			}
			if err := c.one(ctx, registry.Reference{Digest: d.Digest}, nil, depth+1); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		tag := registry.FallbackTag(subject) + suffix
		err := c.one(ctx, registry.Reference{Tag: tag}, []string{tag}, depth+1)
		if err != nil && core.CodeOf(told(err)) != core.CodeNotFound {
			return err
		}
	}
	return nil
}
