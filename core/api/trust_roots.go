package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/gatekeeper"
	"github.com/hallmarkhub/hallmark/core/store"
	"github.com/hallmarkhub/hallmark/core/trust"
)

// showTrustRoot shows what is stored. What cannot be read any more vouches for nobody, and so names nobody.
func showTrustRoot(d *store.TrustDocument) TrustRoot {
	root, err := trust.ParseTrustRoot([]byte(d.Document))
	if err != nil {
		root = &trust.TrustRoot{}
	}
	return TrustRoot{Name: d.Name, BuiltIn: gatekeeper.BuiltIn(d), Document: d.Document, Authorities: parties(root.Authorities), Logs: parties(root.Logs),
		Timestamps: parties(root.Timestamps), CertificateLogs: parties(root.CertLogs), CreatedAt: optional(d.CreatedAt), UpdatedAt: optional(d.UpdatedAt)}
}

func showListedTrustRoot(d *store.TrustDocument) TrustRoot {
	v := showTrustRoot(d)
	v.Document = ""
	return v
}

func parties(list []trust.Party) []TrustParty {
	out := []TrustParty{}
	for _, p := range list {
		out = append(out, TrustParty{Name: p.Name, URI: optional(p.URI), ID: p.ID, From: optional(p.From), Until: optional(p.Until)})
	}
	return out
}

// trustRoots lists those of a project, or of the hub if p is nil.
func (a *API) trustRoots(ctx context.Context, p *core.Project, limit *int64, cursor *string) ([]TrustRoot, *string, error) {
	return list(ctx, a, limit, cursor, func(after string, n int) ([]*store.TrustDocument, bool, error) {
		return a.gate.TrustRoots(ctx, p, after, n)
	}, trustName, showListedTrustRoot)
}

// ListTrustRoots lists the trust roots of the hub.
func (a *API) ListTrustRoots(ctx context.Context, r ListTrustRootsRequestObject) (ListTrustRootsResponseObject, error) {
	items, link, err := a.trustRoots(ctx, nil, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListTrustRoots200JSONResponse{Body: items, Headers: ListTrustRoots200ResponseHeaders{Link: link}}, nil
}

// GetTrustRoot shows one of the hub.
func (a *API) GetTrustRoot(ctx context.Context, r GetTrustRootRequestObject) (GetTrustRootResponseObject, error) {
	d, err := a.gate.TrustRoot(ctx, nil, r.Root)
	if err != nil {
		return nil, err
	}
	return GetTrustRoot200JSONResponse{Body: showTrustRoot(d), Headers: GetTrustRoot200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// PutTrustRoot makes or changes one of the hub.
func (a *API) PutTrustRoot(ctx context.Context, r PutTrustRootRequestObject) (PutTrustRootResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	d, created, err := a.gate.SaveTrustRoot(ctx, nil, r.Root, r.Body.Document, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutTrustRoot201JSONResponse{Body: showTrustRoot(d), Headers: PutTrustRoot201ResponseHeaders{ETag: etag(d.Revision)}}, nil
	}
	return PutTrustRoot200JSONResponse{Body: showTrustRoot(d), Headers: PutTrustRoot200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// DeleteTrustRoot removes one of the hub.
func (a *API) DeleteTrustRoot(ctx context.Context, r DeleteTrustRootRequestObject) (DeleteTrustRootResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteTrustRoot204Response{}, a.gate.DeleteTrustRoot(ctx, nil, r.Root, revision, isTrue(r.Params.Force))
}

// ListProjectTrustRoots lists the trust roots of the project.
func (a *API) ListProjectTrustRoots(ctx context.Context, r ListProjectTrustRootsRequestObject) (ListProjectTrustRootsResponseObject, error) {
	items, link, err := a.trustRoots(ctx, callOf(ctx).project(), r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListProjectTrustRoots200JSONResponse{Body: items, Headers: ListProjectTrustRoots200ResponseHeaders{Link: link}}, nil
}

// GetProjectTrustRoot shows one of the project.
func (a *API) GetProjectTrustRoot(ctx context.Context, r GetProjectTrustRootRequestObject) (GetProjectTrustRootResponseObject, error) {
	d, err := a.gate.TrustRoot(ctx, callOf(ctx).project(), r.Root)
	if err != nil {
		return nil, err
	}
	return GetProjectTrustRoot200JSONResponse{Body: showTrustRoot(d), Headers: GetProjectTrustRoot200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// PutProjectTrustRoot makes or changes one of the project.
func (a *API) PutProjectTrustRoot(ctx context.Context, r PutProjectTrustRootRequestObject) (PutProjectTrustRootResponseObject, error) {
	revision, err := ifMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	d, created, err := a.gate.SaveTrustRoot(ctx, callOf(ctx).project(), r.Root, r.Body.Document, revision)
	if err != nil {
		return nil, err
	}
	if created {
		return PutProjectTrustRoot201JSONResponse{Body: showTrustRoot(d), Headers: PutProjectTrustRoot201ResponseHeaders{ETag: etag(d.Revision)}}, nil
	}
	return PutProjectTrustRoot200JSONResponse{Body: showTrustRoot(d), Headers: PutProjectTrustRoot200ResponseHeaders{ETag: etag(d.Revision)}}, nil
}

// DeleteProjectTrustRoot removes one of the project.
func (a *API) DeleteProjectTrustRoot(ctx context.Context, r DeleteProjectTrustRootRequestObject) (DeleteProjectTrustRootResponseObject, error) {
	revision, err := mustMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	return DeleteProjectTrustRoot204Response{}, a.gate.DeleteTrustRoot(ctx, callOf(ctx).project(), r.Root, revision, isTrue(r.Params.Force))
}
