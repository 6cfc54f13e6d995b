package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showMember(m *store.Member) Member {
	return Member{Username: m.Username, DisplayName: optional(m.DisplayName), Role: Role(m.Role), CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt}
}

// ListMembers lists the members of a project.
func (a *API) ListMembers(ctx context.Context, r ListMembersRequestObject) (ListMembersResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*store.Member, bool, error) {
			return a.store.Members(ctx, callOf(ctx).project(), store.MemberQuery{Role: core.Role(text(r.Params.Role)), After: after, N: n})
		}, func(m *store.Member) string { return m.Username }, showMember)
	if err != nil {
		return nil, err
	}
	return ListMembers200JSONResponse{Body: items, Headers: ListMembers200ResponseHeaders{Link: link}}, nil
}

// GetMember shows a member.
func (a *API) GetMember(ctx context.Context, r GetMemberRequestObject) (GetMemberResponseObject, error) {
	m, err := a.store.Member(ctx, callOf(ctx).project(), r.Username)
	if err != nil {
		return nil, err
	}
	return GetMember200JSONResponse{Body: showMember(m), Headers: GetMember200ResponseHeaders{ETag: etag(m.Revision)}}, nil
}

// PutMember adds a member or changes the role.
func (a *API) PutMember(ctx context.Context, r PutMemberRequestObject) (PutMemberResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	m, created, err := a.store.PutMember(ctx, callOf(ctx).project(), r.Username, core.Role(r.Body.Role), revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutMember201JSONResponse{Body: showMember(m), Headers: PutMember201ResponseHeaders{ETag: etag(m.Revision)}}, nil
	}
	return PutMember200JSONResponse{Body: showMember(m), Headers: PutMember200ResponseHeaders{ETag: etag(m.Revision)}}, nil
}

// DeleteMember takes a user out of a project.
func (a *API) DeleteMember(ctx context.Context, r DeleteMemberRequestObject) (DeleteMemberResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteMember204Response{}, a.store.DeleteMember(ctx, callOf(ctx).project(), r.Username, revision)
}
