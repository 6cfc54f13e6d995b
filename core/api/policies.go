package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showPolicy(p *core.Project) func(*store.TrustDocument) Policy {
	project := ""
	if p != nil {
		project = p.Name
	}
	return func(d *store.TrustDocument) Policy {
		return Policy{Name: d.Name, Document: d.Document, Summary: gatekeeper.Summary(d, project), CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt}
	}
}

// policies lists those of a project, or of the hub if p is nil.
func (a *API) policies(ctx context.Context, p *core.Project, limit *int64, cursor *string) ([]Policy, *string, error) {
	return list(ctx, a, limit, cursor, func(after string, n int) ([]*store.TrustDocument, bool, error) {
		return a.store.TrustDocuments(ctx, p, store.TrustPolicy, after, n)
	}, trustName, showPolicy(p))
}

// ListPolicies lists the pull policies of the hub.
func (a *API) ListPolicies(ctx context.Context, r ListPoliciesRequestObject) (ListPoliciesResponseObject, error) {
	items, link, err := a.policies(ctx, nil, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListPolicies200JSONResponse{Body: items, Headers: ListPolicies200ResponseHeaders{Link: link}}, nil
}

// GetPolicy shows one of the hub.
func (a *API) GetPolicy(ctx context.Context, r GetPolicyRequestObject) (GetPolicyResponseObject, error) {
	d, err := a.store.TrustDocument(ctx, nil, store.TrustPolicy, r.Policy)
	if err != nil {
		return nil, err
	}
	return GetPolicy200JSONResponse{Body: showPolicy(nil)(d), Headers: GetPolicy200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// PutPolicy makes or changes one of the hub.
func (a *API) PutPolicy(ctx context.Context, r PutPolicyRequestObject) (PutPolicyResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	d, created, err := a.gate.SavePolicy(ctx, nil, r.Policy, r.Body.Document, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutPolicy201JSONResponse{Body: showPolicy(nil)(d), Headers: PutPolicy201ResponseHeaders{ETag: etag(d.Revision)}}, nil
	}
	return PutPolicy200JSONResponse{Body: showPolicy(nil)(d), Headers: PutPolicy200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// DeletePolicy removes one of the hub.
func (a *API) DeletePolicy(ctx context.Context, r DeletePolicyRequestObject) (DeletePolicyResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeletePolicy204Response{}, a.store.DeleteTrustDocument(ctx, nil, store.TrustPolicy, r.Policy, revision)
}

// ListProjectPolicies lists the pull policies of the project.
func (a *API) ListProjectPolicies(ctx context.Context, r ListProjectPoliciesRequestObject) (ListProjectPoliciesResponseObject, error) {
	items, link, err := a.policies(ctx, callOf(ctx).project(), r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListProjectPolicies200JSONResponse{Body: items, Headers: ListProjectPolicies200ResponseHeaders{Link: link}}, nil
}

// GetProjectPolicy shows one of the project.
func (a *API) GetProjectPolicy(ctx context.Context, r GetProjectPolicyRequestObject) (GetProjectPolicyResponseObject, error) {
	d, err := a.store.TrustDocument(ctx, callOf(ctx).project(), store.TrustPolicy, r.Policy)
	if err != nil {
		return nil, err
	}
	return GetProjectPolicy200JSONResponse{Body: showPolicy(callOf(ctx).project())(d), Headers: GetProjectPolicy200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// PutProjectPolicy makes or changes one of the project.
func (a *API) PutProjectPolicy(ctx context.Context, r PutProjectPolicyRequestObject) (PutProjectPolicyResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	d, created, err := a.gate.SavePolicy(ctx, callOf(ctx).project(), r.Policy, r.Body.Document, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutProjectPolicy201JSONResponse{Body: showPolicy(callOf(ctx).project())(d), Headers: PutProjectPolicy201ResponseHeaders{ETag: etag(d.Revision)}}, nil
	}
	return PutProjectPolicy200JSONResponse{Body: showPolicy(callOf(ctx).project())(d), Headers: PutProjectPolicy200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// DeleteProjectPolicy removes one of the project.
func (a *API) DeleteProjectPolicy(ctx context.Context, r DeleteProjectPolicyRequestObject) (DeleteProjectPolicyResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteProjectPolicy204Response{}, a.store.DeleteTrustDocument(ctx, callOf(ctx).project(), store.TrustPolicy, r.Policy, revision)
}

// DryRunProjectPolicy says what a policy or the baseline would refuse.
func (a *API) DryRunProjectPolicy(ctx context.Context, r DryRunProjectPolicyRequestObject) (DryRunProjectPolicyResponseObject, error) {
	var of gatekeeper.Proposal
	if r.Body.Document != nil {
		of.Document = *r.Body.Document
	}
	if r.Body.Baseline != nil {
		of.Baseline = core.Baseline(*r.Body.Baseline)
	}
	found, err := a.gate.DryRun(ctx, callOf(ctx).project(), of)
	if err != nil {
		return nil, told(err)
	}
	return DryRunProjectPolicy200JSONResponse(*found), nil
}
