package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core/inventory"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showAliasSource(s store.AliasSource) AliasSource {
	return AliasSource{Name: s.Name, Aliases: s.Aliases, ImportedAt: s.ImportedAt, ImportedBy: s.ImportedBy}
}

// ListAliasSources lists the lists of aliases that were imported.
func (a *API) ListAliasSources(ctx context.Context, r ListAliasSourcesRequestObject) (ListAliasSourcesResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor, func(after string, n int) ([]store.AliasSource, bool, error) {
		return a.store.AliasSources(ctx, after, n)
	}, func(s store.AliasSource) string { return s.Name }, showAliasSource)
	if err != nil {
		return nil, err
	}
	return ListAliasSources200JSONResponse{Body: items, Headers: ListAliasSources200ResponseHeaders{Link: link}}, nil
}

// PutAliases puts a list in the place of that of its source.
func (a *API) PutAliases(ctx context.Context, r PutAliasesRequestObject) (PutAliasesResponseObject, error) {
	// Not the request object's: it has a body only with the media type that the document names.
	all, err := inventory.ParseAliases(callOf(ctx).request.Body, inventory.AliasLimits{})
	if err != nil {
		return nil, err
	}
	s, err := a.store.PutAliases(ctx, r.Source, all)
	if err != nil {
		return nil, err
	}
	return PutAliases200JSONResponse(showAliasSource(*s)), nil
}

// DeleteAliases removes the list of a source.
func (a *API) DeleteAliases(ctx context.Context, r DeleteAliasesRequestObject) (DeleteAliasesResponseObject, error) {
	return DeleteAliases204Response{}, a.store.DeleteAliases(ctx, r.Source)
}
