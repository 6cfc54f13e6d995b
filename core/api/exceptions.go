package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/sbom"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showException(x *core.Exception) Exception {
	return Exception{ID: x.ID, Vulnerability: x.Vulnerability, Purl: x.PURL, Repository: x.Repository, Reason: x.Reason, ExpiresAt: x.ExpiresAt,
		CreatedBy: x.CreatedBy, CreatedAt: x.CreatedAt}
}

// CreateException lets the project's policies pass over a vulnerability, until a day.
func (a *API) CreateException(ctx context.Context, r CreateExceptionRequestObject) (CreateExceptionResponseObject, error) {
	n := store.NewException{Vulnerability: r.Body.Vulnerability, Repository: text(r.Body.Repository), Reason: r.Body.Reason, ExpiresAt: r.Body.ExpiresAt}
	if r.Body.Purl != nil {
		p, err := sbom.ParsePURL(*r.Body.Purl)
		if err != nil {
			return nil, core.Invalid("/purl", "%s", err.Error())
		}
		n.PURL = sbom.PURL(&p)
	}
	project := callOf(ctx).project()
	x, err := a.store.CreateException(ctx, project, n)
	if err != nil {
		return nil, err
	}
	return CreateException201JSONResponse{Body: showException(x),
		Headers: CreateException201ResponseHeaders{Location: a.location("projects", project.Name, "exceptions", x.ID)}}, nil
}

// ListExceptions lists those of the project.
func (a *API) ListExceptions(ctx context.Context, r ListExceptionsRequestObject) (ListExceptionsResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor, func(after string, n int) ([]*core.Exception, bool, error) {
		return a.store.Exceptions(ctx, callOf(ctx).project(), text(r.Params.Vulnerability), after, n)
	}, func(x *core.Exception) string { return x.ID }, showException)
	if err != nil {
		return nil, err
	}
	return ListExceptions200JSONResponse{Body: items, Headers: ListExceptions200ResponseHeaders{Link: link}}, nil
}

// GetException shows one of the project.
func (a *API) GetException(ctx context.Context, r GetExceptionRequestObject) (GetExceptionResponseObject, error) {
	x, err := a.store.Exception(ctx, callOf(ctx).project(), r.ID)
	if err != nil {
		return nil, err
	}
	return GetException200JSONResponse(showException(x)), nil
}

// DeleteException takes one of the project back.
func (a *API) DeleteException(ctx context.Context, r DeleteExceptionRequestObject) (DeleteExceptionResponseObject, error) {
	return DeleteException204Response{}, a.store.DeleteException(ctx, callOf(ctx).project(), r.ID)
}
