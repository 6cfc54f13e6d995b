package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
)

// showAuthority shows what is stored. What cannot be read any more vouches for nothing, and is shown by its name alone.
func showAuthority(d *store.TrustDocument) Authority {
	out := Authority{Name: d.Name, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt}
	v, err := gatekeeper.ParseAuthority(d.Document)
	if err != nil {
		return out
	}
	out.Description, out.PublicKey, out.Identity = v.Description, optional(v.PublicKey), v.Identity
	out.Fingerprint = optional(v.Fingerprint())
	out.NotBefore, out.NotAfter, out.RevokedAt = v.NotBefore, v.NotAfter, v.RevokedAt
	return out
}

func trustName(d *store.TrustDocument) string { return d.Name }

// authorities lists those of a project, or of the hub if p is nil.
func (a *API) authorities(ctx context.Context, p *core.Project, limit *int64, cursor *string) ([]Authority, *string, error) {
	return list(ctx, a, limit, cursor, func(after string, n int) ([]*store.TrustDocument, bool, error) {
		return a.store.TrustDocuments(ctx, p, store.TrustAuthority, after, n)
	}, trustName, showAuthority)
}

// ListAuthorities lists the keys and identities of the hub.
func (a *API) ListAuthorities(ctx context.Context, r ListAuthoritiesRequestObject) (ListAuthoritiesResponseObject, error) {
	items, link, err := a.authorities(ctx, nil, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListAuthorities200JSONResponse{Body: items, Headers: ListAuthorities200ResponseHeaders{Link: link}}, nil
}

// GetAuthority shows one of the hub.
func (a *API) GetAuthority(ctx context.Context, r GetAuthorityRequestObject) (GetAuthorityResponseObject, error) {
	d, err := a.store.TrustDocument(ctx, nil, store.TrustAuthority, r.Authority)
	if err != nil {
		return nil, err
	}
	return GetAuthority200JSONResponse{Body: showAuthority(d), Headers: GetAuthority200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// PutAuthority makes or changes one of the hub.
func (a *API) PutAuthority(ctx context.Context, r PutAuthorityRequestObject) (PutAuthorityResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	d, created, err := a.gate.SaveAuthority(ctx, nil, r.Authority, *r.Body, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutAuthority201JSONResponse{Body: showAuthority(d), Headers: PutAuthority201ResponseHeaders{ETag: etag(d.Revision)}}, nil
	}
	return PutAuthority200JSONResponse{Body: showAuthority(d), Headers: PutAuthority200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// DeleteAuthority removes one of the hub.
func (a *API) DeleteAuthority(ctx context.Context, r DeleteAuthorityRequestObject) (DeleteAuthorityResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteAuthority204Response{}, a.gate.DeleteAuthority(ctx, nil, r.Authority, revision, isTrue(r.Params.Force))
}

// RevokeAuthority ends all trust in one of the hub.
func (a *API) RevokeAuthority(ctx context.Context, r RevokeAuthorityRequestObject) (RevokeAuthorityResponseObject, error) {
	d, err := a.gate.RevokeAuthority(ctx, nil, r.Authority)
	if err != nil {
		return nil, err
	}
	return RevokeAuthority200JSONResponse{Body: showAuthority(d), Headers: RevokeAuthority200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// ListProjectAuthorities lists the keys and identities of the project.
func (a *API) ListProjectAuthorities(ctx context.Context, r ListProjectAuthoritiesRequestObject) (ListProjectAuthoritiesResponseObject, error) {
	items, link, err := a.authorities(ctx, callOf(ctx).project(), r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListProjectAuthorities200JSONResponse{Body: items, Headers: ListProjectAuthorities200ResponseHeaders{Link: link}}, nil
}

// GetProjectAuthority shows one of the project.
func (a *API) GetProjectAuthority(ctx context.Context, r GetProjectAuthorityRequestObject) (GetProjectAuthorityResponseObject, error) {
	d, err := a.store.TrustDocument(ctx, callOf(ctx).project(), store.TrustAuthority, r.Authority)
	if err != nil {
		return nil, err
	}
	return GetProjectAuthority200JSONResponse{Body: showAuthority(d), Headers: GetProjectAuthority200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// PutProjectAuthority makes or changes one of the project.
func (a *API) PutProjectAuthority(ctx context.Context, r PutProjectAuthorityRequestObject) (PutProjectAuthorityResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	d, created, err := a.gate.SaveAuthority(ctx, callOf(ctx).project(), r.Authority, *r.Body, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutProjectAuthority201JSONResponse{Body: showAuthority(d), Headers: PutProjectAuthority201ResponseHeaders{ETag: etag(d.Revision)}}, nil
	}
	return PutProjectAuthority200JSONResponse{Body: showAuthority(d), Headers: PutProjectAuthority200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// DeleteProjectAuthority removes one of the project.
func (a *API) DeleteProjectAuthority(ctx context.Context, r DeleteProjectAuthorityRequestObject) (DeleteProjectAuthorityResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteProjectAuthority204Response{}, a.gate.DeleteAuthority(ctx, callOf(ctx).project(), r.Authority, revision, isTrue(r.Params.Force))
}

// RevokeProjectAuthority ends all trust in one of the project.
func (a *API) RevokeProjectAuthority(ctx context.Context, r RevokeProjectAuthorityRequestObject) (RevokeProjectAuthorityResponseObject, error) {
	d, err := a.gate.RevokeAuthority(ctx, callOf(ctx).project(), r.Authority)
	if err != nil {
		return nil, err
	}
	return RevokeProjectAuthority200JSONResponse{Body: showAuthority(d), Headers: RevokeProjectAuthority200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}
