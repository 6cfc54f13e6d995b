package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showRepository(p *core.Project) func(*store.Repository) Repository {
	return func(r *store.Repository) Repository {
		return Repository{Name: r.Name, Project: p.Name, FullName: p.Name + "/" + r.Name, Summary: r.Summary, Pulls: r.Pulls,
			Artifacts: r.Artifacts, Tags: r.Tags, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
	}
}

func showWholeRepository(p *core.Project, r *store.Repository) Repository {
	v := showRepository(p)(r)
	v.Readme, v.Size = &r.Readme, &r.Size
	return v
}

// ListRepositories lists the repositories of a project that the principal may pull from.
func (a *API) ListRepositories(ctx context.Context, r ListRepositoriesRequestObject) (ListRepositoriesResponseObject, error) {
	c := callOf(ctx)
	p := c.project()
	// Robots and bound tokens see only what they reach.
	sees := func(v *store.Repository) bool { return c.canOn(core.ActionPull, p.Name+"/"+v.Name) }
	items, link, err := listOf(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*store.Repository, bool, error) {
			return a.store.Repositories(ctx, p, store.RepositoryQuery{Contains: text(r.Params.Q), After: after, N: n})
		}, func(v *store.Repository) string { return v.Name }, sees, showRepository(p))
	if err != nil {
		return nil, err
	}
	return ListRepositories200JSONResponse{Body: items, Headers: ListRepositories200ResponseHeaders{Link: link}}, nil
}

// GetRepository shows a repository.
func (a *API) GetRepository(ctx context.Context, r GetRepositoryRequestObject) (GetRepositoryResponseObject, error) {
	p := callOf(ctx).project()
	v, err := a.store.Repository(ctx, p, r.Repository)
	if err != nil {
		return nil, err
	}
	return GetRepository200JSONResponse{Body: showWholeRepository(p, v), Headers: GetRepository200ResponseHeaders{ETag: etag(v.Revision)}}, nil
}

// UpdateRepository changes what people read about a repository.
func (a *API) UpdateRepository(ctx context.Context, r UpdateRepositoryRequestObject) (UpdateRepositoryResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	p := callOf(ctx).project()
	v, err := a.store.UpdateRepository(ctx, p, r.Repository, store.RepositoryPatch{Summary: r.Body.Summary, Readme: r.Body.Readme}, revision)
	if err != nil {
		return nil, err
	}
	return UpdateRepository200JSONResponse{Body: showWholeRepository(p, v), Headers: UpdateRepository200ResponseHeaders{ETag: etag(v.Revision)}}, nil
}

// DeleteRepository removes a repository with all it has. What is pushed to it changes no revision, so If-Match is offered
// but not asked for.
func (a *API) DeleteRepository(ctx context.Context, r DeleteRepositoryRequestObject) (DeleteRepositoryResponseObject, error) {
	revision := store.AnyRevision
	if r.Params.IfMatch != nil {
		var err error
		if revision, err = ifMatch(r.Params.IfMatch); err != nil {
			return nil, err
		}
	}
	return DeleteRepository204Response{}, a.store.DeleteRepository(ctx, callOf(ctx).project(), r.Repository, revision, a.unlink)
}
