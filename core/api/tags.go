package api

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/registry"
)

func showTag(t *store.Tag) Tag {
	return Tag{Name: t.Name, Digest: t.Digest, MediaType: t.MediaType, Size: t.Size, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt}
}

// tags lists tags of the repository of the path.
func (a *API) tags(ctx context.Context, repository string, q store.TagQuery, limit *int64, cursor *string) ([]Tag, *string, error) {
	return list(ctx, a, limit, cursor, func(after string, n int) ([]*store.Tag, bool, error) {
		q.After, q.N = after, n
		return a.store.Tags(ctx, callOf(ctx).project(), repository, q)
	}, func(t *store.Tag) string { return t.Name }, showTag)
}

// ListTags lists the tags of a repository.
func (a *API) ListTags(ctx context.Context, r ListTagsRequestObject) (ListTagsResponseObject, error) {
	items, link, err := a.tags(ctx, r.Repository, store.TagQuery{Contains: text(r.Params.Q), Digest: text(r.Params.Digest)}, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListTags200JSONResponse{Body: items, Headers: ListTags200ResponseHeaders{Link: link}}, nil
}

// ListArtifactTags lists the tags that point at an artifact.
func (a *API) ListArtifactTags(ctx context.Context, r ListArtifactTagsRequestObject) (ListArtifactTagsResponseObject, error) {
	artifact, err := a.store.Artifact(ctx, callOf(ctx).project(), r.Repository, r.Reference)
	if err != nil {
		return nil, err
	}
	items, link, err := a.tags(ctx, r.Repository, store.TagQuery{Digest: artifact.Digest}, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListArtifactTags200JSONResponse{Body: items, Headers: ListArtifactTags200ResponseHeaders{Link: link}}, nil
}

// GetTag shows a tag.
func (a *API) GetTag(ctx context.Context, r GetTagRequestObject) (GetTagResponseObject, error) {
	t, err := a.store.Tag(ctx, callOf(ctx).project(), r.Repository, r.Tag)
	if err != nil {
		return nil, err
	}
	return GetTag200JSONResponse(showTag(t)), nil
}

// PutTag points a tag at an artifact of the repository. It is the push of a manifest that is there already, so that
// whatever a push obeys is obeyed here.
func (a *API) PutTag(ctx context.Context, r PutTagRequestObject) (PutTagResponseObject, error) {
	c := callOf(ctx)
	m, err := a.registry.Manifest(ctx, c.repository, registry.Reference{Digest: digest.Digest(r.Body.Digest)}, true)
	if err == nil {
		_, err = a.registry.PutManifest(ctx, c.repository, registry.ManifestPut{Digest: m.Digest, MediaType: m.MediaType,
			Payload: m.Payload, Tags: []string{r.Tag}})
	}
	if err != nil {
		return nil, told(err)
	}
	t, err := a.store.Tag(ctx, c.project(), r.Repository, r.Tag)
	if err != nil {
		return nil, err
	}
	return PutTag200JSONResponse(showTag(t)), nil
}

// DeleteTag removes a tag.
func (a *API) DeleteTag(ctx context.Context, r DeleteTagRequestObject) (DeleteTagResponseObject, error) {
	return DeleteTag204Response{}, told(a.registry.DeleteTag(ctx, callOf(ctx).repository, r.Tag))
}
