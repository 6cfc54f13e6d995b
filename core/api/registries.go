package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core/store"
)

func showRegistry(r *store.Registry) Registry {
	return Registry{Name: r.Name, URL: r.URL, PlainHTTP: r.PlainHTTP, CaPem: r.CAPEM, TokenHost: r.TokenHost, Username: r.Username,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
}

// ListRegistries lists the existing registries.
func (a *API) ListRegistries(ctx context.Context, r ListRegistriesRequestObject) (ListRegistriesResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor, func(after string, n int) ([]*store.Registry, bool, error) {
		return a.store.Registries(ctx, after, n)
	}, func(r *store.Registry) string { return r.Name }, showRegistry)
	if err != nil {
		return nil, err
	}
	return ListRegistries200JSONResponse{Body: items, Headers: ListRegistries200ResponseHeaders{Link: link}}, nil
}

// GetRegistry shows one.
func (a *API) GetRegistry(ctx context.Context, r GetRegistryRequestObject) (GetRegistryResponseObject, error) {
	v, err := a.store.Registry(ctx, r.Registry)
	if err != nil {
		return nil, err
	}
	return GetRegistry200JSONResponse{Body: showRegistry(v), Headers: GetRegistry200ResponseHeaders{ETag: etag(v.Revision)}}, nil
}

// PutRegistry makes or changes one.
func (a *API) PutRegistry(ctx context.Context, r PutRegistryRequestObject) (PutRegistryResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	b := r.Body
	v, created, err := a.upstream.Save(ctx, r.Registry, store.RegistryPut{URL: b.URL, PlainHTTP: isTrue(b.PlainHTTP), CAPEM: text(b.CaPem),
		TokenHost: text(b.TokenHost), Username: text(b.Username), Password: b.Password}, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutRegistry201JSONResponse{Body: showRegistry(v), Headers: PutRegistry201ResponseHeaders{ETag: etag(v.Revision)}}, nil
	}
	return PutRegistry200JSONResponse{Body: showRegistry(v), Headers: PutRegistry200ResponseHeaders{ETag: etag(v.Revision)}}, nil
}

// DeleteRegistry forgets one.
func (a *API) DeleteRegistry(ctx context.Context, r DeleteRegistryRequestObject) (DeleteRegistryResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteRegistry204Response{}, a.store.DeleteRegistry(ctx, r.Registry, revision)
}

// CheckRegistry asks one whether it answers. That it does not is what was asked for, and no error.
func (a *API) CheckRegistry(ctx context.Context, r CheckRegistryRequestObject) (CheckRegistryResponseObject, error) {
	wrong, err := a.upstream.Check(ctx, r.Registry)
	if err != nil {
		return nil, err
	}
	return CheckRegistry200JSONResponse{Ok: wrong == "", Message: wrong}, nil
}
