package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showScopes(grants []core.Grant) *[]Grant {
	if grants == nil {
		return nil
	}
	scopes := showGrants(grants)
	return &scopes
}

// CreateMyToken makes a personal token and shows it, once.
func (a *API) CreateMyToken(ctx context.Context, r CreateMyTokenRequestObject) (CreateMyTokenResponseObject, error) {
	var scopes []core.Grant
	if r.Body.Scopes != nil {
		scopes = readGrants(*r.Body.Scopes)
	}
	t, secret, err := a.store.CreatePersonalToken(ctx, callOf(ctx).principal.ID, r.Body.Name, scopes, seconds(r.Body.ExpiresIn))
	if err != nil {
		return nil, err
	}
	return CreateMyToken201JSONResponse{
		Body:    TokenCreated{ID: t.ID, Name: t.Name, Token: secret, Scopes: showScopes(t.Scopes), CreatedAt: t.CreatedAt, ExpiresAt: optional(t.ExpiresAt)},
		Headers: CreateMyToken201ResponseHeaders{Location: a.location("users", "me", "tokens", t.ID)},
	}, nil
}

// ListMyTokens lists the tokens of the user who asks.
func (a *API) ListMyTokens(ctx context.Context, r ListMyTokensRequestObject) (ListMyTokensResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*store.PersonalToken, bool, error) {
			return a.store.PersonalTokens(ctx, callOf(ctx).principal.ID, after, n)
		}, func(t *store.PersonalToken) string { return t.ID },
		func(t *store.PersonalToken) Token {
			return Token{ID: t.ID, Name: t.Name, Scopes: showScopes(t.Scopes), CreatedAt: t.CreatedAt, ExpiresAt: optional(t.ExpiresAt),
				LastUsedAt: optional(t.LastUsedAt)}
		})
	if err != nil {
		return nil, err
	}
	return ListMyTokens200JSONResponse{Body: items, Headers: ListMyTokens200ResponseHeaders{Link: link}}, nil
}

// DeleteMyToken revokes a token of the user who asks.
func (a *API) DeleteMyToken(ctx context.Context, r DeleteMyTokenRequestObject) (DeleteMyTokenResponseObject, error) {
	return DeleteMyToken204Response{}, a.store.DeletePersonalToken(ctx, callOf(ctx).principal.ID, r.ID)
}
