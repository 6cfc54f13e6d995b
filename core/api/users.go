package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core/store"
)

func showUser(u *store.Account) User {
	return User{ID: u.ID, Username: u.Username, Email: u.Email, DisplayName: u.DisplayName, Admin: u.Admin, Disabled: u.Disabled,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt}
}

// CreateUser makes a user with the password that an administrator chose.
func (a *API) CreateUser(ctx context.Context, r CreateUserRequestObject) (CreateUserResponseObject, error) {
	hash, err := a.newPassword(ctx, r.Body.Username, r.Body.Password)
	if err != nil {
		return nil, err
	}
	u, err := a.store.CreateAccount(ctx, store.NewAccount{Username: r.Body.Username, PasswordHash: hash,
		Email: text(r.Body.Email), DisplayName: text(r.Body.DisplayName)})
	if err != nil {
		return nil, err
	}
	return CreateUser201JSONResponse{Body: showUser(u), Headers: CreateUser201ResponseHeaders{
		Location: a.location("users", u.Username), ETag: etag(u.Revision)}}, nil
}

// newPassword judges a new password and returns its hash.
func (a *API) newPassword(ctx context.Context, username, password string) (string, error) {
	if err := a.auth.Passwords().CheckNew("/password", username, password); err != nil {
		return "", err
	}
	return a.auth.Passwords().Hash(ctx, password)
}

// ListUsers lists all users.
func (a *API) ListUsers(ctx context.Context, r ListUsersRequestObject) (ListUsersResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*store.Account, bool, error) {
			return a.store.Accounts(ctx, store.AccountQuery{Contains: text(r.Params.Q), After: after, N: n})
		}, func(u *store.Account) string { return u.Username }, showUser)
	if err != nil {
		return nil, err
	}
	return ListUsers200JSONResponse{Body: items, Headers: ListUsers200ResponseHeaders{Link: link}}, nil
}

// GetUser shows a user to administrators and to itself; guard has seen to that.
func (a *API) GetUser(ctx context.Context, r GetUserRequestObject) (GetUserResponseObject, error) {
	u, err := a.store.AccountByUsername(ctx, r.Username)
	if err != nil {
		return nil, err
	}
	return GetUser200JSONResponse{Body: showUser(u), Headers: GetUser200ResponseHeaders{ETag: etag(u.Revision)}}, nil
}

// userToChange finds the user of the path, and the revision that the caller has read.
func (a *API) userToChange(ctx context.Context, username string, header *string) (*store.Account, int64, error) {
	revision, err := mustMatch(header)
	if err != nil {
		return nil, 0, err
	}
	u, err := a.store.AccountByUsername(ctx, username)
	return u, revision, err
}

// UpdateUser changes a user, also whether it is an administrator.
func (a *API) UpdateUser(ctx context.Context, r UpdateUserRequestObject) (UpdateUserResponseObject, error) {
	u, revision, err := a.userToChange(ctx, r.Username, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	u, err = a.store.UpdateAccount(ctx, u.ID, store.AccountPatch{Email: r.Body.Email, DisplayName: r.Body.DisplayName,
		Admin: r.Body.Admin, Disabled: r.Body.Disabled, LeaveOwnerless: isTrue(r.Params.LeaveOwnerless)}, revision)
	if err != nil {
		return nil, err
	}
	return UpdateUser200JSONResponse{Body: showUser(u), Headers: UpdateUser200ResponseHeaders{ETag: etag(u.Revision)}}, nil
}

// DeleteUser removes a user.
func (a *API) DeleteUser(ctx context.Context, r DeleteUserRequestObject) (DeleteUserResponseObject, error) {
	u, revision, err := a.userToChange(ctx, r.Username, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteUser204Response{}, a.store.DeleteAccount(ctx, u.ID, revision, isTrue(r.Params.LeaveOwnerless))
}

// SetUserPassword is what an administrator does for somebody who has forgotten the password. It is audited, and ends the
// sessions of that user, so that it does not go unnoticed (V-51).
func (a *API) SetUserPassword(ctx context.Context, r SetUserPasswordRequestObject) (SetUserPasswordResponseObject, error) {
	u, err := a.store.AccountByUsername(ctx, r.Username)
	if err != nil {
		return nil, err
	}
	return SetUserPassword204Response{}, a.auth.SetPassword(ctx, u.ID, u.Username, r.Body.Password)
}
