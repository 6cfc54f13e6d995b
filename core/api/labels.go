package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core/store"
)

func showLabel(l *store.Label) Label {
	return Label{Name: l.Name, Color: l.Color, Description: l.Description, CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt}
}

// ListLabels lists the labels of a project.
func (a *API) ListLabels(ctx context.Context, r ListLabelsRequestObject) (ListLabelsResponseObject, error) {
	items, link, err := list(ctx, a, r.Params.Limit, r.Params.Cursor,
		func(after string, n int) ([]*store.Label, bool, error) {
			return a.store.Labels(ctx, callOf(ctx).project(), after, n)
		}, func(l *store.Label) string { return l.Name }, showLabel)
	if err != nil {
		return nil, err
	}
	return ListLabels200JSONResponse{Body: items, Headers: ListLabels200ResponseHeaders{Link: link}}, nil
}

// GetLabel shows a label.
func (a *API) GetLabel(ctx context.Context, r GetLabelRequestObject) (GetLabelResponseObject, error) {
	l, err := a.store.Label(ctx, callOf(ctx).project(), r.Label)
	if err != nil {
		return nil, err
	}
	return GetLabel200JSONResponse{Body: showLabel(l), Headers: GetLabel200ResponseHeaders{ETag: etag(l.Revision)}}, nil
}

// PutLabel makes or changes a label.
func (a *API) PutLabel(ctx context.Context, r PutLabelRequestObject) (PutLabelResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	l, created, err := a.store.PutLabel(ctx, callOf(ctx).project(), r.Label,
		store.LabelFields{Color: text(r.Body.Color), Description: text(r.Body.Description)}, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutLabel201JSONResponse{Body: showLabel(l), Headers: PutLabel201ResponseHeaders{ETag: etag(l.Revision)}}, nil
	}
	return PutLabel200JSONResponse{Body: showLabel(l), Headers: PutLabel200ResponseHeaders{ETag: etag(l.Revision)}}, nil
}

// DeleteLabel removes a label.
func (a *API) DeleteLabel(ctx context.Context, r DeleteLabelRequestObject) (DeleteLabelResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteLabel204Response{}, a.store.DeleteLabel(ctx, callOf(ctx).project(), r.Label, revision)
}

// AddArtifactLabel puts a label on an artifact.
func (a *API) AddArtifactLabel(ctx context.Context, r AddArtifactLabelRequestObject) (AddArtifactLabelResponseObject, error) {
	p := callOf(ctx).project()
	artifact, err := a.store.Artifact(ctx, p, r.Repository, r.Reference)
	if err != nil {
		return nil, err
	}
	return AddArtifactLabel204Response{}, a.store.AttachLabel(ctx, p, r.Label, r.Repository, artifact.Digest)
}

// RemoveArtifactLabel takes a label off an artifact.
func (a *API) RemoveArtifactLabel(ctx context.Context, r RemoveArtifactLabelRequestObject) (RemoveArtifactLabelResponseObject, error) {
	p := callOf(ctx).project()
	artifact, err := a.store.Artifact(ctx, p, r.Repository, r.Reference)
	if err != nil {
		return nil, err
	}
	return RemoveArtifactLabel204Response{}, a.store.DetachLabel(ctx, p, r.Label, r.Repository, artifact.Digest)
}
